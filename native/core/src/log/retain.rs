//! What goes, and when: the oldest chunk at the bound of the memory tier, and what a topic's retention no longer covers.

use super::append::seconds;
use super::durable::Disk;
use super::partition::{Entry, Index};
use super::Log;
use crate::envelope::{Envelope, ENVELOPE_LEN};

/// The envelope at the start of bytes of the ring, and its length with the batch.
pub(super) fn parsed(bytes: &[u8]) -> (Envelope, usize) {
    Envelope::parse(bytes).ok().flatten().expect("the ring holds whole envelopes")
}

fn base_offset(batch: &[u8]) -> u64 {
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
            self.drop_batch(&envelope, &bytes[at..at + total], number, at);
            at += total;
        }
        true
    }

    fn drop_batch(&mut self, envelope: &Envelope, bytes: &[u8], chunk: u32, byte: usize) {
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
            self.parts[handle as usize].index.pop();
            self.counters.moved_records += u64::from(envelope.records_count);
            return;
        }
        if self.is_pinned(topic) {
            // It may not be dropped: it moves to the head of the ring with the same bytes.
            let position = self.ring.append(bytes.len(), |out| out.copy_from_slice(bytes));
            self.parts[handle as usize].index.relocate(base, position);
            return;
        }
        // Batches with lower offsets lie further on only where they moved while the topic had discard=new.
        let moved: usize = (0..at).filter_map(|i| index.get(i)).map(|entry| self.envelope_at(entry).1).sum();
        let part = &mut self.parts[handle as usize];
        let before = part.low;
        for _ in 0..=at {
            part.index.pop();
        }
        let next = base + u64::from(envelope.records_count);
        part.low = part.index.get(0).map_or(next, |e| e.base).max(part.low);
        self.counters.evicted_records += part.low - before;
        part.bytes -= (moved + bytes.len()) as u64;
    }

    /// Applies a topic's retention to all its partitions.
    pub(super) fn retire(&mut self, topic: u32, now_ns: i64) {
        let handles = self.topics.get(topic).parts.as_slice().to_vec();
        for handle in handles {
            self.retire_part(handle, now_ns);
        }
    }

    pub(super) fn retire_part(&mut self, handle: u32, now_ns: i64) {
        let topic = self.parts[handle as usize].topic;
        let Some(config) = self.topics.get(topic).config.as_deref() else { return };
        let (age, bytes_max, count_max) =
            (config.retention_age_s, config.retention_bytes, config.retention_count);
        let pinned = self.is_pinned(topic);
        let before = self.parts[handle as usize].low;
        if count_max > 0 {
            let part = &mut self.parts[handle as usize];
            part.low = part.low.max(part.end.saturating_sub(count_max));
        }
        loop {
            let part = &self.parts[handle as usize];
            let Some(oldest) = part.index.get(0) else { break };
            let (envelope, total) = self.envelope_at(oldest);
            let end = oldest.base + u64::from(envelope.records_count);
            let too_old = age > 0 && now_ns - envelope.append_ns > seconds(age);
            let too_much = bytes_max > 0 && part.bytes > bytes_max && part.index.len() > 1;
            if !(too_old || too_much || end <= part.low) {
                break;
            }
            let part = &mut self.parts[handle as usize];
            part.index.pop();
            part.bytes -= total as u64;
            part.low = part.low.max(end);
            if pinned {
                self.pinned_bytes -= total as u64;
            }
        }
        self.counters.retired_records += self.parts[handle as usize].low - before;
    }

    /// Drops the oldest batches of a deleted topic, partition after partition, until it holds at most `bytes_max`.
    pub(super) fn trim(&mut self, topic: u32, bytes_max: u64) {
        let mut held = self.held_bytes(topic);
        for handle in self.topics.get(topic).parts.as_slice().to_vec() {
            while held > bytes_max {
                let Some(oldest) = self.parts[handle as usize].index.get(0) else { break };
                let (envelope, total) = self.envelope_at(oldest);
                let part = &mut self.parts[handle as usize];
                let before = part.low;
                part.index.pop();
                part.bytes -= total as u64;
                part.low = part.low.max(oldest.base + u64::from(envelope.records_count));
                held -= total as u64;
                self.counters.evicted_records += part.low - before;
            }
        }
    }

    pub(super) fn envelope_at(&self, entry: Entry) -> (Envelope, usize) {
        let chunk = self.ring.chunk(entry.position.chunk).expect("indexed batches are held");
        let bytes = &chunk.bytes()[entry.position.byte as usize..];
        parsed(bytes)
    }

    /// Once a second: retention by age, and deleted topics whose grace time is over.
    pub fn sweep(&mut self, now_ns: i64) {
        let now_ns = self.last_ns.max(now_ns);
        for topic in self.retained.clone() {
            self.retire(topic, now_ns);
        }
        let topics = &self.topics;
        self.retained.retain(|&t| {
            topics.get(t).deleted_ns == 0
                && topics.get(t).config.as_deref().is_some_and(super::topics::Config::has_retention)
        });
        let grace = seconds(self.setup.delete_grace_s);
        let over: Vec<u32> =
            self.hidden.iter().copied().filter(|&t| now_ns - self.topics.get(t).deleted_ns > grace).collect();
        for topic in over {
            self.hidden.retain(|&t| t != topic);
            let handles = self.topics.get(topic).parts.as_slice().to_vec();
            for handle in handles {
                let part = &mut self.parts[handle as usize];
                part.index = Index::Empty;
                part.producers = None;
                self.counters.retired_records += part.end - part.low;
                part.low = part.end;
                part.bytes = 0;
            }
            self.topics.forget(topic);
        }
    }
}
