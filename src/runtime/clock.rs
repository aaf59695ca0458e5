//! The one clock: [`Instant`]s made from the system's monotonic clock.

use crate::time::Instant;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// The time since this process first asked. It never goes back, on whichever thread.
pub fn now() -> Instant {
    Instant::ZERO + START.elapsed()
}

/// The time from 1970-01-01 UTC to the moment at which [`now`] was zero, as the system's clock shows it at this moment.
/// For captures, whose times people compare with other logs; nothing in the stack depends on it.
pub fn origin() -> Duration {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since_1970.saturating_sub(now().since(Instant::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_on_all_threads() {
        let first = now();
        std::thread::sleep(Duration::from_millis(2));
        let second = std::thread::spawn(now).join().unwrap();
        assert!(second.since(first) >= Duration::from_millis(2));
    }

    #[test]
    fn the_origin_and_the_time_since_make_the_date() {
        let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let ours = origin() + now().since(Instant::ZERO);
        assert!(ours.abs_diff(date) < Duration::from_secs(2), "{ours:?} and {date:?}");
    }
}
