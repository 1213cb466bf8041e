//! Appending: single records that share a batch per tick, and whole batches.

use super::dedup::{self, Producer, Producers, Remembered, Verdict};
use super::durable::Level;
use super::partition::{Entry, NOT_PENDING};
use super::{Log, Pending, PENDING_BYTES};
use crate::batch::{self, Builder, Record, Verified, HEADER_LEN};
use crate::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH};
use crate::ids;
use crate::problem::{Code, Problem};
use hashbrown::HashSet;
use std::collections::HashMap;
use xxhash_rust::xxh3::{xxh3_64, Xxh3};

/// One record as a client gives it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// Orders and partitions.
    pub key: Option<&'a [u8]>,
    /// The payload.
    pub value: &'a [u8],
    /// Name and value, in order.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Lifetime; `None` = the topic's.
    pub ttl_s: Option<u32>,
    /// Media type of the payload.
    pub content_type: Option<&'a [u8]>,
    /// Store once within the window.
    pub idempotency_key: Option<&'a [u8]>,
}

/// A condition on the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The last offset must be this.
    Last(u64),
    /// There must be no readable record.
    Empty,
}

/// How to append.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// This partition and no other.
    pub partition: Option<u32>,
    /// The producer's numbers.
    pub producer: Option<Producer>,
    /// Append only if this holds.
    pub expect: Option<Expect>,
    /// Keeps keyless records of one connection together.
    pub sticky: u64,
}

/// Where a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Index of the topic.
    pub topic: u32,
    /// Partition number.
    pub partition: u32,
    /// Offset of the record.
    pub offset: u64,
    /// Append time, ms since the Unix epoch.
    pub append_ms: i64,
    /// It was stored by an earlier publish.
    pub duplicate: bool,
}

/// Where a batch was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchReceipt {
    /// Where its first record was stored.
    pub first: Receipt,
    /// Records in it.
    pub count: u32,
}

fn millis(ns: i64) -> i64 {
    ns.div_euclid(1_000_000)
}

/// Bytes that a record adds to the ring at most: a batch of its own with the longest numbers.
fn footprint(record: &NewRecord<'_>) -> usize {
    let numbers = 10;
    let headers: usize = record.headers.iter().map(|(n, v)| n.len() + v.len() + 2 * numbers).sum();
    let reserved = [record.key, record.content_type, record.idempotency_key];
    let reserved: usize = reserved.iter().map(|part| part.unwrap_or_default().len() + 2 * numbers).sum();
    ENVELOPE_LEN + HEADER_LEN + 8 * numbers + record.value.len() + headers + reserved
}

fn encoded<'a>(record: &NewRecord<'a>, timestamp_ms: i64) -> Record<'a> {
    Record {
        timestamp_ms,
        key: record.key,
        value: Some(record.value),
        headers: record.headers,
        ttl_s: record.ttl_s,
        idempotency_key: record.idempotency_key,
        content_type: record.content_type,
    }
}

fn conflict(offset: impl std::fmt::Display) -> Problem {
    let detail = format!("this idempotency key stored another message at offset {offset}");
    Problem::new(Code::IdempotencyConflict, detail)
}

fn content_hash(record: &NewRecord<'_>) -> u64 {
    let mut hash = Xxh3::new();
    for part in [record.key.unwrap_or_default(), record.content_type.unwrap_or_default(), record.value] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    for (name, value) in record.headers {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(&(value.len() as u64).to_le_bytes());
        hash.update(value);
    }
    hash.digest()
}

/// One record of a batch that has an idempotency key.
struct KeyOf {
    delta: u64,
    key: u128,
    content: u64,
}

fn keys_of(bytes: &[u8]) -> Result<Vec<KeyOf>, Problem> {
    let mut scratch = Vec::new();
    let mut keys = Vec::new();
    for (delta, record) in batch::records(bytes, &mut scratch)?.enumerate() {
        let record = record?;
        let Some(key) = record.idempotency_key else { continue };
        let headers: Vec<_> = record.headers.collect();
        let content = content_hash(&NewRecord {
            key: record.key,
            value: record.value.unwrap_or_default(),
            headers: &headers,
            ttl_s: None,
            content_type: record.content_type.map(str::as_bytes),
            idempotency_key: None,
        });
        keys.push(KeyOf { delta: delta as u64, key: dedup::key_hash(key), content });
    }
    Ok(keys)
}

impl Log {
    /// Appends one record. It becomes visible when the tick is sealed.
    ///
    /// # Errors
    /// Any refusal of this record; nothing was stored by this call.
    pub fn publish(
        &mut self,
        topic: u32,
        record: &NewRecord<'_>,
        options: &Options,
        now_ns: i64,
    ) -> Result<Receipt, Problem> {
        let now_ns = self.advance(now_ns);
        let handle = self.choose(topic, record, options)?;
        let number = u32::from(self.part(handle).number);
        let stored = |offset: u64, append_ms: i64, duplicate: bool| Receipt {
            topic,
            partition: number,
            offset,
            append_ms,
            duplicate,
        };
        let mut remember = None;
        if let Some(key) = record.idempotency_key {
            let (key, content) = (dedup::key_hash(key), content_hash(record));
            if let Some(known) = self.keys.find(key, handle, now_ns) {
                if known.content != content {
                    return Err(conflict(known.offset));
                }
                self.counters.duplicates += 1;
                return Ok(stored(known.offset, known.append_ms, true));
            }
            self.keys.reserve(now_ns)?;
            remember = Some((key, content));
        }
        if let Some(Verdict::Duplicate { base, append_ms }) = self.judge(handle, options.producer, 1)? {
            self.counters.duplicates += 1;
            return Ok(stored(base, append_ms, true));
        }
        self.admit(topic, handle, footprint(record), record.value.len() as u64, options.expect)?;
        let (topic_ttl, window_s) = match self.topics.get(topic).config.as_deref() {
            Some(config) => (config.ttl_s, config.dedup_window_s),
            None => (0, super::topics::Config::default().dedup_window_s),
        };
        let (offset, append_ns) = self.add(handle, record, topic_ttl, now_ns, options.producer)?;
        let append_ms = millis(append_ns);
        if let Some((key, content)) = remember {
            let until_ns = now_ns + seconds(window_s);
            self.keys.insert(Remembered { key, part: handle, content, offset, append_ms, until_ns });
        }
        if let Some(producer) = options.producer {
            self.producers(handle).record(producer, 1, offset, append_ms);
        }
        self.counters.records += 1;
        self.counters.value_bytes += record.value.len() as u64;
        Ok(stored(offset, append_ms, false))
    }

    /// Appends records to one partition, all or none: what could refuse one of them is looked at first.
    ///
    /// # Errors
    /// The first refusal; `invalid_member` when the records belong to different partitions. Nothing was stored.
    pub fn publish_all(
        &mut self,
        topic: u32,
        records: &[NewRecord<'_>],
        options: &Options,
        now_ns: i64,
    ) -> Result<Vec<Receipt>, Problem> {
        let now_ns = self.advance(now_ns);
        let mut chosen = None;
        let (mut bytes, mut largest) = (0, 0);
        let mut trial = Builder::default();
        let mut keyed: HashMap<u128, u64> = HashMap::new();
        for (at, record) in records.iter().enumerate() {
            let handle = self.choose(topic, record, options)?;
            if *chosen.get_or_insert(handle) != handle {
                let detail = "messages of an atomic publish belong to different partitions; give them one key or partition=";
                return Err(Problem::new(Code::InvalidMember, detail).at(format!("/messages/{at}")));
            }
            if let Some(key) = record.idempotency_key {
                let (key, content) = (dedup::key_hash(key), content_hash(record));
                if let Some(known) = self.keys.find(key, handle, now_ns).filter(|k| k.content != content) {
                    return Err(conflict(known.offset).at(format!("/messages/{at}")));
                }
                if *keyed.entry(key).or_insert(content) != content {
                    let detail = "this idempotency key stands before another message of the same publish";
                    return Err(Problem::new(Code::IdempotencyConflict, detail).at(format!("/messages/{at}")));
                }
            }
            // What encoding would refuse is refused before anything is stored.
            trial.clear();
            trial
                .push(&encoded(record, millis(now_ns)))
                .map_err(|error| Problem::from(error).at(format!("/messages/{at}")))?;
            bytes += footprint(record);
            largest = largest.max(record.value.len());
        }
        let Some(handle) = chosen else { return Ok(Vec::new()) };
        let new_keys = keyed.keys().filter(|key| self.keys.find(**key, handle, now_ns).is_none()).count();
        self.keys.reserve_many(new_keys, now_ns)?;
        self.admit(topic, handle, bytes, largest as u64, options.expect)?;
        let options = Options { expect: None, ..*options };
        records.iter().map(|record| self.publish(topic, record, &options, now_ns)).collect()
    }

    /// Appends a batch that [`batch::verify`] accepted. It is visible at once.
    ///
    /// # Errors
    /// Any refusal of this batch; nothing was stored by this call.
    pub fn publish_batch(
        &mut self,
        topic: u32,
        bytes: &[u8],
        verified: &Verified,
        options: &Options,
        now_ns: i64,
    ) -> Result<BatchReceipt, Problem> {
        let now_ns = self.advance(now_ns);
        let header = &verified.header;
        let producer = (header.producer_id >= 0).then_some(Producer {
            id: header.producer_id,
            epoch: header.producer_epoch,
            sequence: header.base_sequence,
        });
        let options = Options { producer, ..*options };
        let handle = self.choose(topic, &NewRecord::default(), &options)?;
        let count = u32::try_from(header.records_count).unwrap_or_default();
        let receipt = |offset: u64, append_ms: i64, duplicate: bool| {
            let partition = u32::from(self.parts[handle as usize].number);
            BatchReceipt { first: Receipt { topic, partition, offset, append_ms, duplicate }, count }
        };
        if let Some(Verdict::Duplicate { base, append_ms }) =
            self.judge(handle, producer, header.records_count)?
        {
            let receipt = receipt(base, append_ms, true);
            self.counters.duplicates += 1;
            return Ok(receipt);
        }
        let keys = if verified.has_keys { keys_of(bytes)? } else { Vec::new() };
        if let Some(first) = self.stored_keys(handle, &keys, count, now_ns)? {
            let receipt = receipt(first.offset, first.append_ms, true);
            self.counters.duplicates += 1;
            return Ok(receipt);
        }
        self.keys.reserve_many(keys.len(), now_ns)?;
        let receipt = receipt(0, 0, false);
        let total = ENVELOPE_LEN + bytes.len();
        self.admit(topic, handle, total, verified.value_bytes_max as u64, options.expect)?;
        self.seal_part(handle);
        if self.is_pinned(topic) {
            self.pinned_bytes += total as u64;
        }
        let base = self.parts[handle as usize].end;
        let topic_ttl = self.topics.get(topic).config.as_deref().map_or(0, |c| c.ttl_s);
        // Records without a lifetime of their own have the topic's.
        let topics = (topic_ttl > 0 && verified.ttl_count < count).then_some(topic_ttl);
        let ttl = verified.ttl_s_min.map(u64::from).into_iter().chain(topics).min();
        let expiry_ns = ttl.map_or(0, |ttl| now_ns + seconds(ttl));
        self.parts[handle as usize].end += u64::from(count);
        self.store(handle, base, count, now_ns, expiry_ns, bytes.len(), |out, epoch| {
            out.copy_from_slice(bytes);
            batch::stamp(out, i64::try_from(base).expect("offsets are below 2^63"), epoch);
        });
        let append_ms = millis(now_ns);
        if let Some(producer) = producer {
            self.producers(handle).record(producer, header.records_count, base, append_ms);
        }
        let window_s = self.topics.get(topic).config().dedup_window_s;
        let until_ns = now_ns + seconds(window_s);
        for KeyOf { delta, key, content } in keys {
            let offset = base + delta;
            self.keys.insert(Remembered { key, part: handle, content, offset, append_ms, until_ns });
        }
        self.counters.records += u64::from(count);
        self.counters.value_bytes += bytes.len() as u64;
        Ok(BatchReceipt { first: Receipt { offset: base, append_ms, ..receipt.first }, ..receipt })
    }

    /// Where the first record of a batch was stored, when all its records were stored before under their keys.
    ///
    /// # Errors
    /// `idempotency_conflict` for a key that stored another message, that stands twice in the batch, or when only some
    /// were stored: a batch is stored whole or not at all.
    fn stored_keys(
        &self,
        handle: u32,
        keys: &[KeyOf],
        count: u32,
        now_ns: i64,
    ) -> Result<Option<Remembered>, Problem> {
        let conflict = |detail: String| Err(Problem::new(Code::IdempotencyConflict, detail));
        let (mut first, mut known) = (None, 0);
        let mut seen = HashSet::new();
        for key in keys {
            if !seen.insert(key.key) {
                return conflict(format!("record {} repeats an idempotency key of its batch", key.delta));
            }
            let Some(found) = self.keys.find(key.key, handle, now_ns) else { continue };
            if found.content != key.content {
                let offset = found.offset;
                return conflict(format!(
                    "record {}: its key stored another message at offset {offset}",
                    key.delta
                ));
            }
            first.get_or_insert(found);
            known += 1;
        }
        if known > 0 && (known < keys.len() || keys.len() < count as usize) {
            let all = count;
            return conflict(format!(
                "{known} of {all} records were stored before; publish the others alone"
            ));
        }
        Ok(first)
    }

    /// Node time, which never goes back inside the log.
    pub fn advance(&mut self, now_ns: i64) -> i64 {
        self.last_ns = self.last_ns.max(now_ns);
        self.last_ns
    }

    fn choose(&self, topic: u32, record: &NewRecord<'_>, options: &Options) -> Result<u32, Problem> {
        let parts = self.topics.get(topic).parts.as_slice();
        let count = u32::try_from(parts.len()).expect("partitions_max is below 2^32");
        if let Some(number) = options.partition {
            return parts.get(number as usize).copied().ok_or_else(|| {
                let name = self.topics.get(topic).name_str();
                let detail = format!("partition {number} of topic {name} does not exist, it has {count}");
                Problem::new(Code::InvalidParameter, detail)
            });
        }
        if count == 1 {
            return Ok(parts[0]);
        }
        let number = if let Some(key) = record.key {
            ids::partition_of_key(key, count)
        } else if let Some(producer) = options.producer {
            ids::partition_of_key(&producer.id.to_le_bytes(), count)
        } else if let Some(key) = record.idempotency_key {
            ids::partition_of_key(key, count)
        } else {
            u32::try_from(xxh3_64(&options.sticky.to_le_bytes()) % u64::from(count)).expect("below a u32")
        };
        Ok(parts[number as usize])
    }

    fn judge(&self, handle: u32, producer: Option<Producer>, count: i32) -> Result<Option<Verdict>, Problem> {
        let Some(producer) = producer else { return Ok(None) };
        self.parts[handle as usize].producers.as_ref().map(|p| p.check(producer, count)).transpose()
    }

    fn producers(&mut self, handle: u32) -> &mut Producers {
        self.parts[handle as usize].producers.get_or_insert_with(Box::default)
    }

    fn admit(
        &mut self,
        topic: u32,
        handle: u32,
        size: usize,
        value_bytes: u64,
        expect: Option<Expect>,
    ) -> Result<(), Problem> {
        let part = self.part(handle);
        let last = part.end.checked_sub(1);
        let holds = match expect {
            None => true,
            Some(Expect::Last(offset)) => last == Some(offset),
            Some(Expect::Empty) => part.low == part.end,
        };
        if !holds {
            let last = last.map_or_else(|| "none".to_owned(), |l| l.to_string());
            return Err(Problem::new(
                Code::ExpectationFailed,
                format!("the partition's last offset is {last}"),
            ));
        }
        let memory_max = self.setup.memory_bytes_max;
        if size > memory_max / 4 {
            let detail = format!("{size} bytes exceed a quarter of the memory tier of {memory_max} bytes");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        self.admit_to_disk(topic, size)?;
        let Some(config) = self.topics.get(topic).config.as_deref() else { return Ok(()) };
        if value_bytes > config.message_bytes_max {
            let bound = config.message_bytes_max;
            let detail =
                format!("payload of {value_bytes} bytes exceeds max_message_bytes {bound} of the topic");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        if self.disk.is_none()
            && config.discard_new
            && self.pinned_bytes + size as u64 > self.pinned_bytes_max()
        {
            let held = self.pinned_bytes;
            let detail =
                format!("topics with discard=new hold {held} bytes, their bound is half of {memory_max}");
            return Err(Problem::new(Code::StorageFull, detail));
        }
        Ok(())
    }

    fn add(
        &mut self,
        handle: u32,
        record: &NewRecord<'_>,
        topic_ttl_s: u64,
        now_ns: i64,
        producer: Option<Producer>,
    ) -> Result<(u64, i64), Problem> {
        let pending = self.parts[handle as usize].pending;
        let shared = pending != NOT_PENDING && producer.is_none();
        let bytes_max = PENDING_BYTES.min(self.setup.memory_bytes_max / 8);
        let at = if shared && self.pending[pending as usize].has_room(bytes_max) {
            pending as usize
        } else {
            self.seal_part(handle);
            let builder = self.spare.pop().unwrap_or_default();
            let base = self.parts[handle as usize].end;
            self.parts[handle as usize].pending =
                u32::try_from(self.pending.len()).expect("bounded by partitions");
            self.pending.push(Pending {
                part: handle,
                builder,
                base,
                append_ns: now_ns,
                expiry_ns: 0,
                producer,
            });
            self.pending.len() - 1
        };
        let pending = &mut self.pending[at];
        let append_ns = pending.append_ns;
        let before =
            if pending.builder.is_empty() { 0 } else { ENVELOPE_LEN + pending.builder.encoded_len() };
        if let Err(error) = pending.builder.push(&encoded(record, millis(append_ns))) {
            if pending.builder.is_empty() {
                self.pending.pop();
                self.parts[handle as usize].pending = NOT_PENDING;
            }
            return Err(error.into());
        }
        let ttl = record.ttl_s.filter(|ttl| *ttl > 0).map_or(topic_ttl_s, u64::from);
        if ttl > 0 {
            let expiry = append_ns + seconds(ttl);
            pending.expiry_ns = if pending.expiry_ns == 0 { expiry } else { pending.expiry_ns.min(expiry) };
        }
        let after = ENVELOPE_LEN + pending.builder.encoded_len();
        let part = &mut self.parts[handle as usize];
        let offset = part.end;
        part.end += 1;
        let topic = part.topic;
        if self.is_pinned(topic) {
            self.pinned_bytes += (after - before) as u64;
        }
        if producer.is_some() {
            // Records with producer numbers never share a batch with others.
            self.seal_part(handle);
        }
        Ok((offset, append_ns))
    }

    /// Makes everything appended so far visible.
    pub fn seal(&mut self, _now_ns: i64) {
        while let Some(last) = self.pending.last() {
            self.seal_part(last.part);
        }
    }

    /// Ends the tick: seals, and gives the handles of watched partitions that changed.
    pub fn end_tick(&mut self, now_ns: i64) -> Vec<u32> {
        self.seal(now_ns);
        self.end_disk_tick();
        std::mem::take(&mut self.woken)
    }

    /// Makes what was appended to one partition visible.
    pub(super) fn seal_part(&mut self, handle: u32) {
        let at = std::mem::replace(&mut self.parts[handle as usize].pending, NOT_PENDING);
        if at == NOT_PENDING {
            return;
        }
        let mut done = self.pending.swap_remove(at as usize);
        if let Some(moved) = self.pending.get(at as usize) {
            self.parts[moved.part as usize].pending = at;
        }
        let count = done.builder.count();
        let size = done.builder.encoded_len();
        let base = i64::try_from(done.base).expect("offsets are below 2^63");
        let builder = &done.builder;
        let producer =
            done.producer.map(|p| batch::Producer { id: p.id, epoch: p.epoch, sequence: p.sequence });
        self.store(handle, done.base, count, done.append_ns, done.expiry_ns, size, |out, epoch| {
            builder.finish_in_place(out, base, epoch, producer);
        });
        done.builder.clear();
        if self.spare.len() < 64 {
            self.spare.push(done.builder);
        }
    }

    #[allow(clippy::too_many_arguments)] // one batch's envelope, spelled out once
    fn store(
        &mut self,
        handle: u32,
        base: u64,
        count: u32,
        append_ns: i64,
        expiry_ns: i64,
        size: usize,
        write: impl FnOnce(&mut [u8], i32),
    ) {
        let total = ENVELOPE_LEN + size;
        self.make_room(total);
        let part = &self.parts[handle as usize];
        let (slot, number, topic) = (part.slot, part.number, part.topic);
        let epoch = self.slots.epoch(slot);
        let sequence = &mut self.slot_sequences[slot as usize];
        let envelope = Envelope {
            kind: KIND_BATCH,
            slot,
            epoch,
            partition: number,
            sequence: *sequence,
            topic_id: self.topics.get(topic).id,
            append_ns,
            expiry_ns,
            records_count: count,
        };
        *sequence += 1;
        self.appended_ns = append_ns;
        let position = self.ring.append(total, |out| {
            write(&mut out[ENVELOPE_LEN..], i32::try_from(epoch).unwrap_or(i32::MAX));
            envelope.seal(out);
        });
        let part = &mut self.parts[handle as usize];
        part.index.push(Entry { base, position });
        part.bytes += total as u64;
        let end = base + u64::from(count);
        let is_hidden = self.disk.is_some() && self.level_of(topic) == Level::Disk;
        let part = &mut self.parts[handle as usize];
        if !is_hidden {
            part.visible = end;
            if part.watchers > 0 {
                self.woken.push(handle);
            }
        }
        if let Some(disk) = &mut self.disk {
            disk.touch();
            if is_hidden {
                disk.hide(self.ring.head_lsn(), handle, end);
            }
        }
        self.schedule(handle, base, expiry_ns);
        self.counters.batches += 1;
        if let Some(config) = self.topics.get(topic).config.as_deref() {
            if config.retention_bytes > 0 || config.retention_count > 0 {
                self.retire_part(handle, append_ns);
            }
        }
    }
}

pub(super) fn seconds(count: u64) -> i64 {
    i64::try_from(count.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX / 4)
}
