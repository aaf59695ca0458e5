//! A SOCKS 5 server (RFC 1928) on the kernel's sockets, whose clients' traffic goes over this stack: CONNECT and UDP
//! ASSOCIATE, to addresses of IPv4 and IPv6 and to names, which are resolved here. There is no authentication: whoever
//! reaches it uses it.

mod protocol;
mod udp;

use super::relay::{self, Seats, Stream};
use crate::aio;
use crate::dns::{self, Families};
use crate::net::Host;
use protocol::{CONNECT, NO_ACCEPTABLE, NO_AUTHENTICATION, Reply, Target, UDP_ASSOCIATE, VERSION, address_len};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// The address in replies that have none.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Serves the clients that come to `listener` for ever, 1024 of them at once. Further ones are turned away.
pub async fn serve(host: Host, listener: TcpListener) {
    let seats = Seats::default();
    loop {
        let (client, peer) = relay::accepted(&listener).await;
        let Some(seat) = seats.take() else {
            log::info!("socks5: {peer} turned away: too many are being served");
            continue;
        };
        let host = host.clone();
        tokio::spawn(async move {
            let _seat = seat;
            match serve_one(&host, client).await {
                Ok(()) => log::debug!("socks5: {peer} done"),
                Err(e) => log::debug!("socks5: {peer} ended: {e}"),
            }
        });
    }
}

async fn serve_one(host: &Host, mut client: TcpStream) -> io::Result<()> {
    let (command, asked) = timeout(PATIENCE, request(&mut client)).await??;
    let target = match asked {
        Ok(target) => target,
        Err(why) => return refuse(&mut client, why).await,
    };
    match command {
        CONNECT => {
            let connected = tokio::select! {
                connected = connect(host, &target) => connected,
                error = hung_up(&client) => return Err(error),
            };
            match connected {
                Ok(server) => {
                    let bound = server.local_addr().unwrap_or(NOWHERE);
                    client.write_all(&protocol::reply(Reply::Succeeded, bound)).await?;
                    relay::join(client, server).await
                }
                Err(why) => {
                    log::debug!("socks5: {}:{}: {why:?}", target.host, target.port);
                    refuse(&mut client, why).await
                }
            }
        }
        UDP_ASSOCIATE => udp::associate(host, client, &target).await,
        _ => refuse(&mut client, Reply::CommandUnknown).await,
    }
}

async fn connect(host: &Host, target: &Target) -> Result<aio::TcpStream, Reply> {
    let connected = dns::connect(host, &target.host, target.port, Families::Both).await;
    connected.map_err(|error| Reply::from(&error))
}

/// Waits until the client has gone away, who needs no answer then.
async fn hung_up(client: &TcpStream) -> io::Error {
    match client.peek(&mut [0]).await {
        Ok(0) => ErrorKind::UnexpectedEof.into(),
        // It did not wait for the answer, and its end is not seen before that is read.
        Ok(_) => client.failed().await,
        Err(error) => error,
    }
}

async fn refuse(client: &mut TcpStream, why: Reply) -> io::Result<()> {
    client.write_all(&protocol::reply(why, NOWHERE)).await
}

/// Agrees on no authentication, and reads a command and whom it is about.
async fn request(client: &mut TcpStream) -> io::Result<(u8, Result<Target, Reply>)> {
    let [version, methods] = read::<2>(client).await?;
    if version != VERSION {
        return Err(bad("this is not SOCKS 5"));
    }
    let mut offered = vec![0; methods.into()];
    client.read_exact(&mut offered).await?;
    if !offered.contains(&NO_AUTHENTICATION) {
        client.write_all(&[VERSION, NO_ACCEPTABLE]).await?;
        return Err(bad("it wants authentication"));
    }
    client.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let [version, command, _, kind, first] = read::<5>(client).await?;
    if version != VERSION {
        return Err(bad("its request is not SOCKS 5"));
    }
    let Some(len) = address_len(kind, first) else { return Ok((command, Err(Reply::AddressTypeUnknown))) };
    let mut address = vec![0; len + 1];
    address[..2].copy_from_slice(&[kind, first]);
    client.read_exact(&mut address[2..]).await?;
    Ok((command, protocol::target(&address).map(|(target, _)| target).ok_or(Reply::Failure)))
}

async fn read<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
