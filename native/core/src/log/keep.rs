//! What is kept of what memory has let go: how much it is, what retention no longer covers of it, what may be cut away.
//!
//! In: batches as memory lets go of them, and what a look at the disk or the cloud found. Out: figures of each tier, low
//! offsets to be written down, and which stored batches nobody needs any more. Invariants: a readable record counts in one
//! tier; the low offset never falls; a batch is not needed once all of it lies below the low offset, or its topic is
//! forgotten.

use super::append::seconds;
use super::lifetimes::expiry_ns;
use super::retain::base_offset;
use super::Log;
use crate::batch;
use crate::envelope::{Envelope, ENVELOPE_LEN};
use crate::problem::{Code, Problem};

/// A partition of which retention no longer covers the oldest that memory has let go of.
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
    /// Offset after what is in the cloud alone: the oldest; 0 when nothing is.
    pub cold_end: u64,
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
        part.moved.add(live, held - live, total as u64, (envelope.append_ns, envelope.append_ns));
        if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
            self.moved_records += live;
        }
    }

    /// Of what memory has let go, `count` more records of a partition are over. They are taken to be the oldest.
    pub(super) fn expire_moved_out(&mut self, handle: u32, count: u64) -> u64 {
        let part = &mut self.parts[handle as usize];
        let (cold, cold_bytes) = part.cold.as_mut().map_or((0, 0), |cold| cold.held.expire(count));
        let (moved, moved_bytes) = part.moved.expire(count - cold);
        part.bytes -= cold_bytes + moved_bytes;
        if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
            self.moved_records -= moved;
            self.cold_records -= cold;
        }
        cold + moved
    }

    /// Partitions of which the oldest that memory has let go of is to go, at most `count_max`. A call goes on where the one
    /// before it stopped: what is to go and cannot yet, as a part of a range in the cloud, keeps nobody else waiting.
    pub fn overdue(&mut self, count_max: usize, now_ns: i64) -> Vec<Overdue> {
        let (mut found, count) = (Vec::new(), self.retained.len());
        let (first, first_part) = self.overdue_from;
        for step in 0..=count {
            let at = (first + step) % count.max(1);
            let Some(&index) = self.retained.get(at) else { break };
            let parts = self.topics.get(index).parts.as_slice();
            let numbers = match step {
                0 => first_part.min(parts.len())..parts.len(),
                last if last == count => 0..first_part.min(parts.len()),
                _ => 0..parts.len(),
            };
            for number in numbers {
                let Some(due) = self.overdue_part(parts[number], now_ns) else { continue };
                if found.len() == count_max {
                    self.overdue_from = (at, number);
                    return found;
                }
                found.push(due);
            }
        }
        found
    }

    fn overdue_part(&self, handle: u32, now_ns: i64) -> Option<Overdue> {
        let part = self.part(handle);
        let topic = self.topics.get(part.topic);
        let config = topic.config.as_deref().filter(|_| topic.deleted_ns == 0)?;
        let oldest = [part.in_cloud(), part.moved].into_iter().find(|held| held.records > 0)?;
        let over = |have: u64, bound: u64| if bound > 0 { have.saturating_sub(bound) } else { 0 };
        let age = config.retention_age_s;
        let before_ns = if age > 0 { now_ns.saturating_sub(seconds(age)) } else { i64::MIN };
        let bytes = over(part.bytes, config.retention_bytes);
        let records = over(self.readable(handle), config.retention_count);
        if oldest.oldest_ns >= before_ns && bytes == 0 && records == 0 {
            return None;
        }
        // What is over is the oldest, as a rule, and counts for nothing.
        let expired = part.cold.as_ref().map_or(part.moved.expired, |cold| cold.held.expired);
        Some(Overdue {
            topic_id: topic.id,
            partition: part.number,
            low: part.low,
            end: part.memory_low(),
            before_ns,
            bytes,
            records: if records > 0 { records + expired } else { 0 },
            keeps_last: part.index.is_empty(),
            cold_end: part.cold_end(),
        })
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

    /// Raises the low offset over what memory has let go; gives how many records left by that could still be read.
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
        let Some(cold) = part.cold.as_deref().copied() else {
            return self.retire_tier(handle, low, records, bytes, oldest_ns);
        };
        if low < cold.end {
            return self.retire_tier(handle, low, records, bytes, oldest_ns);
        }
        // All of it in the cloud goes, then the rest on disk.
        let left = self.retire_tier(handle, cold.end, 0, 0, 0);
        let (records, bytes) =
            (records.saturating_sub(cold.held.records), bytes.saturating_sub(cold.held.bytes));
        left + self.retire_tier(handle, low, records, bytes, oldest_ns)
    }

    /// The same inside the oldest tier: the cloud while it has something of the partition, else the disk.
    fn retire_tier(&mut self, handle: u32, low: u64, records: u64, bytes: u64, oldest_ns: i64) -> u64 {
        let part = self.part(handle);
        if low <= part.low {
            return 0;
        }
        let is_cold = part.cold.is_some();
        let (held, end) =
            if is_cold { (part.in_cloud(), part.cold_end()) } else { (part.moved, part.memory_low()) };
        let (span, is_all) = (low - part.low, low == end);
        let (records, over) = (records.min(span), self.lifetimes.over(handle));
        // Exact when all of it goes; else the records that are over are taken to be the oldest.
        let dead = if is_all { held.expired } else { records.min(held.expired) };
        let live = if is_all { held.records } else { records - dead }.min(held.records);
        let live = live.max(span.saturating_sub(over)).min(span);
        let bytes = if is_all { held.bytes } else { bytes.min(held.bytes) };
        let counted = live.min(held.records);
        let has_dates = self.topics.get(part.topic).config.as_deref().is_some_and(|c| c.ttl_s > 0);
        let part = &mut self.parts[handle as usize];
        part.low = low;
        part.bytes -= bytes;
        let held = part.cold.as_mut().map_or(&mut part.moved, |cold| &mut cold.held);
        held.bytes -= bytes;
        held.records -= counted;
        held.expired -= dead;
        held.oldest_ns = oldest_ns;
        if has_dates && !(is_all && (!is_cold || part.moved.records == 0)) {
            self.lifetimes.forgo(handle, counted);
        }
        if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
            *(if is_cold { &mut self.cold_records } else { &mut self.moved_records }) -= counted;
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
        let passed = part.cold.take_if(|cold| cold.end <= part.low);
        if part.moved.records == 0 && part.cold.is_none() {
            part.moved.expired = 0;
        }
        if let Some(cold) = passed {
            part.bytes -= cold.held.bytes;
            if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
                self.cold_records -= cold.held.records;
            }
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
            self.parts[handle as usize].cold = None;
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
