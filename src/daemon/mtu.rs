//! Follows the link's MTU: whoever changes it with `ip link set` changes what the stack sends.

use super::netif::{LinkChanges, Netlink};
use crate::net::Host;
use crate::sys::wait::{Kick, PollFd, PollFlags, poll};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A pause between two looks at the link, so that no storm of changes makes a busy loop.
const PAUSE: Duration = Duration::from_millis(20);

/// The thread that follows. It ends when this is dropped, or when the link is gone.
#[derive(Debug)]
pub(crate) struct MtuFollower {
    stop: Arc<Kick>,
    thread: Option<JoinHandle<()>>,
}

impl MtuFollower {
    /// Follows the MTU of link `name`, up to `limit` bytes if there is one.
    pub(crate) fn start(host: Host, name: String, limit: Option<u32>) -> io::Result<MtuFollower> {
        let changes = LinkChanges::open().map_err(io::Error::other)?;
        let mut netlink = Netlink::open().map_err(io::Error::other)?;
        let stop = Arc::new(Kick::new()?);
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("mtu".into()).spawn(move || {
            // At once too: it may have changed since it was asked for.
            while follow(&host, &mut netlink, &name, limit) && wait(&changes, &stopped) {}
        })?;
        Ok(MtuFollower { stop, thread: Some(thread) })
    }
}

impl Drop for MtuFollower {
    fn drop(&mut self) {
        self.stop.kick();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been reported already, and harms nobody else.
            let _ = thread.join();
        }
    }
}

/// Gives the stack the link's MTU; false if there is nobody left to give it to or to ask.
fn follow(host: &Host, netlink: &mut Netlink, name: &str, limit: Option<u32>) -> bool {
    let Ok(link) = netlink.link(name) else { return false };
    let mtu = limit.map_or(link.mtu, |limit| link.mtu.min(limit)) as usize;
    let ours = host.interfaces().into_iter().find(|interface| interface.name.as_str() == name);
    if ours.is_some_and(|interface| interface.mtu == mtu) {
        return true;
    }
    match host.set_mtu_of(name, mtu) {
        Ok(()) => log::info!("{name}: the MTU is {mtu} now"),
        Err(error) => log::warn!("{name}: the link's MTU of {} cannot be used: {error}", link.mtu),
    }
    host.is_alive()
}

/// Waits for a change; false if it is time to stop.
fn wait(changes: &LinkChanges, stop: &Kick) -> bool {
    thread::sleep(PAUSE);
    let mut fds = [PollFd::new(changes, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
    let woken = poll(&mut fds, None).is_ok();
    let stopped = !fds[1].revents().is_empty();
    changes.drain();
    woken && !stopped
}
