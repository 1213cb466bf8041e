//! Record headers with one-byte names: what the node keeps about a message beside its bytes.
//!
//! Names 0x01 to 0x1f are ours. A batch may carry the three documented ones, each at most once and well-formed.
use super::BatchError;
use crate::limits::{CONTENT_TYPE_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, TTL_S_MAX};

/// Name of the time to live: 4 bytes, big-endian seconds.
pub const TTL: u8 = 0x01;
/// Name of the idempotency key: UTF-8, 1 to 255 bytes.
pub const IDEMPOTENCY_KEY: u8 = 0x02;
/// Name of the content type: one byte (a code of [`CONTENT_TYPES`]) or the ASCII text.
pub const CONTENT_TYPE: u8 = 0x03;

/// Content types with a code; the code is the position plus one.
pub const CONTENT_TYPES: [&str; 8] = [
    "text/plain",
    "text/plain;charset=utf-8",
    "application/json",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "application/xml",
    "text/html",
    "application/cloudevents+json",
];

/// Whether a header name is ours.
#[inline(always)]
pub fn is_reserved(name: &[u8]) -> bool {
    matches!(name, [0x01..=0x1f])
}

/// The code of a content type that has one.
#[inline]
pub fn content_type_code(text: &[u8]) -> Option<u8> {
    let position = CONTENT_TYPES.iter().position(|known| known.as_bytes() == text)?;
    Some(position as u8 + 1)
}

/// The full text of a stored content type (a code or ASCII text), or `None` when it is neither.
#[inline]
pub fn content_type_text(stored: &[u8]) -> Option<&str> {
    if let [code @ 0x00..=0x1f] = stored {
        return CONTENT_TYPES.get(usize::from(*code).wrapping_sub(1)).copied();
    }
    let is_text = !stored.is_empty()
        && stored.len() <= CONTENT_TYPE_BYTES_MAX
        && stored.iter().all(|byte| (0x20..=0x7e).contains(byte));
    if is_text {
        std::str::from_utf8(stored).ok()
    } else {
        None
    }
}

/// The reserved headers of one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved<'a> {
    /// Time to live in seconds; 0 (as absent) means the topic's default.
    pub ttl_s: Option<u32>,
    /// The caller's idempotency key.
    pub idempotency_key: Option<&'a [u8]>,
    /// The content type's full text.
    pub content_type: Option<&'a str>,
}

impl<'a> Reserved<'a> {
    /// Takes one header whose name [`is_reserved`]; `at` is its position for the error.
    pub fn take(&mut self, name: u8, value: Option<&'a [u8]>, at: usize) -> Result<(), BatchError> {
        let malformed = |what: &str| BatchError::invalid(at, format!("reserved header 0x{name:02x}: {what}"));
        let value = value.ok_or_else(|| malformed("its value is null"))?;
        let is_repeated = match name {
            TTL => self.ttl_s.replace(ttl_of(value).map_err(|what| malformed(&what))?).is_some(),
            IDEMPOTENCY_KEY => {
                check_idempotency_key(value).map_err(|what| malformed(&what))?;
                self.idempotency_key.replace(value).is_some()
            }
            CONTENT_TYPE => {
                let text = content_type_text(value).ok_or_else(|| malformed(&content_type_fault(value)))?;
                self.content_type.replace(text).is_some()
            }
            _ => return Err(malformed("clients may set 0x01, 0x02 and 0x03 only")),
        };
        if is_repeated {
            Err(malformed("it stands twice in one record"))
        } else {
            Ok(())
        }
    }
}

fn ttl_of(value: &[u8]) -> Result<u32, String> {
    let bytes =
        <[u8; 4]>::try_from(value).map_err(|_| format!("ttl of {} bytes is not 4 bytes", value.len()))?;
    check_ttl(u32::from_be_bytes(bytes))
}

/// The same time to live if it is within its bound.
pub(super) fn check_ttl(ttl_s: u32) -> Result<u32, String> {
    if u64::from(ttl_s) > TTL_S_MAX {
        return Err(format!("ttl of {ttl_s} seconds exceeds ttl_s_max {TTL_S_MAX}"));
    }
    Ok(ttl_s)
}

pub(super) fn check_idempotency_key(key: &[u8]) -> Result<(), String> {
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        let length = key.len();
        return Err(format!(
            "idempotency key of {length} bytes is not 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes"
        ));
    }
    std::str::from_utf8(key).map_err(|error| format!("idempotency key is not UTF-8 ({error})"))?;
    Ok(())
}

pub(super) fn content_type_fault(stored: &[u8]) -> String {
    let length = stored.len();
    format!("content type of {length} bytes is neither a code 1 to 8 nor 1 to {CONTENT_TYPE_BYTES_MAX} bytes of ASCII")
}
