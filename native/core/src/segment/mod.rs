//! The cold tier: windows of the log as Parquet files, and back. Drawn in `docs/design/cloud.md`.
//!
//! In: whole envelopes of a window with the names of their topics; later, ranges of a file. Out: files with a manifest each;
//! later, envelopes of one partition with the same offsets. Nothing here reads or writes: the caller has the objects.
//!
//! Invariants: the same input gives the same bytes and the same keys, on every node; a record that comes back is the record
//! that went in (key, value, headers in order, times, lifetime, content type, idempotency key, producer numbers); bytes
//! that are not what the manifest says are refused before they are decoded.

mod columns;
mod manifest;
mod read;
mod schema;
mod slots;
#[cfg(test)]
mod tests;
mod write;

pub use manifest::{Cover, Group, Located, Manifest, PartitionRange, Seek};
pub use read::{page, ColdPage};
pub use slots::SlotPieces;
pub use write::{build, Bounds, Segment, Segments, Topic};

use crate::problem::{Code, Problem};

/// The version of files and manifests written; readers take this and the one before it, once there is one.
pub const VERSION: u8 = 1;

/// Bytes that are no segment, no manifest, or no window to make one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentError {
    /// One clause that names the thing, the bound and the value.
    pub reason: String,
}

impl SegmentError {
    #[cold]
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl std::fmt::Display for SegmentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for SegmentError {}

impl From<parquet::errors::ParquetError> for SegmentError {
    #[cold]
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<SegmentError> for Problem {
    fn from(error: SegmentError) -> Self {
        Problem::new(Code::LogDamaged, error.reason)
    }
}
