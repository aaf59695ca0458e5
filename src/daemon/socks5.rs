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
use std::net::SocketAddr;
use std::process::ExitCode;

/// The options of `socks5`.
#[derive(Args, Debug)]
#[command(
    after_help = "Names are resolved here, over this stack: curl --socks5-hostname, or -x socks5h://. There is no \
authentication: whoever reaches the port uses it. A signal ends it. Exit codes are those of serve."
)]
pub(crate) struct Socks5Args {
    /// Where to listen, on the kernel's side
    #[arg(short, long, value_name = "ADDR:PORT", default_value = "127.0.0.1:1080")]
    listen: SocketAddr,
    #[command(flatten)]
    options: Options,
}

/// Runs `socks5`; the file's options are in `file`.
pub(crate) fn run(args: &Socks5Args, file: Options, quiet: bool) -> Result<ExitCode, Failure> {
    let settings = target::settings(args.options.clone(), file, "socks5")?;
    serve::run_with(&settings, true, |up| {
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
