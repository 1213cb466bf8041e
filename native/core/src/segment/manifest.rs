//! What is said of one segment: where it is, what it holds, how to find a record in it.
use xxhash_rust::xxh3::xxh3_64;

use super::{SegmentError, VERSION};

const HEAD_LEN: usize = 16;
const FIXED_LEN: usize = 96;
pub(super) const COVER_LEN: usize = 24;
pub(super) const GROUP_LEN: usize = 56;
pub(super) const PARTITION_LEN: usize = 72;
/// Bytes of the longest key; a segment's own is 69.
const KEY_BYTES_MAX: usize = 255;

/// Sequences of one slot, both ends included, that the segments of one build hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// The slot.
    pub slot: u16,
    /// Highest epoch among them.
    pub epoch: u32,
    /// First slot sequence.
    pub first: u64,
    /// Last slot sequence.
    pub last: u64,
}

/// One row group: a range of the file and the rows in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number in the file.
    pub ordinal: u32,
    /// Rows in it.
    pub rows: u32,
    /// Rows of the file before it.
    pub row: u64,
    /// First byte in the file.
    pub at: u64,
    /// Bytes.
    pub length: u64,
    /// XXH3-64 of the bytes.
    pub sum: u64,
    /// Offset of its first row, in that row's partition.
    pub first: u64,
    /// Latest append time in it, ns since the Unix epoch.
    pub newest_ns: i64,
}

/// The rows of one partition, which follow each other in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRange {
    /// Id of the topic.
    pub topic_id: u64,
    /// First offset.
    pub first: u64,
    /// Last offset.
    pub last: u64,
    /// First row in the file.
    pub row: u64,
    /// Earliest append time, ns since the Unix epoch.
    pub oldest_ns: i64,
    /// Latest append time, ns since the Unix epoch.
    pub newest_ns: i64,
    /// Bytes of the log that the rows were made of: envelopes with their batches.
    pub log_bytes: u64,
    /// When the last of the records is over, ns since the Unix epoch; 0: never.
    pub last_expiry_ns: i64,
    /// Rows.
    pub count: u32,
    /// The partition.
    pub partition: u16,
    /// Its slot.
    pub slot: u16,
}

/// A segment's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Where the file is, below `{prefix}/{cluster id}/`.
    pub key: String,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// First byte of the footer's metadata, which ends 8 bytes before the file does.
    pub footer_at: u64,
    /// XXH3-64 of the file from `footer_at` on.
    pub footer_sum: u64,
    /// Rows.
    pub records: u64,
    /// Earliest append time, ns since the Unix epoch.
    pub oldest_ns: i64,
    /// Latest append time, ns since the Unix epoch.
    pub newest_ns: i64,
    /// Number of this segment in its build, from 0.
    pub part: u16,
    /// Segments of its build: what `covers` says is true of all of them together.
    pub parts: u16,
    /// By slot.
    pub covers: Vec<Cover>,
    /// By position in the file.
    pub groups: Vec<Group>,
    /// By topic id and partition.
    pub partitions: Vec<PartitionRange>,
}

/// What a cold read looks for.
#[derive(Clone, Copy, Debug)]
pub struct Seek {
    /// Id of the topic.
    pub topic_id: u64,
    /// The partition.
    pub partition: u16,
    /// First offset wanted.
    pub offset: u64,
    /// Only from this append time on, ns since the Unix epoch; 0 = from the offset.
    pub since_ns: i64,
}

/// One range of the file that holds whole row groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// First byte.
    pub at: u64,
    /// Bytes.
    pub length: u64,
}

struct Out(Vec<u8>);

impl Out {
    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SegmentError> {
        let (taken, rest) =
            self.0.split_first_chunk::<N>().ok_or_else(|| SegmentError::new("manifest ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, SegmentError> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, SegmentError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SegmentError> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, SegmentError> {
        self.take().map(i64::from_le_bytes)
    }
}

impl Manifest {
    /// The manifest as bytes; version, length and checksum come first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.key.len() <= KEY_BYTES_MAX, "key of {} bytes", self.key.len());
        let tables = self.covers.len() * COVER_LEN
            + self.groups.len() * GROUP_LEN
            + self.partitions.len() * PARTITION_LEN;
        let mut out = Out(Vec::with_capacity(HEAD_LEN + FIXED_LEN + tables + self.key.len()));
        out.0.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.0.extend_from_slice(&[0; HEAD_LEN - 4]);
        out.u64(self.size);
        out.0.extend_from_slice(&self.sha256);
        out.u64(self.footer_at);
        out.u64(self.footer_sum);
        out.u64(self.records);
        out.u64(self.oldest_ns as u64);
        out.u64(self.newest_ns as u64);
        out.u16(self.part);
        out.u16(self.parts);
        out.u16(self.covers.len() as u16);
        out.u16(self.key.len() as u16);
        out.u32(self.groups.len() as u32);
        out.u32(self.partitions.len() as u32);
        debug_assert_eq!(out.0.len(), HEAD_LEN + FIXED_LEN);
        for cover in &self.covers {
            out.u64(cover.first);
            out.u64(cover.last);
            out.u32(cover.epoch);
            out.u16(cover.slot);
            out.u16(0);
        }
        for group in &self.groups {
            out.u32(group.ordinal);
            out.u32(group.rows);
            for value in [group.row, group.at, group.length, group.sum, group.first, group.newest_ns as u64] {
                out.u64(value);
            }
        }
        for range in &self.partitions {
            for value in [range.topic_id, range.first, range.last, range.row] {
                out.u64(value);
            }
            out.u64(range.oldest_ns as u64);
            out.u64(range.newest_ns as u64);
            out.u64(range.log_bytes);
            out.u64(range.last_expiry_ns as u64);
            out.u32(range.count);
            out.u16(range.partition);
            out.u16(range.slot);
        }
        out.0.extend_from_slice(self.key.as_bytes());
        let length = out.0.len() as u32;
        out.0[4..8].copy_from_slice(&length.to_le_bytes());
        let sum = xxh3_64(&out.0[HEAD_LEN..]);
        out.0[8..16].copy_from_slice(&sum.to_le_bytes());
        out.0
    }

    /// The manifest that [`Manifest::encode`] wrote; exactly its bytes.
    ///
    /// # Errors
    /// Another version, a length or checksum that does not hold, tables that contradict each other.
    pub fn parse(bytes: &[u8]) -> Result<Self, SegmentError> {
        let mut head = In(bytes);
        let [version, spare @ ..] = head.take::<4>()?;
        if version != VERSION || spare != [0; 3] {
            return Err(SegmentError::new(format!("manifest of version {version} is not of {VERSION}")));
        }
        let (length, sum) = (head.u32()? as usize, head.u64()?);
        if length != bytes.len() || sum != xxh3_64(head.0) {
            let found = bytes.len();
            return Err(SegmentError::new(format!(
                "manifest of {length} bytes does not hold in {found} bytes"
            )));
        }
        let mut body = head;
        let (size, sha256) = (body.u64()?, body.take()?);
        let (footer_at, footer_sum, records) = (body.u64()?, body.u64()?, body.u64()?);
        let (oldest_ns, newest_ns) = (body.i64()?, body.i64()?);
        let (part, parts) = (body.u16()?, body.u16()?);
        let (covers_count, key_len) = (usize::from(body.u16()?), usize::from(body.u16()?));
        let (groups_count, partitions_count) = (body.u32()? as usize, body.u32()? as usize);
        let tables = [
            (covers_count, COVER_LEN),
            (groups_count, GROUP_LEN),
            (partitions_count, PARTITION_LEN),
            (key_len, 1),
        ];
        let wanted = tables.iter().map(|(count, size)| (count * size) as u64).sum::<u64>();
        if wanted != body.0.len() as u64 {
            let left = body.0.len();
            return Err(SegmentError::new(format!(
                "manifest's tables of {wanted} bytes are not its {left} bytes"
            )));
        }
        let covers = (0..covers_count).map(|_| cover(&mut body)).collect::<Result<_, _>>()?;
        let groups = (0..groups_count).map(|_| group(&mut body)).collect::<Result<_, _>>()?;
        let partitions = (0..partitions_count).map(|_| partition(&mut body)).collect::<Result<_, _>>()?;
        let key =
            std::str::from_utf8(body.0).map_err(|error| SegmentError::new(error.to_string()))?.to_owned();
        let manifest = Self {
            key,
            size,
            sha256,
            footer_at,
            footer_sum,
            records,
            oldest_ns,
            newest_ns,
            part,
            parts,
            covers,
            groups,
            partitions,
        };
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), SegmentError> {
        let is_ordered = |holds: bool, what: &str| {
            holds.then_some(()).ok_or_else(|| SegmentError::new(format!("manifest: {what} do not hold")))
        };
        is_ordered(self.part < self.parts, "part numbers")?;
        is_ordered(self.footer_at.checked_add(8).is_some_and(|end| end <= self.size), "footer bounds")?;
        is_ordered(self.covers.windows(2).all(|pair| pair[0].slot < pair[1].slot), "slots")?;
        is_ordered(
            self.groups.iter().all(|group| {
                group.rows > 0 && group.at.checked_add(group.length).is_some_and(|end| end <= self.footer_at)
            }),
            "row group bounds",
        )?;
        let is_after = |pair: &[Group]| {
            pair[0].ordinal < pair[1].ordinal
                && pair[0].at + pair[0].length <= pair[1].at
                && pair[0].row.checked_add(u64::from(pair[0].rows)).is_some_and(|end| end <= pair[1].row)
        };
        is_ordered(self.groups.windows(2).all(is_after), "row group order")?;
        let is_after = |pair: &[PartitionRange]| {
            (pair[0].topic_id, pair[0].partition) < (pair[1].topic_id, pair[1].partition)
        };
        is_ordered(self.partitions.windows(2).all(is_after), "partition order")?;
        is_ordered(
            self.partitions.iter().all(|range| {
                let count = u64::from(range.count);
                count > 0
                    && range.last.checked_sub(range.first).is_some_and(|span| span >= count - 1)
                    && range.last < u64::MAX
                    && range.row.checked_add(count).is_some_and(|end| self.holds_rows(range.row, end))
            }),
            "partition rows",
        )
    }

    /// Whether the groups hold all rows of a range.
    fn holds_rows(&self, row: u64, end: u64) -> bool {
        let groups = &self.groups[self.group_of(row).map_or(self.groups.len(), |index| index)..];
        let mut next = row;
        for group in groups {
            if group.row > next {
                return false;
            }
            next = group.row + u64::from(group.rows);
            if next >= end {
                return true;
            }
        }
        false
    }

    /// Index of the group that holds a row.
    pub(super) fn group_of(&self, row: u64) -> Option<usize> {
        let index = self.groups.partition_point(|group| group.row <= row).checked_sub(1)?;
        (row < self.groups[index].row + u64::from(self.groups[index].rows)).then_some(index)
    }

    /// The rows of a partition, if it is in this segment.
    #[must_use]
    pub fn partition(&self, topic_id: u64, partition: u16) -> Option<&PartitionRange> {
        let place =
            self.partitions.binary_search_by_key(&(topic_id, partition), |p| (p.topic_id, p.partition));
        place.ok().map(|index| &self.partitions[index])
    }

    /// Indexes of the groups, one after another in the file, that a read needs: from the one that holds the wanted record,
    /// or the next, as many as hold `rows_max` rows of the partition from there on or `bytes_max` bytes, one at least.
    pub(super) fn groups_for(
        &self,
        seek: &Seek,
        rows_max: u64,
        bytes_max: u64,
    ) -> Option<std::ops::Range<usize>> {
        let range = self.partition(seek.topic_id, seek.partition)?;
        if range.last < seek.offset || (seek.since_ns != 0 && range.newest_ns < seek.since_ns) {
            return None;
        }
        let end_row = range.row + u64::from(range.count);
        let (first, last) = (self.group_of(range.row)?, self.group_of(end_row - 1)?);
        // Of the groups after the first, the first row is of this partition.
        let mut start =
            first + self.groups[first + 1..=last].partition_point(|group| group.first <= seek.offset);
        while seek.since_ns != 0 && start < last && self.groups[start].newest_ns < seek.since_ns {
            start += 1;
        }
        let (mut end, mut bytes, mut rows) = (start, 0, 0);
        while end <= last {
            let group = &self.groups[end];
            if end > start && (rows >= rows_max || bytes + group.length > bytes_max) {
                break;
            }
            // Every record before the wanted one has an offset of its own: so many rows follow at least.
            let to_row = end_row.min(group.row + u64::from(group.rows));
            let (from_row, from) =
                if group.row > range.row { (group.row, group.first) } else { (range.row, range.first) };
            let before = if seek.since_ns == 0 { seek.offset.saturating_sub(from) } else { u64::MAX };
            rows += (to_row - from_row).saturating_sub(before);
            bytes += group.length;
            end += 1;
        }
        Some(start..end)
    }

    /// The one range of the file to fetch for a read of about `rows_max` records and at most `bytes_max` stored bytes (one row
    /// group at least); `None`: the segment holds nothing at or after what is wanted.
    #[must_use]
    pub fn locate(&self, seek: &Seek, rows_max: u64, bytes_max: u64) -> Option<Located> {
        let groups = &self.groups[self.groups_for(seek, rows_max, bytes_max)?];
        let (first, last) = (groups.first()?, groups.last()?);
        Some(Located { at: first.at, length: last.at + last.length - first.at })
    }
}

fn cover(body: &mut In<'_>) -> Result<Cover, SegmentError> {
    let (first, last) = (body.u64()?, body.u64()?);
    let (epoch, slot, _spare) = (body.u32()?, body.u16()?, body.u16()?);
    Ok(Cover { slot, epoch, first, last })
}

fn group(body: &mut In<'_>) -> Result<Group, SegmentError> {
    let (ordinal, rows, row) = (body.u32()?, body.u32()?, body.u64()?);
    let (at, length, sum) = (body.u64()?, body.u64()?, body.u64()?);
    Ok(Group { ordinal, rows, row, at, length, sum, first: body.u64()?, newest_ns: body.i64()? })
}

fn partition(body: &mut In<'_>) -> Result<PartitionRange, SegmentError> {
    let (topic_id, first, last, row) = (body.u64()?, body.u64()?, body.u64()?, body.u64()?);
    let (oldest_ns, newest_ns) = (body.i64()?, body.i64()?);
    let (log_bytes, last_expiry_ns) = (body.u64()?, body.i64()?);
    let (count, partition, slot) = (body.u32()?, body.u16()?, body.u16()?);
    Ok(PartitionRange {
        topic_id,
        first,
        last,
        row,
        oldest_ns,
        newest_ns,
        log_bytes,
        last_expiry_ns,
        count,
        partition,
        slot,
    })
}
