//! What is kept of what lies on disk alone: how much it is, what retention no longer covers of it, what may be cut away.
//!
//! In: batches as memory lets go of them, and what a look at the disk found. Out: figures of each tier, low offsets to be
//! written down, and which stored batches nobody needs any more. Invariants: a readable record counts in one tier; the
//! low offset never falls; a batch is not needed once all of it lies below the low offset, or its topic is forgotten.

use super::append::seconds;
use super::lifetimes::expiry_ns;
use super::retain::base_offset;
use super::Log;
use crate::batch;
use crate::envelope::{Envelope, ENVELOPE_LEN};
use crate::problem::{Code, Problem};

/// A partition of which retention no longer covers the oldest that lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Id of the topic.
    pub topic_id: u64,
    /// Partition number.
    pub partition: u16,
    /// First offset that may still be read.
    pub low: u64,
    /// Offset from which memory holds the partition.
    pub end: u64,
    /// Batches appended before this time go, ns since the Unix epoch.
    pub before_ns: i64,
    /// So many bytes go, whole batches of them.
    pub bytes: u64,
    /// So many records go.
    pub records: u64,
    /// The newest batch stays whatever its size.
    pub keeps_last: bool,
}

impl Log {
    /// Records of live topics that can be read from disk alone.
    #[must_use]
    pub fn moved_records(&self) -> u64 {
        self.moved_records
    }

    /// The partition of a topic that is not forgotten.
    #[must_use]
    pub fn known_part(&self, topic_id: u64, number: u16) -> Option<u32> {
        let topic = self.topics.find_id(topic_id)?;
        self.topics.get(topic).parts.as_slice().get(number as usize).copied()
    }

    /// Counts a batch that leaves memory for the disk alone, and takes it out of the index.
    pub(super) fn move_out(&mut self, handle: u32, envelope: &Envelope, total: usize, batch: &[u8]) {
        let low = self.part(handle).low;
        let base = base_offset(batch);
        let held = base + u64::from(envelope.records_count) - base.max(low);
        let live = self.rest(handle, envelope, batch, &(low..u64::MAX)).live;
        self.move_lifetimes(handle, envelope, batch);
        let part = &mut self.parts[handle as usize];
        part.index.pop();
        add_moved(part, live, held - live, total as u64, envelope.append_ns);
        if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
            self.moved_records += live;
        }
    }

    /// Of what lies on disk alone, `count` more records of a partition are over.
    pub(super) fn expire_on_disk(&mut self, handle: u32, count: u64) -> u64 {
        let part = &mut self.parts[handle as usize];
        let count = count.min(part.moved.records);
        part.moved.records -= count;
        part.moved.expired += count;
        if part.moved.records == 0 {
            part.bytes -= part.moved.bytes;
            part.moved.bytes = 0;
        }
        if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
            self.moved_records -= count;
        }
        count
    }

    /// Partitions of which the oldest on disk is to go, at most `count_max`.
    #[must_use]
    pub fn overdue(&self, count_max: usize, now_ns: i64) -> Vec<Overdue> {
        let mut found = Vec::new();
        for &index in &self.retained {
            let topic = self.topics.get(index);
            let Some(config) = topic.config.as_deref().filter(|_| topic.deleted_ns == 0) else { continue };
            for &handle in topic.parts.as_slice() {
                let part = self.part(handle);
                if part.moved.records == 0 {
                    continue;
                }
                let over = |have: u64, bound: u64| if bound > 0 { have.saturating_sub(bound) } else { 0 };
                let age = config.retention_age_s;
                let before_ns = if age > 0 { now_ns.saturating_sub(seconds(age)) } else { i64::MIN };
                let bytes = over(part.bytes, config.retention_bytes);
                let records = over(self.readable(handle), config.retention_count);
                if part.moved.oldest_ns >= before_ns && bytes == 0 && records == 0 {
                    continue;
                }
                found.push(Overdue {
                    topic_id: topic.id,
                    partition: part.number,
                    low: part.low,
                    end: part.memory_low(),
                    before_ns,
                    bytes,
                    // What is over is the oldest, as a rule, and counts for nothing.
                    records: if records > 0 { records + part.moved.expired } else { 0 },
                    keeps_last: part.index.is_empty(),
                });
                if found.len() == count_max {
                    return found;
                }
            }
        }
        found
    }

    /// Raises the low offset of a partition over what lies on disk alone, for its topic's retention.
    ///
    /// `records` and `bytes` are those of the batches below `low`, `oldest_ns` is the time of the first one above it.
    pub fn retired(
        &mut self,
        topic_id: u64,
        number: u16,
        low: u64,
        records: u64,
        bytes: u64,
        oldest_ns: i64,
    ) {
        let Some(handle) = self.known_part(topic_id, number) else { return };
        self.counters.retired_records += self.retire_moved(handle, low, records, bytes, oldest_ns);
    }

    /// The same for want of room.
    pub fn discarded(
        &mut self,
        topic_id: u64,
        number: u16,
        low: u64,
        records: u64,
        bytes: u64,
        oldest_ns: i64,
    ) {
        let Some(handle) = self.known_part(topic_id, number) else { return };
        let left = self.retire_moved(handle, low, records, bytes, oldest_ns);
        self.counters.evicted_records += left;
        if self.part(handle).watchers > 0 {
            self.woken.push(handle);
        }
    }

    /// Raises the low offset over what lies on disk alone; gives how many records left by that could still be read.
    pub(super) fn retire_moved(
        &mut self,
        handle: u32,
        low: u64,
        records: u64,
        bytes: u64,
        oldest_ns: i64,
    ) -> u64 {
        let part = self.part(handle);
        let low = low.min(part.memory_low());
        if low <= part.low {
            return 0;
        }
        let (span, is_all) = (low - part.low, low == part.memory_low());
        let over = self.lifetimes.over(handle);
        // Exact when all of it goes; else the records that are over are taken to be the oldest.
        let dead = if is_all { part.moved.expired } else { records.min(part.moved.expired) };
        let live = if is_all { part.moved.records } else { records - dead }.min(part.moved.records);
        let live = live.max(span.saturating_sub(over)).min(span);
        let has_dates = self.topics.get(part.topic).config.as_deref().is_some_and(|c| c.ttl_s > 0);
        let part = &mut self.parts[handle as usize];
        let bytes = if is_all { part.moved.bytes } else { bytes.min(part.moved.bytes) };
        let counted = live.min(part.moved.records);
        part.low = low;
        part.bytes -= bytes;
        part.moved.bytes -= bytes;
        part.moved.records -= counted;
        part.moved.expired -= dead;
        part.moved.oldest_ns = oldest_ns;
        if has_dates && !is_all {
            self.lifetimes.forgo(handle, counted);
        }
        if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
            self.moved_records -= counted;
        }
        self.account(handle, span, live);
        self.note_low(handle);
        live
    }

    /// Takes note that a low offset is to be written down.
    pub(super) fn note_low(&mut self, handle: u32) {
        if let Some(disk) = &mut self.disk {
            disk.lows.insert(handle);
        }
        let part = &mut self.parts[handle as usize];
        if part.moved.records == 0 {
            part.moved.expired = 0;
        }
    }

    /// Low offsets that rose since they were last taken, at most `count_max`: topic id, partition, offset.
    pub fn take_lows(&mut self, count_max: usize) -> Vec<(u64, u16, u64)> {
        let Some(disk) = &mut self.disk else { return Vec::new() };
        let taken: Vec<u32> = disk.lows.iter().copied().take(count_max).collect();
        for handle in &taken {
            disk.lows.remove(handle);
        }
        let low_of = |handle: u32| {
            let part = self.part(handle);
            (self.topics.get(part.topic).id, part.number, part.low)
        };
        taken.into_iter().map(low_of).collect()
    }

    /// A topic is about to be forgotten: what was written down of it may go.
    pub(super) fn note_forgotten(&mut self, topic: u32) {
        let (id, handles) = (self.topics.get(topic).id, self.topics.get(topic).parts.as_slice().to_vec());
        let Some(disk) = &mut self.disk else { return };
        for handle in handles {
            disk.lows.remove(&handle);
            self.parts[handle as usize].moved = super::partition::Moved::default();
        }
        disk.forgotten.push(id);
    }

    /// Ids of topics that were forgotten since the last call.
    pub fn take_forgotten(&mut self) -> Vec<u64> {
        self.disk.as_mut().map_or_else(Vec::new, |disk| std::mem::take(&mut disk.forgotten))
    }

    /// Whether a stored batch that ends at this offset is needed, as far as offsets tell.
    #[must_use]
    pub fn is_needed(&self, topic_id: u64, number: u16, end: u64) -> bool {
        self.known_part(topic_id, number).is_some_and(|handle| end > self.part(handle).low)
    }

    /// Whether a stored batch may be dropped for want of room: nobody needs it, or its topic discards the oldest and
    /// memory does not have it.
    #[must_use]
    pub fn may_discard(&self, topic_id: u64, number: u16, end: u64) -> bool {
        let Some(handle) = self.known_part(topic_id, number) else { return true };
        let part = self.part(handle);
        let discards_old = || self.topics.get(part.topic).config.as_deref().is_some_and(|c| c.discard_old);
        end <= part.low || (end <= part.memory_low() && discards_old())
    }

    /// When the last record of a stored envelope is over, ns since the Unix epoch; `None`: never.
    ///
    /// # Errors
    /// `log_damaged` when the bytes are not a whole envelope with its batch.
    pub fn last_expiry(&self, bytes: &[u8]) -> Result<Option<i64>, Problem> {
        let damaged = || Problem::new(Code::LogDamaged, "a batch of the log is damaged");
        let (envelope, total) = Envelope::check(bytes).map_err(|_| damaged())?.ok_or_else(damaged)?;
        let Some(handle) = self.known_part(envelope.topic_id, envelope.partition) else {
            return Ok(Some(i64::MIN));
        };
        if envelope.expiry_ns == 0 {
            return Ok(None);
        }
        let topic_ttl_s = self.topic_ttl_s(self.part(handle).topic, envelope.append_ns);
        let mut last = i64::MIN;
        let mut scratch = Vec::new();
        for record in batch::records(&bytes[ENVELOPE_LEN..total], &mut scratch).map_err(|_| damaged())? {
            match expiry_ns(record.map_err(|_| damaged())?.ttl_s, topic_ttl_s, envelope.append_ns) {
                0 => return Ok(None),
                at => last = last.max(at),
            }
        }
        Ok(Some(last))
    }
}

/// Adds what lies on disk alone from now on to a partition's figures.
pub(super) fn add_moved(
    part: &mut super::partition::Partition,
    live: u64,
    expired: u64,
    bytes: u64,
    append_ns: i64,
) {
    let moved = &mut part.moved;
    if moved.records == 0 {
        moved.oldest_ns = append_ns;
    }
    moved.records += live;
    moved.expired += expired;
    moved.bytes += bytes;
    moved.newest_ns = append_ns;
}
