//! One partition: its offsets and the index of the batches that the ring holds of it.

use crate::ring::Position;
use std::collections::VecDeque;

/// One batch in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Offset of the batch's first record.
    pub base: u64,
    /// Where its envelope begins.
    pub position: Position,
}

/// Batches of one partition by ascending base offset. One entry lies inline: a million topics with a message each
/// must not pay for a million deques.
#[derive(Default)]
pub enum Index {
    /// Nothing held.
    #[default]
    Empty,
    /// One batch.
    One(Entry),
    /// Two or more (or once two or more).
    Many(Box<VecDeque<Entry>>),
}

impl Index {
    /// Batches held.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::Many(entries) => entries.len(),
        }
    }

    /// Whether no batch is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `at`-th oldest batch.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Entry> {
        match self {
            Self::Empty => None,
            Self::One(entry) => (at == 0).then_some(*entry),
            Self::Many(entries) => entries.get(at).copied(),
        }
    }

    /// Adds the newest batch.
    pub fn push(&mut self, entry: Entry) {
        debug_assert!(self
            .len()
            .checked_sub(1)
            .and_then(|at| self.get(at))
            .is_none_or(|last| last.base < entry.base));
        match self {
            Self::Empty => *self = Self::One(entry),
            Self::One(first) => *self = Self::Many(Box::new(VecDeque::from([*first, entry]))),
            Self::Many(entries) => entries.push_back(entry),
        }
    }

    /// Drops the oldest batch.
    pub fn pop(&mut self) -> Option<Entry> {
        match self {
            Self::Empty => None,
            Self::One(entry) => {
                let entry = *entry;
                *self = Self::Empty;
                Some(entry)
            }
            Self::Many(entries) => {
                let entry = entries.pop_front();
                if entries.is_empty() {
                    *self = Self::Empty;
                }
                entry
            }
        }
    }

    /// Drops the batches with these base offsets, which ascend.
    pub fn remove(&mut self, bases: &[u64]) {
        let gone = |entry: &Entry| bases.binary_search(&entry.base).is_ok();
        match self {
            Self::Empty => {}
            Self::One(entry) => {
                if gone(entry) {
                    *self = Self::Empty;
                }
            }
            Self::Many(entries) => {
                let leading = entries.iter().take_while(|entry| gone(entry)).count();
                entries.drain(..leading);
                if leading < bases.len() {
                    entries.retain(|entry| !gone(entry));
                }
                if entries.is_empty() {
                    *self = Self::Empty;
                }
            }
        }
    }

    /// Index of the batch that holds `offset`, or of the next one after it.
    #[must_use]
    pub fn find(&self, offset: u64) -> usize {
        let after = match self {
            Self::Empty => 0,
            Self::One(entry) => usize::from(entry.base <= offset),
            Self::Many(entries) => entries.partition_point(|e| e.base <= offset),
        };
        after.saturating_sub(1)
    }

    /// Tells where the batch with this base offset now lies.
    pub fn relocate(&mut self, base: u64, position: Position) {
        let at = self.find(base);
        let entry = match self {
            Self::Empty => None,
            Self::One(entry) => Some(entry),
            Self::Many(entries) => entries.get_mut(at),
        };
        if let Some(entry) = entry.filter(|e| e.base == base) {
            entry.position = position;
        }
    }
}

/// No pending batch in this tick.
pub const NOT_PENDING: u32 = u32::MAX;

/// What of a partition lies on disk alone, or in the cloud alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Records that can be read.
    pub records: u64,
    /// Records whose lifetime is over, counted from the low offset on.
    pub expired: u64,
    /// Bytes of the batches, envelopes included.
    pub bytes: u64,
    /// Append time of the oldest batch, ns since the Unix epoch.
    pub oldest_ns: i64,
    /// Append time of the newest batch.
    pub newest_ns: i64,
}

impl Moved {
    /// Adds what lies in this tier alone from now on, with its earliest and its latest append time.
    pub(super) fn add(&mut self, records: u64, expired: u64, bytes: u64, times: (i64, i64)) {
        if self.records == 0 {
            self.oldest_ns = times.0;
        }
        self.records += records;
        self.expired += expired;
        self.bytes += bytes;
        self.newest_ns = times.1;
    }

    /// So many more records are over, as many as there are; gives how many, and the bytes of a tier that is empty by that.
    pub(super) fn expire(&mut self, count: u64) -> (u64, u64) {
        let count = count.min(self.records);
        self.records -= count;
        self.expired += count;
        (count, if self.records == 0 { std::mem::take(&mut self.bytes) } else { 0 })
    }
}

/// What of a partition lies in the cloud alone: all of it up to an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cold {
    /// How much it is.
    pub held: Moved,
    /// Offset after the last record there; above the low offset.
    pub end: u64,
}

/// State of one partition. Kept small: there are as many as topics.
pub struct Partition {
    /// Index of its topic in the table.
    pub topic: u32,
    /// Number inside the topic.
    pub number: u16,
    /// Its slot.
    pub slot: u16,
    /// Batch being built in this tick, or [`NOT_PENDING`].
    pub pending: u32,
    /// Readers that want to be told of new records.
    pub watchers: u32,
    /// First offset that may still be read.
    pub low: u64,
    /// Next offset to assign.
    pub end: u64,
    /// Offset after the last record that readers may see: it has reached the topic's level.
    pub visible: u64,
    /// Bytes of its batches in all tiers, envelopes included.
    pub bytes: u64,
    /// What of that is on disk alone.
    pub moved: Moved,
    /// What of that is in the cloud alone; most partitions have nothing there.
    pub cold: Option<Box<Cold>>,
    /// Its batches in the ring.
    pub index: Index,
    /// Producers with sequences, made at first need.
    pub producers: Option<Box<super::dedup::Producers>>,
}

impl Partition {
    /// Offset after what is in the cloud alone; 0 when nothing is.
    #[must_use]
    pub fn cold_end(&self) -> u64 {
        self.cold.as_ref().map_or(0, |cold| cold.end)
    }

    /// What is in the cloud alone.
    #[must_use]
    pub fn in_cloud(&self) -> Moved {
        self.cold.as_ref().map_or_else(Moved::default, |cold| cold.held)
    }

    /// First offset that memory holds; what lies below it is on disk or in the cloud, if it is retained.
    #[must_use]
    pub fn memory_low(&self) -> u64 {
        self.index.get(0).map_or(self.end, |e| e.base.max(self.low))
    }

    /// An empty partition.
    #[must_use]
    pub fn new(topic: u32, number: u16, slot: u16) -> Self {
        Self {
            topic,
            number,
            slot,
            pending: NOT_PENDING,
            watchers: 0,
            low: 0,
            end: 0,
            visible: 0,
            bytes: 0,
            moved: Moved::default(),
            cold: None,
            index: Index::Empty,
            producers: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(base: u64) -> Entry {
        Entry { base, position: Position { chunk: 0, byte: u32::try_from(base).unwrap() } }
    }

    #[test]
    fn index_finds_the_batch_that_holds_an_offset() {
        let mut index = Index::default();
        assert_eq!((index.find(0), index.len()), (0, 0));
        for base in [10, 20, 30] {
            index.push(entry(base));
            assert_eq!(index.find(5), 0);
        }
        assert_eq!([9, 10, 19, 20, 35].map(|o| index.find(o)), [0, 0, 0, 1, 2]);
        index.relocate(20, Position { chunk: 9, byte: 1 });
        assert_eq!(index.get(1).unwrap().position.chunk, 9);
        assert_eq!(index.pop(), Some(entry(10)));
        assert_eq!(index.len(), 2);
        index.pop();
        assert_eq!(index.pop(), Some(entry(30)));
        assert!(index.is_empty() && index.pop().is_none());
    }
}
