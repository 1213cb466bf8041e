//! A reader's next positions as one opaque text that every node understands.
//!
//! Bytes, little-endian: version (1), then for each partition, ascending and each once, topic id (8), partition (2),
//! epoch (4), next offset (8); last the low half of XXH3-64 of everything before. As text: base64url (RFC 4648
//! section 5) without padding. In: text of clients, checked against its longest length before anything is allocated.
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::READ_PARTITIONS_MAX;
use crate::problem::{Code, Problem};

const VERSION: u8 = 1;
const ENTRY_LEN: usize = 22;
const CHECK_LEN: usize = 4;
const BYTES_LEN_MAX: usize = 1 + READ_PARTITIONS_MAX * ENTRY_LEN + CHECK_LEN;
/// Characters of the longest cursor.
pub const CURSOR_LEN_MAX: usize = (BYTES_LEN_MAX * 4).div_ceil(3);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NOT_BASE64: u8 = 0xff;
const VALUES: [u8; 256] = {
    let mut values = [NOT_BASE64; 256];
    let mut index = 0;
    while index < 64 {
        values[ALPHABET[index] as usize] = index as u8;
        index += 1;
    }
    values
};

/// The next position of a reader in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The topic's id.
    pub topic_id: u64,
    /// The partition.
    pub partition: u16,
    /// Epoch of the slot's leader that served the last record.
    pub epoch: u32,
    /// Offset to read next.
    pub next: u64,
}

impl Entry {
    fn place(&self) -> (u64, u16) {
        (self.topic_id, self.partition)
    }

    fn write(&self, at: &mut [u8]) {
        at[0..8].copy_from_slice(&self.topic_id.to_le_bytes());
        at[8..10].copy_from_slice(&self.partition.to_le_bytes());
        at[10..14].copy_from_slice(&self.epoch.to_le_bytes());
        at[14..22].copy_from_slice(&self.next.to_le_bytes());
    }
}

/// The cursor over `entries` in any order: at most `READ_PARTITIONS_MAX`, no partition twice. A read is refused before
/// it covers more, so anything else is a defect of the caller: see [`try_encode`] for entries from outside.
pub fn encode(entries: &[Entry]) -> String {
    if let [entry] = entries {
        return encode_one(entry);
    }
    try_encode(entries).unwrap_or_else(|problem| panic!("{}", problem.detail))
}

/// The cursor of one partition: every message of a stream carries one, so nothing is sorted or cleared for it.
fn encode_one(entry: &Entry) -> String {
    let mut bytes = [0; 1 + ENTRY_LEN + CHECK_LEN];
    bytes[0] = VERSION;
    entry.write(&mut bytes[1..=ENTRY_LEN]);
    let check = check_of(&bytes[..=ENTRY_LEN]);
    bytes[1 + ENTRY_LEN..].copy_from_slice(&check);
    to_base64(&bytes)
}

/// [`encode`] of entries that nobody has checked: `TooManyPartitions`, or `InvalidCursor` for a partition twice.
pub fn try_encode(entries: &[Entry]) -> Result<String, Problem> {
    if entries.len() > READ_PARTITIONS_MAX {
        let detail = format!("{} partitions exceed read_partitions_max {READ_PARTITIONS_MAX}", entries.len());
        return Err(Problem::new(Code::TooManyPartitions, detail));
    }
    let mut sorted: [Entry; READ_PARTITIONS_MAX] =
        [Entry { topic_id: 0, partition: 0, epoch: 0, next: 0 }; READ_PARTITIONS_MAX];
    let sorted = &mut sorted[..entries.len()];
    sorted.copy_from_slice(entries);
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0].place() == pair[1].place()) {
        return Err(invalid("cursor has a partition twice"));
    }
    let mut bytes = [0; BYTES_LEN_MAX];
    bytes[0] = VERSION;
    let mut length = 1;
    for entry in sorted {
        entry.write(&mut bytes[length..length + ENTRY_LEN]);
        length += ENTRY_LEN;
    }
    let check = check_of(&bytes[..length]);
    bytes[length..length + CHECK_LEN].copy_from_slice(&check);
    Ok(to_base64(&bytes[..length + CHECK_LEN]))
}

/// The entries of a cursor, ascending by topic id and partition; `InvalidCursor` for text that [`encode`] never wrote.
pub fn decode(text: &str) -> Result<Vec<Entry>, Problem> {
    if text.len() > CURSOR_LEN_MAX {
        return Err(invalid(&format!("cursor of {} characters exceeds {CURSOR_LEN_MAX}", text.len())));
    }
    let mut buffer = [0; BYTES_LEN_MAX];
    let bytes = from_base64(text.as_bytes(), &mut buffer)
        .ok_or_else(|| invalid("cursor is not base64url without padding"))?;
    let (head, check) =
        bytes.split_last_chunk::<CHECK_LEN>().ok_or_else(|| invalid("cursor is too short"))?;
    let (version, entries) = head.split_first().ok_or_else(|| invalid("cursor is too short"))?;
    if check_of(head) != *check {
        return Err(invalid("cursor is damaged (its check does not hold)"));
    }
    if *version != VERSION {
        return Err(invalid(&format!("cursor has version {version}, this node reads {VERSION}")));
    }
    if entries.len() % ENTRY_LEN != 0 {
        return Err(invalid(&format!(
            "cursor has {} bytes of partitions, each takes {ENTRY_LEN}",
            entries.len()
        )));
    }
    let entries: Vec<Entry> = entries.chunks_exact(ENTRY_LEN).map(entry_of).collect();
    if entries.windows(2).any(|pair| pair[0].place() >= pair[1].place()) {
        return Err(invalid("cursor has partitions out of order"));
    }
    Ok(entries)
}

#[cold]
fn invalid(detail: &str) -> Problem {
    Problem::new(Code::InvalidCursor, detail)
}

fn check_of(bytes: &[u8]) -> [u8; CHECK_LEN] {
    (xxh3_64(bytes) as u32).to_le_bytes()
}

fn entry_of(bytes: &[u8]) -> Entry {
    fn number(bytes: &[u8]) -> u64 {
        bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    }
    Entry {
        topic_id: number(&bytes[0..8]),
        partition: number(&bytes[8..10]) as u16,
        epoch: number(&bytes[10..14]) as u32,
        next: number(&bytes[14..22]),
    }
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 4).div_ceil(3));
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0u32, |bits, (index, &byte)| bits | u32::from(byte) << (16 - 8 * index));
        for index in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * index)) as usize & 63]));
        }
    }
    text
}

/// Decodes at most `out.len()` bytes; `None` for a foreign character, a length or spare bits that no encoder writes.
fn from_base64<'a>(text: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for (index, &character) in group.iter().enumerate() {
            let value = VALUES[usize::from(character)];
            if value == NOT_BASE64 {
                return None;
            }
            bits |= u32::from(value) << (18 - 6 * index);
        }
        let count = group.len() - 1;
        if count == 0 || bits & ((1u32 << (24 - 8 * count)) - 1) != 0 {
            return None;
        }
        out.get_mut(length..length + count)?.copy_from_slice(&bits.to_be_bytes()[1..=count]);
        length += count;
    }
    Some(&out[..length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        prop::collection::btree_map(
            (any::<u64>(), any::<u16>()),
            (any::<u32>(), any::<u64>()),
            0..=READ_PARTITIONS_MAX,
        )
        .prop_map(|map| {
            let entry = |((topic_id, partition), (epoch, next))| Entry { topic_id, partition, epoch, next };
            map.into_iter().map(entry).collect()
        })
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back_in_order(entries in entries()) {
            let mut reversed = entries.clone();
            reversed.reverse();
            let text = encode(&reversed);
            prop_assert!(text.len() <= CURSOR_LEN_MAX);
            prop_assert_eq!(decode(&text), Ok(entries));
        }

        #[test]
        fn a_cursor_with_another_character_or_length_is_refused(entries in entries(), at: prop::sample::Index, to in 0..64usize) {
            let mut text = encode(&entries).into_bytes();
            let at = at.index(text.len());
            prop_assume!(text[at] != ALPHABET[to]);
            prop_assert!(decode(std::str::from_utf8(&text[..at]).unwrap()).is_err());
            text[at] = ALPHABET[to];
            prop_assert_eq!(decode(std::str::from_utf8(&text).unwrap()).unwrap_err().code, Code::InvalidCursor);
        }

        #[test]
        fn any_text_is_a_cursor_or_refused(text: String) {
            if let Ok(entries) = decode(&text) {
                prop_assert_eq!(encode(&entries), text);
            }
        }
    }

    #[test]
    fn one_partition_takes_36_characters() {
        assert_eq!(encode(&[Entry { topic_id: 1, partition: 2, epoch: 3, next: 4 }]).len(), 36);
    }

    #[test]
    fn the_longest_cursor_fits_and_one_character_more_is_refused_by_its_length() {
        let entries: Vec<Entry> = (0..READ_PARTITIONS_MAX as u16)
            .map(|partition| Entry { topic_id: 1, partition, epoch: 0, next: 0 })
            .collect();
        let text = encode(&entries);
        assert_eq!(text.len(), CURSOR_LEN_MAX);
        assert!(decode(&(text + "A")).unwrap_err().detail.contains("exceeds"));
    }

    #[test]
    fn a_version_of_the_future_is_named() {
        let mut bytes = vec![2];
        bytes.extend(check_of(&bytes));
        assert!(decode(&to_base64(&bytes)).unwrap_err().detail.contains("version 2"));
    }

    #[test]
    fn partitions_out_of_order_or_twice_are_refused() {
        let mut bytes = vec![VERSION];
        bytes.extend([0; 2 * ENTRY_LEN]);
        bytes.extend(check_of(&bytes));
        assert!(decode(&to_base64(&bytes)).unwrap_err().detail.contains("out of order"));
    }

    #[test]
    fn more_partitions_or_one_twice_are_refused() {
        let entry = Entry { topic_id: 1, partition: 2, epoch: 3, next: 4 };
        let later = Entry { epoch: 4, ..entry };
        assert_eq!(try_encode(&[entry, later]).unwrap_err().code, Code::InvalidCursor);
        assert_eq!(try_encode(&[entry; READ_PARTITIONS_MAX + 1]).unwrap_err().code, Code::TooManyPartitions);
    }

    #[test]
    fn padding_and_spare_bits_are_refused() {
        let mut out = [0; 8];
        assert_eq!(from_base64(b"AQ", &mut out), Some(&[1][..]));
        assert_eq!(from_base64(b"AR", &mut out), None);
        assert_eq!(from_base64(b"AQ==", &mut out), None);
        assert_eq!(from_base64(b"AQID+A", &mut out), None);
        assert_eq!(from_base64(b"A", &mut out), None);
    }
}
