//! How the log lies on disk: values of the databases `log` and `index`, drawn in `docs/design/disk.md`.
//!
//! In: bytes of the log in arrival order, or values as they were read. Out: keys and values, lookups inside a value,
//! and what a log holds after a crash. Nothing here reads or writes: the caller has the transactions.
//!
//! Invariants: a value is at most `DISK_VALUE_BYTES_MAX` bytes, begins with its version and says itself whether it holds;
//! lengths are checked against `limits` before memory is taken; damage is a value, never a panic. Keys are big-endian
//! so that they sort as numbers do, all other numbers little-endian.

mod bloom;
mod entries;
mod index;
mod journal;
mod piece;
mod scan;
mod snapshot;
mod stream;
mod window;

pub use bloom::{place as bloom_place, Bloom, Place};
pub use entries::{PartitionEntries, PartitionEntry, SlotEntries, SlotEntry};
pub use index::{check_value, Header, Key, Section};
pub use journal::{begun as journal_begun, record as journal_record, whole as journal_whole};
pub use piece::{cut, Piece, PIECE_BYTES_MAX, PIECE_HEADER_LEN};
pub use scan::{Claim, Event, Scan};
pub use snapshot::{entries as snapshot_entries, pack as snapshot_pack, State};
pub use window::{build, Window};

use crate::arena::{Chunk, Slice};
use crate::problem::{Code, Problem};
use std::ops::Range;
use std::sync::Arc;

/// The version of every value written; readers take this and the one before it, once there is one.
pub const VERSION: u8 = 1;

/// Stored bytes that do not hold what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// One clause that names the thing, the bound and the value.
    pub reason: String,
}

impl Damage {
    #[cold]
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Damage {}

impl From<Damage> for Problem {
    fn from(damage: Damage) -> Self {
        Problem::new(Code::LogDamaged, damage.reason)
    }
}

/// A key and its value, to be put as they are.
pub struct Pair {
    /// The key, big-endian.
    pub key: Vec<u8>,
    /// The value: a view of memory that all values of one call share.
    pub value: Slice,
}

/// Keys with the places of their values, once `chunk` is full.
fn pairs(chunk: &Arc<Chunk>, placed: Vec<(Vec<u8>, Range<usize>)>) -> Vec<Pair> {
    let value = |range| Slice::new(chunk, range).expect("a value that was written");
    placed.into_iter().map(|(key, range)| Pair { key, value: value(range) }).collect()
}

/// `N` bytes at a place that the caller knows to exist.
#[inline(always)]
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[inline(always)]
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

#[inline(always)]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

#[inline(always)]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

#[inline(always)]
fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(field(bytes, at))
}
