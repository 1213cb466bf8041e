//! Why bytes are not a batch: what, where, and against which bound.
use crate::problem::{Code, Problem};

/// Bytes that can never become a batch we take, or a record that no batch may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchError {
    /// `InvalidBatch`, `BadChecksum`, `TooLarge`, or `UnsupportedMediaType` for a codec.
    pub code: Code,
    /// Byte position of the fault: in the batch, or in its inflated records when it is compressed.
    pub at: usize,
    /// One clause that names the thing, the bound and the value.
    pub reason: String,
}

impl BatchError {
    #[cold]
    pub(super) fn new(code: Code, at: usize, reason: impl Into<String>) -> Self {
        Self { code, at, reason: reason.into() }
    }

    #[cold]
    pub(super) fn invalid(at: usize, reason: impl Into<String>) -> Self {
        Self::new(Code::InvalidBatch, at, reason)
    }

    /// A size above its maximum.
    #[cold]
    pub(super) fn above(at: usize, thing: &str, value: usize, bound: &str, max: usize) -> Self {
        Self::new(Code::TooLarge, at, format!("{thing} of {value} exceeds {bound} {max}"))
    }

    /// Bytes that end inside the named thing.
    #[cold]
    pub(super) fn ends(at: usize, thing: &str) -> Self {
        Self::invalid(at, format!("{thing} ends outside of its record or is no varint"))
    }

    /// The same error, seen from `base` bytes further out.
    #[cold]
    pub(super) fn moved(mut self, base: usize) -> Self {
        self.at += base;
        self
    }
}

impl std::fmt::Display for BatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record batch at byte {}: {}", self.at, self.reason)
    }
}

impl std::error::Error for BatchError {}

impl From<BatchError> for Problem {
    fn from(error: BatchError) -> Self {
        Problem::new(error.code, error.to_string())
    }
}
