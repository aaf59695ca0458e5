//! The same services on smoltcp, on a plain TUN: another stack in user space, one thread, as its examples drive it.

use crate::{CHARGEN, DISCARD, ECHO, Outcome};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use tunstack::daemon::netif::{Netlink, Settings};
use tunstack::stack::Cidr;
use tunstack::sys::tun;

/// Buffer of a bulk connection in each direction, in bytes. Less starves it, more is no faster.
const BULK: usize = 4 << 20;

/// Buffer of an echo connection.
const SMALL: usize = 16 * 1024;

/// Sockets that listen on each port.
const BULK_SOCKETS: usize = 10;
const ECHO_SOCKETS: usize = 80;

/// A TUN without offloads: each read and write is one packet.
struct Tun {
    fd: OwnedFd,
    mtu: usize,
    received: Vec<u8>,
    sent: Vec<u8>,
}

struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Sending<'a> {
    fd: &'a OwnedFd,
    buf: &'a mut [u8],
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let result = f(&mut self.buf[..len]);
        // What the kernel does not take is lost, as on a wire.
        let _ = rustix::io::write(self.fd, &self.buf[..len]);
        result
    }
}

impl Device for Tun {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let len = rustix::io::read(&self.fd, &mut self.received[..]).ok()?;
        Some((Received(&self.received[..len]), Sending { fd: &self.fd, buf: &mut self.sent }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sending<'_>> {
        Some(Sending { fd: &self.fd, buf: &mut self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

/// Serves until it is killed.
pub fn serve(name: &str, mtu: &str) -> Outcome {
    let mtu: usize = mtu.parse()?;
    let (fd, _) = tun::open_plain(name)?;
    fcntl_setfl(&fd, OFlags::NONBLOCK)?;
    let host = Cidr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 24);
    let settings = Settings { addresses: vec![host], mtu: mtu.try_into()?, txqueuelen: 10_000 };
    Netlink::open()?.configure(name, &settings)?;

    let mut device = Tun { fd, mtu, received: vec![0; mtu], sent: vec![0; mtu] };
    let mut iface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::now());
    iface.update_ip_addrs(|addresses| _ = addresses.push(IpCidr::new(IpAddress::v4(192, 0, 2, 2), 24)));
    let mut sockets = SocketSet::new(Vec::new());
    let mut served: Vec<(SocketHandle, u16)> = Vec::new();
    for (port, number, buffer) in
        [(DISCARD, BULK_SOCKETS, BULK), (CHARGEN, BULK_SOCKETS, BULK), (ECHO, ECHO_SOCKETS, SMALL)]
    {
        for _ in 0..number {
            let buffer = || tcp::SocketBuffer::new(vec![0; buffer]);
            let mut socket = tcp::Socket::new(buffer(), buffer());
            socket.set_nagle_enabled(false);
            socket.listen(port)?;
            served.push((sockets.add(socket), port));
        }
    }
    let block = vec![b'x'; 128 * 1024];
    loop {
        let now = Instant::now();
        if iface.poll(now, &mut device, &mut sockets) == PollResult::SocketStateChanged {
            for (handle, port) in &served {
                attend(sockets.get_mut::<tcp::Socket>(*handle), *port, &block);
            }
            continue;
        }
        let wait = iface.poll_delay(now, &sockets).unwrap_or(smoltcp::time::Duration::from_secs(1));
        let wait = Timespec { tv_sec: wait.secs() as i64, tv_nsec: wait.micros() as i64 * 1000 };
        match poll(&mut [PollFd::new(&device.fd, PollFlags::IN)], Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// What the application does with one socket.
fn attend(socket: &mut tcp::Socket, port: u16, block: &[u8]) {
    if !socket.is_open() {
        // Its connection is over. Nothing is wrong with the port, so it can listen again.
        let _ = socket.listen(port);
    }
    match port {
        DISCARD => while socket.recv(|data| (data.len(), data.len())).is_ok_and(|n| n > 0) {},
        CHARGEN => while socket.can_send() && socket.send_slice(block).is_ok_and(|n| n > 0) {},
        _ => {
            let mut buf = [0; 4096];
            while socket.can_recv() && socket.can_send() {
                let Ok(n) = socket.recv_slice(&mut buf) else { break };
                let _ = socket.send_slice(&buf[..n]);
            }
        }
    }
    // The client has closed, and all it sent has been read.
    if !socket.may_recv() && socket.may_send() {
        socket.close();
    }
}
