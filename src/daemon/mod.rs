//! The command `tunstack`: `serve`, `demo`, the clients, `ss` and `sim`.
//!
//! | file | what |
//! |---|---|
//! | `cli` | the command line |
//! | `options`, `settings` | what can be said, and what it means with its defaults |
//! | `tunnel`, `netif` | namespace, TUN and addresses; why they cannot be had, and the way out |
//! | `serve`, `services` | the daemon |
//! | `control`, `ss` | its control socket and the table of connections |
//! | `demo` | one page fetched by the kernel's TCP from ours, and what happened, as a ladder |
//! | `mtu` | follows the link's MTU |
//! | `perf` | measuring throughput |
//! | `ping`, `traceroute` | whether a host answers, and the way to it |
//! | `get`, `nc`, `dns` | a file, a connection, a name |
//! | `forward`, `socks5` | this stack for programs that use the kernel's |
//! | `client`, `target` | what the clients have in common |
//! | `sim` | worlds in virtual time: scenario files, many seeds, plots |
//! | `packets` | packets in the log |
//! | `error`, `output` | exit codes; printing |

mod cli;
mod client;
mod control;
mod demo;
mod dns;
mod error;
mod forward;
mod get;
mod mtu;
mod nc;
pub mod netif;
mod options;
mod output;
mod packets;
mod perf;
mod ping;
mod prefixed;
mod serve;
mod services;
mod settings;
mod sim;
mod socks5;
mod ss;
mod target;
mod traceroute;
mod tunnel;

pub use cli::main;
