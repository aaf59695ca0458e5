//! The server of every socket tutorial: it welcomes each client in a thread of its own, answers "Hello, X!" to each name,
//! and lets go on "exit".
//!
//! ```text
//! sudo scripts/tun-up                              # once: the interface tun0, yours
//! cargo run --example hello_server
//! nc 192.0.2.2 8000                                # from another terminal, as often as you like
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::thread;
use tunstack::device::{Offloads, tun::Tun};
use tunstack::net::{Host, TcpListener, TcpStream};

fn greet(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"Welcome! What is your name? (exit ends)\n")?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut name = String::new();
        lines.by_ref().take(1024).read_line(&mut name)?;
        match name.trim_end() {
            "exit" | "" => return stream.write_all(b"Goodbye!\n"),
            name => stream.write_all(format!("Hello, {name}!\n").as_bytes())?,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Tun::open("tun0", 1500, Offloads::ALL)?;
    Host::builder().address("192.0.2.2/24").start(device)?.set_default();

    let listener = TcpListener::bind("192.0.2.2:8000")?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept()?;
        println!("{peer} came");
        thread::spawn(move || match greet(&stream) {
            Ok(()) => println!("{peer} left"),
            Err(error) => println!("{peer} was lost: {error}"),
        });
    }
}
