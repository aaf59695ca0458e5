//! What crosses the control connection: single bytes for the steps of a test, and JSON behind its length.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use std::io::{self, ErrorKind, Read, Write};

/// Bytes of a cookie: 36 characters and a NUL.
pub(super) const COOKIE_SIZE: usize = 37;

/// What names a test: the first bytes of each of its connections.
pub(super) type Cookie = [u8; COOKIE_SIZE];

/// The longest JSON that is believed of a peer, in bytes. The results of 128 streams are well below it.
const MAX_JSON: usize = 64 * 1024;

/// Streams of one test, in each direction; iperf3 has the same bound.
pub(super) const MAX_STREAMS: u32 = 128;

/// The longest test, in seconds; iperf3 has the same bound.
pub(super) const MAX_TIME: u32 = 86_400;

/// The longest block that is written or read at once, in bytes; iperf3 has the same bound.
pub(super) const MAX_BLOCK: usize = 1024 * 1024;

/// The largest payload of a datagram over IPv4, in bytes.
pub(super) const MAX_DATAGRAM: usize = 65_507;

/// The steps of a test, as the bytes that announce them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Step {
    TestStart = 1,
    TestRunning = 2,
    TestEnd = 4,
    ParamExchange = 9,
    CreateStreams = 10,
    ServerTerminate = 11,
    ClientTerminate = 12,
    ExchangeResults = 13,
    DisplayResults = 14,
    IperfDone = 16,
    AccessDenied = -1,
    ServerError = -2,
}

impl Step {
    const ALL: [Step; 12] = [
        Step::TestStart,
        Step::TestRunning,
        Step::TestEnd,
        Step::ParamExchange,
        Step::CreateStreams,
        Step::ServerTerminate,
        Step::ClientTerminate,
        Step::ExchangeResults,
        Step::DisplayResults,
        Step::IperfDone,
        Step::AccessDenied,
        Step::ServerError,
    ];

    pub(super) fn send(self, mut to: impl Write) -> io::Result<()> {
        to.write_all(&(self as i8).to_be_bytes())
    }

    /// Waits for the next step; its end is an error.
    pub(super) fn receive(mut from: impl Read) -> io::Result<Step> {
        let mut byte = [0; 1];
        from.read_exact(&mut byte)?;
        let value = i8::from_be_bytes(byte);
        Step::ALL.into_iter().find(|step| *step as i8 == value).ok_or_else(|| bad(format!("a step {value}, unknown")))
    }

    /// Waits for `self`. The steps by which the other side gives up become errors that say so.
    pub(super) fn expect(self, mut from: impl Read) -> io::Result<()> {
        match Step::receive(&mut from)? {
            step if step == self => Ok(()),
            Step::AccessDenied => Err(io::Error::new(ErrorKind::ConnectionRefused, "the server is busy with a test")),
            Step::ServerTerminate => Err(io::Error::new(ErrorKind::ConnectionAborted, "the server was ended")),
            Step::ClientTerminate => Err(io::Error::new(ErrorKind::ConnectionAborted, "the client was ended")),
            Step::ServerError => {
                let mut numbers = [0; 8];
                from.read_exact(&mut numbers)?;
                let [number, errno] = [0, 4]
                    .map(|at| numbers[at..at + 4].iter().fold(0i32, |number, byte| number << 8 | i32::from(*byte)));
                let system = if errno == 0 { String::new() } else { io::Error::from_raw_os_error(errno).to_string() };
                Err(io::Error::other(format!("the server gave up with iperf3's error {number} {system}")))
            }
            other => Err(bad(format!("{other:?} where {self:?} was due"))),
        }
    }
}

pub(super) fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the other side does not speak iperf3's protocol: {}", what.into()))
}

/// Sends `value` as JSON behind its length.
pub(super) fn send_json(mut to: impl Write, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(value)?;
    let len = u32::try_from(json.len()).map_err(|_| bad("JSON beyond 4 GiB"))?;
    to.write_all(&[&len.to_be_bytes()[..], &json].concat())
}

/// Receives what [`send_json`] sends; what is longer than 64 KiB or not of the type is an error.
pub(super) fn receive_json<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    if len > MAX_JSON {
        return Err(bad(format!("JSON of {len} bytes")));
    }
    let mut json = vec![0; len];
    from.read_exact(&mut json)?;
    serde_json::from_slice(&json).map_err(|e| bad(e.to_string()))
}

/// What a client asks for. The names are iperf3's, and what is not understood is left out of account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Params {
    /// By TCP.
    #[serde(skip_serializing_if = "is_false")]
    pub tcp: bool,
    /// By UDP.
    #[serde(skip_serializing_if = "is_false")]
    pub udp: bool,
    /// Seconds at the start that do not count.
    pub omit: u32,
    /// Seconds that the test takes; 0 if the client ends it by another measure.
    pub time: u32,
    /// Streams in each direction.
    pub parallel: u32,
    /// The server sends.
    #[serde(skip_serializing_if = "is_false")]
    pub reverse: bool,
    /// Both send.
    #[serde(skip_serializing_if = "is_false")]
    pub bidirectional: bool,
    /// Bytes of a block or datagram; 0 for the default. iperf3 takes a 0 that is said by its word.
    #[serde(skip_serializing_if = "is_zero")]
    pub len: usize,
    /// Bit/s that each stream sends at most; 0 for no bound.
    #[serde(skip_serializing_if = "is_zero")]
    pub bandwidth: u64,
    /// No Nagle algorithm.
    #[serde(skip_serializing_if = "is_false")]
    pub nodelay: bool,
    /// Whether numbers of datagrams have 64 bits. iperf3 says it as 0 or 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub udp_counters_64bit: u32,
    /// Who asks.
    pub client_version: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Params {
    fn default() -> Self {
        Params {
            tcp: false,
            udp: false,
            omit: 0,
            time: 10,
            parallel: 1,
            reverse: false,
            bidirectional: false,
            len: 0,
            bandwidth: 0,
            nodelay: false,
            udp_counters_64bit: 0,
            client_version: concat!("tunstack ", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

impl Params {
    /// What makes no sense, said in the words of the command line.
    ///
    /// # Errors
    /// A text that names what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let most = if self.udp { MAX_DATAGRAM } else { MAX_BLOCK };
        let least = if self.udp { super::datagram::HEADER } else { 1 };
        if !self.tcp && !self.udp {
            return Err("neither TCP nor UDP: no other protocol is spoken here".into());
        }
        if !(1..=MAX_STREAMS).contains(&self.parallel) {
            return Err(format!("{} streams: it must be 1 to {MAX_STREAMS}", self.parallel));
        }
        if self.time > MAX_TIME || self.omit > 600 {
            return Err(format!("a test of {} s: it must be at most {MAX_TIME}", self.time));
        }
        if self.len != 0 && !(least..=most).contains(&self.len) {
            return Err(format!("a length of {} bytes: it must be {least} to {most}", self.len));
        }
        if self.reverse && self.bidirectional {
            return Err("reverse and both ways at once contradict each other".into());
        }
        Ok(())
    }

    /// Whether the client (or else the server) sends on the stream that was made as number `index`. With both
    /// directions, those on which the client sends come first.
    pub(super) fn client_sends(&self, index: u32) -> bool {
        if self.bidirectional { index < self.parallel } else { !self.reverse }
    }

    /// Streams in all.
    pub(super) fn streams(&self) -> u32 {
        if self.bidirectional { 2 * self.parallel } else { self.parallel }
    }

    /// Bytes of a block or datagram.
    pub fn block(&self) -> usize {
        match (self.len, self.udp) {
            (0, false) => 128 * 1024,
            // What fits into a packet of 1500 bytes, with room for options and tunnels; iperf3's choice.
            (0, true) => 1460,
            (len, _) => len,
        }
    }
}

/// What one end has seen of a test. The names are iperf3's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// CPU time in percent of the test's time.
    pub cpu_util_total: f64,
    /// Of it, in user space.
    pub cpu_util_user: f64,
    /// Of it, in the kernel.
    pub cpu_util_system: f64,
    /// Whether this end sends and knows its retransmits; -1 if it does not send.
    #[serde(deserialize_with = "wrapped")]
    pub sender_has_retransmits: i64,
    /// Its streams.
    pub streams: Vec<FlowResult>,
}

/// What one end has seen of one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowResult {
    /// Its number.
    pub id: u32,
    /// Bytes sent or received.
    pub bytes: u64,
    /// Segments sent again; -1 where that is not known.
    #[serde(deserialize_with = "wrapped")]
    pub retransmits: i64,
    /// Variation of the datagrams' transit time, in seconds.
    pub jitter: f64,
    /// Datagrams that are missing.
    pub errors: i64,
    /// Datagrams sent, or, of those received, the highest number.
    pub packets: i64,
    /// Seconds from the start at which counting began.
    pub start_time: f64,
    /// Seconds from the start at which counting ended.
    pub end_time: f64,
}

/// An integer of which iperf3 says -1 as 2^64 - 1.
fn wrapped<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    Ok(number.as_i64().unwrap_or_else(|| number.as_u64().map_or(-1, |n| n as i64)))
}

/// The number that iperf3 gives to the stream that was made as number `index`: it leaves out 2.
pub(super) fn id(index: u32) -> u32 {
    if index == 0 { 1 } else { index + 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_its_length_before_it() {
        let params = Params { tcp: true, parallel: 3, reverse: true, ..Params::default() };
        let mut wire = Vec::new();
        send_json(&mut wire, &params).unwrap();
        assert!(!String::from_utf8_lossy(&wire[4..]).contains("len"), "an iperf3 takes \"len\":0 by its word");
        assert_eq!(u32::from_be_bytes(wire[..4].try_into().unwrap()) as usize, wire.len() - 4);
        assert_eq!(receive_json::<Params>(&wire[..]).unwrap(), params);
        assert_eq!(receive_json::<Params>(&wire[..20]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let long = [(MAX_JSON as u32 + 1).to_be_bytes().to_vec(), vec![b' '; MAX_JSON + 1]].concat();
        assert_eq!(receive_json::<Params>(&long[..]).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(receive_json::<Params>(&b"\0\0\0\x02[}"[..]).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn what_iperf3_says_is_understood() {
        // Of iperf 3.12, `-R -P 2`.
        let text = br#"{"tcp":true,"omit":0,"time":10,"num":0,"blockcount":0,"parallel":2,"reverse":true,"len":131072,
            "pacing_timer":1000,"client_version":"3.12"}"#;
        let params: Params = serde_json::from_slice(text).unwrap();
        assert_eq!((params.tcp, params.reverse, params.parallel, params.block()), (true, true, 2, 131_072));
        assert_eq!(params.check(), Ok(()));
        let text = br#"{"cpu_util_total":1.5,"cpu_util_user":1,"cpu_util_system":0.5,"sender_has_retransmits":18446744073709551615,
            "congestion_used":"cubic","streams":[{"id":3,"bytes":7,"retransmits":18446744073709551615,"jitter":0,
            "errors":0,"packets":0,"start_time":0,"end_time":2.0001}]}"#;
        let results: Results = serde_json::from_slice(text).unwrap();
        assert_eq!((results.streams[0].id, results.streams[0].bytes, results.streams[0].retransmits), (3, 7, -1));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let tcp = || Params { tcp: true, ..Params::default() };
        for (params, text) in [
            (Params::default(), "neither"),
            (Params { parallel: 0, ..tcp() }, "0 streams"),
            (Params { parallel: 129, ..tcp() }, "129 streams"),
            (Params { time: 86_401, ..tcp() }, "86401 s"),
            (Params { len: MAX_BLOCK + 1, ..tcp() }, "1048577 bytes"),
            (Params { udp: true, len: 15, ..Params::default() }, "15 bytes"),
            (Params { udp: true, len: 65_508, ..Params::default() }, "65508 bytes"),
            (Params { reverse: true, bidirectional: true, ..tcp() }, "contradict"),
        ] {
            let error = params.check().unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let error = |wire: &[u8]| Step::CreateStreams.expect(wire).unwrap_err();
        assert!(error(&[0xff]).to_string().contains("busy"));
        assert!(error(&[0xfe, 0, 0, 0, 27, 0, 0, 0, 22]).to_string().contains("error 27 Invalid argument"));
        assert!(error(&[11]).to_string().contains("ended"));
        assert_eq!(error(&[99]).kind(), ErrorKind::InvalidData);
        assert_eq!(error(&[16]).kind(), ErrorKind::InvalidData);
        assert_eq!(error(&[]).kind(), ErrorKind::UnexpectedEof);
        assert!(Step::CreateStreams.expect(&[10][..]).is_ok());
    }

    #[test]
    fn directions_and_numbers() {
        let both = Params { tcp: true, parallel: 2, bidirectional: true, ..Params::default() };
        let sends: Vec<bool> = (0..both.streams()).map(|i| both.client_sends(i)).collect();
        assert_eq!(sends, [true, true, false, false]);
        assert_eq!((0..4).map(id).collect::<Vec<_>>(), [1, 3, 4, 5]);
    }
}
