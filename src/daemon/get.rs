//! `tunstack get`: a file over HTTP or HTTPS, with curl's flags and exit codes.

use super::client;
use super::error::Failure;
use super::options::Options;
use super::output;
use super::target::{Family, seconds};
use crate::apps::get::{Error, Head, Request, Sink, Trust, fetch, parse_url};
use crate::dns::ConnectError;
use crate::net::Host;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Redirects that are followed, unless another number is given; curl's figure.
const REDIRECTS: u32 = 50;

/// Time for connecting, unless another is given; curl's figure.
const CONNECTING: Duration = Duration::from_secs(300);

/// The options of `get`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes are curl's: 0 done, 3 no URL, 6 the name has no address, 7 no connection, 18 not all of it came, \
22 the server refuses (-f), 23 it cannot be written, 28 it took too long, 33 and 36 it cannot be resumed, 35 no TLS, \
47 too many redirects, 52 no answer, 55 and 56 sending and receiving failed, 60 the certificate is not believed, 77 the file \
of certificates cannot be read. Those of serve are for the stack itself."
)]
pub(crate) struct GetArgs {
    /// What to fetch, by http or https; a name without a scheme is http
    #[arg(value_name = "URL")]
    url: String,
    /// Write to this file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fetch what is missing behind the first N bytes, or for - behind what the file has
    #[arg(short = 'C', long, value_name = "-|N", requires = "output", allow_hyphen_values = true)]
    continue_at: Option<String>,
    /// Fail if the server says that it failed, and write nothing then
    #[arg(short, long)]
    fail: bool,
    /// Follow redirects
    #[arg(short = 'L', long)]
    location: bool,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = REDIRECTS)]
    max_redirs: u32,
    /// Seconds that everything may take
    #[arg(short, long, value_name = "S", value_parser = seconds)]
    max_time: Option<Duration>,
    /// Seconds that connecting may take, TLS included [default: 300]
    #[arg(long, value_name = "S", value_parser = seconds)]
    connect_timeout: Option<Duration>,
    /// Believe the certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    cacert: Option<PathBuf>,
    /// Believe whoever answers
    #[arg(short = 'k', long)]
    insecure: bool,
    #[command(flatten)]
    family: Family,
    #[command(flatten)]
    options: Options,
}

/// Runs `get`; the file's options are in `file`.
pub(crate) fn run(args: &GetArgs, file: Options, quiet: bool) -> Result<ExitCode, Failure> {
    let request = match args.request() {
        Ok(request) => request,
        Err(error) => return Ok(told(&error)),
    };
    client::run(args.options.clone(), file, "get", |host, _| {
        let mut output = Output::new(args.output.clone(), request.offset, quiet);
        let fetched = args.fetch(host, &request, &mut output);
        output.end();
        Ok(fetched.map_or_else(|error| told(&error), |_| ExitCode::SUCCESS))
    })
}

fn told(error: &Error) -> ExitCode {
    // Some of it may be the server's words.
    output::note(&output::printable(&format!("tunstack: ({}) {error}", error.code())));
    ExitCode::from(error.code())
}

impl GetArgs {
    fn request(&self) -> Result<Request, Error> {
        let offset = match (self.continue_at.as_deref(), &self.output) {
            (None, _) => 0,
            (Some("-"), Some(path)) => match fs::metadata(path) {
                Ok(file) => file.len(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
                Err(e) => return Err(Error::Write(e)),
            },
            (Some(text), path) => {
                let offset = text.parse().map_err(|_| Error::Url(format!("-C {text}: neither - nor a number")))?;
                let there = path.as_ref().and_then(|path| fs::metadata(path).ok()).map_or(0, |file| file.len());
                if offset > there {
                    return Err(Error::Resume);
                }
                offset
            }
        };
        let trust = match &self.cacert {
            _ if self.insecure => Trust::Anybody,
            Some(path) => Trust::File(path.clone()),
            None => Trust::System,
        };
        Ok(Request {
            url: parse_url(&self.url)?,
            offset,
            redirects: self.location.then_some(self.max_redirs),
            fail: self.fail,
            connecting: self.connect_timeout.unwrap_or(CONNECTING),
            until: self.max_time.map(|time| Instant::now() + time),
            trust,
        })
    }

    fn fetch(&self, host: &Host, request: &Request, output: &mut Output) -> Result<u16, Error> {
        let connect = |name: &str, port: u16, until: Instant| {
            let patience = until.saturating_duration_since(Instant::now());
            client::connect(host, name, port, self.family.families(), Some(patience)).map_err(|error| match error {
                ConnectError::Name(error) => Error::Name(error),
                ConnectError::Connect(error) => Error::Connect(error),
            })
        };
        fetch(request, connect, output)
    }
}

/// Where the file goes, and the bar that shows how far it is.
struct Output {
    path: Option<PathBuf>,
    offset: u64,
    file: Option<Box<dyn Write>>,
    bar: ProgressBar,
    quiet: bool,
}

impl Output {
    fn new(path: Option<PathBuf>, offset: u64, quiet: bool) -> Output {
        Output { path, offset, file: None, bar: ProgressBar::hidden(), quiet }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A file whose end is written anew, from the first byte on that there is for it.
struct Resumed {
    file: File,
    /// What stays, if the rest is there still.
    stays: Option<u64>,
}

impl Resumed {
    fn open(path: &Path, stays: u64) -> io::Result<Resumed> {
        Ok(Resumed { file: File::options().append(true).open(path)?, stays: Some(stays) })
    }
}

impl Write for Resumed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Some(stays) = self.stays.take() {
            self.file.set_len(stays)?;
        }
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for Output {
    fn begin(&mut self, head: &Head) -> io::Result<()> {
        self.file = Some(match &self.path {
            None => Box::new(io::stdout()),
            Some(path) if self.offset > 0 => Box::new(Resumed::open(path, self.offset)?),
            Some(path) => Box::new(File::create(path)?),
        });
        let shown = self.path.is_some() || !io::stdout().is_terminal();
        if !self.quiet && shown && io::stderr().is_terminal() {
            let total = head.length.and_then(|length| length.checked_add(self.offset));
            self.bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = if total.is_some() {
                "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
            } else {
                "{spinner} {bytes} {bytes_per_sec}"
            };
            self.bar.set_style(ProgressStyle::with_template(template).map_err(io::Error::other)?);
            self.bar.set_position(self.offset);
            self.bar.reset_eta();
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
            // The standard output is given out by lines else.
            file.flush()?;
        }
        self.bar.inc(bytes.len() as u64);
        Ok(())
    }
}
