//! A tap that writes pcapng: each packet with its direction, its time in nanoseconds, and a comment that says what it
//! did to the state machine or why it was dropped. Wireshark and tshark show all three.
//!
//! It shows what a wire would have carried: super-segments cut, partial checksums completed.
//!
//! Format: draft-ietf-opsawg-pcapng. One section, one interface of link type RAW (101): IP packets without any frame.

use crate::stats::Disposition;
use crate::time::Instant;
use crate::trace::TraceEvent;
use crate::wire::gso::Finisher;
use crate::wire::{RxFrame, TxFrame};
use core::fmt::Write as _;
use core::time::Duration;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError};
use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

/// Bytes gathered before they are written.
const BUFFER: usize = 64 * 1024;
/// Longest comment, in bytes. An option's length has 16 bits.
const LONGEST_COMMENT: usize = 4096;
/// Bytes of a block beside the packet and the comment, at most: 32 of fields and lengths, 16 of options, padding.
const OVERHEAD: u64 = 64;

/// The bits 0 and 1 of `epb_flags`.
#[derive(Clone, Copy)]
enum Direction {
    Inbound = 1,
    Outbound = 2,
}

/// Writes packets as pcapng. A capture that fails or grows too large stops, says so once in the log, and never
/// disturbs the traffic.
pub struct PcapTap {
    finisher: Finisher,
    out: Out,
}

/// The file, and how much of it may still be written.
struct Out {
    writer: PcapNgWriter<BufWriter<Box<dyn Write + Send>>>,
    /// Time from 1970 to the clock's origin.
    origin: Duration,
    /// Bytes that may be written, and those that were at most.
    limit: u64,
    written: u64,
    stopped: bool,
}

impl PcapTap {
    /// A capture into `out`. `origin` is the time since 1970-01-01 UTC at which the stack's clock showed zero.
    ///
    /// # Errors
    /// Those of writing the file's head.
    pub fn new(out: Box<dyn Write + Send>, origin: Duration) -> io::Result<PcapTap> {
        let program = concat!("tunstack ", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(program))],
            ..SectionHeaderBlock::default()
        };
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed("tunstack")),
                InterfaceDescriptionOption::IfTsResol(9),
            ],
        };
        let out = BufWriter::with_capacity(BUFFER, out);
        let mut writer = PcapNgWriter::with_section_header(out, section).map_err(plain)?;
        writer.write_pcapng_block(interface).map_err(plain)?;
        // A reader of a pipe sees the head at once.
        writer.get_mut().flush()?;
        let out = Out { writer, origin, limit: u64::MAX, written: 256, stopped: false };
        Ok(PcapTap { finisher: Finisher::default(), out })
    }

    /// Stops before the capture would become larger than `bytes`.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.out.limit = bytes;
        self
    }

    /// Leaves super-segments in one piece, as the device takes and gives them, if `whole`.
    #[must_use]
    pub fn with_whole(mut self, whole: bool) -> Self {
        self.finisher.whole = whole;
        self
    }

    /// Whether the capture ended before its time: an error, or the limit.
    pub fn stopped(&self) -> bool {
        self.out.stopped
    }

    /// Records a received frame. The comment, unless it is empty, stands at the last of its packets: by then it had
    /// come true.
    pub fn rx(&mut self, now: Instant, frame: &RxFrame, comment: &str) {
        let PcapTap { finisher, out } = self;
        if out.stopped {
            return;
        }
        finisher.received(frame, |packet, last| {
            out.record(now, packet, Direction::Inbound, if last { comment } else { "" });
        });
    }

    /// Records a sent frame. The comment, unless it is empty, stands at the first of its packets: it is their cause.
    pub fn tx(&mut self, now: Instant, frame: &TxFrame, comment: &str) {
        let PcapTap { finisher, out } = self;
        if out.stopped {
            return;
        }
        let mut comment = comment;
        finisher.sent(frame, |packet, _| {
            out.record(now, packet, Direction::Outbound, std::mem::take(&mut comment));
        });
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.writer.get_mut().flush()
    }
}

impl Out {
    fn record(&mut self, now: Instant, packet: &[u8], direction: Direction, comment: &str) {
        if self.stopped {
            return;
        }
        let comment = &comment[..comment.floor_char_boundary(LONGEST_COMMENT)];
        self.written += packet.len() as u64 + comment.len() as u64 + OVERHEAD;
        if self.written > self.limit {
            return self.stop(&format!("it has reached its limit of {} bytes", self.limit));
        }
        let mut options = vec![EnhancedPacketOption::Flags(direction as u32)];
        if !comment.is_empty() {
            options.push(EnhancedPacketOption::Comment(Cow::Borrowed(comment)));
        }
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: self.origin + Duration::from_nanos(now.as_nanos()),
            original_len: u32::try_from(packet.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(packet),
            options,
        };
        if let Err(error) = self.writer.write_pcapng_block(block) {
            self.stop(&plain(error).to_string());
        }
    }

    fn stop(&mut self, why: &str) {
        self.stopped = true;
        log::warn!("the capture ends here: {why}");
    }
}

impl core::fmt::Debug for PcapTap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PcapTap").field("stopped", &self.out.stopped).finish_non_exhaustive()
    }
}

fn plain(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// What to write beside a packet: what happened because of it, and, if it was not delivered, what became of it. Empty
/// if there is nothing to say.
pub fn comment(events: impl Iterator<Item = TraceEvent>, disposition: Option<Disposition>) -> String {
    let mut text = String::new();
    let mut add = |part: core::fmt::Arguments<'_>| {
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{part}");
    };
    for event in events {
        add(format_args!("{}", event.what));
    }
    match disposition {
        Some(Disposition::Dropped(reason)) => add(format_args!("dropped: {}", reason.name())),
        Some(Disposition::Answered) => add(format_args!("answered")),
        Some(Disposition::Delivered | Disposition::Held | Disposition::Misdirected) | None => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Slice;
    use crate::stats::DropReason;
    use crate::tcp::state::{Event, State};
    use crate::trace::What;
    use pcap_file::pcapng::{Block, PcapNgReader};
    use std::sync::{Arc, Mutex};

    /// A file that the test can look into.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn tap(&self, origin: Duration) -> PcapTap {
            PcapTap::new(Box::new(self.clone()), origin).unwrap()
        }

        fn packets(&self) -> Vec<EnhancedPacketBlock<'static>> {
            let bytes = self.0.lock().unwrap().clone();
            let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
            let mut packets = Vec::new();
            while let Some(block) = reader.next_block() {
                if let Block::EnhancedPacket(packet) = block.unwrap().into_owned() {
                    packets.push(packet);
                }
            }
            let interface = &reader.interfaces()[0];
            assert_eq!(interface.linktype, DataLink::RAW);
            assert!(interface.options.contains(&InterfaceDescriptionOption::IfTsResol(9)));
            packets
        }
    }

    fn rx(bytes: &[u8]) -> RxFrame {
        RxFrame::plain(Slice::copy_of(bytes))
    }

    #[test]
    fn packets_carry_time_direction_and_comment() {
        let file = Shared::default();
        let mut tap = file.tap(Duration::from_secs(1_700_000_000));
        tap.rx(Instant::from_nanos(1_000_000_007), &rx(b"in"), "why");
        let mut frame = TxFrame { payload: [Slice::copy_of(b"-put")].into_iter().collect(), ..TxFrame::default() };
        frame.header.space()[..3].copy_from_slice(b"out");
        frame.header.set_len(3);
        tap.tx(Instant::from_nanos(2_000_000_008), &frame, "");
        tap.flush().unwrap();
        let packets = file.packets();
        assert_eq!(packets[0].timestamp, Duration::new(1_700_000_001, 7));
        assert_eq!(&*packets[0].data, b"in");
        let comment = EnhancedPacketOption::Comment(Cow::Borrowed("why"));
        assert_eq!(packets[0].options, [EnhancedPacketOption::Flags(1), comment]);
        assert_eq!(packets[1].timestamp, Duration::new(1_700_000_002, 8));
        assert_eq!(&*packets[1].data, b"out-put");
        assert_eq!(packets[1].options, [EnhancedPacketOption::Flags(2)]);
    }

    #[test]
    fn the_limit_ends_the_capture_whole_and_below_it() {
        let file = Shared::default();
        let mut tap = file.tap(Duration::ZERO).with_limit(10_000);
        for _ in 0..100 {
            tap.rx(Instant::ZERO, &rx(&[0x45; 1001]), "a comment of some bytes");
        }
        assert!(tap.stopped());
        tap.flush().unwrap();
        assert!((7..10).contains(&file.packets().len()));
        assert!(file.0.lock().unwrap().len() <= 10_000);
    }

    #[test]
    fn an_endless_comment_is_cut_and_a_full_disk_ends_the_capture() {
        let file = Shared::default();
        let mut tap = file.tap(Duration::ZERO);
        tap.rx(Instant::ZERO, &rx(b"x"), &"ä".repeat(100_000));
        tap.flush().unwrap();
        assert_eq!(file.packets().len(), 1);

        // A disk that has room for the head and one buffer.
        struct Small(usize);
        impl Write for Small {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut tap = PcapTap::new(Box::new(Small(BUFFER + 1000)), Duration::ZERO).unwrap();
        for _ in 0..40 {
            tap.rx(Instant::ZERO, &rx(&[0x45; 1500]), "");
        }
        assert!(!tap.stopped());
        for _ in 0..60 {
            tap.rx(Instant::ZERO, &rx(&[0x45; 1500]), "");
        }
        assert!(tap.stopped());
    }

    #[test]
    fn a_comment_says_what_happened_and_what_became_of_it() {
        let event = |what| TraceEvent {
            at: Instant::ZERO,
            local: "192.0.2.2:80".parse().unwrap(),
            remote: "192.0.2.1:1024".parse().unwrap(),
            what,
        };
        let events = [
            What::Transition { from: State::SynReceived, event: Event::RcvAckOfSyn, to: State::Established },
            What::Congestion { cwnd: 14_600, ssthresh: u32::MAX },
        ];
        assert_eq!(
            comment(events.map(event).into_iter(), Some(Disposition::Delivered)),
            "SYN-RECEIVED -> ESTABLISHED (rcv ACK of SYN); cwnd=14600 ssthresh=inf"
        );
        assert_eq!(
            comment([What::ChallengeAck].map(event).into_iter(), Some(Disposition::Dropped(DropReason::TcpBadAck))),
            "challenge ACK; dropped: tcp-bad-ack"
        );
        assert_eq!(comment(std::iter::empty(), Some(Disposition::Answered)), "answered");
        assert_eq!(comment(std::iter::empty(), None), "");
    }

    /// A TCP super-segment of two segments and a bit, its checksum partial.
    fn super_segment() -> RxFrame {
        let mut packet = vec![0u8; 40 + 250];
        packet[..4].copy_from_slice(&[0x45, 0, 1, 34]);
        (packet[8], packet[9]) = (64, 6);
        (packet[32], packet[33]) = (5 << 4, 0x10);
        let gso = crate::wire::Gso { kind: crate::wire::GsoKind::TcpV4, size: 100 };
        let meta = crate::wire::RxMeta { checksum: crate::wire::RxChecksum::Partial, gso: Some(gso), interface: 0 };
        RxFrame { data: Slice::copy_of(&packet), meta }
    }

    #[test]
    fn a_super_segment_is_written_as_packets_unless_it_is_to_stay_whole() {
        let shared = Shared::default();
        let mut tap = shared.tap(Duration::ZERO);
        let frame = super_segment();
        tap.rx(Instant::ZERO, &frame, "caused by all of it");
        let mut sent = TxFrame { payload: [frame.data.slice(40..290)].into_iter().collect(), ..TxFrame::default() };
        sent.header.space()[..40].copy_from_slice(&frame.data[..40]);
        sent.header.set_len(40);
        sent.meta = crate::wire::TxMeta { partial_checksum: Some((20, 16)), gso: frame.meta.gso, interface: 0 };
        tap.tx(Instant::ZERO, &sent, "the cause of all of it");
        tap = tap.with_whole(true);
        tap.rx(Instant::ZERO, &frame, "");
        tap.flush().unwrap();
        let packets = shared.packets();
        let sizes: Vec<usize> = packets.iter().map(|packet| packet.data.len()).collect();
        assert_eq!(sizes, [140, 140, 90, 140, 140, 90, 290]);
        assert_eq!(packets[0].data, packets[3].data, "the same wire, whoever sends");
        let commented: Vec<usize> = (0..7).filter(|n| packets[*n].options.len() > 1).collect();
        assert_eq!(commented, [2, 3], "the end of what came, the beginning of what goes");
        assert!(packets.iter().all(|packet| packet.data[36..38] != [0, 0]), "all checksums are complete");
    }
}
