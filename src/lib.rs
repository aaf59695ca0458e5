//! A TCP/IP stack in user space, behind a Linux TUN interface or anything else that carries IP packets.
//!
//! There are two ways to use it:
//!
//! - [`net`]: sockets with the names and manners of `std::net`, on a running [`Host`](net::Host). Threads that wait for
//!   them drive the stack, and one of its own while none does.
//! - [`stack`]: the bare [`Stack`](stack::Stack), for a loop of one's own: packets in, packets out, and a deadline. It has
//!   no thread, clock, lock or system call in it.
//!
//! ```text
//!   your program      apps, daemon (the command)
//!         |                 |
//!         v                 v
//!   net: TcpStream, TcpListener, UdpSocket     sockets as in std::net
//!         |
//!   runtime: one lock; whoever waits drives    the stack
//!         |                         |
//!         v                         v
//!   stack: sans-IO                device: TUN, memory, impaired link, pcapng tap
//!    tcp  udp  icmp  ip             |
//!    wire  buf                    sys: the only unsafe code
//!    time rng error stats trace
//! ```
//!
//! The shortest server, which echoes once:
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use tunstack::{device::{Offloads, tun::Tun}, net::Host};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::builder().address("192.0.2.2/24").start(Tun::open("tun0", 1500, Offloads::ALL)?)?;
//! let (mut stream, _peer) = host.listen("192.0.2.2:7")?.accept()?;
//! let mut buf = [0; 4096];
//! let n = stream.read(&mut buf)?;
//! stream.write_all(&buf[..n])?;
//! # Ok(()) }
//! ```
//!
//! # Features
//! - `cli` (default): the command `tunstack` and all that it needs: `apps`, `daemon`
//! - `tokio`: the sockets for tokio, `aio`
//! - `axum`: `axum::serve` takes an `aio::TcpListener`
//! - `dns`: a resolver for names, `dns`
//! - `sim`: the deterministic simulator, `sim`
//! - `pcap`: the pcapng tap, `device::pcap`
#![deny(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

#[cfg(feature = "tokio")]
pub mod aio;
#[cfg(feature = "cli")]
pub mod apps;
pub mod buf;
#[cfg(feature = "cli")]
pub mod daemon;
pub mod device;
#[cfg(feature = "dns")]
pub mod dns;
pub mod error;
pub mod icmp;
pub mod ip;
pub mod net;
pub mod raw;
pub mod rng;
pub mod runtime;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stack;
pub mod stats;
#[expect(unsafe_code, reason = "the one room that may: see its page")]
pub mod sys;
pub mod tcp;
pub mod time;
pub mod trace;
pub mod udp;
pub mod wire;

/// The README's programs are compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
