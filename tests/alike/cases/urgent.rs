//! Urgent data: in the stream, and beside it.

use super::net::{Shutdown, TcpStream};
use super::opt;
use super::*;
use std::io::{Read, Write};

cases![
    oob_inline_by_default,
    oob_inline_is_kept,
    urgent_byte_is_taken_by_itself,
    urgent_byte_is_left_out_of_the_stream,
    urgent_byte_before_what_was_read,
    urgent_byte_is_peeked_at,
    urgent_byte_is_left_out_of_a_peek,
    urgent_byte_alone_is_not_peeked_at,
    urgent_byte_twice,
    urgent_byte_that_is_not_there,
    urgent_byte_after_it_was_passed,
    urgent_byte_replaced_by_a_later_one,
    urgent_byte_in_line,
    urgent_byte_in_line_is_not_taken_by_itself,
    urgent_byte_then_the_end,
];

fn oob_inline_by_default(t: &Test) {
    t.see("inline", opt::oob_inline(&pair(t).0));
}

fn oob_inline_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    for on in [true, false] {
        t.see("set", opt::set_oob_inline(&near, on));
        t.see("get", opt::oob_inline(&near));
    }
}

/// A connection whose far end leaves urgent bytes out of the stream, and has received `text`.
fn urgent(t: &Test, pieces: &[(&[u8], bool)]) -> (TcpStream, TcpStream) {
    let (near, far) = pair(t);
    opt::set_oob_inline(&far, false).unwrap();
    let mut sum = 0;
    for (text, urgent) in pieces {
        let sent = if *urgent { opt::send(&near, text, opt::OOB) } else { (&near).write(text) };
        assert_eq!(sent.unwrap(), text.len());
        sum += text.len();
    }
    assert!(sum > 0 && soon(|| opt::unacknowledged(&near) == 0));
    (near, far)
}

/// The next bytes, as far as one call gives them.
fn next(mut far: &TcpStream) -> std::io::Result<String> {
    let mut buf = [0; 64];
    far.set_read_timeout(Some(50 * MS)).unwrap();
    far.read(&mut buf).map(|n| String::from_utf8_lossy(&buf[..n]).into_owned())
}

/// The urgent byte.
fn oob(far: &TcpStream) -> std::io::Result<String> {
    let mut buf = [0; 4];
    opt::recv(far, &mut buf, opt::OOB).map(|n| String::from_utf8_lossy(&buf[..n]).into_owned())
}

fn urgent_byte_is_taken_by_itself(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true)]);
    t.see("urgent", oob(&far));
    t.see("stream", next(&far));
}

fn urgent_byte_is_left_out_of_the_stream(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true), (b"def", false)]);
    t.see("before the mark", next(&far));
    t.see("behind the mark", next(&far));
}

fn urgent_byte_before_what_was_read(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true), (b"def", false)]);
    t.see("before the mark", next(&far));
    t.see("urgent", oob(&far));
    t.see("behind the mark", next(&far));
}

fn urgent_byte_is_peeked_at(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true)]);
    let mut buf = [0; 4];
    t.see("peek", opt::recv(&far, &mut buf, opt::OOB | opt::PEEK));
    t.see("byte", buf[0]);
    t.see("urgent", oob(&far));
}

/// The next bytes, which stay.
fn peeked(far: &TcpStream) -> std::io::Result<String> {
    let mut buf = [0; 64];
    far.set_read_timeout(Some(50 * MS)).unwrap();
    far.peek(&mut buf).map(|n| String::from_utf8_lossy(&buf[..n]).into_owned())
}

fn urgent_byte_is_left_out_of_a_peek(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true), (b"def", false)]);
    t.see("peek before the mark", peeked(&far));
    t.see("before the mark", next(&far));
    t.see("peek behind the mark", peeked(&far));
    t.see("urgent", oob(&far));
    t.see("behind the mark", next(&far));
}

fn urgent_byte_alone_is_not_peeked_at(t: &Test) {
    let (near, far) = urgent(t, &[(b"!", true)]);
    t.see("peek", peeked(&far));
    t.see("urgent", oob(&far));
    near.shutdown(Shutdown::Write).unwrap();
    assert!(soon(|| opt::unacknowledged(&near) == 0));
    t.see("the end", peeked(&far));
}

fn urgent_byte_twice(t: &Test) {
    let (_near, far) = urgent(t, &[(b"!", true)]);
    t.see("once", oob(&far));
    t.see("twice", oob(&far));
    t.see("stream", next(&far));
}

fn urgent_byte_that_is_not_there(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc", false)]);
    t.see("urgent", oob(&far));
    t.see("stream", next(&far));
}

fn urgent_byte_after_it_was_passed(t: &Test) {
    let (_near, far) = urgent(t, &[(b"!", true), (b"def", false)]);
    t.see("stream", next(&far));
    t.see("urgent", oob(&far));
}

fn urgent_byte_replaced_by_a_later_one(t: &Test) {
    let (_near, far) = urgent(t, &[(b"a!", true), (b"b?", true), (b"c", false)]);
    t.see("urgent", oob(&far));
    t.see("stream", next(&far));
    t.see("stream", next(&far));
}

fn urgent_byte_in_line(t: &Test) {
    let (near, far) = pair(t);
    opt::set_oob_inline(&far, true).unwrap();
    opt::send(&near, b"abc!", opt::OOB).unwrap();
    (&near).write_all(b"def").unwrap();
    drop(near);
    let mut all = String::new();
    t.see("read", (&far).read_to_string(&mut all));
    t.see("text", all);
}

fn urgent_byte_in_line_is_not_taken_by_itself(t: &Test) {
    let (near, far) = pair(t);
    opt::set_oob_inline(&far, true).unwrap();
    opt::send(&near, b"abc!", opt::OOB).unwrap();
    assert!(soon(|| opt::unacknowledged(&near) == 0));
    t.see("urgent", oob(&far));
}

fn urgent_byte_then_the_end(t: &Test) {
    let (near, far) = urgent(t, &[(b"abc!", true)]);
    near.shutdown(Shutdown::Write).unwrap();
    assert!(soon(|| opt::unacknowledged(&near) == 0));
    t.see("stream", next(&far));
    t.see("the end", next(&far));
    t.see("still", next(&far));
}
