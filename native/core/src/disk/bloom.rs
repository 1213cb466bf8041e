//! Which partitions have batches in a window: a blocked Bloom filter (Putze, Sanders, Singler 2007).
//!
//! One block of 64 bytes answers for a partition, so a lookup reads one value. Values hold 63 blocks: with their head
//! they fit one page, and verifying one costs a fraction of a microsecond.
use super::index::{open_sized, Section};
use super::Damage;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a block.
pub(super) const BLOCK_LEN: usize = 64;
/// Bytes of the filter in one value.
pub(super) const PIECE_BYTES_MAX: usize = 63 * BLOCK_LEN;
const BITS_PER_PARTITION: usize = 10;
const BITS_SET: u32 = 6;
/// 2^64 divided by the golden ratio: spreads the bits of the hash that chose the block over those inside it.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of the filter of so many partitions.
pub(super) fn bytes_for(partitions: usize) -> usize {
    (partitions * BITS_PER_PARTITION).div_ceil(BLOCK_LEN * 8) * BLOCK_LEN
}

/// Where the block of a partition lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the value.
    pub number: u16,
    /// First byte of the block in the filter's bytes of that value.
    pub byte: u32,
}

fn hash(topic_id: u64, partition: u16) -> u64 {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&topic_id.to_le_bytes());
    bytes[8..].copy_from_slice(&partition.to_le_bytes());
    xxh3_64(&bytes)
}

fn block(hash: u64, bloom_bytes: u32) -> usize {
    let blocks = u64::from(bloom_bytes) / BLOCK_LEN as u64;
    (((hash >> 32) * blocks) >> 32) as usize
}

/// The bits of a block, 0 to 511.
fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let spread = hash.wrapping_mul(SPREAD);
    (1..=BITS_SET).map(move |at| (spread >> (64 - 9 * at)) as usize & 511)
}

/// Sets the bits of a partition in the whole filter.
pub(super) fn set(filter: &mut [u8], topic_id: u64, partition: u16) {
    let hash = hash(topic_id, partition);
    let start = block(hash, filter.len() as u32) * BLOCK_LEN;
    for bit in bits(hash) {
        filter[start + bit / 8] |= 1 << (bit % 8);
    }
}

/// Where a filter of `bloom_bytes` (from the window's header) has the block of a partition; `None` for an empty filter.
pub fn place(topic_id: u64, partition: u16, bloom_bytes: u32) -> Option<Place> {
    if (bloom_bytes as usize) < BLOCK_LEN {
        return None;
    }
    let byte = block(hash(topic_id, partition), bloom_bytes) * BLOCK_LEN;
    let number = u16::try_from(byte / PIECE_BYTES_MAX).ok()?;
    Some(Place { number, byte: (byte % PIECE_BYTES_MAX) as u32 })
}

/// One value of the filter whose checksum holds.
pub struct Bloom<'a> {
    body: &'a [u8],
}

impl<'a> Bloom<'a> {
    /// Verifies the value.
    pub fn open(value: &'a [u8]) -> Result<Self, Damage> {
        let (count, body) = open_sized(value, Section::Bloom, BLOCK_LEN)?;
        if count * BLOCK_LEN > PIECE_BYTES_MAX {
            return Err(Damage::new(format!("Bloom filter value has {count} blocks, more than its share")));
        }
        Ok(Self { body })
    }

    /// Whether the window may have batches of a partition; `false` is certain. The value is the one that
    /// [`place`] names, or shorter than the filter says: damage.
    pub fn admits(&self, topic_id: u64, partition: u16, bloom_bytes: u32) -> Result<bool, Damage> {
        let Some(place) = place(topic_id, partition, bloom_bytes) else { return Ok(false) };
        let start = place.byte as usize;
        let Some(block) = self.body.get(start..start + BLOCK_LEN) else {
            let length = self.body.len();
            return Err(Damage::new(format!(
                "Bloom filter of {bloom_bytes} bytes has no block at {start} of {length} in value {}",
                place.number
            )));
        };
        Ok(bits(hash(topic_id, partition)).all(|bit| block[bit / 8] & (1 << (bit % 8)) != 0))
    }
}
