//! The same services on the kernel's TCP: what a program gets that does without a stack of its own.

use crate::{CHARGEN, DISCARD, ECHO, Outcome};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::thread;

/// Bytes of a write or read.
const BLOCK: usize = 128 * 1024;

/// Serves until it is killed, with this congestion control or the kernel's default.
pub fn serve(addr: &str, congestion: Option<&str>) -> Outcome {
    let addr: IpAddr = addr.parse()?;
    type Serve = fn(TcpStream) -> io::Result<()>;
    let services: [(u16, Serve); 3] = [(DISCARD, discard), (CHARGEN, chargen), (ECHO, echo)];
    for (port, service) in services {
        let listener = TcpListener::bind((addr, port))?;
        if let Some(name) = congestion {
            rustix::net::sockopt::set_tcp_congestion(&listener, name)?;
        }
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A connection that fails is the client's affair.
                thread::spawn(move || service(stream));
            }
        });
    }
    loop {
        thread::park();
    }
}

fn discard(mut stream: TcpStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    while stream.read(&mut block)? > 0 {}
    Ok(())
}

fn chargen(mut stream: TcpStream) -> io::Result<()> {
    let block = vec![b'x'; BLOCK];
    loop {
        stream.write_all(&block)?;
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut block = vec![0; 4096];
    loop {
        match stream.read(&mut block)? {
            0 => return Ok(()),
            n => stream.write_all(&block[..n])?,
        }
    }
}
