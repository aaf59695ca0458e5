//! The driver as a task: what the host's own thread does elsewhere.

use super::timer::Timer;
use crate::device::Device;
use crate::net::{Builder, Drive, Host};
use crate::runtime::{Step, Steps, clock, pause_after};
use crate::sys::tasks::watch;
use crate::time::Instant;
use core::future::poll_fn;
use core::task::{Context, Poll};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// Steps that are driven before other tasks have their turn.
const STEPS: usize = 8;

/// Times that the end looks whether the last frames are sent, and then whether the device is let go, a millisecond apart.
const LOOKS: usize = 100;

impl Builder {
    /// As [`start`](Builder::start), driven by a task of the tokio runtime that this is called in: the host has no thread.
    /// Threads that block on its sockets wait for that task, so they must be none of a runtime of one thread. The host
    /// ends with the runtime.
    ///
    /// # Errors
    /// As [`start`](Builder::start); and if the device's descriptor cannot be waited on with epoll(7).
    ///
    /// # Panics
    /// Outside a runtime of tokio, and in one that was made without `enable_io`.
    pub fn start_on_runtime(self, device: impl Device + 'static) -> io::Result<Host> {
        self.start_queues_on_runtime(vec![Arc::new(device)])
    }

    /// As [`start_queues`](Builder::start_queues), on the runtime that this is called in, a task for each queue.
    ///
    /// # Errors
    /// As [`start_queues`](Builder::start_queues) and [`start_on_runtime`](Builder::start_on_runtime).
    ///
    /// # Panics
    /// As [`start_on_runtime`](Builder::start_on_runtime).
    pub fn start_queues_on_runtime(self, devices: Vec<Arc<dyn Device>>) -> io::Result<Host> {
        // No blocked thread takes the role.
        let host = self.drive(Drive::Caretaker).assemble(devices)?;
        // If one cannot be made, all end with the host.
        let drivers: Vec<Driver> =
            host.shards().iter().map(|s| Driver::new(Steps::new(s)?)).collect::<io::Result<_>>()?;
        for mut driver in drivers {
            tokio::spawn(async move {
                if let Err(error) = poll_fn(|cx| driver.poll(cx)).await {
                    log::error!("the driver cannot wait: {error}");
                }
            });
        }
        Ok(host)
    }
}

/// Ends the host in order, as [`Host::shutdown`] does, without blocking a thread. Dropped before it is done, it leaves the
/// host without listeners, and each connection with a FIN on its way.
///
/// # Errors
/// When no descriptor can be had for its timer; the host is shut down all the same, with no grace.
///
/// # Panics
/// As [`Builder::start_on_runtime`].
pub async fn shutdown(host: &Host, grace: Duration) -> io::Result<()> {
    let until = clock::now() + grace;
    host.shards().iter().for_each(|shard| shard.take_leave());
    let mut timer = Timer::new();
    for shard in host.shards() {
        poll_fn(|cx| match (shard.poll_leave(cx), &mut timer) {
            (Poll::Pending, Ok(timer)) => timer.poll_at(cx, clock::now(), until).unwrap_or(Poll::Ready(())),
            _ => Poll::Ready(()),
        })
        .await;
        shard.reset_all();
        look_for(&mut timer, || shard.has_sent_all()).await;
    }
    // The end of one is the end of all.
    host.shards().iter().for_each(|shard| shard.stop());
    for shard in host.shards() {
        look_for(&mut timer, || shard.has_let_go()).await;
    }
    timer.map(drop)
}

/// Looks every millisecond, and not for ever.
async fn look_for(timer: &mut io::Result<Timer>, mut done: impl FnMut() -> bool) {
    let Ok(timer) = timer else { return };
    for _ in 0..LOOKS {
        if done() {
            break;
        }
        let next = clock::now() + Duration::from_millis(1);
        poll_fn(|cx| timer.poll_at(cx, clock::now(), next).unwrap_or(Poll::Ready(()))).await;
    }
}

/// Drives a shard.
struct Driver {
    device: AsyncFd<OwnedFd>,
    alarm: AsyncFd<OwnedFd>,
    timer: Timer,
    /// The device was full when it rested last.
    blocked: bool,
    /// How often in a row the device was readable and had nothing.
    fruitless: u32,
    /// The last to go: then the device is let go.
    steps: Steps,
}

impl Driver {
    fn new(steps: Steps) -> io::Result<Driver> {
        let device = watch(steps.device().try_clone_to_owned()?)?;
        let alarm = watch(steps.alarm().try_clone_to_owned()?)?;
        Ok(Driver { device, alarm, timer: Timer::new()?, blocked: false, fruitless: 0, steps })
    }

    /// Ready when the host has ended, or the runtime is about to.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..STEPS {
            // Cleared before the device is read until there is nothing more, so that what comes after that is news.
            let readable = clear(self.device.poll_read_ready(cx))?;
            let room = self.blocked && clear(self.device.poll_write_ready(cx))?;
            let rung = clear(self.alarm.poll_read_ready(cx))?;
            self.steps.wake(rung, room);
            match self.steps.step() {
                Step::Again => {}
                Step::End => return Poll::Ready(Ok(())),
                Step::Rest { mut until, blocked, idle } => {
                    self.blocked = blocked;
                    self.fruitless = if readable && idle { self.fruitless + 1 } else { 0 };
                    let pause = pause_after(self.fruitless);
                    if let Some(pause) = pause {
                        // A link that is down. tokio keeps a hang-up for good, so the device is watched anew.
                        self.device = watch(self.steps.device().try_clone_to_owned()?)?;
                        until = Instant::earlier(until, Some(clock::now() + pause));
                    }
                    if !self.is_wanted(cx, until, pause.is_some())? {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether there is a next step already. If not, the task is woken for it: `until` then, by the alarm, or by the
    /// device, unless that is left alone.
    fn is_wanted(&mut self, cx: &mut Context<'_>, until: Option<Instant>, left_alone: bool) -> io::Result<bool> {
        let due = match until {
            Some(until) => self.timer.poll_at(cx, clock::now(), until)?.is_ready(),
            None => false,
        };
        Ok(due
            || !left_alone && self.device.poll_read_ready(cx).is_ready()
            || self.blocked && self.device.poll_write_ready(cx).is_ready()
            || self.alarm.poll_read_ready(cx).is_ready())
    }
}

/// Whether it is ready; from then on it is so no longer.
fn clear(ready: Poll<io::Result<AsyncFdReadyGuard<'_, OwnedFd>>>) -> io::Result<bool> {
    match ready {
        Poll::Ready(guard) => {
            guard?.clear_ready();
            Ok(true)
        }
        Poll::Pending => Ok(false),
    }
}
