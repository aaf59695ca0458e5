//! Proportional rate reduction (RFC 6937 3): how much fast recovery sends for each ACK, so that the window shrinks by and
//! by to `ssthresh` instead of in one silence or one burst.
//!
//! Below `ssthresh` RFC 6937 offers two bounds, and which is right depends on the moment, so each ACK chooses (as RFC 9937
//! and Linux do). As long as ACKs show more losses, or only SACK, the queue at the bottleneck is full: the conservative
//! bound sends what has left the network. An ACK that moves SND.UNA and shows nothing lost is safe, and so is one after
//! which nothing is left in the network, as at a lost tail: slow start.

/// The state of one recovery. All sizes are in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prr {
    /// `RecoverFS`: what was in flight when it began.
    recover_fs: u32,
    /// `prr_delivered`.
    delivered: u64,
    /// `prr_out`.
    out: u64,
}

impl Prr {
    /// Recovery begins with `flight` bytes outstanding.
    pub fn new(flight: u32) -> Self {
        Prr { recover_fs: flight.max(1), delivered: 0, out: 0 }
    }

    /// An ACK delivered `delivered` bytes and left `pipe` in the network: gives `sndcnt`, how much may be sent now. It is
    /// `safe` if it moved SND.UNA and showed no loss.
    pub fn on_ack(&mut self, delivered: u32, safe: bool, pipe: u32, ssthresh: u32, mss: u32) -> u32 {
        self.delivered += u64::from(delivered);
        let banked = self.delivered.saturating_sub(self.out);
        let count = if pipe > ssthresh {
            let proportion = u128::from(self.delivered) * u128::from(ssthresh);
            let due = proportion.div_ceil(u128::from(self.recover_fs));
            u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.out)
        } else {
            let slow_start = if safe || pipe == 0 { u64::from(mss) } else { 0 };
            let limit = banked.max(u64::from(delivered)) + slow_start;
            u64::from(ssthresh - pipe).min(limit)
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// `sent` bytes went out, new ones or again.
    pub fn on_sent(&mut self, sent: u32) {
        self.out += u64::from(sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays RFC 6937 3.1's examples: twenty segments in flight, the first `losses` of them lost. Gives how many segments
    /// each ACK lets out, from the first duplicate on.
    fn play(losses: u32, safe: bool) -> Vec<u32> {
        let (mut sent, mut prr) = (Vec::new(), None);
        let mut pipe = 20u32;
        for n in 1..=20 - losses {
            pipe -= 1; // each ACK SACKs one segment
            let out = match n {
                1 | 2 => 1, // Limited Transmit
                _ => {
                    let begins = prr.is_none();
                    let prr = prr.get_or_insert_with(|| {
                        pipe -= losses;
                        Prr::new(20)
                    });
                    let count = prr.on_ack(1, safe, pipe, 10, 1);
                    let count = if begins { count.max(1) } else { count };
                    prr.on_sent(count);
                    count
                }
            };
            pipe += out;
            sent.push(out);
        }
        sent
    }

    /// 6937-1: one loss: about every second ACK sends a segment, no silence and no burst, and half the window is left.
    #[test]
    fn one_loss_sends_for_every_second_ack() {
        let sent = play(1, false);
        assert_eq!(sent.len(), 19);
        let repair = &sent[2..];
        assert!(repair.iter().all(|&n| n <= 1), "{sent:?}");
        assert!(repair.windows(3).all(|w| w.contains(&1)), "{sent:?}");
        assert!((8..=10).contains(&repair.iter().sum::<u32>()), "{sent:?}");
    }

    /// 6937-2: fifteen losses: below ssthresh each ACK lets out one segment more than it delivered, if it is safe, and else
    /// just as much.
    #[test]
    fn a_burst_of_losses_is_repaired_by_slow_start() {
        assert_eq!(play(15, true), [1, 1, 2, 2, 2]);
        assert_eq!(play(15, false), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn nothing_overflows() {
        let mut prr = Prr::new(0);
        assert_eq!(prr.on_ack(u32::MAX, true, u32::MAX, u32::MAX - 1, 1), u32::MAX);
        prr.on_sent(u32::MAX);
        assert_eq!(prr.on_ack(0, false, 10, 10, 1), 0);
    }
}
