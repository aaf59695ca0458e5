//! Attacks in virtual time: floods and exhaustion, forged and nonsensical segments, a random walk over segments, calls
//! and time, and two stacks on a link that mangles. What must hold is that nothing panics, leaks, stalls or grows.

#[path = "../support/mod.rs"]
mod support;

mod exhaustion;
mod handles;
mod numbers;
mod pressure;
