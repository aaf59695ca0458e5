//! The one clock: [`Instant`]s made from the system's monotonic clock.

use crate::time::Instant;
use std::sync::LazyLock;

static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// The time since this process first asked. It never goes back, on whichever thread.
pub fn now() -> Instant {
    Instant::ZERO + START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_goes_forward_on_all_threads() {
        let first = now();
        std::thread::sleep(Duration::from_millis(2));
        let second = std::thread::spawn(now).join().unwrap();
        assert!(second.since(first) >= Duration::from_millis(2));
    }
}
