//! The HTTP edge as a state machine: bytes of a connection in; appends, answer bytes and steps for the driver out.
//!
//! Publish and fetch are parsed and answered here. Whatever else arrives is handed to the driver as a complete, limited
//! request. Answers leave in request order because a connection parses nothing while one of its answers is pending.
//! Design: `docs/design/edge.md`.

mod connection;
pub mod encode;
pub mod fetch;
pub mod lookup;
pub mod page;
mod publish;
pub mod reader;
pub mod time;

pub use connection::{Connection, Inside, Request, Step, Waiting};
pub use publish::level;

/// How long a plain read looks for its first match without having asked to wait, ns.
const LOOK_NS: i64 = READ_LOOK_S_MAX as i64 * 1_000_000_000;
/// A scratch buffer above this is given back after use: one large answer must not stay for ever.
const SCRATCH_BYTES_KEPT: usize = 1024 * 1024;

/// How far a plain read has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its answer is written.
    Answered,
    /// It has looked at all there is: it waits for more.
    Waits,
    /// It has looked at its share, found nothing yet, and there is more to look at.
    Looks,
}

use crate::http::response::{self, Refusal};
use crate::http::{Head, Known, Method};
use crate::limits::{READ_LOOK_S_MAX, UNSENT_BYTES_MAX};
use crate::log::Log;
use crate::problem::{Code, Outcome, Problem};
use encode::Form;
use fetch::Fetch;
use reader::{Pulled, Reader};
use time::Clock;

/// How long a plain read waits for the disk at most, in nanoseconds.
const DISK_READ_NS_MAX: i64 = 30_000_000_000;

/// What the edge counts. All only grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes answered and delivered.
    pub bytes_out: u64,
    /// Publish requests of any form.
    pub publish_requests: u64,
    /// Fetch requests of any form.
    pub fetch_requests: u64,
    /// Requests handed to the driver.
    pub cold_requests: u64,
    /// Requests refused here.
    pub refused_requests: u64,
    /// Connections closed for malformed HTTP.
    pub malformed_requests: u64,
    /// Messages delivered to readers.
    pub delivered_messages: u64,
}

/// The edge of one node: its log and what all connections share.
pub struct Edge {
    /// The log behind it.
    pub log: Log,
    /// Formats times.
    pub clock: Clock,
    /// Its counters.
    pub stats: Stats,
    /// Whether publishes are refused because the node stops.
    pub is_draining: bool,
    /// Bytes of large answers that clients have not taken yet, as the driver counts them.
    pub unsent: usize,
    scratch: Vec<u8>,
    inflated: Vec<u8>,
    buffered: usize,
    /// The mark that the answer written last waits for; 0 when it does not wait.
    hold: u64,
}

/// One request being answered.
pub struct Exchange<'a> {
    /// Its head.
    pub head: &'a Head<'a>,
    /// Node time.
    pub now_ns: i64,
    /// Keeps keyless records of the connection together.
    pub sticky: u64,
    /// Number of the request on its connection.
    pub number: u64,
    /// It came on a route of the original.
    pub is_alias: bool,
}

impl Edge {
    /// An edge over a log.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self {
            log,
            clock: Clock::default(),
            stats: Stats::default(),
            is_draining: false,
            unsent: 0,
            scratch: Vec::new(),
            inflated: Vec::new(),
            buffered: 0,
            hold: 0,
        }
    }

    /// Takes the mark that the answer written last waits for; 0 when it may leave at once.
    pub fn take_hold(&mut self) -> u64 {
        std::mem::take(&mut self.hold)
    }

    /// Bytes of incomplete requests held for all connections.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    fn begin(&mut self, exchange: &Exchange<'_>, status: u16, content_type: &str, out: &mut Vec<u8>) {
        let date = self.clock.date(exchange.now_ns);
        response::begin(out, status, date, content_type, exchange.head.connection());
    }

    fn refuse(&mut self, exchange: &Exchange<'_>, problem: &Problem, out: &mut Vec<u8>) {
        self.stats.refused_requests += 1;
        let request_id = format!("{:x}-{}", exchange.sticky, exchange.number);
        let refusal = Refusal {
            date: self.clock.date(exchange.now_ns),
            connection: exchange.head.connection(),
            outcome: Outcome::None,
            instance: exchange.head.path,
            request_id: &request_id,
            allow: None,
            head_only: false,
            has_success_member: false,
        };
        if exchange.is_alias {
            response::alias_error(out, problem, &refusal);
        } else {
            response::problem(out, problem, &refusal);
        }
    }

    /// `GET /v1/topics/{topic}/messages`: answered here, or a reader that the driver waits for or streams from.
    fn get_messages(&mut self, exchange: &Exchange<'_>, topic: &str, out: &mut Vec<u8>) -> Step {
        self.stats.fetch_requests += 1;
        let mut waiting = match self.open(exchange, topic) {
            Ok(waiting) => waiting,
            Err(problem) => {
                self.refuse(exchange, &problem, out);
                return Step::More;
            }
        };
        if waiting.streams {
            self.begin_stream(exchange, &waiting, out);
            return Step::Stream(Box::new(waiting));
        }
        if self.answer_fetch(&mut waiting, exchange.now_ns, false, out) == Progress::Answered {
            return Step::More;
        }
        let is_cold = waiting.reader.want(&self.log).is_some();
        let look_ns = if is_cold { DISK_READ_NS_MAX } else { LOOK_NS };
        let until_ns = waiting.wait_until_ns.max(exchange.now_ns.saturating_add(look_ns));
        Step::Wait(Box::new(waiting), until_ns)
    }

    fn open(&mut self, exchange: &Exchange<'_>, topic: &str) -> Result<Waiting, Problem> {
        let head = exchange.head;
        let accept = head.get(Known::Accept).unwrap_or_default();
        let fetch = Fetch::parse(head.query, head.get_str(Known::LastEventId), exchange.now_ns)?;
        let form = wanted_form(accept);
        let streams = matches!(form, Form::Sse | Form::Ndjson) || (form == Form::Binary && fetch.follow);
        if !streams {
            self.check_unsent()?;
        }
        let wait_until_ns = exchange.now_ns.saturating_add(fetch.wait_ns());
        let (bytes_max, messages_max) = (fetch.bytes_max, fetch.messages_max());
        let mut reader = fetch.reader(&mut self.log, topic, form)?;
        reader.tells_gaps = !streams;
        let connection = head.connection();
        let is_chunked = head.minor_version == 1;
        Ok(Waiting { reader, streams, is_chunked, connection, bytes_max, messages_max, wait_until_ns })
    }

    /// Refuses a plain read while clients leave too much of earlier answers lying.
    fn check_unsent(&self) -> Result<(), Problem> {
        if self.unsent < UNSENT_BYTES_MAX {
            return Ok(());
        }
        let unsent = self.unsent;
        let detail = format!(
            "answers of {unsent} bytes wait for clients that do not take them, unsent_bytes_max is {UNSENT_BYTES_MAX}"
        );
        Err(Problem::new(Code::Busy, detail))
    }

    fn begin_stream(&mut self, exchange: &Exchange<'_>, waiting: &Waiting, out: &mut Vec<u8>) {
        let content_type = match waiting.reader.form() {
            Form::Sse => "text/event-stream",
            Form::Ndjson => publish::NDJSON,
            _ => publish::BATCH,
        };
        let connection = if waiting.is_chunked { waiting.connection } else { response::Connection::Close };
        response::begin(out, 200, self.clock.date(exchange.now_ns), content_type, connection);
        out.extend_from_slice(b"Cache-Control: no-store\r\n");
        response::header(out, "Sprawl-Cursor", waiting.reader.cursor().as_bytes());
        if waiting.is_chunked {
            response::begin_chunks(out);
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Answers a plain read once it has found a message; with `is_due`, or when it need not wait and everything was
    /// looked at, with what there is. Its cursor moves over what its filter does not take, and nothing is written
    /// before it is `Answered`.
    pub fn answer_fetch(
        &mut self,
        waiting: &mut Waiting,
        now_ns: i64,
        is_due: bool,
        out: &mut Vec<u8>,
    ) -> Progress {
        let in_range = fetch::check_range(&self.log, waiting.reader.places());
        if let Err(problem) = in_range.and_then(|()| self.check_unsent()) {
            // Overtaken while it waited: a plain answer has no other way to tell.
            self.refuse_fetch(waiting, &problem, now_ns, out);
            return Progress::Answered;
        }
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        let is_json = waiting.reader.form() == Form::Json;
        if is_json {
            body.extend_from_slice(b"{\"messages\":[");
        }
        let (bytes_max, messages_max) = (waiting.bytes_max, waiting.messages_max);
        let pulled = self.pull(&mut waiting.reader, bytes_max, messages_max, now_ns, &mut body);
        let has_news = pulled.messages > 0 || pulled.ended || waiting.reader.has_gaps();
        if !has_news && !is_due && (pulled.more || now_ns < waiting.wait_until_ns) {
            self.scratch = body;
            return if pulled.more { Progress::Looks } else { Progress::Waits };
        }
        let cursor = waiting.reader.cursor();
        let up_to_date = if pulled.more { "false" } else { "true" };
        let content_type = if is_json { "application/json" } else { publish::BATCH };
        response::begin(out, 200, self.clock.date(now_ns), content_type, waiting.connection);
        let gaps = waiting.reader.take_gaps();
        if is_json {
            body.push(b']');
            for (at, gap) in gaps.iter().enumerate() {
                body.extend_from_slice(if at == 0 { b",\"gaps\":[" } else { b"," });
                gap.write(&mut body);
            }
            body.extend_from_slice(if gaps.is_empty() { b"" } else { b"]" });
            body.extend_from_slice(b",\"cursor\":\"");
            body.extend_from_slice(cursor.as_bytes());
            body.extend_from_slice(b"\",\"up_to_date\":");
            body.extend_from_slice(up_to_date.as_bytes());
            body.push(b'}');
        }
        response::header(out, "Sprawl-Cursor", cursor.as_bytes());
        response::header(out, "Sprawl-Up-To-Date", up_to_date.as_bytes());
        if !is_json && !gaps.is_empty() {
            let gaps: Vec<_> = gaps.iter().map(ToString::to_string).collect();
            response::header(out, "Sprawl-Gap", gaps.join(", ").as_bytes());
        }
        let mark = response::begin_body(out);
        out.extend_from_slice(&body);
        response::end_body(out, mark);
        self.scratch = if body.capacity() > SCRATCH_BYTES_KEPT { Vec::new() } else { body };
        Progress::Answered
    }

    /// Answers a plain read that waited with a problem.
    pub fn refuse_fetch(&mut self, waiting: &Waiting, problem: &Problem, now_ns: i64, out: &mut Vec<u8>) {
        self.stats.refused_requests += 1;
        let date = *self.clock.date(now_ns);
        let refusal = Refusal { connection: waiting.connection, ..Refusal::closing(&date) };
        response::problem(out, problem, &refusal);
    }

    /// [`Reader::pull`] with this edge's log and counters.
    pub fn pull(
        &mut self,
        reader: &mut Reader,
        bytes_max: usize,
        messages_max: u64,
        now_ns: i64,
        out: &mut Vec<u8>,
    ) -> Pulled {
        let pulled = reader.pull(&mut self.log, &mut self.clock, bytes_max, messages_max, now_ns, out);
        self.stats.delivered_messages += pulled.messages;
        pulled
    }

    /// Refuses what a web page of another origin caused (guarantees: safe exposure).
    fn check_origin(head: &Head<'_>) -> Result<(), Problem> {
        if head.get(Known::SecFetchSite) == Some(b"cross-site") {
            return Err(Problem::new(Code::ForeignOrigin, "Sec-Fetch-Site is cross-site"));
        }
        let Some(origin) = head.get(Known::Origin) else { return Ok(()) };
        let host = head.get(Known::Host).unwrap_or_default();
        let authority =
            origin.iter().position(|b| *b == b'/').map(|at| &origin[(at + 2).min(origin.len())..]);
        if authority.is_some_and(|a| a.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        let shown: String = String::from_utf8_lossy(origin).chars().take(80).collect();
        Err(Problem::new(Code::ForeignOrigin, format!("Origin {shown} is not this node's host")))
    }
}

/// The first form that `Accept` names; JSON when it names none of ours.
fn wanted_form(accept: &[u8]) -> Form {
    for part in accept.split(|b| *b == b',') {
        let end = memchr::memchr(b';', part).unwrap_or(part.len());
        match part[..end].trim_ascii() {
            b"text/event-stream" => return Form::Sse,
            b"application/x-ndjson" => return Form::Ndjson,
            b"application/x-sprawl-batch" => return Form::Binary,
            b"application/json" => return Form::Json,
            _ => {}
        }
    }
    Form::Json
}

/// What a request line asks of the hot paths.
enum Hot<'a> {
    Publish(std::borrow::Cow<'a, str>),
    Fetch(std::borrow::Cow<'a, str>),
    Alias,
}

fn route<'a>(head: &Head<'a>) -> Option<Hot<'a>> {
    if let Some(rest) = head.path.strip_prefix("/v1/topics/") {
        let topic = rest.strip_suffix("/messages")?;
        if topic.is_empty() || topic.contains('/') {
            return None;
        }
        let topic = crate::http::query::percent_decode_path(topic).ok()?;
        return match head.method {
            Method::Post => Some(Hot::Publish(topic)),
            Method::Get => Some(Hot::Fetch(topic)),
            _ => None,
        };
    }
    (matches!(head.path, "/publish" | "/publish/") && head.method == Method::Post).then_some(Hot::Alias)
}
