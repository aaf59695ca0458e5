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
mod proxy;
mod queues;
mod scripts;
mod sockets;
#[path = "../../examples/transparent_proxy.rs"]
mod transparent_proxy;
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
        proxy::TESTS,
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
    let first = args.next();
    match first.as_deref() {
        Some(proxy::UPSTREAM) => {
            proxy::upstream();
            return ExitCode::SUCCESS;
        }
        Some(proxy::PROXY) => {
            transparent_proxy::main().expect("a proxy");
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if first.as_deref() == Some(harness::INSIDE) {
        let name = args.next().unwrap_or_default();
        let test = tests.iter().copied().chain(harness::PROBES).find(|t| t.name == name);
        inside(test.unwrap_or_else(|| panic!("no test is called {name:?}")));
        return ExitCode::SUCCESS;
    }
    let trials = tests.into_iter().map(|test| Trial::ignorable_test(test.name, move || harness::run(test))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
