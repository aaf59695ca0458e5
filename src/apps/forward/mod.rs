//! Ports that lead elsewhere: from the kernel's side over this stack, or from this stack to the kernel's side.

mod tcp;
mod udp;

pub use tcp::tcp;
pub use udp::udp;

use crate::aio;
use crate::net::Host;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// How long accepting and receiving rest after an error that may pass.
const BREATH: Duration = Duration::from_millis(20);

/// Which port leads where: `[BIND:]PORT:HOST:PORT[/udp]`, as ssh has it. Addresses of IPv6 are in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The address to listen at, if it is said.
    pub bind: Option<IpAddr>,
    /// The port to listen on.
    pub port: u16,
    /// The name or address of the host that it leads to.
    pub host: String,
    /// The port there.
    pub to: u16,
    /// Whether it is a port of UDP.
    pub udp: bool,
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Spec, String> {
        let (plain, udp) = match text.rsplit_once('/') {
            None => (text, false),
            Some((plain, "udp")) => (plain, true),
            Some((plain, "tcp")) => (plain, false),
            Some((_, other)) => return Err(format!("{text}: \"{other}\" is neither tcp nor udp")),
        };
        let wrong = || format!("{text}: it must be [BIND:]PORT:HOST:PORT[/udp], such as 8080:example.org:80");
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
        let bare = |text: &str| {
            let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            inside.unwrap_or(text).to_owned()
        };
        let (bind, port, host, to) = match fields(plain)[..] {
            [port, host, to] => (None, port, host, to),
            [bind, port, host, to] => (Some(bare(bind).parse().map_err(|_| wrong())?), port, host, to),
            _ => return Err(wrong()),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Spec { bind, port: number(port)?, host: bare(host), to: number(to)?, udp })
    }
}

/// The parts between colons that stand in no brackets.
fn fields(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c| {
        inside = (inside || c == '[') && c != ']';
        c == ':' && !inside
    })
    .collect()
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.udp { "udp" } else { "tcp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{host}:{}/{kind}", self.to)
    }
}

/// The addresses that `spec` leads to; names are looked up by our resolver in both directions.
async fn addresses(host: &Host, spec: &Spec) -> io::Result<Vec<SocketAddr>> {
    let addrs = match spec.host.parse() {
        Ok(addr) => vec![addr],
        Err(_) => aio::resolve(host, &spec.host).await?,
    };
    Ok(addrs.into_iter().map(|addr| SocketAddr::new(addr, spec.to)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<Spec, String> {
        text.parse()
    }

    #[test]
    fn specs() {
        let plain = Spec { bind: None, port: 8080, host: "example.org".into(), to: 80, udp: false };
        assert_eq!(spec("8080:example.org:80"), Ok(plain.clone()));
        assert_eq!(spec("8080:example.org:80/tcp"), Ok(plain.clone()));
        assert_eq!(spec("8080:example.org:80/udp"), Ok(Spec { udp: true, ..plain.clone() }));
        let bound = Spec { bind: Some([192, 0, 2, 1].into()), ..plain.clone() };
        assert_eq!(spec("192.0.2.1:8080:example.org:80"), Ok(bound));
        let v6 = spec("[::1]:53:[2001:db8::1]:53/udp").unwrap();
        assert_eq!((v6.bind, &*v6.host), (Some("::1".parse().unwrap()), "2001:db8::1"));
        assert_eq!(v6.to_string(), "[2001:db8::1]:53/udp");
        for wrong in [
            "",
            "80",
            "80:a",
            "x:a:80",
            "0:a:80",
            "80:a:0",
            "80::80",
            "a:80:b:80",
            "80:a:80/sctp",
            "80:::1:80",
            "[::1:80:a:80",
        ] {
            assert!(spec(wrong).is_err(), "{wrong}");
        }
    }
}
