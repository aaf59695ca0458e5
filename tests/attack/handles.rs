//! Handles and readiness: whoever was told to wait is told when to go on.

use crate::support::*;
use tunstack::stack::{Readiness, SocketId};

fn told(t: &mut Tester, id: SocketId) -> bool {
    let mut found = false;
    while let Some(ready) = t.stack.poll_ready() {
        found |= ready == id;
    }
    found
}

/// A connection that was readable before it was accepted is reported to whoever accepts it.
#[test]
fn what_came_before_accept_is_reported() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.send(ack());
    t.send(data(b"early"));
    let id = SocketId::Tcp(t.accept());
    assert!(told(&mut t, id));
    assert!(t.readiness().contains(Readiness::READABLE));
}

/// Opening and closing without ever asking what is ready costs no memory.
#[test]
fn readiness_that_nobody_asks_for_does_not_pile_up() {
    let mut t = Tester::new().without_timer_check();
    t.listen(80);
    for i in 0..2000 {
        t.new_flow(3000 + i, 80);
        t.establish();
        t.send(data(b"x"));
        t.abort();
        t.drain();
    }
    let debug = format!("{:?}", t.stack);
    assert!(debug.matches("TcpId").count() < 10, "dead handles are kept: {debug}");
    while t.stack.poll_ready().is_some() {}
}
