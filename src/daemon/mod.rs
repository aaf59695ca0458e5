//! The command `tunstack`: `serve`, `demo`, `perf`, `ping`, `traceroute`, `ss` and `sim`.
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
//! | `ping`, `traceroute`, `target` | whether a host answers, and the way to it |
//! | `sim` | worlds in virtual time: scenario files, many seeds, plots |
//! | `packets` | packets in the log |
//! | `error`, `output` | exit codes; printing |

mod cli;
mod control;
mod demo;
mod error;
mod mtu;
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
mod ss;
mod target;
mod traceroute;
mod tunnel;

pub use cli::main;
