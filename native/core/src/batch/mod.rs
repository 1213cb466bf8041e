//! RecordBatch v2: one or more records of one partition, encoded once and kept as they are.
//!
//! In: bytes as a producer sent them, or records to encode. Out: a verified batch, borrowed records, encoded bytes.
//! The format is Apache Kafka's (message format, magic 2; big-endian), drawn in `docs/design/log-format.md`. Parsing is
//! two-valued: `Ok(None)` means that more bytes are needed, an error that no further bytes could help.
//!
//! Invariants: lengths and counts are checked against `limits` before anything is allocated or walked; a batch that
//! [`verify`] accepted is read by [`records`] without an error; what a [`Builder`] writes is accepted by [`verify`].
//! Base offset and leader epoch lie outside the checksum, so [`stamp`] gives a batch its place without a second walk.

mod build;
mod codec;
mod error;
mod header;
mod record;
mod reserved;
mod varint;
mod verify;

pub use build::{Builder, Producer, Record};
pub use codec::Codec;
pub use error::BatchError;
pub use header::{stamp, Header, HEADER_LEN};
pub use record::{records, Headers, RecordRef, Records};
pub use reserved::{
    content_type_code, content_type_text, is_reserved, Reserved, CONTENT_TYPE, CONTENT_TYPES,
    IDEMPOTENCY_KEY, TTL,
};
pub use verify::{verify, verify_with, Verified};
