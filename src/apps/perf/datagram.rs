//! What UDP needs besides: a greeting that tells the server a stream's address, and a header by which loss and jitter
//! are seen.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of the longer header: seconds, microseconds, number.
pub(super) const HEADER: usize = 16;

/// A client's first datagram on a stream, and the server's answer, in the machine's byte order: each is the other's
/// mirror image.
pub(super) const GREETING: u32 = 0x3637_3839;
pub(super) const ANSWER: u32 = 0x3938_3736;

/// The same two of versions before 3.11 or so.
const OLD: [u32; 2] = [123_456_789, 987_654_321];

/// Whether `datagram` is the greeting or answer `word`.
pub(super) fn is(datagram: &[u8], word: u32) -> bool {
    let old = if word == GREETING { OLD[0] } else { OLD[1] };
    datagram.try_into().map(u32::from_ne_bytes).is_ok_and(|said| said == word || said == old)
}

/// Time of day, as it stands in a header.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Writes the header of datagram `number`, counted from 1.
pub(super) fn stamp(datagram: &mut [u8], number: u64, at: Duration, wide: bool) {
    datagram[..4].copy_from_slice(&(at.as_secs() as u32).to_be_bytes());
    datagram[4..8].copy_from_slice(&at.subsec_micros().to_be_bytes());
    if wide {
        datagram[8..16].copy_from_slice(&number.to_be_bytes());
    } else {
        datagram[8..12].copy_from_slice(&(number as u32).to_be_bytes());
    }
}

/// What was seen of a stream of datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Datagrams {
    /// Datagrams sent or, of those received, the highest number.
    pub(super) packets: u64,
    /// Numbers that were passed over and have not come since.
    pub(super) lost: u64,
    /// RFC 3550's estimate of the variation of the transit time, in seconds (6.4.1, A.8).
    pub(super) jitter: f64,
    transit: Option<f64>,
}

impl Datagrams {
    /// Takes account of a received datagram; one that is too short for its header is passed over.
    pub(super) fn arrived(&mut self, datagram: &[u8], at: Duration, wide: bool) {
        let word =
            |from: usize| -> Option<u32> { datagram.get(from..from + 4)?.try_into().ok().map(u32::from_be_bytes) };
        let number = if wide {
            word(8).zip(word(12)).map(|(high, low)| u64::from(high) << 32 | u64::from(low))
        } else {
            word(8).map(u64::from)
        };
        let (Some(seconds), Some(micros), Some(number)) = (word(0), word(4), number) else { return };
        if number > self.packets {
            self.lost = self.lost.saturating_add(number - self.packets - 1);
            self.packets = number;
        } else {
            // It was late and had been counted as lost.
            self.lost = self.lost.saturating_sub(1);
        }
        let transit = at.as_secs_f64() - f64::from(seconds) - f64::from(micros) * 1e-6;
        if let Some(before) = self.transit.replace(transit) {
            self.jitter += ((transit - before).abs() - self.jitter) / 16.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(number: u64, at: Duration, wide: bool) -> [u8; 16] {
        let mut bytes = [0; 16];
        stamp(&mut bytes, number, at, wide);
        bytes
    }

    #[test]
    fn loss_is_what_does_not_come_even_late() {
        for wide in [false, true] {
            let mut seen = Datagrams::default();
            for number in [1, 2, 5, 3, 6] {
                seen.arrived(&datagram(number, Duration::ZERO, wide), Duration::ZERO, wide);
            }
            assert_eq!((seen.packets, seen.lost, seen.jitter), (6, 1, 0.0));
            seen.arrived(&[0; 11], Duration::ZERO, wide);
            assert_eq!(seen.packets, 6);
        }
        // Nonsense from a stranger does not overflow.
        let mut seen = Datagrams::default();
        seen.arrived(&datagram(u64::MAX, Duration::ZERO, true), Duration::ZERO, true);
        seen.arrived(&datagram(0, Duration::ZERO, true), Duration::ZERO, true);
        assert_eq!(seen.lost, u64::MAX - 2);
    }

    #[test]
    fn jitter_is_of_the_transit_time_whatever_the_clocks_say() {
        let mut seen = Datagrams::default();
        for (number, sent, arrived) in [(1, 0, 5000), (2, 10, 5010), (3, 20, 5036)] {
            let millis = Duration::from_millis;
            seen.arrived(&datagram(number, millis(sent), false), millis(arrived), false);
        }
        assert!((seen.jitter - 0.001).abs() < 1e-9, "{}", seen.jitter);
    }

    #[test]
    fn greetings() {
        assert!(is(&GREETING.to_ne_bytes(), GREETING) && is(&ANSWER.to_ne_bytes(), ANSWER));
        assert!(is(&123_456_789u32.to_ne_bytes(), GREETING) && is(&987_654_321u32.to_ne_bytes(), ANSWER));
        assert!(!is(&ANSWER.to_ne_bytes(), GREETING) && !is(b"", GREETING) && !is(&[0; 5], GREETING));
    }
}
