//! Connections that are joined with connections of the other side.

use super::{BREATH, Spec, addresses};
use crate::aio;
use crate::apps::relay::{self, Seats, Stream};
use crate::dns::{self, Families};
use crate::net::Host;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// A TCP listener, the kernel's or ours, whose connections lead to the other side.
pub trait Listener: Send + Sync + 'static {
    /// What is accepted.
    type Near: Stream + Send + 'static;
    /// What it is joined with.
    type Far: Stream + Send + 'static;
    /// The next connection and its peer; `None` when the host has ended.
    fn next(&self) -> impl Future<Output = Option<(Self::Near, SocketAddr)>> + Send;
    /// Connects to where `spec` says, from the other side.
    fn connect(host: &Host, spec: &Spec) -> impl Future<Output = io::Result<Self::Far>> + Send;
}

impl Listener for TcpListener {
    type Near = TcpStream;
    type Far = aio::TcpStream;

    async fn next(&self) -> Option<(TcpStream, SocketAddr)> {
        Some(relay::accepted(self).await)
    }

    async fn connect(host: &Host, spec: &Spec) -> io::Result<aio::TcpStream> {
        Ok(dns::connect(host, &spec.host, spec.to, Families::Both).await?)
    }
}

impl Listener for aio::TcpListener {
    type Near = aio::TcpStream;
    type Far = TcpStream;

    async fn next(&self) -> Option<(aio::TcpStream, SocketAddr)> {
        loop {
            match self.accept().await {
                Ok(accepted) => return Some(accepted),
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::NetworkDown) => return None,
                Err(e) => {
                    relay::complain(format_args!("forward: accept"), &e);
                    sleep(BREATH).await;
                }
            }
        }
    }

    async fn connect(host: &Host, spec: &Spec) -> io::Result<TcpStream> {
        TcpStream::connect(&*addresses(host, spec).await?).await
    }
}

/// Joins connections that come to `listener` with connections of the other side to where `spec` says, until the host ends.
pub async fn tcp<L: Listener>(host: Host, listener: L, spec: Arc<Spec>) {
    let seats = Seats::default();
    while let Some((client, peer)) = listener.next().await {
        let Some(seat) = seats.take() else {
            log::info!("forward: {peer} turned away: too many are being served");
            continue;
        };
        let (host, spec) = (host.clone(), spec.clone());
        tokio::spawn(async move {
            let _seat = seat;
            let ended = match relay::connect_for(&client, L::connect(&host, &spec)).await {
                Ok(server) => relay::join(client, server).await,
                Err(error) => {
                    // There is no better way to tell it.
                    client.will_reset();
                    Err(error)
                }
            };
            match ended {
                Ok(()) => log::debug!("forward: {peer} to {spec}: done"),
                Err(error) => relay::complain(format_args!("forward: {peer} to {spec}"), &error),
            }
        });
    }
}
