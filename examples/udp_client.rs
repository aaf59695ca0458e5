//! The UDP client of the tutorials. A datagram or its answer may be lost, so it waits for a second and asks again.
//!
//! ```text
//! sudo scripts/tun-up                              # once: the interface tun0, yours
//! cargo run --example udp_client -- 192.0.2.1:8000 Ada             # a server of the kernel's side
//! ```

use std::io::ErrorKind;
use std::time::Duration;
use tunstack::device::{Offloads, tun::Tun};
use tunstack::net::{Host, UdpSocket};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().unwrap_or("192.0.2.1:8000".into());
    let name = args.next().unwrap_or("Ada".into());
    let device = Tun::open("tun0", 1500, Offloads::ALL)?;
    Host::builder().address("192.0.2.2/24").start(device)?.set_default();

    let socket = UdpSocket::bind("192.0.2.2:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    for _ in 0..5 {
        socket.send_to(name.as_bytes(), server.as_str())?;
        let mut buf = [0; 1024];
        match socket.recv_from(&mut buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => println!("no answer yet"),
            answer => {
                let (n, peer) = answer?;
                println!("{peer}: {}", String::from_utf8_lossy(&buf[..n]).trim_end());
                return Ok(());
            }
        }
    }
    Err("nobody answers".into())
}
