//! Base64 of RFC 4648 section 4: the standard alphabet, padded, in one canonical spelling.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;

/// Appends the encoded text of `bytes`.
///
/// # Panics
/// Never: the room asked for is exact.
pub fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    let at = out.len();
    out.resize(at + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[at..]);
    assert_eq!(written, Ok(out.len() - at), "room for 4 bytes of text per 3 bytes");
}

/// The bytes of `text`; `None` when it is not canonical base64 (no line breaks, padded, no spare bits).
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Bytes that `text` decodes to at most, known before anything is allocated.
#[must_use]
pub const fn decoded_bytes_max(text: &str) -> usize {
    text.len() / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vectors_of_rfc_4648_hold() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut out = b"x".to_vec();
            encode(&mut out, bytes.as_bytes());
            assert_eq!(out, format!("x{text}").into_bytes());
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["Zg", "Zg=", "Zh==", "Zm9v\n", "Zm-_", "Z", " Zg==", "Zg==Zg=="] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut out = Vec::new();
            encode(&mut out, &bytes);
            let text = String::from_utf8(out).unwrap();
            prop_assert!(decoded_bytes_max(&text) >= bytes.len());
            prop_assert_eq!(decode(&text), Some(bytes));
        }
    }
}
