//! The client: asks for a test, runs its end of it, and fetches what the server saw.

use super::CpuClock;
use super::datagram::{self, ANSWER, GREETING};
use super::flow::{Carrier, Flow};
use super::protocol::{COOKIE_SIZE, Cookie, Params, Step, bad, id, receive_json, send_json};
use super::test::{Event, Summary, Test};
use crate::net::{Host, TcpStream};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to answer a greeting by UDP, and how often it is greeted.
const GREETING_PATIENCE: Duration = Duration::from_millis(500);
const GREETINGS: u32 = 6;

/// Runs the test `params` against the server at `server`.
///
/// # Errors
/// Those of connecting and of the connections; `ConnectionRefused` if the server is busy with another test;
/// `InvalidInput` if `params` make no sense; `InvalidData` if the server is no server of iperf3's kind.
pub fn run(
    host: &Host,
    server: SocketAddr,
    params: &Params,
    cpu: CpuClock,
    observe: &mut dyn FnMut(Event),
) -> io::Result<Summary> {
    params.check().map_err(|what| io::Error::new(ErrorKind::InvalidInput, what))?;
    if params.time == 0 {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a test of 0 s"));
    }
    let control = connect(host, server)?;
    let cookie = cookie();
    (&control).write_all(&cookie)?;
    Step::ParamExchange.expect(&control)?;
    send_json(&control, params)?;
    Step::CreateStreams.expect(&control)?;
    let flows: Vec<Flow> = (0..params.streams())
        .map(|index| {
            let carrier = if params.udp { greet(host, server)? } else { join(host, server, &cookie)? };
            Ok(Flow::new(id(index), params.client_sends(index), carrier))
        })
        .collect::<io::Result<_>>()?;
    Step::TestStart.expect(&control)?;
    Step::TestRunning.expect(&control)?;
    let limit = Duration::from_secs(params.time.into());
    let outcome =
        Test { params, control: &control, flows: &flows, shared: None, limit, ends: true, cpu }.run(observe)?;
    control.set_read_timeout(Some(PATIENCE))?;
    match outcome.step {
        None => {}
        Some(Step::ServerTerminate) => {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "the server was ended"));
        }
        Some(step) => return Err(bad(format!("{step:?} in the midst of a test"))),
    }
    Step::ExchangeResults.expect(&control)?;
    send_json(&control, &outcome.results())?;
    let theirs = receive_json(&control)?;
    Step::DisplayResults.expect(&control)?;
    Step::IperfDone.send(&control)?;
    let summary = Summary { params: params.clone(), whole: outcome.whole, cpu: outcome.cpu, theirs };
    observe(Event::Ended(&summary));
    Ok(summary)
}

fn connect(host: &Host, server: SocketAddr) -> io::Result<TcpStream> {
    let stream = host.connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn join(host: &Host, server: SocketAddr, cookie: &Cookie) -> io::Result<Carrier> {
    let stream = connect(host, server)?;
    (&stream).write_all(cookie)?;
    Ok(Carrier::Tcp(stream))
}

/// Lets the server know the address of a stream by UDP.
fn greet(host: &Host, server: SocketAddr) -> io::Result<Carrier> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = host.bind_udp(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(GREETING_PATIENCE))?;
    for _ in 0..GREETINGS {
        socket.send(&GREETING.to_ne_bytes())?;
        let mut answer = [0; 4];
        match socket.recv(&mut answer) {
            Ok(len) if datagram::is(&answer[..len], ANSWER) => return Ok(Carrier::Udp(socket, server)),
            Ok(_) => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, "the server does not answer by UDP"))
}

/// 36 characters of iperf3's alphabet and a NUL.
fn cookie() -> Cookie {
    let mut cookie = [0; COOKIE_SIZE];
    for byte in &mut cookie[..COOKIE_SIZE - 1] {
        *byte = b"abcdefghijklmnopqrstuvwxyz234567"[rand::random_range(0..32)];
    }
    cookie
}
