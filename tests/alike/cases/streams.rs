//! `TcpStream`: connecting, reading, writing.

use super::net::{Shutdown, TcpStream};
use super::*;
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::thread;

cases![
    connect_and_greet,
    connect_to_nobody,
    connect_to_nobody_at_the_hosts_address,
    connect_to_port_zero,
    connect_to_a_group,
    connect_to_broadcast,
    connect_to_unspecified,
    connect_to_elsewhere,
    connect_to_the_first_that_answers,
    connect_to_none_of_several,
    connect_to_no_address,
    connect_to_a_datagram_socket,
    connect_before_accept,
    connect_timeout_of_zero,
    connect_timeout_that_suffices,
    connect_timeout_refused,
    connect_timeout_without_an_answer,
    connect_timeout_to_elsewhere,
    connect_from_different_ports,
    addresses_of_both_ends,
    addresses_of_a_clone,
    peer_addr_after_the_end,
    peer_addr_after_shutdown,
    peer_addr_after_a_reset,
    local_addr_after_a_reset,
    read_into_nothing,
    read_nothing_at_the_end,
    read_a_part,
    read_across_writes,
    read_the_end_again_and_again,
    read_exact_too_much,
    read_to_string,
    read_by_reference,
    read_lines,
    write_nothing,
    write_nothing_after_shutdown,
    write_by_reference,
    write_much_nonblocking,
    write_formatted,
    flush_does_nothing,
    flush_after_the_end,
    read_vectored_fills_in_order,
    read_vectored_into_nothing,
    read_vectored_skips_empty_ones,
    read_vectored_at_the_end,
    write_vectored_in_order,
    write_vectored_of_nothing,
    write_vectored_with_empty_ones,
    write_vectored_of_many,
    write_vectored_after_shutdown,
    peek_leaves_it,
    peek_into_nothing,
    peek_at_the_end,
    peek_less_than_there_is,
    peek_nonblocking,
    peek_after_a_reset,
    nodelay_by_default,
    nodelay_is_kept,
    nodelay_of_a_clone,
    nodelay_after_the_end,
    ttl_by_default,
    ttl_is_kept,
    ttl_out_of_range,
    take_error_of_a_fresh_one,
    take_error_after_a_reset,
    take_error_is_told_once,
    a_megabyte_there_and_back,
    both_ways_at_once,
    copy_from_one_to_another,
    set_options_after_a_reset,
    clone_reads_what_the_other_left,
    clone_writes_in_turn,
    connect_to_itself_is_refused_on_a_free_port,
    send_and_sync,
    debug_names_it,
];

fn connect_and_greet(t: &Test) {
    let (listener, addr) = listen(t);
    let mut near = TcpStream::connect(addr).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    t.see("write", near.write(b"hello"));
    let mut buf = [0; 16];
    t.see("read", far.read(&mut buf));
    t.see("text", &buf[..5]);
    t.see("answer", far.write(b"hello yourself"));
    t.see("read", near.read(&mut buf));
    t.see("text", &buf[..14]);
}

fn connect_to_nobody(t: &Test) {
    t.at_once("connect", || TcpStream::connect(nobody(t)).map(drop));
}

fn connect_to_nobody_at_the_hosts_address(t: &Test) {
    t.at_once("connect", || TcpStream::connect((t.own(), nobody(t).port())).map(drop));
}

fn connect_to_port_zero(t: &Test) {
    t.at_once("connect", || TcpStream::connect((t.loopback(), 0)).map(drop));
    t.at_once("within a time", || TcpStream::connect_timeout(&t.any(), 5000 * MS).map(drop));
}

fn connect_to_a_group(t: &Test) {
    t.at_once("connect", || TcpStream::connect((t.group(), 80)).map(drop));
}

fn connect_to_broadcast(t: &Test) {
    let all = t.pick("255.255.255.255".parse().unwrap(), "ff02::1".parse::<std::net::IpAddr>().unwrap());
    t.at_once("all", || TcpStream::connect((all, 80)).map(drop));
    let network = t.pick("192.0.2.255".parse().unwrap(), "ff05::2".parse::<std::net::IpAddr>().unwrap());
    t.at_once("a network", || TcpStream::connect((network, 80)).map(drop));
}

fn connect_to_unspecified(t: &Test) {
    let (_listener, addr) = listen(t);
    let near = TcpStream::connect((t.unspecified(), addr.port()));
    t.see("peer", near.and_then(|near| near.peer_addr()));
}

fn connect_to_elsewhere(t: &Test) {
    t.at_once("connect", || TcpStream::connect((t.elsewhere(), 80)).map(drop));
}

fn connect_to_the_first_that_answers(t: &Test) {
    let (_listener, addr) = listen(t);
    let near = TcpStream::connect(&[nobody(t), addr, nobody(t)][..]).unwrap();
    t.see("it", near.peer_addr().unwrap() == addr);
}

fn connect_to_none_of_several(t: &Test) {
    let elsewhere = SocketAddr::new(t.elsewhere(), 80);
    t.see("the last error", TcpStream::connect(&[nobody(t), elsewhere][..]).map(drop));
    t.see("the other way round", TcpStream::connect(&[elsewhere, nobody(t)][..]).map(drop));
}

fn connect_to_no_address(t: &Test) {
    t.see("connect", TcpStream::connect(&[][..]).map(drop));
}

fn connect_to_a_datagram_socket(t: &Test) {
    let socket = udp(t);
    t.see("connect", TcpStream::connect(socket.local_addr().unwrap()).map(drop));
}

fn connect_before_accept(t: &Test) {
    let (listener, addr) = listen(t);
    let mut near = TcpStream::connect(addr).unwrap();
    t.see("write", near.write(b"early"));
    let mut text = [0; 5];
    listener.accept().unwrap().0.read_exact(&mut text).unwrap();
    t.see("text", text);
}

fn connect_timeout_of_zero(t: &Test) {
    let (_listener, addr) = listen(t);
    t.at_once("connect", || TcpStream::connect_timeout(&addr, Duration::ZERO).map(drop));
}

fn connect_timeout_that_suffices(t: &Test) {
    let (_listener, addr) = listen(t);
    let near = TcpStream::connect_timeout(&addr, 10_000 * MS);
    t.see("peer", near.as_ref().unwrap().peer_addr());
    // It is an ordinary stream, which waits.
    let mut near = near.unwrap();
    near.set_read_timeout(Some(20 * MS)).unwrap();
    t.timed("read", 20 * MS, || near.read(&mut [0; 1]));
}

fn connect_timeout_refused(t: &Test) {
    t.at_once("connect", || TcpStream::connect_timeout(&nobody(t), 10_000 * MS).map(drop));
}

fn connect_timeout_without_an_answer(t: &Test) {
    let addr = SocketAddr::new(t.neighbour(), 80);
    t.timed("connect", 100 * MS, || TcpStream::connect_timeout(&addr, 100 * MS).map(drop));
    t.timed("a shorter time", MS, || TcpStream::connect_timeout(&addr, MS).map(drop));
}

fn connect_timeout_to_elsewhere(t: &Test) {
    let addr = SocketAddr::new(t.elsewhere(), 80);
    t.at_once("connect", || TcpStream::connect_timeout(&addr, 10_000 * MS).map(drop));
}

fn connect_from_different_ports(t: &Test) {
    let (_listener, addr) = listen(t);
    let streams: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut ports: Vec<u16> = streams.iter().map(|stream| stream.local_addr().unwrap().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    t.see("ports", ports.len());
}

fn addresses_of_both_ends(t: &Test) {
    let (near, far) = pair(t);
    t.see("near", near.local_addr());
    t.see("its peer", near.peer_addr());
    t.see("crossed", near.local_addr().unwrap() == far.peer_addr().unwrap());
    t.see("and back", far.local_addr().unwrap() == near.peer_addr().unwrap());
}

fn addresses_of_a_clone(t: &Test) {
    let (near, _far) = pair(t);
    let clone = near.try_clone().unwrap();
    t.see("own", clone.local_addr().unwrap() == near.local_addr().unwrap());
    t.see("peer", clone.peer_addr().unwrap() == near.peer_addr().unwrap());
}

fn peer_addr_after_the_end(t: &Test) {
    let (mut near, far) = pair(t);
    drop(far);
    t.see("end", near.read(&mut [0; 1]));
    t.see("peer", near.peer_addr());
}

fn peer_addr_after_shutdown(t: &Test) {
    let (near, _far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    t.see("after writing", near.peer_addr());
    near.shutdown(Shutdown::Both).unwrap();
    t.see("after both", near.peer_addr());
}

/// Resets `near`, which was told nothing, and waits until it has arrived.
fn reset(near: &TcpStream, far: TcpStream) {
    set_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    near.set_nonblocking(true).unwrap();
    assert!(soon(|| near.peer_addr().is_err()));
    near.set_nonblocking(false).unwrap();
}

fn peer_addr_after_a_reset(t: &Test) {
    let (near, far) = pair(t);
    reset(&near, far);
    t.see("peer", near.peer_addr());
}

fn local_addr_after_a_reset(t: &Test) {
    let (near, far) = pair(t);
    let own = near.local_addr().unwrap();
    reset(&near, far);
    t.see("own", near.local_addr().unwrap() == own);
}

fn read_into_nothing(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.set_read_timeout(Some(20 * MS)).unwrap();
    t.see("without data", near.read(&mut []));
    far.write_all(b"x").unwrap();
    t.at_once("with data", || near.read(&mut []));
    let mut one = [0; 1];
    near.read_exact(&mut one).unwrap();
    t.see("nothing was lost", one);
}

fn read_nothing_at_the_end(t: &Test) {
    let (mut near, far) = pair(t);
    drop(far);
    t.see("end", near.read(&mut [0; 4]));
    t.see("nothing", near.read(&mut []));
}

fn read_a_part(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"abcdef").unwrap();
    let mut buf = [0; 4];
    near.read_exact(&mut buf).unwrap();
    t.see("first", buf);
    t.see("rest", near.read(&mut buf));
    t.see("text", &buf[..2]);
}

fn read_across_writes(t: &Test) {
    let (mut near, mut far) = pair(t);
    for piece in [&b"ab"[..], b"c", b"defg"] {
        far.write_all(piece).unwrap();
    }
    let mut buf = [0; 7];
    t.see("read", near.read_exact(&mut buf));
    t.see("text", buf);
}

fn read_the_end_again_and_again(t: &Test) {
    let (mut near, far) = pair(t);
    drop(far);
    for _ in 0..3 {
        t.see("end", near.read(&mut [0; 4]));
    }
}

fn read_exact_too_much(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"abc").unwrap();
    drop(far);
    t.see("read", near.read_exact(&mut [0; 4]));
}

fn read_to_string(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all("grüße".as_bytes()).unwrap();
    drop(far);
    let mut text = String::new();
    t.see("read", near.read_to_string(&mut text));
    t.see("text", text);
}

fn read_by_reference(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"ab").unwrap();
    let mut two = [0; 2];
    t.see("read", (&near).read_exact(&mut two));
    t.see("text", two);
}

fn read_lines(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"one\ntwo\nthree").unwrap();
    drop(far);
    for line in BufReader::new(&near).lines() {
        t.see("line", line);
    }
}

fn write_nothing(t: &Test) {
    let (mut near, mut far) = pair(t);
    t.see("write", near.write(b""));
    far.set_nonblocking(true).unwrap();
    t.see("read", far.read(&mut [0; 1]));
}

fn write_nothing_after_shutdown(t: &Test) {
    let (mut near, _far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    t.see("write", near.write(b""));
}

fn write_by_reference(t: &Test) {
    let (near, mut far) = pair(t);
    t.see("write", (&near).write(b"ab"));
    let mut two = [0; 2];
    far.read_exact(&mut two).unwrap();
    t.see("text", two);
}

fn write_much_nonblocking(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_nonblocking(true).unwrap();
    let block = vec![7; 1 << 20];
    let mut blocked = None;
    for _ in 0..200 {
        match near.write(&block) {
            Ok(n) => assert!(n > 0),
            Err(error) => {
                blocked = Some(error);
                break;
            }
        }
    }
    t.see("at last", blocked);
}

fn write_formatted(t: &Test) {
    let (mut near, mut far) = pair(t);
    let (one, two) = ("one", 2);
    t.see("write", write!(near, "{one} and {two:02}"));
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).unwrap();
    t.see("text", text);
}

fn flush_does_nothing(t: &Test) {
    let (mut near, _far) = pair(t);
    near.write_all(b"x").unwrap();
    t.at_once("flush", || near.flush());
}

fn flush_after_the_end(t: &Test) {
    let (mut near, far) = pair(t);
    near.shutdown(Shutdown::Both).unwrap();
    drop(far);
    t.see("flush", near.flush());
}

fn read_vectored_fills_in_order(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"abcdefgh").unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 8);
    let (mut a, mut b, mut c) = ([0; 3], [0; 4], [0; 5]);
    let bufs = &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)];
    t.see("read", near.read_vectored(bufs));
    t.see("text", (&a[..], &b[..], &c[..]));
}

fn read_vectored_into_nothing(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"x").unwrap();
    t.at_once("no buffer", || near.read_vectored(&mut []));
    t.at_once("an empty one", || near.read_vectored(&mut [IoSliceMut::new(&mut [])]));
}

fn read_vectored_skips_empty_ones(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"abc").unwrap();
    soon(|| near.peek(&mut [0; 3]).unwrap() == 3);
    let (mut a, mut b) = ([0; 1], [0; 2]);
    let bufs =
        &mut [IoSliceMut::new(&mut []), IoSliceMut::new(&mut a), IoSliceMut::new(&mut []), IoSliceMut::new(&mut b)];
    t.see("read", near.read_vectored(bufs));
    t.see("text", (&a[..], &b[..]));
}

fn read_vectored_at_the_end(t: &Test) {
    let (mut near, far) = pair(t);
    drop(far);
    t.see("read", near.read_vectored(&mut [IoSliceMut::new(&mut [0; 3]), IoSliceMut::new(&mut [0; 3])]));
}

fn write_vectored_in_order(t: &Test) {
    let (mut near, mut far) = pair(t);
    t.see("write", near.write_vectored(&[IoSlice::new(b"abc"), IoSlice::new(b"de"), IoSlice::new(b"f")]));
    let mut text = [0; 6];
    far.read_exact(&mut text).unwrap();
    t.see("text", text);
}

fn write_vectored_of_nothing(t: &Test) {
    let (mut near, _far) = pair(t);
    t.see("none", near.write_vectored(&[]));
    t.see("an empty one", near.write_vectored(&[IoSlice::new(b"")]));
}

fn write_vectored_with_empty_ones(t: &Test) {
    let (mut near, mut far) = pair(t);
    t.see(
        "write",
        near.write_vectored(&[IoSlice::new(b""), IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"c")]),
    );
    let mut text = [0; 3];
    far.read_exact(&mut text).unwrap();
    t.see("text", text);
}

fn write_vectored_of_many(t: &Test) {
    let (mut near, mut far) = pair(t);
    let block = noise(30_000);
    let slices: Vec<IoSlice<'_>> = (0..4).map(|_| IoSlice::new(&block)).collect();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        all
    });
    t.see("write", near.write_vectored(&slices));
    drop(near);
    let all = reader.join().unwrap();
    t.see("length", all.len());
    t.see("text", all == block.repeat(4));
}

fn write_vectored_after_shutdown(t: &Test) {
    let (mut near, _far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    t.see("write", near.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]));
}

fn peek_leaves_it(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"abc").unwrap();
    let mut buf = [0; 3];
    t.see("all there", soon(|| near.peek(&mut [0; 3]).unwrap() == 3));
    t.see("peek", near.peek(&mut buf));
    t.see("again", near.peek(&mut buf));
    t.see("text", buf);
    t.see("read", near.read(&mut buf));
    t.see("text", buf);
    near.set_nonblocking(true).unwrap();
    t.see("no more", near.peek(&mut buf));
}

fn peek_into_nothing(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"abc").unwrap();
    t.at_once("peek", || near.peek(&mut []));
}

fn peek_at_the_end(t: &Test) {
    let (near, far) = pair(t);
    drop(far);
    t.see("peek", near.peek(&mut [0; 3]));
}

fn peek_less_than_there_is(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"abc").unwrap();
    let mut two = [0; 2];
    soon(|| near.peek(&mut [0; 3]).unwrap() == 3);
    t.see("peek", near.peek(&mut two));
    let mut three = [0; 3];
    near.read_exact(&mut three).unwrap();
    t.see("text", three);
}

fn peek_nonblocking(t: &Test) {
    let (near, _far) = pair(t);
    near.set_nonblocking(true).unwrap();
    t.at_once("peek", || near.peek(&mut [0; 3]));
}

fn peek_after_a_reset(t: &Test) {
    let (near, far) = pair(t);
    reset(&near, far);
    t.see("peek", near.peek(&mut [0; 3]));
    t.see("again", near.peek(&mut [0; 3]));
}

fn nodelay_by_default(t: &Test) {
    let (near, far) = pair(t);
    t.see("near", near.nodelay());
    t.see("far", far.nodelay());
}

fn nodelay_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    t.see("set", near.set_nodelay(true));
    t.see("get", near.nodelay());
    t.see("set back", near.set_nodelay(false));
    t.see("get", near.nodelay());
}

fn nodelay_of_a_clone(t: &Test) {
    let (near, _far) = pair(t);
    let clone = near.try_clone().unwrap();
    clone.set_nodelay(true).unwrap();
    t.see("get", near.nodelay());
}

fn nodelay_after_the_end(t: &Test) {
    let (mut near, far) = pair(t);
    drop(far);
    assert_eq!(near.read(&mut [0; 1]).unwrap(), 0);
    t.see("set", near.set_nodelay(true));
    t.see("get", near.nodelay());
}

fn ttl_by_default(t: &Test) {
    let (near, far) = pair(t);
    t.see("near", near.ttl());
    t.see("far", far.ttl());
}

fn ttl_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    for ttl in [1, 77, 255] {
        t.see("set", near.set_ttl(ttl));
        t.see("get", near.ttl());
    }
}

fn ttl_out_of_range(t: &Test) {
    let (near, _far) = pair(t);
    t.see("zero", near.set_ttl(0));
    t.see("256", near.set_ttl(256));
    t.see("most", near.set_ttl(u32::MAX));
    t.see("get", near.ttl());
}

fn take_error_of_a_fresh_one(t: &Test) {
    let (near, far) = pair(t);
    t.see("near", near.take_error());
    t.see("far", far.take_error());
}

fn take_error_after_a_reset(t: &Test) {
    let (mut near, far) = pair(t);
    reset(&near, far);
    t.see("error", near.take_error());
    t.see("read", near.read(&mut [0; 1]));
    t.see("write", near.write(b"x"));
}

fn take_error_is_told_once(t: &Test) {
    let (near, far) = pair(t);
    reset(&near, far);
    t.see("error", near.take_error());
    t.see("again", near.take_error());
}

fn a_megabyte_there_and_back(t: &Test) {
    let (near, far) = pair(t);
    let data = noise(1 << 20);
    let echo = thread::spawn(move || std::io::copy(&mut &far, &mut &far));
    thread::scope(|scope| {
        scope.spawn(|| {
            (&near).write_all(&data).unwrap();
            near.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        t.see("read", (&near).read_to_end(&mut back));
        t.see("the same", back == data);
    });
    t.see("echoed", echo.join().unwrap());
}

fn both_ways_at_once(t: &Test) {
    let (near, far) = pair(t);
    let data = noise(300_000);
    thread::scope(|scope| {
        for (stream, other) in [(&near, "near"), (&far, "far")] {
            let data = &data;
            scope.spawn(move || {
                let mut stream = stream;
                stream.write_all(data).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                other
            });
        }
        for stream in [&near, &far] {
            let mut stream = stream;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            t.see("the same", all == data);
        }
    });
}

fn copy_from_one_to_another(t: &Test) {
    let ((mut a, b), (c, mut d)) = (pair(t), pair(t));
    let proxy = thread::spawn(move || {
        let copied = std::io::copy(&mut &b, &mut &c);
        c.shutdown(Shutdown::Write).unwrap();
        copied
    });
    a.write_all(&noise(100_000)).unwrap();
    drop(a);
    let mut all = Vec::new();
    d.read_to_end(&mut all).unwrap();
    t.see("copied", proxy.join().unwrap());
    t.see("the same", all == noise(100_000));
}

fn set_options_after_a_reset(t: &Test) {
    let (near, far) = pair(t);
    reset(&near, far);
    t.see("nodelay", near.set_nodelay(true));
    t.see("ttl", near.set_ttl(9));
    t.see("get", near.ttl());
    t.see("time-out", near.set_read_timeout(Some(MS)));
    t.see("nonblocking", near.set_nonblocking(true));
}

fn clone_reads_what_the_other_left(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"abcd").unwrap();
    let mut clone = near.try_clone().unwrap();
    let mut two = [0; 2];
    near.read_exact(&mut two).unwrap();
    t.see("first", two);
    clone.read_exact(&mut two).unwrap();
    t.see("then", two);
}

fn clone_writes_in_turn(t: &Test) {
    let (mut near, mut far) = pair(t);
    let mut clone = near.try_clone().unwrap();
    near.write_all(b"ab").unwrap();
    clone.write_all(b"cd").unwrap();
    drop((near, clone));
    let mut all = Vec::new();
    far.read_to_end(&mut all).unwrap();
    t.see("text", all);
}

fn connect_to_itself_is_refused_on_a_free_port(t: &Test) {
    let addr = nobody(t);
    let refused = (0..20).all(|_| TcpStream::connect(addr).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused));
    t.see("refused", refused);
}

fn send_and_sync(t: &Test) {
    fn lent_to_a_thread(socket: &(impl Send + Sync + std::fmt::Debug)) -> bool {
        thread::scope(|scope| scope.spawn(|| !format!("{socket:?}").is_empty()).join().unwrap())
    }
    let ((listener, _), (stream, _far)) = (listen(t), pair(t));
    t.see("stream", lent_to_a_thread(&stream));
    t.see("listener", lent_to_a_thread(&listener));
    t.see("datagrams", lent_to_a_thread(&udp(t)));
}

fn debug_names_it(t: &Test) {
    let (near, _far) = pair(t);
    let text = format!("{near:?}");
    t.see("the type", text.starts_with("TcpStream {"));
    t.see("its end", text.contains(&format!("addr: {}", near.local_addr().unwrap())));
    t.see("the peer's", text.contains(&format!("peer: {}", near.peer_addr().unwrap())));
}
