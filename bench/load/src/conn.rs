//! A non-blocking connection with an output queue, and the epoll set they live in.
//!
//! Edge-triggered: a read shorter than the buffer means the socket is drained (epoll(7)), which saves the second
//! `read` per answer that costs other generators a system call.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Bytes of the read buffer that all connections share.
pub const SCRATCH_BYTES: usize = 1 << 18;

pub struct Conn {
    stream: TcpStream,
    /// Bytes read but not yet consumed by the parser.
    rest: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    /// The last write met a full socket buffer; wait for the writable edge.
    is_blocked: bool,
}

impl Conn {
    /// Connects (blocking: loopback) and registers under `token`.
    pub fn open(addr: SocketAddr, set: &EpollSet, token: usize) -> Result<Self, String> {
        let connect = || -> io::Result<TcpStream> {
            let stream = std::net::TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            set.poll.registry().register(
                &mut stream,
                Token(token),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            Ok(stream)
        };
        let stream = connect().map_err(|e| format!("connect {addr}: {e}"))?;
        Ok(Self {
            stream,
            rest: Vec::new(),
            out: Vec::new(),
            written: 0,
            is_blocked: false,
        })
    }

    /// The queue of bytes to send; call `flush` after adding to it.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes queued and not yet taken by the kernel.
    pub fn queued(&self) -> usize {
        self.out.len() - self.written
    }

    /// Writes what the socket takes now.
    pub fn flush(&mut self) -> Result<(), String> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    if self.written > 1 << 20 {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(format!("write: {e}")),
            }
        }
        self.out.clear();
        self.written = 0;
        self.is_blocked = false;
        Ok(())
    }

    /// Whether a writable edge has something to do here.
    pub fn wants_write(&self) -> bool {
        self.is_blocked
    }

    /// Reads until drained; `parse` gets all unconsumed bytes and says how many it took.
    pub fn receive(
        &mut self,
        scratch: &mut [u8],
        mut parse: impl FnMut(&[u8]) -> Result<usize, String>,
    ) -> Result<(), String> {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(format!("read: {e}")),
            };
            if self.rest.is_empty() {
                let used = parse(&scratch[..count])?;
                self.rest.extend_from_slice(&scratch[used..count]);
            } else {
                self.rest.extend_from_slice(&scratch[..count]);
                let used = parse(&self.rest)?;
                self.rest.drain(..used);
            }
            if count < scratch.len() {
                return Ok(());
            }
        }
    }
}

/// One epoll set and its event buffer.
pub struct EpollSet {
    poll: Poll,
    events: Events,
}

/// What happened to the connection registered under `token`.
#[derive(Clone, Copy)]
pub struct Happened {
    pub token: usize,
    pub is_readable: bool,
    pub is_writable: bool,
}

impl EpollSet {
    pub fn new() -> Result<Self, String> {
        let poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
        })
    }

    /// Waits at most `timeout_ms` (0: only looks) and replaces `happened` by what came.
    pub fn wait(&mut self, timeout_ms: u64, happened: &mut Vec<Happened>) -> Result<(), String> {
        happened.clear();
        match self
            .poll
            .poll(&mut self.events, Some(Duration::from_millis(timeout_ms)))
        {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(e) => return Err(format!("epoll: {e}")),
        }
        happened.extend(self.events.iter().map(|event| Happened {
            token: event.token().0,
            is_readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            is_writable: event.is_writable(),
        }));
        Ok(())
    }
}
