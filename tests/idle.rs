//! A host with nothing to do sleeps. Alone in its program, because it counts the wake-ups of threads by their name.

use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;
use tunstack::device::mem;
use tunstack::net::Host;

/// How often all caretakers together have gone to sleep.
fn sleeps() -> u64 {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if fs::read_to_string(task.join("comm")).unwrap_or_default().trim() != "tunstack" {
            continue;
        }
        let status = fs::read_to_string(task.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        sum += line.split_whitespace().last().unwrap().parse::<u64>().unwrap();
    }
    sum
}

#[test]
fn there_is_no_tick() {
    let (a, b) = mem::pair(1500, 64).unwrap();
    let client = Host::builder().address("192.0.2.1/24").start(a).unwrap();
    let server = Host::builder().address("192.0.2.2/24").start(b).unwrap();
    let listener = server.listen("192.0.2.2:80").unwrap();
    let mut near = client.connect("192.0.2.2:80").unwrap();
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(b"x").unwrap();
    far.read_exact(&mut [0]).unwrap();
    thread::sleep(Duration::from_millis(1500)); // the last timer has run by then
    assert!(sleeps() > 0, "the threads were found");
    let woken = || {
        let before = sleeps();
        thread::sleep(Duration::from_millis(500));
        sleeps() - before
    };
    // On a busy machine the last timer may be late; a tick would be there in each half of a second.
    let halves: Vec<u64> = (0..20).map(|_| woken()).take_while(|&woken| woken > 2).collect();
    assert!(halves.len() < 20, "{halves:?} wake-ups in half a second of silence each");
}
