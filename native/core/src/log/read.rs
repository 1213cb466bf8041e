//! Reading: where a read starts, and the stored batches from an offset on.

use super::lifetimes::expiry_ns;
use super::partition::Entry;
use super::{Counters, Log};
use crate::arena::Slice;
use crate::envelope::{Envelope, ENVELOPE_LEN};

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest record that is retained.
    Earliest,
    /// What comes next.
    Latest,
    /// This offset.
    Offset(u64),
    /// The first record appended at or after this time, ns since the Unix epoch.
    Time(i64),
}

/// One stored batch.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// Its envelope.
    pub envelope: Envelope,
    /// Offset of its first record.
    pub base: u64,
    /// RecordBatch v2 bytes.
    pub bytes: &'a [u8],
    /// Where memory holds it; `None` when it came from disk.
    entry: Option<Entry>,
}

impl<'a> Batch<'a> {
    /// A batch that was read from disk and verified.
    #[must_use]
    pub fn from_disk(envelope: Envelope, base: u64, bytes: &'a [u8]) -> Self {
        Self { envelope, base, bytes, entry: None }
    }

    /// Offset after its last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base + u64::from(self.envelope.records_count)
    }
}

/// One record by value.
pub struct Found {
    /// Payload.
    pub value: Vec<u8>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Media type.
    pub content_type: Option<String>,
    /// The producer's time, ms since the Unix epoch.
    pub timestamp_ms: i64,
    /// Its own lifetime, or 0.
    pub ttl_s: u32,
    /// Append time, ns since the Unix epoch.
    pub append_ns: i64,
}

impl Log {
    /// One record, or `None` when it is not there or its lifetime is over.
    #[must_use]
    pub fn find(&self, handle: u32, offset: u64, now_ns: i64) -> Option<Found> {
        if offset < self.part(handle).low {
            return None;
        }
        let batch = self.batches(handle, offset).next()?;
        self.found_in(self.part(handle).topic, &batch, offset, now_ns)
    }

    /// The record at `offset` in a batch of a topic; `None` when it is not there or its lifetime is over.
    #[must_use]
    pub fn found_in(&self, topic: u32, batch: &Batch<'_>, offset: u64, now_ns: i64) -> Option<Found> {
        let mut scratch = Vec::new();
        let records = crate::batch::records(batch.bytes, &mut scratch).ok()?;
        let record = records.flatten().find(|r| u64::try_from(r.offset) == Ok(offset))?;
        let ttl_s = record.ttl_s.unwrap_or_default();
        let append_ns = batch.envelope.append_ns;
        let topic_ttl_s = self.topic_ttl_s(topic, append_ns);
        let expiry_ns = expiry_ns(record.ttl_s, topic_ttl_s, append_ns);
        if expiry_ns != 0 && expiry_ns <= now_ns {
            return None;
        }
        Some(Found {
            value: record.value.unwrap_or_default().to_vec(),
            key: record.key.map(<[u8]>::to_vec),
            headers: record.headers.map(|(n, v)| (n.to_vec(), v.to_vec())).collect(),
            content_type: record.content_type.map(str::to_owned),
            timestamp_ms: record.timestamp_ms,
            ttl_s,
            append_ns,
        })
    }

    /// Records that can be read: appended less dropped, expired and those of deleted topics. As of [`Log::expire`].
    #[must_use]
    pub fn records_held(&self) -> u64 {
        let Counters { records, restored_records, evicted_records, retired_records, expired_records, .. } =
            self.counters;
        records + restored_records - evicted_records - retired_records - expired_records - self.hidden_records
    }

    /// First offset of a read. What was appended in this tick is sealed first, so everybody reads their own writes.
    pub fn resolve(&mut self, handle: u32, start: Start) -> u64 {
        self.seal_part(handle);
        let part = self.part(handle);
        match start {
            Start::Earliest => part.low,
            Start::Latest => part.end,
            Start::Offset(offset) => offset,
            Start::Time(ns) => self.first_since(handle, ns),
        }
    }

    /// Makes what was appended to a partition in this tick visible.
    pub fn settle(&mut self, handle: u32) {
        self.seal_part(handle);
    }

    /// Whether a topic is gone for readers that knew it by this id.
    #[must_use]
    pub fn is_deleted(&self, topic: u32, id: u64) -> bool {
        let entry = self.topics.get(topic);
        entry.deleted_ns != 0 || entry.id != id
    }

    /// `ns` when the first record since then may have left memory, else 0.
    #[must_use]
    pub fn time_on_disk(&self, handle: u32, ns: i64) -> i64 {
        let part = self.part(handle);
        let is_whole = self.disk.is_none() || part.low >= part.memory_low();
        let oldest = part.index.get(0).map(|entry| self.envelope_at(entry).0.append_ns);
        if is_whole || oldest.is_some_and(|oldest| oldest < ns) {
            0
        } else {
            ns.max(1)
        }
    }

    /// Offset in memory of the first record appended at or after `ns`.
    #[must_use]
    pub fn first_since(&self, handle: u32, ns: i64) -> u64 {
        let part = self.part(handle);
        let (mut low, mut high) = (0, part.index.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let entry = part.index.get(middle).expect("inside the index");
            if self.envelope_at(entry).0.append_ns < ns {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        part.index.get(low).map_or(part.end, |e| e.base.max(part.low))
    }

    /// Stored batches of a partition from the one that holds `offset` on, oldest first. The first may begin below it.
    pub fn batches(&self, handle: u32, offset: u64) -> impl Iterator<Item = Batch<'_>> + '_ {
        let part = self.part(handle);
        let first = part.index.find(offset);
        (first..part.index.len())
            .map(move |at| self.batch(part.index.get(at).expect("inside the index")))
            .take_while(move |batch| batch.base < part.visible)
            .skip_while(move |batch| batch.end() <= offset)
    }

    fn batch(&self, entry: Entry) -> Batch<'_> {
        let (envelope, total, bytes) = self.stored_at(entry.position);
        Batch { envelope, base: entry.base, bytes: &bytes[ENVELOPE_LEN..total], entry: Some(entry) }
    }

    /// A view of a batch's bytes in memory that outlives the log's hold on them.
    #[must_use]
    pub fn lease(&self, batch: &Batch<'_>) -> Option<Slice> {
        let whole = self.ring.slice(batch.entry?.position, ENVELOPE_LEN + batch.bytes.len())?;
        Some(whole.sub(ENVELOPE_LEN..ENVELOPE_LEN + batch.bytes.len()))
    }

    /// Oldest and newest append time of what a partition has in memory, ns since the Unix epoch.
    #[must_use]
    pub fn memory_times(&self, handle: u32) -> Option<(i64, i64)> {
        let index = &self.part(handle).index;
        let last = index.get(index.len().checked_sub(1)?)?;
        Some((self.envelope_at(index.get(0)?).0.append_ns, self.envelope_at(last).0.append_ns))
    }

    /// Oldest and newest append time of a partition, ns since the Unix epoch.
    #[must_use]
    pub fn time_range(&self, handle: u32) -> Option<(i64, i64)> {
        let part = self.part(handle);
        let left = [part.in_cloud(), part.moved].into_iter().filter(|held| held.records > 0);
        let left = left.map(|held| (held.oldest_ns, held.newest_ns));
        left.chain(self.memory_times(handle)).reduce(|(oldest, _), (_, newest)| (oldest, newest))
    }
}
