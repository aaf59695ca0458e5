//! Names, looked up without blocking a thread.

use crate::net::{Host, ToSocketAddrs, of_all_answers};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::sync::mpsc;

/// The addresses of `name`, the one to try first at the front, as [`Host::resolve`] gives them.
///
/// # Errors
/// As [`Host::resolve`].
pub async fn resolve(host: &Host, name: &str) -> io::Result<Vec<IpAddr>> {
    let (sender, mut answers) = mpsc::unbounded_channel();
    host.look_up(name, Box::new(move |answer| drop(sender.send(answer))))?;
    let mut all = Vec::new();
    while let Some(answer) = answers.recv().await {
        all.push(answer);
    }
    of_all_answers(host, all.into_iter(), name)
}

/// All that `addr` stands for.
pub(super) async fn addresses(host: &Host, addr: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    // Neither `addr` nor what it gives need be `Send`, which the future is to be: no name is borrowed while it waits.
    let known = match addr.unresolved() {
        None => Ok(addr.to_socket_addrs()?.collect()),
        Some((name, port)) => Err((name.to_owned(), port)),
    };
    drop(addr);
    match known {
        Ok(addrs) => Ok(addrs),
        Err((name, port)) => {
            Ok(resolve(host, &name).await?.into_iter().map(|addr| SocketAddr::new(addr, port)).collect())
        }
    }
}
