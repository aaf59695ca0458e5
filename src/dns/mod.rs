//! Names: a resolver that asks over this stack's own sockets, never over the system's.
//!
//! The protocol is [hickory](https://docs.rs/hickory-resolver)'s; what is here gives it our sockets, a thread, and the words
//! of [`crate::net`]. A host that was given it by [`Host::set_dns`] takes names wherever addresses go:
//!
//! ```no_run
//! use tunstack::dns::Config;
//! use tunstack::net::Host;
//!
//! # fn main() -> std::io::Result<()> {
//! # let (device, _other) = tunstack::device::mem::pair(1500, 64)?;
//! let host = Host::builder().address("192.0.2.2/24").start(device)?;
//! host.set_dns(Config { servers: vec![([192, 0, 2, 1], 53).into()], ..Config::default() })?;
//! let stream = host.connect(("example.org", 80))?;
//! # Ok(()) }
//! ```
//!
//! - *Servers*: those of [`Config::servers`], else those of a resolv.conf with its search list and options.
//! - *Which addresses*: of the families that the host has addresses of, asked for at the same time; those of the hosts file
//!   go before what servers say. Their order is RFC 6724's: [`Host::order`].
//! - *What is wrong with an answer*: one from another address, with another number or about another question is ignored;
//!   one that is lost is asked for again after a third of a second; one that was cut is asked for by TCP.
//! - *How long it takes*: five seconds for all servers together, and that three times, unless the resolv.conf says otherwise.
//! - Answers are remembered for as long as they say, 8,192 of them.

mod eyeballs;
mod resolver;
mod sockets;

pub use eyeballs::{ConnectError, Families, connect};
pub use resolver::{Record, Resolver};

use crate::net::Host;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Whom a [`Resolver`] asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The servers; if there are none, those that `resolv_conf` names.
    pub servers: Vec<SocketAddr>,
    /// The file in the format of resolv.conf(5) that is read, at the first question, if there are no `servers`.
    pub resolv_conf: PathBuf,
    /// The file in the format of hosts(5) that is read at the first question. That it does not exist is no error.
    pub hosts: PathBuf,
}

impl Default for Config {
    /// What the system's own resolver reads: `/etc/resolv.conf` and `/etc/hosts`.
    fn default() -> Config {
        Config { servers: Vec::new(), resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into() }
    }
}

impl Host {
    /// Has a new [`Resolver`] find the addresses of names from now on.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn set_dns(&self, config: Config) -> io::Result<()> {
        self.set_resolver(Resolver::new(self, config)?);
        Ok(())
    }
}
