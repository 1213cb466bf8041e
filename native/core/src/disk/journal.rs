//! A record of the journal: log bytes in front of the database, drawn in `docs/design/disk.md`.
use super::{u32_at, u64_at};
use crate::limits::JOURNAL_RECORD_BYTES_MAX;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes before the log bytes of a record.
pub const RECORD_HEADER_LEN: usize = 32;

/// The record that holds `parts`, the log from `lsn` on.
#[must_use]
pub fn record(salt: u64, lsn: u64, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    assert!((1..=JOURNAL_RECORD_BYTES_MAX).contains(&length), "a record of {length} bytes");
    let mut record = Vec::with_capacity(RECORD_HEADER_LEN + length);
    record.extend_from_slice(&[0; 8]);
    record.extend_from_slice(&salt.to_le_bytes());
    record.extend_from_slice(&lsn.to_le_bytes());
    record.extend_from_slice(&(length as u64).to_le_bytes());
    for part in parts {
        record.extend_from_slice(part);
    }
    let checksum = xxh3_64(&record[8..]);
    record[..8].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// Where the log is that a record begins with which `bytes` begin, whole or not; `None` when none of this salt does.
#[must_use]
pub fn begun(salt: u64, bytes: &[u8]) -> Option<u64> {
    (bytes.len() >= RECORD_HEADER_LEN && u64_at(bytes, 8) == salt).then(|| u64_at(bytes, 16))
}

/// Position and log bytes of the record with which `bytes` begin; `None` when it is not whole.
#[must_use]
pub fn whole(salt: u64, bytes: &[u8]) -> Option<(u64, &[u8])> {
    let lsn = begun(salt, bytes)?;
    let length = u32_at(bytes, 24) as usize;
    if !(1..=JOURNAL_RECORD_BYTES_MAX).contains(&length) {
        return None;
    }
    let record = bytes.get(..RECORD_HEADER_LEN + length)?;
    (xxh3_64(&record[8..]) == u64_at(record, 0)).then(|| (lsn, &record[RECORD_HEADER_LEN..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 0x0123_4567_89ab_cdef;

    #[test]
    fn a_record_is_its_parts_at_a_position() {
        let bytes = record(SALT, 7, &[b"ab", b"", b"cde"]);
        assert_eq!(bytes.len(), RECORD_HEADER_LEN + 5);
        assert_eq!(whole(SALT, &bytes), Some((7, &b"abcde"[..])));
        let more = [&bytes[..], b"what lay there before"].concat();
        assert_eq!(whole(SALT, &more), Some((7, &b"abcde"[..])));
    }

    #[test]
    fn any_bit_that_flips_makes_it_none() {
        let bytes = record(SALT, 7, &[b"some bytes of the log"]);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(whole(SALT, &damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn a_part_of_it_is_none_and_begun() {
        let bytes = record(SALT, 7, &[b"some bytes of the log"]);
        for length in 0..bytes.len() {
            assert_eq!(whole(SALT, &bytes[..length]), None);
            assert_eq!(begun(SALT, &bytes[..length]).is_some(), length >= RECORD_HEADER_LEN);
        }
    }

    #[test]
    fn one_of_another_salt_is_none() {
        let bytes = record(SALT, 7, &[b"x"]);
        assert_eq!((whole(SALT + 1, &bytes), begun(SALT + 1, &bytes)), (None, None));
    }
}
