//! The parts of `scripts/bench`: a load client and a server on the kernel's sockets, smoltcp on a TUN, and the report.
//!
//! ```text
//! bench load CASE ADDR SECONDS PID   one measurement against the server process PID, as one line
//! bench kernel ADDR [CC]             discard, characters and echo on the kernel's TCP
//! bench smoltcp TUN MTU              the same on smoltcp, at 192.0.2.2, the kernel being 192.0.2.1
//! bench link NEAR FAR DOWN UP        a bad link between two TUNs, as DOWN and UP say; scripts/fairness uses it
//! bench report FILE.svg              medians of the lines on the standard input, as Markdown and as a picture
//! ```

mod kernel;
mod link;
mod load;
mod report;
mod smoltcp;

use std::process::ExitCode;

/// The ports of RFC 863, 864 and 862, on which every contender serves.
const DISCARD: u16 = 9;
const CHARGEN: u16 = 19;
const ECHO: u16 = 7;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["load", case, addr, seconds, pid] => load::run(case, addr, seconds, pid),
        ["kernel", addr] => kernel::serve(addr, None),
        ["kernel", addr, congestion] => kernel::serve(addr, Some(congestion)),
        ["smoltcp", tun, mtu] => smoltcp::serve(tun, mtu),
        ["link", near, far, down, up] => link::run(near, far, down, up),
        ["report", svg] => report::run(svg),
        _ => Err("usage: bench load|kernel|smoltcp|link|report ...; scripts/bench calls it".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::FAILURE
        }
    }
}
