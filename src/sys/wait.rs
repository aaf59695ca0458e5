//! Sleeping until a descriptor is ready, and waking a sleeper.

use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

pub use rustix::event::{PollFd, PollFlags};

/// Sleeps until one of `fds` is ready or `timeout` has passed (`None`: for as long as it takes), and says how many are
/// ready. The resolution is a nanosecond (ppoll(2)). A signal ends the sleep early with none ready, so a caller must
/// look at its own condition and at the clock again, as it must anyway.
///
/// # Errors
/// Only what a caller got wrong: too many descriptors.
pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(|t| Timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(t.subsec_nanos()),
    });
    match rustix::event::poll(fds, timeout.as_ref()) {
        Err(Errno::INTR) => {
            for fd in fds {
                fd.clear_revents();
            }
            Ok(0)
        }
        result => Ok(result?),
    }
}

/// Wakes a thread that sleeps in [`poll`] on this descriptor: an eventfd. It stays readable until drained.
#[derive(Debug)]
pub struct Kick(OwnedFd);

impl Kick {
    /// A kick that nobody has given yet.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> io::Result<Kick> {
        Ok(Kick(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Makes the descriptor readable.
    pub fn kick(&self) {
        // EAGAIN means that the counter is full, so it is readable already; nothing else can fail.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor silent again, and says whether it was readable.
    pub fn drain(&self) -> bool {
        rustix::io::read(&self.0, &mut [0u8; 8]).is_ok()
    }
}

impl AsFd for Kick {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A descriptor that polls writable while it is open, and not while it is shut: an eventfd whose counter is full then.
#[derive(Debug)]
pub struct Gate(OwnedFd);

impl Gate {
    /// One that is shut.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> io::Result<Gate> {
        let gate = Gate(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        gate.shut();
        Ok(gate)
    }

    /// It no longer polls writable.
    pub fn shut(&self) {
        // EAGAIN means that it is shut already; nothing else can fail.
        let _ = rustix::io::write(&self.0, &(u64::MAX - 1).to_ne_bytes());
    }

    /// It polls writable.
    pub fn open(&self) {
        // EAGAIN means that it is open already; nothing else can fail.
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }
}

impl AsFd for Gate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A timer that polls readable once its time has passed (timerfd_create(2)).
#[derive(Debug)]
pub struct TimerFd(OwnedFd);

impl TimerFd {
    /// One that is not set.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> io::Result<TimerFd> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(TimerFd(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Sets it to go off after `time`, at least a nanosecond, instead of when it was set to before.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn set(&self, time: Duration) -> io::Result<()> {
        let time = time.max(Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// Makes the descriptor silent again, and says whether it had gone off.
    pub fn take(&self) -> bool {
        rustix::io::read(&self.0, &mut [0u8; 8]).is_ok()
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn readable(kick: &Kick, timeout: Duration) -> bool {
        let mut fds = [PollFd::new(kick, PollFlags::IN)];
        poll(&mut fds, Some(timeout)).unwrap();
        fds[0].revents().contains(PollFlags::IN)
    }

    #[test]
    fn a_kick_wakes_until_it_is_drained() {
        let kick = Kick::new().unwrap();
        assert!(!readable(&kick, Duration::ZERO));
        kick.kick();
        kick.kick();
        assert!(readable(&kick, Duration::ZERO));
        assert!(kick.drain());
        assert!(!readable(&kick, Duration::ZERO));
        assert!(!kick.drain());
    }

    #[test]
    fn a_gate_polls_writable_while_it_is_open() {
        let gate = Gate::new().unwrap();
        let writable = || poll(&mut [PollFd::new(&gate, PollFlags::OUT)], Some(Duration::ZERO)).unwrap() == 1;
        for _ in 0..2 {
            assert!(!writable());
            gate.open();
            gate.open();
            assert!(writable());
            gate.shut();
            gate.shut();
        }
        assert!(!writable());
    }

    #[test]
    fn a_timer_goes_off_once_and_when_it_was_set_to_last() {
        let timer = TimerFd::new().unwrap();
        let ready = |timeout| poll(&mut [PollFd::new(&timer, PollFlags::IN)], Some(timeout)).unwrap() == 1;
        assert!(!ready(Duration::ZERO) && !timer.take());
        timer.set(Duration::from_secs(3600)).unwrap();
        assert!(!ready(Duration::ZERO));
        let began = Instant::now();
        timer.set(Duration::from_micros(300)).unwrap();
        assert!(ready(Duration::from_secs(20)));
        assert!(began.elapsed() >= Duration::from_micros(300));
        assert!(timer.take() && !timer.take() && !ready(Duration::ZERO));
        timer.set(Duration::ZERO).unwrap();
        assert!(ready(Duration::from_secs(20)), "no time is a short one");
    }

    #[test]
    fn a_kick_from_another_thread_ends_a_sleep() {
        let kick = Kick::new().unwrap();
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| kick.kick());
            assert!(readable(&kick, Duration::from_secs(20)));
        });
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_sleep_ends_by_its_timeout_below_a_millisecond() {
        let kick = Kick::new().unwrap();
        let began = Instant::now();
        assert!(!readable(&kick, Duration::from_micros(300)));
        assert!(began.elapsed() >= Duration::from_micros(300));
    }
}
