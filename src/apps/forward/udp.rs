//! Datagrams of many clients, each of whom has a socket of its own on the other side.

use super::{BREATH, Spec, addresses};
use crate::aio;
use crate::apps::relay;
use crate::net::{Host, SendMsg};
use crate::sys::pktinfo;
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

/// Clients of a port that are known at once. For a further one the one who has been silent for longest is forgotten.
const MAX_CLIENTS: usize = 1024;

/// How long a client and the server may say nothing to each other (RFC 4787 4.3: two minutes at least).
const IDLE: Duration = Duration::from_secs(120);

/// A client's datagrams that wait to be sent on.
const WAITING: usize = 64;

/// Bytes of all clients' datagrams that wait.
const MAX_WAITING: usize = 16 << 20;

/// A UDP socket, the kernel's or ours.
pub trait Datagrams: Send + Sync + Sized + 'static {
    /// A socket of the same kind, at any port, for datagrams to `peer`.
    fn open(host: &Host, peer: SocketAddr) -> impl Future<Output = io::Result<Self>> + Send;
    /// Receives a datagram, and says from whom and, if it can be told, to which address.
    fn receive(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr, Option<IpAddr>)>> + Send;
    /// Sends one, from the address that was asked, if that is one host's.
    fn send(&self, buf: &[u8], to: SocketAddr, asked: Option<IpAddr>)
    -> impl Future<Output = io::Result<usize>> + Send;
}

/// Any address of the same version, and any port.
fn any(peer: SocketAddr) -> SocketAddr {
    if peer.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() }
}

impl Datagrams for UdpSocket {
    async fn open(_: &Host, peer: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::bind(any(peer)).await
    }

    async fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
        self.async_io(Interest::READABLE, || pktinfo::receive(self, buf)).await
    }

    async fn send(&self, buf: &[u8], to: SocketAddr, asked: Option<IpAddr>) -> io::Result<usize> {
        match self.async_io(Interest::WRITABLE, || pktinfo::send(self, buf, to, asked)).await {
            // It was asked at an address of many, or at one that is gone.
            Err(e) if asked.is_some() && e.kind() == ErrorKind::InvalidInput => self.send_to(buf, to).await,
            sent => sent,
        }
    }
}

impl Datagrams for aio::UdpSocket {
    async fn open(host: &Host, peer: SocketAddr) -> io::Result<aio::UdpSocket> {
        aio::UdpSocket::bind_on(host, any(peer)).await
    }

    async fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
        let got = self.async_io(Interest::READABLE, || self.as_ref().recv_msg(buf)).await?;
        Ok((got.len, got.source, Some(got.destination.ip())))
    }

    async fn send(&self, buf: &[u8], to: SocketAddr, asked: Option<IpAddr>) -> io::Result<usize> {
        // Port zero is its own.
        let message = SendMsg { source: asked.map(|own| SocketAddr::new(own, 0)), ..SendMsg::to(to, buf) };
        match self.async_io(Interest::WRITABLE, || self.as_ref().send_msg(&message)).await {
            // It was asked at an address of many.
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable => self.send_to(buf, to).await,
            sent => sent,
        }
    }
}

/// A client, and the address at which it asks: answers come from there.
type Key = (SocketAddr, Option<IpAddr>);

/// A datagram with its part of the room for those that wait.
type Waiting = (Vec<u8>, OwnedSemaphorePermit);

/// When somebody was served last, counted in datagrams.
#[derive(Clone, Debug, Default)]
struct Activity {
    clock: Arc<AtomicU64>,
    last: Arc<AtomicU64>,
}

impl Activity {
    fn now(&self) {
        self.last.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Client {
    queue: mpsc::Sender<Waiting>,
    activity: Activity,
}

#[derive(Debug, Default)]
struct Clients {
    known: HashMap<Key, Client>,
    clock: Arc<AtomicU64>,
}

impl Clients {
    /// The queue of the client, if it is served.
    fn queue(&self, key: Key) -> Option<mpsc::Sender<Waiting>> {
        self.known.get(&key).map(|client| &client.queue).filter(|queue| !queue.is_closed()).cloned()
    }

    /// Has a client served from now on, by whoever takes from the other end of its queue until that ends.
    fn add(&mut self, key: Key) -> (mpsc::Sender<Waiting>, mpsc::Receiver<Waiting>, Activity) {
        if self.known.len() >= MAX_CLIENTS {
            self.known.retain(|_, client| !client.queue.is_closed());
        }
        if self.known.len() >= MAX_CLIENTS {
            // Else whoever makes up addresses would lock everybody out.
            let silent = self.known.iter().min_by_key(|(_, client)| client.activity.last.load(Ordering::Relaxed));
            if let Some(silent) = silent.map(|(key, _)| *key) {
                self.known.remove(&silent);
            }
        }
        let (queue, waiting) = mpsc::channel(WAITING);
        let activity = Activity { clock: self.clock.clone(), ..Activity::default() };
        activity.now();
        self.known.insert(key, Client { queue: queue.clone(), activity: activity.clone() });
        (queue, waiting, activity)
    }
}

/// Sends the datagrams that come to `front` on to where `spec` says, from a socket of kind `B` for each client, and the
/// answers back, until the host ends.
pub async fn udp<F: Datagrams, B: Datagrams>(host: Host, front: F, spec: Arc<Spec>) {
    let front = Arc::new(front);
    let room = Arc::new(Semaphore::new(MAX_WAITING));
    let mut clients = Clients::default();
    let mut buf = vec![0; 65_535];
    loop {
        let (len, from, asked) = match front.receive(&mut buf).await {
            Ok(received) => received,
            Err(e) if has_ended(&e) => return,
            // What became of an earlier datagram; the rest is for what may pass.
            Err(e) => {
                log::debug!("forward: receive: {e}");
                sleep(BREATH).await;
                continue;
            }
        };
        let key = (from, asked);
        let queue = clients.queue(key).unwrap_or_else(|| {
            let (queue, waiting, activity) = clients.add(key);
            tokio::spawn(serve::<F, B>(host.clone(), front.clone(), key, spec.clone(), waiting, activity));
            queue
        });
        // If there is no room for it, it is lost.
        if let Ok(room) = room.clone().try_acquire_many_owned(len as u32) {
            let _ = queue.try_send((buf[..len].to_vec(), room));
        }
    }
}

fn has_ended(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::NetworkDown)
}

/// Carries the datagrams of one client, for as long as there are any.
async fn serve<F: Datagrams, B: Datagrams>(
    host: Host,
    front: Arc<F>,
    (from, asked): Key,
    spec: Arc<Spec>,
    mut waiting: mpsc::Receiver<Waiting>,
    activity: Activity,
) {
    let opened = async {
        let addrs = addresses(&host, &spec).await?;
        let server = *addrs.first().ok_or(ErrorKind::NotFound)?;
        Ok::<_, io::Error>((B::open(&host, server).await?, server))
    };
    let (back, server) = match opened.await {
        Ok(opened) => opened,
        Err(e) => return relay::complain(format_args!("forward: {from} to {spec}"), &e),
    };
    let mut buf = vec![0; 65_535];
    let mut end = Instant::now() + IDLE;
    loop {
        tokio::select! {
            data = waiting.recv() => match data {
                // What cannot be sent is lost.
                Some((data, _room)) => _ = back.send(&data, server, None).await,
                None => return,
            },
            got = back.receive(&mut buf) => match got {
                Ok((len, sender, _)) if sender == server => _ = front.send(&buf[..len], from, asked).await,
                Err(e) if has_ended(&e) => return,
                // Whoever else sends there is not the server, and an error is no sign of life.
                Ok(_) | Err(_) => continue,
            },
            () = sleep_until(end) => return,
        }
        activity.now();
        end = Instant::now() + IDLE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_client_makes_room() {
        let key = |n: usize| (SocketAddr::from(([192, 0, 2, 1], n as u16)), None);
        let mut clients = Clients::default();
        let mut served: Vec<_> = (0..MAX_CLIENTS).map(|n| clients.add(key(n))).collect();
        served[0].2.now();
        let _new = clients.add(key(MAX_CLIENTS));
        assert!(clients.queue(key(0)).is_some() && clients.queue(key(MAX_CLIENTS)).is_some());
        assert!(clients.queue(key(1)).is_none(), "0 was served after 1");
        // One who is served no more goes before anybody else does.
        drop(served.remove(5));
        let _newer = clients.add(key(MAX_CLIENTS + 1));
        assert!(clients.queue(key(5)).is_none() && clients.queue(key(2)).is_some());
        assert_eq!(clients.known.len(), MAX_CLIENTS);
    }
}
