//! Header prediction: the segments that nearly all of a transfer consists of, the next piece of text, the ACK of new data
//! and both in one, are taken here without walking the steps of [`input`](super::input). Whatever is unusual is left to them.

use super::config::Memory;
use super::connection::{Cx, Tcb};
use super::segment::Segment;
use super::state::State;
use crate::wire::tcp::Flags;

impl Tcb {
    /// Takes `segment` if it is what was expected, and says whether it was.
    pub(super) fn predicted(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> bool {
        let flags = segment.flags.0 & !Flags::PSH.0;
        let as_expected = self.state == State::Established
            && flags == Flags::ACK.0
            && !segment.ce
            && segment.seq == self.rcv.nxt
            && self.snd.wnd > 0
            && segment.wnd > 0
            && self.ack_is_expected(segment)
            && self.text_is_expected(segment, cx);
        if !as_expected {
            return false;
        }
        match (&mut self.negotiated.timestamps, segment.options.timestamps) {
            (None, _) => {}
            (Some(ours), Some((value, _))) if !ours.is_old(cx.now, value) => ours.update(cx.now, segment.seq, value),
            _ => return false,
        }
        self.keepalive.on_heard(cx.now);
        if segment.ack != self.snd.una {
            self.on_ack(segment, false, cx);
        }
        if !segment.text.is_empty() {
            self.note_echo(segment, cx.now);
            self.rcv.insert(segment, cx.config, cx.now, true);
            self.totals.bytes_received += segment.text.len() as u64;
        }
        self.snd.update_window(segment.seq, segment.ack, self.scaled_window(segment));
        true
    }

    /// It acknowledges something new and recovers nothing, or brings text. (What does neither may be a duplicate ACK.)
    fn ack_is_expected(&self, segment: &Segment) -> bool {
        if segment.ack == self.snd.una {
            return !segment.text.is_empty() && segment.options.sack.is_empty();
        }
        segment.ack.after(self.snd.una)
            && segment.ack.at_or_before(self.snd.nxt)
            && segment.options.sack.is_empty()
            && self.recovery.is_quiet()
    }

    /// It brings no text, or the next in order, for which there is room.
    fn text_is_expected(&self, segment: &Segment, cx: &Cx<'_>) -> bool {
        segment.text.is_empty()
            || (segment.text.len() as u32 <= self.rcv.wnd()
                && self.rcv.assembler.is_empty()
                && self.rcv.fin.is_none()
                && cx.memory < Memory::Full
                && !cx.orphan)
    }
}
