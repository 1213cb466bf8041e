//! Publishes in JSON: what comes out is what `serde_json::Value` holds, and every refusal points at its
//! member.

use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::{json, Value};
use sprawl_core::json::publish::{for_each_message, parse_alias, parse_item, Content, Item};
use sprawl_core::limits::{
    BATCH_RECORDS_MAX, IDEMPOTENCY_KEY_BYTES_MAX, JSON_DEPTH_MAX, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX,
    RECORD_HEADERS_BYTES_MAX, RECORD_HEADERS_COUNT_MAX, TTL_S_MAX,
};
use sprawl_core::problem::{Code, Problem};

fn accept(text: &str) -> Item<'_> {
    parse_item(text.as_bytes(), true).expect(text)
}

fn refuse(text: impl AsRef<[u8]>) -> (Code, String) {
    let problem = parse_item(text.as_ref(), true).expect_err("must be refused");
    (problem.code, problem.location)
}

fn invalid(location: &str) -> (Code, String) {
    (Code::InvalidMember, location.to_owned())
}

/// Every message of a batch, or the problem of the whole.
fn batch(body: impl AsRef<[u8]>) -> Result<Vec<Result<Vec<u8>, Problem>>, Problem> {
    let mut items = Vec::new();
    let count = for_each_message(body.as_ref(), |index, item| {
        assert_eq!(index, items.len());
        items.push(item.map(|item| item.content.as_bytes().to_vec()));
        ControlFlow::Continue(())
    })?;
    assert_eq!(count, items.len());
    Ok(items)
}

// One message.

#[test]
fn every_member_of_a_message_is_read() {
    let item = accept(
        r#" {"payload":"a\n","key":"k","headers":{"b":"2","a":"1"},"ttl_s":60,"idempotency_key":"i","delay_s":5} "#,
    );
    assert_eq!(item.content, Content::Text("a\n".into()));
    assert_eq!(item.key.as_deref(), Some("k"));
    assert_eq!(item.headers, [("b".into(), "2".into()), ("a".into(), "1".into())]);
    assert_eq!((item.ttl_s, item.idempotency_key.as_deref()), (Some(60), Some("i")));
    assert!(item.is_delayed);
    assert!(accept(r#"{"payload":"","at":"2026-01-01T00:00:00Z"}"#).is_delayed);
}

#[test]
fn json_is_kept_byte_for_byte() {
    for json in ["{ \"b\": 1.0e2,\t\"a\":[1,2] }", "null", "\"x\"", "-0", "[]", "12345678901234567890123"] {
        let text = format!("{{\"json\":{json}}}");
        assert_eq!(accept(&text).content, Content::Json(json));
    }
}

#[test]
fn base64_is_decoded() {
    assert_eq!(accept(r#"{"base64":"AP8="}"#).content, Content::Binary(vec![0, 255]));
    assert_eq!(accept(r#"{"base64":""}"#).content.as_bytes(), b"");
}

#[test]
fn text_without_escapes_is_borrowed() {
    use std::borrow::Cow;
    let item = accept(r#"{"payload":"plain","key":"k"}"#);
    assert!(matches!(item.content, Content::Text(Cow::Borrowed("plain"))));
    assert!(matches!(item.key, Some(Cow::Borrowed("k"))));
}

#[test]
fn null_says_not_given() {
    let item = accept(
        r#"{"payload":"x","base64":null,"key":null,"headers":null,"ttl_s":null,"idempotency_key":null,"at":null}"#,
    );
    assert_eq!(item, accept(r#"{"payload":"x"}"#));
}

#[test]
fn exactly_one_value_is_needed() {
    assert_eq!(refuse("{}").0, Code::MissingMember);
    assert_eq!(refuse(r#"{"payload":null}"#).0, Code::MissingMember);
    assert_eq!(refuse(r#"{"payload":"a","json":1}"#), invalid(""));
    assert_eq!(refuse(r#"{"json":null,"base64":""}"#), invalid(""));
}

#[test]
fn unknown_members_are_refused_with_their_pointer() {
    assert_eq!(refuse(r#"{"payload":"a","Key":"k"}"#), invalid("/Key"));
    assert_eq!(refuse(r#"{"payload":"a","a/b~":{"x":[1]}}"#), invalid("/a~1b~0"));
    assert_eq!(
        parse_item(br#"{"payload":"a","Key":{"x":[1]}}"#, false),
        parse_item(br#"{"payload":"a"}"#, true)
    );
}

#[test]
fn repeated_members_are_refused() {
    assert_eq!(refuse(r#"{"payload":"a","payload":"a"}"#), invalid("/payload"));
    assert_eq!(refuse(r#"{"payload":"a","at":1,"at":1}"#), invalid("/at"));
    assert_eq!(refuse(r#"{"payload":"a","headers":{"h":"1","\u0068":"2"}}"#), invalid("/headers/h"));
    let item =
        parse_item(br#"{"payload":"a","headers":{"h":"1","h":"2"},"payload":"b"}"#, false).expect("lenient");
    assert_eq!(item.content.as_bytes(), b"b");
    assert_eq!(item.headers, [("h".into(), "2".into())]);
    let item = parse_item(br#"{"payload":null,"payload":"b"}"#, false).expect("lenient");
    assert_eq!(item.content.as_bytes(), b"b");
}

#[test]
fn members_of_another_type_are_refused() {
    for (text, location) in [
        (r#"{"payload":1}"#, "/payload"),
        (r#"{"payload":{"a":1}}"#, "/payload"),
        (r#"{"base64":["AA=="]}"#, "/base64"),
        (r#"{"payload":"a","key":true}"#, "/key"),
        (r#"{"payload":"a","headers":[]}"#, "/headers"),
        (r#"{"payload":"a","headers":"x"}"#, "/headers"),
        (r#"{"payload":"a","headers":7}"#, "/headers"),
        (r#"{"payload":"a","headers":{"h":1}}"#, "/headers/h"),
        (r#"{"payload":"a","idempotency_key":5}"#, "/idempotency_key"),
    ] {
        assert_eq!(refuse(text), invalid(location), "{text}");
    }
}

#[test]
fn ttl_is_a_whole_number_of_seconds_within_its_bound() {
    let ttl = |value: &str| {
        parse_item(format!("{{\"payload\":\"a\",\"ttl_s\":{value}}}").as_bytes(), true).map(|item| item.ttl_s)
    };
    assert_eq!(ttl("0"), Ok(Some(0)));
    assert_eq!(ttl(&TTL_S_MAX.to_string()), Ok(Some(TTL_S_MAX)));
    for value in
        ["-1", "1.0", "1e2", "\"60\"", "true", "[]", &(TTL_S_MAX + 1).to_string(), "18446744073709551616"]
    {
        let problem = ttl(value).expect_err(value);
        assert_eq!((problem.code, problem.location.as_str()), (Code::InvalidMember, "/ttl_s"), "{value}");
    }
    assert!(ttl("-1").unwrap_err().detail.ends_with("not -1"));
}

#[test]
fn bounds_hold_at_and_above() {
    let text =
        |member: &str, bytes: usize| format!("{{\"payload\":\"a\",\"{member}\":\"{}\"}}", "x".repeat(bytes));
    accept(&text("key", KEY_BYTES_MAX));
    assert_eq!(refuse(text("key", KEY_BYTES_MAX + 1)), invalid("/key"));
    accept(&text("idempotency_key", IDEMPOTENCY_KEY_BYTES_MAX));
    assert_eq!(refuse(text("idempotency_key", IDEMPOTENCY_KEY_BYTES_MAX + 1)), invalid("/idempotency_key"));
    assert_eq!(refuse(text("idempotency_key", 0)), invalid("/idempotency_key"));
    let problem = parse_item(text("key", KEY_BYTES_MAX + 1).as_bytes(), true).unwrap_err();
    assert!(problem.detail.contains("4097") && problem.detail.contains("4096"), "{}", problem.detail);
}

#[test]
fn payload_bound_counts_stored_bytes() {
    let whole = "x".repeat(PAYLOAD_BYTES_MAX);
    let too_large = |location: &str| (Code::TooLarge, location.to_owned());
    accept(&format!("{{\"payload\":\"{whole}\"}}"));
    assert_eq!(refuse(format!("{{\"payload\":\"{whole}x\"}}")), too_large("/payload"));
    assert_eq!(refuse(format!("{{\"json\":\"{whole}\"}}")), too_large("/json"));
    let encoded = |bytes: usize| {
        let mut text = Vec::new();
        sprawl_core::json::base64::encode(&mut text, &vec![7; bytes]);
        format!("{{\"base64\":\"{}\"}}", String::from_utf8(text).unwrap())
    };
    assert_eq!(accept(&encoded(PAYLOAD_BYTES_MAX)).content.as_bytes().len(), PAYLOAD_BYTES_MAX);
    assert_eq!(refuse(encoded(PAYLOAD_BYTES_MAX + 1)), too_large("/base64"));
}

#[test]
fn headers_are_bounded_in_count_and_bytes() {
    let headers = |count: usize, bytes: usize| {
        let members: Vec<_> =
            (0..count).map(|index| format!("\"h{index:02}\":\"{}\"", "x".repeat(bytes))).collect();
        format!("{{\"payload\":\"a\",\"headers\":{{{}}}}}", members.join(","))
    };
    assert_eq!(accept(&headers(RECORD_HEADERS_COUNT_MAX, 1)).headers.len(), RECORD_HEADERS_COUNT_MAX);
    assert_eq!(refuse(headers(RECORD_HEADERS_COUNT_MAX + 1, 1)), invalid("/headers"));
    accept(&headers(1, RECORD_HEADERS_BYTES_MAX - 3));
    assert_eq!(refuse(headers(1, RECORD_HEADERS_BYTES_MAX - 2)), invalid("/headers"));
}

#[test]
fn reserved_and_empty_header_names_are_refused() {
    assert_eq!(refuse(r#"{"payload":"a","headers":{"\u0001":"x"}}"#).0, Code::InvalidMember);
    assert_eq!(refuse(r#"{"payload":"a","headers":{"":"x"}}"#).0, Code::InvalidMember);
}

#[test]
fn base64_that_is_not_canonical_is_refused() {
    for text in ["AP8", "AP9=", "A", "AP8=\\n", "_w==", "****"] {
        assert_eq!(refuse(format!("{{\"base64\":\"{text}\"}}")), invalid("/base64"), "{text}");
    }
}

#[test]
fn json_deeper_than_its_bound_is_refused() {
    let nested = |depth: usize| format!("{{\"json\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    accept(&nested(JSON_DEPTH_MAX));
    assert_eq!(refuse(nested(JSON_DEPTH_MAX + 1)), invalid("/json"));
    accept(&format!("{{\"json\":[\"{}\\\"[\"]}}", "[{".repeat(JSON_DEPTH_MAX)));
    // A million levels are skipped without a stack.
    assert_eq!(refuse(nested(1_000_000)), invalid("/json"));
    assert_eq!(refuse(nested(1_000_000).replace("json", "payload")), invalid("/payload"));
    assert_eq!(refuse(nested(1_000_000).replace("json", "other")), invalid("/other"));
}

#[test]
fn syntax_errors_are_bad_json() {
    for text in [
        "",
        " ",
        "{",
        "[]",
        "\"x\"",
        "1",
        "null",
        "{\"payload\":\"a\"",
        "{\"payload\":\"a\"}x",
        "{\"payload\":\"a\",}",
        "{'payload':'a'}",
        "{\"payload\":\"a\"}{\"payload\":\"a\"}",
        "{\"payload\":\"\n\"}",
        "{\"payload\":\"\\x\"}",
        "{\"json\":01}",
        "{\"json\":+1}",
        "{\"json\":NaN}",
        "{\"json\":.5}",
        "{\"json\":tru}",
        "{payload:1}",
        "{\"nope\":1,\"payload\":",
        "\u{feff}{\"payload\":\"a\"}",
    ] {
        assert_eq!(refuse(text).0, Code::BadJson, "{text:?}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_bad_json() {
    for bytes in [
        &b"{\"payload\":\"\xff\"}"[..],
        b"{\"json\":\"\xc0\xaf\"}",
        b"{\"x\":\"\xed\xa0\x80\",\"payload\":\"\"}",
    ] {
        assert_eq!(refuse(bytes).0, Code::BadJson);
    }
}

#[test]
fn surrogates_are_paired_or_refused() {
    assert_eq!(accept(r#"{"payload":"\ud83d\ude00"}"#).content.as_bytes(), "😀".as_bytes());
    for text in [r#"{"payload":"\ud83d"}"#, r#"{"payload":"\ude00"}"#, r#"{"payload":"\ud83dx"}"#] {
        assert_eq!(refuse(text).0, Code::BadJson, "{text}");
    }
}

// A batch.

#[test]
fn messages_of_a_batch_come_in_order() {
    let values: Vec<_> = batch(r#"{"messages":[{"payload":"a"},{"json":[1]},{"base64":"AA=="}]}"#)
        .expect("well-formed")
        .into_iter()
        .map(|item| item.expect("valid"))
        .collect();
    assert_eq!(values, [b"a".to_vec(), b"[1]".to_vec(), vec![0]]);
    assert_eq!(batch(r#"{"messages":[]}"#), Ok(vec![]));
}

#[test]
fn a_bad_message_leaves_the_others_alone() {
    let items =
        batch(r#"{"messages":[{"payload":"a"},{"payload":"b","ttl_s":-1},7,{},{"payload":"e"}]}"#).unwrap();
    let locations: Vec<_> = items
        .iter()
        .map(|item| item.as_ref().map_or_else(|problem| problem.location.as_str(), |_| "ok"))
        .collect();
    assert_eq!(locations, ["ok", "/messages/1/ttl_s", "/messages/2", "/messages/3", "ok"]);
}

#[test]
fn a_syntax_error_anywhere_gives_no_message_at_all() {
    for tail in ["{\"payload\":\"b\"]}", "x]}", "", "]", "]}}", "],}", "{\"payload\":\"\u{1}\"}]}"] {
        let body = format!("{{\"messages\":[{{\"payload\":\"a\"}},{tail}");
        let mut calls = 0;
        let outcome = for_each_message(body.as_bytes(), |_, _| {
            calls += 1;
            ControlFlow::Continue(())
        });
        assert_eq!((outcome.unwrap_err().code, calls), (Code::BadJson, 0), "{tail:?}");
    }
}

#[test]
fn a_batch_is_an_object_with_messages_alone() {
    let refuse =
        |body: &str| batch(body).map_err(|problem| (problem.code, problem.location)).expect_err(body);
    assert_eq!(refuse("{}"), (Code::MissingMember, "/messages".into()));
    assert_eq!(refuse(r#"{"messages":[],"extra":1}"#), invalid("/extra"));
    assert_eq!(refuse(r#"{"messages":[],"messages":[]}"#), invalid("/messages"));
    for value in ["null", "{}", "\"a\"", "1", "-1", "1.5", "true"] {
        assert_eq!(refuse(&format!("{{\"messages\":{value}}}")), invalid("/messages"), "{value}");
    }
    assert_eq!(refuse("[]").0, Code::BadJson);
}

#[test]
fn a_batch_is_bounded_in_messages() {
    let body = |count: usize| format!("{{\"messages\":[{}]}}", vec![r#"{"payload":""}"#; count].join(","));
    assert_eq!(batch(body(BATCH_RECORDS_MAX)).unwrap().len(), BATCH_RECORDS_MAX);
    let problem = batch(body(BATCH_RECORDS_MAX + 1)).unwrap_err();
    assert_eq!((problem.code, problem.location.as_str()), (Code::TooLarge, "/messages"));
}

#[test]
fn the_walk_stops_where_the_caller_says() {
    let mut calls = 0;
    let count = for_each_message(br#"{"messages":[{"payload":"a"},{"payload":"b"}]}"#, |_, _| {
        calls += 1;
        ControlFlow::Break(())
    });
    assert_eq!((count, calls), (Ok(2), 1));
}

// POST /publish of the original.

fn alias_error(body: impl AsRef<[u8]>) -> (Code, String) {
    let problem = parse_alias(body.as_ref()).expect_err("must be refused");
    (problem.code, problem.detail)
}

#[test]
fn every_member_of_the_alias_is_read() {
    let publish = parse_alias(
        br#"{"topic":"t","payload":"p","message":"m","id":"i","ttl":3,"key":"k","headers":{"h":"v"},"durability":"disk","x":[{}]}"#,
    )
    .expect("valid");
    assert_eq!((&*publish.topic, &*publish.payload, publish.ttl_s), ("t", "p", Some(3)));
    assert_eq!(publish.id.as_deref(), Some("i"));
    assert_eq!(publish.key.as_deref(), Some("k"));
    assert_eq!(publish.durability.as_deref(), Some("disk"));
    assert_eq!(publish.headers, [("h".into(), "v".into())]);
}

#[test]
fn message_stands_in_for_payload() {
    for body in [r#"{"topic":"t","message":"m"}"#, r#"{"topic":"t","message":"m","payload":null}"#] {
        assert_eq!(parse_alias(body.as_bytes()).expect(body).payload, "m");
    }
}

#[test]
fn the_last_of_two_alias_members_counts() {
    let publish = parse_alias(br#"{"topic":1,"topic":"t","payload":"a","payload":"b"}"#).expect("valid");
    assert_eq!((&*publish.topic, &*publish.payload), ("t", "b"));
}

#[test]
fn alias_errors_have_the_texts_of_the_original() {
    for body in [r#"{"payload":"p"}"#, r#"{"topic":"","payload":"p"}"#, r#"{"topic":null}"#, "{}"] {
        assert_eq!(alias_error(body), (Code::MissingField, "Missing required field: topic".into()), "{body}");
    }
    assert_eq!(Code::MissingField.as_str(), "missing_field");
    for body in ["", "x", "[]", r#"{"topic":"t""#, r#"{"topic":"t","payload":"\ud800"}"#] {
        assert_eq!(alias_error(body), (Code::BadJson, "Invalid request body".into()), "{body}");
    }
    assert_eq!(alias_error(b"{\"topic\":\"\xff\"}").0, Code::BadJson);
    for body in [r#"{"topic":"t","payload":5}"#, r#"{"topic":5}"#, r#"{"topic":"t","payload":"p","id":[]}"#] {
        assert_eq!(alias_error(body), (Code::InvalidMember, "Invalid request body".into()), "{body}");
    }
    for body in [r#"{"topic":"t"}"#, r#"{"topic":"t","payload":""}"#, r#"{"topic":"t","message":""}"#] {
        assert_eq!(
            alias_error(body),
            (Code::InvalidMember, "message payload cannot be empty".into()),
            "{body}"
        );
    }
}

#[test]
fn alias_ttl_is_a_whole_number_of_seconds() {
    for ttl in ["-1", "1.5", "\"3\"", "{}"] {
        let problem = parse_alias(format!("{{\"topic\":\"t\",\"payload\":\"p\",\"ttl\":{ttl}}}").as_bytes())
            .unwrap_err();
        assert_eq!((problem.code, problem.location.as_str()), (Code::InvalidMember, "/ttl"), "{ttl}");
    }
    assert_eq!(parse_alias(br#"{"topic":"t","payload":"p","ttl":0}"#).unwrap().ttl_s, Some(0));
}

#[test]
fn alias_bounds_hold() {
    let text = |member: &str, bytes: usize| {
        format!("{{\"topic\":\"t\",\"message\":\"m\",\"{member}\":\"{}\"}}", "x".repeat(bytes))
    };
    assert_eq!(alias_error(text("id", IDEMPOTENCY_KEY_BYTES_MAX + 1)).0, Code::InvalidMember);
    assert_eq!(alias_error(text("key", KEY_BYTES_MAX + 1)).0, Code::InvalidMember);
    assert_eq!(alias_error(text("payload", PAYLOAD_BYTES_MAX + 1)).0, Code::TooLarge);
    assert!(parse_alias(text("payload", PAYLOAD_BYTES_MAX).as_bytes()).is_ok());
}

// Against a tree of values.

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Quarters, because trees hold floats only nearly.
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        "(\\PC|[\\x00-\\x7f]){0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,6}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Objects near a message: known and unknown members with values of fitting and other types.
fn near_message() -> impl Strategy<Value = Value> {
    let text = "(\\PC|[\\x00-\\x7f]){0,12}".prop_map(Value::from);
    let headers = prop::collection::btree_map("[a-z]{1,3}", "\\PC{0,6}", 0..3).prop_map(|map| json!(map));
    let member = prop_oneof![
        6 => text.clone().prop_map(|value| ("payload", value)),
        1 => any_value().prop_map(|value| ("json", value)),
        2 => text.prop_map(|value| ("key", value)),
        2 => headers.prop_map(|value| ("headers", value)),
        2 => any::<u32>().prop_map(|value| ("ttl_s", value.into())),
        1 => ("payload|json|key|headers|ttl_s|idempotency_key|other", any_value())
            .prop_map(|(name, value)| (&*name.leak(), value)),
    ];
    prop::collection::vec(member, 0..5).prop_map(|members| {
        Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

/// What a message must come to, said slowly: its value, key, headers and ttl.
type Expected = (Value, Option<String>, Vec<(String, String)>, Option<u64>);

fn expected(message: &Value) -> Option<Expected> {
    let members = message.as_object()?;
    let text = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())),
    };
    let known = ["payload", "json", "key", "headers", "ttl_s", "idempotency_key"];
    let content = match (text("payload")?, members.get("json")) {
        (Some(payload), None) => Value::from(payload),
        (None, Some(json)) => json.clone(),
        _ => return None,
    };
    let mut headers = Vec::new();
    if let Some(value) = members.get("headers").filter(|value| !value.is_null()) {
        for (name, value) in value.as_object()? {
            match value {
                Value::Null => {} // not given, whatever its name
                _ if name.is_empty() || name.chars().any(char::is_control) => return None,
                value => headers.push((name.clone(), value.as_str()?.to_owned())),
            }
        }
    }
    let ttl_s = match members.get("ttl_s") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_u64().filter(|&ttl_s| ttl_s <= TTL_S_MAX)?),
    };
    let is_valid = members.keys().all(|name| known.contains(&&**name))
        && text("idempotency_key")?.is_none_or(|key| !key.is_empty());
    is_valid.then_some((content, text("key")?, headers, ttl_s))
}

fn given(item: &Item<'_>) -> Expected {
    let content = match &item.content {
        Content::Text(text) => Value::from(&**text),
        Content::Json(json) => serde_json::from_str(json).expect("kept JSON is JSON"),
        Content::Binary(_) => unreachable!("not generated"),
    };
    let headers = item.headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    (content, item.key.as_deref().map(str::to_owned), headers, item.ttl_s)
}

proptest! {
    #[test]
    fn a_message_is_what_its_tree_says(message in near_message(), is_pretty in any::<bool>()) {
        let text = if is_pretty { format!("{message:#}") } else { message.to_string() };
        let outcome = parse_item(text.as_bytes(), true);
        prop_assert_eq!(outcome.as_ref().ok().map(given), expected(&message), "{} gave {:?}", text, outcome);
    }

    #[test]
    fn a_batch_is_what_its_messages_are(messages in prop::collection::vec(near_message(), 0..6)) {
        let text = json!({ "messages": messages }).to_string();
        let mut items = Vec::new();
        for_each_message(text.as_bytes(), |_, item| {
            items.push(item.as_ref().ok().map(given));
            ControlFlow::Continue(())
        }).unwrap();
        prop_assert_eq!(items, messages.iter().map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn broken_documents_are_refused_whenever_a_tree_refuses_them(
        message in near_message(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = message.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let is_json = serde_json::from_slice::<Value>(&bytes).is_ok();
        if !is_json {
            // A tree also refuses numbers beyond f64 and surrogates alone, which a kept `json` may hold.
            match parse_item(&bytes, true) {
                Err(_) => {}
                Ok(item) => prop_assert!(matches!(item.content, Content::Json(_))),
            }
        }
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(parse_item(&bytes, true).is_err());
        prop_assert!(parse_alias(&bytes).is_err());
        prop_assert!(batch(&bytes).is_err());
    }
}
