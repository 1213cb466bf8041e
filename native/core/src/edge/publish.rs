//! Publishing over HTTP: raw bodies, JSON batches, lines of NDJSON, binary batches, and the original's `/publish`.

use super::encode::write_id;
use super::{Edge, Exchange};
use crate::batch::{self, Verified};
use crate::http::known::{is_cloud_event_attribute, record_header_name};
use crate::http::response::{self, write_number};
use crate::http::{query, Head, Known};
use crate::json::publish::{for_each_message, parse_alias, parse_item, AliasPublish, Item};
use crate::json::write_string;
use crate::limits;
use crate::log::dedup::Producer;
use crate::log::durable::Level;
use crate::log::{BatchReceipt, Expect, NewRecord, Options, Receipt};
use crate::problem::{Code, Problem};
use std::ops::ControlFlow;

/// Media type of a JSON batch.
pub const MESSAGES_JSON: &str = "application/vnd.sprawl.messages+json";
/// Media type of a stream of JSON lines.
pub const NDJSON: &str = "application/x-ndjson";
/// Media type of RecordBatch v2 bytes.
pub const BATCH: &str = "application/x-sprawl-batch";

/// Whether a `Content-Type` names this media type, parameters aside.
#[must_use]
pub fn is_media_type(value: Option<&[u8]>, wanted: &str) -> bool {
    let Some(value) = value else { return false };
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    value[..end].trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
}

/// What a publish asks for in its query and headers.
#[derive(Clone, Copy, Default)]
pub struct Asked {
    /// Partition, conditions, producer's numbers.
    pub options: Options,
    /// All messages or none.
    pub is_atomic: bool,
    /// The client does not wait for the level.
    pub is_async: bool,
    /// The level asked for; `None` = the topic's.
    pub level: Option<Level>,
    /// A header that says something of one message.
    single: Option<&'static str>,
}

fn invalid(name: &str, value: &[u8], wants: &str) -> Problem {
    let shown: String = String::from_utf8_lossy(value).chars().take(80).collect();
    Problem::new(Code::InvalidHeader, format!("header {name} is \"{shown}\", it takes {wants}"))
}

fn integer(name: &str, value: &[u8], max: u64) -> Result<u64, Problem> {
    let digits = !value.is_empty() && value.len() <= 20 && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse::<u64>().ok());
    number
        .filter(|n| *n <= max)
        .ok_or_else(|| invalid(name, value, &format!("a whole number of at most {max}")))
}

/// The level asked for by name, `None` for the topic's.
///
/// # Errors
/// `durability_unavailable` for a level this node does not offer, `invalid_header` for what is none.
pub fn level(asked: &[u8], has_disk: bool) -> Result<Option<Level>, Problem> {
    match asked {
        b"default" => Ok(None),
        b"memory" => Ok(Some(Level::Memory)),
        b"disk" if has_disk => Ok(Some(Level::Disk)),
        b"disk" | b"quorum" | b"quorum-disk" | b"cloud" => {
            let asked = String::from_utf8_lossy(asked);
            let offered = if has_disk { "memory, disk" } else { "memory" };
            let detail = format!("durability {asked} is not offered by this node, it offers: {offered}");
            Err(Problem::new(Code::DurabilityUnavailable, detail))
        }
        _ => Err(invalid("Sprawl-Durability", asked, "default, memory, disk, quorum or quorum-disk")),
    }
}

/// What a publish asked for, and what is true when its answer leaves.
#[derive(Clone, Copy)]
pub struct Promise {
    asked: Level,
    reached: Level,
}

impl Promise {
    fn header(self, out: &mut Vec<u8>) {
        response::header(out, "Sprawl-Durability", self.reached.as_str().as_bytes());
    }
}

fn not_yet(what: &str) -> Problem {
    Problem::new(Code::NotAvailable, format!("{what} is not available in this version"))
}

impl Asked {
    /// Reads query and headers.
    ///
    /// # Errors
    /// `invalid_header`, `invalid_parameter`, `not_available`, `durability_unavailable`.
    pub fn parse(exchange: &Exchange<'_>, has_disk: bool) -> Result<Self, Problem> {
        let head = exchange.head;
        let mut asked =
            Self { options: Options { sticky: exchange.sticky, ..Options::default() }, ..Self::default() };
        for pair in query::pairs(head.query) {
            let (name, value) = pair?;
            match &*name {
                "partition" => asked.options.partition = Some(partition(value.as_bytes())?),
                "atomic" if matches!(&*value, "true" | "1" | "") => asked.is_atomic = true,
                "atomic" if matches!(&*value, "false" | "0") => {}
                "durability" => asked.level = level(value.as_bytes(), has_disk)?,
                _ => {
                    let shown: String = name.chars().take(64).collect();
                    let detail = format!("query parameter {shown}={value} is not known here");
                    return Err(Problem::new(Code::InvalidParameter, detail));
                }
            }
        }
        if let Some(value) = head.get(Known::SprawlPartition) {
            asked.options.partition = Some(partition(value)?);
        }
        if let Some(value) = head.get(Known::SprawlDurability) {
            asked.level = level(value, has_disk)?;
        }
        if head.get(Known::SprawlDelay).is_some() || head.get(Known::SprawlAt).is_some() {
            return Err(not_yet("delayed delivery (Sprawl-Delay, Sprawl-At)"));
        }
        if let Some(coding) = head.get(Known::ContentEncoding) {
            if !coding.eq_ignore_ascii_case(b"identity") {
                let detail =
                    "bodies with a Content-Encoding are not taken; compressed batches are".to_owned();
                return Err(Problem::new(Code::UnsupportedMediaType, detail));
            }
        }
        if let Some(value) = head.get(Known::IfMatch) {
            let text = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
            let offset = integer("If-Match", text, i64::MAX.unsigned_abs())?;
            asked.options.expect = Some(Expect::Last(offset));
        }
        if let Some(value) = head.get(Known::IfNoneMatch) {
            if value != b"*" {
                return Err(invalid("If-None-Match", value, "*"));
            }
            asked.options.expect = Some(Expect::Empty);
        }
        if let Some(value) = head.get(Known::Prefer) {
            asked.is_async = value.split(|b| *b == b',').any(|p| p.trim_ascii() == b"respond-async");
        }
        asked.options.producer = producer(exchange)?;
        let singles = [Known::SprawlKey, Known::SprawlTtl, Known::IdempotencyKey];
        asked.single = singles.into_iter().find(|known| head.get(*known).is_some()).map(Known::name);
        if head.has_record_headers && head.headers().any(|(name, _)| record_header_name(name).is_some()) {
            asked.single = Some("Sprawl-Header-<name>");
        }
        Ok(asked)
    }

    /// Refuses what cannot hold for each of several messages sent as JSON.
    ///
    /// # Errors
    /// `invalid_header` for what is said of one message, and `invalid_parameter` for `atomic` where lines are taken as
    /// they come.
    pub fn check_lines(&self) -> Result<(), Problem> {
        if self.is_atomic {
            let detail = format!("lines are taken as they come; atomic=true needs {MESSAGES_JSON}");
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        self.check_items()
    }

    /// Refuses what binary batches would not heed.
    ///
    /// # Errors
    /// `invalid_header` for what a batch carries itself, and `invalid_parameter` for `atomic` over several batches, which
    /// are stored each for itself.
    fn check_batches(&self, count: usize) -> Result<(), Problem> {
        self.check_single("each record of a batch carries its own")?;
        if self.options.producer.is_some() {
            let detail =
                "Producer-Id, Producer-Epoch and Producer-Seq number a single message; a batch carries \
                          these numbers in its own header";
            return Err(Problem::new(Code::InvalidHeader, detail));
        }
        if self.is_atomic && count > 1 {
            let detail = format!(
                "atomic=true holds for one batch, the body has {count}: send one batch, or {MESSAGES_JSON}"
            );
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        Ok(())
    }

    /// Refuses what would be said of every message of a request: keys of one message make all but the first a duplicate.
    fn check_items(&self) -> Result<(), Problem> {
        self.check_single("with several messages it is a member of each")?;
        if self.options.producer.is_none() {
            return Ok(());
        }
        let detail = "producer numbers count one record each; send a binary batch to number several";
        Err(Problem::new(Code::InvalidHeader, detail))
    }

    fn check_single(&self, instead: &str) -> Result<(), Problem> {
        let Some(name) = self.single else { return Ok(()) };
        Err(Problem::new(Code::InvalidHeader, format!("header {name} is of a single message; {instead}")))
    }
}

fn partition(value: &[u8]) -> Result<u32, Problem> {
    let number = integer("Sprawl-Partition", value, u64::from(limits::PARTITIONS_MAX) - 1)?;
    Ok(u32::try_from(number).unwrap_or_default())
}

fn producer(exchange: &Exchange<'_>) -> Result<Option<Producer>, Problem> {
    let get = |known| exchange.head.get(known);
    let numbers = (get(Known::ProducerId), get(Known::ProducerEpoch), get(Known::ProducerSeq));
    let (Some(id), Some(epoch), Some(sequence)) = numbers else {
        if numbers == (None, None, None) {
            return Ok(None);
        }
        let detail = "Producer-Id, Producer-Epoch and Producer-Seq go together, one is missing";
        return Err(Problem::new(Code::InvalidHeader, detail));
    };
    let id = integer("Producer-Id", id, i64::MAX.unsigned_abs())?;
    let epoch = integer("Producer-Epoch", epoch, 32_767)?;
    let sequence = integer("Producer-Seq", sequence, 2_147_483_647)?;
    Ok(Some(Producer {
        id: i64::try_from(id).unwrap_or_default(),
        epoch: i16::try_from(epoch).unwrap_or_default(),
        sequence: i32::try_from(sequence).unwrap_or_default(),
    }))
}

/// Lifetime in seconds; 0 is "the topic's".
fn ttl(seconds: Option<u64>) -> Option<u32> {
    seconds.filter(|s| *s > 0).map(|s| u32::try_from(s).unwrap_or(u32::MAX))
}

impl Edge {
    /// `POST /v1/topics/{topic}/messages` with any body but a stream of lines.
    pub(super) fn post_messages(
        &mut self,
        exchange: &Exchange<'_>,
        topic: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) {
        self.stats.publish_requests += 1;
        let content_type = exchange.head.get(Known::ContentType);
        let done = if is_media_type(content_type, BATCH) {
            self.post_batches(exchange, topic, body, out)
        } else if is_media_type(content_type, MESSAGES_JSON) {
            self.post_json(exchange, topic, body, out)
        } else if is_media_type(content_type, NDJSON) {
            self.post_lines(exchange, topic, body, out)
        } else {
            self.post_raw(exchange, topic, body, out)
        };
        if let Err(problem) = done {
            self.refuse(exchange, &problem, out);
        }
    }

    /// The level that lines to a topic reach, or why none of them would be taken.
    pub(super) fn lines_level(&mut self, topic: &str, asked: &Asked) -> Result<Level, Problem> {
        self.check_draining()?;
        let index = self.log.publishable(topic.as_bytes())?;
        let own = index.map_or_else(|| self.log.level_of_new(), |index| self.log.level_of(index));
        Ok(asked.level.unwrap_or(own))
    }

    fn check_draining(&self) -> Result<(), Problem> {
        if self.is_draining {
            return Err(Problem::new(Code::Draining, "the node is stopping, publish to another one"));
        }
        Ok(())
    }

    /// Publishes into a topic. One that is made for it goes again when nothing was stored.
    pub(super) fn publish_into<T>(
        &mut self,
        topic: &str,
        now_ns: i64,
        publish: impl FnOnce(&mut Self, u32) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.check_draining()?;
        let before = self.log.topics().known();
        let index = self.log.topic_to_publish(topic.as_bytes(), now_ns)?;
        let done = publish(self, index);
        if self.log.topics().known() > before {
            self.log.settle_topic(index, now_ns);
        }
        done
    }

    /// What answers to publishes of this topic say.
    fn promise(&self, topic: u32, asked: Option<Level>, is_async: bool) -> Promise {
        let asked = asked.unwrap_or_else(|| self.log.level_of(topic));
        Promise { asked, reached: if is_async { Level::Memory } else { asked } }
    }

    fn post_raw(
        &mut self,
        exchange: &Exchange<'_>,
        topic: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let head = exchange.head;
        let asked = Asked::parse(exchange, self.log.has_disk())?;
        if body.len() > limits::PAYLOAD_BYTES_MAX {
            return Err(payload_too_large(body.len()));
        }
        let ttl_s = match head.get(Known::SprawlTtl) {
            Some(value) => ttl(Some(integer("Sprawl-TTL", value, limits::TTL_S_MAX)?)),
            None => None,
        };
        let mut headers: Vec<(&[u8], &[u8])> = Vec::new();
        let mut lower: Vec<(String, &[u8])> = Vec::new();
        if head.has_record_headers {
            for (name, value) in head.headers() {
                if let Some(name) = record_header_name(name) {
                    headers.push((name.as_bytes(), value));
                } else if is_cloud_event_attribute(name) {
                    lower.push((name.to_ascii_lowercase(), value));
                }
            }
        }
        headers.extend(lower.iter().map(|(name, value)| (name.as_bytes(), *value)));
        for known in [Known::Traceparent, Known::Tracestate] {
            if let Some(value) = head.get(known) {
                headers.push((known.name().as_bytes(), value));
            }
        }
        let idempotency_key = head.get(Known::IdempotencyKey);
        check_record(head, &headers)?;
        let record = NewRecord {
            key: head.get(Known::SprawlKey),
            value: body,
            headers: &headers,
            ttl_s,
            content_type: head.get(Known::ContentType),
            idempotency_key,
        };
        let receipt = self.publish_into(topic, exchange.now_ns, |edge, index| {
            edge.log.publish(index, &record, &asked.options, exchange.now_ns)
        })?;
        let status = if asked.is_async {
            202
        } else if receipt.duplicate {
            200
        } else {
            201
        };
        let promise = self.promise(receipt.topic, asked.level, asked.is_async);
        self.begin(exchange, status, "application/json", out);
        promise.header(out);
        if receipt.duplicate {
            out.extend_from_slice(b"Sprawl-Duplicate: true\r\n");
        }
        let mark = response::begin_body(out);
        self.write_receipt(&receipt, promise, out);
        response::end_body(out, mark);
        Ok(())
    }

    fn post_json(
        &mut self,
        exchange: &Exchange<'_>,
        topic: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let asked = Asked::parse(exchange, self.log.has_disk())?;
        asked.check_items()?;
        let mut results = std::mem::take(&mut self.scratch);
        results.clear();
        let done = self.publish_into(topic, exchange.now_ns, |edge, index| {
            let promise = edge.promise(index, asked.level, asked.is_async);
            if asked.is_atomic {
                edge.publish_atomically(index, body, &asked.options, promise, exchange.now_ns, &mut results)?;
                return Ok(promise);
            }
            for_each_message(body, |_, item| {
                if !results.is_empty() {
                    results.push(b',');
                }
                let receipt =
                    item.and_then(|item| edge.publish_item(index, &item, &asked.options, exchange.now_ns));
                edge.write_result(receipt.as_ref(), promise, &mut results);
                ControlFlow::Continue(())
            })
            .map(|_| promise)
        });
        if let Ok(promise) = done {
            self.answer_results(exchange, &asked, promise, &results, out);
        }
        self.scratch = results;
        done.map(|_| ())
    }

    /// The answer of a batch: one result per item, in order.
    fn answer_results(
        &mut self,
        exchange: &Exchange<'_>,
        asked: &Asked,
        promise: Promise,
        results: &[u8],
        out: &mut Vec<u8>,
    ) {
        self.begin(exchange, if asked.is_async { 202 } else { 200 }, "application/json", out);
        promise.header(out);
        let mark = response::begin_body(out);
        out.extend_from_slice(b"{\"results\":[");
        out.extend_from_slice(results);
        out.extend_from_slice(b"]}");
        response::end_body(out, mark);
    }

    /// All messages into one partition or none: everything that could be refused is looked at first.
    fn publish_atomically(
        &mut self,
        index: u32,
        body: &[u8],
        options: &Options,
        promise: Promise,
        now_ns: i64,
        results: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let mut items: Vec<Item<'_>> = Vec::new();
        let mut fault = None;
        for_each_message(body, |_, item| match item {
            Ok(item) => {
                items.push(item);
                ControlFlow::Continue(())
            }
            Err(problem) => {
                fault = Some(problem);
                ControlFlow::Break(())
            }
        })?;
        if let Some(problem) = fault {
            return Err(problem);
        }
        let mut records = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            if item.is_delayed {
                return Err(not_yet("delayed delivery (delay_s, at)").at(format!("/messages/{at}")));
            }
            records.push(item_headers(item));
        }
        let records: Vec<NewRecord<'_>> =
            items.iter().zip(&records).map(|(item, headers)| item_record(item, headers)).collect();
        let receipts = self.log.publish_all(index, &records, options, now_ns)?;
        for (at, receipt) in receipts.iter().enumerate() {
            if at > 0 {
                results.push(b',');
            }
            self.write_receipt(receipt, promise, results);
        }
        Ok(())
    }

    fn publish_item(
        &mut self,
        index: u32,
        item: &Item<'_>,
        options: &Options,
        now_ns: i64,
    ) -> Result<Receipt, Problem> {
        if item.is_delayed {
            return Err(not_yet("delayed delivery (delay_s, at)"));
        }
        let headers = item_headers(item);
        self.log.publish(index, &item_record(item, &headers), options, now_ns)
    }

    /// One line of NDJSON (or one WebSocket publish): appends its result, receipt or problem, to `out`.
    pub fn publish_line(
        &mut self,
        topic: &str,
        line: &[u8],
        options: &Options,
        level: Option<Level>,
        now_ns: i64,
        out: &mut Vec<u8>,
    ) {
        let receipt = parse_item(line, true).and_then(|item| {
            self.publish_into(topic, now_ns, |edge, index| edge.publish_item(index, &item, options, now_ns))
        });
        match receipt {
            Ok(receipt) => {
                let promise = self.promise(receipt.topic, level, false);
                self.write_receipt(&receipt, promise, out);
            }
            Err(problem) => Self::write_problem_item(&problem, out),
        }
    }

    /// A complete NDJSON body that arrived in one piece.
    fn post_lines(
        &mut self,
        exchange: &Exchange<'_>,
        topic: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let asked = Asked::parse(exchange, self.log.has_disk())?;
        asked.check_lines()?;
        let reached = self.lines_level(topic, &asked)?;
        self.begin(exchange, 200, NDJSON, out);
        response::header(out, "Sprawl-Durability", reached.as_str().as_bytes());
        let mark = response::begin_body(out);
        for line in body.split(|b| *b == b'\n') {
            let line = line.trim_ascii();
            if !line.is_empty() {
                self.publish_line(topic, line, &asked.options, asked.level, exchange.now_ns, out);
                out.push(b'\n');
            }
        }
        response::end_body(out, mark);
        Ok(())
    }

    fn post_batches(
        &mut self,
        exchange: &Exchange<'_>,
        topic: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let asked = Asked::parse(exchange, self.log.has_disk())?;
        let mut verified: Vec<Verified> = Vec::new();
        let mut at = 0;
        while at < body.len() {
            let batch =
                batch::verify_with(&body[at..], &mut self.inflated).map_err(|error| at_batch(error, at))?;
            let Some(batch) = batch else {
                let left = body.len() - at;
                let detail = format!("the batch at byte {at} is incomplete after {left} bytes");
                return Err(Problem::new(Code::InvalidBatch, detail));
            };
            at += batch.length;
            verified.push(batch);
        }
        if verified.is_empty() {
            return Err(Problem::new(Code::InvalidBatch, "the body holds no batch"));
        }
        asked.check_batches(verified.len())?;
        let mut results = std::mem::take(&mut self.scratch);
        results.clear();
        let done = self.publish_into(topic, exchange.now_ns, |edge, index| {
            let promise = edge.promise(index, asked.level, asked.is_async);
            let mut at = 0;
            for batch in &verified {
                let bytes = &body[at..at + batch.length];
                at += batch.length;
                if !results.is_empty() {
                    results.push(b',');
                }
                match edge.log.publish_batch(index, bytes, batch, &asked.options, exchange.now_ns) {
                    Ok(receipt) => edge.write_batch_receipt(&receipt, promise, &mut results),
                    Err(problem) if verified.len() == 1 => return Err(problem),
                    Err(problem) => Self::write_problem_item(&problem, &mut results),
                }
            }
            Ok(promise)
        });
        if let Ok(promise) = done {
            self.answer_results(exchange, &asked, promise, &results, out);
        }
        self.scratch = results;
        done.map(|_| ())
    }

    fn write_batch_receipt(&mut self, receipt: &BatchReceipt, promise: Promise, out: &mut Vec<u8>) {
        let first = &receipt.first;
        out.extend_from_slice(b"{\"id\":\"");
        write_id(out, self.log.topics().get(first.topic).id, first.partition, first.offset);
        out.extend_from_slice(b"\",\"partition\":");
        write_number(out, u64::from(first.partition));
        out.extend_from_slice(b",\"base_offset\":");
        write_number(out, first.offset);
        out.extend_from_slice(b",\"count\":");
        write_number(out, u64::from(receipt.count));
        self.write_tail(first, promise, out);
    }

    /// `POST /publish` of the original.
    pub(super) fn post_alias(&mut self, exchange: &Exchange<'_>, body: &[u8], out: &mut Vec<u8>) {
        self.stats.publish_requests += 1;
        if let Err(problem) = self.try_alias(exchange, body, out) {
            self.refuse(exchange, &problem, out);
        }
    }

    fn try_alias(&mut self, exchange: &Exchange<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
        let alias: AliasPublish<'_> = parse_alias(body)?;
        let by_header = exchange.head.get(Known::SprawlDurability);
        let has_disk = self.log.has_disk();
        let asked = match alias.durability.as_ref().map(|name| name.as_bytes()).or(by_header) {
            Some(name) => level(name, has_disk)?,
            None => None,
        };
        let headers: Vec<(&[u8], &[u8])> =
            alias.headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let record = NewRecord {
            key: alias.key.as_ref().map(|k| k.as_bytes()),
            value: alias.payload.as_bytes(),
            headers: &headers,
            ttl_s: ttl(alias.ttl_s),
            content_type: None,
            idempotency_key: alias.id.as_ref().map(|id| id.as_bytes()),
        };
        let options = Options { sticky: exchange.sticky, ..Options::default() };
        let receipt = self.publish_into(&alias.topic, exchange.now_ns, |edge, index| {
            edge.log.publish(index, &record, &options, exchange.now_ns)
        })?;
        let prefer = exchange.head.get(Known::Prefer);
        let is_async =
            prefer.is_some_and(|v| v.split(|b| *b == b',').any(|p| p.trim_ascii() == b"respond-async"));
        let promise = self.promise(receipt.topic, asked, is_async);
        self.begin(exchange, if is_async { 202 } else { 200 }, "application/json", out);
        if receipt.duplicate {
            out.extend_from_slice(b"Sprawl-Duplicate: true\r\n");
        }
        let mark = response::begin_body(out);
        let topic_id = self.log.topics().get(receipt.topic).id;
        out.extend_from_slice(b"{\"id\":");
        if let Some(id) = &alias.id {
            write_string(out, id);
        } else {
            out.push(b'"');
            write_id(out, topic_id, receipt.partition, receipt.offset);
            out.push(b'"');
        }
        out.extend_from_slice(if is_async {
            b",\"status\":\"accepted\""
        } else {
            b",\"status\":\"published\""
        });
        out.extend_from_slice(b",\"topic\":");
        write_string(out, &alias.topic);
        out.extend_from_slice(b",\"partition\":");
        write_number(out, u64::from(receipt.partition));
        out.extend_from_slice(b",\"offset\":");
        write_number(out, receipt.offset);
        self.write_tail(&receipt, promise, out);
        out.pop();
        out.extend_from_slice(b",\"message_id\":\"");
        write_id(out, topic_id, receipt.partition, receipt.offset);
        out.extend_from_slice(b"\"}\n");
        response::end_body(out, mark);
        Ok(())
    }

    /// Appends a receipt as a JSON object.
    fn write_receipt(&mut self, receipt: &Receipt, promise: Promise, out: &mut Vec<u8>) {
        let topic = self.log.topics().get(receipt.topic);
        out.extend_from_slice(b"{\"id\":\"");
        write_id(out, topic.id, receipt.partition, receipt.offset);
        out.extend_from_slice(b"\",\"topic\":\"");
        out.extend_from_slice(&topic.name); // the grammar has nothing to escape
        out.extend_from_slice(b"\",\"partition\":");
        write_number(out, u64::from(receipt.partition));
        out.extend_from_slice(b",\"offset\":");
        write_number(out, receipt.offset);
        self.write_tail(receipt, promise, out);
    }

    fn write_tail(&mut self, receipt: &Receipt, promise: Promise, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"timestamp\":\"");
        out.extend_from_slice(self.clock.timestamp(receipt.append_ms));
        if promise.reached == Level::Disk {
            self.hold = self.log.mark(); // the answer is kept back until this is true
        }
        let durability: &[u8] = match (promise.asked, promise.reached) {
            (Level::Disk, Level::Disk) => {
                b"\",\"durability\":{\"asked\":\"disk\",\"reached\":\"disk\",\"replicas\":1,\"fsynced\":1}"
            }
            (Level::Disk, Level::Memory) => {
                b"\",\"durability\":{\"asked\":\"disk\",\"reached\":\"memory\",\"replicas\":1,\"fsynced\":0}"
            }
            (Level::Memory, _) => {
                b"\",\"durability\":{\"asked\":\"memory\",\"reached\":\"memory\",\"replicas\":1,\"fsynced\":0}"
            }
        };
        out.extend_from_slice(durability);
        if receipt.duplicate {
            out.extend_from_slice(b",\"duplicate\":true");
        }
        out.push(b'}');
    }

    fn write_result(&mut self, result: Result<&Receipt, &Problem>, promise: Promise, out: &mut Vec<u8>) {
        match result {
            Ok(receipt) => self.write_receipt(receipt, promise, out),
            Err(problem) => Self::write_problem_item(problem, out),
        }
    }

    fn write_problem_item(problem: &Problem, out: &mut Vec<u8>) {
        let date = [b' '; 29]; // an item has no head
        response::write_problem(out, problem, &response::Refusal::closing(&date));
    }
}

fn item_headers<'a>(item: &'a Item<'_>) -> Vec<(&'a [u8], &'a [u8])> {
    item.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

fn item_record<'a>(item: &'a Item<'_>, headers: &'a [(&'a [u8], &'a [u8])]) -> NewRecord<'a> {
    let is_json = matches!(item.content, crate::json::publish::Content::Json(_));
    NewRecord {
        key: item.key.as_ref().map(|k| k.as_bytes()),
        value: item.content.as_bytes(),
        headers,
        ttl_s: ttl(item.ttl_s),
        content_type: is_json.then_some(b"application/json"),
        idempotency_key: item.idempotency_key.as_ref().map(|k| k.as_bytes()),
    }
}

/// Checks what the head gives to the record, so that a refusal names the header and not a place in a batch.
fn check_record(head: &Head<'_>, headers: &[(&[u8], &[u8])]) -> Result<(), Problem> {
    let bounds = [
        (Known::IdempotencyKey, "Idempotency-Key", 1, limits::IDEMPOTENCY_KEY_BYTES_MAX),
        (Known::SprawlKey, "Sprawl-Key", 0, limits::KEY_BYTES_MAX),
        (Known::ContentType, "Content-Type", 0, limits::CONTENT_TYPE_BYTES_MAX),
    ];
    for (known, name, bytes_min, bytes_max) in bounds {
        let Some(value) = head.get(known) else { continue };
        if !(bytes_min..=bytes_max).contains(&value.len()) {
            return Err(invalid(
                name,
                value,
                &format!("{bytes_min} to {bytes_max} bytes, not {}", value.len()),
            ));
        }
    }
    if head.get(Known::IdempotencyKey).is_some_and(|key| std::str::from_utf8(key).is_err()) {
        return Err(Problem::new(Code::InvalidHeader, "header Idempotency-Key is not UTF-8"));
    }
    let (count, count_max) = (headers.len(), limits::RECORD_HEADERS_COUNT_MAX);
    if count > count_max {
        let detail = format!("{count} headers of the record exceed record_headers_count_max {count_max}");
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let bytes_max = limits::RECORD_HEADERS_BYTES_MAX;
    if bytes > bytes_max {
        let detail =
            format!("headers of the record of {bytes} bytes exceed record_headers_bytes_max {bytes_max}");
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    Ok(())
}

fn payload_too_large(bytes: usize) -> Problem {
    let bound = limits::PAYLOAD_BYTES_MAX;
    Problem::new(Code::TooLarge, format!("payload of {bytes} bytes exceeds payload_bytes_max {bound}"))
}

fn at_batch(error: batch::BatchError, at: usize) -> Problem {
    let mut problem: Problem = error.into();
    if at > 0 {
        problem.detail = format!("batch at byte {at}: {}", problem.detail);
    }
    problem
}
