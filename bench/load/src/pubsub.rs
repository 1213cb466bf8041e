//! Delivery loads: numbered messages from P publishers to R readers of one topic, checked at each reader.
//!
//! Closed loop: a publisher's next message goes out when the one `window` before it has reached *every* reader.
//! Open loop: message `n` is due at `start + n / rate` whatever happened to the others, and carries that time.
//! Lost = sent × readers − delivered, after a drain that waits for the last one.

use std::net::SocketAddr;

use crate::args::Args;
use crate::clock::{cpu_seconds, now_ns, ns};
use crate::conn::{Conn, EpollSet, Happened, SCRATCH_BYTES};
use crate::http::Responses;
use crate::message::{Form, Message, PROBE};
use crate::order::{Arrival, Order};
use crate::reader::{hello, Decoder, Kind};
use crate::record_batch::Template;
use crate::report::{Histogram, Line};
use crate::unit::{post, wall_ms};
use crate::wire::{mqtt_connect, mqtt_packet, Acks, Resp, Seen, NATS_CONNECT};

/// How a publisher writes `batch` messages.
struct Encoder {
    prefix: Vec<u8>,
    suffix: &'static [u8],
    template: Option<Template>,
    batch: usize,
    form: Form,
}

impl Encoder {
    fn push(&mut self, first: Message, out: &mut Vec<u8>) {
        if let Some(template) = &mut self.template {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(template.fill(&self.form, first));
            return;
        }
        for index in 0..self.batch as u64 {
            out.extend_from_slice(&self.prefix);
            self.form.push(
                Message {
                    sequence: first.sequence + index,
                    ..first
                },
                out,
            );
            out.extend_from_slice(self.suffix);
        }
    }
}

struct Publisher {
    conn: Conn,
    acks: Acks,
    encoder: Encoder,
    is_ready: bool,
    number: u16,
    /// Next sequence.
    next: u64,
    /// Per message in the window: readers that have not got it. Empty in an open loop.
    missing: Vec<u32>,
    /// Requests sent less answers; HTTP only.
    unanswered: u64,
}

impl Publisher {
    fn may_send(&self, pipeline: u64) -> bool {
        let window = self.missing.len() as u64;
        self.unanswered < pipeline
            && (0..self.encoder.batch as u64)
                .all(|index| self.missing[((self.next + index) % window) as usize] == 0)
    }

    fn send(&mut self, due_ns: u64, readers: u32) {
        let first = Message {
            publisher: self.number,
            sequence: self.next,
            due_ns,
        };
        self.encoder.push(first, self.conn.out());
        self.unanswered += 1;
        let window = self.missing.len() as u64;
        for _ in 0..self.encoder.batch {
            if window > 0 {
                self.missing[(self.next % window) as usize] = readers;
            }
            self.next += 1;
        }
    }
}

struct Reader {
    conn: Conn,
    decoder: Decoder,
    order: Order,
    is_probed: bool,
}

#[derive(Default)]
struct Totals {
    sent: u64,
    delivered: u64,
    measured: u64,
    measured_seconds: f64,
    lost: u64,
    duplicates: u64,
    reordered: u64,
    errors: u64,
    first_error: Option<String>,
    is_stalled: bool,
    last_ns: u64,
}

/// What a run does; the same for all its passes.
struct Plan {
    addr: SocketAddr,
    host: String,
    readers: Vec<(Kind, usize)>,
    form: Form,
    publish_batch: bool,
    batch: usize,
    connections: usize,
    /// Undelivered messages per publisher; 0 in an open loop.
    window: usize,
    pipeline: u64,
    rate: f64,
    messages: u64,
    warmup_ns: u64,
    duration_ns: u64,
    deadline_ns: u64,
}

impl Plan {
    fn new(args: &Args, readers: &[(Kind, usize)]) -> Result<Self, String> {
        let kind = readers[0].0;
        let is_text = readers.iter().any(|(kind, _)| kind.is_text());
        let rate: f64 = args.number("--rate", 0.0)?;
        let in_flight: usize = args.number("--in-flight", 0)?;
        let publish_batch = match args.text(
            "--publish",
            if kind == Kind::SprawlBinary {
                "batch"
            } else {
                "raw"
            },
        ) {
            "batch" if kind.is_sprawl() => true,
            "raw" => false,
            other => return Err(format!("--publish {other}: raw or (to a sprawl node) batch")),
        };
        let is_single = rate > 0.0 || in_flight > 0 || (kind.is_http() && !publish_batch);
        let batch = if kind.is_http() && !publish_batch {
            1
        } else {
            args.number("--batch", if is_single { 1 } else { 100 })?
        };
        let connections: usize = args.number("--connections", 1)?;
        let mut window = args.number("--window", 1000)?;
        if in_flight > 0 {
            if in_flight % connections != 0 {
                return Err(format!("--in-flight {in_flight} over {connections} connections"));
            }
            window = in_flight / connections;
        }
        if rate > 0.0 {
            window = 0;
        } else if window < batch {
            return Err(format!("a window of {window} holds no batch of {batch}"));
        }
        let pipeline = if !kind.is_http() || rate > 0.0 {
            u64::MAX
        } else {
            args.number("--pipeline", if publish_batch { u64::MAX } else { 1 })?
        };
        let messages: u64 = args.number("--messages", 0)?;
        Ok(Self {
            addr: args.addr()?,
            host: args.text("--addr", "").to_owned(),
            readers: readers.to_vec(),
            form: Form::new(is_text, args.number("--size", 128)?)?,
            publish_batch,
            batch,
            connections,
            window,
            pipeline,
            rate,
            messages: if messages == 0 { u64::MAX } else { messages },
            warmup_ns: if messages == 0 {
                ns(args.number("--warmup", 0.5)?)
            } else {
                0
            },
            duration_ns: ns(args.number("--duration", 2.0)?),
            deadline_ns: ns(args.number("--deadline", 3.0)?),
        })
    }

    /// The greeting, the answer counter and the encoder of publisher `number` of `topic`.
    fn publisher(&self, topic: &str, number: usize) -> (Vec<u8>, Acks, Encoder) {
        let mut greeting = Vec::new();
        let (size, mut suffix, mut template) = (self.form.size, &b""[..], None);
        let zeros = vec![0; size];
        let cut = |mut whole: Vec<u8>| {
            whole.truncate(whole.len() - size);
            whole
        };
        let (acks, prefix) = match self.readers[0].0 {
            Kind::Nats => {
                greeting.extend_from_slice(NATS_CONNECT);
                greeting.extend_from_slice(b"PING\r\n");
                suffix = b"\r\n";
                (
                    Acks::NatsPong { is_open: false },
                    format!("PUB {topic} {size}\r\n").into_bytes(),
                )
            }
            Kind::RedisPubsub => {
                suffix = b"\r\n";
                let head = format!(
                    "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{topic}\r\n${size}\r\n",
                    topic.len()
                );
                (Acks::Resp(Resp::default()), head.into_bytes())
            }
            Kind::RedisStream => {
                suffix = b"\r\n";
                let head = format!(
                    "*5\r\n$4\r\nXADD\r\n${}\r\n{topic}\r\n$1\r\n*\r\n$1\r\nd\r\n${size}\r\n",
                    topic.len()
                );
                (Acks::Resp(Resp::default()), head.into_bytes())
            }
            Kind::Mqtt => {
                mqtt_connect(&format!("publisher-{topic}-{number}"), &mut greeting);
                let mut body = (topic.len() as u16).to_be_bytes().to_vec();
                body.extend_from_slice(topic.as_bytes());
                body.extend_from_slice(&zeros);
                let mut whole = Vec::new();
                mqtt_packet(0x30, &body, &mut whole);
                (Acks::Mqtt, cut(whole))
            }
            kind => {
                let path = if kind.is_sprawl() {
                    format!("/v1/topics/{topic}/messages")
                } else {
                    format!("/pub/{topic}")
                };
                let head = if self.publish_batch {
                    let fresh = Template::new(self.batch, size, wall_ms());
                    let body = fresh.bytes().to_vec();
                    let mut whole = post(&self.host, &path, "application/x-sprawl-batch", &body);
                    whole.truncate(whole.len() - body.len());
                    template = Some(fresh);
                    whole
                } else {
                    cut(post(&self.host, &path, "text/plain", &zeros))
                };
                (Acks::Http(Responses::new(None)), head)
            }
        };
        let form = self.form.clone();
        (
            greeting,
            acks,
            Encoder {
                prefix,
                suffix,
                template,
                batch: self.batch,
                form,
            },
        )
    }
}

/// One pass: its connections and what they saw.
struct Pass<'a> {
    plan: &'a Plan,
    set: EpollSet,
    readers: Vec<Reader>,
    publishers: Vec<Publisher>,
    totals: &'a mut Totals,
    histogram: &'a mut Histogram,
    scratch: Vec<u8>,
    happened: Vec<Happened>,
    from_ns: u64,
    to_ns: u64,
    probes: u64,
}

/// Runs a delivery load and returns its report.
pub fn run(args: &Args, readers: &[(Kind, usize)]) -> Result<String, String> {
    let plan = Plan::new(args, readers)?;
    let mut totals = Totals::default();
    let mut histogram = Histogram::new();
    let mut cpu = 0.0;
    for pass in 0..args.number("--passes", 1)? {
        let topic = format!("{}-{pass}", args.text("--topic", "t"));
        let mut pass = Pass::open(&plan, &topic, &mut totals, &mut histogram)?;
        pass.confirm()?;
        let before = cpu_seconds();
        pass.load()?;
        cpu += cpu_seconds() - before;
        if totals.is_stalled || totals.errors > 0 {
            break;
        }
    }
    Ok(report(&plan, &totals, &histogram, cpu))
}

fn report(plan: &Plan, totals: &Totals, histogram: &Histogram, cpu: f64) -> String {
    let readers: usize = plan.readers.iter().map(|(_, count)| count).sum();
    let mut line = Line::new("pubsub");
    let rate = totals.measured as f64 / totals.measured_seconds.max(1e-9);
    line.real("rate", rate);
    line.real("messages_rate", rate / readers as f64);
    line.count("count", totals.measured);
    line.real("seconds", totals.measured_seconds);
    line.count("total", totals.delivered);
    line.count("sent", totals.sent);
    line.count("readers", readers as u64);
    line.count("expected", totals.sent * readers as u64);
    line.count("lost", totals.lost);
    line.count("duplicates", totals.duplicates);
    line.count("reordered", totals.reordered);
    line.count("errors", totals.errors);
    line.truth("stalled", totals.is_stalled);
    line.count("bytes", totals.measured * plan.form.size as u64);
    line.latency(histogram);
    line.real("generator_cpu_s", cpu);
    if let Some(error) = &totals.first_error {
        line.text("first_error", error);
    }
    line.end()
}

impl<'a> Pass<'a> {
    fn open(
        plan: &'a Plan,
        topic: &str,
        totals: &'a mut Totals,
        histogram: &'a mut Histogram,
    ) -> Result<Self, String> {
        let set = EpollSet::new()?;
        let mut readers = Vec::new();
        for (kind, count) in &plan.readers {
            for _ in 0..*count {
                let mut conn = Conn::open(plan.addr, &set, readers.len())?;
                hello(*kind, &plan.host, topic, readers.len(), conn.out());
                conn.flush()?;
                readers.push(Reader {
                    conn,
                    decoder: Decoder::new(*kind, topic, plan.form.clone()),
                    order: Order::new(plan.connections),
                    is_probed: false,
                });
            }
        }
        let mut publishers = Vec::new();
        for index in 0..plan.connections {
            let (greeting, acks, encoder) = plan.publisher(topic, index);
            let mut conn = Conn::open(plan.addr, &set, readers.len() + index)?;
            conn.out().extend_from_slice(&greeting);
            conn.flush()?;
            publishers.push(Publisher {
                conn,
                is_ready: !acks.needs_handshake(),
                acks,
                encoder,
                number: index as u16,
                next: 0,
                missing: vec![0; plan.window],
                unanswered: 0,
            });
        }
        Ok(Self {
            plan,
            set,
            readers,
            publishers,
            totals,
            histogram,
            scratch: vec![0; SCRATCH_BYTES],
            happened: Vec::new(),
            from_ns: u64::MAX,
            to_ns: u64::MAX,
            probes: 0,
        })
    }

    /// Waits until every subscription answered, then until every reader got a probe through the topic.
    fn confirm(&mut self) -> Result<(), String> {
        let end = now_ns() + ns(20.0);
        let mut next_probe = 0;
        loop {
            let is_open = self.readers.iter().all(|reader| reader.decoder.is_ready)
                && self.publishers.iter().all(|publisher| publisher.is_ready);
            if is_open
                && self.readers.iter().all(|reader| reader.is_probed)
                && self.publishers[0].unanswered == 0
            {
                return Ok(());
            }
            let now = now_ns();
            if now > end {
                let ready = self
                    .readers
                    .iter()
                    .filter(|reader| reader.decoder.is_ready)
                    .count();
                let probed = self.readers.iter().filter(|reader| reader.is_probed).count();
                let all = self.readers.len();
                return Err(format!(
                    "of {all} readers {ready} subscribed, {probed} got a message within 20 s"
                ));
            }
            if is_open && now > next_probe && !self.readers.iter().all(|reader| reader.is_probed) {
                // A subscription confirmed too early misses the first; the next one comes in 100 ms.
                next_probe = now + ns(0.1);
                let publisher = &mut self.publishers[0];
                let probe = Message {
                    publisher: PROBE,
                    sequence: self.probes,
                    due_ns: now,
                };
                publisher.encoder.push(probe, publisher.conn.out());
                publisher.unanswered += u64::from(self.plan.readers[0].0.is_http());
                publisher.conn.flush()?;
                self.probes += 1;
            }
            self.turn(20)?;
        }
    }

    fn turn(&mut self, timeout_ms: u64) -> Result<(), String> {
        self.set.wait(timeout_ms, &mut self.happened)?;
        let happened = std::mem::take(&mut self.happened);
        for event in &happened {
            let is_reader = event.token < self.readers.len();
            if event.is_readable && is_reader {
                self.read(event.token)?;
            } else if event.is_readable {
                self.hear(event.token - self.readers.len())?;
            }
            let conn = if is_reader {
                &mut self.readers[event.token].conn
            } else {
                &mut self.publishers[event.token - self.readers.len()].conn
            };
            if event.is_writable && conn.wants_write() {
                conn.flush()?;
            }
        }
        self.happened = happened;
        Ok(())
    }

    fn hear(&mut self, index: usize) -> Result<(), String> {
        let publisher = &mut self.publishers[index];
        let mut seen = Seen::default();
        let acks = &mut publisher.acks;
        publisher
            .conn
            .receive(&mut self.scratch, |data| acks.feed(data, &mut seen))?;
        publisher.is_ready |= seen.is_ready;
        publisher.unanswered = publisher.unanswered.saturating_sub(seen.acks + seen.errors);
        self.totals.errors += seen.errors;
        if self.totals.first_error.is_none() {
            self.totals.first_error = seen.first_error;
        }
        for _ in 0..seen.pings {
            publisher.conn.out().extend_from_slice(b"PONG\r\n");
        }
        publisher.conn.flush()
    }

    fn read(&mut self, index: usize) -> Result<(), String> {
        let Self {
            readers,
            publishers,
            totals,
            histogram,
            scratch,
            plan,
            ..
        } = self;
        let Reader {
            conn,
            decoder,
            order,
            is_probed,
        } = &mut readers[index];
        let (from_ns, to_ns, is_open_loop) = (self.from_ns, self.to_ns, plan.rate > 0.0);
        let mut out = Vec::new();
        conn.receive(scratch, |data| {
            let now = now_ns();
            let is_measured = now >= from_ns && now < to_ns;
            let mut each = |payload: &[u8]| {
                let message = plan.form.read(payload).ok_or_else(|| {
                    format!("a message that was not sent: {}", crate::http::excerpt(payload))
                })?;
                if message.publisher == PROBE {
                    *is_probed = true;
                    return Ok(());
                }
                let from = usize::from(message.publisher);
                match order
                    .note(from, message.sequence)
                    .ok_or("a message of an unknown publisher")?
                {
                    Arrival::InOrder => {}
                    Arrival::Reordered => totals.reordered += 1,
                    Arrival::Duplicate => {
                        totals.duplicates += 1;
                        return Ok(());
                    }
                }
                totals.delivered += 1;
                totals.last_ns = now;
                if is_measured && (!is_open_loop || message.due_ns >= from_ns) {
                    totals.measured += 1;
                    histogram.add(now.saturating_sub(message.due_ns));
                }
                let missing = &mut publishers[from].missing;
                if !missing.is_empty() {
                    let slot = message.sequence as usize % missing.len();
                    missing[slot] = missing[slot]
                        .checked_sub(1)
                        .ok_or("a message delivered once too often")?;
                }
                Ok(())
            };
            decoder.feed(data, &mut out, &mut each)
        })?;
        if !out.is_empty() {
            conn.out().extend_from_slice(&out);
            conn.flush()?;
        }
        Ok(())
    }

    fn load(&mut self) -> Result<(), String> {
        let plan = self.plan;
        let readers = self.readers.len() as u32;
        let start = now_ns();
        self.from_ns = start + plan.warmup_ns;
        self.to_ns = if plan.messages == u64::MAX {
            self.from_ns + plan.duration_ns
        } else {
            u64::MAX
        };
        let before = self.totals.delivered;
        let mut sent = 0;
        let mut progress = (before, start);
        loop {
            let now = now_ns();
            if now >= self.to_ns || sent >= plan.messages || self.totals.errors > 100 {
                break;
            }
            if plan.rate > 0.0 {
                let due = start + (sent as f64 * 1e9 / plan.rate) as u64;
                if now >= due {
                    let publisher = &mut self.publishers[(sent % plan.connections as u64) as usize];
                    publisher.send(due, readers);
                    publisher.conn.flush()?;
                    sent += plan.batch as u64;
                    if sent % 32 != 0 {
                        continue;
                    }
                }
                // Behind schedule too, deliveries are read.
                self.turn(0)?;
                continue;
            }
            for publisher in &mut self.publishers {
                let had = publisher.conn.queued();
                while sent < plan.messages && publisher.may_send(plan.pipeline) {
                    publisher.send(now, readers);
                    sent += plan.batch as u64;
                }
                if publisher.conn.queued() > had {
                    publisher.conn.flush()?;
                }
            }
            self.turn(20)?;
            if self.is_stuck(&mut progress) {
                self.totals.is_stalled = true;
                break;
            }
        }
        let expected = before + sent * u64::from(readers);
        let mut progress = (self.totals.delivered, now_ns());
        while self.totals.delivered < expected && !self.is_stuck(&mut progress) && !self.totals.is_stalled {
            self.turn(20)?;
        }
        let end = if self.to_ns == u64::MAX {
            self.totals.last_ns
        } else {
            self.to_ns
        };
        self.totals.measured_seconds += end.saturating_sub(self.from_ns) as f64 / 1e9;
        self.totals.sent += sent;
        self.totals.lost += expected.saturating_sub(self.totals.delivered);
        Ok(())
    }

    /// Whether nothing was delivered for the whole deadline.
    fn is_stuck(&self, progress: &mut (u64, u64)) -> bool {
        let now = now_ns();
        if self.totals.delivered != progress.0 {
            *progress = (self.totals.delivered, now);
        }
        now - progress.1 > self.plan.deadline_ns
    }
}
