//! The answers of each protocol, cut into items: HTTP, NATS, RESP (Redis), MQTT 3.1.1.
//!
//! Every parser takes a prefix of the bytes given and says how many it used; "incomplete" is no error.

use memchr::memchr;

use crate::http::Responses;

/// What a publisher's connection has been told since it was last asked.
#[derive(Default)]
pub struct Seen {
    /// The connection may be used: handshake answered.
    pub is_ready: bool,
    pub acks: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// NATS pings to answer.
    pub pings: u32,
}

impl Seen {
    pub fn fail(&mut self, reason: impl FnOnce() -> String) {
        self.errors += 1;
        self.first_error.get_or_insert_with(reason);
    }
}

pub enum NatsItem<'a> {
    Ping,
    Pong,
    Message(&'a [u8]),
    Error(&'a [u8]),
    Other,
}

/// The next whole item of a NATS server stream.
pub fn nats_next(data: &[u8]) -> Result<Option<(NatsItem<'_>, usize)>, String> {
    let Some(end) = memchr(b'\n', data) else {
        return Ok(None);
    };
    let line = data[..end].strip_suffix(b"\r").unwrap_or(&data[..end]);
    let used = end + 1;
    if line.starts_with(b"MSG ") {
        let digits = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        let size = decimal(digits).ok_or("MSG without a size")?;
        return Ok(data
            .get(used..used + size + 2)
            .map(|body| (NatsItem::Message(&body[..size]), used + size + 2)));
    }
    let item = match line {
        b"PING" => NatsItem::Ping,
        b"PONG" => NatsItem::Pong,
        line if line.starts_with(b"-ERR") => NatsItem::Error(line),
        line if line.starts_with(b"INFO") || line == b"+OK" => NatsItem::Other,
        line => return Err(format!("not NATS: {}", String::from_utf8_lossy(line))),
    };
    Ok(Some((item, used)))
}

fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + usize::from(byte - b'0'))
    })
}

pub enum Token<'a> {
    Array,
    Bulk(&'a [u8]),
    Error(&'a [u8]),
    Other,
}

/// Walks RESP replies token by token; `stack` holds how many elements each open array still lacks.
#[derive(Default)]
pub struct Resp {
    stack: Vec<usize>,
}

impl Resp {
    /// Depth of the last token: 0 for a reply that is no array.
    pub fn depth(&self) -> usize {
        self.stack.len()
    }

    fn close(&mut self) {
        while let Some(left) = self.stack.last_mut() {
            *left -= 1;
            if *left > 0 {
                break;
            }
            self.stack.pop();
        }
    }

    /// Calls `each(token, depth, reply is complete)` for every whole token; returns the bytes consumed.
    pub fn feed(
        &mut self,
        data: &[u8],
        mut each: impl FnMut(Token<'_>, usize, bool) -> Result<(), String>,
    ) -> Result<usize, String> {
        let mut at = 0;
        while let Some(length) = memchr(b'\n', &data[at..]) {
            let line = data[at..at + length]
                .strip_suffix(b"\r")
                .ok_or("a RESP line without CR")?;
            let mut used = at + length + 1;
            let (mark, rest) = line.split_first().ok_or("an empty RESP line")?;
            let depth = self.depth();
            match mark {
                b'*' => {
                    let count = if rest == b"-1" {
                        0
                    } else {
                        decimal(rest).ok_or("array size")?
                    };
                    if count > 0 {
                        self.stack.push(count);
                    } else {
                        self.close();
                    }
                    each(Token::Array, depth, self.stack.is_empty())?;
                }
                b'$' => {
                    let bulk = if rest == b"-1" {
                        &[][..]
                    } else {
                        let size = decimal(rest).ok_or("bulk size")?;
                        let Some(body) = data.get(used..used + size + 2) else {
                            break;
                        };
                        used += size + 2;
                        &body[..size]
                    };
                    self.close();
                    each(Token::Bulk(bulk), depth, self.stack.is_empty())?;
                }
                b':' | b'+' => {
                    self.close();
                    each(Token::Other, depth, self.stack.is_empty())?;
                }
                b'-' => {
                    self.close();
                    each(Token::Error(rest), depth, self.stack.is_empty())?;
                }
                _ => return Err(format!("not RESP: {}", String::from_utf8_lossy(line))),
            }
            at = used;
        }
        Ok(at)
    }
}

/// One MQTT packet: its first byte, its body, the bytes it took.
pub type MqttPacket<'a> = (u8, &'a [u8], usize);

/// The next whole MQTT control packet.
pub fn mqtt_next(data: &[u8]) -> Result<Option<MqttPacket<'_>>, String> {
    let mut length = 0;
    for index in 1..5 {
        let Some(byte) = data.get(index) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * (index - 1));
        if byte & 0x80 == 0 {
            let from = index + 1;
            return Ok(data
                .get(from..from + length)
                .map(|body| (data[0], body, from + length)));
        }
    }
    Err("an MQTT length of more than 4 bytes".to_owned())
}

/// Appends an MQTT packet.
pub fn mqtt_packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    let mut length = body.len();
    loop {
        let more = length >= 0x80;
        out.push(length as u8 & 0x7f | if more { 0x80 } else { 0 });
        length >>= 7;
        if !more {
            break;
        }
    }
    out.extend_from_slice(body);
}

/// Appends CONNECT, clean session, no keep-alive.
pub fn mqtt_connect(client: &str, out: &mut Vec<u8>) {
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    body.extend_from_slice(&(client.len() as u16).to_be_bytes());
    body.extend_from_slice(client.as_bytes());
    mqtt_packet(0x10, &body, out);
}

/// Appends a command of bulk strings.
pub fn resp_command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

pub const NATS_CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"load\",\"version\":\"0\"}\r\n";

/// How the answers on a publisher's connection are counted.
pub enum Acks {
    Http(Responses),
    /// Each PONG is an ack; the first ends the handshake.
    NatsPong {
        is_open: bool,
    },
    /// Each message on the inbox is an ack.
    JetStream,
    Resp(Resp),
    /// `PINGRESP` per unit at level 0, `PUBACK` per message at level 1.
    Mqtt,
}

impl Acks {
    /// Whether something must be answered before the first publish.
    pub fn needs_handshake(&self) -> bool {
        !matches!(self, Self::Http(_) | Self::Resp(_))
    }

    pub fn feed(&mut self, data: &[u8], seen: &mut Seen) -> Result<usize, String> {
        match self {
            Self::Http(responses) => responses.feed(data, seen),
            Self::Resp(resp) => resp.feed(data, |token, _, is_complete| {
                if let Token::Error(text) = token {
                    seen.fail(|| String::from_utf8_lossy(text).into_owned());
                } else if is_complete {
                    seen.acks += 1;
                }
                Ok(())
            }),
            Self::NatsPong { .. } | Self::JetStream => {
                let mut at = 0;
                while let Some((item, used)) = nats_next(&data[at..])? {
                    self.nats(&item, seen);
                    at += used;
                }
                Ok(at)
            }
            Self::Mqtt => {
                let mut at = 0;
                while let Some((first, body, used)) = mqtt_next(&data[at..])? {
                    match first >> 4 {
                        2 if body.get(1) == Some(&0) => seen.is_ready = true,
                        2 => seen.fail(|| format!("CONNACK {body:?}")),
                        4 | 13 => seen.acks += 1,
                        _ => {}
                    }
                    at += used;
                }
                Ok(at)
            }
        }
    }

    fn nats(&mut self, item: &NatsItem<'_>, seen: &mut Seen) {
        match (item, self) {
            (NatsItem::Ping, _) => seen.pings += 1,
            (NatsItem::Pong, Self::NatsPong { is_open }) if *is_open => seen.acks += 1,
            (NatsItem::Pong, Self::NatsPong { is_open }) => {
                *is_open = true;
                seen.is_ready = true;
            }
            (NatsItem::Pong, _) => seen.is_ready = true,
            (NatsItem::Message(body), _) if memchr::memmem::find(body, b"\"error\"").is_some() => {
                seen.fail(|| String::from_utf8_lossy(body).into_owned());
            }
            (NatsItem::Message(_), _) => seen.acks += 1,
            (NatsItem::Error(text), _) => seen.fail(|| String::from_utf8_lossy(text).into_owned()),
            (NatsItem::Other, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resp_counts_replies_and_depths_however_cut() {
        let stream = b"*1\r\n*2\r\n$1\r\nt\r\n*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nd\r\n$2\r\nab\r\n:5\r\n-ERR no\r\n*-1\r\n";
        for step in 1..stream.len() {
            let (mut parser, mut rest, mut ids, mut complete) = (Resp::default(), Vec::new(), Vec::new(), 0);
            for piece in stream.chunks(step) {
                rest.extend_from_slice(piece);
                let used = parser.feed(&rest, |token, depth, is_complete| {
                    if let (Token::Bulk(bulk), 4) = (token, depth) {
                        ids.push(bulk.to_vec());
                    }
                    complete += u32::from(is_complete);
                    Ok(())
                });
                rest.drain(..used.unwrap());
            }
            assert_eq!(
                (ids.as_slice(), complete, rest.len()),
                (&[b"5-1".to_vec()][..], 4, 0),
                "step {step}"
            );
        }
    }

    #[test]
    fn mqtt_packets_of_every_length_come_back() {
        for size in [0, 1, 127, 128, 16_383, 16_384] {
            let mut out = Vec::new();
            mqtt_packet(0x30, &vec![7; size], &mut out);
            assert!(mqtt_next(&out[..out.len() - 1]).unwrap().is_none() || size == 0);
            let (first, body, used) = mqtt_next(&out).unwrap().unwrap();
            assert_eq!((first, body.len(), used), (0x30, size, out.len()));
        }
    }
}
