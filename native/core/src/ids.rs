//! Names and numbers that place a message: topic names, topic ids, message ids, slots, partitions of keys.
//!
//! In: bytes and integers. Out: the same for ever; `tests/golden/ids.json` holds vectors made by another
//! implementation. Hashes are XXH3-64 with seed 0.
use std::fmt;

use xxhash_rust::xxh3::{xxh3_64, Xxh3};

use crate::limits::TOPIC_BYTES_MAX;
use crate::problem::{Code, Problem};

/// Characters of a topic id as text.
pub const TOPIC_ID_LEN: usize = 13;
/// Characters of the longest message id: topic id, partition (5), mark and number (20), two hyphens.
pub const MESSAGE_ID_LEN_MAX: usize = TOPIC_ID_LEN + 5 + 21 + 2;

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// What topic names of the node itself begin with.
const INTERNAL_PREFIX: &[u8] = b"$sys.";
const SLOT_BITS: u32 = 12;

/// A topic id as text: RFC 4648 base32, lowercase, no padding, of its 8 big-endian bytes.
pub fn topic_id_text(topic_id: u64) -> [u8; TOPIC_ID_LEN] {
    // 13 characters are 65 bits: the last character has one bit of zero after the id.
    let bits = u128::from(topic_id) << 1;
    std::array::from_fn(|index| BASE32[(bits >> (5 * (TOPIC_ID_LEN - 1 - index))) as usize & 31])
}

/// The topic id that [`topic_id_text`] wrote, or `None` for any other text.
pub fn parse_topic_id(text: &[u8]) -> Option<u64> {
    let text: &[u8; TOPIC_ID_LEN] = text.try_into().ok()?;
    let mut bits = 0u128;
    for &character in text {
        let value = match character {
            b'a'..=b'z' => character - b'a',
            b'2'..=b'7' => character - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u128::from(value);
    }
    if bits & 1 == 0 {
        Some((bits >> 1) as u64)
    } else {
        None
    }
}

/// Where a message is: its place, or its turn in the schedule while it is delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// Offset in the partition.
    Offset(u64),
    /// Number of a delayed message that has no offset yet.
    Delayed(u64),
}

/// `{topic id}-{partition}-{offset}`, or `…-d{n}` for a delayed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The topic's id.
    pub topic_id: u64,
    /// The partition.
    pub partition: u16,
    /// Offset, or number of the delayed message; below 2^63.
    pub position: Position,
}

impl MessageId {
    /// The id of a stored message.
    pub fn at(topic_id: u64, partition: u16, offset: u64) -> Self {
        Self { topic_id, partition, position: Position::Offset(offset) }
    }

    /// Appends the id as text; no allocation beyond `out`.
    pub fn write_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&topic_id_text(self.topic_id));
        out.push(b'-');
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(self.partition).as_bytes());
        out.push(b'-');
        let number = match self.position {
            Position::Offset(offset) => offset,
            Position::Delayed(number) => {
                out.push(b'd');
                number
            }
        };
        out.extend_from_slice(digits.format(number).as_bytes());
    }

    /// Parses exactly what [`MessageId::write_into`] writes; `InvalidParameter` for anything else.
    pub fn parse(text: &[u8]) -> Result<Self, Problem> {
        Self::parsed(text).ok_or_else(|| {
            let shown = String::from_utf8_lossy(&text[..text.len().min(MESSAGE_ID_LEN_MAX)]);
            let detail =
                format!("message id {shown:?} is not {{topic id, 13 base32}}-{{partition}}-{{offset}}");
            Problem::new(Code::InvalidParameter, detail)
        })
    }

    fn parsed(text: &[u8]) -> Option<Self> {
        if text.len() > MESSAGE_ID_LEN_MAX {
            return None;
        }
        let (topic_id, rest) = text.split_at_checked(TOPIC_ID_LEN)?;
        let rest = rest.strip_prefix(b"-")?;
        let hyphen = rest.iter().position(|&byte| byte == b'-')?;
        let partition = u16::try_from(decimal(&rest[..hyphen])?).ok()?;
        let number = &rest[hyphen + 1..];
        let position = match number.strip_prefix(b"d") {
            Some(number) => Position::Delayed(decimal(number)?),
            None => Position::Offset(decimal(number)?),
        };
        Some(Self { topic_id: parse_topic_id(topic_id)?, partition, position })
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(MESSAGE_ID_LEN_MAX);
        self.write_into(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// A decimal number below 2^63 without leading zeros.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    let mut value = 0u64;
    for &digit in text {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    i64::try_from(value).is_ok().then_some(value)
}

/// The slot of a partition: the top 12 bits of XXH3-64(name ‖ 0x00 ‖ u32le partition).
#[inline]
pub fn slot_of(name: &[u8], partition: u32) -> u16 {
    const TAIL_LEN: usize = 5;
    let mut tail = [0; TAIL_LEN];
    tail[1..].copy_from_slice(&partition.to_le_bytes());
    let hash = if name.len() <= TOPIC_BYTES_MAX {
        let mut bytes = [0; TOPIC_BYTES_MAX + TAIL_LEN];
        bytes[..name.len()].copy_from_slice(name);
        bytes[name.len()..name.len() + TAIL_LEN].copy_from_slice(&tail);
        xxh3_64(&bytes[..name.len() + TAIL_LEN])
    } else {
        let mut hasher = Xxh3::new();
        hasher.update(name);
        hasher.update(&tail);
        hasher.digest()
    };
    (hash >> (u64::BITS - SLOT_BITS)) as u16
}

/// The partition of a key: XXH3-64(key) mod `partitions`, which is at least 1.
#[inline]
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    debug_assert!(partitions > 0);
    (xxh3_64(key) % u64::from(partitions.max(1))) as u32
}

/// Whether a client may name a topic so: 1 to 249 bytes, tokens of `A–Z a–z 0–9 _ ~ -` joined by `.`.
///
/// `InvalidTopic` names what is wrong. Names in `$sys.` belong to the node.
#[inline]
pub fn valid_topic(name: &[u8]) -> Result<(), Problem> {
    if name.is_empty() || name.len() > TOPIC_BYTES_MAX {
        return Err(topic_problem(format!(
            "topic name of {} bytes is not 1 to topic_bytes_max {TOPIC_BYTES_MAX}",
            name.len()
        )));
    }
    let mut previous = b'.';
    for (index, &byte) in name.iter().enumerate() {
        if byte == b'.' && previous == b'.' {
            return Err(topic_problem(format!("topic name has an empty token at byte {index}")));
        }
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'~' | b'-' | b'.')) {
            return Err(topic_problem(unexpected(name, index)));
        }
        previous = byte;
    }
    if previous == b'.' {
        return Err(topic_problem(format!("topic name has an empty token at byte {}", name.len())));
    }
    Ok(())
}

#[cold]
fn topic_problem(detail: String) -> Problem {
    Problem::new(Code::InvalidTopic, detail)
}

#[cold]
fn unexpected(name: &[u8], index: usize) -> String {
    if name.starts_with(INTERNAL_PREFIX) {
        return "topic names that begin with \"$sys.\" belong to the node".into();
    }
    let byte = name[index];
    format!(
        "topic name has byte 0x{byte:02x} at {index}; allowed are A-Z a-z 0-9 _ ~ - in tokens joined by ."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_topic_id_is_base32_of_its_big_endian_bytes() {
        assert_eq!(&topic_id_text(0), b"aaaaaaaaaaaaa");
        assert_eq!(&topic_id_text(u64::MAX), b"7777777777776");
        // "foobar" in RFC 4648 is MZXW6YTBOI======; two more bytes make 64 bits.
        assert_eq!(&topic_id_text(u64::from_be_bytes(*b"foobar\0\0")), b"mzxw6ytboiaaa");
    }

    #[test]
    fn a_topic_id_with_another_length_case_digit_or_low_bit_is_refused() {
        for text in ["aaaaaaaaaaaa", "aaaaaaaaaaaaaa", "Aaaaaaaaaaaaa", "1aaaaaaaaaaaa", "7777777777777", ""]
        {
            assert_eq!(parse_topic_id(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_message_id_with_anything_else_in_it_is_refused() {
        let good = "aaaaaaaaaaaaa-1-2";
        assert_eq!(MessageId::parse(good.as_bytes()), Ok(MessageId::at(0, 1, 2)));
        for bad in [
            "",
            "aaaaaaaaaaaaa",
            "aaaaaaaaaaaaa-",
            "aaaaaaaaaaaaa-1",
            "aaaaaaaaaaaaa-1-",
            "aaaaaaaaaaaaa--2",
            "aaaaaaaaaaaaa-01-2",
            "aaaaaaaaaaaaa-1-02",
            "aaaaaaaaaaaaa-65536-2",
            "aaaaaaaaaaaaa-1-9223372036854775808",
            "aaaaaaaaaaaaa-1-d",
            "aaaaaaaaaaaaa-1-2 ",
            "aaaaaaaaaaaaa-1--2",
            "aaaaaaaaaaaaa-+1-2",
            "aaaaaaaaaaaa\u{e4}-1-2",
            "aaaaaaaaaaaaa-1-99999999999999999999999999999999",
        ] {
            assert_eq!(MessageId::parse(bad.as_bytes()).unwrap_err().code, Code::InvalidParameter, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ids_read_back(topic_id: u64, partition: u16, number in 0..=i64::MAX as u64, delayed: bool) {
            prop_assert_eq!(parse_topic_id(&topic_id_text(topic_id)), Some(topic_id));
            let position = if delayed { Position::Delayed(number) } else { Position::Offset(number) };
            let id = MessageId { topic_id, partition, position };
            let text = id.to_string();
            prop_assert!(text.len() <= MESSAGE_ID_LEN_MAX);
            prop_assert_eq!(MessageId::parse(text.as_bytes()), Ok(id));
        }

        #[test]
        fn any_text_is_an_id_or_refused(text: Vec<u8>) {
            if let Ok(id) = MessageId::parse(&text) {
                prop_assert_eq!(id.to_string().into_bytes(), text);
            }
        }

        #[test]
        fn a_slot_depends_on_the_name_and_the_partition_only(name in prop::collection::vec(any::<u8>(), 0..600), partition: u32) {
            let mut bytes = name.clone();
            bytes.push(0);
            bytes.extend(partition.to_le_bytes());
            prop_assert_eq!(slot_of(&name, partition), (xxh3_64(&bytes) >> 52) as u16);
        }

        #[test]
        fn a_partition_of_a_key_exists(key: Vec<u8>, partitions in 1..=1024u32) {
            prop_assert!(partition_of_key(&key, partitions) < partitions);
        }

        #[test]
        fn a_name_of_tokens_is_valid(name in "[A-Za-z0-9_~-]{1,9}(\\.[A-Za-z0-9_~-]{1,9}){0,9}") {
            prop_assert_eq!(valid_topic(name.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn a_topic_name_has_1_to_249_bytes() {
        assert!(valid_topic(&[b'a'; TOPIC_BYTES_MAX]).is_ok());
        assert!(valid_topic(&[b'a'; TOPIC_BYTES_MAX + 1]).unwrap_err().detail.contains("250"));
        assert!(valid_topic(b"").unwrap_err().detail.contains("0 bytes"));
    }

    #[test]
    fn a_topic_name_outside_the_grammar_is_refused_with_its_reason() {
        for (name, reason) in [
            ("$sys.topics", "belong to the node"),
            ("$sysx", "0x24 at 0"),
            (".a", "empty token at byte 0"),
            ("a..b", "empty token at byte 2"),
            ("a.", "empty token at byte 2"),
            ("a b", "0x20 at 1"),
            ("a.*", "0x2a at 2"),
            ("a.>", "0x3e at 2"),
            ("a/b", "0x2f at 1"),
            ("\u{fc}", "0xc3 at 0"),
        ] {
            let problem = valid_topic(name.as_bytes()).unwrap_err();
            assert_eq!(problem.code, Code::InvalidTopic);
            assert!(problem.detail.contains(reason), "{name}: {}", problem.detail);
        }
    }
}
