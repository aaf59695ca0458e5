//! The kernel at the other end: `tunstack serve` on a real TUN, in a network namespace made for each test, with curl,
//! ab, nc, ping, Python and the standard library's sockets as its clients.
//!
//! A test that cannot run here is reported as ignored, with its reason. `TUNSTACK_REQUIRE_TUN=1` and
//! `TUNSTACK_REQUIRE_TOOLS=1` turn that into a failure.

mod aio;
mod apps;
mod capture;
mod clients;
mod demo;
mod device;
mod examples;
mod faults;
mod fragments;
mod groups;
mod harness;
mod http;
mod ipv6;
mod names;
mod offload;
mod perf;
mod pmtu;
mod queues;
mod scripts;
mod sockets;
mod tuns;
mod way;

use harness::{Test, inside};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let tests: Vec<&'static Test> = [
        http::TESTS,
        ipv6::TESTS,
        sockets::TESTS,
        faults::TESTS,
        fragments::TESTS,
        aio::TESTS,
        apps::TESTS,
        demo::TESTS,
        capture::TESTS,
        device::TESTS,
        examples::TESTS,
        offload::TESTS,
        perf::TESTS,
        pmtu::TESTS,
        queues::TESTS,
        scripts::TESTS,
        groups::TESTS,
        way::TESTS,
        clients::TESTS,
        names::TESTS,
        tuns::TESTS,
    ]
    .concat()
    .leak()
    .iter()
    .collect();
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(harness::INSIDE) {
        let name = args.next().unwrap_or_default();
        let test = tests.iter().copied().chain(harness::PROBES).find(|t| t.name == name);
        inside(test.unwrap_or_else(|| panic!("no test is called {name:?}")));
        return ExitCode::SUCCESS;
    }
    let trials = tests.into_iter().map(|test| Trial::ignorable_test(test.name, move || harness::run(test))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
