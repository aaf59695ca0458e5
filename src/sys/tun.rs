//! Opening TUN queues, and what the kernel may leave to be done on their packets.

use core::ffi::c_int;
use core::fmt;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags};
use rustix::ioctl::{IntegerSetter, Opcode, Setter, Updater, opcode};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// Flags of a TUN queue, as in `linux/if_tun.h`, with those names less the `IFF_`.
pub mod flags {
    /// IP packets, no Ethernet header.
    pub const TUN: u16 = 0x0001;
    /// Ethernet frames.
    pub const TAP: u16 = 0x0002;
    /// One of several queues of the link.
    pub const MULTI_QUEUE: u16 = 0x0100;
    /// The link outlives its queues.
    pub const PERSIST: u16 = 0x0800;
    /// No four bytes of packet information before each packet. When the kernel is asked, the same bit says that no
    /// filter is attached (IFF_NOFILTER), so its answer tells nothing about this.
    pub const NO_PI: u16 = 0x1000;
    /// A virtio-net header before each packet.
    pub const VNET_HDR: u16 = 0x4000;
}

/// What the kernel may hand over unfinished (TUNSETOFFLOAD), as in `linux/if_tun.h`, with those names less the `TUN_F_`.
pub mod offload {
    /// Checksums that are only partial.
    pub const CSUM: u32 = 0x01;
    /// TCP super-segments over IPv4.
    pub const TSO4: u32 = 0x02;
    /// TCP super-segments over IPv6.
    pub const TSO6: u32 = 0x04;
    /// Such of which the first piece alone carries CWR.
    pub const TSO_ECN: u32 = 0x08;
    /// UDP super-segments over IPv4 (since Linux 6.2; only together with `USO6`).
    pub const USO4: u32 = 0x20;
    /// UDP super-segments over IPv6.
    pub const USO6: u32 = 0x40;
}

const NODE: &str = "/dev/net/tun";
const NAME_SIZE: usize = libc::IFNAMSIZ;
const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
const TUNSETOFFLOAD: Opcode = opcode::write::<core::ffi::c_uint>(b'T', 208);
const TUNSETVNETHDRSZ: Opcode = opcode::write::<c_int>(b'T', 216);
const TUNGETIFF: Opcode = opcode::read::<core::ffi::c_uint>(b'T', 210);

/// Why a TUN queue could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunError {
    /// `/dev/net/tun` is not there, or nothing is behind it: the `tun` module is missing (open: ENOENT, ENODEV, ENXIO).
    NoNode,
    /// `/dev/net/tun` is not open to this user, or not to this container (open: EACCES, EPERM).
    NodePermission,
    /// Creating the link, or attaching to one of another user, needs CAP_NET_ADMIN (TUNSETIFF: EPERM).
    NoPermission {
        /// Name of the link.
        name: String,
    },
    /// Another process holds the link's only queue (TUNSETIFF: EBUSY).
    Busy {
        /// Name of the link.
        name: String,
    },
    /// A link of that name exists and is not a TUN with queues of this kind (TUNSETIFF: EINVAL).
    QueueMismatch {
        /// Name of the link.
        name: String,
    },
    /// No link can have this name: 1 to 15 bytes without space, `/` and `:`.
    BadName {
        /// What was asked for.
        name: String,
    },
    /// The descriptor that was handed in is not what it should be.
    BadDescriptor(&'static str),
    /// Anything else.
    Other {
        /// The system call that failed.
        operation: &'static str,
        /// How it failed.
        error: io::Error,
    },
}

impl TunError {
    fn on_open(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => TunError::NoNode,
            Errno::ACCESS | Errno::PERM => TunError::NodePermission,
            _ => TunError::other("open /dev/net/tun", errno),
        }
    }

    fn on_attach(name: &str, errno: Errno) -> Self {
        let name = name.to_owned();
        match errno {
            Errno::PERM => TunError::NoPermission { name },
            Errno::BUSY => TunError::Busy { name },
            Errno::INVAL => TunError::QueueMismatch { name },
            _ => TunError::other("TUNSETIFF", errno),
        }
    }

    fn other(operation: &'static str, errno: Errno) -> Self {
        TunError::Other { operation, error: errno.into() }
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        match self {
            TunError::NoNode | TunError::NodePermission => "open /dev/net/tun",
            TunError::NoPermission { .. } | TunError::Busy { .. } | TunError::QueueMismatch { .. } => "TUNSETIFF",
            TunError::BadName { .. } => "check the name",
            TunError::BadDescriptor(_) => "TUNGETIFF",
            TunError::Other { operation, .. } => operation,
        }
    }
}

impl fmt::Display for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TunError::NoNode => f.write_str("there is no /dev/net/tun: the kernel's tun module is missing"),
            TunError::NodePermission => f.write_str("/dev/net/tun is not open to this user"),
            TunError::NoPermission { name } => write!(f, "making or attaching to {name} needs CAP_NET_ADMIN"),
            TunError::Busy { name } => write!(f, "{name} is in use by another process"),
            TunError::QueueMismatch { name } => {
                write!(f, "a link {name} exists and is not a TUN with queues of this kind")
            }
            TunError::BadName { name } => {
                write!(f, "{name:?} cannot name a link: 1 to 15 bytes without space, '/' and ':'")
            }
            TunError::BadDescriptor(why) => write!(f, "the descriptor that was handed in {why}"),
            TunError::Other { operation, error } => write!(f, "{operation}: {error}"),
        }
    }
}

impl core::error::Error for TunError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            TunError::Other { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// `struct ifreq` with its union's `ifr_flags`.
#[repr(C)]
struct IfReq {
    name: [u8; NAME_SIZE],
    flags: u16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<IfReq>() == size_of::<libc::ifreq>());

/// What the kernel says of a TUN queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Name of its link.
    pub name: String,
    /// Its [`flags`].
    pub flags: u16,
}

impl From<IfReq> for Queue {
    fn from(request: IfReq) -> Self {
        let end = request.name.iter().position(|&b| b == 0).unwrap_or(NAME_SIZE);
        Queue { name: String::from_utf8_lossy(&request.name[..end]).into_owned(), flags: request.flags }
    }
}

/// Opens the node, so that what is wrong with it can be told from what is wrong with a link.
///
/// # Errors
/// [`TunError::NoNode`], [`TunError::NodePermission`].
pub fn open_node() -> Result<OwnedFd, TunError> {
    rustix::fs::open(NODE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(TunError::on_open)
}

/// Creates the link `name`, or attaches to it if it is persistent, as a TUN with `more` [`flags`] beside `TUN`; `%d` in
/// the name stands for the first free number.
///
/// # Errors
/// Every [`TunError`] but [`TunError::BadDescriptor`].
pub fn open(name: &str, more: u16) -> Result<(OwnedFd, Queue), TunError> {
    check_name(name)?;
    let fd = open_node()?;
    let mut request = IfReq { name: [0; NAME_SIZE], flags: flags::TUN | more, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`; `IfReq` is one in size and layout and outlives the call.
    unsafe { rustix::ioctl::ioctl(&fd, Updater::<TUNSETIFF, IfReq>::new(&mut request)) }
        .map_err(|errno| TunError::on_attach(name, errno))?;
    Ok((fd, request.into()))
}

/// As [`open`] for a plain queue, by the `tun-tap` crate.
///
/// # Errors
/// As [`open`].
pub fn open_plain(name: &str) -> Result<(OwnedFd, Queue), TunError> {
    check_name(name)?;
    // The crate does not tell which of its two system calls failed, so the first is tried beforehand.
    drop(open_node()?);
    let iface = tun_tap::Iface::without_packet_info(name, tun_tap::Mode::Tun).map_err(|error| {
        let errno = Errno::from_io_error(&error);
        errno.map_or(TunError::Other { operation: "TUNSETIFF", error }, |errno| TunError::on_attach(name, errno))
    })?;
    // SAFETY: the `Iface` owned its descriptor and has just given it up.
    let fd = unsafe { OwnedFd::from_raw_fd(iface.into_raw_fd()) };
    let queue = inspect(&fd)?;
    Ok((fd, queue))
}

/// Asks which link a descriptor is a queue of, and how it was opened.
///
/// # Errors
/// [`TunError::BadDescriptor`] if it is not a TUN or TAP queue, or not attached to a link.
pub fn inspect(fd: impl AsFd) -> Result<Queue, TunError> {
    let mut request = IfReq { name: [0; NAME_SIZE], flags: 0, rest: [0; 22] };
    // SAFETY: TUNGETIFF writes one `struct ifreq`; `IfReq` is one in size and layout and outlives the call. Another
    // kind of file answers ENOTTY: the number is of the tun driver alone.
    let result = unsafe { rustix::ioctl::ioctl(fd, Updater::<TUNGETIFF, IfReq>::new(&mut request)) };
    match result {
        Ok(()) => Ok(request.into()),
        Err(Errno::BADFD) => Err(TunError::BadDescriptor("belongs to no link")),
        Err(Errno::BADF) => Err(TunError::BadDescriptor("is not open")),
        Err(_) => Err(TunError::BadDescriptor("is not a TUN queue")),
    }
}

/// Sets the length of the virtio-net header before each packet of the link, in bytes (at least 10).
///
/// # Errors
/// [`TunError::Other`].
pub fn set_vnet_header_len(fd: impl AsFd, len: c_int) -> Result<(), TunError> {
    // SAFETY: TUNSETVNETHDRSZ reads one `int`.
    unsafe { rustix::ioctl::ioctl(fd, Setter::<TUNSETVNETHDRSZ, c_int>::new(len)) }
        .map_err(|errno| TunError::other("TUNSETVNETHDRSZ", errno))
}

/// Sets what the kernel hands over unfinished, all [`offload`]s of the link at once. It holds for the link, not the
/// queue, and outlives both where the link is persistent.
///
/// # Errors
/// [`TunError::Other`] with EINVAL if this kernel does not know all of them; nothing is changed then.
pub fn set_offload(fd: impl AsFd, offloads: u32) -> Result<(), TunError> {
    // SAFETY: TUNSETOFFLOAD takes a number, not a pointer.
    unsafe { rustix::ioctl::ioctl(fd, IntegerSetter::<TUNSETOFFLOAD>::new_usize(offloads as usize)) }
        .map_err(|errno| TunError::other("TUNSETOFFLOAD", errno))
}

/// A duplicate of the descriptor with this number, which was handed to the process from outside. Neither is inherited
/// by children. The link lives until both are closed.
///
/// # Errors
/// [`TunError::BadDescriptor`] if no such descriptor is open.
pub fn handed_in(number: RawFd) -> Result<OwnedFd, TunError> {
    if number < 0 {
        return Err(TunError::BadDescriptor("has a negative number"));
    }
    // SAFETY: the number is not -1 and is used for two system calls that close nothing; if it is not open they fail
    // with EBADF and do no harm.
    let given = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(given, FdFlags::CLOEXEC)
        .and_then(|()| rustix::io::fcntl_dupfd_cloexec(given, 3))
        .map_err(|_| TunError::BadDescriptor("is not open"))
}

/// The descriptor with this number, which was handed to the process from outside and is nobody else's: with what is given
/// here it is closed. Of the standard streams, and of a descriptor that this process has opened itself, it is a duplicate.
///
/// # Errors
/// [`TunError::BadDescriptor`] if no such descriptor is open.
pub fn taken_over(number: RawFd) -> Result<OwnedFd, TunError> {
    if number <= 2 {
        return handed_in(number);
    }
    // SAFETY: the number is not -1 and is used for two system calls that close nothing; if it is not open they fail
    // with EBADF and do no harm.
    let given = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(given).map_err(|_| TunError::BadDescriptor("is not open"))?;
    if flags.contains(FdFlags::CLOEXEC) {
        return handed_in(number);
    }
    rustix::io::fcntl_setfd(given, FdFlags::CLOEXEC).map_err(|_| TunError::BadDescriptor("is not open"))?;
    // SAFETY: it is open, and it was inherited, because all that this process opens is close-on-exec; no standard stream is
    // it, so nobody here owns it. Now it is close-on-exec, so that it is not taken over again.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The kernel's rule for names (`dev_valid_name`); the `tun-tap` crate would cut a long one short.
fn check_name(name: &str) -> Result<(), TunError> {
    let fits = (1..NAME_SIZE).contains(&name.len()) && name != "." && name != "..";
    if fits && name.bytes().all(|b| !b"/: \t\n\r\x0b\x0c\0".contains(&b)) {
        return Ok(());
    }
    Err(TunError::BadName { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn names_are_those_that_the_kernel_takes() {
        for good in ["tun0", "a", "123456789012345", "tun%d", "ü"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "a\0", "1234567890123456"] {
            assert!(matches!(check_name(bad), Err(TunError::BadName { .. })), "{bad}");
        }
    }

    #[test]
    fn a_descriptor_that_is_no_tun_is_refused() {
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(inspect(&null), Err(TunError::BadDescriptor("is not a TUN queue"))));
        let copy = handed_in(null.as_raw_fd()).unwrap();
        assert_ne!(copy.as_raw_fd(), null.as_raw_fd());
        assert!(matches!(handed_in(-1), Err(TunError::BadDescriptor("has a negative number"))));
        assert!(matches!(handed_in(1_000_000), Err(TunError::BadDescriptor("is not open"))));
    }

    #[test]
    fn what_was_handed_in_is_closed_with_what_was_taken_over() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        // Ours is not taken away.
        drop(taken_over(writer.as_raw_fd()).unwrap());
        rustix::io::write(&writer, b"1").unwrap();
        rustix::io::fcntl_setfd(&writer, FdFlags::empty()).unwrap();
        drop(taken_over(writer.into_raw_fd()).unwrap());
        let mut buf = [0; 2];
        assert_eq!(rustix::io::read(&reader, &mut buf), Ok(1));
        assert_eq!(rustix::io::read(&reader, &mut buf), Ok(0), "the other end is open still");
        assert!(matches!(taken_over(1_000_000), Err(TunError::BadDescriptor("is not open"))));
    }

    #[test]
    fn each_errno_has_its_meaning_and_its_operation() {
        assert!(matches!(TunError::on_open(Errno::NOENT), TunError::NoNode));
        assert!(matches!(TunError::on_open(Errno::ACCESS), TunError::NodePermission));
        assert!(matches!(TunError::on_attach("t", Errno::PERM), TunError::NoPermission { .. }));
        assert!(matches!(TunError::on_attach("t", Errno::BUSY), TunError::Busy { .. }));
        assert!(matches!(TunError::on_attach("t", Errno::INVAL), TunError::QueueMismatch { .. }));
        let other = TunError::on_attach("t", Errno::NOMEM);
        assert_eq!(other.operation(), "TUNSETIFF");
        assert!(other.to_string().starts_with("TUNSETIFF: "), "{other}");
    }
}
