//! What of the log is on disk: which bytes a committer takes next, and what becomes visible when they are synced.
//!
//! A *mark* is the number of a tick. An answer that promises `disk` carries the mark of the tick it was given in and may
//! leave when [`Log::synced`] has said that mark. Design: `docs/design/disk.md`.

use super::restore::{CONFIGS_ID, MANIFESTS_ID};
use super::retain::parsed;
use super::Log;
use crate::arena::Slice;
use crate::limits::SLOTS_COUNT;
use crate::problem::{Code, Problem};
use hashbrown::HashSet;
use std::collections::VecDeque;

/// What an acknowledgement survives, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing beyond the life of the process.
    Memory,
    /// Power loss: fdatasync returned before the answer.
    Disk,
}

impl Level {
    /// Its name in requests and receipts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// Log bytes for one commit: they begin at `first_lsn`, end between envelopes, and cover every tick up to `mark`.
pub struct Taken {
    /// Position of the first byte.
    pub first_lsn: u64,
    /// Position after the last byte.
    pub end_lsn: u64,
    /// Ticks up to this one are covered.
    pub mark: u64,
    /// The bytes, in order.
    pub slices: Vec<Slice>,
}

/// Log bytes of one window, all of them synced.
pub struct Window {
    /// Position of the first byte.
    pub first_lsn: u64,
    /// Position after the last byte.
    pub end_lsn: u64,
    /// The bytes, in order.
    pub slices: Vec<Slice>,
}

/// Publishes that the disk tier refuses because it has come near its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuses {
    /// None.
    None,
    /// Those of topics that do not discard the oldest.
    New,
    /// All.
    All,
}

struct Unsynced {
    end_lsn: u64,
    part: u32,
    end: u64,
}

/// Where the disk tier stands behind the ring.
pub(super) struct Disk {
    /// Number of the tick that is open.
    tick: u64,
    /// Somebody waits for the open tick, or something was appended in it.
    is_used: bool,
    /// Ended ticks that were not taken: number and end of the log then.
    ended: VecDeque<(u64, u64)>,
    taken_lsn: u64,
    synced_lsn: u64,
    synced_mark: u64,
    /// Batches whose records become visible when they are synced.
    hidden: VecDeque<Unsynced>,
    /// End of the last sealed window.
    sealed_lsn: u64,
    is_full: bool,
    /// Whose publishes the bound of the tier refuses.
    refuses: Refuses,
    /// Ticks that are not synced: number, and records appended up to its end.
    counted: VecDeque<(u64, u64)>,
    synced_records: u64,
    /// Partitions whose low offset rose and is not written down.
    pub(super) lows: HashSet<u32>,
    /// Ids of topics that were forgotten.
    pub(super) forgotten: Vec<u64>,
    /// While a start reads the log: where the newest batch of each partition ends.
    pub(super) newest_lsn: Vec<u64>,
    /// While a start reads the log: a topic that has batches and no record.
    pub(super) nameless: Option<u64>,
    /// Where each partition that was restored went on. Below this an offset without a batch is a gap.
    pub(super) restored_ends: Box<[u64]>,
    /// Next offsets of `$sys.topics` and of `$sys.manifest`, each by slot.
    internal_offsets: [Box<[u64]>; 2],
}

impl Disk {
    pub(super) fn new(first_lsn: u64) -> Self {
        Self {
            tick: 1,
            is_used: false,
            ended: VecDeque::new(),
            taken_lsn: first_lsn,
            synced_lsn: first_lsn,
            synced_mark: 0,
            hidden: VecDeque::new(),
            sealed_lsn: first_lsn,
            is_full: false,
            refuses: Refuses::None,
            counted: VecDeque::new(),
            synced_records: 0,
            lows: HashSet::new(),
            forgotten: Vec::new(),
            newest_lsn: Vec::new(),
            nameless: None,
            restored_ends: Box::default(),
            internal_offsets: [(); 2].map(|()| vec![0; SLOTS_COUNT].into_boxed_slice()),
        }
    }

    /// Chunks that end here or before may leave the ring.
    pub(super) fn evictable_lsn(&self) -> u64 {
        self.synced_lsn.min(self.sealed_lsn)
    }

    pub(super) fn hide(&mut self, end_lsn: u64, part: u32, end: u64) {
        self.hidden.push_back(Unsynced { end_lsn, part, end });
    }

    /// Next offset of a partition of an internal topic; `None` for topics of clients.
    pub(super) fn internal_offset(&mut self, topic_id: u64, partition: u16) -> Option<&mut u64> {
        let at = match topic_id {
            CONFIGS_ID => 0,
            MANIFESTS_ID => 1,
            _ => return None,
        };
        self.internal_offsets[at].get_mut(usize::from(partition))
    }

    /// While a start reads the log: batches of a partition end here.
    pub(super) fn note_newest(&mut self, handle: u32, end_lsn: u64) {
        if self.newest_lsn.len() <= handle as usize {
            self.newest_lsn.resize(handle as usize + 1, 0);
        }
        let newest = &mut self.newest_lsn[handle as usize];
        *newest = (*newest).max(end_lsn);
    }

    pub(super) fn is_used(&self) -> bool {
        self.is_used
    }

    pub(super) fn touch(&mut self) {
        self.is_used = true;
    }
}

impl Log {
    /// Whether the node has a disk tier.
    #[must_use]
    pub fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// The level of a topic: its own, or the strongest this node offers.
    #[must_use]
    pub fn level_of(&self, topic: u32) -> Level {
        let own = self.topics.get(topic).config.as_deref().and_then(|c| c.level);
        match own {
            Some(Level::Memory) => Level::Memory,
            _ if self.disk.is_some() => Level::Disk,
            _ => Level::Memory,
        }
    }

    /// The level of a topic that is created by a publish.
    #[must_use]
    pub fn level_of_new(&self) -> Level {
        if self.disk.is_some() {
            Level::Disk
        } else {
            Level::Memory
        }
    }

    /// The mark that an answer for what was appended up to now waits for; 0 when nothing is to be waited for.
    pub fn mark(&mut self) -> u64 {
        match &mut self.disk {
            Some(disk) => {
                disk.is_used = true;
                disk.tick
            }
            None => 0,
        }
    }

    /// Ticks up to this one are on disk.
    #[must_use]
    pub fn synced_mark(&self) -> u64 {
        self.disk.as_ref().map_or(u64::MAX, |d| d.synced_mark)
    }

    /// Bytes that are not on disk yet.
    #[must_use]
    pub fn unsynced_bytes(&self) -> u64 {
        self.disk.as_ref().map_or(0, |d| self.ring.head_lsn() - d.synced_lsn)
    }

    /// Records that are not on disk yet.
    #[must_use]
    pub fn unsynced_records(&self) -> u64 {
        self.disk.as_ref().map_or(0, |d| self.counters.records - d.synced_records)
    }

    /// Whose publishes are refused because the tier has come near its bound.
    pub fn set_refuses(&mut self, refuses: Refuses) {
        if let Some(disk) = &mut self.disk {
            disk.refuses = refuses;
        }
    }

    /// Ends the open tick after everything in it was sealed.
    pub(super) fn end_disk_tick(&mut self) {
        let head = self.ring.head_lsn();
        if let Some(disk) = &mut self.disk {
            if disk.is_used {
                disk.is_used = false;
                disk.counted.push_back((disk.tick, self.counters.records));
                disk.ended.push_back((disk.tick, head));
                disk.tick += 1;
            }
        }
    }

    /// Whether a committer would find something.
    #[must_use]
    pub fn has_commit(&self) -> bool {
        self.disk.as_ref().is_some_and(|d| !d.ended.is_empty())
    }

    /// Takes the ended ticks that follow, about `bytes_max` of them and one at least; `None` when there is none.
    pub fn take_commit(&mut self, bytes_max: u64) -> Option<Taken> {
        let disk = self.disk.as_mut()?;
        let first_lsn = disk.taken_lsn;
        let (mut mark, mut end_lsn) = disk.ended.pop_front()?;
        while let Some(&(next, lsn)) = disk.ended.front() {
            if lsn - first_lsn > bytes_max {
                break;
            }
            (mark, end_lsn) = (next, lsn);
            disk.ended.pop_front();
        }
        disk.taken_lsn = end_lsn;
        Some(Taken { first_lsn, end_lsn, mark, slices: self.ring.range(first_lsn, end_lsn) })
    }

    /// Everything up to `end_lsn`, and every tick up to `mark`, is on disk: shows it, and gives the partitions whose
    /// readers have something to read.
    pub fn synced(&mut self, end_lsn: u64, mark: u64) -> Vec<u32> {
        let Some(disk) = &mut self.disk else { return Vec::new() };
        disk.synced_lsn = disk.synced_lsn.max(end_lsn);
        disk.synced_mark = disk.synced_mark.max(mark);
        while let Some(&(_, records)) = disk.counted.front().filter(|(tick, _)| *tick <= mark) {
            disk.synced_records = records;
            disk.counted.pop_front();
        }
        let mut woken = Vec::new();
        while disk.hidden.front().is_some_and(|h| h.end_lsn <= end_lsn) {
            let Some(shown) = disk.hidden.pop_front() else { break };
            let part = &mut self.parts[shown.part as usize];
            part.visible = part.visible.max(shown.end);
            if part.watchers > 0 {
                woken.push(shown.part);
            }
        }
        woken
    }

    /// The disk takes nothing (`true`) or takes bytes again.
    pub fn set_disk_full(&mut self, is_full: bool) {
        if let Some(disk) = &mut self.disk {
            disk.is_full = is_full;
        }
    }

    /// The bytes to seal into a window now, when there are `bytes_min` of them on disk.
    #[must_use]
    pub fn window(&self, bytes_min: u64) -> Option<Window> {
        let disk = self.disk.as_ref()?;
        let (first_lsn, end_lsn) = (disk.sealed_lsn, disk.synced_lsn);
        (end_lsn - first_lsn >= bytes_min.max(1)).then(|| Window {
            first_lsn,
            end_lsn,
            slices: self.ring.range(first_lsn, end_lsn),
        })
    }

    /// The window that ends here can be found on disk.
    pub fn window_sealed(&mut self, end_lsn: u64) {
        if let Some(disk) = &mut self.disk {
            disk.sealed_lsn = disk.sealed_lsn.max(end_lsn);
        }
    }

    /// Lets go of the chunks in which everything was appended before a time, as far as the disk has them.
    pub fn age_out(&mut self, before_ns: i64) {
        if self.disk.is_none() {
            return;
        }
        if self.appended_ns < before_ns {
            self.ring.seal();
        }
        // What stands first in the next chunk is not older than anything in this one.
        let newest_ns = |log: &Self| match log.ring.second_chunk().filter(|chunk| !chunk.is_empty()) {
            Some(next) => parsed(next.bytes()).0.append_ns,
            None => log.appended_ns,
        };
        while newest_ns(self) < before_ns && self.ring.sealed_count() > 0 && self.evict_oldest() {}
    }

    /// Refuses what the disk tier could not take in time.
    pub(super) fn admit_to_disk(&self, topic: u32, size: usize) -> Result<(), Problem> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let head = self.ring.head_lsn() + size as u64;
        let bound = self.setup.memory_bytes_max as u64;
        let discards_new = || self.topics.get(topic).config.as_deref().is_none_or(|c| c.discards_new(true));
        if disk.refuses == Refuses::All || (disk.refuses == Refuses::New && discards_new()) {
            let detail = "the disk tier has come to 95 % of its bound: nothing is taken until there is room; reads go on";
            return Err(Problem::new(Code::StorageFull, detail));
        }
        if disk.is_full && self.level_of(topic) == Level::Disk {
            let detail = "the disk is full: nothing is taken at level disk until there is room; reads go on";
            return Err(Problem::new(Code::StorageFull, detail));
        }
        let unsynced = head - disk.synced_lsn;
        if unsynced <= bound / 2 && head - disk.evictable_lsn() <= bound - bound / 8 {
            return Ok(());
        }
        if disk.is_full {
            let detail =
                format!("the disk is full and {unsynced} bytes wait for it, their bound is half of {bound}");
            return Err(Problem::new(Code::StorageFull, detail));
        }
        let detail =
            format!("the disk is behind: {unsynced} bytes wait for it, their bound is half of {bound}");
        Err(Problem::new(Code::DiskBehind, detail))
    }
}
