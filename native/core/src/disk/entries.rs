//! Entries of the sections 1 and 2 of a window's block, looked up where they lie.
//!
//! The value to open is the one with the greatest key <= the wanted one (of the same section; the first of the section
//! when there is none). What is wanted may begin in the next value: every lookup says whether to go on there.
use super::index::{open_sized, Section, BODY_BYTES_MAX};
use super::{i64_at, u16_at, u32_at, u64_at, Damage};

/// Bytes of an entry of section 1.
pub(super) const PARTITION_ENTRY_LEN: usize = 40;
/// Bytes of an entry of section 2.
pub(super) const SLOT_ENTRY_LEN: usize = 24;
/// Entries of the longest value of section 1.
pub(super) const PARTITION_ENTRIES_MAX: usize = BODY_BYTES_MAX / PARTITION_ENTRY_LEN;
/// Entries of the longest value of section 2.
pub(super) const SLOT_ENTRIES_MAX: usize = BODY_BYTES_MAX / SLOT_ENTRY_LEN;

/// One batch, as section 1 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEntry {
    /// The topic.
    pub topic_id: u64,
    /// Offset of the first record.
    pub base: u64,
    /// Append time, ns since the Unix epoch.
    pub append_ns: i64,
    /// Position of the envelope, counted from the window's first.
    pub lsn_rel: u32,
    /// Bytes of envelope and batch.
    pub length: u32,
    /// Records in the batch.
    pub records: u32,
    /// The partition.
    pub partition: u16,
    /// Its slot.
    pub slot: u16,
}

impl PartitionEntry {
    /// First offset after the batch.
    pub fn end(&self) -> u64 {
        self.base.saturating_add(u64::from(self.records))
    }

    pub(super) fn write(&self, out: &mut [u8]) {
        out[0..8].copy_from_slice(&self.topic_id.to_le_bytes());
        out[8..16].copy_from_slice(&self.base.to_le_bytes());
        out[16..24].copy_from_slice(&self.append_ns.to_le_bytes());
        out[24..28].copy_from_slice(&self.lsn_rel.to_le_bytes());
        out[28..32].copy_from_slice(&self.length.to_le_bytes());
        out[32..36].copy_from_slice(&self.records.to_le_bytes());
        out[36..38].copy_from_slice(&self.partition.to_le_bytes());
        out[38..40].copy_from_slice(&self.slot.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        Self {
            topic_id: u64_at(bytes, 0),
            base: u64_at(bytes, 8),
            append_ns: i64_at(bytes, 16),
            lsn_rel: u32_at(bytes, 24),
            length: u32_at(bytes, 28),
            records: u32_at(bytes, 32),
            partition: u16_at(bytes, 36),
            slot: u16_at(bytes, 38),
        }
    }
}

/// One value of section 1 whose checksum holds.
#[derive(Clone, Copy)]
pub struct PartitionEntries<'a> {
    body: &'a [u8],
    count: usize,
}

impl<'a> PartitionEntries<'a> {
    /// Verifies the value; it has one entry at least.
    pub fn open(value: &'a [u8]) -> Result<Self, Damage> {
        let (count, body) = open_sized(value, Section::Partitions, PARTITION_ENTRY_LEN)?;
        Ok(Self { body, count })
    }

    /// Entries inside.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.count
    }

    /// The entry at `index`, which must be below [`Self::len`].
    pub fn get(&self, index: usize) -> PartitionEntry {
        PartitionEntry::read(&self.body[index * PARTITION_ENTRY_LEN..])
    }

    /// The batches of a partition from the one that holds `offset` on, or that follows it.
    ///
    /// They end when their bytes would exceed `bytes_max`; one is given at least. The flag: the value ended before the
    /// partition did, so more may follow in the next one.
    pub fn find(
        &self,
        topic_id: u64,
        partition: u16,
        offset: u64,
        bytes_max: u64,
    ) -> (Vec<PartitionEntry>, bool) {
        let start = partition_point(self.count, |at| {
            let entry = self.get(at);
            (entry.topic_id, entry.partition) < (topic_id, partition)
                || ((entry.topic_id, entry.partition) == (topic_id, partition) && entry.end() <= offset)
        });
        self.take(start, topic_id, partition, bytes_max)
    }

    /// The batches of a partition that were appended at `since_ns` or later; as [`Self::find`].
    pub fn find_since(
        &self,
        topic_id: u64,
        partition: u16,
        since_ns: i64,
        bytes_max: u64,
    ) -> (Vec<PartitionEntry>, bool) {
        let start = partition_point(self.count, |at| {
            let entry = self.get(at);
            (entry.topic_id, entry.partition) < (topic_id, partition)
                || ((entry.topic_id, entry.partition) == (topic_id, partition) && entry.append_ns < since_ns)
        });
        self.take(start, topic_id, partition, bytes_max)
    }

    /// The last batch of every partition that has one here; the last of them may go on in the next value.
    pub fn last_of_each(&self) -> Vec<PartitionEntry> {
        let mut out: Vec<PartitionEntry> = Vec::new();
        for at in 0..self.count {
            let entry = self.get(at);
            match out.last_mut() {
                Some(last) if (last.topic_id, last.partition) == (entry.topic_id, entry.partition) => {
                    *last = entry;
                }
                _ => out.push(entry),
            }
        }
        out
    }

    fn take(
        &self,
        start: usize,
        topic_id: u64,
        partition: u16,
        bytes_max: u64,
    ) -> (Vec<PartitionEntry>, bool) {
        let (mut out, mut bytes) = (Vec::new(), 0);
        for at in start..self.count {
            let entry = self.get(at);
            if (entry.topic_id, entry.partition) != (topic_id, partition) {
                return (out, false);
            }
            bytes += u64::from(entry.length);
            if bytes > bytes_max && !out.is_empty() {
                return (out, false);
            }
            out.push(entry);
        }
        (out, true)
    }
}

/// One batch, as section 2 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotEntry {
    /// Position in the slot's replication stream.
    pub sequence: u64,
    /// Position of the envelope, counted from the window's first.
    pub lsn_rel: u32,
    /// Epoch of the leader that appended it.
    pub epoch: u32,
    /// The slot.
    pub slot: u16,
}

impl SlotEntry {
    pub(super) fn write(&self, out: &mut [u8]) {
        out[0..8].copy_from_slice(&self.sequence.to_le_bytes());
        out[8..12].copy_from_slice(&self.lsn_rel.to_le_bytes());
        out[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..18].copy_from_slice(&self.slot.to_le_bytes());
    }
}

/// One value of section 2 whose checksum holds.
#[derive(Clone, Copy)]
pub struct SlotEntries<'a> {
    body: &'a [u8],
    count: usize,
}

impl<'a> SlotEntries<'a> {
    /// Verifies the value; it has one entry at least.
    pub fn open(value: &'a [u8]) -> Result<Self, Damage> {
        let (count, body) = open_sized(value, Section::Slots, SLOT_ENTRY_LEN)?;
        Ok(Self { body, count })
    }

    /// Entries inside.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.count
    }

    /// The entry at `index`, which must be below [`Self::len`].
    pub fn get(&self, index: usize) -> SlotEntry {
        let bytes = &self.body[index * SLOT_ENTRY_LEN..];
        SlotEntry {
            sequence: u64_at(bytes, 0),
            lsn_rel: u32_at(bytes, 8),
            epoch: u32_at(bytes, 12),
            slot: u16_at(bytes, 16),
        }
    }

    /// At most `count_max` batches of a slot from `sequence` on, and whether more may follow in the next value.
    pub fn find(&self, slot: u16, sequence: u64, count_max: usize) -> (Vec<SlotEntry>, bool) {
        let start = partition_point(self.count, |at| {
            let entry = self.get(at);
            (entry.slot, entry.sequence) < (slot, sequence)
        });
        let found = (start..self.count).map(|at| self.get(at)).take_while(|entry| entry.slot == slot);
        let out: Vec<_> = found.take(count_max).collect();
        let is_more = start + out.len() == self.count && out.len() < count_max;
        (out, is_more)
    }

    /// The last batch of every slot that has one here; the last of them may go on in the next value.
    pub fn last_of_each(&self) -> Vec<SlotEntry> {
        let mut out: Vec<SlotEntry> = Vec::new();
        for at in 0..self.count {
            let entry = self.get(at);
            match out.last_mut() {
                Some(last) if last.slot == entry.slot => *last = entry,
                _ => out.push(entry),
            }
        }
        out
    }
}

/// First index below `count` for which `is_before` no longer holds.
fn partition_point(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
