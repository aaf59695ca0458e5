//! UDP ASSOCIATE (RFC 1928 7): datagrams of one client, for as long as the connection on which it asked for that.

use super::protocol::{self, Reply, Target};
use super::refuse;
use crate::aio::{self, UdpSocket};
use crate::apps::relay::Stream;
use crate::net::Host;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Names that are looked up for one client at once. Datagrams to further ones are dropped.
const LOOKUPS: usize = 16;

/// The longest datagram, and a header with the longest name before it.
const BUFFER: usize = 65_535 + 262;

pub(super) async fn associate(host: &Host, mut control: TcpStream, from: &Target) -> io::Result<()> {
    let front = match tokio::net::UdpSocket::bind((control.local_addr()?.ip(), 0)).await {
        Ok(socket) => socket,
        Err(e) => return refuse(&mut control, Reply::from(&e)).await,
    };
    let back = match Back::open(host).await {
        Ok(back) => back,
        Err(e) => return refuse(&mut control, Reply::from(&e)).await,
    };
    let _ = control.prepare();
    control.write_all(&protocol::reply(Reply::Succeeded, front.local_addr()?)).await?;
    let peer = control.peer_addr()?.ip();
    let mut relay = Relay {
        front,
        peer,
        // Only its port counts: behind a translator the client does not know its address.
        client: (from.port != 0).then_some(SocketAddr::new(peer, from.port)),
        back,
        host: host.clone(),
        lookups: Arc::new(Semaphore::new(LOOKUPS)),
    };
    let mut said = [0; 64];
    let (mut out, mut v4, mut v6) = (vec![0; BUFFER], vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        tokio::select! {
            // The client says nothing there until it is over.
            read = control.read(&mut said) => if read? == 0 { return Ok(()) },
            got = relay.front.recv_from(&mut out) => {
                let (len, from) = got?;
                relay.outward(from, &out[..len]).await;
            }
            got = receive(relay.back.v4.as_deref(), &mut v4) => relay.inward(got, &v4).await?,
            got = receive(relay.back.v6.as_deref(), &mut v6) => relay.inward(got, &v6).await?,
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buf).await,
        None => pending().await,
    }
}

/// Our sockets, one for each IP version that the host has.
struct Back {
    v4: Option<Arc<UdpSocket>>,
    v6: Option<Arc<UdpSocket>>,
}

impl Back {
    async fn open(host: &Host) -> io::Result<Back> {
        let bind = async |any: IpAddr| {
            let has = host.addresses().iter().any(|own| own.addr.is_ipv4() == any.is_ipv4());
            if has { UdpSocket::bind_on(host, (any, 0)).await.map(|socket| Some(Arc::new(socket))) } else { Ok(None) }
        };
        Ok(Back { v4: bind(Ipv4Addr::UNSPECIFIED.into()).await?, v6: bind(Ipv6Addr::UNSPECIFIED.into()).await? })
    }

    fn to(&self, addr: IpAddr) -> Option<Arc<UdpSocket>> {
        if addr.is_ipv4() { self.v4.clone() } else { self.v6.clone() }
    }
}

struct Relay {
    front: tokio::net::UdpSocket,
    /// The client's address, and that with the port which it sends from, once that is known.
    peer: IpAddr,
    client: Option<SocketAddr>,
    back: Back,
    host: Host,
    lookups: Arc<Semaphore>,
}

impl Relay {
    /// Sends on what the client sends. What cannot be sent is lost, as datagrams are.
    async fn outward(&mut self, from: SocketAddr, message: &[u8]) {
        if from.ip() != self.peer || *self.client.get_or_insert(from) != from {
            return;
        }
        let Some((target, data)) = protocol::datagram(message) else { return };
        if let Some(to) = target.addr() {
            if let Some(socket) = self.back.to(to.ip()) {
                let _ = socket.send_to(data, to).await;
            }
            return;
        }
        let Ok(permit) = self.lookups.clone().try_acquire_owned() else { return };
        let (host, data) = (self.host.clone(), data.to_vec());
        let back = Back { v4: self.back.v4.clone(), v6: self.back.v6.clone() };
        tokio::spawn(async move {
            let _permit = permit;
            let first = aio::resolve(&host, &target.host).await.ok().and_then(|addrs| addrs.into_iter().next());
            if let Some(addr) = first
                && let Some(socket) = back.to(addr)
            {
                let _ = socket.send_to(&data, SocketAddr::new(addr, target.port)).await;
            }
        });
    }

    /// Gives the client what came to one of our sockets, in `buf`.
    async fn inward(&self, got: io::Result<(usize, SocketAddr)>, buf: &[u8]) -> io::Result<()> {
        match (got, self.client) {
            (Ok((len, from)), Some(client)) => {
                // If there is no room for it, it is lost.
                let _ = self.front.send_to(&protocol::wrapped(from, &buf[..len]), client).await;
                Ok(())
            }
            (Ok(_), None) => Ok(()),
            (Err(e), _) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::NetworkDown) => Err(e),
            // What became of an earlier datagram.
            (Err(_), _) => Ok(()),
        }
    }
}
