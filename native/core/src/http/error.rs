//! What a malformed or oversized request is, as a small value that costs no allocation until it is answered.

use super::known::Known;
use crate::limits::{HEADERS_COUNT_MAX, HEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX};
use crate::problem::{Code, Problem};

/// Why the bytes of a connection cannot be served. The connection is closed after the answer: where the next
/// request would begin is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// Not HTTP/1.1 as RFC 9112 wants it, or a form that two servers might read differently.
    Malformed(&'static str),
    /// A header that may stand once stands twice.
    DuplicateHeader(Known),
    /// The request line is longer than `REQUEST_LINE_BYTES_MAX`.
    RequestLineTooLong,
    /// The head is longer than `HEAD_BYTES_MAX`.
    HeadTooLarge,
    /// More header fields than `HEADERS_COUNT_MAX`.
    TooManyHeaders,
    /// A body above the bound of its endpoint; nothing of the excess was stored or allocated.
    BodyTooLarge {
        /// Bytes the body would have at least.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
}

impl HttpError {
    /// The code it is answered with: 400, 413 or 431.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Malformed(_) | Self::DuplicateHeader(_) | Self::RequestLineTooLong => Code::BadRequest,
            Self::HeadTooLarge | Self::TooManyHeaders => Code::HeadTooLarge,
            Self::BodyTooLarge { .. } => Code::TooLarge,
        }
    }

    /// The same refusal with its sentence for people.
    #[must_use]
    pub fn problem(self) -> Problem {
        Problem::new(self.code(), self.to_string())
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(reason) => f.write_str(reason),
            Self::DuplicateHeader(known) => write!(f, "header {} given more than once", known.name()),
            Self::RequestLineTooLong => {
                write!(f, "request line exceeds request_line_bytes_max {REQUEST_LINE_BYTES_MAX}")
            }
            Self::HeadTooLarge => write!(f, "request head exceeds head_bytes_max {HEAD_BYTES_MAX}"),
            Self::TooManyHeaders => {
                write!(f, "more header fields than headers_count_max {HEADERS_COUNT_MAX}")
            }
            Self::BodyTooLarge { bytes, bytes_max } => {
                write!(f, "body of {bytes} bytes or more exceeds its bound of {bytes_max}")
            }
        }
    }
}

impl std::error::Error for HttpError {}

impl From<HttpError> for Problem {
    fn from(error: HttpError) -> Self {
        error.problem()
    }
}
