//! Each call of Python's socket module, here: the snippets of docs/sockets.md as functions, to run and to try things in.
//! `client` and `server` are two hosts, 192.0.2.1 and 192.0.2.2, on one link in memory.
//!
//! ```text
//! cargo run --example python_calls
//! ```

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;
use tunstack::device::mem;
use tunstack::net::{Host, Shutdown, TcpStream};

/// A function for each call, and its name.
macro_rules! calls {
    ($($name:ident)*) => { const CALLS: &[(&str, Call)] = &[$((stringify!($name), $name)),*]; };
}

type Call = fn(&Host, &Host) -> io::Result<()>;

calls! {
    bind listen accept connect connect_ex send sendall recv sendto recvfrom close getsockname getpeername setsockopt getsockopt
    settimeout gettimeout setblocking fileno makefile
}

fn main() -> io::Result<()> {
    for (name, call) in CALLS {
        let (near, far) = mem::pair(1500, 64)?;
        let client = Host::builder().address("192.0.2.1/24").start(near)?;
        let server = Host::builder().address("192.0.2.2/24").start(far)?;
        call(&client, &server)?;
        println!("{name}() does");
    }
    Ok(())
}

/// A connection, seen from both of its ends.
fn connected(client: &Host, server: &Host) -> io::Result<(TcpStream, TcpStream)> {
    let listener = server.listen("192.0.2.2:0")?;
    let near = client.connect(listener.local_addr()?)?;
    Ok((near, listener.accept()?.0))
}

fn bind(_client: &Host, server: &Host) -> io::Result<()> {
    // TCP and UDP have ports of their own, so both can be bound; the same one twice cannot.
    let tcp = server.listen("192.0.2.2:8000")?;
    let udp = server.bind_udp("192.0.2.2:8000")?;
    assert_eq!(tcp.local_addr()?, udp.local_addr()?);
    assert_eq!(server.listen("192.0.2.2:8000").unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(server.listen("198.51.100.1:8000").unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    Ok(())
}

fn listen(client: &Host, server: &Host) -> io::Result<()> {
    // At most five connections wait to be accepted; port 0 is any free one.
    let listener = server.listen_with("192.0.2.2:0", 5)?;
    let addr = listener.local_addr()?;
    assert_ne!(addr.port(), 0);
    client.connect(addr)?;
    Ok(())
}

fn accept(client: &Host, server: &Host) -> io::Result<()> {
    let listener = server.listen("192.0.2.2:8000")?;
    let near = client.connect("192.0.2.2:8000")?;
    let (_stream, peer): (TcpStream, SocketAddr) = listener.accept()?;
    assert_eq!(peer, near.local_addr()?);
    Ok(())
}

fn connect(client: &Host, server: &Host) -> io::Result<()> {
    let listener = server.listen("192.0.2.2:8000")?;
    let stream = client.connect("192.0.2.2:8000")?;
    assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    // As socket.create_connection(address, timeout=2):
    client.connect_timeout(&listener.local_addr()?, Duration::from_secs(2))?;
    Ok(())
}

fn connect_ex(client: &Host, server: &Host) -> io::Result<()> {
    // The error's number instead of an exception, for sockets that do not block.
    let connect_ex = |addr: &str| match client.connect(addr) {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    };
    let _listener = server.listen("192.0.2.2:8000")?;
    assert_eq!(connect_ex("192.0.2.2:8000"), 0);
    assert_eq!(connect_ex("192.0.2.2:9999"), libc::ECONNREFUSED);

    // EINPROGRESS is here a stream that is not connected yet; SO_ERROR says later what came of it.
    let stream = client.connect_nonblocking(&([192, 0, 2, 2], 9999).into())?;
    while stream.peer_addr().is_err() && !stream.readiness().contains(tunstack::net::Readiness::ERROR) {
        std::thread::yield_now();
    }
    assert_eq!(stream.take_error()?.map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
    Ok(())
}

fn send(client: &Host, server: &Host) -> io::Result<()> {
    let (mut near, mut far) = connected(client, server)?;
    // What fits into the send buffer is taken, and the number says how much that was.
    let n = near.write(b"Hello")?;
    assert!(n <= 5);
    far.read_exact(&mut vec![0; n])
}

fn sendall(client: &Host, server: &Host) -> io::Result<()> {
    let (mut near, far) = connected(client, server)?;
    let reader = std::thread::spawn(move || io::copy(&mut &far, &mut io::sink()));
    near.write_all(&vec![b'x'; 10_000_000])?;
    near.shutdown(Shutdown::Write)?;
    assert_eq!(reader.join().expect("no panic")?, 10_000_000);
    Ok(())
}

fn recv(client: &Host, server: &Host) -> io::Result<()> {
    let (mut near, mut far) = connected(client, server)?;
    near.write_all(b"Hello")?;
    let mut buf = [0; 1024];
    let n = far.peek(&mut buf)?; // MSG_PEEK: it stays
    assert_eq!(far.read(&mut buf)?, n);
    drop(near);
    io::copy(&mut far, &mut io::sink())?;
    assert_eq!(far.read(&mut buf)?, 0); // b"": the peer has said all
    Ok(())
}

fn sendto(client: &Host, server: &Host) -> io::Result<()> {
    let (near, far) = (client.bind_udp("192.0.2.1:0")?, server.bind_udp("192.0.2.2:8000")?);
    assert_eq!(near.send_to(b"Ada", "192.0.2.2:8000")?, 3);
    far.recv(&mut [0; 1024])?;
    Ok(())
}

fn recvfrom(client: &Host, server: &Host) -> io::Result<()> {
    let (near, far) = (client.bind_udp("192.0.2.1:0")?, server.bind_udp("192.0.2.2:8000")?);
    near.send_to(b"Ada", far.local_addr()?)?;
    let mut buf = [0; 1024];
    let (n, peer) = far.recv_from(&mut buf)?;
    far.send_to(&[b"Hello, ", &buf[..n], b"!"].concat(), peer)?;
    let (n, from) = near.recv_from(&mut buf)?;
    assert_eq!((&buf[..n], from), (&b"Hello, Ada!"[..], far.local_addr()?));
    Ok(())
}

fn close(client: &Host, server: &Host) -> io::Result<()> {
    let (near, mut far) = connected(client, server)?;
    // Dropping the last clone closes; shutdown says that no more will be sent, and still reads.
    near.shutdown(Shutdown::Write)?;
    assert_eq!(far.read(&mut [0; 10])?, 0);
    drop(near);
    Ok(())
}

fn getsockname(client: &Host, server: &Host) -> io::Result<()> {
    let (near, _far) = connected(client, server)?;
    assert_eq!(near.local_addr()?.ip(), client.addresses()[0].addr);
    Ok(())
}

fn getpeername(client: &Host, server: &Host) -> io::Result<()> {
    let (near, far) = connected(client, server)?;
    assert_eq!(near.peer_addr()?, far.local_addr()?);
    Ok(())
}

fn setsockopt(client: &Host, server: &Host) -> io::Result<()> {
    let (near, _far) = connected(client, server)?;
    near.set_nodelay(true)?; // TCP_NODELAY
    near.set_linger(Some(Duration::ZERO))?; // SO_LINGER: close() resets
    near.set_send_buffer_size(64 * 1024)?; // SO_SNDBUF
    assert_eq!(near.set_ttl(0).unwrap_err().kind(), ErrorKind::InvalidInput); // IP_TTL
    Ok(())
}

fn getsockopt(client: &Host, server: &Host) -> io::Result<()> {
    let (near, _far) = connected(client, server)?;
    assert!(!near.nodelay()?); // TCP_NODELAY
    assert!(near.take_error()?.is_none()); // SO_ERROR
    let info = near.info()?; // TCP_INFO
    println!("{}, cwnd {} bytes, srtt {:?}", info.state, info.cwnd, info.srtt);
    Ok(())
}

fn settimeout(client: &Host, server: &Host) -> io::Result<()> {
    let (mut near, _far) = connected(client, server)?;
    near.set_read_timeout(Some(Duration::from_millis(10)))?;
    // As in std on Unix, the error of a time that is over is WouldBlock.
    assert_eq!(near.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(near.set_read_timeout(Some(Duration::ZERO)).is_err());
    Ok(())
}

fn gettimeout(client: &Host, server: &Host) -> io::Result<()> {
    let (near, _far) = connected(client, server)?;
    assert_eq!(near.read_timeout()?, None); // None: it waits for ever
    near.set_write_timeout(Some(Duration::from_secs(3)))?;
    assert_eq!(near.write_timeout()?, Some(Duration::from_secs(3)));
    Ok(())
}

fn setblocking(client: &Host, server: &Host) -> io::Result<()> {
    let (mut near, _far) = connected(client, server)?;
    near.set_nonblocking(true)?;
    assert_eq!(near.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock);
    Ok(())
}

fn fileno(client: &Host, server: &Host) -> io::Result<()> {
    let (mut near, far) = connected(client, server)?;
    // A descriptor that is readable while the socket is, for a select, poll or epoll that knows nothing of this stack.
    let fd = far.read_fd()?;
    near.write_all(b"x")?;
    let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut fds, None)?, 1);
    Ok(())
}

fn makefile(client: &Host, server: &Host) -> io::Result<()> {
    let (mut near, far) = connected(client, server)?;
    let mut file = BufReader::new(far.try_clone()?);
    near.write_all(b"one\ntwo\n")?;
    let mut line = String::new();
    file.read_line(&mut line)?;
    assert_eq!(line, "one\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    /// docs/sockets.md shows the body of each function, word for word.
    #[test]
    fn the_page_has_each_call_as_it_is_here() {
        let page = include_str!("../docs/sockets.md");
        let code = include_str!("python_calls.rs");
        assert_eq!(super::CALLS.len(), 20);
        for (name, _) in super::CALLS {
            let (_, body) = code.split_once(&format!("\nfn {name}(")).expect("the function");
            let (_, body) = body.split_once("{\n").expect("its beginning");
            let (body, _) = body.split_once("\n}\n").expect("its end");
            let lines = body.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect::<Vec<_>>();
            let lines = lines.strip_suffix(&["Ok(())"]).unwrap_or(&lines);
            let snippet = format!("```rust,ignore\n{}\n```\n", lines.join("\n"));
            let (_, section) = page.split_once(&format!("\n### `{name}()`\n")).unwrap_or_else(|| panic!("no {name}()"));
            let section = section.split("\n### ").next().expect("a section");
            assert!(section.contains(&snippet), "docs/sockets.md, `{name}()`, should show:\n{snippet}");
        }
    }

    #[test]
    fn every_call_does_what_it_says() {
        super::main().expect("no call fails");
    }
}
