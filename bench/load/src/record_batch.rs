//! `RecordBatch` v2 (the Kafka layout, big-endian): one builder with fixed-size values, one walker.

use crate::message::{Form, Message};

pub const HEAD_BYTES: usize = 61;
const CRC_FROM: usize = 21;

fn put_varint(value: i64, out: &mut Vec<u8>) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

fn get_varint(data: &[u8], at: &mut usize) -> Result<i64, String> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *data.get(*at).ok_or("record cut short")?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err("varint of more than 10 bytes".to_owned())
}

/// A prepared batch of `count` records whose values are overwritten in place.
pub struct Template {
    bytes: Vec<u8>,
    values: Vec<usize>,
}

impl Template {
    /// `count` records of `size` bytes each, no keys, no headers, timestamp `now_ms`.
    pub fn new(count: usize, size: usize, now_ms: i64) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + count * (size + 12));
        bytes.extend_from_slice(&0_i64.to_be_bytes());
        bytes.extend_from_slice(&0_i32.to_be_bytes());
        bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        bytes.push(2);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&0_i16.to_be_bytes());
        bytes.extend_from_slice(&(count as i32 - 1).to_be_bytes());
        bytes.extend_from_slice(&now_ms.to_be_bytes());
        bytes.extend_from_slice(&now_ms.to_be_bytes());
        bytes.extend_from_slice(&(-1_i64).to_be_bytes());
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        bytes.extend_from_slice(&(count as i32).to_be_bytes());
        assert_eq!(bytes.len(), HEAD_BYTES);
        let mut values = Vec::with_capacity(count);
        let mut body = Vec::with_capacity(size + 12);
        for delta in 0..count {
            body.clear();
            body.push(0);
            put_varint(0, &mut body);
            put_varint(delta as i64, &mut body);
            put_varint(-1, &mut body);
            put_varint(size as i64, &mut body);
            let value = body.len();
            body.resize(value + size, b'x');
            put_varint(0, &mut body);
            put_varint(body.len() as i64, &mut bytes);
            values.push(bytes.len() + value);
            bytes.extend_from_slice(&body);
        }
        let length = bytes.len() as i32 - 12;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let mut template = Self { bytes, values };
        template.seal();
        template
    }

    fn seal(&mut self) {
        let crc = crc32c::crc32c(&self.bytes[CRC_FROM..]);
        self.bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Numbers the records from `first` on and computes the checksum anew.
    pub fn fill(&mut self, form: &Form, first: Message) -> &[u8] {
        for (index, at) in self.values.iter().enumerate() {
            let message = Message {
                sequence: first.sequence + index as u64,
                ..first
            };
            form.write(message, &mut self.bytes[*at..*at + form.size]);
        }
        self.seal();
        &self.bytes
    }
}

/// Calls `each` with every value of every whole batch in `data`; returns the bytes consumed.
pub fn walk(data: &[u8], mut each: impl FnMut(&[u8]) -> Result<(), String>) -> Result<usize, String> {
    let mut used = 0;
    while let Some(head) = data.get(used..used + HEAD_BYTES) {
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if head[16] != 2 {
            return Err(format!("a batch with magic {}, not 2", head[16]));
        }
        let total = 12 + word(8) as usize;
        if !(HEAD_BYTES..=1 << 25).contains(&total) {
            return Err(format!("a batch of {total} bytes"));
        }
        let Some(batch) = data.get(used..used + total) else {
            break;
        };
        if crc32c::crc32c(&batch[CRC_FROM..]) != word(17) {
            return Err("a batch whose checksum is wrong".to_owned());
        }
        if head[22] & 7 != 0 {
            return Err("a compressed batch, which nobody here published".to_owned());
        }
        let mut at = HEAD_BYTES;
        for _ in 0..word(57) {
            let length = get_varint(batch, &mut at)? as usize;
            let end = at
                .checked_add(length)
                .filter(|end| *end <= total)
                .ok_or("record beyond its batch")?;
            at += 1;
            get_varint(batch, &mut at)?;
            get_varint(batch, &mut at)?;
            let key = get_varint(batch, &mut at)?.max(0) as usize;
            at += key;
            let value = get_varint(batch, &mut at)?.max(0) as usize;
            each(batch.get(at..at + value).ok_or("value beyond its batch")?)?;
            at = end;
        }
        used += total;
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_template_walks_back_and_a_flipped_bit_is_found() {
        let form = Form::new(false, 128).unwrap();
        let mut template = Template::new(100, 128, 1_700_000_000_000);
        let first = Message {
            publisher: 3,
            sequence: 500,
            due_ns: 9,
        };
        let mut bytes = template.fill(&form, first).to_vec();
        bytes.extend_from_slice(&bytes.clone());
        let cut = bytes.len() - 1;
        let mut seen = Vec::new();
        let used = walk(&bytes[..cut], |value| {
            seen.push(form.read(value).unwrap().sequence);
            Ok(())
        });
        assert_eq!(used, Ok(bytes.len() / 2));
        assert_eq!(seen, (500..600).collect::<Vec<_>>());
        bytes[100] ^= 1;
        assert!(walk(&bytes, |_| Ok(())).is_err());
    }
}
