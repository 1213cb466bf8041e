//! The payload of a numbered message: who sent it, which one it is, when it was due, and a filler to check.
//!
//! Text (for SSE, WebSocket, JSON): `SPRL`, 4 hex digits publisher, 12 sequence, 16 due time in ns, filler `x`.
//! Binary (every other wire): `SPRL`, u16 publisher, u16 zero, u64 sequence, u64 due, little-endian, filler.

pub const MAGIC: &[u8; 4] = b"SPRL";
const TEXT_HEAD: usize = 36;
const BINARY_HEAD: usize = 24;
/// The publisher number of messages that only prove a subscription to be live.
pub const PROBE: u16 = 0xffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub publisher: u16,
    pub sequence: u64,
    pub due_ns: u64,
}

/// Writes and checks payloads of one size.
#[derive(Clone)]
pub struct Form {
    pub is_text: bool,
    pub size: usize,
    filler: Vec<u8>,
}

fn put_hex(out: &mut [u8], mut value: u64) {
    for slot in out.iter_mut().rev() {
        *slot = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn get_hex(text: &[u8]) -> Option<u64> {
    let mut value = 0;
    for &byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value)
}

impl Form {
    pub fn new(is_text: bool, size: usize) -> Result<Self, String> {
        let head = if is_text { TEXT_HEAD } else { BINARY_HEAD };
        if size < head {
            return Err(format!(
                "--size {size} is below {head}, the head of a numbered message"
            ));
        }
        Ok(Self {
            is_text,
            size,
            filler: vec![b'x'; size - head],
        })
    }

    /// Overwrites `out` (exactly `size` bytes).
    pub fn write(&self, message: Message, out: &mut [u8]) {
        out[..4].copy_from_slice(MAGIC);
        let head = if self.is_text {
            put_hex(&mut out[4..8], u64::from(message.publisher));
            put_hex(&mut out[8..20], message.sequence);
            put_hex(&mut out[20..36], message.due_ns);
            TEXT_HEAD
        } else {
            out[4..6].copy_from_slice(&message.publisher.to_le_bytes());
            out[6..8].fill(0);
            out[8..16].copy_from_slice(&message.sequence.to_le_bytes());
            out[16..24].copy_from_slice(&message.due_ns.to_le_bytes());
            BINARY_HEAD
        };
        out[head..].copy_from_slice(&self.filler);
    }

    /// Appends one payload.
    pub fn push(&self, message: Message, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.size, 0);
        self.write(message, &mut out[start..]);
    }

    /// Reads a payload of exactly `size` bytes; `None` when any byte is not what was sent.
    pub fn read(&self, payload: &[u8]) -> Option<Message> {
        if payload.len() != self.size || &payload[..4] != MAGIC {
            return None;
        }
        let (message, head) = if self.is_text {
            let publisher = get_hex(&payload[4..8])? as u16;
            let sequence = get_hex(&payload[8..20])?;
            (
                Message {
                    publisher,
                    sequence,
                    due_ns: get_hex(&payload[20..36])?,
                },
                TEXT_HEAD,
            )
        } else {
            let publisher = u16::from_le_bytes([payload[4], payload[5]]);
            let sequence = u64::from_le_bytes(payload[8..16].try_into().ok()?);
            let due_ns = u64::from_le_bytes(payload[16..24].try_into().ok()?);
            (
                Message {
                    publisher,
                    sequence,
                    due_ns,
                },
                BINARY_HEAD,
            )
        };
        (payload[head..] == self.filler).then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_changed_byte_is_refused() {
        let message = Message {
            publisher: 513,
            sequence: 0x1234_5678_9abc,
            due_ns: 77_000_000_001,
        };
        for is_text in [true, false] {
            let form = Form::new(is_text, 128).unwrap();
            let mut payload = Vec::new();
            form.push(message, &mut payload);
            assert_eq!(form.read(&payload), Some(message));
            payload[127] = b'y';
            assert_eq!(form.read(&payload), None);
        }
        assert!(Form::new(true, 20).is_err());
    }
}
