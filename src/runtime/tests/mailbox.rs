use crate::buf::Slice;
use crate::runtime::mailbox::{CAPACITY, Mailbox};
use crate::wire::RxFrame;

fn frame(byte: u8) -> RxFrame {
    RxFrame::plain(Slice::copy_of(&[byte]))
}

#[test]
fn frames_come_out_in_order_and_no_more_than_fit() {
    let mailbox = Mailbox::default();
    assert!(!mailbox.has_mail() && mailbox.take().is_empty());
    for i in 0..CAPACITY {
        mailbox.post(frame(i as u8)).unwrap();
    }
    assert_eq!(&*mailbox.post(frame(7)).unwrap_err().data, &[7]);
    assert!(mailbox.has_mail());
    let taken = mailbox.take();
    assert!(taken.iter().enumerate().all(|(i, frame)| *frame.data == [i as u8]) && taken.len() == CAPACITY);
    assert!(!mailbox.has_mail());
    mailbox.post(frame(8)).unwrap();
    assert_eq!(mailbox.take().len(), 1);
}
