//! What is wrong with a link, and the text that says so.

use super::Burst;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// How one direction of a link misbehaves. The default is a perfect link.
///
/// As text it is a list of `key=value` parted by commas, such as `loss=5%,delay=20ms,rate=10Mbit`:
///
/// | key | value |
/// |---|---|
/// | `loss`, `duplicate`, `reorder`, `corrupt` | probability: `5%` or `0.05` |
/// | `burst` | probability to enter a burst of losses, to leave it, and of a loss in it: `1%/25%` or `1%/25%/80%` |
/// | `nth` | the number of a packet that is lost, from 1 on; may be given many times |
/// | `pattern` | which packets pass and which are lost, again and again: `...x` loses every fourth |
/// | `bits` | bits that a corrupted packet has flipped |
/// | `delay`, `jitter`, `gap` | duration: `20ms`, `1.5s`, `300us`, `50ns` |
/// | `rate` | bits per second: `10Mbit`, `56kbit`, `1Gbit`, `9600bit` |
/// | `queue`, `mark`, `mtu` | bytes: `64KiB`, `100kB`, `1500` |
/// | `codel` | target, and interval (100 ms unless given): `5ms`, `5ms/100ms` |
/// | `outage` | from and to since the start: `10s-12s`; may be given many times |
/// | `until` | when the faults end, since the start: `60s` |
#[derive(Clone, Debug, PartialEq)]
pub struct Impairment {
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Losses in bursts, beside those.
    pub burst: Option<Burst>,
    /// Packets that are lost, by number: the first that is sent is 1.
    pub nth: Vec<u64>,
    /// Which packets are lost, from the first on and again and again; empty for none.
    pub pattern: Vec<bool>,
    /// Probability that a packet arrives twice.
    pub duplicate: f64,
    /// Probability that a packet is held back by [`gap`](Impairment::gap) while later ones overtake it.
    pub reorder: f64,
    /// Probability that a packet is damaged.
    pub corrupt: f64,
    /// How many bits, at random places, are flipped in a damaged packet. One flipped bit, the default, is always found
    /// by the Internet checksum; of two about one pair in 32 is not, which is the checksum's weakness and no defect of
    /// a stack.
    pub bits: u32,
    /// Time on the way.
    pub delay: Duration,
    /// Up to this much, evenly spread, is added to the delay of each packet. It does not reorder.
    pub jitter: Duration,
    /// How long a reordered packet is held back.
    pub gap: Duration,
    /// The bottleneck in bits per second; `None` is infinitely fast.
    pub rate: Option<u64>,
    /// Bytes that may wait before the bottleneck or, without a [`rate`](Impairment::rate), be on the way. A packet that
    /// finds no room is lost.
    pub queue: usize,
    /// A packet that finds more bytes than this waiting before the bottleneck is marked, if its transport is capable of
    /// ECN (RFC 3168).
    pub mark: Option<usize>,
    /// Target and interval of CoDel (RFC 8289), which then rules the queue of the bottleneck.
    pub codel: Option<(Duration, Duration)>,
    /// The largest packet in bytes that the link carries; a larger one is lost. `None` is no limit.
    pub mtu: Option<usize>,
    /// Spans of time, since the start, in which every packet is lost.
    pub outages: Vec<(Duration, Duration)>,
    /// When, since the start, loss, duplication, reordering, corruption and outages end. Delay, jitter, rate, queue
    /// and MTU are the link's nature and remain.
    pub until: Option<Duration>,
}

impl Default for Impairment {
    fn default() -> Self {
        Impairment {
            loss: 0.0,
            burst: None,
            nth: Vec::new(),
            pattern: Vec::new(),
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
            bits: 1,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            gap: Duration::from_millis(10),
            rate: None,
            queue: 1024 * 1024,
            mark: None,
            codel: None,
            mtu: None,
            outages: Vec::new(),
            until: None,
        }
    }
}

/// Why a text is no [`Impairment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    part: String,
    why: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in \"{}\": {}", self.part, self.why)
    }
}

impl core::error::Error for SpecError {}

const KEYS: [&str; 18] = [
    "loss",
    "burst",
    "nth",
    "pattern",
    "duplicate",
    "reorder",
    "corrupt",
    "bits",
    "delay",
    "jitter",
    "gap",
    "rate",
    "queue",
    "mark",
    "codel",
    "mtu",
    "outage",
    "until",
];

/// Those that may be given many times.
const LISTS: [&str; 2] = ["outage", "nth"];

/// CoDel's interval, unless another is given: the longest usual round trip (RFC 8289 4.3).
pub const CODEL_INTERVAL: Duration = Duration::from_millis(100);

impl FromStr for Impairment {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut spec = Impairment::default();
        let mut seen = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let fail = |why: String| SpecError { part: part.to_owned(), why };
            let (key, value) = part.split_once('=').ok_or_else(|| fail("expected key=value".to_owned()))?;
            let (key, value) = (key.trim(), value.trim());
            if seen.contains(&key) && !LISTS.contains(&key) {
                return Err(fail(format!("{key} is given twice")));
            }
            seen.push(key);
            spec.set(key, value).map_err(fail)?;
        }
        spec.check().map_err(|why| SpecError { part: text.to_owned(), why })?;
        Ok(spec)
    }
}

impl Impairment {
    /// What one setting cannot tell.
    pub(crate) fn check(&self) -> Result<(), String> {
        let queue = [("codel", self.codel.is_some()), ("mark", self.mark.is_some())];
        match queue.iter().find(|(_, given)| *given && self.rate.is_none()) {
            Some((key, _)) => Err(format!("{key} rules a queue, and without a rate there is none")),
            None => Ok(()),
        }
    }

    /// Sets what `key` names in the text form.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "loss" => self.loss = probability(value)?,
            "burst" => {
                let parts: Vec<f64> = value.split('/').map(|p| probability(p.trim())).collect::<Result<_, _>>()?;
                self.burst = match parts[..] {
                    [enter, leave] => Some(Burst { enter, leave, loss: 1.0 }),
                    [enter, leave, loss] => Some(Burst { enter, leave, loss }),
                    _ => return Err("expected two or three probabilities, such as 1%/25%".to_owned()),
                }
            }
            "nth" => match value.parse() {
                Ok(0) | Err(_) => return Err("expected the number of a packet, from 1 on".to_owned()),
                Ok(n) => self.nth.push(n),
            },
            "pattern" => {
                if value.is_empty() || value.len() > 10_000 || value.contains(|c| c != '.' && c != 'x') {
                    return Err("expected dots for packets that pass and x for those that are lost".to_owned());
                }
                self.pattern = value.bytes().map(|b| b == b'x').collect();
            }
            "duplicate" => self.duplicate = probability(value)?,
            "reorder" => self.reorder = probability(value)?,
            "corrupt" => self.corrupt = probability(value)?,
            "bits" => match value.parse() {
                Ok(bits @ 1..=64) => self.bits = bits,
                _ => return Err("expected a number from 1 to 64".to_owned()),
            },
            "delay" => self.delay = duration(value)?,
            "jitter" => self.jitter = duration(value)?,
            "gap" => self.gap = duration(value)?,
            "rate" => self.rate = Some(rate(value)?),
            "queue" => self.queue = bytes(value)?,
            "mark" => self.mark = Some(bytes(value)?),
            "codel" => {
                let (target, interval) = match value.split_once('/') {
                    Some((target, interval)) => (duration(target.trim())?, duration(interval.trim())?),
                    None => (duration(value)?, CODEL_INTERVAL),
                };
                if target.is_zero() || interval < target {
                    return Err("expected a target above zero and an interval no shorter".to_owned());
                }
                self.codel = Some((target, interval));
            }
            "mtu" => match bytes(value)? {
                mtu @ 68.. => self.mtu = Some(mtu),
                _ => return Err("every link carries 68 bytes".to_owned()),
            },
            "outage" => {
                let (from, to) = value.split_once('-').ok_or("expected from-to, such as 10s-12s")?;
                let (from, to) = (duration(from.trim())?, duration(to.trim())?);
                if from >= to {
                    return Err("an outage ends after it begins".to_owned());
                }
                self.outages.push((from, to));
            }
            "until" => self.until = Some(duration(value)?),
            _ => return Err(format!("unknown key; one of {} was expected", KEYS.join(", "))),
        }
        Ok(())
    }
}

fn probability(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim(), 100.0),
        None => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(n) if (0.0..=1.0).contains(&(n / scale)) => Ok(n / scale),
        _ => Err("expected a probability from 0% to 100%, such as 5% or 0.05".to_owned()),
    }
}

/// A non-negative number and the factor of its unit, multiplied.
fn scaled(text: &str, units: &[(&str, f64)], expected: &str) -> Result<f64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (text[..end].parse::<f64>(), text[end..].trim());
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|&(_, factor)| factor);
    match (number, factor) {
        (Ok(number), Some(factor)) if number * factor < 1e18 => Ok(number * factor),
        _ => Err(format!("expected {expected}")),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 60e9)];
    scaled(text, &units, "a duration such as 20ms").map(|nanos| Duration::from_nanos(nanos.round() as u64))
}

fn rate(text: &str) -> Result<u64, String> {
    let units = [("bit", 1.0), ("kbit", 1e3), ("Mbit", 1e6), ("Gbit", 1e9)];
    match scaled(text, &units, "a rate such as 10Mbit")?.round() as u64 {
        0 => Err("a link of rate 0 carries nothing; use an outage".to_owned()),
        rate => Ok(rate),
    }
}

pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    let (kib, mib) = (1024.0, 1024.0 * 1024.0);
    let units = [("", 1.0), ("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("KiB", kib), ("MiB", mib)];
    scaled(text, &units, "a size such as 64KiB").map(|n| n.round() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_understood() {
        let text = "loss=5%, duplicate=0.25,reorder=1%,corrupt=100%,bits=2,delay=20ms,jitter=1.5us,gap=3ns,\
                    burst=1%/25%, nth=3,nth=9,pattern=.x,mark=20kB,codel=5ms,mtu=1280,\
                    rate=10mbit,queue=64KiB,outage=1s-2s,outage=500ms - 1min,until=60s,";
        let expected = Impairment {
            loss: 0.05,
            burst: Some(Burst { enter: 0.01, leave: 0.25, loss: 1.0 }),
            nth: vec![3, 9],
            pattern: vec![false, true],
            duplicate: 0.25,
            reorder: 0.01,
            corrupt: 1.0,
            bits: 2,
            delay: Duration::from_millis(20),
            jitter: Duration::from_nanos(1500),
            gap: Duration::from_nanos(3),
            rate: Some(10_000_000),
            queue: 65_536,
            mark: Some(20_000),
            codel: Some((Duration::from_millis(5), Duration::from_millis(100))),
            mtu: Some(1280),
            outages: vec![
                (Duration::from_secs(1), Duration::from_secs(2)),
                (Duration::from_millis(500), Duration::from_secs(60)),
            ],
            until: Some(Duration::from_secs(60)),
        };
        assert_eq!(text.parse(), Ok(expected));
        assert_eq!("".parse(), Ok(Impairment::default()));
        for key in KEYS {
            let error = format!("{key}=?").parse::<Impairment>().unwrap_err().to_string();
            assert!(!error.contains("unknown key"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_part_and_the_way_out() {
        let cases = [
            ("loss", "in \"loss\": expected key=value"),
            ("delay=1s,loss=5", "in \"loss=5\": expected a probability from 0% to 100%, such as 5% or 0.05"),
            ("loss=-1%", "in \"loss=-1%\": expected a probability from 0% to 100%, such as 5% or 0.05"),
            ("loss=NaN", "in \"loss=NaN\": expected a probability from 0% to 100%, such as 5% or 0.05"),
            ("loss=1%,loss=2%", "in \"loss=2%\": loss is given twice"),
            ("delay=20", "in \"delay=20\": expected a duration such as 20ms"),
            ("delay=1.2.3s", "in \"delay=1.2.3s\": expected a duration such as 20ms"),
            ("delay=99999999999s", "in \"delay=99999999999s\": expected a duration such as 20ms"),
            ("rate=0bit", "in \"rate=0bit\": a link of rate 0 carries nothing; use an outage"),
            ("queue=1 mile", "in \"queue=1 mile\": expected a size such as 64KiB"),
            ("outage=2s-1s", "in \"outage=2s-1s\": an outage ends after it begins"),
            ("outage=2s", "in \"outage=2s\": expected from-to, such as 10s-12s"),
            ("burst=1%", "in \"burst=1%\": expected two or three probabilities, such as 1%/25%"),
            ("nth=0", "in \"nth=0\": expected the number of a packet, from 1 on"),
            ("pattern=.y", "in \"pattern=.y\": expected dots for packets that pass and x for those that are lost"),
            (
                "rate=1Mbit,codel=9ms/5ms",
                "in \"codel=9ms/5ms\": expected a target above zero and an interval no shorter",
            ),
            ("codel=5ms", "in \"codel=5ms\": codel rules a queue, and without a rate there is none"),
            ("mtu=67", "in \"mtu=67\": every link carries 68 bytes"),
            ("bits=0", "in \"bits=0\": expected a number from 1 to 64"),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Impairment>().unwrap_err().to_string(), error);
        }
        let unknown = "los=5%".parse::<Impairment>().unwrap_err().to_string();
        assert!(unknown.contains("unknown key") && unknown.contains("loss"), "{unknown}");
    }
}
