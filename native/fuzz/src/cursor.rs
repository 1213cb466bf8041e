//! Any text as a cursor, a message id and a topic name: what is taken is written again letter for letter.
use sprawl_core::cursor;
use sprawl_core::ids::{parse_topic_id, topic_id_text, valid_topic, MessageId};

/// Parses `data` as each.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(entries) = cursor::decode(text) {
            assert_eq!(cursor::encode(&entries), text);
        }
    }
    if let Ok(id) = MessageId::parse(data) {
        assert_eq!(id.to_string().as_bytes(), data);
    }
    if let Some(id) = parse_topic_id(data) {
        assert_eq!(&topic_id_text(id)[..], data);
    }
    if valid_topic(data).is_ok() {
        assert!(data.is_ascii() && !data.is_empty() && data.len() <= 249);
    }
}
