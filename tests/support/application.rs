//! What the application does, of [`Tester`].

use super::family::wire_addr;
use super::flow::preview;
use super::segment::{Seg, ack, syn, synack};
use super::tester::{LOCAL, Tester};
use std::net::SocketAddrV4;
use tunstack::error::{Error, Result};
use tunstack::stack::{ListenerId, Readiness, Shutdown, SocketId, TcpId, TcpOptions};

impl Tester {
    /// Listens on `port` with a backlog of 16.
    #[track_caller]
    pub fn listen(&mut self, port: u16) -> ListenerId {
        self.listen_with(port, 16, |_| {})
    }

    #[track_caller]
    pub fn listen_with(&mut self, port: u16, backlog: usize, change: impl FnOnce(&mut TcpOptions)) -> ListenerId {
        let mut options = self.stack.default_tcp_options();
        change(&mut options);
        let at = wire_addr(SocketAddrV4::new(LOCAL, port));
        let id = self.stack.tcp_listen(at, backlog, options).expect("listen");
        self.listener = Some(id);
        id
    }

    /// Takes the established connection; it becomes the one that the calls below are about.
    #[track_caller]
    pub fn accept(&mut self) -> TcpId {
        match self.try_accept() {
            Ok(id) => id,
            Err(e) => panic!("accept: {e}\n{}", self.conversation()),
        }
    }

    pub fn try_accept(&mut self) -> Result<TcpId> {
        let listener = self.listener.expect("a listener");
        let (id, _) = self.stack.tcp_accept(self.now, listener)?;
        self.conn = Some(id);
        self.pull();
        Ok(id)
    }

    /// Opens a connection to port 80 of the peer; a new conversation.
    #[track_caller]
    pub fn connect(&mut self) -> TcpId {
        self.connect_with(|_| {})
    }

    #[track_caller]
    pub fn connect_with(&mut self, change: impl FnOnce(&mut TcpOptions)) -> TcpId {
        let mut options = self.stack.default_tcp_options();
        change(&mut options);
        self.new_flow(80, 0);
        let remote = self.remote();
        let id = self.stack.tcp_connect(self.now, None, remote, options).expect("connect");
        self.conn = Some(id);
        self.pull();
        id
    }

    /// Makes `id` the connection that the calls below are about.
    pub fn use_conn(&mut self, id: TcpId) {
        self.conn = Some(id);
    }

    pub fn conn(&self) -> TcpId {
        self.conn.expect("a connection")
    }

    /// The whole of a passive open with a peer that offers nothing but an MSS of 1460.
    #[track_caller]
    pub fn establish(&mut self) -> TcpId {
        self.establish_with(syn().mss(1460))
    }

    /// The whole of a passive open with this SYN.
    #[track_caller]
    pub fn establish_with(&mut self, first: Seg) -> TcpId {
        if self.listener.is_none() {
            let port = self.flows[self.flow].local.port();
            self.listen(port);
        }
        let wnd = first.wnd;
        self.send(first);
        self.expect(synack().seq(0).ack(1));
        self.send(Seg { wnd, ..ack() });
        self.accept()
    }

    /// The whole of an active open; `answer` is the peer's SYN,ACK.
    #[track_caller]
    pub fn establish_active(&mut self, answer: Seg) -> TcpId {
        let id = self.connect();
        self.expect(syn().seq(0));
        self.send(answer);
        self.expect(ack().seq(1).ack(1));
        id
    }

    /// Changes the connection's options.
    #[track_caller]
    pub fn set(&mut self, change: impl FnOnce(&mut TcpOptions)) {
        let id = self.conn();
        let mut options = self.stack.tcp_options(id).expect("options").clone();
        change(&mut options);
        self.stack.set_tcp_options(self.now, id, options).expect("set options");
        self.pull();
    }

    /// Writes all of `bytes`.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        let n = self.try_write(bytes).unwrap_or_else(|e| panic!("write: {e}\n{}", self.conversation()));
        assert_eq!(n, bytes.len(), "the send buffer took only a part");
    }

    pub fn try_write(&mut self, bytes: &[u8]) -> Result<usize> {
        let id = self.conn();
        let n = self.stack.tcp_send(self.now, id, bytes);
        self.pull();
        n
    }

    #[track_caller]
    pub fn write_urgent(&mut self, bytes: &[u8]) {
        let id = self.conn();
        assert_eq!(self.stack.tcp_send_urgent(self.now, id, bytes), Ok(bytes.len()));
        self.pull();
    }

    /// Reads at most `n` bytes.
    pub fn try_read(&mut self, n: usize) -> Result<Vec<u8>> {
        let id = self.conn();
        let mut buf = vec![0; n];
        let got = self.stack.tcp_recv(self.now, id, &mut buf);
        self.pull();
        got.map(|n| {
            buf.truncate(n);
            buf
        })
    }

    /// Reads until nothing more is there, and gives all of it.
    pub fn read_all(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Ok(part) = self.try_read(65_536) {
            if part.is_empty() {
                break;
            }
            out.extend(part);
        }
        out
    }

    /// What can be read now is exactly this.
    #[track_caller]
    pub fn expect_read(&mut self, want: &[u8]) {
        let got = self.read_all();
        assert!(got == want, "read {}, expected {}\n{}", preview(&got), preview(want), self.conversation());
    }

    #[track_caller]
    pub fn expect_eof(&mut self) {
        assert_eq!(self.try_read(16), Ok(Vec::new()), "end of stream\n{}", self.conversation());
    }

    #[track_caller]
    pub fn expect_read_error(&mut self, want: Error) {
        assert_eq!(self.try_read(16), Err(want), "{}", self.conversation());
    }

    #[track_caller]
    pub fn shutdown(&mut self, how: Shutdown) {
        let id = self.conn();
        self.stack.tcp_shutdown(self.now, id, how).expect("shutdown");
        self.pull();
    }

    /// Closes the sending side.
    #[track_caller]
    pub fn shutdown_write(&mut self) {
        self.shutdown(Shutdown::Write);
    }

    /// Gives the handle up.
    #[track_caller]
    pub fn close(&mut self) {
        let id = self.conn();
        self.stack.tcp_close(self.now, id).expect("close");
        self.pull();
    }

    #[track_caller]
    pub fn abort(&mut self) {
        let id = self.conn();
        self.stack.tcp_abort(self.now, id).expect("abort");
        self.pull();
    }

    #[track_caller]
    pub fn close_listener(&mut self) {
        let id = self.listener.take().expect("a listener");
        self.stack.listener_close(self.now, id).expect("close the listener");
        self.pull();
    }

    #[track_caller]
    pub fn take_error(&mut self) -> Option<Error> {
        let id = self.conn();
        self.stack.tcp_take_error(id).expect("the handle is good")
    }

    pub fn readiness(&self) -> Readiness {
        self.stack.readiness(SocketId::Tcp(self.conn()))
    }
}
