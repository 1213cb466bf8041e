//! Keys and values of the database `index`: what every piece has in front, and the header of a window.
use super::{bloom, entries};
use super::{field, i64_at, snapshot, u32_at, u64_at, Damage, VERSION};
use crate::arena::Tail;
use crate::limits::{DISK_VALUE_BYTES_MAX, WINDOW_BYTES_MAX};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes before the entries of an index value.
pub(super) const HEAD_LEN: usize = 16;
/// Bytes of entries in the longest value.
pub(super) const BODY_BYTES_MAX: usize = DISK_VALUE_BYTES_MAX - HEAD_LEN;
/// Bytes of a window header after the head.
const HEADER_BODY_LEN: usize = 68;

/// Part of a window's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Section {
    /// The window header.
    Header = 0,
    /// Batches by partition and offset.
    Partitions = 1,
    /// Batches by slot and slot sequence.
    Slots = 2,
    /// Which partitions have batches here.
    Bloom = 3,
    /// Topics made or changed inside the window.
    Snapshot = 4,
}

/// A key of the database `index`. The window is named by its first log position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The header of a window.
    Header {
        /// The window.
        window: u64,
    },
    /// A piece in partition order; its first entry.
    Partitions {
        /// The window.
        window: u64,
        /// Topic id of the first entry.
        topic_id: u64,
        /// Its partition.
        partition: u16,
        /// Its base offset.
        base: u64,
    },
    /// A piece in slot order; its first entry.
    Slots {
        /// The window.
        window: u64,
        /// Slot of the first entry.
        slot: u16,
        /// Its slot sequence.
        sequence: u64,
    },
    /// A piece of the Bloom filter.
    Bloom {
        /// The window.
        window: u64,
        /// Counted from 0.
        number: u16,
    },
    /// A piece of the snapshot.
    Snapshot {
        /// The window.
        window: u64,
        /// Counted from 0.
        number: u16,
    },
}

impl Key {
    /// Which section it belongs to.
    pub fn section(&self) -> Section {
        match self {
            Key::Header { .. } => Section::Header,
            Key::Partitions { .. } => Section::Partitions,
            Key::Slots { .. } => Section::Slots,
            Key::Bloom { .. } => Section::Bloom,
            Key::Snapshot { .. } => Section::Snapshot,
        }
    }

    /// The bytes of the key: sections of a window sort one after the other.
    pub fn encode(&self) -> Vec<u8> {
        let (Key::Header { window }
        | Key::Partitions { window, .. }
        | Key::Slots { window, .. }
        | Key::Bloom { window, .. }
        | Key::Snapshot { window, .. }) = *self;
        let mut out = Vec::with_capacity(27);
        out.extend(window.to_be_bytes());
        out.push(self.section() as u8);
        match *self {
            Key::Header { .. } => {}
            Key::Partitions { topic_id, partition, base, .. } => {
                out.extend(topic_id.to_be_bytes());
                out.extend(partition.to_be_bytes());
                out.extend(base.to_be_bytes());
            }
            Key::Slots { slot, sequence, .. } => {
                out.extend(slot.to_be_bytes());
                out.extend(sequence.to_be_bytes());
            }
            Key::Bloom { number, .. } | Key::Snapshot { number, .. } => out.extend(number.to_be_bytes()),
        }
        out
    }

    /// The key that [`Key::encode`] wrote.
    pub fn parse(key: &[u8]) -> Result<Self, Damage> {
        let big = |at| u64::from_be_bytes(field(key, at));
        let short = |at| u16::from_be_bytes(field(key, at));
        match (key.len(), key.get(8)) {
            (9, Some(0)) => Ok(Key::Header { window: big(0) }),
            (27, Some(1)) => {
                Ok(Key::Partitions { window: big(0), topic_id: big(9), partition: short(17), base: big(19) })
            }
            (19, Some(2)) => Ok(Key::Slots { window: big(0), slot: short(9), sequence: big(11) }),
            (11, Some(3)) => Ok(Key::Bloom { window: big(0), number: short(9) }),
            (11, Some(4)) => Ok(Key::Snapshot { window: big(0), number: short(9) }),
            (length, section) => {
                let section = section.map_or_else(|| "none".into(), u8::to_string);
                Err(Damage::new(format!("index key of {length} bytes with section {section} is none")))
            }
        }
    }
}

/// Count and entries of an index value whose head and checksum hold.
pub(super) fn open(value: &[u8], section: Section) -> Result<(usize, &[u8]), Damage> {
    let damage = |what: String| Damage::new(format!("index value of section {}: {what}", section as u8));
    let Some(head) = value.first_chunk::<HEAD_LEN>() else {
        return Err(damage(format!("{} bytes are less than a head of {HEAD_LEN}", value.len())));
    };
    if head[0] != VERSION {
        return Err(damage(format!("version {} is not {VERSION}", head[0])));
    }
    if head[1] != section as u8 || head[2..4] != [0, 0] {
        return Err(damage(format!("it says of itself section {}, then {:?}", head[1], &head[2..4])));
    }
    if value.len() > DISK_VALUE_BYTES_MAX {
        let length = value.len();
        return Err(damage(format!("{length} bytes exceed disk_value_bytes_max {DISK_VALUE_BYTES_MAX}")));
    }
    let (count, body) = (u32_at(head, 4) as usize, &value[HEAD_LEN..]);
    let (found, stated) = (xxh3_64(body), u64_at(head, 8));
    if found != stated {
        return Err(damage(format!(
            "checksum over {} bytes is {found:#018x}, not {stated:#018x}",
            body.len()
        )));
    }
    Ok((count, body))
}

/// [`open`] of entries that all have `size` bytes.
pub(super) fn open_sized(value: &[u8], section: Section, size: usize) -> Result<(usize, &[u8]), Damage> {
    let (count, body) = open(value, section)?;
    if count == 0 || count.checked_mul(size) != Some(body.len()) {
        let (number, length) = (section as u8, body.len());
        let reason = format!(
            "index value of section {number}: {count} entries of {size} bytes are not the {length} there"
        );
        return Err(Damage::new(reason));
    }
    Ok((count, body))
}

/// Writes an index value of `body_len` bytes after its head to `tail` and says where it lies.
pub(super) fn put(
    tail: &mut Tail,
    section: Section,
    count: usize,
    body_len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Range<usize> {
    debug_assert!(body_len <= BODY_BYTES_MAX);
    let start = tail.append(HEAD_LEN + body_len, |out| {
        let (head, body) = out.split_at_mut(HEAD_LEN);
        fill(body);
        head[0] = VERSION;
        head[1] = section as u8;
        head[4..8].copy_from_slice(&(count as u32).to_le_bytes());
        head[8..16].copy_from_slice(&xxh3_64(body).to_le_bytes());
    });
    start..start + HEAD_LEN + body_len
}

/// What a window covers, and how many values its block has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Position of its first byte.
    pub first_lsn: u64,
    /// Position after its last byte.
    pub end_lsn: u64,
    /// Whole batches inside.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Oldest append time, ns since the Unix epoch; 0 without a batch.
    pub oldest_ns: i64,
    /// Newest append time, ns since the Unix epoch; 0 without a batch.
    pub newest_ns: i64,
    /// Bytes of the Bloom filter.
    pub bloom_bytes: u32,
    /// Values of the sections 1 to 4.
    pub pieces: [u32; 4],
}

impl Header {
    pub(super) fn put(&self, tail: &mut Tail) -> Range<usize> {
        put(tail, Section::Header, 1, HEADER_BODY_LEN, |out| {
            out[0..8].copy_from_slice(&self.first_lsn.to_le_bytes());
            out[8..16].copy_from_slice(&self.end_lsn.to_le_bytes());
            out[16..24].copy_from_slice(&self.batches.to_le_bytes());
            out[24..32].copy_from_slice(&self.records.to_le_bytes());
            out[32..40].copy_from_slice(&self.oldest_ns.to_le_bytes());
            out[40..48].copy_from_slice(&self.newest_ns.to_le_bytes());
            out[48..52].copy_from_slice(&self.bloom_bytes.to_le_bytes());
            for (at, count) in self.pieces.iter().enumerate() {
                out[52 + 4 * at..56 + 4 * at].copy_from_slice(&count.to_le_bytes());
            }
        })
    }

    /// Bytes of its value.
    pub(super) const VALUE_LEN: usize = HEAD_LEN + HEADER_BODY_LEN;

    /// The header in `value`; every number is checked against its bounds.
    pub fn parse(value: &[u8]) -> Result<Self, Damage> {
        let (_, body) = open_sized(value, Section::Header, HEADER_BODY_LEN)?;
        let header = Self {
            first_lsn: u64_at(body, 0),
            end_lsn: u64_at(body, 8),
            batches: u64_at(body, 16),
            records: u64_at(body, 24),
            oldest_ns: i64_at(body, 32),
            newest_ns: i64_at(body, 40),
            bloom_bytes: u32_at(body, 48),
            pieces: [u32_at(body, 52), u32_at(body, 56), u32_at(body, 60), u32_at(body, 64)],
        };
        let covered = header.end_lsn.checked_sub(header.first_lsn);
        let holds = body.len() == HEADER_BODY_LEN
            && covered.is_some_and(|covered| (1..=WINDOW_BYTES_MAX).contains(&covered))
            && header.oldest_ns <= header.newest_ns
            && header.bloom_bytes as usize % bloom::BLOCK_LEN == 0
            && (header.batches == 0) == (header.bloom_bytes == 0)
            && header.pieces == header.expected_pieces();
        if !holds {
            return Err(Damage::new(format!("window header does not agree with itself: {header:?}")));
        }
        Ok(header)
    }

    /// What the sections 1 to 3 must have; the snapshot has what it has.
    pub(super) fn expected_pieces(&self) -> [u32; 4] {
        [
            self.batches.div_ceil(entries::PARTITION_ENTRIES_MAX as u64) as u32,
            self.batches.div_ceil(entries::SLOT_ENTRIES_MAX as u64) as u32,
            (self.bloom_bytes as usize).div_ceil(bloom::PIECE_BYTES_MAX) as u32,
            self.pieces[3],
        ]
    }
}

/// Checks a value of the database `index` against its key: head, checksum, counts, and that the key names it.
pub fn check_value(key: &[u8], value: &[u8]) -> Result<(), Damage> {
    let belongs = match Key::parse(key)? {
        Key::Header { window } => Header::parse(value)?.first_lsn == window,
        Key::Partitions { topic_id, partition, base, .. } => {
            let first = entries::PartitionEntries::open(value)?.get(0);
            (first.topic_id, first.partition, first.base) == (topic_id, partition, base)
        }
        Key::Slots { slot, sequence, .. } => {
            let first = entries::SlotEntries::open(value)?.get(0);
            (first.slot, first.sequence) == (slot, sequence)
        }
        Key::Bloom { .. } => bloom::Bloom::open(value).map(|_| true)?,
        Key::Snapshot { .. } => snapshot::entries(value).map(|_| true)?,
    };
    if !belongs {
        return Err(Damage::new("index value lies under the key of another"));
    }
    Ok(())
}
