//! `tunstack socks5`: a SOCKS 5 server of the kernel's side, whose clients go over this stack.

use super::client;
use super::error::{Failure, Kind};
use super::forward::drive;
use super::options::Options;
use super::output;
use super::serve;
use super::target;
use crate::apps::socks5;
use clap::Args;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

/// The options of `socks5`.
#[derive(Args, Debug)]
#[command(
    after_help = "Names are resolved here, over this stack: curl --socks5-hostname, or -x socks5h://. There is no \
authentication: whoever reaches the port uses it. A signal ends it. Exit codes are those of serve."
)]
pub(crate) struct Socks5Args {
    /// Where to listen, on the kernel's side; without ADDR, and for localhost, at 127.0.0.1
    #[arg(short, long, value_name = "[ADDR:]PORT", default_value = "127.0.0.1:1080", value_parser = place)]
    listen: SocketAddr,
    #[command(flatten)]
    options: Options,
}

/// Reads where to listen. Whoever reaches the port uses it, so that all addresses must be asked for.
fn place(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    let local = port.parse().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    local.or_else(|_| text.parse()).map_err(|_| format!("{text}: neither a port nor an address with one"))
}

/// Runs `socks5`; the file's options are in `file`.
pub(crate) fn run(args: &Socks5Args, file: Options, quiet: bool) -> Result<ExitCode, Failure> {
    let settings = target::settings(args.options.clone(), file, "socks5")?;
    serve::run_with(&settings, true, |up| {
        client::allow_many_files();
        up.host.set_dns(settings.dns.clone()).map_err(Failure::because("a thread"))?;
        let runtime = client::runtime()?;
        let bound = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(args.listen).await?;
            let at = listener.local_addr()?;
            tokio::spawn(socks5::serve(up.host.clone(), listener));
            Ok::<_, std::io::Error>(at)
        });
        let at = bound.map_err(|e| Failure::new(Kind::Failure, format!("--listen {}: {e}", args.listen)))?;
        if !quiet {
            output::line(&format!("socks5 on {at}; try: curl -x socks5h://{at} http://example.org/"));
        }
        drive(runtime)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_listens_for_this_machine_unless_it_is_told_otherwise() {
        for (text, addr) in [
            ("1080", "127.0.0.1:1080"),
            (":1080", "127.0.0.1:1080"),
            ("localhost:1080", "127.0.0.1:1080"),
            ("0.0.0.0:1080", "0.0.0.0:1080"),
            ("[::1]:1080", "[::1]:1080"),
        ] {
            assert_eq!(place(text), Ok(addr.parse().unwrap()), "{text}");
        }
        for wrong in ["", ":", "localhost", "192.0.2.1", "example.org:1080", ":99999"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }
}
