//! The client of the hello server: it says each name that it is given, prints what comes back, and says "exit".
//!
//! ```text
//! sudo scripts/tun-up                              # once: the interface tun0, yours
//! cargo run --example hello_client -- 192.0.2.1:8000 Ada Grace     # a server of the kernel's side
//! ```

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;
use tunstack::device::{Offloads, tun::Tun};
use tunstack::net::{Host, TcpStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or("192.0.2.1:8000".into());
    let device = Tun::open("tun0", 1500, Offloads::ALL)?;
    let host = Host::builder().address("192.0.2.2/24").start(device)?;
    host.set_default();

    let mut stream = TcpStream::connect(server.as_str())?;
    println!("{} is connected to {}", stream.local_addr()?, stream.peer_addr()?);
    let mut answers = BufReader::new(stream.try_clone()?).lines();
    println!("{}", answers.next().ok_or("the server has gone")??);
    for name in args.chain(["exit".into()]) {
        stream.write_all(format!("{name}\n").as_bytes())?;
        println!("{}", answers.next().ok_or("the server has gone")??);
    }
    drop((stream, answers));
    // The four-way goodbye is the stack's to say, and the stack is this process.
    host.shutdown(Duration::from_secs(2));
    Ok(())
}
