//! Whom `ping` and `traceroute` ask.

use super::error::Failure;
use super::options::Options;
use super::settings::{Capture, Settings};
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
    /// The address that `text` is.
    ///
    /// # Errors
    /// A usage failure if it is none, or one of the other family.
    pub(crate) fn address(self, text: &str) -> Result<IpAddr, Failure> {
        let addr: IpAddr = text.parse().map_err(|_| {
            Failure::usage(format!(
                "{text}: not an address such as 192.0.2.1 or 2001:db8::1; names are not resolved yet"
            ))
        })?;
        match addr {
            IpAddr::V4(_) if self.ipv6 => Err(Failure::usage(format!("{text}: -6 wants an address of IPv6"))),
            IpAddr::V6(_) if self.ipv4 => Err(Failure::usage(format!("{text}: -4 wants an address of IPv4"))),
            addr => Ok(addr),
        }
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
            (family(false, false), "example.org", false),
        ] {
            assert_eq!(family.address(text).is_ok(), good, "{family:?} {text}");
        }
        let failure = family(false, false).address("example.org").unwrap_err();
        assert!(failure.text.contains("names are not resolved yet"), "{failure}");
    }

    #[test]
    fn seconds_are_positive_and_may_have_a_point() {
        assert_eq!(seconds("0.2"), Ok(Duration::from_millis(200)));
        for wrong in ["0", "-1", "nan", "inf", "soon", "1e9"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
