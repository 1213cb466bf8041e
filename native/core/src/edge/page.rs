//! Batches of one partition that came from disk for a reader: what memory no longer holds.

use crate::batch;
use crate::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH};
use crate::log::Batch;

/// What a reader needs from disk next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Id of the topic.
    pub topic_id: u64,
    /// Partition number.
    pub partition: u16,
    /// First offset wanted.
    pub offset: u64,
    /// Only from this append time on, ns since the Unix epoch; 0 = from the offset.
    pub since_ns: i64,
    /// Offset from which memory holds the partition.
    pub end: u64,
}

struct Entry {
    base: u64,
    envelope: Envelope,
    at: usize,
    length: usize,
}

/// Verified batches of one partition, in order; what they do not cover of `[first, end)` holds no record.
pub struct Page {
    topic_id: u64,
    partition: u16,
    first: u64,
    end: u64,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Offsets that cannot be read any more because their bytes are damaged.
    gaps: Vec<(u64, u64)>,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topic_id, partition, first, end, .. } = self;
        write!(f, "Page({topic_id:x}-{partition} {first}..{end})")
    }
}

impl Page {
    /// A page from whole envelopes with their batches, all of this partition and in order.
    ///
    /// # Errors
    /// Why an envelope or batch is not what the index said: a checksum that does not hold, another partition.
    pub fn new(want: &Want, end: u64, bytes: Vec<u8>, gaps: Vec<(u64, u64)>) -> Result<Self, String> {
        let mut entries = Vec::new();
        let mut inflated = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let found = Envelope::check(&bytes[at..]).map_err(|error| error.to_string())?;
            let (envelope, length) = found.ok_or_else(|| format!("envelope at byte {at} is incomplete"))?;
            if (envelope.kind, envelope.topic_id, envelope.partition)
                != (KIND_BATCH, want.topic_id, want.partition)
            {
                return Err(format!("envelope at byte {at} is of another partition"));
            }
            let stored = &bytes[at + ENVELOPE_LEN..at + length];
            let verified = batch::verify_with(stored, &mut inflated).map_err(|error| error.to_string())?;
            if verified.is_none_or(|v| v.length != stored.len() || v.count() != envelope.records_count) {
                return Err(format!("envelope at byte {at} and its batch do not agree"));
            }
            let base = u64::from_be_bytes(*stored.first_chunk().ok_or("a batch without header")?);
            entries.push(Entry { base, envelope, at: at + ENVELOPE_LEN, length: length - ENVELOPE_LEN });
            at += length;
        }
        let (topic_id, partition) = (want.topic_id, want.partition);
        Ok(Self { topic_id, partition, first: want.offset, end, bytes, entries, gaps })
    }

    /// Whether the record at `offset` of this partition, or the next one, is here.
    #[must_use]
    pub fn covers(&self, topic_id: u64, partition: u16, offset: u64) -> bool {
        (self.topic_id, self.partition) == (topic_id, partition) && self.first <= offset && offset < self.end
    }

    /// Offset after what the page covers.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The first offset that has a record, or had one before it was damaged, for a read from a time on.
    #[must_use]
    pub fn first_record(&self) -> u64 {
        let record = self.entries.first().map_or(self.end, |e| e.base.max(self.first));
        self.gap_after(self.first).map_or(record, |gap| gap.min(record))
    }

    /// The damaged range that holds `offset`.
    #[must_use]
    pub fn gap_at(&self, offset: u64) -> Option<(u64, u64)> {
        self.gaps.iter().copied().find(|(from, to)| (*from..*to).contains(&offset))
    }

    /// Where the next damaged range at or above `offset` begins.
    #[must_use]
    pub fn gap_after(&self, offset: u64) -> Option<u64> {
        self.gaps.iter().map(|(from, _)| *from).filter(|from| *from >= offset).min()
    }

    /// Its batches from the one that holds `offset` on, up to the next damaged range.
    pub fn batches(&self, offset: u64) -> impl Iterator<Item = Batch<'_>> + '_ {
        let stop = self.gap_after(offset);
        self.entries
            .iter()
            .map(|e| Batch::from_disk(e.envelope, e.base, &self.bytes[e.at..e.at + e.length]))
            .skip_while(move |batch| batch.end() <= offset)
            .take_while(move |batch| stop.is_none_or(|stop| batch.base < stop))
    }
}
