//! tokio's words for readiness.

use crate::net::Readiness;
use tokio::io::{Interest, Ready};

/// What `interest` waits for.
pub(super) fn wanted(interest: Interest) -> Readiness {
    let bits = [
        (interest.is_readable(), Readiness::READABLE),
        (interest.is_writable(), Readiness::WRITABLE),
        (interest.is_priority(), Readiness::PRIORITY),
        (interest.is_error(), Readiness::ERROR),
    ];
    bits.iter().filter(|(is, _)| *is).fold(Readiness::NONE, |all, (_, bit)| all | *bit)
}

/// What `readiness` is to one who waited for `interest`. An error or hang-up that it has no bit for is all of `interest`,
/// because no call blocks then.
pub(super) fn told(readiness: Readiness, interest: Interest) -> Ready {
    let (reads, writes) = (interest.is_readable(), interest.is_writable());
    let hangup = readiness.contains(Readiness::HANGUP);
    let failed = hangup || readiness.contains(Readiness::ERROR);
    let bits = [
        (reads && (failed || readiness.contains(Readiness::READABLE)), Ready::READABLE),
        (writes && (failed || readiness.contains(Readiness::WRITABLE)), Ready::WRITABLE),
        (reads && (hangup || readiness.contains(Readiness::READ_CLOSED)), Ready::READ_CLOSED),
        (writes && hangup, Ready::WRITE_CLOSED),
        (interest.is_priority() && readiness.contains(Readiness::PRIORITY), Ready::PRIORITY),
        (interest.is_error() && readiness.contains(Readiness::ERROR), Ready::ERROR),
    ];
    bits.iter().filter(|(is, _)| *is).fold(Ready::EMPTY, |all, (_, bit)| all | *bit)
}

/// The methods that all sockets have in common, which wait for readiness, and the ways from and to a socket of `net`.
macro_rules! socket {
    ($socket:ident, $net:ty) => {
        impl $socket {
            /// Waits until it is ready for any of `interest`, and says for what. Another task may be faster: a call may
            /// still fail with `WouldBlock`.
            ///
            /// # Errors
            /// If the host has ended.
            pub async fn ready(&self, interest: tokio::io::Interest) -> std::io::Result<tokio::io::Ready> {
                let wanted = super::ready::wanted(interest);
                let poll =
                    |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| self.0.poll_ready_in(cx, seat, wanted));
                Ok(super::ready::told(self.0.seated(poll).await?, interest))
            }

            /// Waits until it is readable: data, the end, or an error.
            ///
            /// # Errors
            /// If the host has ended.
            pub async fn readable(&self) -> std::io::Result<()> {
                self.ready(tokio::io::Interest::READABLE).await.map(drop)
            }

            /// Does `act`, a non-blocking call on this socket, if it is ready for any of `interest`.
            ///
            /// # Errors
            /// `WouldBlock` if it is not, and `act`'s.
            pub fn try_io<R>(
                &self,
                interest: tokio::io::Interest,
                act: impl FnOnce() -> std::io::Result<R>,
            ) -> std::io::Result<R> {
                let told = super::ready::wanted(interest) | Readiness::ERROR | Readiness::HANGUP;
                if self.0.readiness().intersects(told) { act() } else { Err(std::io::ErrorKind::WouldBlock.into()) }
            }

            /// Does `act`, a non-blocking call on this socket, until it gives something else than `WouldBlock`, and waits
            /// for `interest` before each time. `act` must not give `WouldBlock` of its own.
            ///
            /// # Errors
            /// `act`'s; or if the host has ended.
            pub async fn async_io<R>(
                &self,
                interest: tokio::io::Interest,
                mut act: impl FnMut() -> std::io::Result<R>,
            ) -> std::io::Result<R> {
                loop {
                    self.ready(interest).await?;
                    match act() {
                        Err(error) if super::would_block(&error) => {}
                        result => return result,
                    }
                }
            }

            /// Makes an asynchronous socket of `socket`, and all its clones non-blocking.
            ///
            /// # Errors
            /// None; the signature is tokio's `from_std`.
            pub fn from_net(socket: $net) -> std::io::Result<$socket> {
                socket.set_nonblocking(true)?;
                Ok($socket(socket))
            }

            /// The socket that it is made of, which is non-blocking.
            ///
            /// # Errors
            /// None; the signature is tokio's `into_std`.
            pub fn into_net(self) -> std::io::Result<$net> {
                Ok(self.0)
            }
        }

        /// For the options that tokio has no name for. The socket must be left non-blocking.
        impl AsRef<$net> for $socket {
            fn as_ref(&self) -> &$net {
                &self.0
            }
        }

        impl core::fmt::Debug for $socket {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

pub(super) use socket;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told() {
        let both = Interest::READABLE | Interest::WRITABLE;
        assert_eq!(wanted(both), Readiness::READABLE | Readiness::WRITABLE);
        assert_eq!(wanted(Interest::PRIORITY), Readiness::PRIORITY);
        assert_eq!(told(Readiness::WRITABLE, both), Ready::WRITABLE);
        let end = Readiness::READABLE | Readiness::READ_CLOSED;
        assert_eq!(told(end, Interest::READABLE), Ready::READABLE | Ready::READ_CLOSED);
        assert_eq!(told(end, Interest::WRITABLE), Ready::EMPTY);
    }

    /// Whoever is woken by an error must not be told of nothing, or it would wait again at once.
    #[test]
    fn an_error_is_never_nothing() {
        for error in [Readiness::ERROR, Readiness::HANGUP] {
            for interest in [Interest::READABLE, Interest::WRITABLE] {
                assert!(!told(error, interest).is_empty(), "{error:?} {interest:?}");
            }
        }
        assert_eq!(told(Readiness::ERROR, Interest::ERROR), Ready::ERROR);
    }
}
