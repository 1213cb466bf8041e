//! Answers: heads that any client reads, lengths that fit their bodies, problems in both shapes.

use proptest::prelude::*;
use serde_json::{json, Value};
use sprawl_core::http::response::{self, Connection, Refusal};
use sprawl_core::problem::{Code, Outcome, Problem};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Reads an answer with `httparse`: status, headers in lower case, body.
fn read(bytes: &[u8]) -> (u16, Vec<(String, String)>, &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut fields);
    let length = answer.parse(bytes).expect("well-formed").unwrap();
    let headers = answer
        .headers
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), String::from_utf8(field.value.to_vec()).unwrap()))
        .collect();
    (answer.code.unwrap(), headers, &bytes[length..])
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn answer(status: u16, connection: Connection, body: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    response::begin(&mut out, status, DATE, "text/plain", connection);
    let mark = response::begin_body(&mut out);
    out.extend_from_slice(body);
    assert_eq!(response::end_body(&mut out, mark), body.len());
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

#[test]
fn an_answer_has_its_head_to_the_byte() {
    let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
        Content-Length: 5\r\n\r\nhello";
    assert_eq!(answer(200, Connection::Implied, b"hello"), expected.as_bytes());
}

#[test]
fn an_answer_without_a_body_has_neither_type_nor_length() {
    let mut out = Vec::new();
    response::begin(&mut out, 204, DATE, "", Connection::Implied);
    response::end_head(&mut out);
    assert_eq!(out, b"HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

#[test]
fn lengths_of_any_number_of_digits_fit() {
    for bytes in [0, 1, 9, 10, 99, 100, 999, 1_000, 99_999] {
        let out = answer(201, Connection::Close, &vec![b'x'; bytes]);
        let (status, headers, body) = read(&out);
        assert_eq!((status, body.len()), (201, bytes));
        assert_eq!(header(&headers, "content-length"), Some(bytes.to_string().as_str()));
        assert_eq!(header(&headers, "connection"), Some("close"));
    }
    let out = answer(503, Connection::KeepAlive, b"");
    assert_eq!(header(&read(&out).1, "connection"), Some("keep-alive"));
}

#[test]
fn head_keeps_the_length_and_drops_the_body() {
    let mut out = Vec::new();
    response::begin(&mut out, 200, DATE, "text/plain", Connection::Implied);
    let mark = response::begin_body(&mut out);
    out.extend_from_slice(&[b'x'; 1234]);
    assert_eq!(response::end_body_head_only(&mut out, mark), 1234);
    let (_, headers, body) = read(&out);
    assert_eq!((header(&headers, "content-length"), body), (Some("1234"), b"".as_slice()));
}

#[test]
fn header_values_cannot_split_an_answer() {
    let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
    response::header(&mut out, "X", b"a\r\nSet-Cookie: b\0\x7f");
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nX: a??Set-Cookie: b??\r\n");
}

#[test]
fn every_code_that_is_answered_has_a_reason_phrase() {
    for &code in Code::ALL {
        // Damage of the log is met below the edges and never an answer.
        if code == Code::LogDamaged {
            assert_eq!(code.status(), 0);
            continue;
        }
        assert_ne!(response::reason(code.status()), "Unknown", "{code:?}");
    }
}

#[test]
fn chunks_are_framed_in_hexadecimal() {
    let mut out = Vec::new();
    response::begin_chunks(&mut out);
    response::chunk(&mut out, b"hello");
    response::chunk(&mut out, b"");
    response::chunk(&mut out, &[b'x'; 0x1af]);
    response::end_chunks(&mut out);
    let expected =
        format!("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1af\r\n{}\r\n0\r\n\r\n", "x".repeat(0x1af));
    assert_eq!(out, expected.as_bytes());
}

#[test]
fn a_problem_has_every_member_of_rfc_9457_and_ours() {
    let mut out = Vec::new();
    let problem = Problem::new(Code::InvalidMember, "ttl_s \"x\"").at("/messages/3/ttl_s");
    let refusal = Refusal {
        connection: Connection::Implied,
        instance: "/v1/topics/t/messages",
        request_id: "r1",
        ..Refusal::closing(DATE)
    };
    response::problem(&mut out, &problem, &refusal);
    let (status, headers, body) = read(&out);
    assert_eq!((status, header(&headers, "content-type")), (400, Some("application/problem+json")));
    assert_eq!(header(&headers, "retry-after"), None);
    let expected = json!({
        "type": "urn:sprawl:problem:invalid_member", "title": "Invalid member", "status": 400,
        "detail": "ttl_s \"x\"", "instance": "/v1/topics/t/messages", "code": "invalid_member", "retryable": false,
        "outcome": "none", "location": "/messages/3/ttl_s", "request_id": "r1",
    });
    assert_eq!(serde_json::from_slice::<Value>(body).unwrap(), expected);
}

#[test]
fn what_a_problem_does_not_know_is_left_out() {
    let mut out = Vec::new();
    response::write_problem(&mut out, &Problem::new(Code::Busy, "d"), &Refusal::closing(DATE));
    let expected = r#"{"type":"urn:sprawl:problem:busy","title":"Server is too busy","status":503,"detail":"d","code":"busy","retryable":true,"outcome":"none"}"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn the_alias_error_is_the_bytes_of_the_original() {
    let mut out = Vec::new();
    let problem = Problem::new(Code::MissingField, "Missing required field: topic").at("/topic");
    response::alias_error(&mut out, &problem, &Refusal::closing(DATE));
    let (status, headers, body) = read(&out);
    assert_eq!((status, header(&headers, "content-type")), (400, Some("application/json")));
    let expected = "{\"error\":\"Missing required field: topic\",\"code\":\"missing_field\",\"status\":400,\
        \"retryable\":false,\"outcome\":\"none\"}\n";
    assert_eq!(std::str::from_utf8(body).unwrap(), expected);
}

#[test]
fn the_alias_error_of_a_busy_node_says_when_to_come_back() {
    let mut out = Vec::new();
    let problem = Problem::new(Code::Busy, "Server is too busy, please retry later");
    let refusal = Refusal { outcome: Outcome::Unknown, has_success_member: true, ..Refusal::closing(DATE) };
    response::alias_error(&mut out, &problem, &refusal);
    let (_, headers, body) = read(&out);
    assert_eq!(header(&headers, "retry-after"), Some("1"));
    let expected = json!({
        "success": false, "error": "Server is too busy, please retry later", "code": "busy", "status": 503,
        "retryable": true, "outcome": "unknown", "retry_after": "1",
    });
    assert_eq!(serde_json::from_slice::<Value>(body).unwrap(), expected);
}

#[test]
fn a_method_not_allowed_names_the_others() {
    let mut out = Vec::new();
    let refusal = Refusal { allow: Some("GET, HEAD"), head_only: true, ..Refusal::closing(DATE) };
    response::problem(&mut out, &Problem::new(Code::MethodNotAllowed, "d"), &refusal);
    let (status, headers, body) = read(&out);
    assert_eq!((status, header(&headers, "allow"), body), (405, Some("GET, HEAD"), b"".as_slice()));
}

proptest! {
    #[test]
    fn a_problem_is_json_whatever_it_says(detail in "(\\PC|[\\x00-\\x7f]){0,40}", location in "\\PC{0,20}") {
        let problem = Problem::new(Code::BadJson, detail.clone()).at(location.clone());
        let mut out = Vec::new();
        response::problem(&mut out, &problem, &Refusal::closing(DATE));
        let (_, headers, body) = read(&out);
        let length = body.len().to_string();
        prop_assert_eq!(header(&headers, "content-length"), Some(length.as_str()));
        let value: Value = serde_json::from_slice(body).unwrap();
        prop_assert_eq!(value["detail"].as_str(), Some(detail.as_str()));
        prop_assert_eq!(value["location"].as_str().unwrap_or_default(), location);
    }
}
