//! The 64 bytes that our log puts before each batch; drawn in `docs/design/log-format.md`.
//!
//! In: what the leader knows of a batch. Out: little-endian bytes that are the same on every replica. The checksum
//! (XXH3-64) covers everything: the bytes after it are hashed, the bytes before it are the seed. Parsing is two-valued.
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits::{BATCH_BYTES_MAX, SLOTS_COUNT};

/// Bytes of an envelope without its batch.
pub const ENVELOPE_LEN: usize = 64;
/// Bytes of the longest envelope with its batch.
pub const ENVELOPE_BYTES_MAX: usize = ENVELOPE_LEN + BATCH_BYTES_MAX;
/// The version written; readers take this and the one before it, once there is one.
pub const VERSION: u8 = 1;
/// Kind of an envelope that holds a batch of a client.
pub const KIND_BATCH: u8 = 1;
/// Kind of an envelope that holds a batch of `$sys.topics`: topics made, changed or forgotten.
pub const KIND_TOPICS: u8 = 2;
/// Kind of an envelope that holds a batch of `$sys.manifest`: what of the log is in the cloud tier.
pub const KIND_MANIFEST: u8 = 3;
const CHECKED_FROM: usize = 16;

/// What the log says of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What follows: [`KIND_BATCH`], or a record of the log itself.
    pub kind: u8,
    /// Slot of the partition, below 4096.
    pub slot: u16,
    /// Epoch of the slot's leader that appended it.
    pub epoch: u32,
    /// The partition.
    pub partition: u16,
    /// Position in the slot's replication stream.
    pub sequence: u64,
    /// The topic's id.
    pub topic_id: u64,
    /// Append time at the leader in nanoseconds since the Unix epoch.
    pub append_ns: i64,
    /// Earliest expiry of a record in nanoseconds since the Unix epoch; 0 is never.
    pub expiry_ns: i64,
    /// Records in the batch.
    pub records_count: u32,
}

/// Bytes that are no envelope, whatever follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeError {
    /// Byte position of the fault.
    pub at: usize,
    /// One clause that names the thing, the bound and the value.
    pub reason: String,
}

impl EnvelopeError {
    #[cold]
    fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }
}

impl std::fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "envelope at byte {}: {}", self.at, self.reason)
    }
}

impl std::error::Error for EnvelopeError {}

/// `N` bytes at a fixed place that the caller knows to exist.
#[inline(always)]
fn field<const N: usize>(head: &[u8; ENVELOPE_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&head[at..at + N]);
    out
}

#[inline]
fn checksum(bytes: &[u8]) -> u64 {
    let mut seed = [0; 8];
    seed.copy_from_slice(&bytes[..8]);
    xxh3_64_with_seed(&bytes[CHECKED_FROM..], u64::from_le_bytes(seed))
}

#[inline]
fn check_kind_and_slot(kind: u8, slot: u16) -> Result<(), EnvelopeError> {
    if kind == 0 {
        return Err(EnvelopeError::new(5, "kind 0 is none"));
    }
    if usize::from(slot) >= SLOTS_COUNT {
        return Err(EnvelopeError::new(6, format!("slot {slot} is not below {SLOTS_COUNT}")));
    }
    Ok(())
}

impl Envelope {
    /// Whether [`Envelope::seal`] may write this before `batch_len` bytes; it takes for granted that it may.
    pub fn validate(&self, batch_len: usize) -> Result<(), EnvelopeError> {
        if batch_len > BATCH_BYTES_MAX {
            let reason = format!("batch of {batch_len} bytes exceeds batch_bytes_max {BATCH_BYTES_MAX}");
            return Err(EnvelopeError::new(0, reason));
        }
        check_kind_and_slot(self.kind, self.slot)
    }

    /// Writes the envelope over the first 64 bytes of `bytes`, whose other bytes are the batch: nothing is copied.
    ///
    /// `bytes` is exactly one envelope with its batch, at most [`ENVELOPE_BYTES_MAX`].
    pub fn seal(&self, bytes: &mut [u8]) {
        assert!(
            (ENVELOPE_LEN..=ENVELOPE_BYTES_MAX).contains(&bytes.len()),
            "envelope of {} bytes",
            bytes.len()
        );
        debug_assert!(check_kind_and_slot(self.kind, self.slot).is_ok());
        let length = bytes.len() as u32;
        bytes[0..4].copy_from_slice(&length.to_le_bytes());
        bytes[4] = VERSION;
        bytes[5] = self.kind;
        bytes[6..8].copy_from_slice(&self.slot.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.partition.to_le_bytes());
        bytes[22..24].fill(0);
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.topic_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.append_ns.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.expiry_ns.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.records_count.to_le_bytes());
        bytes[60..64].fill(0);
        let sum = checksum(bytes);
        bytes[8..16].copy_from_slice(&sum.to_le_bytes());
    }

    /// Appends the envelope and `batch` to `out`.
    pub fn write_into(&self, batch: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(ENVELOPE_LEN + batch.len());
        out.extend_from_slice(&[0; ENVELOPE_LEN]);
        out.extend_from_slice(batch);
        self.seal(&mut out[start..]);
    }

    /// The envelope at the start of `bytes` and its length with the batch; `None` when fewer than 64 bytes are there.
    ///
    /// Every field is checked against its bounds; the batch may be incomplete and the checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Envelope, usize)>, EnvelopeError> {
        let Some(head) = bytes.first_chunk::<ENVELOPE_LEN>() else { return Ok(None) };
        if head[4] != VERSION {
            return Err(EnvelopeError::new(4, format!("version {} is not {VERSION}", head[4])));
        }
        let length = u32::from_le_bytes(field(head, 0)) as usize;
        if !(ENVELOPE_LEN..=ENVELOPE_BYTES_MAX).contains(&length) {
            let reason = format!("length of {length} bytes is not {ENVELOPE_LEN} to {ENVELOPE_BYTES_MAX}");
            return Err(EnvelopeError::new(0, reason));
        }
        let (kind, slot) = (head[5], u16::from_le_bytes(field(head, 6)));
        check_kind_and_slot(kind, slot)?;
        for range in [22..24, 60..64] {
            if head[range.clone()].iter().any(|&byte| byte != 0) {
                return Err(EnvelopeError::new(range.start, "spare bytes are not 0"));
            }
        }
        let envelope = Envelope {
            kind,
            slot,
            epoch: u32::from_le_bytes(field(head, 16)),
            partition: u16::from_le_bytes(field(head, 20)),
            sequence: u64::from_le_bytes(field(head, 24)),
            topic_id: u64::from_le_bytes(field(head, 32)),
            append_ns: i64::from_le_bytes(field(head, 40)),
            expiry_ns: i64::from_le_bytes(field(head, 48)),
            records_count: u32::from_le_bytes(field(head, 56)),
        };
        Ok(Some((envelope, length)))
    }

    /// [`Envelope::parse`] of a complete envelope with its batch whose checksum holds; `None` when bytes are missing.
    pub fn check(bytes: &[u8]) -> Result<Option<(Envelope, usize)>, EnvelopeError> {
        let Some((envelope, length)) = Self::parse(bytes)? else { return Ok(None) };
        let Some(whole) = bytes.get(..length) else { return Ok(None) };
        let (found, stated) = (checksum(whole), &whole[8..16]);
        if found.to_le_bytes() != stated {
            return Err(EnvelopeError::new(
                8,
                format!("checksum over {length} bytes is {found:#018x}, not the stated one"),
            ));
        }
        Ok(Some((envelope, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn envelopes()(
            kind in 1..=u8::MAX, slot in 0..SLOTS_COUNT as u16, epoch: u32, partition: u16, sequence: u64, topic_id: u64,
            append_ns: i64, expiry_ns: i64, records_count: u32,
        ) -> Envelope {
            Envelope { kind, slot, epoch, partition, sequence, topic_id, append_ns, expiry_ns, records_count }
        }
    }

    proptest! {
        #[test]
        fn an_envelope_reads_back(envelope in envelopes(), batch: Vec<u8>, before: Vec<u8>, after: Vec<u8>) {
            let mut out = before.clone();
            envelope.write_into(&batch, &mut out);
            let length = ENVELOPE_LEN + batch.len();
            prop_assert_eq!(&out[..before.len()], &before[..]);
            prop_assert_eq!(&out[before.len() + ENVELOPE_LEN..], &batch[..]);
            out.extend(after);
            prop_assert_eq!(Envelope::parse(&out[before.len()..]), Ok(Some((envelope, length))));
            prop_assert_eq!(Envelope::check(&out[before.len()..]), Ok(Some((envelope, length))));
        }

        #[test]
        fn a_cut_envelope_is_incomplete(envelope in envelopes(), batch: Vec<u8>, at: prop::sample::Index) {
            let mut out = Vec::new();
            envelope.write_into(&batch, &mut out);
            prop_assert_eq!(Envelope::check(&out[..at.index(out.len())]), Ok(None));
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = Envelope::check(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_never_a_whole_envelope() {
        let envelope = Envelope {
            kind: KIND_BATCH,
            slot: 4095,
            epoch: 7,
            partition: 3,
            sequence: 9,
            topic_id: 11,
            append_ns: 13,
            expiry_ns: 0,
            records_count: 1,
        };
        let mut bytes = Vec::new();
        envelope.write_into(b"some batch", &mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(Envelope::check(&bytes), Ok(Some(_))), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(matches!(Envelope::check(&bytes), Ok(Some(_))));
    }

    #[test]
    fn zeros_and_foreign_fields_are_refused_with_their_place() {
        assert_eq!(Envelope::parse(&[0; 64]).unwrap_err().at, 4);
        let envelope = Envelope {
            kind: KIND_BATCH,
            slot: 1,
            epoch: 1,
            partition: 0,
            sequence: 1,
            topic_id: 1,
            append_ns: 1,
            expiry_ns: 0,
            records_count: 1,
        };
        let mut good = Vec::new();
        envelope.write_into(b"", &mut good);
        for (at, value) in [(0, 63), (3, 0xff), (4, 2), (5, 0), (7, 0x10), (22, 1), (60, 1), (63, 1)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert!(Envelope::parse(&bytes).is_err(), "byte {at}");
        }
    }
}
