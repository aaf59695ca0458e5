//! The daemon's control socket: JSON lines over a Unix socket that only its owner reaches.
//!
//! A client sends one line, `{"command":"ss"}`, and gets one line about each link, `{"link":{..}}`, and one about fragments, one for each
//! connection, then `{"end":n}` with the number of connections, or `{"error":"..."}`. No line is longer than 64 KiB. The directory has mode 0700 and the socket 0600, and
//! the peer's user is asked of the kernel besides, because modes can be changed.

use super::error::Failure;
use super::ss::{Fragments, Link, Report, Row};
use crate::stack::MAX_INTERFACES;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The longest line, in bytes.
const MAX_LINE: u64 = 64 * 1024;

/// How long the other side may take for a line.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "command")]
enum Request {
    Ss,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Answer {
    Link { link: Link },
    Fragments { fragments: Fragments },
    Row(Box<Row>),
    End { end: usize },
    Error { error: String },
}

/// A control socket. Its file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
}

impl Control {
    /// Offers the socket `NAME.sock` in `dir`, or `NAME-PID.sock` if another daemon answers at that one; each request
    /// is answered by `report`.
    ///
    /// # Errors
    /// If the directory is not ours alone or cannot be made, or no socket or thread can be had.
    pub(crate) fn offer(dir: &Path, name: &str, report: impl Fn() -> Report + Send + 'static) -> io::Result<Control> {
        own_directory(dir)?;
        let usual = dir.join(format!("{name}.sock"));
        let path = if UnixStream::connect(&usual).is_ok() {
            dir.join(format!("{name}-{}.sock", std::process::id()))
        } else {
            usual
        };
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let control = Control { path };
        thread::Builder::new().name("control".into()).spawn(move || {
            for stream in listener.incoming() {
                match stream.and_then(|stream| serve(&stream, &report)) {
                    Ok(()) => {}
                    // One at a time, and a rest after an error: no caller can make this loop hot.
                    Err(e) => {
                        log::debug!("control: {e}");
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            }
        })?;
        Ok(control)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The directory of control sockets: `$XDG_RUNTIME_DIR/tunstack`, else `/run/tunstack`.
pub(crate) fn directory() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("tunstack")
}

/// Makes `dir`, or sees that it is a directory of ours that nobody else can enter.
fn own_directory(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let metadata = fs::symlink_metadata(dir)?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("{} is not a directory that is ours alone (mode 0700)", dir.display())));
    }
    Ok(())
}

fn serve(stream: &UnixStream, report: &dyn Fn() -> Report) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    if !peer.uid.is_root() && peer.uid != geteuid() {
        return Err(io::Error::other(format!("user {} was turned away", peer.uid.as_raw())));
    }
    let mut out = BufWriter::new(stream);
    match line(&mut BufReader::new(stream)).map(|line| serde_json::from_str(&line)) {
        Ok(Ok(Request::Ss)) => {
            let Report { links, fragments, rows } = report();
            for link in links {
                send(&mut out, &Answer::Link { link })?;
            }
            if let Some(fragments) = fragments {
                send(&mut out, &Answer::Fragments { fragments })?;
            }
            let end = rows.len();
            for row in rows {
                send(&mut out, &Answer::Row(Box::new(row)))?;
            }
            send(&mut out, &Answer::End { end })?;
        }
        Ok(Err(e)) => send(&mut out, &Answer::Error { error: format!("no such request: {e}") })?,
        Err(e) if e.kind() == io::ErrorKind::InvalidData => send(&mut out, &Answer::Error { error: e.to_string() })?,
        Err(e) => return Err(e),
    }
    out.flush()
}

fn send(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    serde_json::to_writer(&mut *out, answer)?;
    out.write_all(b"\n")
}

/// One line of text, of bounded length.
fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut bytes)?;
    if bytes.last() != Some(&b'\n') {
        return Err(match bytes.len() as u64 {
            MAX_LINE => io::Error::new(io::ErrorKind::InvalidData, "the line is longer than 64 KiB"),
            _ => io::ErrorKind::UnexpectedEof.into(),
        });
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the line is not text"))
}

/// Asks the daemon at `path` for its link and its connections.
///
/// # Errors
/// If it does not answer, or not as it should.
pub(crate) fn ask(path: &Path) -> io::Result<Report> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    serde_json::to_writer(&mut stream, &Request::Ss)?;
    stream.write_all(b"\n")?;
    let mut answers = BufReader::new(stream);
    let mut report = Report::default();
    loop {
        match serde_json::from_str(&line(&mut answers)?)? {
            Answer::Link { link } if report.links.len() < MAX_INTERFACES => report.links.push(link),
            Answer::Link { .. } => return Err(io::Error::other("the answer has more links than a host has")),
            Answer::Fragments { fragments } => report.fragments = Some(fragments),
            Answer::Row(row) => report.rows.push(*row),
            Answer::End { end } if end == report.rows.len() => return Ok(report),
            Answer::End { .. } => return Err(io::Error::other("the answer is not whole")),
            Answer::Error { error } => return Err(io::Error::other(error)),
        }
    }
}

/// The socket to ask: that of interface `name`, or without a name the only one in `dir`.
///
/// # Errors
/// Of kind `Environment`, if there is none, or several to choose from.
pub(crate) fn find(dir: &Path, name: Option<&str>) -> Result<PathBuf, Failure> {
    if let Some(name) = name {
        return Ok(dir.join(format!("{name}.sock")));
    }
    let mut sockets: Vec<PathBuf> =
        fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    sockets.retain(|path| path.extension().is_some_and(|e| e == "sock") && UnixStream::connect(path).is_ok());
    sockets.sort_by(|a, b| a.file_stem().cmp(&b.file_stem()));
    match &sockets[..] {
        [one] => Ok(one.clone()),
        [] => Err(Failure::environment(format!(
            "no daemon of yours is running (none answers in {}); start one with `tunstack serve`",
            dir.display()
        ))),
        several => {
            let names: Vec<_> = several.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
            Err(Failure::environment(format!("several daemons are running; choose by --tun: {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ss::sample;
    use super::*;
    use crate::stats::Stats;
    use crate::tcp::state::State;

    fn dir() -> (tempfile::TempDir, PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("tunstack");
        (top, dir)
    }

    #[test]
    fn rows_are_asked_for_and_come() {
        let (_top, dir) = dir();
        let link = Link {
            name: "tun0".into(),
            mtu: 1500,
            offloads: "none".into(),
            super_in: 0,
            super_out: 0,
            lost: 0,
            queues: 1,
        };
        let rows: Vec<Row> = (0..500).map(|_| sample(State::Established)).collect();
        let fragments = Some(Fragments::of(&Stats::default()));
        let report = Report { links: vec![link.clone(), Link { name: "tun1".into(), ..link }], fragments, rows };
        let offered = report.clone();
        let control = Control::offer(&dir, "tun0", move || offered.clone()).unwrap();
        assert_eq!(fs::metadata(control.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        assert_eq!(find(&dir, None).unwrap(), control.path());
        assert_eq!(ask(control.path()).unwrap(), report);

        let second = Control::offer(&dir, "tun0", Report::default).unwrap();
        assert_ne!(second.path(), control.path());
        assert!(find(&dir, None).unwrap_err().text.contains("choose by --tun: tun0, tun0-"));
        drop(second);
        assert_eq!(ask(control.path()).unwrap().rows.len(), 500);

        drop(control);
        assert!(find(&dir, None).unwrap_err().text.contains("no daemon"));
    }

    #[test]
    fn a_dead_daemon_s_socket_is_taken_over() {
        let (_top, dir) = dir();
        own_directory(&dir).unwrap();
        drop(UnixListener::bind(dir.join("tun0.sock")).unwrap());
        let control = Control::offer(&dir, "tun0", Report::default).unwrap();
        assert_eq!(control.path(), dir.join("tun0.sock"));
        assert_eq!(ask(control.path()).unwrap(), Report::default());
    }

    #[test]
    fn nonsense_is_answered_and_ends_nothing() {
        let (_top, dir) = dir();
        let control = Control::offer(&dir, "tun0", Report::default).unwrap();
        let answer = |bytes: &[u8]| {
            let mut stream = UnixStream::connect(control.path()).unwrap();
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        };
        assert!(answer(b"{\"command\":\"format\"}\n").contains("\"error\""));
        assert!(answer(b"\xff\xff\n").contains("not text"));
        answer(&vec![b'x'; 70_000]);
        answer(b"");
        answer(&[b"[".repeat(10_000), b"\n".to_vec()].concat());
        assert_eq!(ask(control.path()).unwrap(), Report::default());
    }

    #[test]
    fn a_directory_that_others_enter_is_refused() {
        let (_top, dir) = dir();
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Control::offer(&dir, "tun0", Report::default).unwrap_err().to_string().contains("0700"));
        let link = dir.with_extension("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(own_directory(&link).is_err());
    }
}
