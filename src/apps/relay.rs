//! Two connections joined, one of the kernel's and one of ours, and what those share who join them.

use crate::aio;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Bytes on their way, in each direction.
const BUFFER: usize = 64 * 1024;

/// Connections that are served at once.
const MAX_SERVED: usize = 1024;

/// How long accepting rests after an error that may pass (no memory, no descriptor).
const BREATH: Duration = Duration::from_millis(20);

/// Places for those who are served.
pub(super) struct Seats(Arc<Semaphore>);

impl Default for Seats {
    fn default() -> Seats {
        Seats(Arc::new(Semaphore::new(MAX_SERVED)))
    }
}

impl Seats {
    /// A place, if one is free. It is given back when it is dropped.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// The next connection.
pub(super) async fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(e) => {
                log::debug!("accept: {e}");
                sleep(BREATH).await;
            }
        }
    }
}

/// Carries bytes both ways until both ends have ended. The end of one way is passed on as such, and a reset as a reset.
pub(super) async fn join(mut kernel: TcpStream, mut ours: aio::TcpStream) -> io::Result<()> {
    // What is small has been put together by those who sent it, or is urgent.
    let _ = (kernel.set_nodelay(true), ours.set_nodelay(true));
    let carried = copy_bidirectional_with_sizes(&mut kernel, &mut ours, BUFFER, BUFFER).await;
    if carried.is_err() {
        let _ = (kernel.set_zero_linger(), ours.set_zero_linger());
    }
    carried.map(drop)
}
