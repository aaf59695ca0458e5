//! Private network namespaces: entered by this process, or by a child before it becomes another program.

use core::ffi::CStr;
use core::fmt;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Who we are in a new user namespace. The kernel lets an unprivileged process map one user: itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The same user as outside. All capabilities in the namespace are held until the next exec.
    Same,
    /// Root. Programs that are then executed have all capabilities in the namespace too.
    Root,
}

/// Which namespaces were entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// A network namespace: this process was privileged.
    Network,
    /// A user namespace and a network namespace in it.
    UserAndNetwork,
}

/// Why a namespace could not be entered.
#[derive(Debug)]
pub struct NamespaceError {
    /// What failed: `unshare`, `write /proc/self/uid_map`, ...
    pub operation: &'static str,
    /// How. EINVAL from `unshare` means that threads run already; EPERM from the maps that user namespaces are
    /// restricted (by AppArmor, say).
    pub error: io::Error,
}

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.error)
    }
}

impl core::error::Error for NamespaceError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What failed and how, without memory from the heap: usable between fork and exec.
type Failure = (&'static str, Errno);

/// Moves this process into a new network namespace where it may do everything to the network: directly if it is
/// allowed to, else by way of a new user namespace in which it is `identity`. Call it before any thread starts.
///
/// # Errors
/// Says what failed. After a failure to write the maps the process is in a user namespace in which it is nobody;
/// it can go on without privileges, but not try again.
pub fn enter_private(identity: Identity) -> Result<Entered, NamespaceError> {
    Maps::new(identity).enter().map_err(|(operation, errno)| NamespaceError { operation, error: errno.into() })
}

/// Lets the child enter a new network namespace before it becomes the program, by the same trial as
/// [`enter_private`]. Where that fails, starting the command fails.
pub fn enter_private_on_exec(command: &mut Command, identity: Identity) -> &mut Command {
    let maps = Maps::new(identity);
    // SAFETY: between fork and exec only system calls are made, on memory that was prepared before the fork.
    unsafe { command.pre_exec(move || maps.enter().map(drop).map_err(|(_, errno)| errno.into())) }
}

/// Moves this thread into the network namespace at `path`, such as `/run/netns/NAME` or `/proc/PID/ns/net`. Call it
/// before any other thread starts.
///
/// # Errors
/// If there is none, or for lack of CAP_SYS_ADMIN (EPERM).
pub fn join(path: &Path) -> Result<(), NamespaceError> {
    let failed = |operation| move |errno: Errno| NamespaceError { operation, error: errno.into() };
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open the network namespace"))?;
    rustix::thread::move_into_link_name_space(rustix::fd::AsFd::as_fd(&fd), Some(LinkNameSpaceType::Network))
        .map_err(failed("setns"))
}

/// The contents of uid_map and gid_map, made before fork.
struct Maps {
    uid: Vec<u8>,
    gid: Vec<u8>,
}

impl Maps {
    fn new(identity: Identity) -> Self {
        let line = |outside: u32| {
            let inside = if identity == Identity::Root { 0 } else { outside };
            format!("{inside} {outside} 1").into_bytes()
        };
        Maps { uid: line(rustix::process::geteuid().as_raw()), gid: line(rustix::process::getegid().as_raw()) }
    }

    fn enter(&self) -> Result<Entered, Failure> {
        if unshare(UnshareFlags::NEWNET).is_ok() {
            return Ok(Entered::Network);
        }
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET).map_err(|e| ("unshare", e))?;
        // Without CAP_SETGID outside, gid_map can be written only after giving up setgroups(2).
        write(c"/proc/self/setgroups", b"deny").map_err(|e| ("write /proc/self/setgroups", e))?;
        write(c"/proc/self/uid_map", &self.uid).map_err(|e| ("write /proc/self/uid_map", e))?;
        write(c"/proc/self/gid_map", &self.gid).map_err(|e| ("write /proc/self/gid_map", e))?;
        Ok(Entered::UserAndNetwork)
    }
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: the descriptor table stays shared (no CLONE_FILES), which is what the call is unsafe for.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

fn write(path: &CStr, bytes: &[u8]) -> rustix::io::Result<()> {
    let fd = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&fd, bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_name_one_user() {
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(Maps::new(Identity::Same).uid, format!("{uid} {uid} 1").into_bytes());
        assert_eq!(Maps::new(Identity::Root).uid, format!("0 {uid} 1").into_bytes());
    }

    #[test]
    fn a_namespace_that_is_not_there_is_an_error_that_says_what_failed() {
        let error = join(Path::new("/nonexistent/netns")).unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("open the network namespace: "), "{error}");
    }
}
