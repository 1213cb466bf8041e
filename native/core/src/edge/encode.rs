//! Messages as clients see them: JSON objects, SSE events, NDJSON lines, WebSocket frames.

use super::time::Clock;
use crate::batch::RecordRef;
use crate::http::response::write_number;
use crate::ids::topic_id_text;
use crate::json::write_string;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Elements of the `messages` array of one answer.
    Json,
    /// One object a line, without end.
    Ndjson,
    /// Server-Sent Events, without end.
    Sse,
    /// Stored batches back to back.
    Binary,
    /// One JSON object in a text frame each.
    WsJson,
    /// One batch of one record in a binary frame each.
    WsBinary,
}

/// Everything but the record itself that stands in a message.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The topic's id.
    pub topic_id: u64,
    /// Its name, shown only in reads of a pattern.
    pub topic: Option<&'a str>,
    /// Partition number.
    pub partition: u32,
    /// Values that are JSON come as `json`.
    pub json_values: bool,
}

/// Appends a message id.
pub fn write_id(out: &mut Vec<u8>, topic_id: u64, partition: u32, offset: u64) {
    out.extend_from_slice(&topic_id_text(topic_id));
    out.push(b'-');
    write_number(out, u64::from(partition));
    out.push(b'-');
    write_number(out, offset);
}

/// Appends a message as a JSON object.
pub fn write_message(out: &mut Vec<u8>, clock: &mut Clock, origin: &Origin<'_>, record: &RecordRef<'_>) {
    let offset = u64::try_from(record.offset).unwrap_or_default();
    out.extend_from_slice(b"{\"id\":\"");
    write_id(out, origin.topic_id, origin.partition, offset);
    out.push(b'"');
    if let Some(topic) = origin.topic {
        out.extend_from_slice(b",\"topic\":");
        write_string(out, topic);
    }
    out.extend_from_slice(b",\"partition\":");
    write_number(out, u64::from(origin.partition));
    out.extend_from_slice(b",\"offset\":");
    write_number(out, offset);
    out.extend_from_slice(b",\"timestamp\":\"");
    out.extend_from_slice(clock.timestamp(record.timestamp_ms));
    out.push(b'"');
    if let Some(key) = record.key {
        write_text_or_base64(out, b"key", b"key_base64", key);
    }
    write_headers(out, record);
    if let Some(content_type) = record.content_type {
        out.extend_from_slice(b",\"content_type\":");
        write_string(out, content_type);
    }
    let value = record.value.unwrap_or_default();
    if origin.json_values && serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok() {
        out.extend_from_slice(b",\"json\":");
        // A line break inside the value would end an SSE field or an NDJSON line.
        out.extend(value.iter().map(|&b| if b == b'\n' || b == b'\r' { b' ' } else { b }));
    } else {
        write_text_or_base64(out, b"payload", b"base64", value);
    }
    out.extend_from_slice(b",\"attempt\":1}");
}

fn write_headers(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    let mut headers = record.headers.peekable();
    if headers.peek().is_none() {
        return;
    }
    out.extend_from_slice(b",\"headers\":{");
    let mut written: Vec<&[u8]> = Vec::new();
    for (name, value) in headers {
        if written.contains(&name) {
            continue; // a JSON object has a name once; the first one counts
        }
        if !written.is_empty() {
            out.push(b',');
        }
        written.push(name);
        write_string(out, &String::from_utf8_lossy(name));
        out.push(b':');
        if let Ok(text) = std::str::from_utf8(value) {
            write_string(out, text);
        } else {
            out.extend_from_slice(b"{\"base64\":\"");
            write_base64(out, value);
            out.extend_from_slice(b"\"}");
        }
    }
    out.push(b'}');
}

fn write_text_or_base64(out: &mut Vec<u8>, text_name: &[u8], base64_name: &[u8], value: &[u8]) {
    out.extend_from_slice(b",\"");
    if let Ok(text) = std::str::from_utf8(value) {
        out.extend_from_slice(text_name);
        out.extend_from_slice(b"\":");
        write_string(out, text);
    } else {
        out.extend_from_slice(base64_name);
        out.extend_from_slice(b"\":\"");
        write_base64(out, value);
        out.push(b'"');
    }
}

/// Appends standard base64 with padding (RFC 4648 §4).
pub fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    crate::json::base64::encode(out, bytes);
}

/// Appends an SSE event in one piece; `data` holds no line break.
pub fn write_event(out: &mut Vec<u8>, id: &str, event: &str, data: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\nevent: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    data(out);
    out.extend_from_slice(b"\n\n");
}

/// Appends an unmasked WebSocket frame (RFC 6455 §5.2) whose payload `write` appends.
pub fn write_frame(out: &mut Vec<u8>, opcode: u8, write: impl FnOnce(&mut Vec<u8>)) {
    // Payloads of 126 to 65,535 bytes are the usual case: their length takes two bytes, others shift once.
    let at = out.len();
    out.extend_from_slice(&[0x80 | opcode, 126, 0, 0]);
    write(out);
    let size = out.len() - at - 4;
    if let Ok(short) = u16::try_from(size) {
        if short < 126 {
            out.drain(at + 2..at + 4);
            out[at + 1] = u8::try_from(short).unwrap_or_default();
        } else {
            out[at + 2..at + 4].copy_from_slice(&short.to_be_bytes());
        }
    } else {
        out[at + 1] = 127;
        out.splice(at + 2..at + 4, (size as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_three_lengths_of_rfc_6455() {
        for (size, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut out = vec![9];
            write_frame(&mut out, 1, |o| o.resize(o.len() + size, b'x'));
            assert_eq!(out.len(), 1 + head + size, "{size}");
            assert_eq!(out[1], 0x81);
            let length = match head {
                2 => u64::from(out[2]),
                4 => u64::from(u16::from_be_bytes([out[3], out[4]])),
                _ => u64::from_be_bytes(out[3..11].try_into().unwrap()),
            };
            assert_eq!(length, size as u64);
        }
    }
}
