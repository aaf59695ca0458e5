//! Segments written as text, for tests.

use super::recorder::Segment;
use crate::wire::tcp::{Flags, TcpHeader};

/// A segment from a text such as `SYN,ACK seq=1 ack=2 len=3 win=4`.
pub(super) fn segment(text: &str) -> Segment {
    let mut words = text.split_whitespace();
    let mut flags = Flags::NONE;
    for name in words.next().unwrap_or_default().split(',') {
        flags |= match name {
            "SYN" => Flags::SYN,
            "ACK" => Flags::ACK,
            "PSH" => Flags::PSH,
            "FIN" => Flags::FIN,
            "RST" => Flags::RST,
            _ => panic!("no flag {name}"),
        };
    }
    let mut header = TcpHeader { flags, src_port: 80, dst_port: 40_000, ..TcpHeader::default() };
    let mut text = 0;
    for word in words {
        let (key, value) = word.split_once('=').expect("key=value");
        let value: u32 = value.parse().expect("a number");
        match key {
            "seq" => header.seq = value,
            "ack" => header.ack = value,
            "len" => text = value,
            "win" => header.wnd = u16::try_from(value).expect("a window"),
            "mss" => header.options.mss = Some(u16::try_from(value).expect("an MSS")),
            _ => panic!("no field {key}"),
        }
    }
    Segment {
        src: "192.0.2.2:80".parse().expect("an address"),
        dst: "192.0.2.1:40000".parse().expect("an address"),
        header,
        text,
    }
}
