//! What goes, and when: the oldest chunk at the bound of the memory tier, and what a topic's retention no longer covers.

use super::append::seconds;
use super::durable::Disk;
use super::partition::{Entry, NOT_PENDING};
use super::Log;
use crate::envelope::{Envelope, ENVELOPE_LEN};

/// The envelope at the start of bytes of the ring, and its length with the batch.
pub(super) fn parsed(bytes: &[u8]) -> (Envelope, usize) {
    Envelope::parse(bytes).ok().flatten().expect("the ring holds whole envelopes")
}

pub(super) fn base_offset(batch: &[u8]) -> u64 {
    u64::from_be_bytes(*batch.first_chunk().expect("a batch has a header"))
}

impl Log {
    /// Drops the oldest chunks until `size` bytes fit.
    ///
    /// Every chunk is looked at once: what may not be dropped moves to the head, packed, and is not looked at again. Its
    /// bound is half of the tier, so that at worst one chunk is allocated above the bound.
    pub(super) fn make_room(&mut self, size: usize) {
        for _ in 0..self.ring.sealed_count() {
            if !self.ring.must_evict(size) {
                break;
            }
            if !self.evict_oldest() {
                break; // what admits publishes bounds how much is kept
            }
        }
    }

    /// Takes the oldest chunk out of the ring; `false` when it must stay because the disk does not have it.
    pub(super) fn evict_oldest(&mut self) -> bool {
        let is_kept = |disk: &Disk| self.ring.oldest_end_lsn().is_none_or(|end| end > disk.evictable_lsn());
        if self.disk.as_ref().is_some_and(is_kept) {
            return false;
        }
        let Some((number, chunk)) = self.ring.evict() else { return false };
        let bytes = chunk.bytes();
        let mut at = 0;
        while at < bytes.len() {
            let (envelope, total) = parsed(&bytes[at..]);
            assert!(total > ENVELOPE_LEN && at + total <= bytes.len(), "the ring holds whole envelopes only");
            self.drop_batch(&envelope, total, number, bytes, at);
            at += total;
        }
        true
    }

    /// Drops the batch at `byte` of a chunk that left the ring.
    fn drop_batch(&mut self, envelope: &Envelope, total: usize, chunk: u32, chunk_bytes: &[u8], byte: usize) {
        let bytes = &chunk_bytes[byte..byte + total];
        let Some(topic) = self.topics.find_id(envelope.topic_id) else { return };
        let handle = self.topics.get(topic).parts.as_slice()[envelope.partition as usize];
        let base = base_offset(&bytes[ENVELOPE_LEN..]);
        let index = &self.parts[handle as usize].index;
        let at = index.find(base);
        let held = index
            .get(at)
            .is_some_and(|e| e.base == base && e.position.chunk == chunk && e.position.byte as usize == byte);
        if !held {
            return; // retired before
        }
        if self.disk.is_some() {
            // The disk has it: memory lets go of it, its offset stays readable.
            self.move_out(handle, envelope, total, &bytes[ENVELOPE_LEN..]);
            return;
        }
        if self.is_pinned(topic) {
            // It may not be dropped: it moves to the head of the ring with the same bytes.
            let position = self.ring.append(bytes.len(), |out| out.copy_from_slice(bytes));
            self.parts[handle as usize].index.relocate(base, position);
            return;
        }
        // Batches with lower offsets lie further on only where they moved while the topic had discard=new.
        for _ in 0..=at {
            let part = self.part(handle);
            let oldest = part.index.get(0).expect("so many are there").position;
            let (envelope, total, bytes) = if oldest.chunk == chunk {
                let bytes = &chunk_bytes[oldest.byte as usize..];
                let (envelope, total) = parsed(bytes);
                (envelope, total, bytes)
            } else {
                self.stored_at(oldest)
            };
            let rest = self.rest(handle, &envelope, &bytes[ENVELOPE_LEN..total], &(part.low..u64::MAX));
            let left = self.pop_oldest(handle, envelope.records_count, total, rest);
            self.counters.evicted_records += left;
        }
    }

    /// Takes the oldest batch out of a partition; gives how many of its records could be read, and its bytes.
    fn drop_oldest(&mut self, handle: u32) -> (u64, u64) {
        let part = self.part(handle);
        let entry = part.index.get(0).expect("the caller found it there");
        let (envelope, total, bytes) = self.stored_at(entry.position);
        let rest = self.rest(handle, &envelope, &bytes[ENVELOPE_LEN..total], &(part.low..u64::MAX));
        (self.pop_oldest(handle, envelope.records_count, total, rest), total as u64)
    }

    /// Applies a topic's retention to all its partitions.
    pub(super) fn retire(&mut self, topic: u32, now_ns: i64) {
        let handles = self.topics.get(topic).parts.as_slice().to_vec();
        for handle in handles {
            self.seal_part(handle);
            self.retire_part(handle, now_ns);
        }
    }

    pub(super) fn retire_part(&mut self, handle: u32, now_ns: i64) {
        let topic = self.parts[handle as usize].topic;
        let Some(config) = self.topics.get(topic).config.as_deref() else { return };
        let (age, bytes_max, count_max) =
            (config.retention_age_s, config.retention_bytes, config.retention_count);
        if self.part(handle).moved.records > 0 || self.part(handle).in_cloud().records > 0 {
            return; // the oldest lies on disk or in the cloud: `Log::overdue` has it looked up there
        }
        let pinned = self.is_pinned(topic);
        let kept_from = if count_max > 0 { self.part(handle).end.saturating_sub(count_max) } else { 0 };
        loop {
            let part = &self.parts[handle as usize];
            let Some(oldest) = part.index.get(0) else { break };
            let (envelope, total) = self.envelope_at(oldest);
            let end = oldest.base + u64::from(envelope.records_count);
            let too_old = age > 0 && now_ns - envelope.append_ns > seconds(age);
            let too_much = bytes_max > 0 && part.bytes > bytes_max && part.index.len() > 1;
            if !(too_old || too_much || end <= kept_from) {
                break;
            }
            self.counters.retired_records += self.drop_oldest(handle).0;
            if pinned {
                self.pinned_bytes -= total as u64;
            }
        }
        if kept_from > self.part(handle).low {
            self.counters.retired_records += self.raise_low(handle, kept_from);
            self.drop_oldest_if_empty(handle);
        }
    }

    /// Drops the oldest batches of a deleted topic, partition after partition, until it holds at most `bytes_max`.
    pub(super) fn trim(&mut self, topic: u32, bytes_max: u64) {
        let mut held = self.held_bytes(topic);
        for handle in self.topics.get(topic).parts.as_slice().to_vec() {
            while held > bytes_max && !self.part(handle).index.is_empty() {
                let (live, total) = self.drop_oldest(handle);
                held -= total;
                self.counters.evicted_records += live;
            }
        }
    }

    pub(super) fn envelope_at(&self, entry: Entry) -> (Envelope, usize) {
        let (envelope, total, _) = self.stored_at(entry.position);
        (envelope, total)
    }

    /// Once a second: lifetimes, retention by age, and deleted topics whose grace time is over.
    pub fn sweep(&mut self, now_ns: i64) {
        let now_ns = self.advance(now_ns);
        self.expire(now_ns);
        for topic in self.retained.clone() {
            self.retire(topic, now_ns);
        }
        let topics = &self.topics;
        self.retained.retain(|&t| {
            topics.get(t).deleted_ns == 0
                && topics.get(t).config.as_deref().is_some_and(super::topics::Config::has_retention)
        });
        let grace = seconds(self.setup.delete_grace_s);
        let is_over = |topic: &u32| now_ns - self.topics.get(*topic).deleted_ns > grace;
        let (over, hidden) = std::mem::take(&mut self.hidden).into_iter().partition(is_over);
        self.hidden = hidden;
        self.forget(over);
    }

    /// Forgets deleted topics. Their entries and partitions are there for new ones.
    fn forget(&mut self, topics: Vec<u32>) {
        let mut freed = Vec::new();
        for topic in topics {
            let handles = self.topics.get(topic).parts.as_slice().to_vec();
            for handle in handles {
                debug_assert_eq!(self.part(handle).pending, NOT_PENDING);
                self.counters.retired_records +=
                    self.retire_moved(handle, self.part(handle).memory_low(), 0, 0, 0);
                while !self.part(handle).index.is_empty() {
                    self.counters.retired_records += self.drop_oldest(handle).0;
                }
                self.raise_low(handle, self.part(handle).end);
                self.parts[handle as usize].producers = None;
            }
            self.forget_ttl(topic);
            self.note_forgotten(topic);
            freed.extend(self.topics.forget(topic).as_slice());
        }
        if !freed.is_empty() {
            self.keys.forget(&freed.iter().copied().collect());
            self.free_parts.extend(freed);
        }
    }
}
