//! The tests of `rfc9293` once more, on a device that cuts super-segments and completes checksums: on the wire, nothing may
//! look different. (The test language looks at this crate's name.)

#[path = "rfc9293/main.rs"]
mod rfc9293;

use rfc9293::support;
