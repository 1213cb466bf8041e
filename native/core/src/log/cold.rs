//! What of the log lies in the cloud alone: how it comes to be there, and as a start finds it again.
//!
//! In: batches of windows that left the disk, ranges of partitions that manifests name. Out: figures of the cloud tier.
//! Invariants: a record that counts here counts in no other tier; the sums over the tiers do not change by a move; nothing
//! below a low offset counts.

use super::restore::StoredBatch;
use super::Log;
use crate::problem::{Code, Problem};

/// Records of one partition in one object of the cloud, as its manifest has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdRange {
    /// Id of the topic.
    pub topic_id: u64,
    /// Partition number.
    pub partition: u16,
    /// Offset of the first record.
    pub first: u64,
    /// Offset after the last record.
    pub end: u64,
    /// Records in it.
    pub records: u64,
    /// Bytes of the log that they were made of.
    pub bytes: u64,
    /// Earliest append time, ns since the Unix epoch.
    pub oldest_ns: i64,
    /// Latest append time, ns since the Unix epoch.
    pub newest_ns: i64,
    /// When the last of them is over, ns since the Unix epoch; 0: never.
    pub last_expiry_ns: i64,
}

impl Log {
    /// Records of live topics that can be read from the cloud alone.
    #[must_use]
    pub fn cold_records(&self) -> u64 {
        self.cold_records
    }

    /// Whether there is a cloud tier: something lay there, or it was said that there is one.
    #[must_use]
    pub fn has_cloud(&self) -> bool {
        self.has_cloud
    }

    /// Whether there is a cloud tier, also while nothing lies there.
    pub fn set_cloud(&mut self, is_on: bool) {
        self.has_cloud = is_on;
    }

    /// Whether the cloud alone has offsets of a partition from its low one on.
    #[must_use]
    pub fn is_cold(&self, topic_id: u64, number: u16) -> bool {
        self.known_part(topic_id, number).is_some_and(|handle| self.part(handle).cold.is_some())
    }

    /// These batches, all of one window that memory has let go of, are in the cloud alone from now on. `oldest_ns` is the
    /// oldest append time of what stays on disk.
    ///
    /// # Errors
    /// `invalid_parameter` when memory still has one of them: nothing was counted.
    pub fn move_to_cloud(&mut self, batches: &[StoredBatch], oldest_ns: i64) -> Result<(), Problem> {
        for batch in batches {
            let Some(handle) = self.known_part(batch.topic_id, batch.partition) else { continue };
            if batch.end() > self.part(handle).memory_low() {
                let (id, partition, base) = (batch.topic_id, batch.partition, batch.base);
                let detail = format!("offset {base} of topic {id:#x} partition {partition} is in memory");
                return Err(Problem::new(Code::InvalidParameter, detail));
            }
        }
        for batch in batches {
            self.cool(batch, oldest_ns);
        }
        Ok(())
    }

    fn cool(&mut self, batch: &StoredBatch, oldest_ns: i64) {
        let Some(handle) = self.known_part(batch.topic_id, batch.partition) else { return };
        let part = self.part(handle);
        let start = batch.base.max(part.low).max(part.cold_end());
        if batch.end() <= start {
            return;
        }
        // Exact when nothing stays on disk; else the records that are over are taken to be the oldest.
        let (held, is_all) = (batch.end() - start, batch.end() == part.memory_low());
        let on_disk = part.moved;
        let mut gone = on_disk;
        if !is_all {
            gone.expired = held.min(on_disk.expired);
            gone.records = (held - gone.expired).min(on_disk.records);
            gone.bytes = u64::from(batch.length).min(on_disk.bytes);
        }
        let part = &mut self.parts[handle as usize];
        part.moved.records -= gone.records;
        part.moved.expired -= gone.expired;
        part.moved.bytes -= gone.bytes;
        part.moved.oldest_ns = oldest_ns.max(batch.append_ns);
        let cold = part.cold.get_or_insert_default();
        cold.held.add(gone.records, gone.expired, gone.bytes, (batch.append_ns, batch.append_ns));
        cold.end = batch.end();
        self.has_cloud = true;
        if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
            self.moved_records -= gone.records;
            self.cold_records += gone.records;
        }
    }

    /// Widens what is known of a partition by a range in the cloud. Topics and low offsets are known by now, batches on disk
    /// are not, and the ranges of a partition ascend. Of unknown topics, and of what was seen before, nothing is kept.
    /// `end_lsn`: the log position below which all of it was.
    pub fn restore_cold(&mut self, range: &ColdRange, end_lsn: u64) {
        self.last_ns = self.last_ns.max(range.newest_ns);
        let Some(handle) = self.known_part(range.topic_id, range.partition) else { return };
        let Some(disk) = &mut self.disk else { return };
        disk.note_newest(handle, end_lsn);
        let part = &mut self.parts[handle as usize];
        let start = range.first.max(part.end);
        if range.end <= start {
            return;
        }
        // Where the low offset lies inside, the records are taken to be spread evenly; a part of one counts as one.
        let (all, span) = (u128::from(range.end - range.first), range.end - start);
        let share =
            |count: u64| u64::try_from((u128::from(count) * u128::from(span)).div_ceil(all)).unwrap_or(count);
        let (live, bytes) = (share(range.records).min(span), share(range.bytes));
        let gap = start - part.end;
        part.end = range.end;
        part.visible = part.end;
        part.bytes += bytes;
        let cold = part.cold.get_or_insert_default();
        cold.held.add(live, 0, bytes, (range.oldest_ns, range.newest_ns));
        cold.end = range.end;
        self.has_cloud = true;
        self.lifetimes.add_over(handle, gap + span - live);
        if range.last_expiry_ns != 0 {
            self.lifetimes.add_date(handle, range.last_expiry_ns, live);
        }
        self.counters.restored_records += live;
        if self.topics.get(self.part(handle).topic).deleted_ns == 0 {
            self.cold_records += live;
        } else {
            self.hidden_records += live;
        }
    }

    /// Raises the low offset of a partition over what lies in the cloud alone, for its topic's retention: as
    /// [`Log::retired`], and no further than the cloud has the partition.
    pub fn retired_cold(
        &mut self,
        topic_id: u64,
        number: u16,
        low: u64,
        records: u64,
        bytes: u64,
        oldest_ns: i64,
    ) {
        let Some(handle) = self.known_part(topic_id, number) else { return };
        let low = low.min(self.part(handle).cold_end());
        self.counters.retired_records += self.retire_moved(handle, low, records, bytes, oldest_ns);
    }
}

#[cfg(test)]
mod tests;
