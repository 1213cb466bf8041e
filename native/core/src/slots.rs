//! The slot table: which member leads and which members hold each of the 4096 slots.
//!
//! In: what the replicated control state has committed. Out: an immutable snapshot that its user shares as an
//! `Arc<SlotTable>` and swaps by reference; a lookup is one load and takes no lock. Invariants of every table
//! that exists: members are distinct; each slot has 1 to `REPLICAS_COUNT_MAX` distinct replicas; a leader is
//! one of its slot's replicas. The layout keeps leaders and epochs in arrays of their own, so the publish
//! path touches 2 or 4 bytes per slot. Format and reasons: docs/design/routing.md.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{MEMBERS_COUNT_MAX, NODE_ID_BYTES_MAX, REPLICAS_COUNT_MAX, SLOTS_COUNT};

/// Version byte of the encoded form.
pub const SLOT_TABLE_VERSION: u8 = 1;
/// Stands for the leader of a slot that has none (between the two steps of a failover).
pub const NO_LEADER: u16 = u16::MAX;

const HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 8;

/// Why a table cannot be built or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTableError(String);

impl fmt::Display for SlotTableError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SlotTableError {}

/// What the table says about one slot; members are indexes into [`SlotTable::members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotEntry {
    /// The member that orders the slot's writes, or [`NO_LEADER`].
    pub leader: u16,
    /// Number of the slot's leadership; writes of a lower one are refused.
    pub epoch: u32,
    /// The members that hold the slot, in order of preference.
    pub replicas: Vec<u16>,
    /// Bit `i` is set when `replicas[i]` is in sync.
    pub in_sync: u8,
}

#[derive(Clone, Copy, Default)]
struct Replicas {
    members: [u16; REPLICAS_COUNT_MAX],
    count: u8,
    in_sync: u8,
}

/// An immutable snapshot of slot → leader, replicas, epoch.
pub struct SlotTable {
    leaders: Box<[u16; SLOTS_COUNT]>,
    epochs: Box<[u32; SLOTS_COUNT]>,
    replicas: Box<[Replicas]>,
    members: Box<[Box<str>]>,
    table_epoch: u64,
}

impl SlotTable {
    /// The table of a cluster of one: `member` leads every slot at `epoch`, which is the table's epoch too.
    ///
    /// # Errors
    /// When the id is empty or longer than `NODE_ID_BYTES_MAX`.
    pub fn single(member: &str, epoch: u32) -> Result<Self, SlotTableError> {
        let entry = SlotEntry { leader: 0, epoch, replicas: vec![0], in_sync: 1 };
        Self::new(vec![member.into()], &vec![entry; SLOTS_COUNT], u64::from(epoch))
    }

    /// A table of `members` with one entry for each slot, in order of slots.
    ///
    /// # Errors
    /// When an invariant of this module does not hold; the message names the slot or member.
    pub fn new(
        members: Vec<Box<str>>,
        entries: &[SlotEntry],
        table_epoch: u64,
    ) -> Result<Self, SlotTableError> {
        check_members(&members)?;
        if entries.len() != SLOTS_COUNT {
            return Err(SlotTableError(format!("{} slot entries instead of {SLOTS_COUNT}", entries.len())));
        }
        let mut table = Self {
            leaders: Box::new([NO_LEADER; SLOTS_COUNT]),
            epochs: Box::new([0; SLOTS_COUNT]),
            replicas: vec![Replicas::default(); SLOTS_COUNT].into_boxed_slice(),
            members: members.into_boxed_slice(),
            table_epoch,
        };
        for (slot, entry) in entries.iter().enumerate() {
            table.set(slot, entry)?;
        }
        Ok(table)
    }

    /// The index of the member that leads `slot`, or [`NO_LEADER`].
    ///
    /// # Panics
    /// When `slot` is not below `SLOTS_COUNT`.
    #[inline]
    pub fn leader(&self, slot: u16) -> u16 {
        self.leaders[usize::from(slot)]
    }

    /// The node id of the member that leads `slot`, if one does.
    ///
    /// # Panics
    /// When `slot` is not below `SLOTS_COUNT`.
    pub fn leader_id(&self, slot: u16) -> Option<&str> {
        self.members.get(usize::from(self.leader(slot))).map(AsRef::as_ref)
    }

    /// The epoch of `slot`'s leadership.
    ///
    /// # Panics
    /// When `slot` is not below `SLOTS_COUNT`.
    #[inline]
    pub fn epoch(&self, slot: u16) -> u32 {
        self.epochs[usize::from(slot)]
    }

    /// The members that hold `slot`, in order of preference.
    ///
    /// # Panics
    /// When `slot` is not below `SLOTS_COUNT`.
    pub fn replicas(&self, slot: u16) -> &[u16] {
        let replicas = &self.replicas[usize::from(slot)];
        &replicas.members[..usize::from(replicas.count)]
    }

    /// Everything the table says about `slot`.
    ///
    /// # Panics
    /// When `slot` is not below `SLOTS_COUNT`.
    pub fn entry(&self, slot: u16) -> SlotEntry {
        SlotEntry {
            leader: self.leader(slot),
            epoch: self.epoch(slot),
            replicas: self.replicas(slot).to_vec(),
            in_sync: self.replicas[usize::from(slot)].in_sync,
        }
    }

    /// Number of this snapshot; a later one is higher.
    #[inline]
    pub fn table_epoch(&self) -> u64 {
        self.table_epoch
    }

    /// The node ids that leaders and replicas are indexes of.
    pub fn members(&self) -> &[Box<str>] {
        &self.members
    }

    /// The index of a node id.
    pub fn member(&self, id: &str) -> Option<u16> {
        self.members
            .iter()
            .position(|member| member.as_ref() == id)
            .and_then(|index| u16::try_from(index).ok())
    }

    /// The table as bytes: header, members, one entry for each slot, XXH3-64 of all before.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + SLOTS_COUNT * (ENTRY_BYTES + 2 * REPLICAS_COUNT_MAX));
        out.extend_from_slice(&[SLOT_TABLE_VERSION, 0]);
        out.extend_from_slice(&narrow(self.members.len()).to_le_bytes());
        out.extend_from_slice(&narrow(SLOTS_COUNT).to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.table_epoch.to_le_bytes());
        for member in &self.members {
            debug_assert!(member.len() <= NODE_ID_BYTES_MAX);
            out.push(narrow(member.len()).to_le_bytes()[0]);
            out.extend_from_slice(member.as_bytes());
        }
        for (slot, replicas) in self.replicas.iter().enumerate() {
            out.extend_from_slice(&self.epochs[slot].to_le_bytes());
            out.extend_from_slice(&self.leaders[slot].to_le_bytes());
            out.extend_from_slice(&[replicas.count, replicas.in_sync]);
            for member in &replicas.members[..usize::from(replicas.count)] {
                out.extend_from_slice(&member.to_le_bytes());
            }
        }
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    /// The table that [`SlotTable::encode`] wrote; all of `bytes` must be it.
    ///
    /// # Errors
    /// When the version is unknown, the checksum or a length does not hold, or an invariant is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, SlotTableError> {
        let split = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(cut_short)?;
        let (body, checksum) = bytes.split_at(split);
        let mut reader = Reader(body);
        let version = reader.u8()?;
        if version != SLOT_TABLE_VERSION {
            return Err(SlotTableError(format!(
                "slot table version {version} instead of {SLOT_TABLE_VERSION}"
            )));
        }
        if checksum != xxh3_64(body).to_le_bytes() {
            return Err(SlotTableError("the slot table's checksum does not hold".into()));
        }
        let zero = reader.u8()?;
        let member_count = usize::from(reader.u16()?);
        let slot_count = usize::from(reader.u16()?);
        if zero != 0 || slot_count != SLOTS_COUNT || reader.u16()? != 0 {
            return Err(SlotTableError(format!(
                "a slot table header of {slot_count} slots is not version 1"
            )));
        }
        let table_epoch = reader.u64()?;
        let mut members = Vec::with_capacity(member_count.min(MEMBERS_COUNT_MAX));
        for _ in 0..member_count {
            let length = usize::from(reader.u8()?);
            let id = std::str::from_utf8(reader.take(length)?);
            members.push(id.map_err(|_| SlotTableError("a node id is not UTF-8".into()))?.into());
        }
        let mut entries = Vec::with_capacity(SLOTS_COUNT);
        for _ in 0..SLOTS_COUNT {
            let (epoch, leader) = (reader.u32()?, reader.u16()?);
            let (count, in_sync) = (reader.u8()?, reader.u8()?);
            let replicas = (0..count).map(|_| reader.u16()).collect::<Result<_, _>>()?;
            entries.push(SlotEntry { leader, epoch, replicas, in_sync });
        }
        if !reader.0.is_empty() {
            return Err(SlotTableError(format!("{} bytes after the slot table's entries", reader.0.len())));
        }
        Self::new(members, &entries, table_epoch)
    }

    fn set(&mut self, slot: usize, entry: &SlotEntry) -> Result<(), SlotTableError> {
        let count = entry.replicas.len();
        if count == 0 || count > REPLICAS_COUNT_MAX {
            return Err(SlotTableError(format!(
                "slot {slot} has {count} replicas, not 1 to {REPLICAS_COUNT_MAX}"
            )));
        }
        for (position, &member) in entry.replicas.iter().enumerate() {
            if usize::from(member) >= self.members.len() {
                return Err(SlotTableError(format!(
                    "slot {slot} names member {member} of {}",
                    self.members.len()
                )));
            }
            if entry.replicas[..position].contains(&member) {
                return Err(SlotTableError(format!("slot {slot} names member {member} twice")));
            }
        }
        if entry.leader != NO_LEADER && !entry.replicas.contains(&entry.leader) {
            return Err(SlotTableError(format!(
                "slot {slot} is led by {}, which does not hold it",
                entry.leader
            )));
        }
        if usize::from(entry.in_sync) >> count != 0 {
            return Err(SlotTableError(format!("slot {slot} marks more than its {count} replicas in sync")));
        }
        self.leaders[slot] = entry.leader;
        self.epochs[slot] = entry.epoch;
        let replicas = &mut self.replicas[slot];
        replicas.members[..count].copy_from_slice(&entry.replicas);
        replicas.count = narrow(count).to_le_bytes()[0];
        replicas.in_sync = entry.in_sync;
        Ok(())
    }
}

impl fmt::Debug for SlotTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("SlotTable");
        shown.field("table_epoch", &self.table_epoch).field("members", &self.members).finish_non_exhaustive()
    }
}

impl PartialEq for SlotTable {
    fn eq(&self, other: &Self) -> bool {
        self.encode() == other.encode()
    }
}

impl Eq for SlotTable {}

fn check_members(members: &[Box<str>]) -> Result<(), SlotTableError> {
    if members.is_empty() || members.len() > MEMBERS_COUNT_MAX {
        return Err(SlotTableError(format!("{} members instead of 1 to {MEMBERS_COUNT_MAX}", members.len())));
    }
    let mut sorted: Vec<&str> = members.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        if pair[0] == pair[1] {
            return Err(SlotTableError(format!("member {:?} is named twice", pair[0])));
        }
    }
    for id in sorted {
        if id.is_empty() || id.len() > NODE_ID_BYTES_MAX {
            return Err(SlotTableError(format!(
                "a node id of {} bytes, not 1 to {NODE_ID_BYTES_MAX}",
                id.len()
            )));
        }
    }
    Ok(())
}

/// Counts that the invariants keep far below 65,536.
fn narrow(count: usize) -> u16 {
    u16::try_from(count).expect("bounded by the table's invariants")
}

fn cut_short() -> SlotTableError {
    SlotTableError("the slot table is cut short".into())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], SlotTableError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SlotTableError> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, SlotTableError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, SlotTableError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, SlotTableError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SlotTableError> {
        self.array().map(u64::from_le_bytes)
    }
}
