//! Chunked bodies (RFC 9112, 7.1), decoded as they arrive.
//!
//! In: received bytes in any pieces. Out: the body appended to the caller's buffer, and how many bytes were
//! used. Strict: sizes are 1 to 16 hexadecimal digits, lines end in CRLF, extensions are bare tokens and
//! short, trailers that would change framing, routing or identity are refused and the others dropped. A chunk
//! that would pass the caller's bound is refused when its size is known, before a byte of it is stored.
//! Errors leave the decoder unusable, as the connection is.

use super::known::Known;
use super::{hex_value, is_token_byte, HttpError};

/// Bytes of one chunk's extensions.
pub const EXTENSION_BYTES_MAX: usize = 256;
/// Bytes of all extensions of one body: bounds the work that an almost empty body can cause.
pub const EXTENSIONS_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the trailer section.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Hexadecimal digits of a chunk size.
pub const SIZE_DIGITS_MAX: u8 = 16;

/// What one call achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to the body; all of them unless `done`.
    pub consumed: usize,
    /// Whether the last chunk and the trailer section have ended.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension { bytes: usize },
    SizeLineFeed,
    Data { left: u64 },
    DataCarriageReturn,
    DataLineFeed,
    Trailer,
    TrailerLineFeed,
    Done,
}

/// Decoder of one chunked body.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    size: u64,
    body_bytes: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
    /// The trailer line being read; empty, without allocation, until there is one.
    line: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder before the first chunk.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Size { digits: 0 },
            size: 0,
            body_bytes: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            line: Vec::new(),
        }
    }

    /// Body bytes promised so far by the chunk sizes read.
    #[must_use]
    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Decodes `input`, appending body bytes to `out`; `limit` bounds the bytes of the whole body.
    ///
    /// After `done` no further call is allowed: the rest of the input is the next request.
    ///
    /// # Errors
    /// `Malformed`, or `BodyTooLarge` as soon as a chunk size passes `limit`.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<Progress, HttpError> {
        debug_assert!(self.state != State::Done, "decode called after the end of the body");
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if let State::Data { left } = self.state {
                let rest = &input[at..];
                let take = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                out.extend_from_slice(&rest[..take]);
                at += take;
                let left = left - take as u64;
                self.state = if left == 0 { State::DataCarriageReturn } else { State::Data { left } };
            } else {
                self.state = self.step(input[at], limit as u64)?;
                at += 1;
            }
        }
        Ok(Progress { consumed: at, done: self.state == State::Done })
    }

    fn step(&mut self, byte: u8, limit: u64) -> Result<State, HttpError> {
        match (self.state, byte) {
            (State::Size { digits }, _) => self.size_byte(digits, byte, limit),
            (State::Extension { .. } | State::Trailer, b'\n') | (State::SizeLineFeed, 0..=9 | 11..) => {
                Err(HttpError::Malformed("chunk line that does not end in CR LF"))
            }
            (State::Extension { .. }, b'\r') => Ok(State::SizeLineFeed),
            (State::Extension { bytes }, _) => self.extension_byte(bytes, byte),
            (State::SizeLineFeed, b'\n') => {
                let left = std::mem::take(&mut self.size);
                Ok(if left == 0 { State::Trailer } else { State::Data { left } })
            }
            (State::DataCarriageReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::Size { digits: 0 }),
            (State::DataCarriageReturn | State::DataLineFeed, _) => {
                Err(HttpError::Malformed("chunk data longer or shorter than its size"))
            }
            (State::Trailer, b'\r') => Ok(State::TrailerLineFeed),
            (State::Trailer, _) => self.trailer_byte(byte),
            (State::TrailerLineFeed, b'\n') if self.line.is_empty() => Ok(State::Done),
            (State::TrailerLineFeed, b'\n') => {
                check_trailer(&self.line)?;
                self.line.clear();
                Ok(State::Trailer)
            }
            (State::TrailerLineFeed, _) => Err(HttpError::Malformed("carriage return inside a trailer")),
            (State::Data { .. } | State::Done, _) => unreachable!("handled by decode"),
        }
    }

    fn size_byte(&mut self, digits: u8, byte: u8, limit: u64) -> Result<State, HttpError> {
        if let Some(value) = hex_value(byte) {
            if digits == SIZE_DIGITS_MAX || self.size >= 1 << 59 {
                return Err(HttpError::Malformed("chunk size of more than 63 bits or 16 digits"));
            }
            self.size = self.size << 4 | u64::from(value);
            return Ok(State::Size { digits: digits + 1 });
        }
        if digits == 0 || !matches!(byte, b'\r' | b';') {
            return Err(HttpError::Malformed("chunk size that is not hexadecimal digits alone"));
        }
        let bytes = self.body_bytes.saturating_add(self.size);
        if bytes > limit {
            return Err(HttpError::BodyTooLarge { bytes, bytes_max: limit });
        }
        self.body_bytes = bytes;
        Ok(if byte == b'\r' { State::SizeLineFeed } else { State::Extension { bytes: 0 } })
    }

    fn extension_byte(&mut self, bytes: usize, byte: u8) -> Result<State, HttpError> {
        if !is_token_byte(byte) && !matches!(byte, b'=' | b';') {
            return Err(HttpError::Malformed("chunk extension that is not made of tokens"));
        }
        self.extension_bytes += 1;
        if bytes == EXTENSION_BYTES_MAX || self.extension_bytes > EXTENSIONS_BYTES_MAX {
            return Err(HttpError::Malformed(
                "chunk extensions of more than 256 bytes, or 16384 in one body",
            ));
        }
        Ok(State::Extension { bytes: bytes + 1 })
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<State, HttpError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(HttpError::Malformed("trailers of more than 8192 bytes"));
        }
        self.line.push(byte);
        Ok(State::Trailer)
    }
}

/// Holds one trailer line to `token ":" value` and to names that mean nothing to this node or to a proxy
/// before it.
fn check_trailer(line: &[u8]) -> Result<(), HttpError> {
    let colon = memchr::memchr(b':', line).ok_or(HttpError::Malformed("trailer without a colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte) && byte != b'_') {
        return Err(HttpError::Malformed("malformed trailer name"));
    }
    if value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return Err(HttpError::Malformed("control character in a trailer value"));
    }
    if is_forbidden_trailer(name) {
        return Err(HttpError::Malformed("trailer that belongs into the head"));
    }
    Ok(())
}

fn is_forbidden_trailer(name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"age",
        b"allow",
        b"cache-control",
        b"cookie",
        b"date",
        b"forwarded",
        b"keep-alive",
        b"location",
        b"max-forwards",
        b"pragma",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"te",
        b"trailer",
        b"vary",
        b"via",
        b"warning",
        b"www-authenticate",
    ];
    const PREFIXES: &[&[u8]] = &[
        b"ce-",
        b"content-",
        b"if-",
        b"producer-",
        b"proxy-",
        b"sec-",
        b"sprawl-",
        b"x-forwarded-",
        b"x-real-",
    ];
    let starts_with =
        |prefix: &&[u8]| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    Known::lookup(name).is_some()
        || NAMES.iter().any(|other| name.eq_ignore_ascii_case(other))
        || PREFIXES.iter().any(starts_with)
}
