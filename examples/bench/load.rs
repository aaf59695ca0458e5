//! One measurement: a client on the kernel's sockets, and the CPU time that the server's process takes meanwhile.

use crate::{CHARGEN, DISCARD, ECHO, Outcome};
use rustix::event::epoll;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What is not counted at the start: slow start, first faults of pages.
const WARM_UP: Duration = Duration::from_millis(300);

/// A server that has just been started is given so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a write or read.
const BLOCK: usize = 128 * 1024;

/// What was counted so far: bits or exchanges.
type Count = AtomicU64;

/// Runs a case such as `up8` and prints case, rate, rate per CPU second of the server, and the 99th percentile of an
/// exchange in microseconds (0 if there are none).
pub fn run(case: &str, addr: &str, seconds: &str, pid: &str) -> Outcome {
    let digits = case.find(|c: char| c.is_ascii_digit()).ok_or("a case such as up1 or rr64")?;
    let (kind, number) = (&case[..digits], case[digits..].parse::<usize>()?);
    let addr: IpAddr = addr.parse()?;
    let time = Duration::from_secs_f64(seconds.parse()?);
    reach((addr, ECHO).into())?;
    let (running, count) = (&AtomicBool::new(true), &Count::new(0));
    let result = thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..if kind == "rr" { 1 } else { number } {
            workers.push(scope.spawn(move || match kind {
                "up" => up(addr, count, running),
                "down" => down(addr, count, running),
                "rr" => exchanges(addr, number, count, running),
                "crr" => connections(addr, count, running),
                _ => Err(io::Error::other("neither up, down, rr nor crr")),
            }));
        }
        thread::sleep(WARM_UP);
        let (start, counted, used) = (Instant::now(), count.load(Ordering::Relaxed), cpu_time(pid)?);
        thread::sleep(time);
        let (seconds, counted) = (start.elapsed().as_secs_f64(), count.load(Ordering::Relaxed) - counted);
        let used = cpu_time(pid)? - used;
        running.store(false, Ordering::Relaxed);
        let mut times = Vec::new();
        for worker in workers {
            times.extend(worker.join().map_err(|_| io::Error::other("a worker has panicked"))??);
        }
        times.sort_unstable();
        let p99 = times.get(times.len() * 99 / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        // The kernel counts by clock ticks; less than one is none.
        io::Result::Ok((counted as f64 / seconds, counted as f64 / used.max(0.01), p99))
    });
    let (rate, efficiency, p99) = result?;
    println!("{case}\t{rate:.1}\t{efficiency:.1}\t{p99:.1}");
    Ok(())
}

/// Waits until somebody listens.
fn reach(addr: SocketAddr) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(&addr, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(e) if Instant::now() > end => return Err(e),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// CPU time of a process in seconds: fields 14 and 15 of its `stat`, in ticks of 10 ms.
fn cpu_time(pid: &str) -> io::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let bad = || io::Error::from(ErrorKind::InvalidData);
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or_else(bad)?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).ok_or_else(bad);
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn open(addr: IpAddr, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(addr, port).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn up(addr: IpAddr, bits: &Count, running: &AtomicBool) -> io::Result<Vec<Duration>> {
    let mut stream = open(addr, DISCARD)?;
    // Long enough that its cut is seldom: a kernel that is given 128 KiB at a time sends super-segments of 62 KB over IPv4, and
    // of 49 KB over IPv6, whose segments divide it worse.
    let block = vec![b'x'; 4 * BLOCK];
    while running.load(Ordering::Relaxed) {
        let n = stream.write(&block)?;
        bits.fetch_add(8 * n as u64, Ordering::Relaxed);
    }
    Ok(Vec::new())
}

fn down(addr: IpAddr, bits: &Count, running: &AtomicBool) -> io::Result<Vec<Duration>> {
    let mut stream = open(addr, CHARGEN)?;
    let mut block = vec![0; BLOCK];
    while running.load(Ordering::Relaxed) {
        let n = stream.read(&mut block)?;
        bits.fetch_add(8 * n as u64, Ordering::Relaxed);
    }
    Ok(Vec::new())
}

/// One byte there and back on each of `number` connections, all at once.
fn exchanges(addr: IpAddr, number: usize, count: &Count, running: &AtomicBool) -> io::Result<Vec<Duration>> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut streams = Vec::with_capacity(number);
    for at in 0..number {
        let mut stream = open(addr, ECHO)?;
        stream.set_nodelay(true)?;
        epoll::add(&poll, stream.as_fd(), epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
        stream.write_all(b"x")?;
        streams.push((stream, Instant::now()));
    }
    let mut times = Vec::with_capacity(1 << 20);
    let mut events = Vec::with_capacity(number);
    while running.load(Ordering::Relaxed) {
        epoll::wait(
            &poll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&PATIENCE.try_into().map_err(io::Error::other)?),
        )?;
        if events.is_empty() {
            return Err(ErrorKind::TimedOut.into());
        }
        for event in events.drain(..) {
            let (stream, sent) = &mut streams[event.data.u64() as usize];
            stream.read_exact(&mut [0; 1])?;
            times.push(sent.elapsed());
            *sent = Instant::now();
            stream.write_all(b"x")?;
        }
        count.store(times.len() as u64, Ordering::Relaxed);
    }
    Ok(times)
}

/// A connection opened, used for one byte there and back, and closed by both.
fn connections(addr: IpAddr, count: &Count, running: &AtomicBool) -> io::Result<Vec<Duration>> {
    let mut times = Vec::new();
    while running.load(Ordering::Relaxed) {
        let start = Instant::now();
        let mut stream = open(addr, ECHO)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0; 1])?;
        stream.shutdown(Shutdown::Write)?;
        if stream.read(&mut [0; 1])? != 0 {
            return Err(ErrorKind::InvalidData.into());
        }
        times.push(start.elapsed());
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(times)
}
