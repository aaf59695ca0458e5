//! Whom the clients ask.

use super::error::Failure;
use super::options::Options;
use super::settings::{Capture, Settings};
use crate::dns::Families;
use crate::net::Host;
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The IP version to use.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Family {
    /// Only by IPv4
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// Only by IPv6
    #[arg(short = '6', long)]
    ipv6: bool,
}

impl Family {
    /// The IP versions that are left.
    pub(crate) fn families(self) -> Families {
        match (self.ipv4, self.ipv6) {
            (true, _) => Families::V4,
            (_, true) => Families::V6,
            _ => Families::Both,
        }
    }

    /// Refuses an address of the other version.
    ///
    /// # Errors
    /// A usage failure.
    pub(crate) fn check(self, text: &str) -> Result<(), Failure> {
        match text.parse() {
            Ok(IpAddr::V4(_)) if self.ipv6 => Err(Failure::usage(format!("{text}: -6 wants an address of IPv6"))),
            Ok(IpAddr::V6(_)) if self.ipv4 => Err(Failure::usage(format!("{text}: -4 wants an address of IPv4"))),
            _ => Ok(()),
        }
    }

    /// The first address of the host called `name`, or the address that it is.
    ///
    /// # Errors
    /// As [`Host::resolve`], and if all addresses are of the other version; for the command a usage failure, as of ping(8).
    pub(crate) fn resolve(self, host: &Host, name: &str) -> Result<IpAddr, Failure> {
        let families = self.families();
        let addrs = match name.parse() {
            Ok(addr) => vec![addr],
            Err(_) => host.resolve(name).map_err(|e| Failure::usage(e.to_string()))?,
        };
        let first = addrs.into_iter().find(|addr| families.holds(*addr));
        first.ok_or_else(|| Failure::usage(format!("{name}: it has no address of the version that is wanted")))
    }
}

/// The unspecified address of the same family.
pub(crate) fn any(addr: IpAddr) -> IpAddr {
    if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// The settings of a command that offers nothing and writes to the standard output.
///
/// # Errors
/// A usage failure if it is to offer something, or to write packets there.
pub(crate) fn settings(options: Options, file: Options, command: &str) -> Result<Settings, Failure> {
    if !Settings::try_from(options.clone())?.bare {
        return Err(Failure::usage(format!("services are offered by `tunstack serve`, not by `{command}`")));
    }
    // What the file offers is for `serve`; here it is not started.
    let settings: Settings = options.or(file).try_into()?;
    if settings.pcap == Some(Capture::Stdout) {
        return Err(Failure::usage("--pcap -: the standard output is for the results"));
    }
    Ok(settings)
}

/// Reads a number of seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is no number of seconds from 0.001 to 86400");
    let seconds = text.parse().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_wanted_family() {
        let family = |ipv4, ipv6| Family { ipv4, ipv6 };
        for (family, text, good) in [
            (family(false, false), "192.0.2.1", true),
            (family(true, false), "192.0.2.1", true),
            (family(false, true), "192.0.2.1", false),
            (family(false, false), "2001:db8::1", true),
            (family(true, false), "2001:db8::1", false),
            // What a name stands for is seen later.
            (family(true, false), "example.org", true),
        ] {
            assert_eq!(family.check(text).is_ok(), good, "{family:?} {text}");
        }
    }

    #[test]
    fn seconds_are_positive_and_may_have_a_point() {
        assert_eq!(seconds("0.2"), Ok(Duration::from_millis(200)));
        for wrong in ["0", "-1", "nan", "inf", "soon", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
