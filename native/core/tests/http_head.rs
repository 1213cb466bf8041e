//! What a request head may be: every form that two servers could read differently is refused, the rest comes
//! out as sent.

use proptest::prelude::*;
use sprawl_core::http::head::{parse, Framing, Head, Method};
use sprawl_core::http::response::Connection;
use sprawl_core::http::{HttpError, Known};
use sprawl_core::limits::{HEADERS_COUNT_MAX, HEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX};
use sprawl_core::problem::Code;

fn accept(bytes: &[u8]) -> Head<'_> {
    parse(bytes).expect("well-formed").expect("complete")
}

fn refuse(bytes: impl AsRef<[u8]>) -> HttpError {
    let bytes = bytes.as_ref();
    match parse(bytes) {
        Err(error) => error,
        Ok(other) => panic!("{:?} gave {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// A publish with these lines after `Host`; asserts the answer is 400.
fn refuse_fields(fields: &str) -> HttpError {
    let error = refuse(format!("POST /publish HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(error.code().status(), 400, "{fields:?}");
    error
}

fn framing(fields: &str) -> Framing {
    accept(format!("POST /publish HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).framing
}

// What is accepted.

#[test]
fn a_publish_of_curl_comes_out_as_sent() {
    let bytes = b"POST /v1/topics/a%20b/messages?x=%zz&y HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8.5.0\r\n\
        Accept: */*\r\nContent-Type:  text/plain; charset=utf-8 \t\r\nContent-Length: 5\r\nX-Empty:\r\n\r\nhello";
    let head = accept(bytes);
    assert_eq!(head.method, Method::Post);
    assert_eq!(head.target, "/v1/topics/a%20b/messages?x=%zz&y");
    assert_eq!((head.path, head.query), ("/v1/topics/a%20b/messages", "x=%zz&y"));
    assert_eq!(&bytes[head.consumed..], b"hello");
    assert_eq!(head.framing, Framing::Length(5));
    assert!(head.keep_alive && !head.expect_continue && !head.upgrade_websocket && !head.has_record_headers);
    assert_eq!(head.get_str(Known::ContentType), Some("text/plain; charset=utf-8"));
    assert_eq!(head.get(Known::Host), Some(b"localhost:8080".as_slice()));
    assert_eq!(head.get(Known::IfMatch), None);
    assert_eq!(head.headers_count, 6);
    let fields: Vec<_> = head.headers().collect();
    assert_eq!(fields[3], ("Content-Type", b"text/plain; charset=utf-8".as_slice()));
    assert_eq!(fields[5], ("X-Empty", b"".as_slice()));
    assert_eq!(fields.len(), 6);
}

#[test]
fn a_head_in_pieces_is_incomplete_until_its_last_byte() {
    let bytes = b"\r\nGET /topics?limit=3 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
    for end in 0..bytes.len() {
        assert!(parse(&bytes[..end]).expect("well-formed so far").is_none(), "at {end}");
    }
    assert_eq!(accept(bytes).consumed, bytes.len());
}

#[test]
fn methods_are_case_sensitive_tokens() {
    for (token, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("PATCH", Method::Patch),
        ("OPTIONS", Method::Options),
        ("get", Method::Other("get")),
    ] {
        let bytes = format!("{token} / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(accept(bytes.as_bytes()).method, method);
        assert_eq!(method.as_str(), token);
    }
}

#[test]
fn keep_alive_follows_version_and_connection() {
    let connection = |version: &str, value: &str| {
        accept(format!("GET / {version}\r\nHost: a\r\nConnection: {value}\r\n\r\n").as_bytes()).connection()
    };
    assert_eq!(connection("HTTP/1.1", "x"), Connection::Implied);
    assert_eq!(connection("HTTP/1.1", "keep-alive , Close"), Connection::Close);
    assert_eq!(connection("HTTP/1.0", "x"), Connection::Close);
    assert_eq!(connection("HTTP/1.0", "Keep-Alive"), Connection::KeepAlive);
    assert_eq!(connection("HTTP/1.0", "keep-alive, close"), Connection::Close);
    assert!(!accept(b"GET / HTTP/1.0\r\n\r\n").keep_alive);
}

#[test]
fn a_websocket_handshake_is_seen() {
    let upgrade = |method: &str, fields: &str| {
        accept(format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).upgrade_websocket
    };
    assert!(upgrade("GET", "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"));
    assert!(!upgrade("GET", "Upgrade: websocket\r\n"));
    assert!(!upgrade("GET", "Connection: upgrade\r\n"));
    assert!(!upgrade("POST", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
}

#[test]
fn expect_continue_is_seen_where_a_body_follows() {
    let expect =
        |head: &str| accept(format!("{head}Expect: 100-Continue\r\n\r\n").as_bytes()).expect_continue;
    assert!(expect("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"));
    assert!(expect("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"));
    assert!(!expect("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"));
    assert!(!expect("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n"));
}

#[test]
fn record_headers_are_announced() {
    for field in ["Sprawl-Header-Tenant: 7", "ce-id: 1", "CE-Type: x"] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
        assert!(accept(bytes.as_bytes()).has_record_headers, "{field}");
    }
}

#[test]
fn targets_take_the_characters_of_rfc_3986_and_patterns() {
    for (target, path, query) in [
        ("/v1/topics/orders.>/messages", "/v1/topics/orders.>/messages", ""),
        ("/a:pull?from=offset:3&x=/?", "/a:pull", "from=offset:3&x=/?"),
        ("/?", "/", ""),
        ("//a", "//a", ""),
        ("http://A:80", "/", ""),
        ("HTTP://a:80?x", "/", "x"),
        ("http://a:80/p?q", "/p", "q"),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a:80\r\n\r\n");
        let head = accept(bytes.as_bytes());
        assert_eq!((head.target, head.path, head.query), (target, path, query));
    }
    assert_eq!(accept(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
}

#[test]
fn host_takes_names_addresses_and_ports() {
    for host in ["", "localhost", "10.0.0.1:8080", "[::1]", "[::1]:8080", "a-b.example.com:"] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(accept(bytes.as_bytes()).get_str(Known::Host), Some(host));
    }
}

#[test]
fn framing_headers_are_taken_in_their_one_spelling() {
    assert_eq!(framing(""), Framing::None);
    assert_eq!(framing("Content-Length: 0\r\n"), Framing::Length(0));
    assert_eq!(framing("content-length:5\r\n"), Framing::Length(5));
    assert_eq!(framing("Content-Length: 999999999999999999\r\n"), Framing::Length(999_999_999_999_999_999));
    assert_eq!(framing("Transfer-Encoding: chunked\r\n"), Framing::Chunked);
    assert_eq!(framing("transfer-encoding:chunked\r\n"), Framing::Chunked);
}

#[test]
fn lists_may_come_in_several_fields() {
    let head = accept(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: a/b\r\nAccept: c/d\r\n\r\n");
    assert_eq!(head.get_str(Known::Accept), Some("a/b"));
}

// The smuggling list: one test an item.

#[test]
fn content_length_with_transfer_encoding_is_refused() {
    refuse_fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n");
    refuse_fields("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n");
}

#[test]
fn two_equal_content_lengths_are_refused() {
    assert_eq!(
        refuse_fields("Content-Length: 5\r\nContent-Length: 5\r\n"),
        HttpError::DuplicateHeader(Known::ContentLength)
    );
    refuse_fields("Content-Length: 5, 5\r\n");
}

#[test]
fn two_different_content_lengths_are_refused() {
    refuse_fields("Content-Length: 5\r\ncontent-length: 6\r\n");
    refuse_fields("Content-Length: 5,6\r\n");
}

#[test]
fn content_length_with_a_sign_is_refused() {
    refuse_fields("Content-Length: +5\r\n");
    refuse_fields("Content-Length: -5\r\n");
}

#[test]
fn content_length_with_a_blank_is_refused() {
    for value in [" 5 ", "  5", " 5 5", "\t5", " 5\t", " "] {
        refuse_fields(&format!("Content-Length:{value}\r\n"));
    }
    refuse_fields("Content-Length : 5\r\n");
}

#[test]
fn content_length_in_hexadecimal_is_refused() {
    refuse_fields("Content-Length: 0x5\r\n");
    refuse_fields("Content-Length: f\r\n");
}

#[test]
fn content_length_empty_padded_or_overflowing_is_refused() {
    for value in ["", "05", "00", "5.0", "5;", "18446744073709551621", "9999999999999999999"] {
        refuse_fields(&format!("Content-Length: {value}\r\n"));
    }
}

#[test]
fn chunked_with_a_tab_is_refused() {
    refuse_fields("Transfer-Encoding:\tchunked\r\n");
    refuse_fields("Transfer-Encoding: chunked\t\r\n");
    refuse_fields("Transfer-Encoding: \tchunked\r\n");
    refuse_fields("Transfer-Encoding: chunked \r\n");
    refuse_fields("Transfer-Encoding: \x0bchunked\r\n");
}

#[test]
fn chunked_with_capitals_is_refused() {
    refuse_fields("Transfer-Encoding: Chunked\r\n");
    refuse_fields("Transfer-Encoding: chunKed\r\n");
}

#[test]
fn chunked_twice_is_refused() {
    refuse_fields("Transfer-Encoding: chunked, chunked\r\n");
    refuse_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
}

#[test]
fn chunked_with_a_prefix_is_refused() {
    for value in ["xchunked", "gzip, chunked", "\"chunked\"", "chunked;q=1", "chunked, gzip", ""] {
        refuse_fields(&format!("Transfer-Encoding: {value}\r\n"));
    }
}

#[test]
fn transfer_encoding_identity_is_refused() {
    refuse_fields("Transfer-Encoding: identity\r\n");
    refuse_fields("Transfer-Encoding: chunked, identity\r\n");
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused() {
    refuse("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn header_name_with_a_blank_is_refused() {
    refuse_fields("X Y: 1\r\n");
    refuse_fields("Transfer-Encoding : chunked\r\n");
    refuse_fields("X-Y\t: 1\r\n");
    refuse("GET / HTTP/1.1\r\n Host: a\r\n\r\n");
}

#[test]
fn header_name_with_an_underscore_is_refused() {
    refuse_fields("Content_Length: 5\r\n");
    refuse_fields("X_Y: 1\r\n");
}

#[test]
fn header_name_with_nul_is_refused() {
    refuse_fields("X\0Y: 1\r\n");
    refuse_fields("\0: 1\r\n");
}

#[test]
fn header_name_with_a_leading_colon_is_refused() {
    refuse_fields(": 1\r\n");
    refuse_fields(":Content-Length: 5\r\n");
    refuse_fields("no colon\r\n");
}

#[test]
fn folded_header_line_is_refused() {
    refuse_fields("X: 1\r\n 2\r\n");
    refuse_fields("X: 1\r\n\t2\r\n");
    refuse_fields("Transfer-Encoding:\r\n chunked\r\n");
}

#[test]
fn absolute_form_against_another_host_is_refused() {
    for target in
        ["http://b/", "http://a:80/", "http://u@a/", "http:///x", "http://", "ftp://a/", "a/b", "a:80"]
    {
        refuse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    refuse("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    refuse("GET * HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn two_hosts_are_refused() {
    refuse("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
    refuse("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n");
    refuse("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n");
}

#[test]
fn missing_or_malformed_host_is_refused() {
    refuse("GET / HTTP/1.1\r\n\r\n");
    for host in ["a b", "a/b", "u@a", "a:x", "[::1", "[::g]", ":80", "a:123456", "a\u{e9}"] {
        refuse(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
}

#[test]
fn http_0_9_is_refused() {
    refuse("GET /\r\n\r\n");
    refuse("GET / \r\n\r\n");
    refuse("GET / HTTP/0.9\r\nHost: a\r\n\r\n");
}

#[test]
fn other_versions_are_refused() {
    refuse("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    refuse("GET / HTTP/1.2\r\nHost: a\r\n\r\n");
    refuse("GET / http/1.1\r\nHost: a\r\n\r\n");
    refuse("GET / HTTP/1.1 \r\nHost: a\r\n\r\n");
}

#[test]
fn get_with_a_body_is_refused() {
    for method in ["GET", "HEAD"] {
        refuse(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"));
        refuse(format!("{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    }
    assert_eq!(accept(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").framing, Framing::Length(0));
}

#[test]
fn expect_of_something_else_is_refused() {
    refuse_fields("Content-Length: 5\r\nExpect: 200-ok\r\n");
}

#[test]
fn upgrade_to_h2c_is_refused() {
    refuse_fields(
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    );
    refuse_fields("Upgrade: websocket, H2C\r\n");
}

#[test]
fn line_feed_alone_is_refused() {
    refuse("GET / HTTP/1.1\nHost: a\n\n");
    refuse("GET / HTTP/1.1\nHost: a\r\n\r\n");
    refuse("GET / HTTP/1.1\r\nHost: a\n\r\n");
    refuse("GET / HTTP/1.1\r\nHost: a \n\r\n");
    refuse("GET / HTTP/1.1\r\nHost:\nX: a\r\n\r\n");
    refuse("GET / HTTP/1.1\r\nHost: a\r\n\n");
    refuse("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    refuse("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    refuse("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n");
}

#[test]
fn control_characters_in_values_are_refused() {
    for byte in (0_u8..32).chain([127]).filter(|&byte| byte != b'\t') {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1".to_vec();
        bytes.push(byte);
        bytes.extend_from_slice(b"2\r\n\r\n");
        refuse(bytes);
    }
}

#[test]
fn characters_outside_rfc_3986_in_the_target_are_refused() {
    for target in [
        "/a\"b", "/a<b", "/a\\b", "/a^b", "/a`b", "/a{b}", "/a|b", "/a[b]", "/a#b", "/a?x=\"", "/\u{e9}",
        "/\x7f",
    ] {
        refuse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    refuse("GET  / HTTP/1.1\r\nHost: a\r\n\r\n");
    refuse("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn malformed_percent_encoding_in_the_path_is_refused() {
    for target in ["/%", "/%4", "/%4g", "/a%zz/b", "/%?40"] {
        refuse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
}

#[test]
fn request_line_over_its_bound_is_refused() {
    let line = |bytes: usize| {
        let target = "a".repeat(bytes - "GET / HTTP/1.1".len());
        format!("GET /{target} HTTP/1.1\r\n")
    };
    let longest = line(REQUEST_LINE_BYTES_MAX) + "Host: a\r\n\r\n";
    assert_eq!(accept(longest.as_bytes()).path.len(), REQUEST_LINE_BYTES_MAX - "GET  HTTP/1.1".len());
    let over = line(REQUEST_LINE_BYTES_MAX + 1) + "Host: a\r\n\r\n";
    assert_eq!(refuse(&over), HttpError::RequestLineTooLong);
    assert_eq!(refuse(&over[..REQUEST_LINE_BYTES_MAX + 2]), HttpError::RequestLineTooLong);
    assert!(parse(&over.as_bytes()[..=REQUEST_LINE_BYTES_MAX]).unwrap().is_none());
    assert_eq!(HttpError::RequestLineTooLong.code(), Code::BadRequest);
}

#[test]
fn head_over_its_bound_is_refused() {
    let head = |bytes: usize| {
        let fixed = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(bytes - fixed.len()))
    };
    assert_eq!(accept(head(HEAD_BYTES_MAX).as_bytes()).consumed, HEAD_BYTES_MAX);
    let over = head(HEAD_BYTES_MAX + 1);
    assert_eq!(refuse(&over), HttpError::HeadTooLarge);
    assert!(parse(&over.as_bytes()[..HEAD_BYTES_MAX - 1]).unwrap().is_none());
    assert_eq!(refuse(&over[..HEAD_BYTES_MAX]), HttpError::HeadTooLarge);
    assert_eq!(HttpError::HeadTooLarge.code().status(), 431);
    assert_eq!(refuse(head(10 * 1024 * 1024)), HttpError::HeadTooLarge);
}

#[test]
fn fields_over_their_count_are_refused() {
    let head = |count: usize| {
        let fields: String = vec!["X: 1\r\n"; count - 1].concat();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    assert_eq!(accept(head(HEADERS_COUNT_MAX).as_bytes()).headers().count(), HEADERS_COUNT_MAX);
    assert_eq!(refuse(head(HEADERS_COUNT_MAX + 1)), HttpError::TooManyHeaders);
    assert_eq!(refuse(head(100_000)).code().status(), 431);
}

#[test]
fn two_fields_of_one_meaning_are_refused() {
    for &known in Known::ALL.iter().filter(|known| known.is_singleton()) {
        let fields = match known {
            Known::ContentLength => "Content-Length: 1\r\nContent-Length: 1\r\n".to_owned(),
            Known::TransferEncoding => "Transfer-Encoding: chunked\r\n".repeat(2),
            Known::Expect => "Expect: 100-continue\r\n".repeat(2),
            Known::Host => continue,
            _ => format!("{}: 1\r\n", known.name()).repeat(2),
        };
        assert_eq!(refuse_fields(&fields), HttpError::DuplicateHeader(known));
    }
}

// Against httparse, which is more lenient everywhere and the oracle for what we accept.

/// Pieces of heads, good and bad, so that random strings of them come near the grammar.
fn near_head() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("Host: a\r\n".to_owned()),
        Just(": ".to_owned()),
        Just("Content-Length: 5\r\n".to_owned()),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
        Just("Connection: close\r\n".to_owned()),
        "[A-Za-z-]{1,8}: [ -~]{0,12}\r\n",
        "[ -~\\t]{0,6}",
    ];
    let line = prop_oneof![
        4 => "(GET|POST|X) /[a-z%?]{0,6} HTTP/1.[01]\r\n(Host: a\r\n)?",
        1 => "[ -~]{0,20}",
    ];
    (line, prop::collection::vec(piece, 0..6), any::<bool>()).prop_map(|(line, pieces, is_ended)| {
        (line + &pieces.concat() + if is_ended { "\r\n" } else { "" }).into_bytes()
    })
}

proptest! {
    #[test]
    fn what_is_accepted_is_what_httparse_read(bytes in near_head()) {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_COUNT_MAX];
        let mut oracle = httparse::Request::new(&mut fields);
        let outcome = oracle.parse(&bytes);
        match parse(&bytes) {
            Ok(Some(head)) => {
                prop_assert_eq!(outcome, Ok(httparse::Status::Complete(head.consumed)));
                prop_assert_eq!(Some(head.method.as_str()), oracle.method);
                prop_assert_eq!(Some(head.target), oracle.path);
                prop_assert_eq!(Some(head.minor_version), oracle.version);
                let expected = oracle.headers.iter().map(|header| (header.name, header.value));
                prop_assert_eq!(head.headers().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                prop_assert!(bytes[..head.consumed].ends_with(b"\r\n\r\n"));
            }
            Ok(None) => prop_assert_eq!(outcome, Ok(httparse::Status::Partial)),
            Err(_) => {}
        }
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(head)) = parse(&bytes) {
            prop_assert!(head.consumed <= bytes.len());
        }
    }
}
