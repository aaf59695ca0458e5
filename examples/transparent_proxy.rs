//! A transparent proxy from a TUN to the kernel's sockets: whatever is sent into the TUN, to whichever address and port, by
//! TCP or UDP, is carried on by the kernel. A SYN is answered when the upstream has answered, and as that did: who is
//! refused there is refused here, and who is not answered there is not answered here.
//!
//! ```text
//! ip tuntap add dev tun0 mode tun && ip address add 192.0.2.1/24 dev tun0 && ip link set tun0 up
//! ip route add 203.0.113.0/24 dev tun0
//! cargo run --release --example transparent_proxy -- tun0 /proc/PID/ns/net
//! ```
//!
//! The second argument is the network namespace of the upstream connections: that of process PID, or a name below
//! `/run/netns`. Without it they are made where the TUN is, and a route or rule must lead them elsewhere than into it again.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tunstack::device::tun::Tun;
use tunstack::net::{Host, SynRequest, UdpFlow};
use tunstack::sys::namespace;
use tunstack::wire::Offloads;

/// How long the upstream may take to answer.
const CONNECT: Duration = Duration::from_secs(30);

/// How often a flow's way back looks whether the other is over.
const LOOK: Duration = Duration::from_secs(5);

/// Connections and flows at once; each takes two threads. What is beyond is refused.
const MOST: usize = 8192;

static NOW: AtomicUsize = AtomicUsize::new(0);

/// One of them, until it is dropped, whatever came of it.
struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        NOW.fetch_sub(1, Ordering::Relaxed);
    }
}

pub fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1).skip_while(|arg| arg.starts_with("--"));
    let name = args.next().unwrap_or_else(|| "tun0".into());
    let tun = Tun::open(&name, 1500, Offloads::ALL).map_err(io::Error::other)?;
    if let Some(path) = args.next() {
        namespace::join(path.as_ref()).map_err(io::Error::other)?;
    }
    let host = Host::builder().address("192.0.2.2/24").address("2001:db8::2/64").any_address().start(tun)?;
    run(&host)
}

/// Carries all that comes, until the host ends.
pub fn run(host: &Host) -> io::Result<()> {
    let (tcp, udp) = (host.syn_gate()?, host.udp_gate()?);
    println!("ready");
    thread::spawn(move || {
        while let Ok(flow) = udp.accept() {
            in_thread(flow, carry_flow);
        }
    });
    for request in &tcp {
        in_thread(request?, connect);
    }
    Ok(())
}

/// Does `work` with `what` in a thread of its own, if there are not too many. A request that is dropped is reset.
fn in_thread<T: Send + 'static>(what: T, work: fn(T) -> io::Result<()>) {
    let (place, others) = (Place, NOW.fetch_add(1, Ordering::Relaxed));
    if others >= MOST {
        return;
    }
    let work = move || {
        let _place = place;
        if let Err(error) = work(what)
            && error.kind() != ErrorKind::ConnectionAborted
        {
            eprintln!("{error}");
        }
    };
    if let Err(error) = thread::Builder::new().stack_size(256 * 1024).spawn(work) {
        eprintln!("no thread: {error}");
    }
}

/// Asks the upstream, and answers as it does.
fn connect(request: SynRequest) -> io::Result<()> {
    let far = match TcpStream::connect_timeout(&request.destination(), CONNECT) {
        Ok(far) => far,
        Err(error) => return request.mirror(&error),
    };
    let near = request.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    thread::scope(|both| {
        thread::Builder::new().spawn_scoped(both, || {
            let copied = copy(&far, &near);
            let how = if copied.is_ok() { Shutdown::Write } else { Shutdown::Both };
            let _ = (near.shutdown(how), copied.is_err().then(|| far.shutdown(how)));
        })?;
        let copied = copy(&near, &far);
        let how = if copied.is_ok() { Shutdown::Write } else { Shutdown::Both };
        let _ = (far.shutdown(how), copied.is_err().then(|| near.shutdown(how)));
        Ok(())
    })
}

fn copy(from: impl Read, mut to: impl Write) -> io::Result<u64> {
    io::copy(&mut BufReader::with_capacity(64 * 1024, from), &mut to)
}

/// Carries what one source sends, from one port of the kernel's, and back to it what comes there from anybody.
fn carry_flow(flow: UdpFlow) -> io::Result<()> {
    let v4 = flow.source().is_ipv4();
    let any: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let upstream = UdpSocket::bind((any, 0))?;
    upstream.set_read_timeout(Some(LOOK))?;
    let over = AtomicBool::new(false);
    thread::scope(|both| {
        thread::Builder::new().spawn_scoped(both, || {
            let mut buf = vec![0; 65_535];
            while !over.load(Ordering::Relaxed) {
                // What cannot be sent or received is lost, as datagrams may be.
                if let Ok((n, from)) = upstream.recv_from(&mut buf) {
                    let _ = flow.send(&buf[..n], from);
                }
            }
        })?;
        let mut buf = vec![0; 65_535];
        loop {
            match flow.recv(&mut buf) {
                Ok((n, to)) => _ = upstream.send_to(&buf[..n], to),
                // It was idle for too long, or the host has ended.
                Err(error) if is_end(&error) => break,
                // The source did not want what was sent back.
                Err(_) => {}
            }
        }
        over.store(true, Ordering::Relaxed);
        Ok(())
    })
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::ConnectionAborted | ErrorKind::NetworkDown)
}
