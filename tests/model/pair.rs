//! Two stacks, one connection, a network that does what it is told, and two simple applications.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use tunstack::buf::Slice;
use tunstack::error::Error;
use tunstack::rng::Rng;
use tunstack::sim::parse;
use tunstack::stack::{Cidr, Config, ListenerId, Shutdown, Stack, TcpId, TcpOptions};
use tunstack::tcp::state::{Event, State};
use tunstack::time::Instant;
use tunstack::trace::What;
use tunstack::wire::RxFrame;

/// What is possible in a search.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Both connect; otherwise one does and the other listens.
    pub both_open: bool,
    /// Each may write a few bytes once.
    pub writes: bool,
    /// Each may close without reading on, or abort.
    pub rude: bool,
    /// Packets that may be lost.
    pub drops: u8,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet at this place on the way to this side arrives.
    Deliver(usize, usize),
    /// It is lost.
    Drop(usize, usize),
    /// Time passes until the next deadline.
    Wait,
    /// The application of this side writes,
    Write(usize),
    /// says that it will write no more and reads on,
    Shutdown(usize),
    /// gives its socket up,
    Close(usize),
    /// or resets the connection.
    Abort(usize),
}

/// Packets on the way to a side at most: of these any may come next. What is sent beyond is lost.
const ON_THE_WAY: usize = 3;
/// Times that a search lets time pass on one way.
const WAITS: u8 = 5;
/// Steps that a connection may need to end once nothing is lost any more.
const LAST_STEPS: usize = 400;
const TEXT: &[u8] = b"some text";

#[derive(Default)]
struct End {
    id: Option<TcpId>,
    listener: Option<ListenerId>,
    wrote: bool,
    shut: bool,
    closed: bool,
    rude: bool,
    at_end: bool,
    failed: bool,
    read: Vec<u8>,
}

/// Two stacks and all that is between them.
pub struct Pair {
    setting: Setting,
    now: Instant,
    stacks: [Stack; 2],
    ends: [End; 2],
    /// Packets on the way to each side.
    wires: [Vec<Slice>; 2],
    /// Initial sequence numbers, which a fingerprint must not show.
    isns: [u32; 2],
    drops: u8,
    waits: u8,
    /// The search has seen enough, and everybody ends what there is.
    ending: bool,
    /// For a test of the search itself: no time passes.
    pub frozen: bool,
    /// States and transitions that were seen.
    pub states: HashSet<State>,
    pub transitions: HashSet<(State, Event, State)>,
}

fn addr(side: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1 + side as u8), 1000 + side as u16))
}

fn stack(side: usize) -> Stack {
    let addresses = vec![Cidr::new(addr(side).ip(), 24)];
    let mut config = Config { addresses, trace_events: 256, max_connections: 16, ..Config::default() };
    // Time stamps would make every state different from every other, and so would a window that is tuned.
    (config.tcp.timestamps, config.tcp.window_scaling) = (false, false);
    (config.tcp.recv_buffer, config.tcp.recv_buffer_max) = (16_384, 16_384);
    (config.tcp.send_buffer, config.tcp.send_buffer_max) = (16_384, 16_384);
    Stack::new(config, Rng::seed_from(side as u64), Instant::ZERO).expect("a valid configuration")
}

impl Pair {
    /// The pair as it is before anything has arrived: who opens has sent its SYN.
    pub fn new(setting: Setting) -> Pair {
        let mut pair = Pair {
            setting,
            now: Instant::from_millis(1000),
            stacks: [stack(0), stack(1)],
            ends: Default::default(),
            wires: Default::default(),
            isns: [0; 2],
            drops: setting.drops,
            waits: WAITS,
            ending: false,
            frozen: false,
            states: HashSet::new(),
            transitions: HashSet::new(),
        };
        if !setting.both_open {
            let options = pair.stacks[1].default_tcp_options();
            pair.ends[1].listener = Some(pair.stacks[1].tcp_listen(addr(1), 4, options).expect("a free port"));
        }
        for side in 0..=usize::from(setting.both_open) {
            let options = TcpOptions { nodelay: true, ..pair.stacks[side].default_tcp_options() };
            let id = pair.stacks[side].tcp_connect(pair.now, Some(addr(side)), addr(1 - side), options);
            pair.ends[side].id = Some(id.expect("a free port"));
        }
        pair.settle();
        pair
    }

    /// The pair after these actions.
    pub fn replay(setting: Setting, actions: &[Action]) -> Pair {
        let mut pair = Pair::new(setting);
        actions.iter().for_each(|action| pair.act(*action));
        pair
    }

    /// What may happen next.
    pub fn actions(&self) -> Vec<Action> {
        let mut out = Vec::new();
        for side in 0..2 {
            for place in 0..self.wires[side].len() {
                out.push(Action::Deliver(side, place));
                if self.drops > 0 {
                    out.push(Action::Drop(side, place));
                }
            }
            let end = &self.ends[side];
            if !self.has_socket(side) {
                continue;
            }
            if self.setting.writes && !end.wrote && !end.shut {
                out.push(Action::Write(side));
            }
            if !end.shut {
                out.push(Action::Shutdown(side));
            }
            if self.setting.rude {
                out.extend([Action::Close(side), Action::Abort(side)]);
            }
        }
        if self.waits > 0 && self.deadline().is_some() {
            out.push(Action::Wait);
        }
        out
    }

    pub fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Deliver(side, place) => {
                let packet = self.wires[side].remove(place);
                self.stacks[side].on_frame(now, RxFrame::plain(packet));
            }
            Action::Drop(side, place) => {
                drop(self.wires[side].remove(place));
                self.drops -= 1;
            }
            Action::Wait => {
                self.waits = self.waits.saturating_sub(1);
                self.wait();
            }
            Action::Write(side) => {
                // Before the connection stands the bytes wait, and after it failed they are refused.
                let taken = self.stacks[side].tcp_send(now, self.id(side), TEXT);
                self.ends[side].wrote = taken == Ok(TEXT.len());
                self.ends[side].failed |= taken.is_err_and(|e| e != Error::NotConnected);
            }
            Action::Shutdown(side) => self.shut_down(side),
            Action::Close(side) => {
                self.stacks[side].tcp_close(now, self.id(side)).expect("the handle is open");
                (self.ends[side].closed, self.ends[side].rude) = (true, true);
            }
            Action::Abort(side) => {
                self.stacks[side].tcp_abort(now, self.id(side)).expect("the handle is open");
                (self.ends[side].closed, self.ends[side].rude) = (true, true);
            }
        }
        self.settle();
    }

    fn id(&self, side: usize) -> TcpId {
        self.ends[side].id.expect("an application with a socket")
    }

    fn shut_down(&mut self, side: usize) {
        let id = self.id(side);
        match self.stacks[side].tcp_shutdown(self.now, id, Shutdown::Write) {
            Ok(()) => self.ends[side].shut = true,
            // In a handshake there is nothing to shut down yet, and after a reset nothing more.
            Err(_) => self.ends[side].failed |= self.stacks[side].tcp_state(id) == Ok(State::Closed),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.stacks.iter().filter_map(Stack::deadline).min()
    }

    /// Time passes until the next deadline, on both sides alike.
    fn wait(&mut self) {
        let Some(at) = self.deadline().filter(|_| !self.frozen) else { return };
        self.now = self.now.max(at);
        for stack in &mut self.stacks {
            stack.on_deadline(self.now);
        }
    }

    /// The applications take what there is, and everything that can be sent is on its way.
    fn settle(&mut self) {
        for side in 0..2 {
            let now = self.now;
            while self.stacks[side].poll_ready().is_some() {}
            self.accept(side);
            self.read(side);
            let mut packets = Vec::new();
            while let Some(frame) = self.stacks[side].poll_transmit(now) {
                packets.push(Slice::copy_of(&frame.to_vec()));
            }
            for packet in packets {
                let tcp = parse(&packet).expect("a good packet").tcp.expect("of TCP");
                if tcp.syn() {
                    self.isns[side] = tcp.seq;
                }
                if self.wires[1 - side].len() < ON_THE_WAY {
                    self.wires[1 - side].push(packet);
                }
            }
            for event in self.stacks[side].trace().take() {
                if let What::Transition { from, event, to } = event.what {
                    assert_eq!(from.next(event), Some(to), "a transition that is none");
                    self.states.extend([from, to]);
                    self.transitions.insert((from, event, to));
                }
            }
        }
    }

    fn accept(&mut self, side: usize) {
        let Some(listener) = self.ends[side].listener else { return };
        while let Ok((id, _)) = self.stacks[side].tcp_accept(self.now, listener) {
            // An old SYN that came again opens a second connection, which nobody wants.
            if self.ends[side].id.is_some() {
                self.stacks[side].tcp_abort(self.now, id).expect("the handle is open");
            } else {
                self.ends[side].id = Some(id);
            }
        }
    }

    fn read(&mut self, side: usize) {
        let (stack, end) = (&mut self.stacks[side], &mut self.ends[side]);
        let Some(id) = end.id.filter(|_| !end.closed) else { return };
        let mut buf = [0; 64];
        while !end.at_end && !end.failed {
            match stack.tcp_recv(self.now, id, &mut buf) {
                Ok(0) => end.at_end = true,
                Ok(n) => end.read.extend_from_slice(&buf[..n]),
                Err(Error::WouldBlock) => break,
                Err(Error::NotConnected) if stack.tcp_state(id) == Ok(State::SynSent) => break,
                Err(_) => end.failed = true,
            }
        }
        // Who is through lets go; the rude ones do so when they like.
        let through = end.at_end && end.shut && (self.ending || !self.setting.rude);
        if through || end.failed {
            stack.tcp_close(self.now, id).expect("the handle is open");
            end.closed = true;
        }
    }

    /// What tells this state from others: what both ends can observe and what is on its way, without absolute numbers.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        (self.drops, self.waits).hash(&mut hash);
        for side in 0..2 {
            let (stack, end) = (&self.stacks[side], &self.ends[side]);
            (end.id.is_some(), end.wrote, end.shut, end.closed, end.at_end, end.failed).hash(&mut hash);
            end.read.hash(&mut hash);
            let ahead = |at: Instant| at.since(self.now).as_millis();
            stack.deadline().map(ahead).hash(&mut hash);
            for info in stack.tcp_snapshot() {
                (info.state, info.recv_queue, info.send_queue, info.in_flight, info.sacked).hash(&mut hash);
                (info.backoff, info.cwnd, info.unsent, info.rto, info.orphan, info.snd_wnd).hash(&mut hash);
            }
            for packet in &self.wires[side] {
                let tcp = parse(packet).expect("a good packet").tcp.expect("of TCP");
                let ack = if tcp.has_ack() { tcp.ack.wrapping_sub(self.isns[side]) } else { 0 };
                let (seq, blocks) = (tcp.seq.wrapping_sub(self.isns[1 - side]), tcp.sack.iter().flatten().count());
                (tcp.flags, seq, ack, tcp.wnd, tcp.text, blocks).hash(&mut hash);
            }
        }
        hash.finish()
    }

    /// Lets the connection end: nothing is lost any more, everything comes in order, and who has not closed does.
    ///
    /// # Errors
    /// What does not end, or who was told something else than the truth.
    pub fn finish(&mut self) -> Result<(), String> {
        self.ending = true;
        for _ in 0..LAST_STEPS {
            for side in 0..2 {
                if self.has_socket(side) && !self.ends[side].shut {
                    self.shut_down(side);
                }
            }
            self.settle();
            let packet = (0..2).find(|&side| !self.wires[side].is_empty());
            if let Some(side) = packet {
                self.act(Action::Deliver(side, 0));
                continue;
            }
            let alive = self.stacks.iter().flat_map(Stack::tcp_snapshot).any(|info| info.state != State::Listen);
            if !alive {
                if let Some(listener) = self.ends[1].listener.take() {
                    self.stacks[1].listener_close(self.now, listener).expect("the listener is open");
                }
                return self.judge();
            }
            if self.deadline().is_none() {
                // Whose peer went away without a word that arrived waits for ever (RFC 9293 3.5.1), until it loses patience.
                let abandoned = (0..2).find(|&side| self.has_socket(side) && self.ends[1 - side].rude);
                if let Some(side) = abandoned {
                    self.act(Action::Close(side));
                    continue;
                }
                return Err(format!("a connection that waits for nothing and does not end:\n{}", self.describe()));
            }
            self.wait();
            self.settle();
        }
        Err(format!("after {LAST_STEPS} steps without a loss it does not end:\n{}", self.describe()))
    }

    /// Whether the application of this side has a socket.
    fn has_socket(&self, side: usize) -> bool {
        self.ends[side].id.is_some() && !self.ends[side].closed
    }

    /// Nobody still waits, and between two polite ends everything that was written was read.
    fn judge(&self) -> Result<(), String> {
        if let Some(side) = (0..2).find(|&side| self.has_socket(side)) {
            return Err(format!("the application of side {side} was not told of the end:\n{}", self.describe()));
        }
        if self.ends.iter().any(|end| end.rude) {
            return Ok(());
        }
        for side in 0..2 {
            let (end, peer) = (&self.ends[side], &self.ends[1 - side]);
            let expected: &[u8] = if peer.wrote { TEXT } else { b"" };
            if end.failed || !end.at_end || end.read != expected {
                let read = String::from_utf8_lossy(&end.read);
                return Err(format!("side {side} read \"{read}\", end {}, error {}", end.at_end, end.failed));
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let lines = self.stacks.iter().flat_map(Stack::tcp_snapshot).map(|info| format!("{info:?}"));
        format!("after {:?}\n{}", self.now.since(Instant::from_millis(1000)), lines.collect::<Vec<_>>().join("\n"))
    }
}
