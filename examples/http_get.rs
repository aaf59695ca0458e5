//! Fetches a web page by the name of its host: asks for the address, connects, prints the headers, saves the page.
//!
//! ```text
//! sudo scripts/tun-up                              # once: the interface tun0, yours
//! cargo run --example http_get -- www.example page.html 192.0.2.1  # a name, a file, a name server
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::time::Duration;
use tunstack::device::{Offloads, tun::Tun};
use tunstack::dns::Config;
use tunstack::net::{Host, TcpStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, file, server] = &args[..] else { return Err("usage: http_get HOST FILE NAME-SERVER".into()) };
    let device = Tun::open("tun0", 1500, Offloads::ALL)?;
    let host = Host::builder().address("192.0.2.2/24").start(device)?;
    host.set_dns(Config { servers: vec![(server.parse::<IpAddr>()?, 53).into()], ..Config::default() })?;
    host.set_default();

    let mut stream = TcpStream::connect((name.as_str(), 80))?;
    println!("{name} is {}", stream.peer_addr()?);
    write!(stream, "GET / HTTP/1.0\r\nHost: {name}\r\n\r\n")?;
    let mut answer = BufReader::new(stream);
    for line in answer.by_ref().take(64 * 1024).lines() {
        match line?.as_str() {
            "" => break,
            header => println!("{header}"),
        }
    }
    let bytes = io::copy(&mut answer, &mut File::create(file)?)?;
    println!("{bytes} bytes are in {file}");
    drop(answer);
    host.shutdown(Duration::from_secs(2));
    Ok(())
}
