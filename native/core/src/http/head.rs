//! Request heads: bytes in, a borrowed [`Head`] and its length out.
//!
//! The tokens are found by `httparse`; this module then holds the head to RFC 9112 without its leniencies,
//! because a head that two servers read differently is how requests are smuggled. Every line ends in CRLF,
//! framing headers are spelled in exactly one way, and what remains ambiguous is refused. One pass over the
//! fields notes where every [`Known`] header lies. No allocation. Invariant: an accepted head has at most one
//! way to find the end of its body.

use std::mem::MaybeUninit;

use super::known::{is_cloud_event_attribute, record_header_name, Known};
use super::response::Connection;
use super::{hex_value, HttpError};
use crate::limits::{HEADERS_COUNT_MAX, HEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX};

/// A request method. Methods are case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'a> {
    /// Read.
    Get,
    /// Read without the body.
    Head,
    /// Publish, act.
    Post,
    /// Create or replace.
    Put,
    /// Remove.
    Delete,
    /// Change in part.
    Patch,
    /// Ask what is allowed.
    Options,
    /// Any other token.
    Other(&'a str),
}

impl<'a> Method<'a> {
    fn new(token: &'a str) -> Self {
        match token {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "PATCH" => Self::Patch,
            "OPTIONS" => Self::Options,
            other => Self::Other(other),
        }
    }

    /// The token as sent.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Other(token) => token,
        }
    }
}

/// How the end of the body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// This many bytes follow the head (may be 0).
    Length(u64),
    /// Chunks follow: see [`super::chunked::Decoder`].
    Chunked,
}

/// Where a field value lies in the head. `start == 0` says absent: no value begins a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u16,
    end: u16,
}

// A value's place fits 16 bits because a head is bounded.
const _: () = assert!(HEAD_BYTES_MAX <= u16::MAX as usize);

/// A complete request head, borrowed from the receive buffer.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts about a request
pub struct Head<'a> {
    /// The method.
    pub method: Method<'a>,
    /// The request target as sent.
    pub target: &'a str,
    /// The path of the target, percent-encoding kept; starts with `/` (or is `*` for `OPTIONS *`).
    pub path: &'a str,
    /// What follows the first `?`, without it; empty when there is none.
    pub query: &'a str,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor_version: u8,
    /// Bytes of the input that the head took, with its empty line (and one empty line before it, if there was
    /// one).
    pub consumed: usize,
    /// How the end of the body is found.
    pub framing: Framing,
    /// Whether the client wants to use the connection again.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body.
    pub expect_continue: bool,
    /// Whether this is a WebSocket handshake (`GET`, HTTP/1.1, `Connection: upgrade`, `Upgrade: websocket`).
    pub upgrade_websocket: bool,
    /// Whether a field named `Sprawl-Header-…` or `ce-…` is there, so that [`Head::headers`] is worth
    /// walking.
    pub has_record_headers: bool,
    /// Number of header fields.
    pub headers_count: usize,
    bytes: &'a [u8],
    fields_at: usize,
    known: [Span; Known::COUNT],
}

impl<'a> Head<'a> {
    /// The value of a known header, without blanks around it; of several fields the first.
    #[must_use]
    pub fn get(&self, known: Known) -> Option<&'a [u8]> {
        let Span { start, end } = self.known[known as usize];
        (start != 0).then(|| &self.bytes[usize::from(start)..usize::from(end)])
    }

    /// The same as text; `None` also when the value is not UTF-8.
    #[must_use]
    pub fn get_str(&self, known: Known) -> Option<&'a str> {
        self.get(known).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All fields in order, as (name as sent, value without blanks around it).
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: &self.bytes[self.fields_at..self.bytes.len() - 2] }
    }

    /// What the answer says about the connection when it is to stay open, or to close, as the client asked.
    #[must_use]
    pub const fn connection(&self) -> Connection {
        match (self.keep_alive, self.minor_version) {
            (false, _) => Connection::Close,
            (true, 0) => Connection::KeepAlive,
            (true, _) => Connection::Implied,
        }
    }
}

/// The fields of a head, in order.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        let colon = memchr::memchr(b':', line)?;
        let name = std::str::from_utf8(&line[..colon]).ok()?;
        Some((name, line[colon + 1..].trim_ascii()))
    }
}

/// Parses the head at the start of `bytes`.
///
/// `Ok(None)` when more bytes are needed; that answer is bounded, `bytes` of `HEAD_BYTES_MAX` or more never
/// get it.
///
/// # Errors
/// Any [`HttpError`] except `BodyTooLarge`; the connection must be closed.
pub fn parse(bytes: &[u8]) -> Result<Option<Head<'_>>, HttpError> {
    // RFC 9112, 2.2: one empty line before the request line is ignored.
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    match &bytes[start..] {
        [] => return Ok(None),
        [b'\r'] if start == 0 => return Ok(None),
        [b'\r' | b'\n', ..] => {
            return Err(HttpError::Malformed("empty line where a request line is expected"))
        }
        _ => {}
    }
    let window = &bytes[start..bytes.len().min(start + HEAD_BYTES_MAX)];
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_COUNT_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(window, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return incomplete(window),
        Err(error) => return Err(refusal(error)),
    };
    let (Some(method), Some(target), Some(minor_version)) = (request.method, request.path, request.version)
    else {
        return Err(HttpError::Malformed("malformed request line"));
    };
    let request_line = method.len() + 1 + target.len() + " HTTP/1.x".len();
    if request_line > REQUEST_LINE_BYTES_MAX {
        return Err(HttpError::RequestLineTooLong);
    }
    let window = &window[..length];
    let mut fields = Fields::new(window, request.headers.len());
    fields.read(request_line, request.headers)?;
    let method = Method::new(method);
    let (authority, path, query) = split_target(method, target)?;
    fields.check_host(minor_version, authority)?;
    let framing = fields.framing(method, minor_version)?;
    Ok(Some(Head {
        method,
        target,
        path,
        query,
        minor_version,
        consumed: start + length,
        framing,
        keep_alive: if minor_version == 0 {
            fields.asks_keep_alive && !fields.asks_close
        } else {
            !fields.asks_close
        },
        expect_continue: fields.expects_continue
            && minor_version == 1
            && !matches!(framing, Framing::None | Framing::Length(0)),
        upgrade_websocket: fields.asks_websocket
            && fields.asks_upgrade
            && minor_version == 1
            && method == Method::Get,
        has_record_headers: fields.has_record_headers,
        headers_count: fields.count,
        bytes: window,
        fields_at: request_line + 2,
        known: fields.known,
    }))
}

/// Judges a head without its end: keep reading, or refuse because it is already too long.
fn incomplete(window: &[u8]) -> Result<Option<Head<'_>>, HttpError> {
    let line_max = REQUEST_LINE_BYTES_MAX + 2;
    if window.len() >= line_max && memchr::memchr(b'\n', &window[..line_max]).is_none() {
        return Err(HttpError::RequestLineTooLong);
    }
    if window.len() >= HEAD_BYTES_MAX {
        return Err(HttpError::HeadTooLarge);
    }
    Ok(None)
}

fn refusal(error: httparse::Error) -> HttpError {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => HttpError::TooManyHeaders,
        Error::HeaderName => HttpError::Malformed("malformed header name (or a folded header line)"),
        Error::HeaderValue => HttpError::Malformed("control character in a header value"),
        Error::NewLine => HttpError::Malformed("carriage return without line feed"),
        Error::Version => HttpError::Malformed("protocol version other than HTTP/1.0 and HTTP/1.1"),
        Error::Token | Error::Status => HttpError::Malformed("malformed request line"),
    }
}

/// What one pass over the fields found.
#[allow(clippy::struct_excessive_bools)] // independent facts about a request
struct Fields<'a> {
    window: &'a [u8],
    known: [Span; Known::COUNT],
    count: usize,
    length: Option<u64>,
    is_chunked: bool,
    asks_close: bool,
    asks_keep_alive: bool,
    asks_upgrade: bool,
    asks_websocket: bool,
    expects_continue: bool,
    has_record_headers: bool,
}

impl<'a> Fields<'a> {
    fn new(window: &'a [u8], count: usize) -> Self {
        Self {
            window,
            known: [Span::default(); Known::COUNT],
            count,
            length: None,
            is_chunked: false,
            asks_close: false,
            asks_keep_alive: false,
            asks_upgrade: false,
            asks_websocket: false,
            expects_continue: false,
            has_record_headers: false,
        }
    }

    /// Walks the fields in order, holding every line to `name ":" OWS value OWS CRLF` with nothing between.
    fn read(&mut self, request_line: usize, headers: &[httparse::Header<'a>]) -> Result<(), HttpError> {
        let window = self.window;
        let mut at = line_end(window, request_line)?;
        for header in headers {
            let name_end = at + header.name.len();
            let start = header.value.as_ptr() as usize - window.as_ptr() as usize;
            let mut end = start + header.value.len();
            if header.name.as_ptr() as usize != window.as_ptr() as usize + at || start <= name_end {
                return Err(HttpError::Malformed("malformed header line"));
            }
            while matches!(window.get(end), Some(b' ' | b'\t')) {
                end += 1;
            }
            at = line_end(window, end)?;
            let raw = &window[name_end + 1..end];
            match Known::lookup(header.name.as_bytes()) {
                Some(known) => self.note(known, start, header.value, raw)?,
                None if header.name.contains('_') => {
                    return Err(HttpError::Malformed("underscore in a header name"));
                }
                None => {
                    self.has_record_headers |=
                        record_header_name(header.name).is_some() || is_cloud_event_attribute(header.name);
                }
            }
        }
        if line_end(window, at)? != window.len() {
            return Err(HttpError::Malformed("malformed end of the head"));
        }
        Ok(())
    }

    fn note(&mut self, known: Known, start: usize, value: &[u8], raw: &[u8]) -> Result<(), HttpError> {
        let slot = &mut self.known[known as usize];
        if slot.start == 0 {
            debug_assert!(start + value.len() <= HEAD_BYTES_MAX);
            #[allow(clippy::cast_possible_truncation)] // a head is at most HEAD_BYTES_MAX, which fits
            let span = Span { start: start as u16, end: (start + value.len()) as u16 };
            *slot = span;
        } else if known.is_singleton() {
            return Err(HttpError::DuplicateHeader(known));
        }
        match known {
            Known::ContentLength => self.length = Some(content_length(raw)?),
            Known::TransferEncoding => {
                if raw.strip_prefix(b" ").unwrap_or(raw) != b"chunked" {
                    return Err(HttpError::Malformed("Transfer-Encoding other than exactly \"chunked\""));
                }
                self.is_chunked = true;
            }
            Known::Connection => {
                for option in tokens(value) {
                    self.asks_close |= option.eq_ignore_ascii_case(b"close");
                    self.asks_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    self.asks_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                }
            }
            Known::Upgrade => {
                for protocol in tokens(value) {
                    if protocol.eq_ignore_ascii_case(b"h2c") {
                        return Err(HttpError::Malformed("Upgrade: h2c is not spoken here"));
                    }
                    self.asks_websocket |= protocol.eq_ignore_ascii_case(b"websocket");
                }
            }
            Known::Expect => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(HttpError::Malformed("Expect other than 100-continue"));
                }
                self.expects_continue = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn check_host(&self, minor_version: u8, authority: Option<&str>) -> Result<(), HttpError> {
        let Span { start, end } = self.known[Known::Host as usize];
        if start == 0 {
            return if minor_version == 0 { Ok(()) } else { Err(HttpError::Malformed("missing Host")) };
        }
        let host = &self.window[usize::from(start)..usize::from(end)];
        if !is_authority(host) {
            return Err(HttpError::Malformed("malformed Host"));
        }
        match authority {
            Some(authority) if !authority.as_bytes().eq_ignore_ascii_case(host) => {
                Err(HttpError::Malformed("Host differs from the authority of the request target"))
            }
            _ => Ok(()),
        }
    }

    fn framing(&self, method: Method<'_>, minor_version: u8) -> Result<Framing, HttpError> {
        let framing = match (self.is_chunked, self.length) {
            (true, Some(_)) => {
                return Err(HttpError::Malformed("Content-Length and Transfer-Encoding together"))
            }
            (true, None) if minor_version == 0 => {
                return Err(HttpError::Malformed("Transfer-Encoding in HTTP/1.0"));
            }
            (true, None) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        };
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        if has_body && matches!(method, Method::Get | Method::Head) {
            return Err(HttpError::Malformed("body on GET or HEAD"));
        }
        Ok(framing)
    }
}

/// The place behind the CRLF at `at`.
fn line_end(window: &[u8], at: usize) -> Result<usize, HttpError> {
    match window.get(at..at + 2) {
        Some(b"\r\n") => Ok(at + 2),
        _ => Err(HttpError::Malformed("line that does not end in CR LF")),
    }
}

/// Digits alone behind at most one blank: no sign, list, hexadecimal, leading zero or overflow.
fn content_length(raw: &[u8]) -> Result<u64, HttpError> {
    const MALFORMED: HttpError = HttpError::Malformed("malformed Content-Length");
    let digits = raw.strip_prefix(b" ").unwrap_or(raw);
    let has_leading_zero = digits.len() > 1 && digits[0] == b'0';
    if digits.is_empty() || digits.len() > 18 || has_leading_zero {
        return Err(MALFORMED);
    }
    digits.iter().try_fold(0_u64, |length, &digit| match digit {
        b'0'..=b'9' => Ok(length * 10 + u64::from(digit - b'0')),
        _ => Err(MALFORMED),
    })
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// What a byte may be in a request target: 0 refused, 1 plain, 2 needs a look.
const TARGET: [u8; 256] = {
    let mut table = [0; 256];
    // RFC 3986 pchar, "/" and "?"; and ">", which closes a topic pattern and which clients send as it is
    // typed.
    let plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/>";
    let mut index = 0;
    while index < plain.len() {
        table[plain[index] as usize] = 1;
        index += 1;
    }
    table[b'%' as usize] = 2;
    table[b'?' as usize] = 2;
    table
};

/// Splits a target into authority (absolute form only), path and query.
fn split_target<'a>(
    method: Method<'_>,
    target: &'a str,
) -> Result<(Option<&'a str>, &'a str, &'a str), HttpError> {
    const BAD_FORM: HttpError = HttpError::Malformed("request target is not a path");
    if target == "*" {
        return if method == Method::Options { Ok((None, target, "")) } else { Err(BAD_FORM) };
    }
    if target.starts_with('/') {
        let (path, query) = split_path(target)?;
        return Ok((None, path, query));
    }
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| {
            let (head, rest) = target.split_at_checked(scheme.len())?;
            head.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .ok_or(BAD_FORM)?;
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    if authority.is_empty() || !is_authority(authority.as_bytes()) {
        return Err(HttpError::Malformed("malformed authority in the request target"));
    }
    let (path, query) = split_path(rest)?;
    Ok((Some(authority), if path.is_empty() { "/" } else { path }, query))
}

/// Splits at the first `?`; every byte is checked, and percent-encoding where it makes up the path.
fn split_path(target: &str) -> Result<(&str, &str), HttpError> {
    let bytes = target.as_bytes();
    let Some(plain) = bytes.iter().position(|&byte| TARGET[usize::from(byte)] != 1) else {
        return Ok((target, ""));
    };
    let mut question = None;
    for (at, &byte) in bytes.iter().enumerate().skip(plain) {
        match TARGET[usize::from(byte)] {
            1 => {}
            0 => {
                return Err(HttpError::Malformed(
                    "character that must be percent-encoded in the request target",
                ))
            }
            _ if byte == b'?' => {
                question.get_or_insert(at);
            }
            _ => {
                let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
                let is_escape = digits.len() == 2 && digits.iter().all(|&digit| hex_value(digit).is_some());
                if question.is_none() && !is_escape {
                    return Err(HttpError::Malformed("malformed percent-encoding in the path"));
                }
            }
        }
    }
    Ok(match question {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, ""),
    })
}

/// Whether the bytes are `host [":" port]` without user information, list or blank (an empty host is legal).
fn is_authority(bytes: &[u8]) -> bool {
    let is_bracketed = bytes.first() == Some(&b'[');
    let host_end = if is_bracketed {
        memchr::memchr(b']', bytes).map_or(bytes.len(), |end| end + 1)
    } else {
        memchr::memchr(b':', bytes).unwrap_or(bytes.len())
    };
    let (host, port) = bytes.split_at(host_end);
    let is_host = if is_bracketed {
        matches!(host, [b'[', address @ .., b']'] if address.iter().all(|byte| is_address_byte(*byte)))
    } else {
        host.iter().all(|&byte| HOST_NAME[usize::from(byte)])
    };
    let is_port = match port {
        [] => true,
        [_, digits @ ..] => {
            port[0] == b':' && !host.is_empty() && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit)
        }
    };
    is_host && is_port
}

const fn is_address_byte(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

/// What a byte may be in a host name: RFC 3986 reg-name, without the comma that a merged list would bring.
const HOST_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // below 256
        let letter = byte as u8;
        table[byte] = letter.is_ascii_alphanumeric()
            || matches!(
                letter,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            );
        byte += 1;
    }
    table
};
