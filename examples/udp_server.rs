//! The UDP server of the tutorials: whoever sends a name is greeted. No connection, one datagram for one.
//!
//! ```text
//! sudo scripts/tun-up                              # once: the interface tun0, yours
//! cargo run --example udp_server
//! echo -n Ada | nc -u -w1 192.0.2.2 8000           # from another terminal
//! ```

use tunstack::device::{Offloads, tun::Tun};
use tunstack::net::{Host, UdpSocket};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Tun::open("tun0", 1500, Offloads::ALL)?;
    Host::builder().address("192.0.2.2/24").start(device)?.set_default();

    let socket = UdpSocket::bind("192.0.2.2:8000")?;
    println!("listening on {}", socket.local_addr()?);
    let mut buf = [0; 1024];
    loop {
        let (n, peer) = socket.recv_from(&mut buf)?;
        let name = String::from_utf8_lossy(&buf[..n]);
        println!("{peer} is {}", name.trim());
        socket.send_to(format!("Hello, {}!\n", name.trim()).as_bytes(), peer)?;
    }
}
