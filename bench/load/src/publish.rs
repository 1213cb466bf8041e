//! Publish loads: closed loop by answers, or open loop by schedule (HTTP).

use std::collections::VecDeque;

use crate::args::Args;
use crate::clock::{cpu_seconds, now_ns, ns};
use crate::conn::{Conn, EpollSet, Happened, SCRATCH_BYTES};
use crate::message::{Form, Message};
use crate::report::{Histogram, Line};
use crate::unit::Unit;
use crate::wire::{Acks, Seen};

struct Client {
    conn: Conn,
    acks: Acks,
    unit: Unit,
    is_ready: bool,
    /// Answers of the oldest unit in flight that have come.
    part: u64,
    /// When each unit in flight was sent, or was due.
    sent_ns: VecDeque<u64>,
}

#[derive(Default)]
struct Totals {
    /// Units sent.
    sent: u64,
    /// Messages answered, all and within the measured span.
    answered: u64,
    measured: u64,
    errors: u64,
    first_error: Option<String>,
    last_ns: u64,
}

struct Load {
    clients: Vec<Client>,
    set: EpollSet,
    scratch: Vec<u8>,
    totals: Totals,
    histogram: Histogram,
    /// Units in flight per connection.
    window: usize,
    /// Units to send in all.
    limit: u64,
    /// The measured span.
    from_ns: u64,
    to_ns: u64,
    is_open_loop: bool,
}

/// Runs one publish load and returns its report.
pub fn run(command: &str, args: &Args) -> Result<String, String> {
    let addr = args.addr()?;
    let set = EpollSet::new()?;
    let mut clients = Vec::new();
    for index in 0..args.number("--connections", 1)? {
        let unit = Unit::new(command, args, index)?;
        let mut conn = Conn::open(addr, &set, index)?;
        conn.out().extend_from_slice(&unit.hello);
        conn.flush()?;
        let acks = unit.counter();
        let is_ready = !acks.needs_handshake();
        clients.push(Client {
            conn,
            acks,
            unit,
            is_ready,
            part: 0,
            sent_ns: VecDeque::new(),
        });
    }
    let messages = clients.first().ok_or("--connections 0")?.unit.messages;
    let window = if command == "http-post" {
        args.number("--pipeline", 1)?
    } else {
        (args.number("--window", 1000)? / messages).max(1) as usize
    };
    let limit = match args.number("--messages", 0_u64)? {
        0 => u64::MAX,
        count => count.div_ceil(messages),
    };
    let mut load = Load {
        clients,
        set,
        scratch: vec![0; SCRATCH_BYTES],
        totals: Totals::default(),
        histogram: Histogram::new(),
        window,
        limit,
        from_ns: u64::MAX,
        to_ns: u64::MAX,
        is_open_loop: args.has("--rate"),
    };
    load.shake_hands()?;
    let cpu = cpu_seconds();
    let start = now_ns();
    let warmup = if limit == u64::MAX {
        ns(args.number("--warmup", 0.5)?)
    } else {
        0
    };
    load.from_ns = start + warmup;
    load.to_ns = if limit == u64::MAX {
        load.from_ns + ns(args.number("--duration", 2.0)?)
    } else {
        u64::MAX
    };
    let deadline = ns(args.number("--deadline", 10.0)?);
    if load.is_open_loop {
        load.open_loop(args, start)?;
    } else {
        load.closed_loop(deadline)?;
    }
    load.drain(deadline)?;
    Ok(load.report(command, args.number("--size", 128)?, cpu_seconds() - cpu))
}

impl Load {
    fn shake_hands(&mut self) -> Result<(), String> {
        let end = now_ns() + ns(10.0);
        while self.clients.iter().any(|client| !client.is_ready) {
            if now_ns() > end {
                return Err("no answer to the handshake within 10 s".to_owned());
            }
            self.turn(100, &mut Vec::new(), |_, _| Ok(()))?;
        }
        Ok(())
    }

    /// One pass of the event loop; `then` runs for each connection that was answered.
    fn turn(
        &mut self,
        timeout_ms: u64,
        happened: &mut Vec<Happened>,
        mut then: impl FnMut(&mut Client, &mut Totals) -> Result<(), String>,
    ) -> Result<(), String> {
        self.set.wait(timeout_ms, happened)?;
        for event in happened.iter() {
            let client = &mut self.clients[event.token];
            if event.is_readable {
                let mut seen = Seen::default();
                let acks = &mut client.acks;
                client
                    .conn
                    .receive(&mut self.scratch, |data| acks.feed(data, &mut seen))?;
                client.is_ready |= seen.is_ready;
                for _ in 0..seen.pings {
                    client.conn.out().extend_from_slice(b"PONG\r\n");
                }
                let now = now_ns();
                let is_measured = now >= self.from_ns && now < self.to_ns;
                self.totals.errors += seen.errors;
                if self.totals.first_error.is_none() {
                    self.totals.first_error = seen.first_error;
                }
                client.part += seen.acks + seen.errors;
                while client.part >= client.unit.acks {
                    client.part -= client.unit.acks;
                    let sent = client.sent_ns.pop_front().ok_or("an answer to nothing")?;
                    if is_measured && (!self.is_open_loop || sent >= self.from_ns) {
                        self.histogram.add(now.saturating_sub(sent));
                    }
                    self.totals.last_ns = now;
                }
                let per_ack = client.unit.messages / client.unit.acks;
                self.totals.answered += seen.acks * per_ack;
                self.totals.measured += if is_measured { seen.acks * per_ack } else { 0 };
                then(client, &mut self.totals)?;
                client.conn.flush()?;
            }
            if event.is_writable && client.conn.wants_write() {
                client.conn.flush()?;
            }
        }
        Ok(())
    }

    fn closed_loop(&mut self, deadline: u64) -> Result<(), String> {
        let (window, limit, end) = (self.window, self.limit, self.to_ns);
        let fill = |client: &mut Client, totals: &mut Totals| {
            let now = now_ns();
            while client.sent_ns.len() < window && totals.sent < limit && now < end {
                client.unit.push(totals.sent, client.conn.out());
                client.sent_ns.push_back(now);
                totals.sent += 1;
            }
            Ok(())
        };
        for client in &mut self.clients {
            fill(client, &mut self.totals)?;
            client.conn.flush()?;
        }
        let mut happened = Vec::new();
        let mut progress = (self.totals.answered, now_ns());
        while now_ns() < end && (self.totals.sent < limit) {
            self.turn(100, &mut happened, fill)?;
            if self.totals.errors > 10_000 {
                break;
            }
            if self.totals.answered != progress.0 {
                progress = (self.totals.answered, now_ns());
            } else if now_ns() - progress.1 > deadline {
                return Err(format!(
                    "no answer for {} s after {}",
                    deadline / 1_000_000_000,
                    progress.0
                ));
            }
        }
        Ok(())
    }

    /// Message `n` is due at `start + n / rate`, on connection `n` modulo their count; the loop never sleeps.
    fn open_loop(&mut self, args: &Args, start: u64) -> Result<(), String> {
        let rate: f64 = args.number("--rate", 1000.0)?;
        let form = Form::new(true, args.number("--size", 128)?)?;
        let mut happened = Vec::new();
        let end = self.to_ns;
        while self.totals.sent < self.limit {
            let due = start + (self.totals.sent as f64 * 1e9 / rate) as u64;
            if due >= end {
                break;
            }
            if now_ns() < due {
                self.turn(0, &mut happened, |_, _| Ok(()))?;
                continue;
            }
            let index = self.totals.sent as usize % self.clients.len();
            let client = &mut self.clients[index];
            let message = Message {
                publisher: index as u16,
                sequence: self.totals.sent,
                due_ns: due,
            };
            client.unit.push_stamped(&form, message, client.conn.out())?;
            client.sent_ns.push_back(due);
            client.conn.flush()?;
            self.totals.sent += 1;
            if self.totals.sent % 32 == 0 {
                // Behind schedule too, answers are read.
                self.turn(0, &mut happened, |_, _| Ok(()))?;
            }
        }
        Ok(())
    }

    fn drain(&mut self, deadline: u64) -> Result<(), String> {
        let end = now_ns() + deadline;
        while self.clients.iter().any(|client| !client.sent_ns.is_empty()) && now_ns() < end {
            self.turn(50, &mut Vec::new(), |_, _| Ok(()))?;
        }
        Ok(())
    }

    fn report(&self, command: &str, size: u64, cpu: f64) -> String {
        let in_flight: usize = self.clients.iter().map(|client| client.sent_ns.len()).sum();
        let end = if self.limit == u64::MAX {
            self.to_ns
        } else {
            self.totals.last_ns
        };
        let seconds = end.saturating_sub(self.from_ns) as f64 / 1e9;
        let mut line = Line::new(command);
        line.real("rate", self.totals.measured as f64 / seconds.max(1e-9));
        line.count("count", self.totals.measured);
        line.real("seconds", seconds);
        line.count("total", self.totals.answered);
        line.count("sent", self.totals.sent * self.clients[0].unit.messages);
        line.count("unanswered", in_flight as u64 * self.clients[0].unit.messages);
        line.count("errors", self.totals.errors);
        line.count("bytes", self.totals.measured * size);
        line.latency(&self.histogram);
        line.real("generator_cpu_s", cpu);
        if let Some(error) = &self.totals.first_error {
            line.text("first_error", error);
        }
        line.end()
    }
}
