//! Ports that lead elsewhere: from the kernel's side over this stack, or from this stack to the kernel's side.

use super::relay::{self, Seats};
use crate::aio;
use crate::dns::{self, Families};
use crate::net::Host;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Clients of a UDP port that are known at once. Datagrams of further ones are dropped.
const MAX_CLIENTS: usize = 1024;

/// How long a client of a UDP port may be silent (RFC 4787 4.3: two minutes at least).
const IDLE: Duration = Duration::from_secs(120);

/// A client's datagrams that wait to be sent on.
const WAITING: usize = 64;

/// How long accepting rests after an error that may pass.
const BREATH: Duration = Duration::from_millis(20);

/// Which port leads where: `[BIND:]PORT:HOST:PORT[/udp]`, as ssh has it. Addresses of IPv6 are in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The address to listen at, if it is said.
    pub bind: Option<IpAddr>,
    /// The port to listen on.
    pub port: u16,
    /// The name or address of the host that it leads to.
    pub host: String,
    /// The port there.
    pub to: u16,
    /// Whether it is a port of UDP.
    pub udp: bool,
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Spec, String> {
        let (plain, udp) = match text.rsplit_once('/') {
            None => (text, false),
            Some((plain, "udp")) => (plain, true),
            Some((plain, "tcp")) => (plain, false),
            Some((_, other)) => return Err(format!("{text}: \"{other}\" is neither tcp nor udp")),
        };
        let wrong = || format!("{text}: it must be [BIND:]PORT:HOST:PORT[/udp], such as 8080:example.org:80");
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
        let bare = |text: &str| {
            let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            inside.unwrap_or(text).to_owned()
        };
        let (bind, port, host, to) = match fields(plain)[..] {
            [port, host, to] => (None, port, host, to),
            [bind, port, host, to] => (Some(bare(bind).parse().map_err(|_| wrong())?), port, host, to),
            _ => return Err(wrong()),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Spec { bind, port: number(port)?, host: bare(host), to: number(to)?, udp })
    }
}

/// The parts between colons that stand in no brackets.
fn fields(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c| {
        inside = (inside || c == '[') && c != ']';
        c == ':' && !inside
    })
    .collect()
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.udp { "udp" } else { "tcp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{host}:{}/{kind}", self.to)
    }
}

/// Joins the kernel's connections that come to `listener` with connections of ours to where `spec` says, for ever.
pub async fn tcp(host: Host, listener: TcpListener, spec: Arc<Spec>) {
    let seats = Seats::default();
    loop {
        let (client, peer) = relay::accepted(&listener).await;
        let Some(seat) = seats.take() else {
            log::info!("forward: {peer} turned away: too many are being served");
            continue;
        };
        let (host, spec) = (host.clone(), spec.clone());
        tokio::spawn(async move {
            let _seat = seat;
            let connect = dns::connect(&host, &spec.host, spec.to, Families::Both);
            let ended = match relay::connect_for(&client, async { Ok(connect.await?) }).await {
                Ok(server) => relay::join(client, server).await,
                Err(error) => {
                    // There is no better way to tell it.
                    let _ = client.set_zero_linger();
                    Err(error)
                }
            };
            log::debug!("forward: {peer} to {spec}: {ended:?}");
        });
    }
}

/// Joins our connections that come to `listener` with connections of the kernel's to where `spec` says, until the host
/// ends.
pub async fn tcp_reverse(host: Host, listener: aio::TcpListener, spec: Arc<Spec>) {
    let seats = Seats::default();
    loop {
        let (client, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::NetworkDown) => return,
            Err(e) => {
                log::debug!("forward: accept: {e}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let Some(seat) = seats.take() else {
            log::info!("forward: {peer} turned away: too many are being served");
            continue;
        };
        let (host, spec) = (host.clone(), spec.clone());
        tokio::spawn(async move {
            let _seat = seat;
            let server = async { TcpStream::connect(&*addresses(&host, &spec).await?).await };
            let ended = match relay::connect_for(&client, server).await {
                Ok(server) => relay::join(server, client).await,
                Err(error) => {
                    let _ = client.set_zero_linger();
                    Err(error)
                }
            };
            log::debug!("forward: {peer} to {spec}: {ended:?}");
        });
    }
}

/// The addresses that `spec` leads to; names are looked up by our resolver in both directions.
async fn addresses(host: &Host, spec: &Spec) -> io::Result<Vec<SocketAddr>> {
    let addrs = match spec.host.parse() {
        Ok(addr) => vec![addr],
        Err(_) => aio::resolve(host, &spec.host).await?,
    };
    Ok(addrs.into_iter().map(|addr| SocketAddr::new(addr, spec.to)).collect())
}

/// A UDP socket, the kernel's or ours.
pub trait Datagrams: Send + Sync + Sized + 'static {
    /// A socket of the same kind, at any port, for datagrams to `peer`.
    fn open(host: &Host, peer: SocketAddr) -> impl Future<Output = io::Result<Self>> + Send;
    /// Receives a datagram.
    fn receive(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send;
    /// Sends one.
    fn send(&self, buf: &[u8], to: SocketAddr) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Any address of the same version, and any port.
fn any(peer: SocketAddr) -> SocketAddr {
    if peer.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() }
}

impl Datagrams for UdpSocket {
    async fn open(_: &Host, peer: SocketAddr) -> io::Result<UdpSocket> {
        UdpSocket::bind(any(peer)).await
    }

    async fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buf).await
    }

    async fn send(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_to(buf, to).await
    }
}

impl Datagrams for aio::UdpSocket {
    async fn open(host: &Host, peer: SocketAddr) -> io::Result<aio::UdpSocket> {
        aio::UdpSocket::bind_on(host, any(peer)).await
    }

    async fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(buf).await
    }

    async fn send(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.send_to(buf, to).await
    }
}

/// Sends the datagrams that come to `front` on to where `spec` says, from a socket of kind `B` for each client, and the
/// answers back, until the host ends.
pub async fn udp<F: Datagrams, B: Datagrams>(host: Host, front: F, spec: Arc<Spec>) {
    let front = Arc::new(front);
    let mut clients: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut buf = vec![0; 65_535];
    loop {
        let (len, from) = match front.receive(&mut buf).await {
            Ok(received) => received,
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::NetworkDown) => return,
            // What became of an earlier datagram; the rest is for what may pass.
            Err(e) => {
                log::debug!("forward: receive: {e}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        if clients.get(&from).is_none_or(mpsc::Sender::is_closed) {
            if clients.len() >= MAX_CLIENTS {
                clients.retain(|_, client| !client.is_closed());
            }
            if clients.len() >= MAX_CLIENTS {
                continue;
            }
            let (sender, waiting) = mpsc::channel(WAITING);
            tokio::spawn(client::<F, B>(host.clone(), front.clone(), from, spec.clone(), waiting));
            clients.insert(from, sender);
        }
        if let Some(client) = clients.get(&from) {
            // If there is no room for it, it is lost.
            let _ = client.try_send(buf[..len].to_vec());
        }
    }
}

/// Carries the datagrams of one client, for as long as there are any.
async fn client<F: Datagrams, B: Datagrams>(
    host: Host,
    front: Arc<F>,
    from: SocketAddr,
    spec: Arc<Spec>,
    mut waiting: mpsc::Receiver<Vec<u8>>,
) {
    let opened = async {
        let addrs = addresses(&host, &spec).await?;
        let server = *addrs.first().ok_or(ErrorKind::NotFound)?;
        Ok::<_, io::Error>((B::open(&host, server).await?, server))
    };
    let (back, server) = match opened.await {
        Ok(opened) => opened,
        Err(e) => return log::debug!("forward: {from} to {spec}: {e}"),
    };
    let mut buf = vec![0; 65_535];
    loop {
        let step = async {
            tokio::select! {
                data = waiting.recv() => match data {
                    // What cannot be sent is lost.
                    Some(data) => { let _ = back.send(&data, server).await; true }
                    None => false,
                },
                got = back.receive(&mut buf) => match got {
                    // Whoever else sends there is not the server.
                    Ok((len, sender)) if sender == server => { let _ = front.send(&buf[..len], from).await; true }
                    Ok(_) => true,
                    Err(e) => !matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::NetworkDown),
                },
            }
        };
        if !timeout(IDLE, step).await.unwrap_or(false) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<Spec, String> {
        text.parse()
    }

    #[test]
    fn specs() {
        let plain = Spec { bind: None, port: 8080, host: "example.org".into(), to: 80, udp: false };
        assert_eq!(spec("8080:example.org:80"), Ok(plain.clone()));
        assert_eq!(spec("8080:example.org:80/tcp"), Ok(plain.clone()));
        assert_eq!(spec("8080:example.org:80/udp"), Ok(Spec { udp: true, ..plain.clone() }));
        let bound = Spec { bind: Some([192, 0, 2, 1].into()), ..plain.clone() };
        assert_eq!(spec("192.0.2.1:8080:example.org:80"), Ok(bound));
        let v6 = spec("[::1]:53:[2001:db8::1]:53/udp").unwrap();
        assert_eq!((v6.bind, &*v6.host), (Some("::1".parse().unwrap()), "2001:db8::1"));
        assert_eq!(v6.to_string(), "[2001:db8::1]:53/udp");
        for wrong in [
            "",
            "80",
            "80:a",
            "x:a:80",
            "0:a:80",
            "80:a:0",
            "80::80",
            "a:80:b:80",
            "80:a:80/sctp",
            "80:::1:80",
            "[::1:80:a:80",
        ] {
            assert!(spec(wrong).is_err(), "{wrong}");
        }
    }
}
