//! The command and its daemon.

pub mod netif;
