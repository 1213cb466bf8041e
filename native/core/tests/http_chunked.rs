//! Chunked bodies: whatever the pieces they arrive in, and nothing but the strict form.

use proptest::prelude::*;
use sprawl_core::http::chunked::{Decoder, EXTENSIONS_BYTES_MAX, EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX};
use sprawl_core::http::{response, HttpError};

const LIMIT: usize = 1 << 20;

/// Decodes in pieces of `piece` bytes: the body and the bytes it took, or `None` while it is incomplete.
fn decode(bytes: &[u8], piece: usize, limit: usize) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + piece);
        let progress = decoder.decode(&bytes[at..end], &mut out, limit)?;
        at += progress.consumed;
        if progress.done {
            return Ok(Some((out, at)));
        }
        assert_eq!(at, end, "all input is used unless the body ended");
    }
    Ok(None)
}

fn accept(text: &str) -> Vec<u8> {
    let whole = decode(text.as_bytes(), usize::MAX >> 1, LIMIT).expect(text).expect("complete");
    assert_eq!(whole.1, text.len());
    assert_eq!(decode(text.as_bytes(), 1, LIMIT), Ok(Some(whole.clone())));
    whole.0
}

/// Asserts that the body is refused, in one piece and byte by byte.
fn refuse(bytes: impl AsRef<[u8]>) -> HttpError {
    let bytes = bytes.as_ref();
    let error = decode(bytes, usize::MAX >> 1, LIMIT).expect_err(&String::from_utf8_lossy(bytes));
    assert_eq!(decode(bytes, 1, LIMIT), Err(error));
    error
}

#[test]
fn chunks_are_joined() {
    assert_eq!(accept("0\r\n\r\n"), b"");
    assert_eq!(accept("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), b"hello world");
    assert_eq!(accept("A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n"), b"01234567890123456789");
    assert_eq!(accept("0000000000000001\r\n\n\r\n0\r\n\r\n"), b"\n");
}

#[test]
fn what_follows_the_body_is_left() {
    let bytes = b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
    assert_eq!(decode(bytes, 1000, LIMIT), Ok(Some((b"a".to_vec(), 11))));
}

#[test]
fn token_extensions_are_ignored() {
    assert_eq!(accept("1;a\r\nx\r\n0;b=c;d\r\n\r\n"), b"x");
    assert_eq!(accept(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(EXTENSION_BYTES_MAX))), b"x");
}

#[test]
fn extensions_over_their_bounds_are_refused() {
    refuse(format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(EXTENSION_BYTES_MAX + 1)));
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(EXTENSION_BYTES_MAX));
    refuse(chunk.repeat(EXTENSIONS_BYTES_MAX / EXTENSION_BYTES_MAX + 1));
}

#[test]
fn extension_with_a_newline_is_refused() {
    refuse("1;a\nx\r\n0\r\n\r\n");
    refuse("1;a\rb\r\nx\r\n0\r\n\r\n");
    refuse("1;\n\r\nx\r\n0\r\n\r\n");
    refuse("1;a=\"\r\n\"\r\nx\r\n0\r\n\r\n");
}

#[test]
fn extension_with_quotes_blanks_or_controls_is_refused() {
    for extension in ["a=\"b\"", " a", "a b", "a\t", "\0", "a=\u{7f}", "\u{e9}"] {
        refuse(format!("1;{extension}\r\nx\r\n0\r\n\r\n"));
    }
    refuse("1 ;a\r\nx\r\n0\r\n\r\n");
}

#[test]
fn size_with_0x_is_refused() {
    refuse("0x1\r\na\r\n0\r\n\r\n");
    refuse("0X1\r\na\r\n0\r\n\r\n");
}

#[test]
fn size_above_2_to_the_63_is_refused() {
    for size in ["8000000000000000", "ffffffffffffffff", "10000000000000001", "00000000000000001"] {
        assert!(matches!(refuse(format!("{size}\r\n")), HttpError::Malformed(_)), "{size}");
    }
    // Two sizes whose sum passes 64 bits are over any limit before they overflow.
    let outcome = Decoder::new().decode(b"7fffffffffffffff\r\n", &mut Vec::new(), LIMIT);
    assert_eq!(outcome, Err(HttpError::BodyTooLarge { bytes: i64::MAX as u64, bytes_max: LIMIT as u64 }));
}

#[test]
fn size_that_is_not_hexadecimal_alone_is_refused() {
    for size in ["", "-1", "+1", " 1", "1 ", "g", "1_0", "\t1", "1,1", ";a"] {
        refuse(format!("{size}\r\na\r\n0\r\n\r\n"));
    }
}

#[test]
fn line_feed_alone_is_refused() {
    refuse("1\na\r\n0\r\n\r\n");
    refuse("1\r\na\n0\r\n\r\n");
    refuse("1\r\na\r\n0\n\r\n");
    refuse("1\r\na\r\n0\r\n\n");
    refuse("1\rx");
}

#[test]
fn data_of_another_length_than_its_size_is_refused() {
    refuse("1\r\nab\r\n0\r\n\r\n");
    refuse("3\r\nab\r\n0\r\n\r\n");
}

#[test]
fn missing_last_crlf_is_not_the_end() {
    let body = b"1\r\na\r\n0\r\n\r\n";
    for end in 0..body.len() {
        assert_eq!(decode(&body[..end], 1000, LIMIT), Ok(None), "at {end}");
    }
    // The next request is not taken for a trailer.
    refuse("1\r\na\r\n0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    refuse("1\r\na\r\n0\r\n\rX");
}

#[test]
fn harmless_trailers_are_dropped() {
    assert_eq!(accept("1\r\na\r\n0\r\nX-Checksum: 1\r\nServer-Timing:a \t\r\n\r\n"), b"a");
}

#[test]
fn forbidden_trailers_are_refused() {
    for name in [
        "Transfer-Encoding",
        "content-length",
        "Host",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "Expect",
        "Content-Encoding",
        "Content-Range",
        "Trailer",
        "TE",
        "Connection",
        "Upgrade",
        "Sprawl-Key",
        "Sprawl-Header-A",
        "Idempotency-Key",
        "Producer-Seq",
        "If-Match",
        "Proxy-Authorization",
        "X-Forwarded-For",
        "Range",
        "ce-id",
        "Origin",
        "Sec-Fetch-Site",
        "Cache-Control",
    ] {
        refuse(format!("0\r\n{name}: 1\r\n\r\n"));
    }
}

#[test]
fn malformed_trailers_are_refused() {
    for line in [
        ": 1",
        "X Y: 1",
        "X_Y: 1",
        "no colon",
        " X: 1",
        "X: \u{0}",
        "X: a\rb",
        "X : 1",
        "X: a\u{7f}",
        "X: a\nb",
    ] {
        refuse(format!("0\r\nX: 1\r\n{line}\r\n\r\n"));
    }
}

#[test]
fn trailers_over_their_bound_are_refused() {
    let line = |bytes: usize| format!("0\r\nX: {}\r\n\r\n", "a".repeat(bytes - 3));
    accept(&line(TRAILER_BYTES_MAX));
    refuse(line(TRAILER_BYTES_MAX + 1));
    refuse(format!("0\r\n{}", "X: 1\r\n".repeat(TRAILER_BYTES_MAX)));
}

#[test]
fn a_body_over_its_limit_is_refused_before_it_is_stored() {
    let mut out = Vec::new();
    let error = Decoder::new().decode(b"4\r\nabcd\r\n7\r\nefghijk\r\n0\r\n\r\n", &mut out, 10).unwrap_err();
    assert_eq!(error, HttpError::BodyTooLarge { bytes: 11, bytes_max: 10 });
    assert_eq!((error.code().status(), out.as_slice()), (413, b"abcd".as_slice()));
    let error = Decoder::new().decode(b"7fffffffffffffff\r\n", &mut Vec::new(), LIMIT).unwrap_err();
    assert_eq!(error.code().status(), 413);
    assert!(decode(b"a\r\n0123456789\r\n0\r\n\r\n", 1, 10).is_ok_and(|body| body.is_some()));
}

proptest! {
    #[test]
    fn what_the_answer_side_writes_comes_back(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
        piece in 1_usize..64,
    ) {
        let mut bytes = Vec::new();
        for chunk in &chunks {
            response::chunk(&mut bytes, chunk);
        }
        response::end_chunks(&mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"next");
        prop_assert_eq!(decode(&bytes, piece, LIMIT), Ok(Some((chunks.concat(), length))));
    }

    #[test]
    fn pieces_do_not_change_the_outcome(
        parts in prop::collection::vec(
            prop_oneof!["[0-3]", "\r\n", "[a-z;=: ]", Just("1\r\nx\r\n".to_owned()), Just("0\r\n".to_owned())],
            0..12,
        ),
        piece in 1_usize..8,
    ) {
        let bytes = parts.concat().into_bytes();
        prop_assert_eq!(decode(&bytes, piece, 64), decode(&bytes, 1 << 20, 64));
    }
}
