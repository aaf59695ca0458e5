//! A [`Stack`](tunstack::stack::Stack) in a loop of one's own: no thread of ours, no lock, and no clock but yours.
//!
//! ```text
//! cargo run --example bare_loop                two stacks and a wire that is a Vec, in virtual time
//! cargo run --example bare_loop -- tun0        a host on a TUN, with poll(2): echo by TCP and UDP on port 7
//! ```
//!
//! This is all that the owner of a stack has to do: give it the frames that arrive, pull those that leave, call it when its
//! deadline has passed, and serve the sockets that it names. `two_stacks` is the shortest program that does; `on_device` has
//! what a real one needs.

mod on_device;
mod two_stacks;

use tunstack::device::tun::Tun;
use tunstack::wire::Offloads;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(name) = std::env::args().nth(1) {
        return Ok(on_device::run(Tun::open(&name, 1500, Offloads::ALL)?)?);
    }
    let mut log = String::new();
    let answer = two_stacks::run(&mut log);
    print!("{log}");
    println!("the client got {:?}", answer?);
    Ok(())
}
