//! `tunstack dns`: what a name stands for, as dig(1) tells it, but briefly.

use super::client;
use super::error::Failure;
use super::options::Options;
use super::output;
use crate::dns::Resolver;
use clap::Args;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::process::ExitCode;

/// No server has answered, in dig's codes.
const NO_ANSWER: u8 = 9;

/// The options of `dns`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 there are records, 1 there are none, 9 no server answered, 2 something else is wrong; the \
others are those of serve."
)]
pub(crate) struct DnsArgs {
    /// The name, or the address whose names are wanted
    #[arg(value_name = "NAME")]
    name: String,
    /// The type of the records, such as MX [default: AAAA and A; PTR of an address]
    #[arg(value_name = "TYPE")]
    kind: Option<String>,
    /// Only what the records say
    #[arg(short, long)]
    short: bool,
    #[command(flatten)]
    options: Options,
}

/// Runs `dns`; the file's options are in `file`.
pub(crate) fn run(args: &DnsArgs, file: Options) -> Result<ExitCode, Failure> {
    client::run(args.options.clone(), file, "dns", |host, settings| {
        let resolver = Resolver::new(host, settings.dns.clone()).map_err(Failure::because("a thread"))?;
        Ok(args.ask(&resolver))
    })
}

impl DnsArgs {
    fn kinds(&self) -> Vec<&str> {
        match &self.kind {
            Some(kind) => vec![kind],
            None if self.name.parse::<IpAddr>().is_ok() => vec!["PTR"],
            None => vec!["AAAA", "A"],
        }
    }

    fn ask(&self, resolver: &Resolver) -> ExitCode {
        let mut failure: Option<io::Error> = None;
        let mut any = false;
        for kind in self.kinds() {
            match resolver.records(&self.name, kind) {
                Ok(records) => {
                    any |= !records.is_empty();
                    for record in records {
                        output::line(&if self.short { record.data } else { record.to_string() });
                    }
                }
                Err(error) => {
                    // Whoever does not answer one question is not asked the next.
                    let absent = error.kind() == ErrorKind::NotFound;
                    failure = Some(error);
                    if !absent {
                        break;
                    }
                }
            }
        }
        match failure {
            _ if any => ExitCode::SUCCESS,
            Some(error) => {
                output::note(&format!("tunstack: {error}"));
                ExitCode::from(code(&error))
            }
            None => ExitCode::FAILURE,
        }
    }
}

fn code(error: &io::Error) -> u8 {
    match error.kind() {
        ErrorKind::NotFound => 1,
        // What was asked for makes no sense; or a file, or what a server says.
        ErrorKind::InvalidInput | ErrorKind::Other => 2,
        _ => NO_ANSWER,
    }
}
