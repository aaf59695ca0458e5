use crate::buf::{Chunk, Slice};
use crate::device::Device;
use crate::runtime::transmit::{LIMIT, ROUNDS, TxQueue};
use crate::time::Instant;
use crate::wire::RxMeta;
use crate::wire::TxFrame;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Notes what it is given; it may be full, refuse, or be slow.
#[derive(Default)]
struct Notes {
    sent: Mutex<Vec<u32>>,
    room: AtomicUsize,
    refuses: AtomicBool,
    panics: AtomicBool,
    busy: AtomicBool,
}

impl Notes {
    fn with_room(room: usize) -> Arc<Notes> {
        Arc::new(Notes { room: AtomicUsize::new(room), ..Notes::default() })
    }
}

impl Device for Notes {
    fn recv(&self, _: Instant, _: &mut Chunk) -> io::Result<RxMeta> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&self, _: Instant, frame: &TxFrame) -> io::Result<()> {
        assert!(!self.panics.load(Ordering::SeqCst), "a device that panics");
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two threads write at once");
        let full = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err();
        let result = match () {
            () if full => Err(io::ErrorKind::WouldBlock.into()),
            () if self.refuses.load(Ordering::SeqCst) => Err(io::ErrorKind::InvalidInput.into()),
            () => {
                self.sent.lock().unwrap().push(number(frame));
                Ok(())
            }
        };
        self.busy.store(false, Ordering::SeqCst);
        result
    }

    fn mtu(&self) -> usize {
        1500
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        unreachable!("not polled here")
    }
}

fn frame(n: u32) -> TxFrame {
    TxFrame { payload: [Slice::copy_of(&n.to_be_bytes())].into_iter().collect(), ..TxFrame::default() }
}

fn number(frame: &TxFrame) -> u32 {
    u32::from_be_bytes(frame.to_vec().try_into().unwrap())
}

/// What a stack does: gives the numbers below `end` in order.
fn counter(at: &mut u32, end: u32) -> Option<TxFrame> {
    (*at < end).then(|| {
        *at += 1;
        frame(*at - 1)
    })
}

#[test]
fn what_did_not_fit_is_pulled_by_the_holder() {
    let notes = Notes::with_room(usize::MAX);
    let (tx, mut at) = (TxQueue::new(notes.clone()), 0);
    assert!(tx.fill(|| counter(&mut at, 200)));
    let left = tx.drain(|| {
        tx.fill(|| counter(&mut at, 200));
    });
    assert!(!left.work);
    assert_eq!(*notes.sent.lock().unwrap(), (0..200).collect::<Vec<_>>());
    assert!(!tx.fill(|| None) && !tx.has_work());
}

#[test]
fn one_thread_does_not_write_for_ever() {
    let (notes, mut at) = (Notes::with_room(usize::MAX), 0);
    let tx = TxQueue::new(notes.clone());
    tx.fill(|| counter(&mut at, u32::MAX));
    let left = tx.drain(|| {
        tx.fill(|| counter(&mut at, u32::MAX));
    });
    assert!(left.work);
    assert!(tx.has_work());
    assert!(notes.sent.lock().unwrap().len() <= ROUNDS * LIMIT);
}

#[test]
fn a_full_device_keeps_a_bounded_batch_in_order() {
    let (notes, mut at) = (Notes::with_room(10), 0);
    let tx = TxQueue::new(notes.clone());
    tx.fill(|| counter(&mut at, 1000));
    assert!(tx.drain(|| unreachable!("no refill while the device is full")).work);
    assert!(tx.is_blocked() && !tx.has_work());
    for _ in 0..10 {
        tx.fill(|| counter(&mut at, 1000));
    }
    assert!(at as usize <= 10 + LIMIT, "{at} frames pulled");
    assert!(!tx.drain(|| unreachable!()).work, "only the caretaker tries again");
    notes.room.store(usize::MAX, Ordering::SeqCst);
    tx.unblock();
    for _ in 0..100 {
        tx.drain(|| {
            tx.fill(|| counter(&mut at, 1000));
        });
    }
    assert_eq!(*notes.sent.lock().unwrap(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn refused_frames_are_counted_and_lost() {
    let (notes, mut at) = (Notes::with_room(usize::MAX), 0);
    let tx = TxQueue::new(notes.clone());
    notes.refuses.store(true, Ordering::SeqCst);
    tx.fill(|| counter(&mut at, 3));
    assert!(!tx.drain(|| ()).work);
    assert_eq!((tx.errors(), notes.sent.lock().unwrap().len()), (3, 0));
}

#[test]
fn a_panicking_device_does_not_keep_the_token() {
    let (notes, mut at) = (Notes::with_room(usize::MAX), 0);
    let tx = TxQueue::new(notes.clone());
    notes.panics.store(true, Ordering::SeqCst);
    tx.fill(|| counter(&mut at, 3));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tx.drain(|| ()))).is_err());
    notes.panics.store(false, Ordering::SeqCst);
    tx.fill(|| counter(&mut at, 5));
    assert!(!tx.drain(|| ()).work);
    assert_eq!(*notes.sent.lock().unwrap(), [3, 4]);
}

#[test]
fn after_the_end_nothing_is_taken_and_the_device_is_free() {
    let (notes, mut at) = (Notes::with_room(usize::MAX), 0);
    let tx = TxQueue::new(notes.clone());
    tx.fill(|| counter(&mut at, 3));
    tx.end();
    assert!(!tx.fill(|| unreachable!("not pulled")));
    assert!(!tx.drain(|| unreachable!()).work);
    assert_eq!(Arc::strong_count(&notes), 1);
}

#[test]
fn many_threads_write_in_the_order_of_pulling() {
    const END: u32 = 20_000;
    for _ in 0..5 {
        let notes = Notes::with_room(usize::MAX);
        let (tx, stack) = (TxQueue::new(notes.clone()), Mutex::new(0));
        let fill = || {
            let mut at = stack.lock().unwrap();
            let mut pulls = 0;
            tx.fill(|| {
                pulls += 1;
                if pulls > 3 { None } else { counter(&mut at, END) }
            })
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while *stack.lock().unwrap() < END {
                        if fill() {
                            tx.drain(|| {
                                fill();
                            });
                        }
                    }
                });
            }
        });
        for _ in 0..10 {
            tx.drain(|| {
                fill();
            });
        }
        assert_eq!(*notes.sent.lock().unwrap(), (0..END).collect::<Vec<_>>());
    }
}
