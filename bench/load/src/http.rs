//! HTTP/1.1 answers: heads, fixed and chunked bodies, and a counter of pipelined responses.

use memchr::memmem;

use crate::wire::Seen;

/// Largest head accepted.
const HEAD_BYTES_MAX: usize = 1 << 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    Length(usize),
    Chunked,
    /// No length given: everything until the connection closes, or another protocol after 101.
    Endless,
}

pub struct Head {
    pub status: u16,
    pub body: Body,
    /// Length of the head with its empty line.
    pub bytes: usize,
}

/// Parses a response head; `None` when the empty line is not there yet.
pub fn head(data: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = memmem::find(data, b"\r\n\r\n") else {
        return if data.len() > HEAD_BYTES_MAX {
            Err("a head above 64 KiB".to_owned())
        } else {
            Ok(None)
        };
    };
    let digits = data.get(9..12).filter(|_| data.starts_with(b"HTTP/1."));
    let status = digits
        .and_then(|d| std::str::from_utf8(d).ok())
        .and_then(|d| d.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("not a response: {}", excerpt(data)))?;
    let mut body = Body::Endless;
    let mut at = memchr::memchr(b'\n', data).map_or(end, |at| at + 1);
    while at < end {
        let stop = at + memchr::memchr(b'\r', &data[at..]).unwrap_or(end - at);
        let line = &data[at..stop];
        if line.len() > 15 && (line[0] | 32) == b'c' && line[..15].eq_ignore_ascii_case(b"content-length:") {
            let text = std::str::from_utf8(&line[15..]).unwrap_or_default().trim();
            body = Body::Length(text.parse().map_err(|_| format!("Content-Length {text}"))?);
        } else if line.len() > 18
            && (line[0] | 32) == b't'
            && line[..18].eq_ignore_ascii_case(b"transfer-encoding:")
        {
            body = Body::Chunked;
        }
        at = stop + 2;
    }
    if status == 204 || status == 304 || (status < 200 && status != 101) {
        body = Body::Length(0);
    }
    Ok(Some(Head {
        status,
        body,
        bytes: end + 4,
    }))
}

/// The first bytes of something unexpected, for an error message.
pub fn excerpt(data: &[u8]) -> String {
    String::from_utf8_lossy(&data[..data.len().min(300)]).into_owned()
}

/// Decodes a chunked body; the payload of each piece goes to `each`.
#[derive(Default)]
pub struct Chunks {
    /// Payload bytes of the current chunk still to come.
    left: usize,
    /// The line end after a chunk's payload is still to come.
    needs_line_end: bool,
    /// The last chunk was seen, its trailer is not over.
    in_trailer: bool,
    pub is_finished: bool,
}

impl Chunks {
    pub fn feed(
        &mut self,
        data: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<usize, String> {
        let mut at = 0;
        while at < data.len() && !self.is_finished {
            if self.left > 0 {
                let count = self.left.min(data.len() - at);
                each(&data[at..at + count])?;
                self.left -= count;
                self.needs_line_end = self.left == 0;
                at += count;
            } else if self.needs_line_end {
                if data.len() - at < 2 {
                    break;
                }
                if &data[at..at + 2] != b"\r\n" {
                    return Err("a chunk without its line end".to_owned());
                }
                self.needs_line_end = false;
                at += 2;
            } else {
                let Some(length) = memchr::memchr(b'\n', &data[at..]) else {
                    break;
                };
                let line = data[at..at + length]
                    .strip_suffix(b"\r")
                    .unwrap_or(&data[at..at + length]);
                at += length + 1;
                if self.in_trailer {
                    self.is_finished = line.is_empty();
                    continue;
                }
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let text = std::str::from_utf8(digits).unwrap_or_default().trim();
                self.left = usize::from_str_radix(text, 16).map_err(|_| format!("chunk size {text:?}"))?;
                self.in_trailer = self.left == 0;
            }
        }
        Ok(at)
    }
}

/// What the body of a response must contain, checked on the first few and then on every 64th.
#[derive(Clone)]
pub struct Expected {
    pub token: &'static [u8],
    pub count: usize,
}

enum State {
    Head,
    Fixed(usize),
    Chunked(Chunks),
}

/// Counts the responses of one connection.
pub struct Responses {
    state: State,
    status: u16,
    expected: Option<Expected>,
    is_inspected: bool,
    body: Vec<u8>,
    count: u64,
}

impl Responses {
    pub fn new(expected: Option<Expected>) -> Self {
        Self {
            state: State::Head,
            status: 0,
            expected,
            is_inspected: false,
            body: Vec::new(),
            count: 0,
        }
    }

    fn finish(&mut self, seen: &mut Seen) {
        self.state = State::Head;
        if self.status < 200 {
            return;
        }
        self.count += 1;
        let mut is_good = (200..300).contains(&self.status);
        if self.is_inspected && is_good {
            if let Some(expected) = &self.expected {
                is_good = memmem::find_iter(&self.body, expected.token).count() == expected.count;
            }
        }
        if is_good {
            seen.acks += 1;
        } else {
            let (status, body) = (self.status, excerpt(&self.body));
            seen.fail(|| format!("{status} {body}"));
        }
    }

    pub fn feed(&mut self, data: &[u8], seen: &mut Seen) -> Result<usize, String> {
        let mut at = 0;
        loop {
            match &mut self.state {
                State::Head => {
                    let Some(head) = head(&data[at..])? else {
                        return Ok(at);
                    };
                    at += head.bytes;
                    self.status = head.status;
                    self.body.clear();
                    self.is_inspected = head.status >= 300
                        || (self.expected.is_some() && (self.count < 3 || self.count % 64 == 0));
                    match head.body {
                        Body::Length(0) => self.finish(seen),
                        Body::Length(length) => self.state = State::Fixed(length),
                        Body::Chunked => self.state = State::Chunked(Chunks::default()),
                        Body::Endless => return Err(format!("an answer {} without a length", head.status)),
                    }
                }
                State::Fixed(left) => {
                    let count = (*left).min(data.len() - at);
                    if self.is_inspected {
                        self.body.extend_from_slice(&data[at..at + count]);
                    }
                    at += count;
                    *left -= count;
                    if *left > 0 {
                        return Ok(at);
                    }
                    self.finish(seen);
                }
                State::Chunked(chunks) => {
                    let (is_inspected, body) = (self.is_inspected, &mut self.body);
                    at += chunks.feed(&data[at..], |piece| {
                        if is_inspected {
                            body.extend_from_slice(piece);
                        }
                        Ok(())
                    })?;
                    if !chunks.is_finished {
                        return Ok(at);
                    }
                    self.finish(seen);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nabcd\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n\
        HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno";

    #[test]
    fn responses_are_counted_however_the_bytes_are_cut() {
        for step in 1..STREAM.len() {
            let (mut responses, mut seen, mut rest) = (Responses::new(None), Seen::default(), Vec::new());
            for piece in STREAM.chunks(step) {
                rest.extend_from_slice(piece);
                let used = responses.feed(&rest, &mut seen).unwrap();
                rest.drain(..used);
            }
            assert_eq!((seen.acks, seen.errors, rest.len()), (2, 1, 0), "step {step}");
            assert_eq!(seen.first_error.as_deref(), Some("404 no"));
        }
    }

    #[test]
    fn a_body_without_the_expected_receipts_is_an_error() {
        let mut responses = Responses::new(Some(Expected {
            token: b"\"offset\"",
            count: 2,
        }));
        let mut seen = Seen::default();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n\"offset\":1";
        responses.feed(answer, &mut seen).unwrap();
        assert_eq!((seen.acks, seen.errors), (0, 1));
    }
}
