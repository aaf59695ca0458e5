//! [`axum::serve`] over our sockets: `axum::serve(listener, router)` takes a [`TcpListener`].

use super::{TcpListener, TcpStream};
use std::io;
use std::net::SocketAddr;

impl axum::serve::Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    /// Waits for a connection. Once the host has ended there will be none, and it waits for ever: a server that is to end
    /// before its host does so by `with_graceful_shutdown`.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match TcpListener::accept(self).await {
            Ok(accepted) => accepted,
            // A listener's own connections never fail it.
            Err(error) => {
                log::debug!("no more connections: {error}");
                core::future::pending().await
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}
