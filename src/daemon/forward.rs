//! `tunstack forward`: ports of the kernel's side that lead over this stack, or the other way round.

use super::client;
use super::error::{Failure, Kind};
use super::options::Options;
use super::output;
use super::serve;
use super::target;
use crate::aio;
use crate::apps::forward::{self, Spec};
use crate::net::Host;
use crate::sys::pktinfo;
use clap::Args;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use tokio::runtime::Runtime;

/// The options of `forward`.
#[derive(Args, Debug)]
#[command(after_help = "A signal ends it. Exit codes are those of serve.")]
pub(crate) struct ForwardArgs {
    /// [BIND:]PORT:HOST:PORT[/udp]: listen on PORT of the kernel's side (at BIND, else at 127.0.0.1), and connect to PORT of
    /// HOST over this stack; repeatable
    #[arg(value_name = "SPEC", required = true)]
    specs: Vec<Spec>,
    /// The other way round: listen on this stack (at BIND, else at all its addresses), and connect on the kernel's side. The
    /// names of hosts are looked up over this stack all the same
    #[arg(short = 'R', long)]
    reverse: bool,
    #[command(flatten)]
    options: Options,
}

/// Runs `forward`; the file's options are in `file`.
pub(crate) fn run(args: &ForwardArgs, file: Options, quiet: bool) -> Result<ExitCode, Failure> {
    let settings = target::settings(args.options.clone(), file, "forward")?;
    serve::run_with(&settings, true, |up| {
        client::allow_many_files();
        up.host.set_dns(settings.dns.clone()).map_err(Failure::because("a thread"))?;
        let runtime = client::runtime()?;
        for spec in &args.specs {
            let spec = Arc::new(spec.clone());
            let at =
                if args.reverse { on_stack(&runtime, &up.host, &spec) } else { on_kernel(&runtime, &up.host, &spec) };
            let at = at.map_err(|e| Failure::new(Kind::Failure, format!("port {} cannot be had: {e}", spec.port)))?;
            if !quiet {
                let way = if args.reverse { "on the kernel's side" } else { "over this stack" };
                output::line(&format!("{at} leads to {spec} {way}"));
            }
        }
        drive(runtime)
    })
}

/// Has a thread of its own run the tasks of `runtime`, until the process ends.
pub(super) fn drive(runtime: Runtime) -> Result<(), Failure> {
    let forever = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("relay".into()).spawn(forever).map(drop).map_err(Failure::because("a thread"))
}

fn on_kernel(runtime: &Runtime, host: &Host, spec: &Arc<Spec>) -> io::Result<SocketAddr> {
    let at = SocketAddr::new(spec.bind.unwrap_or(Ipv4Addr::LOCALHOST.into()), spec.port);
    let (host, spec) = (host.clone(), spec.clone());
    runtime.block_on(async {
        if spec.udp {
            let front = tokio::net::UdpSocket::bind(at).await?;
            pktinfo::tell_destinations(&front)?;
            let at = front.local_addr()?;
            tokio::spawn(forward::udp::<_, aio::UdpSocket>(host, front, spec));
            return Ok(at);
        }
        let listener = tokio::net::TcpListener::bind(at).await?;
        let at = listener.local_addr()?;
        tokio::spawn(forward::tcp(host, listener, spec));
        Ok(at)
    })
}

fn on_stack(runtime: &Runtime, host: &Host, spec: &Arc<Spec>) -> io::Result<SocketAddr> {
    let at = SocketAddr::new(spec.bind.unwrap_or(everywhere(host)), spec.port);
    let (host, spec) = (host.clone(), spec.clone());
    runtime.block_on(async {
        if spec.udp {
            let front = aio::UdpSocket::bind_on(&host, at).await?;
            let at = front.local_addr()?;
            tokio::spawn(forward::udp::<_, tokio::net::UdpSocket>(host, front, spec));
            return Ok(at);
        }
        let listener = aio::TcpListener::bind_on(&host, at).await?;
        let at = listener.local_addr()?;
        tokio::spawn(forward::tcp(host, listener, spec));
        Ok(at)
    })
}

/// The address that stands for all that the host has.
pub(super) fn everywhere(host: &Host) -> IpAddr {
    let v6 = host.addresses().iter().any(|own| own.addr.is_ipv6());
    if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}
