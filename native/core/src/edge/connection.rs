//! One connection: where it stands between requests, and what the driver has to do next.

use super::publish::{is_media_type, Asked, NDJSON};
use super::reader::Reader;
use super::{route, Edge, Exchange, Hot};
use crate::http::chunked::Decoder;
use crate::http::response::{self, Refusal};
use crate::http::{head, Framing, Head, HttpError, Known};
use crate::limits::{BODY_BYTES_MAX, BUFFERED_BYTES_MAX, COLD_BODY_BYTES_MAX, WRITE_BUFFER_BYTES_MAX};
use crate::log::durable::Level;
use crate::log::Options;
use crate::problem::{Code, Outcome, Problem};

/// An incomplete request of at most this size is held even when the bound on all of them is reached.
const SMALL_BODY_BYTES: usize = 65_536;

/// A complete request that the hot paths do not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method token.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Query as sent.
    pub query: String,
    /// 0 or 1.
    pub minor_version: u8,
    /// Whether the connection stays open afterwards.
    pub keep_alive: bool,
    /// Fields in order, names in lower case.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

/// A read that has not been answered, or streams.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The cursor.
    pub reader: Reader,
    /// It has no end.
    pub streams: bool,
    /// The stream is framed in chunks (HTTP/1.1).
    pub is_chunked: bool,
    /// What the answer says about the connection.
    pub connection: response::Connection,
    /// Bytes of a plain answer.
    pub bytes_max: usize,
    /// Messages of a plain answer.
    pub messages_max: u64,
    /// Until when a plain read that has looked at everything waits for a message (ns).
    pub wait_until_ns: i64,
}

/// What the driver does after it wrote the answer bytes.
#[derive(Debug)]
pub enum Step {
    /// Read on.
    More,
    /// Answer this request, then [`Edge::resume`].
    Cold(Box<Request>),
    /// Take the connection over for a WebSocket.
    Upgrade(Box<Request>),
    /// [`Edge::answer_fetch`] in the next turns while it `Looks`, when its partitions change while it `Waits`, and for
    /// the last time when this time (ns) has come; then [`Edge::resume`].
    Wait(Box<Waiting>, i64),
    /// Write what the reader gives until it ends.
    Stream(Box<Waiting>),
    /// Write, and [`Edge::resume`] once the client has taken its answers: there is more to answer.
    Full,
    /// Close when everything is written.
    Close,
}

/// Bytes of a stream of lines that are answered before the answers are weighed: a line of two bytes can cost a
/// problem of some hundred.
const LINES_PIECE_BYTES: usize = 1_024;
enum State {
    /// Between requests, or inside one whose bytes are not complete.
    Request,
    /// Inside a chunked body.
    Chunked { head: Vec<u8>, decoder: Decoder, body: Vec<u8>, bound: usize },
    /// Inside a stream of lines.
    Lines(Box<Lines>),
    /// An answer of the driver is pending.
    Pending,
    /// Nothing more is read.
    Closed,
}

struct Lines {
    topic: String,
    options: Options,
    level: Option<Level>,
    rest: LinesRest,
    partial: Vec<u8>,
    keep_alive: bool,
}

enum LinesRest {
    Length(u64),
    Chunked(Decoder),
}

/// How far an incomplete request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// No request has begun.
    Nothing = 0,
    /// Its head is not complete.
    Head = 1,
    /// Its body is not complete.
    Body = 2,
}

/// A connection's parser state.
pub struct Connection {
    id: u64,
    requests: u64,
    buffer: Vec<u8>,
    /// Bytes that `buffer` must hold before parsing makes sense.
    needed: usize,
    has_continued: bool,
    /// Whether answers wait to be taken before the next request is looked at.
    is_full: bool,
    /// Whether publish and fetch are served here; else every request is the driver's (the health port).
    is_hot: bool,
    /// Answers that wait for the disk, and how many bytes of them wait for which mark.
    held: Vec<u8>,
    marks: Vec<(u64, usize)>,
    /// Where in this call's output the answers that wait begin.
    held_from: Option<usize>,
    /// A request other than a publish waits until no answer is held.
    is_blocked: bool,
    /// The connection closes when no answer is held.
    closes: bool,
    /// The last publish came on the original's route.
    is_alias: bool,
    state: State,
}

impl Connection {
    /// A fresh connection; `id` keeps its keyless records together.
    #[must_use]
    pub fn new(id: u64, is_hot: bool) -> Self {
        Self {
            id,
            requests: 0,
            buffer: Vec::new(),
            needed: 0,
            has_continued: false,
            is_full: false,
            is_hot,
            held: Vec::new(),
            marks: Vec::new(),
            held_from: None,
            is_blocked: false,
            closes: false,
            is_alias: false,
            state: State::Request,
        }
    }

    /// Bytes held for it.
    #[must_use]
    pub fn held(&self) -> usize {
        let inside = match &self.state {
            State::Chunked { head, body, .. } => head.len() + body.len(),
            State::Lines(lines) => lines.partial.len(),
            _ => 0,
        };
        self.buffer.len() + inside
    }

    /// How far a request has come whose bytes are not complete: its deadline runs.
    #[must_use]
    pub fn inside(&self) -> Inside {
        match &self.state {
            _ if self.is_full || self.is_blocked => Inside::Nothing,
            State::Request if self.buffer.is_empty() => Inside::Nothing,
            State::Request if self.needed == 0 => Inside::Head,
            State::Request | State::Chunked { .. } => Inside::Body,
            // A stream of lines may be silent as long as it likes.
            State::Lines(_) | State::Pending | State::Closed => Inside::Nothing,
        }
    }

    /// The head of the request at the start of `input`, or of the one whose body is being collected, if it is sound.
    fn head<'a>(&'a self, input: &'a [u8]) -> Option<Head<'a>> {
        let head = match &self.state {
            State::Chunked { head, .. } => head,
            _ => input,
        };
        head::parse(head).ok().flatten()
    }

    /// Whether answers wait for the disk.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.held_from.is_some() || !self.held.is_empty()
    }

    /// Puts this call's answers behind those that wait for the disk, if there are any.
    fn keep(&mut self, out: &mut Vec<u8>, mark: u64) {
        let from = if self.held.is_empty() { self.held_from.take() } else { Some(0) };
        self.held_from = None;
        let Some(from) = from.filter(|from| *from < out.len()) else { return };
        self.held.extend_from_slice(&out[from..]);
        match self.marks.last_mut() {
            Some((last, length)) if *last >= mark => *length += out.len() - from,
            _ => self.marks.push((mark, out.len() - from)),
        }
        out.truncate(from);
    }

    /// Whether an answer of the driver is pending.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending)
    }
}

/// How one request ended.
enum Served {
    /// Answered, with this many bytes of input consumed.
    Next(usize),
    /// More input is needed.
    Starved,
    /// The driver is needed, after this many bytes.
    Step(usize, Step),
}

impl Edge {
    /// Takes bytes of a connection; appends answers to `out` and says what the driver does next.
    pub fn receive(
        &mut self,
        connection: &mut Connection,
        data: &[u8],
        now_ns: i64,
        out: &mut Vec<u8>,
    ) -> Step {
        self.stats.bytes_in += data.len() as u64;
        let now_ns = self.log.advance(now_ns);
        let before = connection.held();
        let mut mark = 0;
        let mut step = self.advance(connection, data, now_ns, &mut mark, out);
        self.buffered = self.buffered + connection.held() - before;
        if self.buffered > BUFFERED_BYTES_MAX && connection.held() > before.max(SMALL_BODY_BYTES) {
            step = self.shed(connection, now_ns, out).unwrap_or(step);
        }
        if connection.holds() {
            connection.keep(out, mark);
            match step {
                Step::Close => (connection.closes, step) = (true, Step::More),
                Step::Full => step = Step::More,
                _ => {}
            }
        }
        self.stats.bytes_out += out.len() as u64;
        step
    }

    /// Appends the answers whose mark is on disk to `out`; when none is held any more, goes on where it stopped for them.
    pub fn release(&mut self, connection: &mut Connection, now_ns: i64, out: &mut Vec<u8>) -> Step {
        let synced = self.log.synced_mark();
        let count = connection.marks.iter().take_while(|(mark, _)| *mark <= synced).count();
        let bytes: usize = connection.marks.drain(..count).map(|(_, bytes)| bytes).sum();
        out.extend(connection.held.drain(..bytes));
        if connection.held.is_empty() {
            connection.held = Vec::new();
            if !connection.closes && (connection.is_blocked || connection.is_full) {
                connection.is_blocked = false;
                connection.is_full = false;
                return self.receive(connection, &[], now_ns, out);
            }
        }
        self.stats.bytes_out += bytes as u64;
        if connection.holds() || !connection.closes {
            Step::More
        } else {
            Step::Close
        }
    }

    /// Ends a connection whose answers waited too long for the disk: whether their publishes are stored is not known.
    pub fn give_up(&mut self, connection: &mut Connection, now_ns: i64, out: &mut Vec<u8>) {
        let is_alias = connection.is_alias;
        let problem = Problem::new(
            Code::PublishTimeout,
            "Request timed out; whether the message is stored is not known, publish again with the same id",
        );
        let date = *self.clock.date(now_ns);
        let refusal = Refusal { outcome: Outcome::Unknown, ..Refusal::closing(&date) };
        if is_alias {
            response::alias_error(out, &problem, &refusal);
        } else {
            response::problem(out, &problem, &refusal);
        }
        connection.held = Vec::new();
        connection.marks.clear();
        self.forget(connection);
    }

    /// Goes on after an answer of the driver.
    pub fn resume(&mut self, connection: &mut Connection, now_ns: i64, out: &mut Vec<u8>) -> Step {
        if matches!(connection.state, State::Pending) {
            connection.state = State::Request;
            connection.needed = 0;
        }
        connection.is_full = false;
        self.receive(connection, &[], now_ns, out)
    }

    /// Gives back what a closed connection held.
    pub fn forget(&mut self, connection: &mut Connection) {
        self.buffered -= connection.held();
        connection.buffer = Vec::new();
        connection.state = State::Closed;
    }

    /// Bytes that came after a request that upgraded the connection.
    pub fn take_rest(&mut self, connection: &mut Connection) -> Vec<u8> {
        self.buffered -= connection.held();
        connection.state = State::Closed;
        std::mem::take(&mut connection.buffer)
    }

    /// Ends a connection whose request did not arrive in time.
    pub fn time_out(&mut self, connection: &mut Connection, now_ns: i64, out: &mut Vec<u8>) {
        let problem = Problem::new(Code::RequestTimeout, "the request was not complete in time");
        self.hang_up(connection, &connection.buffer, &problem, now_ns, out);
        self.forget(connection);
    }

    fn advance(
        &mut self,
        connection: &mut Connection,
        data: &[u8],
        now_ns: i64,
        mark: &mut u64,
        out: &mut Vec<u8>,
    ) -> Step {
        match connection.state {
            State::Closed => return Step::More,
            State::Pending => {
                connection.buffer.extend_from_slice(data);
                return Step::More;
            }
            _ if connection.is_full || connection.is_blocked => {
                connection.buffer.extend_from_slice(data);
                return Step::More;
            }
            _ => {}
        }
        let mut taken = std::mem::take(&mut connection.buffer);
        let input: &[u8] = if taken.is_empty() {
            data
        } else {
            taken.extend_from_slice(data);
            &taken
        };
        if input.len() < connection.needed {
            connection.buffer = if taken.is_empty() { input.to_vec() } else { taken };
            return Step::More;
        }
        connection.needed = 0;
        let mut at = 0;
        let mut step = Step::More;
        while at < input.len() {
            if out.len() + connection.held.len() >= WRITE_BUFFER_BYTES_MAX {
                connection.is_full = true;
                step = Step::Full;
                break;
            }
            let before = out.len();
            let served = match &mut connection.state {
                State::Request => self.serve(connection, &input[at..], now_ns, out),
                State::Chunked { .. } => self.collect(connection, &input[at..], now_ns, out),
                State::Lines(_) => Ok(self.lines(connection, &input[at..], now_ns, out)),
                State::Pending | State::Closed => break,
            };
            let hold = self.take_hold();
            if hold > 0 {
                *mark = hold;
                connection.held_from.get_or_insert(before);
            }
            if connection.is_blocked {
                break;
            }
            match served {
                Ok(Served::Next(consumed)) => at += consumed,
                Ok(Served::Starved) => break,
                Ok(Served::Step(consumed, next)) => {
                    at += consumed;
                    connection.state =
                        if matches!(next, Step::Close) { State::Closed } else { State::Pending };
                    step = next;
                    break;
                }
                Err(problem) => {
                    return self.refuse_all(connection, &input[at..], &problem, now_ns, out);
                }
            }
        }
        if !matches!(connection.state, State::Closed) && at < input.len() {
            if at == 0 && !taken.is_empty() {
                connection.buffer = taken;
            } else {
                connection.buffer = Vec::with_capacity(connection.needed.max(input.len() - at));
                connection.buffer.extend_from_slice(&input[at..]);
            }
        }
        step
    }

    /// Ends a connection whose framing, or whose share of the node's memory, is lost.
    fn refuse_all(
        &mut self,
        connection: &mut Connection,
        input: &[u8],
        problem: &Problem,
        now_ns: i64,
        out: &mut Vec<u8>,
    ) -> Step {
        self.stats.malformed_requests += 1;
        self.hang_up(connection, input, problem, now_ns, out);
        connection.buffer = Vec::new();
        connection.state = State::Closed;
        Step::Close
    }

    /// Ends a connection that brought more than the node holds of incomplete requests; none whose answer is pending.
    fn shed(&mut self, connection: &mut Connection, now_ns: i64, out: &mut Vec<u8>) -> Option<Step> {
        let problem = busy();
        match &connection.state {
            State::Request | State::Chunked { .. } => {
                self.hang_up(connection, &connection.buffer, &problem, now_ns, out);
            }
            State::Lines(_) => {
                self.break_lines(&problem, out);
            }
            State::Pending | State::Closed => return None,
        }
        self.forget(connection);
        Some(Step::Close)
    }

    /// The last answer of a connection, in the shape that the client of the request at the start of `input` reads.
    fn hang_up(
        &mut self,
        connection: &Connection,
        input: &[u8],
        problem: &Problem,
        now_ns: i64,
        out: &mut Vec<u8>,
    ) {
        let date = *self.clock.date(now_ns);
        let closing = Refusal::closing(&date);
        let Some(head) = connection.head(input) else { return response::problem(out, problem, &closing) };
        if !head.path.starts_with("/v1/") {
            return response::alias_error(out, problem, &closing);
        }
        let request_id = format!("{:x}-{}", connection.id, connection.requests);
        response::problem(out, problem, &Refusal { instance: head.path, request_id: &request_id, ..closing });
    }

    /// Serves the request at the start of `input`.
    fn serve(
        &mut self,
        connection: &mut Connection,
        input: &[u8],
        now_ns: i64,
        out: &mut Vec<u8>,
    ) -> Result<Served, Problem> {
        let Some(head) = head::parse(input).map_err(HttpError::problem)? else { return Ok(Served::Starved) };
        let hot = route(&head).filter(|_| connection.is_hot);
        if connection.holds() && !matches!(hot, Some(Hot::Publish(_) | Hot::Alias)) {
            connection.is_blocked = true;
            return Ok(Served::Starved);
        }
        let bound = if hot.is_some() { BODY_BYTES_MAX } else { COLD_BODY_BYTES_MAX };
        let is_lines =
            matches!(hot, Some(Hot::Publish(_))) && is_media_type(head.get(Known::ContentType), NDJSON);
        // HTTP/1.0 has no chunks to stream results in: such a body is collected like any other.
        let streams = is_lines && head.minor_version == 1;
        let body_at = head.consumed;
        let length = match head.framing {
            Framing::None => 0,
            Framing::Length(length) => length,
            Framing::Chunked if streams => return self.begin_lines(connection, &head, now_ns, out),
            Framing::Chunked => {
                Self::ask_for_body(connection, &head, out);
                let head = input[..body_at].to_vec();
                connection.has_continued = false;
                connection.state = State::Chunked { head, decoder: Decoder::new(), body: Vec::new(), bound };
                return Ok(Served::Next(body_at));
            }
        };
        let available = (input.len() - body_at) as u64;
        if available < length {
            if streams {
                return self.begin_lines(connection, &head, now_ns, out);
            }
            let total = admit_body(length, bound)?;
            if total > SMALL_BODY_BYTES && self.buffered + total > BUFFERED_BYTES_MAX {
                return Err(busy());
            }
            Self::ask_for_body(connection, &head, out);
            connection.needed = body_at + total;
            return Ok(Served::Starved);
        }
        connection.has_continued = false;
        let length = admit_body(length, bound)?;
        let body = &input[body_at..body_at + length];
        Ok(self.dispatch(connection, &head, hot, body, body_at + length, now_ns, out))
    }

    fn ask_for_body(connection: &mut Connection, head: &Head<'_>, out: &mut Vec<u8>) {
        if head.expect_continue && !connection.has_continued {
            connection.has_continued = true;
            out.extend_from_slice(response::CONTINUE);
        }
    }

    #[allow(clippy::too_many_arguments)] // one complete request
    fn dispatch(
        &mut self,
        connection: &mut Connection,
        head: &Head<'_>,
        hot: Option<Hot<'_>>,
        body: &[u8],
        consumed: usize,
        now_ns: i64,
        out: &mut Vec<u8>,
    ) -> Served {
        connection.requests += 1;
        let is_alias = matches!(hot, Some(Hot::Alias));
        connection.is_alias = is_alias;
        let exchange =
            Exchange { head, now_ns, sticky: connection.id, number: connection.requests, is_alias };
        let step = match hot {
            Some(Hot::Fetch(_)) if head.upgrade_websocket => Step::Upgrade(Box::new(cold(head, body))),
            Some(Hot::Fetch(topic)) => self.get_messages(&exchange, &topic, out),
            Some(hot) => {
                match (Self::check_origin(head), hot) {
                    (Err(problem), _) => self.refuse(&exchange, &problem, out),
                    (Ok(()), Hot::Publish(topic)) => self.post_messages(&exchange, &topic, body, out),
                    (Ok(()), _) => self.post_alias(&exchange, body, out),
                }
                Step::More
            }
            None => {
                self.stats.cold_requests += 1;
                Step::Cold(Box::new(cold(head, body)))
            }
        };
        match step {
            Step::More if head.keep_alive => Served::Next(consumed),
            Step::More => Served::Step(consumed, Step::Close),
            step => Served::Step(consumed, step),
        }
    }

    fn collect(
        &mut self,
        connection: &mut Connection,
        input: &[u8],
        now_ns: i64,
        out: &mut Vec<u8>,
    ) -> Result<Served, Problem> {
        let State::Chunked { decoder, body, bound, .. } = &mut connection.state else {
            return Ok(Served::Starved);
        };
        let progress = decoder.decode(input, body, *bound).map_err(HttpError::problem)?;
        if !progress.done {
            return Ok(Served::Next(progress.consumed));
        }
        let done = std::mem::replace(&mut connection.state, State::Request);
        let State::Chunked { head, body, .. } = done else { return Ok(Served::Starved) };
        let head = head::parse(&head).map_err(HttpError::problem)?.expect("it was parsed before");
        let hot = route(&head).filter(|_| connection.is_hot);
        Ok(self.dispatch(connection, &head, hot, &body, progress.consumed, now_ns, out))
    }

    /// Begins a stream of lines whose body is not here yet.
    fn begin_lines(
        &mut self,
        connection: &mut Connection,
        head: &Head<'_>,
        now_ns: i64,
        out: &mut Vec<u8>,
    ) -> Result<Served, Problem> {
        connection.requests += 1;
        self.stats.publish_requests += 1;
        let exchange =
            Exchange { head, now_ns, sticky: connection.id, number: connection.requests, is_alias: false };
        let Some(Hot::Publish(topic)) = route(head) else { return Ok(Served::Starved) };
        // A refusal here ends the connection: its body is not worth reading.
        Self::check_origin(head)?;
        let asked = Asked::parse(&exchange, self.log.has_disk())?;
        asked.check_lines()?;
        let reached = self.lines_level(&topic, &asked)?;
        Self::ask_for_body(connection, head, out);
        connection.has_continued = false;
        let rest = match head.framing {
            Framing::Length(length) => LinesRest::Length(length),
            _ => LinesRest::Chunked(Decoder::new()),
        };
        self.begin(&exchange, 200, NDJSON, out);
        response::header(out, "Sprawl-Durability", reached.as_str().as_bytes());
        response::begin_chunks(out);
        connection.state = State::Lines(Box::new(Lines {
            topic: topic.into_owned(),
            options: asked.options,
            level: asked.level,
            rest,
            partial: Vec::new(),
            keep_alive: head.keep_alive,
        }));
        Ok(Served::Next(head.consumed))
    }

    fn lines(&mut self, connection: &mut Connection, input: &[u8], now_ns: i64, out: &mut Vec<u8>) -> Served {
        let State::Lines(lines) = &mut connection.state else { return Served::Starved };
        let input = &input[..input.len().min(LINES_PIECE_BYTES)];
        let mut decoded = Vec::new();
        let mut lost = None;
        let (consumed, done, data): (usize, bool, &[u8]) = match &mut lines.rest {
            LinesRest::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= take as u64;
                (take, *left == 0, &input[..take])
            }
            LinesRest::Chunked(decoder) => {
                let (consumed, done) = match decoder.decode(input, &mut decoded, usize::MAX) {
                    Ok(progress) => (progress.consumed, progress.done),
                    Err(error) => {
                        // The lines that were whole before it are taken all the same.
                        lost = Some(error.problem());
                        (0, false)
                    }
                };
                (consumed, done, &decoded)
            }
        };
        let mut results = std::mem::take(&mut self.scratch);
        results.clear();
        let mut rest = data;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            if lines.partial.is_empty() {
                self.line(lines, line, now_ns, &mut results);
            } else {
                lines.partial.extend_from_slice(line);
                let whole = std::mem::take(&mut lines.partial);
                self.line(lines, &whole, now_ns, &mut results);
            }
            rest = &rest[end + 1..];
        }
        lines.partial.extend_from_slice(rest);
        if done {
            let last = std::mem::take(&mut lines.partial);
            self.line(lines, &last, now_ns, &mut results);
        }
        response::chunk(out, &results);
        self.scratch = results;
        if let Some(problem) = lost {
            return self.break_lines(&problem, out);
        }
        if lines.partial.len() > BODY_BYTES_MAX {
            let bytes = lines.partial.len();
            let detail = format!("line of {bytes} bytes or more exceeds body_bytes_max {BODY_BYTES_MAX}");
            return self.break_lines(&Problem::new(Code::TooLarge, detail), out);
        }
        if !done {
            return Served::Next(consumed);
        }
        response::end_chunks(out);
        let keep_alive = lines.keep_alive;
        connection.state = State::Request;
        if keep_alive {
            Served::Next(consumed)
        } else {
            Served::Step(consumed, Step::Close)
        }
    }

    fn line(&mut self, lines: &Lines, line: &[u8], now_ns: i64, results: &mut Vec<u8>) {
        let line = line.trim_ascii();
        if !line.is_empty() {
            self.publish_line(&lines.topic, line, &lines.options, lines.level, now_ns, results);
            results.push(b'\n');
        }
    }

    /// The framing of a stream of lines is lost: one last line says why, and the connection closes.
    fn break_lines(&mut self, problem: &Problem, out: &mut Vec<u8>) -> Served {
        self.stats.malformed_requests += 1;
        let date = [b' '; 29]; // a line has no head
        let mut line = Vec::new();
        response::write_problem(&mut line, problem, &Refusal::closing(&date));
        line.push(b'\n');
        response::chunk(out, &line);
        response::end_chunks(out);
        Served::Step(0, Step::Close)
    }
}

fn busy() -> Problem {
    let detail = format!("bodies in flight would exceed buffered_bytes_max {BUFFERED_BYTES_MAX}");
    Problem::new(Code::Busy, detail)
}

fn admit_body(length: u64, bound: usize) -> Result<usize, Problem> {
    usize::try_from(length)
        .ok()
        .filter(|n| *n <= bound)
        .ok_or_else(|| HttpError::BodyTooLarge { bytes: length, bytes_max: bound as u64 }.problem())
}

fn cold(head: &Head<'_>, body: &[u8]) -> Request {
    Request {
        method: head.method.as_str().to_owned(),
        path: head.path.to_owned(),
        query: head.query.to_owned(),
        minor_version: head.minor_version,
        keep_alive: head.keep_alive,
        headers: head
            .headers()
            .map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), value.to_vec()))
            .collect(),
        body: body.to_vec(),
    }
}
