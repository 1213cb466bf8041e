//! A reader: a cursor over up to 64 partitions that writes what follows it in one of the forms.
//!
//! A reader holds no messages and no queue: [`Reader::pull`] writes from the log into the caller's buffer and moves the
//! cursor. Readers at the same place with the same shape write the same bytes, which [`Reader::share_key`] tells, so a
//! driver encodes once for all of them.

use super::encode::{self, Form, Origin};
use super::page::{Page, Want};
use super::time::Clock;
use crate::arena::Slice;
use crate::batch::{self, BatchError, Builder, Record, RecordRef};
use crate::cursor;
use crate::envelope::ENVELOPE_LEN;
use crate::http::response::write_number;
use crate::limits::{READ_GAPS_MAX, READ_LOOK_BYTES_MAX, READ_PARTITIONS_MAX};
use crate::log::lifetimes::expiry_ns;
use crate::log::{Batch, Log};
use crate::problem::{Code, Problem};
use crate::trie::pattern_matches;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3Default;

/// One partition of a read.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Partition handle.
    pub part: u32,
    /// Index of the topic.
    pub topic: u32,
    /// Id of the topic.
    pub topic_id: u64,
    /// Partition number.
    pub number: u16,
    /// Epoch under which the reader saw it.
    pub epoch: u32,
    /// Next offset to read.
    pub next: u64,
    /// Only records appended at or after this time, ns since the Unix epoch, once the disk has said which; else 0.
    pub since_ns: i64,
}

/// Which messages a read wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Only this key.
    pub key: Option<Vec<u8>>,
    /// Only messages with all of these headers.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.key.is_none() && self.headers.is_empty()
    }

    fn takes(&self, record: &RecordRef<'_>) -> bool {
        if self.key.is_some() && self.key.as_deref() != record.key {
            return false;
        }
        self.headers
            .iter()
            .all(|(name, value)| record.headers.into_iter().any(|(n, v)| n == name && v == value))
    }
}

/// Offsets of a partition that no read can give any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Partition number.
    pub partition: u16,
    /// First offset.
    pub from: u64,
    /// Offset after the last.
    pub to: u64,
    /// `retention`, `damaged` or `lost_tail`.
    pub reason: &'static str,
}

impl std::fmt::Display for Gap {
    /// As the header `Sprawl-Gap` has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { partition, from, to, reason } = self;
        write!(f, "{partition};{from}-{to};{reason}")
    }
}

impl Gap {
    fn is_before(&self, next: &Self) -> bool {
        (self.partition, self.to, self.reason) == (next.partition, next.from, next.reason)
    }

    /// Writes it as a JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"partition\":");
        write_number(out, u64::from(self.partition));
        out.extend_from_slice(b",\"from\":");
        write_number(out, self.from);
        out.extend_from_slice(b",\"to\":");
        write_number(out, self.to);
        out.extend_from_slice(b",\"reason\":\"");
        out.extend_from_slice(self.reason.as_bytes());
        out.extend_from_slice(b"\"}");
    }
}

/// What a pull achieved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Messages written.
    pub messages: u64,
    /// A bound stopped it; there is more to look at, though perhaps none that the filter takes.
    pub more: bool,
    /// The topic is gone: nothing will follow.
    pub ended: bool,
}

/// A cursor with a form.
#[derive(Clone, Debug)]
pub struct Reader {
    places: Vec<Place>,
    turn: usize,
    form: Form,
    json_values: bool,
    show_topic: bool,
    filter: Filter,
    /// Topics that may join: a pattern, or the name of a topic that does not exist yet.
    awaited: Option<String>,
    ended: bool,
    /// What the disk gave last.
    page: Option<Arc<Page>>,
    /// Gaps of a plain read, for the end of its answer.
    gaps: Vec<Gap>,
    /// Messages still wanted; `None` = no limit.
    pub left: Option<u64>,
    /// Whether a plain answer will tell the gaps.
    pub tells_gaps: bool,
}

impl Reader {
    /// A reader at the given places. `awaited` names topics that may join later: a pattern, or one that does not exist.
    #[must_use]
    pub fn new(
        places: Vec<Place>,
        form: Form,
        json_values: bool,
        filter: Filter,
        awaited: Option<String>,
    ) -> Self {
        let show_topic = awaited.as_deref().is_some_and(is_pattern);
        Self {
            places,
            turn: 0,
            form,
            json_values,
            show_topic,
            filter,
            awaited,
            ended: false,
            page: None,
            gaps: Vec::new(),
            left: None,
            tells_gaps: false,
        }
    }

    /// Its form.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Its partitions.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether later topics may join.
    #[must_use]
    pub fn awaits_topics(&self) -> bool {
        self.awaited.is_some()
    }

    /// Its place as an opaque text.
    #[must_use]
    pub fn cursor(&self) -> String {
        self.cursor_with(None)
    }

    fn cursor_with(&self, override_at: Option<(usize, u64)>) -> String {
        let entry = |(at, place): (usize, &Place)| cursor::Entry {
            topic_id: place.topic_id,
            partition: place.number,
            epoch: place.epoch,
            next: override_at.filter(|(i, _)| *i == at).map_or(place.next, |(_, next)| next),
        };
        if let [place] = &self.places[..] {
            return cursor::encode(&[entry((0, place))]);
        }
        let entries: Vec<_> = self.places.iter().enumerate().map(entry).collect();
        cursor::encode(&entries)
    }

    /// What tells whether another reader's next pull writes the same bytes; `None` when it cannot be shared.
    ///
    /// The end of the partition and the second belong to it: a pull kept from earlier must not hide a later record, nor
    /// show one whose lifetime is over.
    #[must_use]
    pub fn share_key(&self, log: &Log, now_ns: i64) -> Option<u128> {
        let [place] = &self.places[..] else { return None };
        if self.awaited.is_some() || self.left.is_some() {
            return None;
        }
        let mut hash = Xxh3Default::default();
        (place.topic_id, place.part, place.next, place.epoch, self.form, self.json_values).hash(&mut hash);
        let part = log.part(place.part);
        if Self::is_cold(log, place) {
            return None;
        }
        let is_deleted = log.is_deleted(place.topic, place.topic_id);
        (part.low, part.visible, is_deleted, now_ns.div_euclid(1_000_000_000)).hash(&mut hash);
        if !self.filter.is_empty() {
            self.filter.hash(&mut hash);
        }
        Some((u128::from(hash.finish()) << 64) | u128::from(place.next) ^ (u128::from(place.part) << 32))
    }

    /// Moves the only place on after another reader's identical pull.
    pub fn follow(&mut self, other: &Self) {
        if let ([mine], [theirs]) = (&mut self.places[..], &other.places[..]) {
            *mine = *theirs;
        }
        self.ended = other.ended;
    }

    /// Whether what comes next at a place has left memory.
    fn is_cold(log: &Log, place: &Place) -> bool {
        if !log.has_disk() {
            return false;
        }
        let part = log.part(place.part);
        place.since_ns != 0 || (part.low <= place.next && place.next < part.memory_low())
    }

    /// What it needs from disk before the next pull has something to give; `None` when nothing.
    #[must_use]
    pub fn want(&self, log: &Log) -> Option<Want> {
        let count = self.places.len();
        for step in 0..count {
            let place = &self.places[(self.turn + step) % count];
            if log.is_deleted(place.topic, place.topic_id) {
                continue;
            }
            if !Self::is_cold(log, place) {
                if log.part(place.part).visible > place.next {
                    return None; // this one has its turn
                }
                continue;
            }
            let has_page = |p: &Arc<Page>| p.covers(place.topic_id, place.number, place.next);
            if place.since_ns == 0 && self.page.as_ref().is_some_and(has_page) {
                return None;
            }
            return Some(Want {
                topic_id: place.topic_id,
                partition: place.number,
                offset: place.next,
                since_ns: place.since_ns,
                end: log.part(place.part).memory_low(),
            });
        }
        None
    }

    /// Takes what the disk gave for [`Reader::want`].
    pub fn feed(&mut self, log: &Log, page: Arc<Page>) {
        for place in &mut self.places {
            if page.covers(place.topic_id, place.number, place.next) && place.since_ns != 0 {
                let part = log.part(place.part);
                place.next = page.first_record();
                if place.next >= part.memory_low() {
                    place.next = log.first_since(place.part, place.since_ns);
                }
                place.since_ns = 0;
            }
        }
        self.page = Some(page);
    }

    /// The gaps that a plain read has met; none are left.
    pub fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    /// Whether a plain read has met gaps that no answer has told yet.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// Takes a topic in that was created after this read of a pattern began. `true` when it has new partitions now.
    ///
    /// # Errors
    /// `too_many_partitions` when a cursor could not hold them.
    pub fn adopt(&mut self, log: &Log, topic: u32) -> Result<bool, Problem> {
        let entry = log.topics().get(topic);
        let Some(awaited) = &self.awaited else { return Ok(false) };
        if entry.deleted_ns != 0 || !pattern_matches(awaited.as_bytes(), &entry.name) {
            return Ok(false);
        }
        let mut grew = false;
        for &part in entry.parts.as_slice() {
            match self.places.iter_mut().find(|p| p.part == part) {
                Some(known) if known.topic_id == entry.id => continue,
                // The partition of a topic that was forgotten is this topic's now.
                Some(left_over) => *left_over = place(log, topic, part, 0),
                None => self.places.push(place(log, topic, part, 0)),
            }
            grew = true;
        }
        if check_count(self.places.len()).is_err() {
            self.places.retain(|p| !log.is_deleted(p.topic, p.topic_id));
            check_count(self.places.len())?;
            return Ok(true);
        }
        if !is_pattern(awaited) {
            self.awaited = None;
        }
        Ok(grew)
    }

    /// Writes what follows the cursor until `bytes_max` (overshot by at most one message) or `messages_max`, or until it
    /// has passed over `READ_LOOK_BYTES_MAX` that it does not give: then `more` is set, also when nothing was written.
    pub fn pull(
        &mut self,
        log: &mut Log,
        clock: &mut Clock,
        bytes_max: usize,
        messages_max: u64,
        now_ns: i64,
        out: &mut Vec<u8>,
    ) -> Pulled {
        let start = out.len();
        let messages_max = messages_max.min(self.left.unwrap_or(u64::MAX));
        let mut pulled = Pulled::default();
        let mut looked = 0;
        for step in 0..self.places.len() {
            let at = (self.turn + step) % self.places.len();
            log.settle(self.places[at].part);
            if log.is_deleted(self.places[at].topic, self.places[at].topic_id) {
                // Of a pattern the other topics go on, and this one when it is brought back.
                self.ended |= self.awaited.is_none();
                continue;
            }
            let low = log.part(self.places[at].part).low;
            if self.places[at].next < low {
                self.write_gap(at, low, "retention", out);
            }
            let before = self.places[at].next;
            let bytes_end = start + bytes_max;
            let mut pull = Pull { reader: self, at, clock, start, bytes_end, messages_max, now_ns, looked };
            pull.run(log, out, &mut pulled);
            looked = pull.looked;
            if pulled.more {
                // The next pull goes on with the next partition, so a busy one does not starve the others; with this
                // one when nothing was left for it.
                let had_its_turn = usize::from(self.places[at].next > before);
                self.turn = (at + had_its_turn) % self.places.len();
                break;
            }
        }
        if let Some(left) = &mut self.left {
            *left -= pulled.messages;
        }
        pulled.ended = (self.ended && !pulled.more) || self.left == Some(0);
        pulled
    }

    /// A stored batch of `bytes_min` or more that comes next and goes out untouched, as a view, and how many messages
    /// it holds; the cursor moves behind it. `None` when [`Reader::pull`] has to look.
    pub fn lease(&mut self, log: &mut Log, bytes_min: usize, now_ns: i64) -> Option<(Slice, u64)> {
        let [place] = &self.places[..] else { return None };
        let place = *place;
        if self.form != Form::Binary || !self.filter.is_empty() || self.left.is_some() {
            return None;
        }
        log.settle(place.part);
        if place.next < log.part(place.part).low || log.is_deleted(place.topic, place.topic_id) {
            return None;
        }
        let batch = log.batches(place.part, place.next).next()?;
        let expires = batch.envelope.expiry_ns != 0 && batch.envelope.expiry_ns <= now_ns;
        if batch.bytes.len() < bytes_min || expires || batch.base < place.next {
            return None;
        }
        if Self::is_cold(log, &place) {
            return None;
        }
        let (slice, end) = (log.lease(&batch)?, batch.end());
        let messages = u64::from(batch.envelope.records_count);
        self.places[0].next = end;
        Some((slice, messages))
    }

    fn write_gap(&mut self, at: usize, to: u64, reason: &'static str, out: &mut Vec<u8>) {
        let Place { number, next, .. } = self.places[at];
        let gap = Gap { partition: number, from: next, to, reason };
        let body = |out: &mut Vec<u8>| gap.write(out);
        self.places[at].next = to;
        let object = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"{\"gap\":");
            body(out);
            out.push(b'}');
        };
        match self.form {
            Form::Sse => encode::write_event(out, &self.cursor(), "gap", body),
            Form::Ndjson => {
                object(out);
                out.push(b'\n');
            }
            Form::WsJson | Form::WsBinary => encode::write_frame(out, 1, object),
            // A plain read answers 410 for what retention took before it comes here, and tells the others in its answer.
            // A binary stream has no place for them: the offsets of its batches show a gap.
            Form::Json | Form::Binary => {
                if !self.tells_gaps || reason == "retention" {
                    return;
                }
                match self.gaps.last_mut().filter(|last| last.is_before(&gap)) {
                    Some(last) => last.to = to,
                    None => self.gaps.push(gap),
                }
            }
        }
    }
}

/// One pull over one partition.
struct Pull<'r, 'c> {
    reader: &'r mut Reader,
    at: usize,
    clock: &'c mut Clock,
    start: usize,
    bytes_end: usize,
    messages_max: u64,
    now_ns: i64,
    /// Bytes of batches that were gone through, inflated ones as they are inflated.
    looked: usize,
}

impl Pull<'_, '_> {
    fn run(&mut self, log: &Log, out: &mut Vec<u8>, pulled: &mut Pulled) {
        let place = self.reader.places[self.at];
        let entry = log.topics().get(place.topic);
        let topic = self.reader.show_topic.then(|| entry.name_str());
        let origin = Origin {
            topic_id: place.topic_id,
            topic,
            partition: u32::from(place.number),
            json_values: self.reader.json_values,
        };
        let mut scratch = Vec::new();
        while Reader::is_cold(log, &self.reader.places[self.at]) {
            if !self.cold(log, &origin, &mut scratch, out, pulled) {
                pulled.more = true;
                return;
            }
        }
        for batch in log.batches(place.part, self.reader.places[self.at].next) {
            if !self.batch(log, &batch, &origin, &mut scratch, out, pulled) {
                pulled.more = true;
                return;
            }
        }
        // Whatever else lay before the end is over and gone.
        let next = &mut self.reader.places[self.at].next;
        *next = log.part(place.part).visible.max(*next);
    }

    /// Writes what the reader's page has. `false` when a bound stopped it, or the disk has to be asked.
    fn cold(
        &mut self,
        log: &Log,
        origin: &Origin<'_>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
        pulled: &mut Pulled,
    ) -> bool {
        let place = self.reader.places[self.at];
        let Some(page) = self.reader.page.clone() else { return false };
        if place.since_ns != 0 || !page.covers(place.topic_id, place.number, place.next) {
            return false;
        }
        if let Some((_, to)) = page.gap_at(place.next) {
            self.reader.write_gap(self.at, to, "damaged", out);
            return true;
        }
        for batch in page.batches(place.next) {
            self.hole(log, batch.base, out);
            if !self.batch(log, &batch, origin, scratch, out, pulled) {
                return false;
            }
        }
        let after = self.reader.places[self.at].next;
        let (to, is_at_end) = page.gap_after(after).map_or((page.end(), true), |from| (from, false));
        self.hole(log, to, out);
        if is_at_end {
            // What memory dropped before a window had it was over.
            let next = &mut self.reader.places[self.at].next;
            *next = page.end().max(*next);
        }
        true
    }

    /// Names the offsets from the cursor up to `to` that no stored batch has.
    fn hole(&mut self, log: &Log, to: u64, out: &mut Vec<u8>) {
        let place = self.reader.places[self.at];
        if let Some((to, reason)) = log.hole(place.part, place.next, to) {
            self.reader.write_gap(self.at, to, reason, out);
        }
    }

    /// Writes one batch from the cursor on. `false` when a bound stopped it.
    fn batch(
        &mut self,
        log: &Log,
        batch: &Batch<'_>,
        origin: &Origin<'_>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
        pulled: &mut Pulled,
    ) -> bool {
        let has_looked_enough = self.looked >= READ_LOOK_BYTES_MAX + (out.len() - self.start);
        let has_gaps_enough = self.reader.gaps.len() >= READ_GAPS_MAX;
        let is_full = out.len() >= self.bytes_end || pulled.messages >= self.messages_max || has_gaps_enough;
        if is_full || has_looked_enough {
            return false;
        }
        self.looked += ENVELOPE_LEN + batch.bytes.len();
        let next = self.reader.places[self.at].next;
        let expires = batch.envelope.expiry_ns != 0 && batch.envelope.expiry_ns <= self.now_ns;
        let filtered = !self.reader.filter.is_empty();
        let count = u64::from(batch.envelope.records_count);
        let whole =
            !expires && !filtered && batch.base >= next && pulled.messages + count <= self.messages_max;
        if whole && self.reader.form == Form::Binary {
            out.extend_from_slice(batch.bytes);
            pulled.messages += count;
        } else if whole && count == 1 && self.reader.form == Form::WsBinary {
            encode::write_frame(out, 2, |out| out.extend_from_slice(batch.bytes));
            pulled.messages += 1;
        } else {
            let topic = self.reader.places[self.at].topic;
            let ttl = expires.then(|| log.topic_ttl_s(topic, batch.envelope.append_ns));
            if !self.records(batch, origin, ttl, scratch, out, pulled) {
                return false;
            }
        }
        self.reader.places[self.at].next = batch.end();
        true
    }

    /// Writes a batch record by record. `false` when a bound stopped it.
    fn records(
        &mut self,
        batch: &Batch<'_>,
        origin: &Origin<'_>,
        expires: Option<u64>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
        pulled: &mut Pulled,
    ) -> bool {
        let from = self.reader.places[self.at].next;
        let mut builder = (self.reader.form == Form::Binary).then(Builder::default);
        let mut first = 0;
        let mut epoch = 0;
        let mut finished = true;
        scratch.clear();
        let records = batch::records(batch.bytes, scratch).expect("stored batches were verified");
        epoch = epoch.max(records.header().leader_epoch);
        for record in records {
            let record = record.expect("stored batches were verified");
            let offset = u64::try_from(record.offset).unwrap_or_default();
            if offset < from {
                continue;
            }
            let built = builder.as_ref().filter(|b| !b.is_empty()).map_or(0, Builder::encoded_len);
            if pulled.messages >= self.messages_max || out.len() + built >= self.bytes_end {
                finished = false;
                break;
            }
            self.reader.places[self.at].next = offset + 1;
            if let Some(topic_ttl) = expires {
                let expiry_ns = expiry_ns(record.ttl_s, topic_ttl, batch.envelope.append_ns);
                if expiry_ns != 0 && expiry_ns <= self.now_ns {
                    continue;
                }
            }
            if !self.reader.filter.takes(&record) {
                continue;
            }
            pulled.messages += 1;
            if let Some(builder) = &mut builder {
                if builder.is_empty() {
                    first = offset;
                } else {
                    let delta = u64::from(builder.next_delta());
                    builder.skip(u32::try_from(offset - first - delta).unwrap_or_default());
                }
                if copy_record(builder, &record).is_err() {
                    // What was compressed, or has timestamps far apart, may need more than one batch.
                    let full = std::mem::take(builder);
                    full.finish_into(out, i64::try_from(first).unwrap_or_default(), epoch, None);
                    first = offset;
                    copy_record(builder, &record).expect("one record of a verified batch fits a batch");
                }
            } else {
                self.message(origin, &record, epoch, out);
            }
        }
        self.looked += scratch.len();
        if let Some(builder) = builder.filter(|b| !b.is_empty()) {
            builder.finish_into(out, i64::try_from(first).unwrap_or_default(), epoch, None);
        }
        finished
    }

    fn message(&mut self, origin: &Origin<'_>, record: &RecordRef<'_>, epoch: i32, out: &mut Vec<u8>) {
        match self.reader.form {
            Form::Json => {
                if out.last() == Some(&b'}') {
                    out.push(b',');
                }
                encode::write_message(out, self.clock, origin, record);
            }
            Form::Ndjson => {
                encode::write_message(out, self.clock, origin, record);
                out.push(b'\n');
            }
            Form::Sse => {
                let id = self.reader.cursor();
                encode::write_event(out, &id, "message", |out| {
                    encode::write_message(out, self.clock, origin, record);
                });
            }
            Form::WsJson => {
                encode::write_frame(out, 1, |out| encode::write_message(out, self.clock, origin, record));
            }
            Form::WsBinary => {
                let mut builder = Builder::default();
                copy_record(&mut builder, record).expect("one record of a verified batch fits a batch");
                encode::write_frame(out, 2, |out| builder.finish_into(out, record.offset, epoch, None));
            }
            Form::Binary => unreachable!("binary reads write whole batches"),
        }
    }
}

fn copy_record(builder: &mut Builder, record: &RecordRef<'_>) -> Result<(), BatchError> {
    let copy = Record {
        timestamp_ms: record.timestamp_ms,
        key: record.key,
        value: record.value,
        headers: &[],
        ttl_s: record.ttl_s,
        idempotency_key: record.idempotency_key,
        content_type: record.content_type.map(str::as_bytes),
    };
    builder.push_with(&copy, record.headers).map(|_| ())
}

/// A place at `next` of a partition.
#[must_use]
pub fn place(log: &Log, topic: u32, part: u32, next: u64) -> Place {
    let topic_id = log.topics().get(topic).id;
    Place { part, topic, topic_id, number: log.part(part).number, epoch: log.epoch(part), next, since_ns: 0 }
}

/// Refuses a read over more partitions than a cursor holds.
///
/// # Errors
/// `too_many_partitions`.
pub fn check_count(count: usize) -> Result<(), Problem> {
    if count <= READ_PARTITIONS_MAX {
        return Ok(());
    }
    let detail = format!(
        "the read covers {count} partitions, read_partitions_max is {READ_PARTITIONS_MAX}; name one with partition= \
         or use a subscription"
    );
    Err(Problem::new(Code::TooManyPartitions, detail))
}

/// Whether a name is a pattern: it has a wildcard.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '>'])
}
