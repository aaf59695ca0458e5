//! `tunstack ping` and `tunstack traceroute`: what they print, through a kernel that forwards.

use crate::harness::{Test, ipv6_up, succeed, tool};
use std::fs;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::Duration;
use tunstack::sys::namespace::{Identity, enter_private_on_exec};

pub const TESTS: &[Test] = &[
    Test { name: "way::ping_the_kernel", tools: &["ip"], limit: 60, body: ping },
    Test { name: "way::nobody_answers", tools: &["ip"], limit: 60, body: nobody },
    Test { name: "way::through_a_router_v4", tools: &["ip", "sleep", "nsenter"], limit: 90, body: || through(&V4) },
    Test { name: "way::through_a_router_v6", tools: &["ip", "sleep", "nsenter"], limit: 90, body: || through(&V6) },
    Test { name: "way::what_is_wrong_is_said", tools: &[], limit: 30, body: wrong },
];

/// Runs the command, for at most 30 seconds.
fn tunstack(args: &[&str]) -> Output {
    tool(30, env!("CARGO_BIN_EXE_tunstack"), args)
}

/// What it printed, and its exit code.
fn said(output: &Output) -> (String, i32) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.code().unwrap_or(-1))
}

/// That `line` is `pattern`, where `#` stands for a number with or without a point.
fn matches(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    let mut parts = pattern.split('#');
    rest = match rest.strip_prefix(parts.next().unwrap_or_default()) {
        Some(rest) => rest,
        None => return false,
    };
    for part in parts {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if number.len() == rest.len() {
            return false;
        }
        let Some(behind) = number.strip_prefix(part) else { return false };
        rest = behind;
    }
    rest.is_empty()
}

#[track_caller]
fn assert_lines(text: &str, patterns: &[&str]) {
    let lines: Vec<&str> = text.lines().collect();
    let fits = lines.len() == patterns.len() && lines.iter().zip(patterns).all(|(line, p)| matches(line, p));
    assert!(fits, "{text}\nis not\n{}", patterns.join("\n"));
}

fn ping() {
    let (text, code) = said(&tunstack(&["ping", "192.0.2.1", "-c", "3", "-i", "0.1", "--host", "192.0.2.1/24"]));
    assert_lines(
        &text,
        &[
            "PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.",
            "64 bytes from 192.0.2.1: icmp_seq=1 ttl=64 time=# ms",
            "64 bytes from 192.0.2.1: icmp_seq=2 ttl=64 time=# ms",
            "64 bytes from 192.0.2.1: icmp_seq=3 ttl=64 time=# ms",
            "",
            "--- 192.0.2.1 ping statistics ---",
            "3 packets transmitted, 3 received, 0% packet loss, time #ms",
            "rtt min/avg/max/mdev = #/#/#/# ms",
        ],
    );
    assert_eq!(code, 0);
    let args = ["ping", "-q", "-4", "-c", "2", "-i", "0.05", "-s", "1400", "192.0.2.1", "--host", "192.0.2.1/24"];
    let (text, code) = said(&tunstack(&args));
    assert_lines(
        &text,
        &[
            "PING 192.0.2.1 (192.0.2.1) 1400(1428) bytes of data.",
            "",
            "--- 192.0.2.1 ping statistics ---",
            "2 packets transmitted, 2 received, 0% packet loss, time #ms",
            "rtt min/avg/max/mdev = #/#/#/# ms",
        ],
    );
    assert_eq!(code, 0);
    let (text, code) = said(&tunstack(&["ping", "-D", "-c", "1", "192.0.2.1", "--host", "192.0.2.1/24"]));
    let line = text.lines().nth(1).unwrap_or_default();
    assert!(matches(line, "[#] 64 bytes from 192.0.2.1: icmp_seq=1 ttl=64 time=# ms"), "{text}");
    assert_eq!(code, 0);
}

fn nobody() {
    let args = ["ping", "-c", "2", "-i", "0.1", "-W", "0.3", "192.0.2.77", "--host", "192.0.2.1/24"];
    let (text, code) = said(&tunstack(&args));
    assert!(text.contains("\n2 packets transmitted, 0 received, 100% packet loss, time "), "{text}");
    assert!(!text.contains("rtt"), "{text}");
    assert_eq!(code, 1);
    let args = ["traceroute", "-m", "2", "-w", "0.2", "192.0.2.77", "--host", "192.0.2.1/24"];
    let (text, code) = said(&tunstack(&args));
    assert_lines(
        &text,
        &["traceroute to 192.0.2.77 (192.0.2.77), 2 hops max, 60 byte packets", " 1  * * *", " 2  * * *"],
    );
    assert_eq!(code, 1);
}

/// The addresses of one family: the stack behind the router's TUN, the other host behind its other link.
struct Net {
    version: &'static str,
    /// Of the TUN, with the prefix.
    tun: &'static str,
    near: &'static str,
    far: &'static str,
    forwarding: &'static str,
    /// Bytes of a probe of traceroute's.
    probe: usize,
    /// Of an expired packet, in ping's words.
    expired: &'static str,
}

const V4: Net = Net {
    version: "-4",
    tun: "192.0.2.1/24",
    near: "198.51.100.1/24",
    far: "198.51.100.2/24",
    forwarding: "/proc/sys/net/ipv4/ip_forward",
    probe: 60,
    expired: "Time to live exceeded",
};

const V6: Net = Net {
    version: "-6",
    tun: "2001:db8::1/64",
    near: "2001:db8:1::1/64",
    far: "2001:db8:1::2/64",
    forwarding: "/proc/sys/net/ipv6/conf/all/forwarding",
    probe: 80,
    expired: "Time exceeded: Hop limit",
};

/// A process that keeps a namespace.
struct Keeper(Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn addr(cidr: &str) -> &str {
    cidr.split('/').next().unwrap_or(cidr)
}

/// This namespace is a router between the stack's TUN, which the commands make, and a host in another.
fn through(net: &Net) {
    let mut sleep = Command::new("sleep");
    let keeper = enter_private_on_exec(sleep.arg("1000"), Identity::Root).spawn().expect("a child in a namespace");
    let keeper = Keeper(keeper);
    let pid = keeper.0.id().to_string();
    let ip = |args: &str| {
        let args: Vec<&str> = [net.version].into_iter().chain(args.split(' ')).collect();
        succeed(5, "ip", &args);
    };
    let far = |args: &str| {
        let command = ["-t", &pid, "-n", "ip", net.version];
        succeed(5, "nsenter", &command.into_iter().chain(args.split(' ')).collect::<Vec<_>>())
    };
    fs::write(net.forwarding, "1").expect("forwarding");
    ip("link add near type veth peer name far");
    ip(&format!("link set far netns {pid}"));
    if net.version == "-6" {
        far(&format!("address add {} dev far nodad", net.far));
        far("link set far up");
        ipv6_up("near", net.near);
        // As `ipv6_up` waits here, so there: the kernel takes what is for an address only a little later.
        let arrives = || far("route show table local").contains(addr(net.far));
        assert!(
            (0..2000).any(|_| arrives() || {
                thread::sleep(Duration::from_millis(10));
                false
            }),
            "no route to itself"
        );
    } else {
        ip(&format!("address add {} dev near", net.near));
        ip("link set near up");
        far(&format!("address add {} dev far", net.far));
        far("link set far up");
    }
    far(&format!("route add default via {}", addr(net.near)));

    let (router, host) = (addr(net.tun), addr(net.far));
    let args = ["ping", net.version, "-c", "2", "-i", "0.1", "-W", "15", host, "--host", net.tun];
    let (text, code) = said(&tunstack(&args));
    let reply = |n| format!("64 bytes from {host}: icmp_seq={n} ttl=63 time=# ms");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 7 && matches(lines[1], &reply(1)) && matches(lines[2], &reply(2)), "{text}");
    assert_eq!(code, 0);

    let args = ["ping", "-t", "1", "-c", "1", "-W", "15", host, "--host", net.tun];
    let (text, code) = said(&tunstack(&args));
    assert!(text.contains(&format!("\nFrom {router} icmp_seq=1 {}\n", net.expired)), "{text}");
    assert!(text.contains("1 packets transmitted, 0 received, +1 errors, 100% packet loss"), "{text}");
    assert_eq!(code, 1);

    for icmp in [&[][..], &["-I"]] {
        let args = [&["traceroute", net.version, "-q", "2", "-w", "10", host, "--host", net.tun], icmp].concat();
        let (text, code) = said(&tunstack(&args));
        let first = format!("traceroute to {host} ({host}), 30 hops max, {} byte packets", net.probe);
        let hop = |n, who| format!(" {n}  {who} ({who})  # ms  # ms");
        assert_lines(&text, &[&first, &hop(1, router), &hop(2, host)]);
        assert_eq!(code, 0);
    }
}

fn wrong() {
    for (args, text) in [
        (&["ping", "a.example", "--resolv-conf", "/nonexistent"][..], "/nonexistent"),
        (&["ping", "-6", "192.0.2.1"], "-6 wants an address of IPv6"),
        (&["traceroute", "a..example"], "\"a..example\" is no name"),
        (&["ping", "192.0.2.1", "--http"], "services are offered by `tunstack serve`"),
        (&["ping", "192.0.2.1", "-s", "65508"], "65508"),
        (&["ping"], "HOST"),
        (&["traceroute", "192.0.2.1", "-q", "11"], "11"),
    ] {
        let (said, code) = said(&tunstack(args));
        assert!(said.contains(text), "{args:?}: {said}");
        assert_eq!(code, 2, "{args:?}: {said}");
    }
}
