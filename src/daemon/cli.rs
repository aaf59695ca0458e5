//! The command line.

use super::control;
use super::demo::{self, DemoArgs};
use super::dns::{self, DnsArgs};
use super::error::{Failure, Kind};
use super::forward::{self, ForwardArgs};
use super::get::{self, GetArgs};
use super::nc::{self, NcArgs};
use super::options::Options;
use super::output;
use super::perf::{self, PerfArgs};
use super::ping::{self, PingArgs};
use super::serve;
use super::settings::Settings;
use super::sim::{self, SimArgs};
use super::socks5::{self, Socks5Args};
use super::ss::{self, Filter};
use super::traceroute::{self, TracerouteArgs};
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A TCP/IP stack in user space, behind a TUN interface.
#[derive(Parser, Debug)]
#[command(
    name = "tunstack",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, \
4 the system lacks something (TUN, permission, namespace), 5 what was to be shown did not hold, 128+N signal N."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Tell more; twice: every packet. RUST_LOG chooses in detail
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// Tell only errors, without the lines at the start
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the stack on a TUN interface and serve on it
    #[command(visible_alias = "up")]
    Serve(Box<ServeArgs>),
    /// Show one page fetched by the kernel's TCP from ours, in a private network namespace
    Demo(DemoArgs),
    /// Measure throughput over this stack; the other end is iperf3 on the kernel's, or another of these
    Perf(Box<Client<PerfArgs>>),
    /// Ask a host for echoes over this stack
    Ping(Box<Client<PingArgs>>),
    /// Show the way to a host over this stack
    Traceroute(Box<Client<TracerouteArgs>>),
    /// Fetch a file by HTTP or HTTPS over this stack
    Get(Box<Client<GetArgs>>),
    /// Join the standard input and output with a connection of this stack
    Nc(Box<Client<NcArgs>>),
    /// Look a name up over this stack
    Dns(Box<Client<DnsArgs>>),
    /// Have ports of the kernel's side lead over this stack, or the other way round
    Forward(Box<Client<ForwardArgs>>),
    /// Offer this stack to programs that speak SOCKS 5
    Socks5(Box<Client<Socks5Args>>),
    /// Show the live connections of a running daemon
    Ss(SsArgs),
    /// Run two of these stacks against each other in virtual time, over a link as bad as you like
    Sim(SimArgs),
}

#[derive(Args, Debug)]
struct ServeArgs {
    #[command(flatten)]
    options: Options,
    /// The configuration file (TOML; the flags' names are its keys) [default: tunstack.toml in $XDG_CONFIG_HOME or /etc]
    #[arg(long, value_name = "FILE", env = "TUNSTACK_CONFIG", help_heading = "Running")]
    config: Option<PathBuf>,
}

/// What a command takes that is no daemon.
#[derive(Args, Debug)]
struct Client<A: Args> {
    #[command(flatten)]
    args: A,
    /// The configuration file, as of serve
    #[arg(long, value_name = "FILE", env = "TUNSTACK_CONFIG", help_heading = "Running")]
    config: Option<PathBuf>,
}

impl<A: Args> Client<A> {
    /// Runs it with the options of the file.
    fn run(&self, run: impl FnOnce(&A, Options) -> Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
        run(&self.args, Options::from_file(self.config.as_deref())?)
    }
}

#[derive(Args, Debug)]
struct SsArgs {
    /// The daemon's interface, if several run
    #[arg(long, value_name = "NAME", env = "TUNSTACK_TUN")]
    tun: Option<String>,
    /// Only listening sockets
    #[arg(short, long)]
    listening: bool,
    /// Listening sockets and all states
    #[arg(short, long)]
    all: bool,
    /// A line of numbers below each connection
    #[arg(short, long)]
    info: bool,
    /// Numbers, not names; they always are
    #[arg(short, long)]
    numeric: bool,
    /// TCP; nothing else is shown yet
    #[arg(short, long)]
    tcp: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Only these states: established, syn-recv, time-wait, ..., all, connected, bucket, big
    #[arg(value_name = "STATE")]
    states: Vec<String>,
}

/// The command. Those that offer nothing do not show the services that only `serve` has, and those that use no names not
/// whom to ask for them.
fn command() -> clap::Command {
    let without = |cli: clap::Command, names: &[&str], heading: &'static str| {
        let hide = |arg: clap::Arg| {
            let of_it = arg.get_help_heading() == Some(heading);
            arg.hide(of_it)
        };
        names.iter().fold(cli, |cli, name| cli.mut_subcommand(*name, |command| command.mut_args(hide)))
    };
    let clients = ["perf", "ping", "traceroute", "get", "nc", "dns", "forward", "socks5"];
    let cli = without(Cli::command(), &clients, "Services");
    without(cli, &["serve", "perf"], "Names")
}

/// Runs the command.
pub fn main() -> ExitCode {
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and the version are for the standard output and are no failure.
            let text = if e.use_stderr() { output::note } else { output::line };
            text(e.render().to_string().trim_end());
            return if e.use_stderr() { ExitCode::from(Kind::Usage as u8) } else { ExitCode::SUCCESS };
        }
    };
    start_log(cli.verbose, cli.quiet);
    let outcome = match cli.command {
        Command::Serve(args) => run_serve(*args, cli.quiet),
        Command::Demo(args) => demo::run(&args),
        Command::Perf(client) => client.run(|args, file| perf::run(args, file, cli.quiet)),
        Command::Ping(client) => client.run(|args, file| ping::run(args, file, cli.quiet)),
        Command::Traceroute(client) => client.run(traceroute::run),
        Command::Get(client) => client.run(|args, file| get::run(args, file, cli.quiet)),
        Command::Nc(client) => client.run(|args, file| nc::run(args, file, cli.quiet)),
        Command::Dns(client) => client.run(dns::run),
        Command::Forward(client) => client.run(|args, file| forward::run(args, file, cli.quiet)),
        Command::Socks5(client) => client.run(|args, file| socks5::run(args, file, cli.quiet)),
        Command::Ss(args) => run_ss(&args),
        Command::Sim(args) => sim::run(&args, cli.quiet),
    };
    outcome.unwrap_or_else(|failure| {
        output::note(&format!("tunstack: {failure}"));
        failure.exit_code()
    })
}

fn start_log(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "tunstack=debug",
        (false, _) => "tunstack=trace",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).format_timestamp_micros().init();
}

fn run_serve(args: ServeArgs, quiet: bool) -> Result<ExitCode, Failure> {
    let options = args.options.or(Options::from_file(args.config.as_deref())?);
    serve::run(&Settings::try_from(options)?, quiet)
}

fn run_ss(args: &SsArgs) -> Result<ExitCode, Failure> {
    let filter = Filter::new(args.listening, args.all, &args.states)?;
    let path = control::find(&control::directory(), args.tun.as_deref())?;
    let mut report = control::ask(&path).map_err(|e| {
        Failure::environment(format!("{}: {e}; is the daemon running, and is it yours?", path.display()))
    })?;
    report.rows.retain(|row| filter.shows(row));
    if args.json {
        for row in &report.rows {
            output::line(&serde_json::to_string(row).map_err(Failure::because("JSON"))?);
        }
    } else {
        output::line(ss::table(&report, args.info).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn ports_may_be_left_out() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        let Command::Serve(args) = parse("tunstack up --http --echo 7007 --hello -v").unwrap().command else {
            panic!()
        };
        let options = args.options;
        assert_eq!(
            (options.http, options.echo, options.hello, options.discard),
            (Some(80), Some(7007), Some(8000), None)
        );
        assert!(parse("tunstack serve --http eighty").is_err());
        assert!(parse("tunstack serve --tun a --tun-fd 3").is_err());
        assert!(parse("tunstack ss -tlni state established").is_ok());
        assert!(parse("tunstack serve -v -q").is_err());
    }
}
