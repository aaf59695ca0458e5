//! Attacks in virtual time: floods and exhaustion, forged and nonsensical segments, a random walk over segments, calls
//! and time, and two stacks on a link that mangles. What must hold is that nothing panics, leaks, stalls or grows.

#[expect(dead_code, unused_imports, reason = "a part of the language of the conformance tests is not spoken here")]
#[path = "../support/mod.rs"]
mod support;

mod bytes;
mod cost;
mod exhaustion;
mod fuzz;
mod gate;
mod handles;
mod mangle;
mod numbers;
mod peers;
mod pressure;
mod transfer;
