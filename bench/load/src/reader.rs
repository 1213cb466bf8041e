//! Readers: how each kind subscribes, and how its stream is cut into payloads.

use crate::http::{self, Body, Chunks};
use crate::message::{Form, MAGIC};
use crate::record_batch;
use crate::wire::{
    mqtt_connect, mqtt_next, mqtt_packet, nats_next, resp_command, NatsItem, Resp, Token, NATS_CONNECT,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    SprawlBinary,
    SprawlSse,
    SprawlWs,
    Nats,
    RedisPubsub,
    RedisStream,
    NchanSse,
    NchanWs,
    Mqtt,
}

const NAMES: &[(&str, Kind)] = &[
    ("sprawl-binary", Kind::SprawlBinary),
    ("sprawl-sse", Kind::SprawlSse),
    ("sprawl-ws", Kind::SprawlWs),
    ("nats", Kind::Nats),
    ("redis-pubsub", Kind::RedisPubsub),
    ("redis-stream", Kind::RedisStream),
    ("nchan-sse", Kind::NchanSse),
    ("nchan-ws", Kind::NchanWs),
    ("mqtt", Kind::Mqtt),
];

impl Kind {
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, kind)| *kind)
            .ok_or_else(|| format!("unknown kind {text}"))
    }

    /// Whether payloads pass through JSON or lines and must be text.
    pub fn is_text(self) -> bool {
        use Kind::{NchanSse, NchanWs, SprawlSse, SprawlWs};
        matches!(self, SprawlSse | SprawlWs | NchanSse | NchanWs)
    }

    pub fn is_http(self) -> bool {
        self.is_text() || self == Kind::SprawlBinary
    }

    pub fn is_sprawl(self) -> bool {
        matches!(self, Kind::SprawlBinary | Kind::SprawlSse | Kind::SprawlWs)
    }
}

/// RFC 6455 §1.3's own example: a fixed key and the accept value that belongs to it.
const WS_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const WS_ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Credit given at once on a WebSocket, and again when half of it is used.
const CREDIT_MESSAGES: u64 = 1 << 20;
const CREDIT_BYTES: u64 = 1 << 32;

/// Appends the bytes that open a reader of `topic`.
pub fn hello(kind: Kind, host: &str, topic: &str, index: usize, out: &mut Vec<u8>) {
    let upgrade = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WS_KEY}\r\n"
    );
    let sprawl = format!("/v1/topics/{topic}/messages?from=latest");
    let (path, headers) = match kind {
        Kind::SprawlBinary => (
            sprawl + "&follow=true",
            "Accept: application/x-sprawl-batch\r\n".to_owned(),
        ),
        Kind::SprawlSse => (sprawl, "Accept: text/event-stream\r\n".to_owned()),
        Kind::SprawlWs => (sprawl, upgrade),
        Kind::NchanSse => (
            format!("/sub/{topic}"),
            "Accept: text/event-stream\r\n".to_owned(),
        ),
        Kind::NchanWs => (format!("/sub/{topic}"), upgrade),
        Kind::Nats => {
            out.extend_from_slice(NATS_CONNECT);
            out.extend_from_slice(format!("SUB {topic} 1\r\nPING\r\n").as_bytes());
            return;
        }
        Kind::RedisPubsub => return resp_command(&[b"SUBSCRIBE", topic.as_bytes()], out),
        Kind::RedisStream => return xread(topic, b"0-0", out),
        Kind::Mqtt => {
            mqtt_connect(&format!("reader-{topic}-{index}"), out);
            let mut body = vec![0, 1];
            body.extend_from_slice(&(topic.len() as u16).to_be_bytes());
            body.extend_from_slice(topic.as_bytes());
            body.push(0);
            mqtt_packet(0x82, &body, out);
            return;
        }
    };
    out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").as_bytes());
}

fn xread(topic: &str, after: &[u8], out: &mut Vec<u8>) {
    let words: [&[u8]; 8] = [
        b"XREAD",
        b"COUNT",
        b"2000",
        b"BLOCK",
        b"0",
        b"STREAMS",
        topic.as_bytes(),
        after,
    ];
    resp_command(&words, out);
}

/// A client frame; the mask key is zero, which masks nothing (RFC 6455 §5.3 asks for a random one against proxies).
fn ws_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    assert!(payload.len() < 126);
    out.extend_from_slice(&[0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
}

enum Stream {
    HttpHead,
    Chunked(Chunks),
    Endless,
    WebSocket,
    Nats,
    Redis(Resp),
    Mqtt,
}

/// Cuts one reader's stream into payloads.
pub struct Decoder {
    kind: Kind,
    topic: String,
    form: Form,
    stream: Stream,
    /// Body bytes of a chunked stream that are no whole batch or message yet.
    body: Vec<u8>,
    /// The subscription was confirmed.
    pub is_ready: bool,
    /// Last stream entry read (Redis).
    last_id: Vec<u8>,
    /// Messages taken from the WebSocket credit.
    used_messages: u64,
}

/// Finds every whole text payload in `data` and returns the bytes that need not be seen again.
fn scan_text(
    data: &[u8],
    size: usize,
    each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<usize, String> {
    let finder = memchr::memmem::Finder::new(MAGIC);
    let mut at = 0;
    while let Some(found) = finder.find(&data[at..]) {
        let start = at + found;
        let Some(payload) = data.get(start..start + size) else {
            return Ok(start);
        };
        each(payload)?;
        at = start + size;
    }
    // A magic cut in two begins in the last three bytes.
    Ok(at.max(data.len().saturating_sub(MAGIC.len() - 1)))
}

impl Decoder {
    pub fn new(kind: Kind, topic: &str, form: Form) -> Self {
        let stream = match kind {
            Kind::Nats => Stream::Nats,
            Kind::RedisPubsub | Kind::RedisStream => Stream::Redis(Resp::default()),
            Kind::Mqtt => Stream::Mqtt,
            _ => Stream::HttpHead,
        };
        Self {
            kind,
            topic: topic.to_owned(),
            form,
            stream,
            body: Vec::new(),
            // A blocked XREAD from the start of its own stream misses nothing and answers nothing.
            is_ready: kind == Kind::RedisStream,
            last_id: Vec::new(),
            used_messages: 0,
        }
    }

    /// Takes what is whole in `data`; payloads go to `each`, answers the protocol wants to `out`.
    pub fn feed(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<usize, String> {
        match &mut self.stream {
            Stream::HttpHead => {
                let Some(head) = http::head(data)? else {
                    return Ok(0);
                };
                self.open(&head, data, out)?;
                Ok(head.bytes + self.feed(&data[head.bytes..], out, each)?)
            }
            Stream::Chunked(chunks) => {
                let (kind, size, body) = (self.kind, self.form.size, &mut self.body);
                let used = chunks.feed(data, |piece| {
                    if body.is_empty() {
                        let used = cut(kind, size, piece, each)?;
                        body.extend_from_slice(&piece[used..]);
                    } else {
                        body.extend_from_slice(piece);
                        let used = cut(kind, size, body, each)?;
                        body.drain(..used);
                    }
                    Ok(())
                })?;
                if chunks.is_finished {
                    return Err("the stream ended".to_owned());
                }
                Ok(used)
            }
            Stream::Endless => cut(self.kind, self.form.size, data, each),
            Stream::WebSocket => self.frames(data, out, each),
            Stream::Nats => {
                let mut at = 0;
                while let Some((item, used)) = nats_next(&data[at..])? {
                    match item {
                        NatsItem::Message(payload) => each(payload)?,
                        NatsItem::Ping => out.extend_from_slice(b"PONG\r\n"),
                        NatsItem::Pong => self.is_ready = true,
                        NatsItem::Error(text) => return Err(String::from_utf8_lossy(text).into_owned()),
                        NatsItem::Other => {}
                    }
                    at += used;
                }
                Ok(at)
            }
            Stream::Redis(resp) => {
                let (is_stream, size, last) =
                    (self.kind == Kind::RedisStream, self.form.size, &mut self.last_id);
                let (topic, is_ready) = (&self.topic, &mut self.is_ready);
                resp.feed(data, |token, depth, is_complete| {
                    match token {
                        Token::Bulk(bulk) if bulk.len() == size && bulk.starts_with(MAGIC) => each(bulk)?,
                        Token::Bulk(b"subscribe") => *is_ready = true,
                        Token::Bulk(bulk) if is_stream && depth == 4 => {
                            last.clear();
                            last.extend_from_slice(bulk);
                        }
                        Token::Error(text) => return Err(String::from_utf8_lossy(text).into_owned()),
                        _ => {}
                    }
                    if is_complete && is_stream {
                        xread(topic, last, out);
                    }
                    Ok(())
                })
            }
            Stream::Mqtt => {
                let mut at = 0;
                while let Some((first, body, used)) = mqtt_next(&data[at..])? {
                    match first >> 4 {
                        3 => {
                            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                            each(body.get(2 + topic..).ok_or("PUBLISH cut short")?)?;
                        }
                        9 if body.get(2) == Some(&0x80) => return Err("SUBACK refused".to_owned()),
                        9 => self.is_ready = true,
                        _ => {}
                    }
                    at += used;
                }
                Ok(at)
            }
        }
    }

    fn open(&mut self, head: &http::Head, data: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let is_ws = matches!(self.kind, Kind::SprawlWs | Kind::NchanWs);
        if head.status != if is_ws { 101 } else { 200 } {
            return Err(format!("subscription refused: {}", http::excerpt(data)));
        }
        if is_ws {
            if memchr::memmem::find(&data[..head.bytes], WS_ACCEPT).is_none() {
                return Err("a wrong Sec-WebSocket-Accept".to_owned());
            }
            self.stream = Stream::WebSocket;
            if self.kind == Kind::SprawlWs {
                Self::grant(out);
            }
        } else {
            self.stream = match head.body {
                Body::Chunked => Stream::Chunked(Chunks::default()),
                Body::Endless => Stream::Endless,
                Body::Length(length) => return Err(format!("a stream of fixed length {length}")),
            };
        }
        self.is_ready = true;
        Ok(())
    }

    fn grant(out: &mut Vec<u8>) {
        let credit = format!("{{\"credit\":{{\"messages\":{CREDIT_MESSAGES},\"bytes\":{CREDIT_BYTES}}}}}");
        ws_frame(1, credit.as_bytes(), out);
    }

    fn frames(
        &mut self,
        data: &[u8],
        out: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<usize, String> {
        let mut at = 0;
        while let Some(start) = data.get(at..at + 2) {
            if start[1] & 0x80 != 0 || start[0] & 0x70 != 0 {
                return Err("a masked frame, or one with reserved bits, from a server".to_owned());
            }
            let extra = match start[1] {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let Some(long) = data.get(at + 2..at + 2 + extra) else {
                break;
            };
            let length = if extra == 0 {
                usize::from(start[1])
            } else {
                long.iter().fold(0, |value, byte| value << 8 | usize::from(*byte))
            };
            let from = at + 2 + extra;
            let Some(payload) = data.get(from..from + length) else {
                break;
            };
            match start[0] & 0x0f {
                0..=2 => {
                    scan_text(payload, self.form.size, each)?;
                    self.used_messages += 1;
                    if self.kind == Kind::SprawlWs && self.used_messages >= CREDIT_MESSAGES / 2 {
                        self.used_messages = 0;
                        Self::grant(out);
                    }
                }
                8 => return Err(format!("the server closed: {}", http::excerpt(payload))),
                9 => ws_frame(10, payload, out),
                _ => {}
            }
            at = from + length;
        }
        Ok(at)
    }
}

fn cut(
    kind: Kind,
    size: usize,
    data: &[u8],
    each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<usize, String> {
    if kind == Kind::SprawlBinary {
        record_batch::walk(data, each)
    } else {
        scan_text(data, size, each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn read_all(kind: Kind, stream: &[u8], step: usize, form: &Form) -> (Vec<u64>, Vec<u8>) {
        let mut decoder = Decoder::new(kind, "t", form.clone());
        let (mut rest, mut out, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for piece in stream.chunks(step) {
            rest.extend_from_slice(piece);
            let mut each = |payload: &[u8]| {
                found.push(form.read(payload).ok_or("not what was sent")?.sequence);
                Ok(())
            };
            let used = decoder.feed(&rest, &mut out, &mut each).unwrap();
            rest.drain(..used);
        }
        assert!(decoder.is_ready);
        (found, out)
    }

    fn payload(form: &Form, sequence: u64) -> Vec<u8> {
        let mut out = Vec::new();
        form.push(
            Message {
                publisher: 0,
                sequence,
                due_ns: 5,
            },
            &mut out,
        );
        out
    }

    #[test]
    fn events_in_chunks_are_found_however_cut() {
        let form = Form::new(true, 64).unwrap();
        let mut stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for sequence in 0..5 {
            let mut event = b"id: 1\ndata: ".to_vec();
            event.extend_from_slice(&payload(&form, sequence));
            event.extend_from_slice(b"\n\n");
            for half in [&event[..20], &event[20..]] {
                stream.extend_from_slice(format!("{:x}\r\n", half.len()).as_bytes());
                stream.extend_from_slice(half);
                stream.extend_from_slice(b"\r\n");
            }
        }
        for step in 1..200 {
            assert_eq!(
                read_all(Kind::SprawlSse, &stream, step, &form).0,
                vec![0, 1, 2, 3, 4],
                "step {step}"
            );
        }
    }

    #[test]
    fn frames_are_found_and_credit_is_granted_once() {
        let form = Form::new(true, 200).unwrap();
        let mut stream =
            b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n".to_vec();
        for sequence in 0..3 {
            stream.extend_from_slice(&[0x81, 126, 0, 202, b'[']);
            stream.extend_from_slice(&payload(&form, sequence));
            stream.extend_from_slice(b"]\x89\x00");
        }
        for step in 1..250 {
            let (found, out) = read_all(Kind::SprawlWs, &stream, step, &form);
            assert_eq!(found, vec![0, 1, 2], "step {step}");
            assert_eq!(memchr::memmem::find_iter(&out, b"\"credit\"").count(), 1);
            assert_eq!(memchr::memmem::find_iter(&out, b"\x8a\x80\0\0\0\0").count(), 3);
        }
    }

    #[test]
    fn a_stream_reply_is_followed_by_the_next_read_after_its_last_entry() {
        let form = Form::new(false, 32).unwrap();
        let mut stream = b"*1\r\n*2\r\n$1\r\nt\r\n*2\r\n".to_vec();
        for sequence in 0..2 {
            stream.extend_from_slice(
                format!("*2\r\n$3\r\n7-{sequence}\r\n*2\r\n$1\r\nd\r\n$32\r\n").as_bytes(),
            );
            stream.extend_from_slice(&payload(&form, sequence));
            stream.extend_from_slice(b"\r\n");
        }
        let (found, out) = read_all(Kind::RedisStream, &stream, 11, &form);
        assert_eq!(found, vec![0, 1]);
        assert!(out.ends_with(b"$3\r\n7-1\r\n"));
    }
}
