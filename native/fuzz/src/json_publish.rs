//! Any bytes as a publish in JSON: no panic, bounds hold, and what is accepted is JSON to another reader,
//! too.

use std::ops::ControlFlow;

use sprawl_core::json::publish::{for_each_message, parse_alias, parse_item, Content, Item};
use sprawl_core::json::write_string;
use sprawl_core::limits::{BATCH_RECORDS_MAX, KEY_BYTES_MAX, RECORD_HEADERS_BYTES_MAX, TTL_S_MAX};

fn check(item: &Item<'_>) {
    assert!(item.key.as_ref().is_none_or(|key| key.len() <= KEY_BYTES_MAX));
    assert!(item.ttl_s.is_none_or(|ttl_s| ttl_s <= TTL_S_MAX));
    let headers_bytes: usize = item.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(headers_bytes <= RECORD_HEADERS_BYTES_MAX);
    match &item.content {
        Content::Json(json) => {
            let _: serde::de::IgnoredAny = serde_json::from_str(json).expect("kept JSON is JSON");
        }
        Content::Text(text) => {
            let mut written = Vec::new();
            write_string(&mut written, text);
            assert_eq!(serde_json::from_slice::<String>(&written).expect("a JSON string"), **text);
        }
        Content::Binary(_) => {}
    }
}

/// One input.
pub fn run(bytes: &[u8]) {
    match (parse_item(bytes, true), parse_item(bytes, false)) {
        (Ok(strict), Ok(lenient)) => {
            check(&strict);
            assert_eq!(strict, lenient);
        }
        (Ok(_), Err(problem)) => panic!("lenient refused what strict took: {problem:?}"),
        (Err(_), Ok(lenient)) => check(&lenient),
        (Err(strict), Err(_)) => assert!(!strict.detail.is_empty()),
    }
    let mut calls = 0;
    let outcome = for_each_message(bytes, |index, item| {
        assert_eq!(index, calls);
        calls += 1;
        match item {
            Ok(item) => check(&item),
            Err(problem) => assert!(problem.location.starts_with("/messages/")),
        }
        ControlFlow::Continue(())
    });
    assert_eq!(outcome.as_ref().map_or(0, |&count| count), calls);
    assert!(calls <= BATCH_RECORDS_MAX);
    if let Ok(publish) = parse_alias(bytes) {
        assert!(!publish.topic.is_empty() && !publish.payload.is_empty());
    }
}
