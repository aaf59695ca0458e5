//! The standard input, for whoever can wait for it only for a while.

use std::io::{self, ErrorKind, Read};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Bytes that are read at once. By UDP each piece is a datagram.
const PIECE: usize = 16 * 1024;

/// Pieces that wait to be sent.
const PIECES: usize = 16;

/// What there is to be sent.
pub(super) enum Next {
    Data(Vec<u8>),
    /// Nothing has come meanwhile.
    Nothing,
    /// Nothing will come any more.
    End,
}

/// The standard input, read by a thread of its own.
pub(super) struct Stdin {
    pieces: Mutex<Receiver<Vec<u8>>>,
}

impl Stdin {
    pub(super) fn open() -> io::Result<Stdin> {
        let (sender, pieces) = sync_channel(PIECES);
        // It ends with the input, or with the process.
        thread::Builder::new().name("stdin".into()).spawn(move || {
            let mut buf = vec![0; PIECE];
            loop {
                match io::stdin().read(&mut buf) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => return,
                    Ok(n) if sender.send(buf[..n].to_vec()).is_err() => return,
                    Ok(_) => {}
                }
            }
        })?;
        Ok(Stdin { pieces: Mutex::new(pieces) })
    }

    /// The next piece, if it comes within `patience`.
    pub(super) fn next(&self, patience: Duration) -> Next {
        match self.pieces.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience) {
            Ok(data) => Next::Data(data),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }
}
