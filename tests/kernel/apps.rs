//! Applications that behave badly, in this process, against clients of the kernel's: whatever they do, the memory is
//! bounded and the peer gets the RFC's answer.

use crate::harness::Test;

pub const TESTS: &[Test] = &[];
