//! A host with nothing to do sleeps. Alone in its program, because it counts the wake-ups of threads by their name.

mod common;

use common::*;
use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

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
    within(60, || {
        let (client, server) = hosts();
        let (mut near, mut far) = connection(&client, &server);
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0]).unwrap();
        thread::sleep(Duration::from_millis(1500)); // until the last timer has run
        let before = sleeps();
        assert!(before > 0, "the threads were found");
        thread::sleep(Duration::from_millis(500));
        let woken = sleeps() - before;
        assert!(woken <= 2, "{woken} wake-ups in half a second of silence");
    });
}
