//! The 61 bytes before the records.
use super::{BatchError, Codec};
use crate::limits::BATCH_BYTES_MAX;

/// Bytes before the first record.
pub const HEADER_LEN: usize = 61;
/// Bytes that the length field does not count (base offset and the field itself).
const UNCOUNTED_LEN: usize = 12;
/// First byte that the checksum covers.
pub(super) const CHECKED_FROM: usize = 21;
const MAGIC: u8 = 2;

/// The header of a batch, field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Offset of the first record; whatever the producer wrote until [`stamp`].
    pub base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub length: usize,
    /// Epoch of the leader that placed the batch.
    pub leader_epoch: i32,
    /// CRC32C of everything from the attributes on.
    pub crc: u32,
    /// Codec (bits 0–2) and flags.
    pub attributes: i16,
    /// Offset of the last record minus the base offset.
    pub last_offset_delta: i32,
    /// Milliseconds since the Unix epoch that record deltas count from.
    pub base_timestamp_ms: i64,
    /// Largest record timestamp, as the producer states it.
    pub max_timestamp_ms: i64,
    /// Producer id, or -1.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence of the first record, or -1.
    pub base_sequence: i32,
    /// Records in the batch.
    pub records_count: i32,
}

/// `N` bytes at a fixed place that the caller knows to exist.
#[inline(always)]
fn field<const N: usize>(head: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&head[at..at + N]);
    out
}

impl Header {
    /// The header at the start of `bytes`, or `None` when fewer than 61 bytes are there and nothing is wrong yet.
    ///
    /// Length (negative, below a header, above `BATCH_BYTES_MAX`) and magic are checked as soon as their bytes are
    /// there. The batch itself may be incomplete, its checksum is not looked at: see [`super::verify`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Header>, BatchError> {
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            if let Some(length) = bytes.get(8..12) {
                checked_length(i32::from_be_bytes([length[0], length[1], length[2], length[3]]))?;
            }
            bytes.get(16).map_or(Ok(()), |&magic| checked_magic(magic))?;
            return Ok(None);
        };
        let length = checked_length(i32::from_be_bytes(field(head, 8)))?;
        checked_magic(head[16])?;
        Ok(Some(Header {
            base_offset: i64::from_be_bytes(field(head, 0)),
            length,
            leader_epoch: i32::from_be_bytes(field(head, 12)),
            crc: u32::from_be_bytes(field(head, 17)),
            attributes: i16::from_be_bytes(field(head, 21)),
            last_offset_delta: i32::from_be_bytes(field(head, 23)),
            base_timestamp_ms: i64::from_be_bytes(field(head, 27)),
            max_timestamp_ms: i64::from_be_bytes(field(head, 35)),
            producer_id: i64::from_be_bytes(field(head, 43)),
            producer_epoch: i16::from_be_bytes(field(head, 51)),
            base_sequence: i32::from_be_bytes(field(head, 53)),
            records_count: i32::from_be_bytes(field(head, 57)),
        }))
    }

    /// The codec of the records, or `UnsupportedMediaType` for a number that is none.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        Codec::from_attributes(self.attributes)
    }

    /// Whether `batch`, which holds at least [`Self::length`] bytes, has the checksum that its header states.
    #[inline]
    pub fn has_valid_crc(&self, batch: &[u8]) -> bool {
        batch.get(CHECKED_FROM..self.length).is_some_and(|checked| crc32c::crc32c(checked) == self.crc)
    }

    /// The header as bytes, with the checksum over itself and `records` (already compressed if the attributes say so).
    /// `length` and `crc` of `self` are ignored.
    #[inline]
    pub(super) fn encode(&self, records: &[u8]) -> [u8; HEADER_LEN] {
        debug_assert!(records.len() <= BATCH_BYTES_MAX);
        let mut head = [0; HEADER_LEN];
        head[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        head[8..12].copy_from_slice(&((HEADER_LEN + records.len() - UNCOUNTED_LEN) as i32).to_be_bytes());
        head[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        head[16] = MAGIC;
        head[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        head[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        head[27..35].copy_from_slice(&self.base_timestamp_ms.to_be_bytes());
        head[35..43].copy_from_slice(&self.max_timestamp_ms.to_be_bytes());
        head[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        head[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        head[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        head[57..61].copy_from_slice(&self.records_count.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[CHECKED_FROM..]), records);
        head[17..21].copy_from_slice(&crc.to_be_bytes());
        head
    }
}

#[inline]
fn checked_length(counted: i32) -> Result<usize, BatchError> {
    let length = i64::from(counted) + UNCOUNTED_LEN as i64;
    if length < HEADER_LEN as i64 {
        return Err(BatchError::invalid(
            8,
            format!("batch of {length} bytes is shorter than its header of {HEADER_LEN}"),
        ));
    }
    if length > BATCH_BYTES_MAX as i64 {
        return Err(BatchError::above(8, "batch bytes", length as usize, "batch_bytes_max", BATCH_BYTES_MAX));
    }
    Ok(length as usize)
}

#[inline]
fn checked_magic(magic: u8) -> Result<(), BatchError> {
    if magic == MAGIC {
        return Ok(());
    }
    Err(BatchError::invalid(16, format!("message format (magic) {magic} is not {MAGIC}")))
}

/// Gives a batch its place: base offset and leader epoch, both outside the checksum.
///
/// `bytes` starts with a verified batch.
#[inline]
pub fn stamp(bytes: &mut [u8], base_offset: i64, leader_epoch: i32) {
    bytes[0..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}
