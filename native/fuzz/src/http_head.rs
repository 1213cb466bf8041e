//! Any bytes as a request head: no panic, bounded patience, and nothing accepted that httparse reads
//! differently.

use sprawl_core::http::head::{parse, Framing};
use sprawl_core::http::{query, Known};
use sprawl_core::limits::{HEADERS_COUNT_MAX, HEAD_BYTES_MAX};

/// One input.
pub fn run(bytes: &[u8]) {
    let head = match parse(bytes) {
        Ok(Some(head)) => head,
        Ok(None) => {
            assert!(bytes.len() < HEAD_BYTES_MAX + 2);
            return;
        }
        Err(error) => {
            assert!(!error.problem().detail.is_empty());
            return;
        }
    };
    assert!(bytes[..head.consumed].ends_with(b"\r\n\r\n"));
    assert!(parse(&bytes[..head.consumed - 1]).is_ok_and(|head| head.is_none()));

    let mut fields = [httparse::EMPTY_HEADER; HEADERS_COUNT_MAX];
    let mut oracle = httparse::Request::new(&mut fields);
    assert_eq!(oracle.parse(bytes), Ok(httparse::Status::Complete(head.consumed)));
    assert_eq!(oracle.method, Some(head.method.as_str()));
    assert_eq!(oracle.path, Some(head.target));
    assert!(head.headers().eq(oracle.headers.iter().map(|field| (field.name, field.value))));
    for &known in Known::ALL {
        let mut values = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(known.name()));
        assert_eq!(head.get(known), values.next().map(|(_, value)| value));
        assert!(!known.is_singleton() || values.next().is_none());
    }
    assert!(head.get(Known::ContentLength).is_none() || head.get(Known::TransferEncoding).is_none());
    assert_eq!(head.framing == Framing::Chunked, head.get(Known::TransferEncoding).is_some());
    for segment in head.path.split('/') {
        let _ = query::percent_decode_path(segment);
    }
    query::pairs(head.query).for_each(drop);
}
