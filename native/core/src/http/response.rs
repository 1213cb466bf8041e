//! Answers, appended to the connection's send buffer.
//!
//! In: a status, the cached date, bodies written in place. Out: bytes. The length of a body is patched into
//! the head after the body is written, so that nothing is measured or copied before. Problems come out in the
//! form of RFC 9457 (`api.md`), on alias routes in the form of the original (`compat.md`).

use crate::json::write_string;
use crate::problem::{Code, Outcome, Problem};

/// What an answer says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// HTTP/1.1 stays open without a word.
    Implied,
    /// HTTP/1.0 asked to stay open.
    KeepAlive,
    /// This answer is the last one.
    Close,
}

/// A `Content-Length` whose digits are not known yet.
#[derive(Debug)]
#[must_use = "the length must be patched by end_body"]
pub struct BodyMark {
    digits_at: usize,
    body_at: usize,
}

/// Digits reserved for a body's length: most answers have 100 to 999 bytes, others shift their body once.
const DIGITS_RESERVED: usize = 3;

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The reason phrase of a status this node answers.
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => "Unknown",
    }
}

/// Begins an answer: status line, `Date`, `Content-Type` (unless empty) and, unless implied, `Connection`.
/// Headers may follow, then [`begin_body`], [`begin_chunks`] or, for an answer without a body (101, 204,
/// 304), [`end_head`].
///
/// `date` is the IMF-fixdate of now, as in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn begin(out: &mut Vec<u8>, status: u16, date: &[u8; 29], content_type: &str, connection: Connection) {
    match status {
        200 => out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: "),
        201 => out.extend_from_slice(b"HTTP/1.1 201 Created\r\nDate: "),
        _ => {
            out.extend_from_slice(b"HTTP/1.1 ");
            write_number(out, u64::from(status));
            out.push(b' ');
            out.extend_from_slice(reason(status).as_bytes());
            out.extend_from_slice(b"\r\nDate: ");
        }
    }
    out.extend_from_slice(date);
    if !content_type.is_empty() {
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(content_type.as_bytes());
    }
    out.extend_from_slice(match connection {
        Connection::Implied => b"\r\n".as_slice(),
        Connection::KeepAlive => b"\r\nConnection: keep-alive\r\n",
        Connection::Close => b"\r\nConnection: close\r\n",
    });
}

/// Adds one header. `name` is ours; control characters of `value` are replaced by `?`, so that no value
/// splits an answer.
pub fn header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(name.bytes().all(super::is_token_byte));
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(
        value.iter().map(|&byte| if (byte < b' ' && byte != b'\t') || byte == 0x7f { b'?' } else { byte }),
    );
    out.extend_from_slice(b"\r\n");
}

/// Ends the head of an answer that has no body and needs no length.
pub fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Ends the head with a `Content-Length` still open; append the body, then call [`end_body`].
pub fn begin_body(out: &mut Vec<u8>) -> BodyMark {
    out.extend_from_slice(b"Content-Length: ");
    let digits_at = out.len();
    out.extend_from_slice(&[b'0'; DIGITS_RESERVED]);
    out.extend_from_slice(b"\r\n\r\n");
    BodyMark { digits_at, body_at: out.len() }
}

/// Patches the length of the body written since `mark`; returns it in bytes.
#[allow(clippy::needless_pass_by_value)] // a mark is used once
pub fn end_body(out: &mut Vec<u8>, mark: BodyMark) -> usize {
    let bytes = out.len() - mark.body_at;
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(bytes).as_bytes();
    let reserved = mark.digits_at..mark.digits_at + DIGITS_RESERVED;
    if digits.len() == DIGITS_RESERVED {
        out[reserved].copy_from_slice(digits);
    } else {
        out.splice(reserved, digits.iter().copied());
    }
    bytes
}

/// The same for `HEAD`: the head keeps the length, the body written since `mark` is taken back.
pub fn end_body_head_only(out: &mut Vec<u8>, mark: BodyMark) -> usize {
    let bytes = end_body(out, mark);
    out.truncate(out.len() - bytes);
    bytes
}

/// Ends the head of an answer that comes in chunks; see [`chunk`] and [`end_chunks`].
pub fn begin_chunks(out: &mut Vec<u8>) {
    out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
}

/// Appends one chunk; empty data appends nothing, for an empty chunk would end the body.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    if data.is_empty() {
        return;
    }
    let digits_count = (usize::BITS - data.len().leading_zeros()).div_ceil(4);
    out.extend((0..digits_count).rev().map(|digit| DIGITS[data.len() >> (4 * digit) & 15]));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Ends a body of chunks.
pub fn end_chunks(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Appends a decimal number.
pub fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// What the connection knows about a refused request.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// IMF-fixdate of now.
    pub date: &'a [u8; 29],
    /// What happens to the connection.
    pub connection: Connection,
    /// Whether the request may have been stored all the same.
    pub outcome: Outcome,
    /// Path of the request; empty when it is not known.
    pub instance: &'a str,
    /// Id of the request in logs; empty when there is none.
    pub request_id: &'a str,
    /// Methods the path takes, for 405.
    pub allow: Option<&'a str>,
    /// Whether the request was `HEAD`.
    pub head_only: bool,
    /// Alias routes with a `success` member answer it as false.
    pub has_success_member: bool,
}

impl<'a> Refusal<'a> {
    /// A refusal of something certainly not stored, on a connection that closes, with nothing known of the
    /// request.
    #[must_use]
    pub const fn closing(date: &'a [u8; 29]) -> Self {
        Self {
            date,
            connection: Connection::Close,
            outcome: Outcome::None,
            instance: "",
            request_id: "",
            allow: None,
            head_only: false,
            has_success_member: false,
        }
    }
}

/// Appends a whole answer with an `application/problem+json` body.
pub fn problem(out: &mut Vec<u8>, problem: &Problem, refusal: &Refusal<'_>) {
    let mark = begin_refusal(out, problem.code, "application/problem+json", refusal);
    write_problem(out, problem, refusal);
    end_refusal(out, mark, refusal);
}

/// Appends a whole answer with the error body of the alias routes (one newline at its end).
pub fn alias_error(out: &mut Vec<u8>, problem: &Problem, refusal: &Refusal<'_>) {
    let code = problem.code;
    let mark = begin_refusal(out, code, "application/json", refusal);
    out.extend_from_slice(b"{");
    if refusal.has_success_member {
        out.extend_from_slice(b"\"success\":false,");
    }
    out.extend_from_slice(b"\"error\":");
    write_string(out, &problem.detail);
    out.extend_from_slice(b",\"code\":");
    write_string(out, code.as_str());
    out.extend_from_slice(b",\"status\":");
    write_number(out, u64::from(code.status()));
    write_retry(out, code, refusal.outcome);
    if has_retry_after(code) {
        out.extend_from_slice(b",\"retry_after\":\"1\"");
    }
    write_member(out, "cursor", &problem.cursor);
    out.extend_from_slice(b"}\n");
    end_refusal(out, mark, refusal);
}

/// Appends a problem as a JSON object (also the form of an item in a batch's results, with `instance` empty).
pub fn write_problem(out: &mut Vec<u8>, problem: &Problem, refusal: &Refusal<'_>) {
    let code = problem.code;
    out.extend_from_slice(b"{\"type\":\"urn:sprawl:problem:");
    out.extend_from_slice(code.as_str().as_bytes());
    out.extend_from_slice(b"\",\"title\":");
    write_string(out, code.title());
    out.extend_from_slice(b",\"status\":");
    write_number(out, u64::from(code.status()));
    out.extend_from_slice(b",\"detail\":");
    write_string(out, &problem.detail);
    write_member(out, "instance", refusal.instance);
    write_member(out, "code", code.as_str());
    write_retry(out, code, refusal.outcome);
    write_member(out, "location", &problem.location);
    write_member(out, "cursor", &problem.cursor);
    write_member(out, "request_id", refusal.request_id);
    out.push(b'}');
}

fn begin_refusal(out: &mut Vec<u8>, code: Code, content_type: &str, refusal: &Refusal<'_>) -> BodyMark {
    begin(out, code.status(), refusal.date, content_type, refusal.connection);
    if let Some(allow) = refusal.allow {
        header(out, "Allow", allow.as_bytes());
    }
    if has_retry_after(code) {
        header(out, "Retry-After", b"1");
    }
    begin_body(out)
}

fn end_refusal(out: &mut Vec<u8>, mark: BodyMark, refusal: &Refusal<'_>) {
    if refusal.head_only {
        end_body_head_only(out, mark);
    } else {
        end_body(out, mark);
    }
}

fn write_member(out: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write_string(out, value);
    }
}

fn write_retry(out: &mut Vec<u8>, code: Code, outcome: Outcome) {
    out.extend_from_slice(if code.retryable() { b",\"retryable\":true" } else { b",\"retryable\":false" });
    out.extend_from_slice(match outcome {
        Outcome::None => b",\"outcome\":\"none\"",
        Outcome::Unknown => b",\"outcome\":\"unknown\"",
    });
}

const fn has_retry_after(code: Code) -> bool {
    matches!(code.status(), 429 | 503)
}
