//! The Range header (RFC 9110 14.2): one range of bytes, or none.

/// What to send of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// From the first offset, so many bytes.
    Range {
        /// The offset of the first byte.
        start: u64,
        /// How many bytes, at least one.
        len: u64,
    },
    /// The range lies behind the end.
    Unsatisfiable,
}

/// What `header` asks of a body of `total` bytes. A header that is malformed, or asks for several ranges, is ignored,
/// as the RFC allows.
pub(crate) fn part(header: Option<&str>, total: u64) -> Part {
    match header.and_then(|h| parse(h, total)) {
        None => Part::Whole,
        Some(None) => Part::Unsatisfiable,
        Some(Some((start, len))) => Part::Range { start, len },
    }
}

/// `None` if it is no range that we serve, `Some(None)` if no byte is in it.
fn parse(header: &str, total: u64) -> Option<Option<(u64, u64)>> {
    let (unit, spec) = header.split_once('=')?;
    let (first, last) = spec.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    if first.is_empty() {
        let suffix = number(last)?.min(total);
        return Some((suffix > 0).then(|| (total - suffix, suffix)));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    if first >= total {
        return Some(None);
    }
    Some(Some((first, last.min(total - 1) - first + 1)))
}

/// Digits and nothing else: `u64::from_str` would take a plus sign.
pub(super) fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |start, len| Part::Range { start, len };
        for (header, total, expected) in [
            ("bytes=0-499", 1000, range(0, 500)),
            ("bytes=500-999", 1000, range(500, 500)),
            ("bytes=500-", 1000, range(500, 500)),
            ("bytes=-500", 1000, range(500, 500)),
            ("bytes=-5000", 1000, range(0, 1000)),
            ("bytes=990-5000", 1000, range(990, 10)),
            ("Bytes = 0-0", 1000, range(0, 1)),
            ("bytes=999-18446744073709551615", 1000, range(999, 1)),
            ("bytes=1000-", 1000, Part::Unsatisfiable),
            ("bytes=-0", 1000, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=-1", 0, Part::Unsatisfiable),
            ("bytes=5-4", 1000, Part::Whole),
            ("bytes=0-1,3-4", 1000, Part::Whole),
            ("bytes=+1-2", 1000, Part::Whole),
            ("bytes=a-b", 1000, Part::Whole),
            ("bytes=99999999999999999999-", 1000, Part::Whole),
            ("bytes=", 1000, Part::Whole),
            ("bytes=-", 1000, Part::Whole),
            ("lines=0-1", 1000, Part::Whole),
        ] {
            assert_eq!(part(Some(header), total), expected, "{header} of {total}");
        }
        assert_eq!(part(None, 5), Part::Whole);
    }
}
