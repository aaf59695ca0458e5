use crate::support::*;

/// smoke
#[test]
fn smoke() {
    let mut t = Tester::new();
    t.establish();
}
