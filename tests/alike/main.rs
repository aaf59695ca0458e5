//! One suite, run twice: over the kernel's sockets, and over this stack's.
//!
//! The cases in `cases/` are written against the names of `std::net`, and compiled twice: once where `net` means
//! `std::net`, once where it means `tunstack::net`. A case asserts next to nothing. It notes what it sees, step by step,
//! and what it has seen over the kernel must be what it sees over this stack: the same results, kinds of errors and error
//! numbers, bytes, ends of streams, and whether calls return at once or wait. Each case runs over IPv4 and over IPv6, and
//! each of these is a test. What differs on purpose stands in `differences.rs`, with its reason.
//!
//! All happens in a network namespace of this process: loopback, and a TUN that nobody answers on. Without the right to
//! make one, all tests are ignored; `TUNSTACK_REQUIRE_TUN=1` turns that into a failure.
#![expect(clippy::duplicate_mod, reason = "the cases are compiled twice on purpose, over either kind of socket")]

mod differences;
mod kernel;
#[expect(unsafe_code, reason = "it is the one place for such calls, of src/sys")]
#[path = "../../src/sys/sockopt.rs"]
mod kernel_option;
mod ours;
mod seen;
mod settings;

use differences::DIFFERENCES;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use seen::{Family, Test};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;
use tunstack::daemon::netif::{Netlink, Settings};
use tunstack::device::tun::Tun;
use tunstack::sys::namespace::{Identity, enter_private};
use tunstack::wire::Offloads;

/// A case with its name.
type Case = (&'static str, fn(&Test));

/// How long a case may take over one kind of sockets.
const LIMIT: Duration = Duration::from_secs(30);

/// The addresses of both hosts beside those of loopback.
const OWN: [&str; 2] = ["192.0.2.1/24", "2001:db8::1/64"];

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let network = network();
    let (kernels, our) = (kernel::cases::all(), ours::cases::all());
    let mut trials = Vec::new();
    for (&(name, over_kernel), &(_, over_ours)) in kernels.iter().zip(&our) {
        for family in [Family::V4, Family::V6] {
            let unusable = network.as_ref().err().cloned();
            let run = move || match unusable {
                Some(reason) => skip(reason),
                None => compare(name, family, over_kernel, over_ours).map(|()| Completion::Completed),
            };
            trials.push(Trial::ignorable_test(format!("{family}::{name}"), run));
        }
    }
    let cases = kernels.clone();
    let unusable = network.as_ref().err().cloned();
    trials.push(Trial::ignorable_test("differences_occur", move || match unusable {
        Some(reason) => skip(reason),
        None => all_differences_occur(&cases, &our).map(|()| Completion::Completed),
    }));
    trials.push(Trial::test("differences_are_few_and_concern_cases", move || {
        differences::check(&kernels.iter().map(|(name, _)| *name).collect::<Vec<_>>()).map_err(Failed::from)
    }));
    libtest_mimic::run(&args, trials).exit_code()
}

fn skip(reason: String) -> Result<Completion, Failed> {
    match std::env::var("TUNSTACK_REQUIRE_TUN").as_deref() {
        Ok("1") => Err(format!("TUNSTACK_REQUIRE_TUN is set, but this cannot run here: {reason}").into()),
        _ => Ok(Completion::ignored_with(reason)),
    }
}

/// Moves this process into a namespace of its own, with loopback and a TUN, and starts the host that is to be like it.
fn network() -> Result<(), String> {
    enter_private(Identity::Same).map_err(|e| e.to_string())?;
    let told = |e: tunstack::daemon::netif::NetifError| e.to_string();
    let mut netlink = Netlink::open().map_err(told)?;
    netlink.loopback_up().map_err(told)?;
    let tun = Tun::open("tun0", 1500, Offloads::NONE).map_err(|e| e.to_string())?;
    let addresses = OWN.map(|own| tunstack::net::ToCidr::to_cidr(own).expect("an address and a prefix"));
    let settings = Settings { addresses: addresses.to_vec(), mtu: 1500, txqueuelen: 100 };
    netlink.configure("tun0", &settings).map_err(told)?;
    // It keeps the link up to the end of the process.
    std::mem::forget(tun);
    ours::start(&OWN);
    Ok(())
}

/// Runs one case over both kinds of sockets, and wants to have seen the same.
fn compare(name: &str, family: Family, over_kernel: fn(&Test), over_ours: fn(&Test)) -> Result<(), Failed> {
    let (kernels, our) = (run(family, over_kernel), run(family, over_ours));
    let text = |lines: &[String]| lines.join("\n    ");
    let whole = || format!("\n  the kernel:\n    {}\n  ours:\n    {}", text(&kernels), text(&our));
    if kernels.is_empty() || kernels.iter().chain(&our).any(|line| line.starts_with(seen::BROKEN)) {
        return Err(format!("{name} does not come to its end:{}", whole()).into());
    }
    let intended = |line: &str, kernels: &str, ours: &str| {
        DIFFERENCES.iter().any(|d| d.case == name && line == d.step && kernels == d.kernel && ours == d.ours)
    };
    let same = kernels.len() == our.len()
        && kernels.iter().zip(&our).all(|(theirs, ours)| {
            let ((step, theirs_value), (our_step, ours_value)) = (seen::split(theirs), seen::split(ours));
            step == our_step && (theirs_value == ours_value || intended(step, theirs_value, ours_value))
        });
    if same { Ok(()) } else { Err(format!("{name} is not alike:{}", whole()).into()) }
}

/// Whether each difference that is listed is one, over IPv4 or over IPv6: all but those that not every kernel has.
fn all_differences_occur(over_kernel: &[Case], over_ours: &[Case]) -> Result<(), Failed> {
    let sees =
        |lines: Vec<String>, step: &str, value: &str| lines.iter().any(|line| seen::split(line) == (step, value));
    for d in DIFFERENCES.iter().filter(|d| !d.varies) {
        let occurs =
            over_kernel.iter().zip(over_ours).filter(|((name, _), _)| *name == d.case).any(|(theirs, ours)| {
                [Family::V4, Family::V6].into_iter().any(|family| {
                    sees(run(family, theirs.1), d.step, d.kernel) && sees(run(family, ours.1), d.step, d.ours)
                })
            });
        if !occurs {
            return Err(format!("{} does not differ at \"{}\" as is listed", d.case, d.step).into());
        }
    }
    Ok(())
}

/// What one run of a case sees.
fn run(family: Family, case: fn(&Test)) -> Vec<String> {
    let test = Test::new(family);
    let (done, ended) = mpsc::channel::<()>();
    let seen = test.clone();
    let thread = std::thread::spawn(move || {
        let _done = done;
        case(&test);
    });
    let broken = match ended.recv_timeout(LIMIT) {
        // It is left behind: the process does not wait for it.
        Err(mpsc::RecvTimeoutError::Timeout) => Some(format!("{} not done within {LIMIT:?}", seen::BROKEN)),
        _ => thread.join().err().map(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            format!("{} {text}", seen::BROKEN)
        }),
    };
    seen.lines().into_iter().chain(broken).collect()
}
