//! `tcp_*`: the calls of TCP sockets.

use super::table::{Holder, Slot, SocketSide};
use super::{Readiness, SendFlags, Shutdown, Stack, TcpId, TcpInfo, TcpOptions, mss_of_link};
use crate::buf::{Slice, Slices};
use crate::error::{Error, Result};
use crate::ip::Way;
use crate::ip::bound::{unmapped, unmapped_addr};
use crate::tcp::TcpConfig;
use crate::tcp::autotune::Range;
use crate::tcp::config::{Memory, SHARE_UNDER_PRESSURE};
use crate::tcp::connection::{CloseReason, Connection, Cx, Tcb};
use crate::tcp::recv::UrgentByte;
use crate::tcp::state::State;
use crate::tcp::tuple::FourTuple;
use crate::time::Instant;
use core::time::Duration;
use std::net::SocketAddr;

impl Stack {
    /// Opens a connection to `remote`, from `local` if given (port 0 picks one). It becomes writable when established,
    /// or gets an error. One to an IPv4 address that is mapped into IPv6 goes over IPv4, and its addresses are mapped.
    ///
    /// # Errors
    /// `AddrNotAvailable`, `AddrInUse` (the 4-tuple exists), `ConnectionRefused` (port 0), `InvalidInput` (unspecified,
    /// or from the options), `NetworkUnreachable` (broadcast, multicast, no address of that family, no route), `HostUnreachable`,
    /// `PermissionDenied` and `InvalidInput` as the route says, `NoBufferSpace`.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        mut options: TcpOptions,
    ) -> Result<TcpId> {
        options.validate()?;
        options.marked_interface = self.interface_of_mark(options.mark);
        let mapped = remote.ip() != unmapped(remote.ip());
        let (local, remote) = (local.map(unmapped_addr), unmapped_addr(remote));
        // MUST-46.
        if remote.ip().is_unspecified() {
            return Err(Error::InvalidInput("no host has the unspecified address"));
        }
        if !self.ip.is_valid_peer(remote.ip()) {
            return Err(Error::NetworkUnreachable);
        }
        // Nobody can listen there.
        if remote.port() == 0 {
            return Err(Error::ConnectionRefused);
        }
        if self.table.len() >= self.config.max_connections {
            return Err(Error::NoBufferSpace);
        }
        self.ip.check_interface(options.interface.into())?;
        let tuple = self.local_end(local, remote, options.leaves_by())?;
        let iss = self.new_iss(&tuple, now);
        let offset = self.isn.timestamp_offset(&tuple);
        let mut cx = Cx {
            now,
            config: &self.config.tcp,
            options: &options,
            tuple,
            link_mss: mss_of_link(&self.ip, &tuple, &options),
            orphan: false,
            memory: self.budget.level(),
            stats: &mut self.stats.tcp,
            trace: &mut self.trace,
        };
        let connection = Connection::open(iss, offset, &mut cx);
        let mut socket = SocketSide::new(options.into(), &self.default_options);
        socket.mapped = mapped;
        let index = self.insert(tuple, connection, Holder::App, socket);
        self.arm(index);
        self.mark_egress(index);
        Ok(self.table.id(index))
    }

    /// The four-tuple of a new connection, which is then claimed: what the user did not choose is chosen here (MUST-43,
    /// MUST-44).
    fn local_end(&mut self, local: Option<SocketAddr>, remote: SocketAddr, interface: u8) -> Result<FourTuple> {
        let chosen = local.map(|l| l.ip()).filter(|ip| !ip.is_unspecified());
        if chosen.is_some_and(|ip| !self.ip.takes(ip)) {
            return Err(Error::AddrNotAvailable);
        }
        let way = Way { src: chosen, dst: remote.ip(), interface };
        self.ip.check_route(way)?;
        let addr = match chosen {
            Some(ip) => ip,
            None => self.ip.source_for(way).ok_or(Error::NetworkUnreachable)?,
        };
        if addr.is_ipv4() != remote.is_ipv4() {
            return Err(Error::InvalidInput("the two ends must be of one address family"));
        }
        if addr.is_loopback() && !self.ip.is_local(remote.ip()) {
            return Err(Error::InvalidInput("a loopback address reaches no other host"));
        }
        let port = match local.map_or(0, |l| l.port()) {
            0 => self.free_connection_port(addr, remote)?,
            port => port,
        };
        let tuple = FourTuple::new(SocketAddr::new(addr, port), remote);
        if self.table.find(&tuple).is_some() {
            return Err(Error::AddrInUse);
        }
        self.claim(&tuple).map_err(|_| Error::AddrInUse)?;
        Ok(tuple)
    }

    /// Queues a copy of `data` and says how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock` when no room is left or the connection is not established and has written as much as its send buffer
    /// holds, `BrokenPipe` after our shutdown or when the connection is gone, and once what ended it: `ConnectionReset`,
    /// `TimedOut`, ...
    pub fn tcp_send(&mut self, now: Instant, id: TcpId, data: &[u8]) -> Result<usize> {
        self.tcp_send_with(now, id, data, SendFlags::default())
    }

    /// As [`tcp_send`](Stack::tcp_send), in the way that `flags` say.
    ///
    /// # Errors
    /// As [`tcp_send`](Stack::tcp_send).
    pub fn tcp_send_with(&mut self, now: Instant, id: TcpId, data: &[u8], flags: SendFlags) -> Result<usize> {
        let room = self.room_to_send(id)?;
        let n = data.len().min(room);
        let urgent = flags.urgent && n == data.len();
        self.queue(now, id, n, Payload::Copy(&data[..n]), SendFlags { urgent, ..flags })
    }

    /// As [`tcp_send`](Stack::tcp_send), without a copy where `data` fills its chunk at least by half.
    ///
    /// # Errors
    /// As [`tcp_send`](Stack::tcp_send).
    pub fn tcp_push(&mut self, now: Instant, id: TcpId, data: Slice) -> Result<usize> {
        self.tcp_push_with(now, id, data, SendFlags::default())
    }

    /// As [`tcp_push`](Stack::tcp_push), in the way that `flags` say.
    ///
    /// # Errors
    /// As [`tcp_send`](Stack::tcp_send).
    pub fn tcp_push_with(&mut self, now: Instant, id: TcpId, mut data: Slice, flags: SendFlags) -> Result<usize> {
        let room = self.room_to_send(id)?;
        let urgent = flags.urgent && data.len() <= room;
        data.truncate(room);
        let n = data.len();
        self.queue(now, id, n, Payload::Move(data), SendFlags { urgent, ..flags })
    }

    /// As [`tcp_send`](Stack::tcp_send), and the last byte is urgent (RFC 6093; new applications should not use it,
    /// SHLD-13).
    ///
    /// # Errors
    /// As [`tcp_send`](Stack::tcp_send).
    pub fn tcp_send_urgent(&mut self, now: Instant, id: TcpId, data: &[u8]) -> Result<usize> {
        self.tcp_send_with(now, id, data, SendFlags { urgent: true, ..SendFlags::default() })
    }

    /// How many bytes may be written now, at least one.
    ///
    /// # Errors
    /// As [`tcp_send`](Stack::tcp_send).
    pub(crate) fn room_to_send(&mut self, id: TcpId) -> Result<usize> {
        let slot = self.table.check_mut(id)?;
        let socket = slot.socket.as_mut().ok_or(Error::BadHandle)?;
        let queued = match &slot.connection {
            Some(Connection::Synchronized(tcb)) if tcb.state().may_send() => tcb.snd.buffer.len(),
            Some(Connection::SynSent(_) | Connection::SynReceived(_)) if !socket.close_wanted => {
                socket.aside().map_or(0, |aside| aside.early.len())
            }
            _ => return Err(socket.take_error().unwrap_or(Error::BrokenPipe)),
        };
        let limit = send_limit(
            slot.connection.as_ref().and_then(Connection::tcb),
            socket.options(&self.default_options),
            &self.config.tcp,
            self.budget.level(),
        );
        let mut room = limit.saturating_sub(queued).min(self.budget.room_to_send(self.udp.memory()));
        if let Some(most) = socket.options(&self.default_options).unsent_low_water
            && slot.connection.as_ref().and_then(Connection::tcb).is_some_and(|tcb| tcb.snd.unsent() >= most)
        {
            room = 0;
        }
        if room > 0 {
            return Ok(room);
        }
        // Whoever is told to wait is told when there is room, even if that had never been noticed to be gone.
        slot.was_ready = slot.was_ready.without(Readiness::WRITABLE);
        if let Some(tcb) = slot.connection.as_mut().and_then(Connection::tcb_mut) {
            tcb.on_write_refused();
        }
        self.note_held_back(id.index);
        Err(Error::WouldBlock)
    }

    fn queue(&mut self, now: Instant, id: TcpId, n: usize, data: Payload<'_>, flags: SendFlags) -> Result<usize> {
        if n == 0 {
            return Ok(0);
        }
        let slot = self.table.check_mut(id)?;
        match (&mut slot.connection, &mut slot.socket) {
            (Some(Connection::Synchronized(tcb)), _) => {
                tcb.on_write(now);
                match data {
                    Payload::Copy(bytes) => tcb.snd.buffer.append(bytes),
                    Payload::Move(slice) => tcb.snd.buffer.push(slice),
                }
                // Of what is held back for more, nothing is once somebody writes who does not say so.
                tcb.snd.more = flags.more;
                if flags.urgent {
                    tcb.snd.up = Some(tcb.snd.buffer.end());
                }
            }
            (_, Some(socket)) => {
                let aside = socket.set_aside();
                match data {
                    Payload::Copy(bytes) => aside.early.append(bytes),
                    Payload::Move(slice) => aside.early.push(slice),
                }
                if flags.urgent {
                    aside.urgent = Some(aside.early.len());
                }
            }
            _ => return Err(Error::BadHandle),
        }
        self.touch(id.index, now);
        Ok(n)
    }

    /// Reads into `buf`; 0 is the end of the stream. A read stops where urgent data ends, so that
    /// [`tcp_at_mark`](Stack::tcp_at_mark) can tell.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, and once what ended the connection, after all that was received in order has
    /// been read.
    pub fn tcp_recv(&mut self, now: Instant, id: TcpId, buf: &mut [u8]) -> Result<usize> {
        let slices = self.tcp_pop(now, id, buf.len())?;
        let mut at = 0;
        for slice in &slices {
            buf[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        Ok(at)
    }

    /// As [`tcp_recv`](Stack::tcp_recv), without a copy: up to `max` bytes as slices, none at the end of the stream.
    ///
    /// # Errors
    /// As [`tcp_recv`](Stack::tcp_recv).
    pub fn tcp_pop(&mut self, now: Instant, id: TcpId, max: usize) -> Result<Slices> {
        let slot = self.table.check_mut(id)?;
        if max == 0 {
            return Ok(Slices::new());
        }
        let mut owes_update = false;
        let slices = match &mut slot.connection {
            Some(Connection::Synchronized(tcb)) => {
                let options = slot.socket.as_ref().map_or(&self.default_options, |s| s.options(&self.default_options));
                // Where memory is short nothing grows.
                let memory = self.budget.level();
                let range = match memory {
                    Memory::Ample => Range::recv(&self.config.tcp, options),
                    _ => Range::NONE,
                };
                let slices = tcb.read(max, now, range, options.urgent_inline);
                let mss = mss_of_link(&self.ip, &slot.tuple, options);
                owes_update = tcb.rcv.owes_window_update(mss.into(), memory > Memory::Ample);
                slices
            }
            _ => slot
                .socket
                .as_mut()
                .and_then(SocketSide::aside_mut)
                .map_or_else(Slices::new, |aside| aside.rest.pop(max)),
        };
        if slices.is_empty() {
            return self.nothing_to_read(id).map(|()| slices);
        }
        // No timer depends on what was read.
        if owes_update {
            self.mark_egress(id.index);
        }
        self.recount(id.index, now);
        Ok(slices)
    }

    /// As [`tcp_pop`](Stack::tcp_pop), the next piece only, as it lies in memory; an empty one at the end of the stream.
    ///
    /// # Errors
    /// As [`tcp_recv`](Stack::tcp_recv).
    pub fn tcp_pop_chunk(&mut self, now: Instant, id: TcpId) -> Result<Slice> {
        let slot = self.table.check(id)?;
        let front = match &slot.connection {
            Some(Connection::Synchronized(tcb)) => tcb.rcv.buffer.front_len(),
            _ => slot.socket.as_ref().and_then(|socket| socket.aside()).map_or(0, |aside| aside.rest.front_len()),
        };
        // Where there is none, it says why.
        let slices = self.tcp_pop(now, id, front.max(1))?;
        Ok(slices.into_iter().next().unwrap_or_default())
    }

    /// As [`tcp_recv`](Stack::tcp_recv), but the bytes stay.
    ///
    /// # Errors
    /// As [`tcp_recv`](Stack::tcp_recv).
    pub fn tcp_peek(&mut self, id: TcpId, buf: &mut [u8]) -> Result<usize> {
        let slot = self.table.check(id)?;
        let inline = slot.options(&self.default_options).urgent_inline;
        let n = match &slot.connection {
            Some(Connection::Synchronized(tcb)) => tcb.rcv.peek(buf, inline),
            _ => slot.socket.as_ref().and_then(SocketSide::aside).map_or(0, |aside| aside.rest.copy_to(0, buf)),
        };
        if n == 0 && !buf.is_empty() {
            return self.nothing_to_read(id).map(|()| 0);
        }
        Ok(n)
    }

    /// Why there is nothing to read: the end of the stream is `Ok`.
    fn nothing_to_read(&mut self, id: TcpId) -> Result<()> {
        let slot = self.table.check_mut(id)?;
        let socket = slot.socket.as_mut().ok_or(Error::BadHandle)?;
        // After the peer's FIN the stream has ended well: a later RST, as Linux has it, is the writer's to hear of.
        if socket.fin_received {
            return Ok(());
        }
        let ended = match &slot.connection {
            None => true,
            Some(Connection::TimeWait(_)) => true,
            Some(Connection::Synchronized(tcb)) => tcb.rcv.fin_received(),
            Some(Connection::SynSent(_) | Connection::SynReceived(_)) => false,
        };
        match socket.take_error() {
            Some(error) => Err(error),
            None if ended || socket.read_shutdown => Ok(()),
            None => Err(Error::WouldBlock),
        }
    }

    /// Whether the next byte to read is the first after urgent data (sockatmark(3)).
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_at_mark(&self, id: TcpId) -> Result<bool> {
        let slot = self.table.check(id)?;
        let inline = slot.options(&self.default_options).urgent_inline;
        Ok(slot.connection.as_ref().and_then(Connection::tcb).is_some_and(|tcb| tcb.rcv.at_mark(inline)))
    }

    /// The last urgent byte (recv(2) with MSG_OOB), however much comes before it in the stream; with `peek` it stays.
    ///
    /// # Errors
    /// `InvalidInput` if urgent data stays in line (`urgent_inline` of the options), there is none, or it was taken or
    /// passed already; `WouldBlock` if the byte was announced and has not come; `NotConnected`, `BadHandle`.
    pub fn tcp_recv_urgent(&mut self, id: TcpId, peek: bool) -> Result<u8> {
        let slot = self.table.check_mut(id)?;
        if slot.options(&self.default_options).urgent_inline {
            return Err(Error::InvalidInput("urgent data is in line with other data"));
        }
        let tcb = slot.connection.as_mut().and_then(Connection::tcb_mut).ok_or(Error::NotConnected)?;
        match tcb.rcv.urgent_byte() {
            None => Err(Error::InvalidInput("there is no urgent data")),
            Some(UrgentByte::Announced) => Err(Error::WouldBlock),
            Some(UrgentByte::Here(byte)) => {
                tcb.rcv.urgent_taken |= !peek;
                Ok(byte)
            }
        }
    }

    /// Whether reading would give at least `least` bytes, or all that its buffer has room for, or that there will be. A
    /// handle that is closed has nothing to wait for.
    pub fn tcp_has(&self, id: TcpId, least: usize) -> bool {
        let Ok(slot) = self.table.check(id) else { return true };
        let inline = slot.options(&self.default_options).urgent_inline;
        let Some(tcb) = slot.connection.as_ref().and_then(Connection::tcb) else {
            return !matches!(slot.connection, Some(Connection::SynSent(_) | Connection::SynReceived(_)));
        };
        let ended = tcb.rcv.fin_received() || slot.socket.as_ref().is_none_or(|socket| socket.read_shutdown);
        tcb.rcv.readable(inline) >= least.min(tcb.rcv.buffer.capacity() / 2).max(1) || ended
    }

    /// Shuts down one direction or both; the handle stays. After `Read`, what has been received can still be read, and
    /// then the stream ends.
    ///
    /// # Errors
    /// `NotConnected` if there is no connection any more.
    pub fn tcp_shutdown(&mut self, now: Instant, id: TcpId, how: Shutdown) -> Result<()> {
        let slot = self.table.check_mut(id)?;
        let socket = slot.socket.as_mut().ok_or(Error::BadHandle)?;
        let Some(connection) = &slot.connection else { return Err(Error::NotConnected) };
        if how != Shutdown::Write {
            socket.read_shutdown = true;
        }
        if how != Shutdown::Read {
            socket.close_wanted = !connection.state().is_synchronized();
            self.with_connection(id.index, now, |connection, cx| (connection.close(cx), None));
        }
        self.touch(id.index, now);
        Ok(())
    }

    /// Gives the handle up. Unread data or linger zero resets the connection; else it ends by FIN in the background.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_close(&mut self, now: Instant, id: TcpId) -> Result<()> {
        let slot = self.table.check_mut(id)?;
        let socket = slot.socket.as_mut().ok_or(Error::BadHandle)?;
        let lingers = socket.options(&self.default_options).linger == Some(Duration::ZERO);
        let abort = match &slot.connection {
            None => false,
            Some(Connection::SynSent(_)) => true,
            Some(Connection::SynReceived(_)) => {
                socket.close_wanted = true;
                lingers
            }
            // SHLD-3: the peer must learn that not all was read.
            Some(Connection::Synchronized(tcb)) => lingers || !tcb.rcv.buffer.is_empty(),
            Some(Connection::TimeWait(_)) => false,
        };
        let abort = abort || self.orphans >= self.config.max_orphans;
        self.orphan(id.index);
        if abort {
            self.abort(id.index, now);
        } else {
            self.close(id.index, now);
        }
        Ok(())
    }

    /// Gives the handle up and resets the connection.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_abort(&mut self, now: Instant, id: TcpId) -> Result<()> {
        self.table.check(id)?;
        self.orphan(id.index);
        self.abort(id.index, now);
        Ok(())
    }

    /// Resets up to `max` connections that are being shut down after their handles were given up, and says how many.
    /// For the end of the host: repeat it, pulling frames in between, until it gives zero.
    pub fn tcp_abort_orphans(&mut self, now: Instant, max: usize) -> usize {
        let all = self.table.indices().into_iter();
        let some: Vec<u32> = all.filter(|&i| self.table.get(i).is_some_and(Slot::is_orphan)).take(max).collect();
        some.iter().for_each(|&index| self.abort(index, now));
        some.len()
    }

    /// From now on nobody holds the connection.
    pub(super) fn orphan(&mut self, index: u32) {
        if let Some(slot) = self.table.get_mut(index) {
            slot.holder = Holder::Nobody;
        }
    }

    /// Closes an orphan: by FIN, or at once if there is nothing left to close.
    fn close(&mut self, index: u32, now: Instant) {
        let Some(slot) = self.table.get_mut(index) else { return };
        match &slot.connection {
            None => self.forget(index, now),
            Some(Connection::TimeWait(_)) => {
                slot.socket = None;
                self.touch(index, now);
            }
            Some(_) => {
                self.with_connection(index, now, |connection, cx| {
                    connection.close(cx);
                    connection.orphaned(cx.now);
                    ((), None)
                });
            }
        }
    }

    /// Resets an orphan.
    pub(super) fn abort(&mut self, index: u32, now: Instant) {
        let Some(slot) = self.table.get(index) else { return };
        let tuple = slot.tuple;
        match &slot.connection {
            None => self.forget(index, now),
            Some(Connection::TimeWait(_)) => self.close(index, now),
            Some(_) => {
                let reset = self.with_connection(index, now, |connection, cx| {
                    let options = cx.options;
                    let (ttl, tos, interface) = (options.ttl, options.tos, options.leaves_by());
                    let reset = connection.abort(cx).map(|reset| (reset, ttl, tos, interface));
                    (reset, Some(CloseReason::Aborted))
                });
                if let Some((reset, ttl, tos, interface)) = reset.flatten() {
                    self.reply_segment(&tuple, reset, ttl, tos, interface);
                }
            }
        }
    }

    /// Gives back what a call was told that had done a part of its work already, so that the next one is told. What can be
    /// tried again, and what every further call finds out by itself, is not kept.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_keep_error(&mut self, id: TcpId, error: Error) -> Result<()> {
        let ended = [Error::ConnectionReset, Error::TimedOut, Error::HostUnreachable, Error::NetworkUnreachable];
        let socket = self.table.check_mut(id)?.socket.as_mut().ok_or(Error::BadHandle)?;
        if ended.contains(&error) {
            socket.set_aside().error.get_or_insert(error);
        }
        Ok(())
    }

    /// Takes the pending error, if there is one (SO_ERROR): what ended the connection, else what a router said.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_take_error(&mut self, id: TcpId) -> Result<Option<Error>> {
        let slot = self.table.check_mut(id)?;
        let socket = slot.socket.as_mut().ok_or(Error::BadHandle)?;
        Ok(socket.take_error().or_else(|| socket.take_soft_error(slot.connection.as_ref())))
    }

    /// Our end.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_local_addr(&self, id: TcpId) -> Result<SocketAddr> {
        Ok(self.table.check(id)?.local())
    }

    /// The peer's end.
    ///
    /// # Errors
    /// `NotConnected` before it is established and after it is gone.
    pub fn tcp_peer_addr(&self, id: TcpId) -> Result<SocketAddr> {
        let slot = self.table.check(id)?;
        // Who has sent the SYN that we answer is known.
        let connected = slot.connection.as_ref().is_some_and(|c| c.state().is_synchronized() || c.is_embryonic());
        if connected { Ok(slot.remote()) } else { Err(Error::NotConnected) }
    }

    /// The state; CLOSED once the connection is gone.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_state(&self, id: TcpId) -> Result<State> {
        Ok(self.table.check(id)?.connection.as_ref().map_or(State::Closed, Connection::state))
    }

    /// Bytes written and not yet acknowledged by the peer, the FIN not counted.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_send_queue(&self, id: TcpId) -> Result<usize> {
        Ok(self.tcp_info(id)?.send_queue)
    }

    /// The connection's numbers.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_info(&self, id: TcpId) -> Result<TcpInfo> {
        Ok(self.info(self.table.check(id)?))
    }

    /// The connection's options.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn tcp_options(&self, id: TcpId) -> Result<&TcpOptions> {
        Ok(self.table.check(id)?.options(&self.default_options))
    }

    /// Sets the connection's options; they hold from now on.
    ///
    /// # Errors
    /// `InvalidInput` if one is out of range (TTL 0, keepalive of zero, ...), `NoDevice` if there is no such interface.
    pub fn set_tcp_options(&mut self, now: Instant, id: TcpId, mut options: TcpOptions) -> Result<()> {
        options.validate()?;
        options.marked_interface = self.interface_of_mark(options.mark);
        self.ip.check_interface(options.interface.into())?;
        let slot = self.table.check_mut(id)?;
        let known = slot.options(&self.default_options);
        if (options.leaves_by(), options.max_segment) != (known.leaves_by(), known.max_segment)
            && let Some(connection) = slot.connection.as_mut()
        {
            connection.on_link_mss(mss_of_link(&self.ip, &slot.tuple, &options));
        }
        if let Some(tcb) = slot.connection.as_mut().and_then(Connection::tcb_mut)
            && let Some(size) = options.recv_buffer
        {
            tcb.rcv.buffer.set_capacity(size);
        }
        if let Some(tcb) = slot.connection.as_mut().and_then(Connection::tcb_mut)
            && let Some(clamp) = options.window_clamp
        {
            tcb.rcv.buffer.set_capacity(tcb.rcv.buffer.capacity().min(clamp as usize));
        }
        if let Some(tcb) = slot.connection.as_mut().and_then(Connection::tcb_mut) {
            tcb.on_options(&options, &self.config.tcp, now);
        }
        if let Some(tcb) = slot.connection.as_mut().and_then(Connection::tcb_mut)
            && !options.mtu_discovery.believes_routers()
        {
            tcb.forget_path(mss_of_link(&self.ip, &slot.tuple, &options));
        }
        slot.socket.as_mut().ok_or(Error::BadHandle)?.set_options(options.into(), &self.default_options);
        self.touch(id.index, now);
        Ok(())
    }

    /// What every event ends with, where there was none but the user's: the connection is in the same state as before.
    pub(super) fn touch(&mut self, index: u32, now: Instant) {
        self.arm(index);
        self.mark_egress(index);
        self.recount(index, now);
    }

    pub(super) fn tcp_readiness(&self, slot: &Slot) -> Readiness {
        let Some(socket) = &slot.socket else { return Readiness::NONE };
        let mut ready = Readiness::NONE;
        // What a router said ends nothing: who is woken for it would find nothing to do, again and again.
        if socket.aside().is_some_and(|aside| aside.error.is_some()) {
            ready |= Readiness::ERROR;
        }
        match &slot.connection {
            Some(Connection::SynSent(_) | Connection::SynReceived(_)) => {}
            Some(Connection::Synchronized(tcb)) => {
                let ended = tcb.rcv.fin_received();
                let options = socket.options(&self.default_options);
                // Less than is wanted is enough if there is no room for more.
                let wanted = (options.recv_low_water as usize).min(tcb.rcv.buffer.capacity() / 2).max(1);
                if tcb.rcv.readable(options.urgent_inline) >= wanted || ended || socket.read_shutdown {
                    ready |= Readiness::READABLE;
                }
                if ended {
                    ready |= Readiness::READ_CLOSED;
                }
                if tcb.rcv.has_urgent_ahead() {
                    ready |= Readiness::PRIORITY;
                }
                let closing = !tcb.state().may_send();
                if closing || self.has_room(tcb, options) {
                    ready |= Readiness::WRITABLE;
                }
                if ended && closing {
                    ready |= Readiness::HANGUP;
                }
            }
            Some(Connection::TimeWait(_)) | None => {
                ready |= Readiness::READABLE | Readiness::WRITABLE | Readiness::READ_CLOSED | Readiness::HANGUP;
            }
        }
        ready
    }

    /// Whether it is worth waking a writer: a third of the buffer is free, as Linux has it, or so much that more would make
    /// no write cheaper. On a long path that loses, where what is sent waits for holes to be filled, all of a large buffer
    /// is needed.
    fn has_room(&self, tcb: &Tcb, options: &TcpOptions) -> bool {
        let limit = send_limit(Some(tcb), options, &self.config.tcp, self.budget.level());
        let free = limit.saturating_sub(tcb.snd.buffer.len());
        // As on Linux, a writer is woken when half of what may be unsent is sent.
        let unsent = options.unsent_low_water.is_none_or(|most| tcb.snd.unsent() <= most / 2);
        limit > 0 && (free * 3 >= limit || free >= WORTH_A_WRITE) && unsent
    }
}

/// Bytes of room that a writer is woken for, however large the buffer is.
const WORTH_A_WRITE: usize = 1 << 20;

/// What the send buffer may hold now.
fn send_limit(tcb: Option<&Tcb>, options: &TcpOptions, config: &TcpConfig, memory: Memory) -> usize {
    let range = Range::send(config, options);
    let limit = tcb.map_or(range.initial, |tcb| tcb.send_limit(range));
    match memory {
        Memory::Ample => limit,
        Memory::Short | Memory::Full => SHARE_UNDER_PRESSURE.min(limit),
        Memory::Scant | Memory::Exhausted => 0,
    }
}

/// Data to be queued.
enum Payload<'a> {
    Copy(&'a [u8]),
    Move(Slice),
}
