//! Shutdown, drop, resets.

use super::net::{Shutdown, TcpStream};
use super::*;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

cases![
    shutdown_write_ends_the_peers_stream,
    shutdown_write_keeps_reading,
    shutdown_write_then_write,
    shutdown_write_twice,
    shutdown_write_sends_what_was_written,
    shutdown_read_ends_reading,
    shutdown_read_gives_what_was_received,
    shutdown_read_keeps_writing,
    shutdown_read_and_the_peer_writes_on,
    shutdown_read_twice,
    shutdown_both_ends_both,
    shutdown_both_twice,
    shutdown_read_then_write_is_both,
    shutdown_after_the_peers,
    shutdown_after_the_peer_has_gone,
    shutdown_after_a_reset,
    shutdown_of_a_clone_is_everybodys,
    shutdown_wakes_a_reader,
    shutdown_both_wakes_a_reader,
    shutdown_write_wakes_a_writer,
    shutdown_wakes_all_readers,
    shutdown_wakes_the_peers_reader,
    drop_ends_the_peers_stream,
    drop_with_unread_data_resets,
    drop_with_unread_data_after_the_peers_end,
    drop_after_reading_all_does_not_reset,
    drop_after_shutdown_read_with_unread_data,
    drop_of_a_clone_ends_nothing,
    drop_delivers_what_was_written,
    drop_delivers_much_that_was_written,
    drop_while_the_peer_reads,
    drop_while_the_peer_writes,
    linger_by_default,
    linger_is_kept,
    linger_of_zero_resets,
    linger_of_zero_loses_what_was_written,
    linger_waits_for_the_peer,
    linger_is_over_at_last,
    linger_taken_back,
    a_reset_is_told_to_the_reader_once,
    a_reset_is_told_to_the_writer_once,
    a_reset_wakes_a_reader,
    a_reset_wakes_a_writer,
    a_reset_after_a_part_is_told_to_the_next_writer,
    a_reset_loses_what_was_not_read,
    write_to_one_who_has_gone,
    read_after_the_peers_end_and_own_writes,
    half_closed_answers,
    simultaneous_shutdown,
    write_after_both_ends_have_shut_down,
];

/// What reading gives.
fn end(mut stream: impl Read) -> std::io::Result<usize> {
    stream.read(&mut [0; 16])
}

fn shutdown_write_ends_the_peers_stream(t: &Test) {
    let (near, mut far) = pair(t);
    t.see("shutdown", near.shutdown(Shutdown::Write));
    t.see("far", end(&mut far));
}

fn shutdown_write_keeps_reading(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    far.write_all(b"still here").unwrap();
    t.see("read", near.read(&mut [0; 64]));
}

fn shutdown_write_then_write(t: &Test) {
    let (mut near, _far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    t.see("write", near.write(b"x"));
    t.see("again", near.write(b"x"));
    t.see("error", near.take_error());
}

fn shutdown_write_twice(t: &Test) {
    let (near, _far) = pair(t);
    t.see("once", near.shutdown(Shutdown::Write));
    t.see("twice", near.shutdown(Shutdown::Write));
}

fn shutdown_write_sends_what_was_written(t: &Test) {
    let (mut near, mut far) = pair(t);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).map(|n| (n, all == noise(500_000)))
    });
    near.write_all(&noise(500_000)).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    t.see("all", reader.join().unwrap());
}

fn shutdown_read_ends_reading(t: &Test) {
    let (mut near, _far) = pair(t);
    t.see("shutdown", near.shutdown(Shutdown::Read));
    t.at_once("read", || end(&mut near));
    t.at_once("peek", || near.peek(&mut [0; 4]));
}

fn shutdown_read_gives_what_was_received(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"before").unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 6);
    near.shutdown(Shutdown::Read).unwrap();
    t.see("read", near.read(&mut [0; 64]));
    t.see("then", end(&mut near));
}

fn shutdown_read_keeps_writing(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.shutdown(Shutdown::Read).unwrap();
    t.see("write", near.write(b"on and on"));
    t.see("read", far.read(&mut [0; 64]));
}

fn shutdown_read_and_the_peer_writes_on(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.shutdown(Shutdown::Read).unwrap();
    t.see("write", far.write(b"late"));
    let arrived = soon(|| near.peek(&mut [0; 8]).is_ok_and(|n| n == 4));
    t.see("arrived", arrived);
    t.see("read", near.read(&mut [0; 64]));
    t.see("then", end(&mut near));
}

fn shutdown_read_twice(t: &Test) {
    let (near, _far) = pair(t);
    t.see("once", near.shutdown(Shutdown::Read));
    t.see("twice", near.shutdown(Shutdown::Read));
}

fn shutdown_both_ends_both(t: &Test) {
    let (mut near, mut far) = pair(t);
    t.see("shutdown", near.shutdown(Shutdown::Both));
    t.at_once("read", || end(&mut near));
    t.see("write", near.write(b"x"));
    t.see("far", end(&mut far));
}

fn shutdown_both_twice(t: &Test) {
    let (near, _far) = pair(t);
    t.see("once", near.shutdown(Shutdown::Both));
    t.see("twice", near.shutdown(Shutdown::Both));
    t.see("read", near.shutdown(Shutdown::Read));
    t.see("write", near.shutdown(Shutdown::Write));
}

fn shutdown_read_then_write_is_both(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.shutdown(Shutdown::Read).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    t.see("read", end(&mut near));
    t.see("write", near.write(b"x"));
    t.see("far", end(&mut far));
}

fn shutdown_after_the_peers(t: &Test) {
    let (near, mut far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    t.see("end", end(&mut far));
    t.see("shutdown", far.shutdown(Shutdown::Write));
    t.see("the other's end", end(&near));
}

fn shutdown_after_the_peer_has_gone(t: &Test) {
    let (mut near, far) = pair(t);
    drop(far);
    t.see("end", end(&mut near));
    t.see("write", near.shutdown(Shutdown::Write));
    t.see("read", near.read(&mut [0; 1]));
}

fn reset(near: &TcpStream, far: TcpStream) {
    set_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    assert!(soon(|| near.peer_addr().is_err()));
}

fn shutdown_after_a_reset(t: &Test) {
    let (near, far) = pair(t);
    reset(&near, far);
    for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
        t.see("shutdown", near.shutdown(how));
    }
    t.see("error", near.take_error());
}

fn shutdown_of_a_clone_is_everybodys(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.try_clone().unwrap().shutdown(Shutdown::Write).unwrap();
    t.see("write", near.write(b"x"));
    t.see("far", end(&mut far));
}

fn shutdown_wakes_a_reader(t: &Test) {
    let (near, _far) = pair(t);
    thread::scope(|scope| {
        let reader = scope.spawn(|| (&near).read(&mut [0; 16]));
        thread::sleep(30 * MS);
        near.shutdown(Shutdown::Read).unwrap();
        t.see("woken", reader.join().unwrap());
    });
}

fn shutdown_both_wakes_a_reader(t: &Test) {
    let (near, _far) = pair(t);
    thread::scope(|scope| {
        let reader = scope.spawn(|| (&near).read(&mut [0; 16]));
        thread::sleep(30 * MS);
        near.shutdown(Shutdown::Both).unwrap();
        t.see("woken", reader.join().unwrap());
    });
}

/// Fills what `stream` can take.
fn fill(stream: &TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut quiet = 0;
    // What is acknowledged makes room for a while.
    while quiet < 20 {
        let mut writer = stream;
        if writer.write(&[7; 65_536]).is_ok() {
            quiet = 0;
        } else {
            quiet += 1;
            thread::sleep(MS);
        }
    }
    stream.set_nonblocking(false).unwrap();
}

fn shutdown_write_wakes_a_writer(t: &Test) {
    let (near, _far) = pair(t);
    fill(&near);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut writer = &near;
            loop {
                if let Err(error) = writer.write(&[7; 65_536]) {
                    return error;
                }
            }
        });
        thread::sleep(30 * MS);
        near.shutdown(Shutdown::Write).unwrap();
        t.see("woken", writer.join().unwrap());
    });
}

fn shutdown_wakes_all_readers(t: &Test) {
    let (near, _far) = pair(t);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(|| (&near).read(&mut [0; 16]))).collect();
        thread::sleep(30 * MS);
        near.shutdown(Shutdown::Both).unwrap();
        for reader in readers {
            t.see("woken", reader.join().unwrap());
        }
    });
}

fn shutdown_wakes_the_peers_reader(t: &Test) {
    let (near, mut far) = pair(t);
    let reader = thread::spawn(move || end(&mut far));
    thread::sleep(30 * MS);
    near.shutdown(Shutdown::Write).unwrap();
    t.see("woken", reader.join().unwrap());
}

fn drop_ends_the_peers_stream(t: &Test) {
    let (near, mut far) = pair(t);
    drop(near);
    t.see("end", end(&mut far));
}

fn drop_with_unread_data_resets(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"unread").unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 6);
    drop(near);
    t.see("read", end(&mut far));
    t.see("again", end(&mut far));
    t.see("write", far.write(b"x"));
}

fn drop_with_unread_data_after_the_peers_end(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"unread").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 6);
    drop(near);
    t.see("read", end(&mut far));
}

fn drop_after_reading_all_does_not_reset(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"all of it").unwrap();
    near.read_exact(&mut [0; 9]).unwrap();
    drop(near);
    t.see("read", end(&mut far));
}

fn drop_after_shutdown_read_with_unread_data(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"unread").unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 6);
    near.shutdown(Shutdown::Read).unwrap();
    drop(near);
    t.see("read", end(&mut far));
}

fn drop_of_a_clone_ends_nothing(t: &Test) {
    let (mut near, mut far) = pair(t);
    drop(near.try_clone().unwrap());
    near.write_all(b"alive").unwrap();
    t.see("read", far.read(&mut [0; 64]));
}

fn drop_delivers_what_was_written(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.write_all(b"last words").unwrap();
    drop(near);
    let mut text = String::new();
    t.see("read", far.read_to_string(&mut text));
    t.see("text", text);
}

fn drop_delivers_much_that_was_written(t: &Test) {
    let (near, mut far) = pair(t);
    fill(&near);
    drop(near);
    let mut sink = std::io::sink();
    let read = std::io::copy(&mut far, &mut sink);
    t.see("to the end", read.is_ok_and(|n| n > 65_536));
}

fn drop_while_the_peer_reads(t: &Test) {
    let (near, mut far) = pair(t);
    let reader = thread::spawn(move || end(&mut far));
    thread::sleep(30 * MS);
    drop(near);
    t.see("woken", reader.join().unwrap());
}

fn drop_while_the_peer_writes(t: &Test) {
    let (near, far) = pair(t);
    fill(&far);
    let writer = thread::spawn(move || {
        loop {
            if let Err(error) = (&far).write(&[7; 65_536]) {
                return error;
            }
        }
    });
    thread::sleep(30 * MS);
    drop(near);
    t.see("woken", writer.join().unwrap());
}

fn linger_by_default(t: &Test) {
    let (near, far) = pair(t);
    t.see("near", linger(&near));
    t.see("far", linger(&far));
}

fn linger_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    for wanted in [Some(Duration::from_secs(7)), Some(Duration::ZERO), None] {
        t.see("set", set_linger(&near, wanted));
        t.see("get", linger(&near));
    }
}

fn linger_of_zero_resets(t: &Test) {
    let (near, mut far) = pair(t);
    set_linger(&near, Some(Duration::ZERO)).unwrap();
    t.at_once("drop", || drop(near));
    t.see("far", end(&mut far));
}

fn linger_of_zero_loses_what_was_written(t: &Test) {
    let (near, far) = pair(t);
    set_linger(&near, Some(Duration::ZERO)).unwrap();
    fill(&near);
    drop(near);
    let read = std::io::copy(&mut &far, &mut std::io::sink());
    t.see("read", read.map(|_| ()));
}

fn linger_waits_for_the_peer(t: &Test) {
    let (near, far) = pair(t);
    set_linger(&near, Some(Duration::from_secs(20))).unwrap();
    fill(&near);
    let reading = &AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            thread::sleep(200 * MS);
            reading.store(true, Ordering::SeqCst);
            std::io::copy(&mut &far, &mut std::io::sink()).is_ok()
        });
        t.at_once("drop", || drop(near));
        t.see("and not before the peer reads", reading.load(Ordering::SeqCst));
        t.see("all read", reader.join().unwrap());
    });
}

fn linger_is_over_at_last(t: &Test) {
    let (near, _far) = pair(t);
    set_linger(&near, Some(Duration::from_secs(1))).unwrap();
    fill(&near);
    t.timed("drop", 1000 * MS, || drop(near));
}

fn linger_taken_back(t: &Test) {
    let (near, mut far) = pair(t);
    set_linger(&near, Some(Duration::ZERO)).unwrap();
    set_linger(&near, None).unwrap();
    drop(near);
    t.see("far", end(&mut far));
}

fn a_reset_is_told_to_the_reader_once(t: &Test) {
    let (mut near, far) = pair(t);
    reset(&near, far);
    t.see("read", end(&mut near));
    t.see("again", end(&mut near));
    t.see("write", near.write(b"x"));
}

fn a_reset_is_told_to_the_writer_once(t: &Test) {
    let (mut near, far) = pair(t);
    reset(&near, far);
    t.see("write", near.write(b"x"));
    t.see("again", near.write(b"x"));
    t.see("read", end(&mut near));
}

fn a_reset_wakes_a_reader(t: &Test) {
    let (mut near, far) = pair(t);
    let reader = thread::spawn(move || end(&mut near));
    thread::sleep(30 * MS);
    set_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    t.see("woken", reader.join().unwrap());
}

fn a_reset_wakes_a_writer(t: &Test) {
    let (near, far) = pair(t);
    fill(&near);
    let writer = thread::spawn(move || {
        loop {
            if let Err(error) = (&near).write(&[7; 65_536]) {
                return error;
            }
        }
    });
    thread::sleep(30 * MS);
    set_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    t.see("woken", writer.join().unwrap());
}

fn a_reset_after_a_part_is_told_to_the_next_writer(t: &Test) {
    let (near, far) = pair(t);
    let much = vec![7; 64 << 20];
    let writer = thread::spawn(move || ((&near).write(&much).map(|n| n < much.len()), near));
    far.peek(&mut [0; 1]).unwrap();
    thread::sleep(100 * MS);
    set_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    let (written, near) = writer.join().unwrap();
    t.see("a part", written);
    t.see("then", (&near).write(b"x"));
    t.see("again", (&near).write(b"x"));
}

fn a_reset_loses_what_was_not_read(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"lost").unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 4);
    reset(&near, far);
    t.see("read", near.read(&mut [0; 64]));
    t.see("again", near.read(&mut [0; 64]));
}

fn write_to_one_who_has_gone(t: &Test) {
    let (mut near, far) = pair(t);
    drop(far);
    t.see("end", end(&mut near));
    t.see("first", near.write(b"x"));
    let mut refused = None;
    soon(|| {
        refused = near.write(b"x").err();
        refused.is_some()
    });
    t.see("then", refused);
    t.see("read", end(&mut near));
}

fn read_after_the_peers_end_and_own_writes(t: &Test) {
    let (mut near, mut far) = pair(t);
    far.write_all(b"bye").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    t.see("read", near.read(&mut [0; 64]));
    t.see("end", end(&mut near));
    t.see("write", near.write(b"wait"));
    t.see("far", far.read(&mut [0; 64]));
}

fn half_closed_answers(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut question = Vec::new();
    far.read_to_end(&mut question).unwrap();
    t.see("question", question);
    far.write_all(b"answer").unwrap();
    drop(far);
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).unwrap();
    t.see("answer", answer);
}

fn simultaneous_shutdown(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    t.see("near", end(&mut near));
    t.see("far", end(&mut far));
}

fn write_after_both_ends_have_shut_down(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    t.see("ends", (end(&mut near), end(&mut far)));
    t.see("near", near.write(b"x"));
    t.see("far", far.write(b"x"));
}
