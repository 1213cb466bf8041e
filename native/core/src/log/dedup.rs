//! Duplicate detection: idempotency keys and producer sequences.

use crate::problem::{Code, Problem};
use hashbrown::{HashMap, HashSet, HashTable};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use xxhash_rust::xxh3::xxh3_128;

/// What a publish under an idempotency key stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Hash of the key.
    pub key: u128,
    /// Partition handle.
    pub part: u32,
    /// Hash of key, headers and value.
    pub content: u64,
    /// Where the record lies.
    pub offset: u64,
    /// Append time, ms since the Unix epoch.
    pub append_ms: i64,
    /// When the key is forgotten, ns since the Unix epoch.
    pub until_ns: i64,
}

/// Idempotency keys of the node, each for its topic's window.
pub struct Keys {
    entries: HashTable<Remembered>,
    /// End of window, key and partition; topics differ in their windows, so insertion order is not enough.
    by_end: BinaryHeap<Reverse<(i64, u128, u32)>>,
    count_max: usize,
}

/// Hash of an idempotency key.
#[must_use]
pub fn key_hash(key: &[u8]) -> u128 {
    xxh3_128(key)
}

#[allow(clippy::cast_possible_truncation)] // the low half of a hash is a hash
fn table_hash(key: u128) -> u64 {
    key as u64
}

impl Keys {
    /// An empty table of at most `count_max` keys.
    #[must_use]
    pub fn new(count_max: usize) -> Self {
        Self { entries: HashTable::new(), by_end: BinaryHeap::new(), count_max }
    }

    /// Keys remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What was stored under this key in this partition, if it is still remembered.
    #[must_use]
    pub fn find(&self, key: u128, part: u32, now_ns: i64) -> Option<Remembered> {
        self.entries.find(table_hash(key), |e| e.key == key && e.part == part && e.until_ns > now_ns).copied()
    }

    /// What was stored under this key in any partition.
    #[must_use]
    pub fn find_anywhere(&self, key: u128, now_ns: i64) -> Option<Remembered> {
        self.entries.find(table_hash(key), |e| e.key == key && e.until_ns > now_ns).copied()
    }

    /// Makes sure that a new key can be remembered.
    ///
    /// # Errors
    /// `too_many_requests` at the bound: the window is never shortened.
    pub fn reserve(&mut self, now_ns: i64) -> Result<(), Problem> {
        self.reserve_many(1, now_ns)
    }

    /// [`Keys::reserve`] for several keys.
    ///
    /// # Errors
    /// As there.
    pub fn reserve_many(&mut self, count: usize, now_ns: i64) -> Result<(), Problem> {
        self.expire(now_ns);
        if self.entries.len() + count <= self.count_max {
            return Ok(());
        }
        let bound = self.count_max;
        Err(Problem::new(
            Code::TooManyRequests,
            format!("{bound} idempotency keys are remembered, dedup_keys_max is {bound}; retry after the window or publish without a key"),
        ))
    }

    /// Remembers a key for which [`Keys::reserve`] succeeded.
    pub fn insert(&mut self, entry: Remembered) {
        self.by_end.push(Reverse((entry.until_ns, entry.key, entry.part)));
        self.entries.insert_unique(table_hash(entry.key), entry, |e| table_hash(e.key));
    }

    /// Forgets the keys of partitions that are gone.
    pub fn forget(&mut self, parts: &HashSet<u32>) {
        if !self.entries.is_empty() {
            self.entries.retain(|entry| !parts.contains(&entry.part));
            self.by_end.retain(|Reverse((_, _, part))| !parts.contains(part));
        }
    }

    fn expire(&mut self, now_ns: i64) {
        while let Some(&Reverse((until, key, part))) = self.by_end.peek() {
            if until > now_ns {
                break;
            }
            self.by_end.pop();
            let same = |e: &Remembered| e.key == key && e.part == part && e.until_ns == until;
            if let Ok(slot) = self.entries.find_entry(table_hash(key), same) {
                slot.remove();
            }
        }
    }
}

/// Batches of one producer that are remembered, newest last (as many as Kafka remembers).
const WINDOW_BATCHES: usize = 5;
/// Producers remembered per partition; the one silent for longest goes.
pub const PRODUCERS_MAX: usize = 4096;

/// Numbers that a producer gives to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Random 63 bits.
    pub id: i64,
    /// Raised by a producer that takes over.
    pub epoch: i16,
    /// Number of the batch's first record.
    pub sequence: i32,
}

#[derive(Clone, Copy)]
struct Stored {
    sequence: i32,
    count: i32,
    base: u64,
    append_ms: i64,
}

struct State {
    epoch: i16,
    next: i32,
    used: u64,
    window: VecDeque<Stored>,
}

/// Producers of one partition.
#[derive(Default)]
pub struct Producers {
    states: HashMap<i64, State>,
    uses: u64,
}

/// What to do with a numbered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one: append it.
    New,
    /// It was stored before.
    Duplicate {
        /// Offset of its first record.
        base: u64,
        /// Its append time, ms since the Unix epoch.
        append_ms: i64,
    },
}

fn following(sequence: i32, count: i32) -> i32 {
    // Sequences wrap to 0 after 2^31 - 1, as in Kafka.
    sequence.checked_add(count).unwrap_or_else(|| sequence - (i32::MAX - count) - 1)
}

impl Producers {
    /// Judges a batch of `count` records by its numbers.
    ///
    /// # Errors
    /// `sequence_gap`, `sequence_too_old` or `producer_fenced`, each with the value expected.
    pub fn check(&self, producer: Producer, count: i32) -> Result<Verdict, Problem> {
        let Some(state) = self.states.get(&producer.id) else { return Ok(Verdict::New) };
        if producer.epoch < state.epoch {
            let detail =
                format!("producer epoch {} is below the newest one, {}", producer.epoch, state.epoch);
            return Err(Problem::new(Code::ProducerFenced, detail));
        }
        let gap = |next: i32| {
            let detail = format!("sequence {} is above the next one expected, {next}", producer.sequence);
            Err(Problem::new(Code::SequenceGap, detail))
        };
        if producer.epoch > state.epoch {
            return if producer.sequence == 0 { Ok(Verdict::New) } else { gap(0) };
        }
        if producer.sequence == state.next {
            return Ok(Verdict::New);
        }
        let known = state.window.iter().find(|b| b.sequence == producer.sequence && b.count == count);
        if let Some(batch) = known {
            return Ok(Verdict::Duplicate { base: batch.base, append_ms: batch.append_ms });
        }
        // Distances on a counter of 31 bits tell "ahead" from "behind": less than half the circle is ahead.
        if producer.sequence.wrapping_sub(state.next) & i32::MAX < 1 << 30 {
            return gap(state.next);
        }
        let detail = format!(
            "sequence {} lies before the remembered window, next is {}",
            producer.sequence, state.next
        );
        Err(Problem::new(Code::SequenceTooOld, detail))
    }

    /// Remembers a batch that [`Producers::check`] called new and that was appended at `base`.
    pub fn record(&mut self, producer: Producer, count: i32, base: u64, append_ms: i64) {
        if self.states.len() >= PRODUCERS_MAX && !self.states.contains_key(&producer.id) {
            let oldest = self.states.iter().min_by_key(|(_, s)| s.used).map(|(id, _)| *id);
            oldest.and_then(|id| self.states.remove(&id));
        }
        self.uses += 1;
        let uses = self.uses;
        let state = self.states.entry(producer.id).or_insert_with(|| State {
            epoch: producer.epoch,
            next: 0,
            used: uses,
            window: VecDeque::new(),
        });
        if state.epoch != producer.epoch {
            state.window.clear();
            state.epoch = producer.epoch;
        }
        state.used = uses;
        state.next = following(producer.sequence, count);
        if state.window.len() == WINDOW_BATCHES {
            state.window.pop_front();
        }
        state.window.push_back(Stored { sequence: producer.sequence, count, base, append_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(epoch: i16, sequence: i32) -> Producer {
        Producer { id: 9, epoch, sequence }
    }

    #[test]
    fn sequences_repeat_gap_and_fence() {
        let mut producers = Producers::default();
        producers.record(numbered(0, 0), 10, 100, 5);
        producers.record(numbered(0, 10), 5, 110, 6);
        assert_eq!(producers.check(numbered(0, 15), 1), Ok(Verdict::New));
        let first = Verdict::Duplicate { base: 100, append_ms: 5 };
        assert_eq!(producers.check(numbered(0, 0), 10), Ok(first));
        assert_eq!(producers.check(numbered(0, 16), 1).unwrap_err().code, Code::SequenceGap);
        assert_eq!(producers.check(numbered(0, 3), 2).unwrap_err().code, Code::SequenceTooOld);
        assert_eq!(producers.check(numbered(1, 0), 1), Ok(Verdict::New));
        producers.record(numbered(1, 0), 1, 115, 7);
        assert_eq!(producers.check(numbered(0, 15), 1).unwrap_err().code, Code::ProducerFenced);
    }

    #[test]
    fn sequences_wrap() {
        assert_eq!(following(i32::MAX, 1), 0);
        assert_eq!(following(i32::MAX - 1, 3), 1);
    }

    #[test]
    fn ahead_and_behind_are_told_across_the_wrap() {
        let mut producers = Producers::default();
        producers.record(numbered(0, i32::MAX - 3), 2, 0, 0);
        assert_eq!(producers.check(numbered(0, 3), 1).unwrap_err().code, Code::SequenceGap);
        producers.record(numbered(0, i32::MAX - 1), 4, 2, 0);
        assert_eq!(producers.check(numbered(0, 2), 1), Ok(Verdict::New));
        assert_eq!(producers.check(numbered(0, i32::MAX), 1).unwrap_err().code, Code::SequenceTooOld);
    }

    #[test]
    fn a_long_window_does_not_keep_keys_of_a_short_one() {
        let mut keys = Keys::new(2);
        for (name, until_ns) in [(b"a", 1000), (b"b", 10)] {
            keys.reserve(0).unwrap();
            let key = key_hash(name);
            keys.insert(Remembered { key, part: 0, content: 1, offset: 4, append_ms: 0, until_ns });
        }
        keys.reserve(10).unwrap();
        assert_eq!((keys.len(), keys.find_anywhere(key_hash(b"a"), 10).is_some()), (1, true));
    }

    #[test]
    fn keys_expire_with_their_window_and_refuse_at_the_bound() {
        let mut keys = Keys::new(1);
        let key = key_hash(b"k");
        let entry = Remembered { key, part: 3, content: 1, offset: 4, append_ms: 0, until_ns: 100 };
        keys.reserve(0).unwrap();
        keys.insert(entry);
        assert_eq!(keys.find(key, 3, 99), Some(entry));
        assert_eq!((keys.find(key, 2, 99), keys.find_anywhere(key, 99)), (None, Some(entry)));
        assert_eq!(keys.reserve(99).unwrap_err().code, Code::TooManyRequests);
        assert_eq!(keys.find(key, 3, 100), None);
        keys.reserve(100).unwrap();
        assert!(keys.is_empty());
    }
}
