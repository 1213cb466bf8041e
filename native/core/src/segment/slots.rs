//! A segment's manifest in pieces, one or more for each slot: what the records of `$sys.manifest` hold.
use std::collections::BTreeSet;

use super::manifest::{Group, Manifest, PartitionRange, GROUP_LEN, PARTITION_LEN};
use super::SegmentError;

/// A slot and the encoded manifests of what concerns it.
pub type SlotPieces = (u16, Vec<Vec<u8>>);

/// What a piece holds, and the row groups it takes.
#[derive(Default)]
struct Piece {
    partitions: Vec<PartitionRange>,
    groups: BTreeSet<usize>,
}

impl Piece {
    fn bytes(&self) -> usize {
        self.partitions.len() * PARTITION_LEN + self.groups.len() * GROUP_LEN
    }

    /// Bytes that a range over these groups would add.
    fn bytes_more(&self, groups: &std::ops::RangeInclusive<usize>) -> usize {
        PARTITION_LEN + groups.clone().filter(|index| !self.groups.contains(index)).count() * GROUP_LEN
    }

    fn take(&mut self, range: PartitionRange, groups: std::ops::RangeInclusive<usize>) {
        self.partitions.push(range);
        self.groups.extend(groups);
    }
}

impl Manifest {
    /// For each slot of `covers` the encoded manifests of what concerns it, each of at most `bytes_max` bytes: none for a
    /// slot that has no partition here. The offsets of a partition ascend from one piece to the next.
    ///
    /// # Errors
    /// `bytes_max` is too small for one partition with one row group.
    pub fn slots(&self, bytes_max: usize) -> Result<Vec<SlotPieces>, SegmentError> {
        let bare = Self { groups: Vec::new(), partitions: Vec::new(), covers: Vec::new(), ..self.clone() };
        let fixed = bare.encode().len() + super::manifest::COVER_LEN;
        let room = bytes_max.checked_sub(fixed).filter(|room| *room >= PARTITION_LEN + GROUP_LEN);
        let Some(room) = room else {
            return Err(SegmentError::new(format!(
                "{bytes_max} bytes are too few for a piece of a manifest"
            )));
        };
        let mut order: Vec<usize> = (0..self.partitions.len()).collect();
        order.sort_by_key(|&index| self.partitions[index].slot);
        let mut ranges = order.iter().map(|&index| self.partitions[index]).peekable();
        let mut out = Vec::with_capacity(self.covers.len());
        for cover in &self.covers {
            let (mut done, mut open) = (Vec::new(), Piece::default());
            while let Some(range) = ranges.next_if(|range| range.slot == cover.slot) {
                for (range, groups) in self.cut(range, room) {
                    if open.bytes() + open.bytes_more(&groups) > room {
                        done.push(std::mem::take(&mut open));
                    }
                    open.take(range, groups);
                }
            }
            done.push(open);
            done.retain(|piece| !piece.partitions.is_empty());
            let encoded = |piece: &Piece| {
                let groups = piece.groups.iter().map(|&index| self.groups[index]).collect();
                let partitions = piece.partitions.clone();
                Self { covers: vec![*cover], groups, partitions, ..bare.clone() }.encode()
            };
            out.push((cover.slot, done.iter().map(encoded).collect()));
        }
        match ranges.next() {
            Some(range) => Err(SegmentError::new(format!("slot {} has rows and no cover", range.slot))),
            None => Ok(out),
        }
    }

    /// A range with its groups; in several when its groups alone are more than `room` bytes.
    fn cut(
        &self,
        range: PartitionRange,
        room: usize,
    ) -> Vec<(PartitionRange, std::ops::RangeInclusive<usize>)> {
        let end_row = range.row + u64::from(range.count);
        let first = self.group_of(range.row).expect("a row of a manifest that holds");
        let last = self.group_of(end_row - 1).expect("a row of the same");
        let groups_max = (room - PARTITION_LEN) / GROUP_LEN;
        if last - first < groups_max {
            return vec![(range, first..=last)];
        }
        let starts = (first..=last).step_by(groups_max);
        starts.map(|start| self.cut_at(&range, start, last.min(start + groups_max - 1))).collect()
    }

    /// The rows of a range in these groups. Where it goes on in the next group, its last offset is the one before that.
    fn cut_at(
        &self,
        range: &PartitionRange,
        start: usize,
        last: usize,
    ) -> (PartitionRange, std::ops::RangeInclusive<usize>) {
        let end_row = range.row + u64::from(range.count);
        let held: &[Group] = &self.groups[start..=last];
        let (is_first, next) = (self.groups[start].row <= range.row, self.groups.get(last + 1));
        let next = next.filter(|next| next.row < end_row);
        let row = range.row.max(self.groups[start].row);
        let count = next.map_or(end_row, |next| next.row) - row;
        let before = |at: u64| {
            (u128::from(range.log_bytes) * u128::from(at - range.row) / u128::from(range.count)) as u64
        };
        let newest_ns = held.iter().map(|group| group.newest_ns).max().unwrap_or(range.newest_ns);
        let part = PartitionRange {
            first: if is_first { range.first } else { self.groups[start].first },
            last: next.map_or(range.last, |next| next.first - 1),
            row,
            newest_ns: newest_ns.min(range.newest_ns),
            log_bytes: before(row + count) - before(row),
            count: count as u32,
            ..*range
        };
        (part, start..=last)
    }
}
