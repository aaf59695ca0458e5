//! Small servers and clients, each a few pages long, written on nothing but the public socket API.
//!
//! They are what `tunstack serve` offers and they show how a program looks that uses this stack: exactly as it would
//! on `std::net`. Every one has a bound on its connections and a time-out on silence. Most have a thread for each
//! connection ([`service`]); those that are for large numbers and high rates share one thread ([`event_loop`]).
//!
//! And clients: a file by HTTP ([`get`]), and what lends this stack to programs that use the kernel's ([`forward`],
//! [`socks5`]), which are tasks of tokio.

pub mod chargen;
pub mod daytime;
pub mod discard;
pub mod echo;
pub mod event_loop;
pub mod forward;
pub mod get;
pub mod hello;
pub mod http;
pub mod perf;
mod relay;
pub mod service;
pub mod socks5;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
