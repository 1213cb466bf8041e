//! HTTP/1.1 as bytes: request heads, chunked bodies, query strings and answers.
//!
//! In: what the socket delivered. Out: a borrowed [`head::Head`] with its count of bytes, decoded body bytes,
//! or answer bytes appended to a buffer. "More bytes needed" is a value (`None`, `done: false`), never an
//! error; "malformed" is an [`HttpError`], after which the connection is closed and never used again. One
//! strict parser serves every route; what it refuses is listed in `docs/design/http-parsing.md`. Source: RFC
//! 9110, RFC 9112, RFC 3986.

pub mod chunked;
mod error;
pub mod head;
pub mod known;
pub mod query;
pub mod response;

pub use error::HttpError;
pub use head::{Framing, Head, Method};
pub use known::Known;

/// Whether a byte may stand in a token (RFC 9110, 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
