//! What the clients have in common: a stack and a resolver for as long as the command runs.

use super::error::Failure;
use super::options::Options;
use super::serve::{self, Up};
use super::settings::Settings;
use super::target;
use crate::dns::{self, ConnectError, Families};
use crate::net::{Host, TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;
use std::io::{self, ErrorKind};
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// A stack on the link that `settings` ask for, that resolves names as they say. From then on signals wait for whoever
/// takes them from what is given.
pub(super) fn bring_up(settings: &Settings) -> Result<(Up, Signals), Failure> {
    let (up, signals, _) = serve::bring_up(settings)?;
    up.host.set_dns(settings.dns.clone()).map_err(Failure::because("a thread"))?;
    Ok((up, signals))
}

/// What a signal does to a command that has something to tell at its end: before it has begun it ends the process, later it
/// asks the command to stop.
#[derive(Debug, Default)]
pub(super) struct Interrupt {
    begun: AtomicBool,
    stop: AtomicBool,
}

impl Interrupt {
    /// Begins; from now on somebody looks for [`is_stopped`](Interrupt::is_stopped).
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Whether the command is to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for signals, until their handle is closed.
    pub(super) fn watch(self: Arc<Interrupt>, host: Host, mut signals: Signals) -> JoinHandle<()> {
        thread::spawn(move || {
            if let Some(signal) = signals.forever().find(|signal| *signal != SIGUSR1) {
                if !self.begun.load(Ordering::Relaxed) {
                    host.shutdown(Duration::ZERO);
                    exit(128 + signal);
                }
                self.stop.store(true, Ordering::Relaxed);
            }
        })
    }
}

/// Runs `act` on such a stack. A signal ends the process; else connections have time to end.
///
/// # Errors
/// Those of the stack's making, and `act`'s.
pub(super) fn run(
    options: Options,
    file: Options,
    command: &str,
    act: impl FnOnce(&Host, &Settings) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let settings = target::settings(options, file, command)?;
    let (up, mut signals) = bring_up(&settings)?;
    let (handle, host) = (signals.handle(), up.host.clone());
    let watcher = thread::spawn(move || {
        if let Some(signal) = signals.forever().find(|signal| *signal != SIGUSR1) {
            host.shutdown(Duration::ZERO);
            exit(128 + signal);
        }
    });
    let outcome = act(&up.host, &settings);
    up.host.shutdown(settings.grace);
    handle.close();
    // A panic of it has been reported already.
    let _ = watcher.join();
    outcome
}

/// Lets as many files be open as the system allows: each connection of the kernel's side is one, and the default is less than
/// what is served at once.
pub(super) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        log::debug!("the limit of open files stays: {e}");
    }
}

/// A runtime for what waits for several things at once.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(Failure::because("a runtime"))
}

/// Connects to the first address of `name` that works, within `patience`: a socket whose calls block.
///
/// # Errors
/// As [`dns::connect`]; `TimedOut`.
pub(super) fn connect(
    host: &Host,
    name: &str,
    port: u16,
    families: Families,
    patience: Option<Duration>,
) -> Result<TcpStream, ConnectError> {
    let own = |error: io::Error| ConnectError::Connect(error);
    let runtime = Builder::new_current_thread().enable_time().build().map_err(own)?;
    let stream = runtime.block_on(async {
        let connecting = dns::connect(host, name, port, families);
        match patience {
            None => connecting.await,
            Some(patience) => {
                timeout(patience, connecting).await.unwrap_or_else(|_| Err(own(ErrorKind::TimedOut.into())))
            }
        }
    })?;
    let stream = stream.into_net().map_err(own)?;
    stream.set_nonblocking(false).map_err(own)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_as_the_system_allows() {
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(u64::MAX);
        // Enough for the tests that run beside this one.
        if most > 4096 {
            setrlimit(Resource::Nofile, Rlimit { current: Some(4096), ..limit }).unwrap();
        }
        allow_many_files();
        assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
    }
}
