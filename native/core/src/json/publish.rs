//! Publishes written in JSON: the batch of `/v1`, one line of NDJSON, and `POST /publish` of the original.
//!
//! In: bodies. Out: [`Item`]s and [`AliasPublish`]es that borrow from them, checked against `limits`. On
//! `/v1` a member that is unknown or stands twice is refused with its pointer; the alias ignores the first
//! and takes the last. `null` says "not given", except as the value of `json`. Syntax goes before meaning: a
//! document with a syntax error gives that error and nothing else, a batch with one gives no message at all.
//! The rest of an item's faults concern that item only.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::base64;
use super::scan::{is_depth_within, pointer, Name, Scalar};
use crate::limits::{
    BATCH_RECORDS_MAX, IDEMPOTENCY_KEY_BYTES_MAX, JSON_DEPTH_MAX, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX,
    RECORD_HEADERS_BYTES_MAX, RECORD_HEADERS_COUNT_MAX, TTL_S_MAX,
};
use crate::problem::{Code, Problem};

/// Headers of a record, in the order sent.
pub type RecordHeaders<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The value of a message, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// `payload`: text.
    Text(Cow<'a, str>),
    /// `json`: the value's text, byte for byte.
    Json(&'a str),
    /// `base64`: the bytes.
    Binary(Vec<u8>),
}

impl Content<'_> {
    /// The bytes that are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Json(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// One message of a batch or line of NDJSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The value.
    pub content: Content<'a>,
    /// Key, at most `KEY_BYTES_MAX` bytes.
    pub key: Option<Cow<'a, str>>,
    /// Headers, within both bounds of `limits`.
    pub headers: RecordHeaders<'a>,
    /// Lifetime in seconds, at most `TTL_S_MAX`; 0 is the topic's default.
    pub ttl_s: Option<u64>,
    /// 1 to `IDEMPOTENCY_KEY_BYTES_MAX` bytes.
    pub idempotency_key: Option<Cow<'a, str>>,
    /// Whether `delay_s` or `at` was given (the endpoint decides what that means).
    pub is_delayed: bool,
}

/// A `POST /publish` of the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasPublish<'a> {
    /// Topic as sent, not empty; its grammar is not checked here.
    pub topic: Cow<'a, str>,
    /// `payload`, or else `message`: 1 to `PAYLOAD_BYTES_MAX` bytes.
    pub payload: Cow<'a, str>,
    /// Id given by the client, 1 to `IDEMPOTENCY_KEY_BYTES_MAX` bytes.
    pub id: Option<Cow<'a, str>>,
    /// Lifetime in seconds, at most `TTL_S_MAX`; 0 is the topic's default.
    pub ttl_s: Option<u64>,
    /// Key, at most `KEY_BYTES_MAX` bytes.
    pub key: Option<Cow<'a, str>>,
    /// Headers, within both bounds of `limits`.
    pub headers: RecordHeaders<'a>,
    /// Asked durability level as sent.
    pub durability: Option<Cow<'a, str>>,
}

/// Parses one message: a line of NDJSON, or an element of `messages`.
///
/// With `strict`, unknown and repeated members are refused. Pointers are relative to the message (`/ttl_s`).
///
/// # Errors
/// `BadJson` for syntax and bytes that are not UTF-8; `InvalidMember`, `MissingMember` or `TooLarge` for the
/// first member at fault.
pub fn parse_item(bytes: &[u8], strict: bool) -> Result<Item<'_>, Problem> {
    item(utf8(bytes)?, strict)
}

/// Calls `f` with every message of `{"messages":[…]}` in order, until it breaks; returns how many the body
/// holds.
///
/// The whole document is checked for syntax first: when this fails, `f` was never called. Pointers are
/// absolute (`/messages/3/ttl_s`).
///
/// # Errors
/// `BadJson`; `InvalidMember` for other members or a `messages` that is no array; `MissingMember` without it;
/// `TooLarge` above `BATCH_RECORDS_MAX`.
pub fn for_each_message<'a, F>(body: &'a [u8], mut f: F) -> Result<usize, Problem>
where
    F: FnMut(usize, Result<Item<'a>, Problem>) -> ControlFlow<()>,
{
    let messages = messages(utf8(body)?)?;
    for (index, message) in messages.iter().enumerate() {
        let parsed = item(message, true).map_err(|problem| {
            let location = format!("/messages/{index}{}", problem.location);
            problem.at(location)
        });
        if f(index, parsed).is_break() {
            break;
        }
    }
    Ok(messages.len())
}

/// Parses the body of `POST /publish` as the original took it: unknown members are ignored, the last of two
/// counts.
///
/// # Errors
/// With the texts of `compat.md`: `Missing required field: topic` (`MissingField`), `Invalid request body`
/// (`BadJson`, or `InvalidMember` for a member of another type), `message payload cannot be empty`, and a
/// sentence for a bad `ttl`, `id`, `key` or header (all `InvalidMember`); `TooLarge` for the payload.
pub fn parse_alias(body: &[u8]) -> Result<AliasPublish<'_>, Problem> {
    let text = utf8(body).map_err(|_| invalid_body(Code::BadJson))?;
    let mut members = Alias::new();
    object(text, &mut members).map_err(|_| invalid_body(Code::BadJson))?;
    members.finish()
}

fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(Code::BadJson, format!("not UTF-8 at byte {}", error.valid_up_to())))
}

fn syntax(error: &serde_json::Error) -> Problem {
    Problem::new(Code::BadJson, format!("malformed JSON: {error}"))
}

fn invalid_body(code: Code) -> Problem {
    Problem::new(code, "Invalid request body")
}

fn invalid(name: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidMember, detail).at(pointer(name))
}

/// The members of one object, taken as they come. A fault of meaning is kept, not raised: the rest of the
/// syntax is still to be checked.
trait Members<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error>;
}

/// Walks a document that is one object.
fn object<'a, M: Members<'a>>(text: &'a str, members: &mut M) -> Result<(), serde_json::Error> {
    struct Walk<'m, M>(&'m mut M);
    impl<'de, M: Members<'de>> Visitor<'de> for Walk<'_, M> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(Name(name)) = map.next_key()? {
                self.0.member(&name, &mut map)?;
            }
            Ok(())
        }
    }
    let mut document = serde_json::Deserializer::from_str(text);
    document.deserialize_map(Walk(members))?;
    document.end()
}

// One message of /v1.

/// What the members of a message gave so far.
struct Message<'a> {
    strict: bool,
    seen: u16,
    fault: Option<Problem>,
    /// Which of the three values were given, a bit each.
    contents: u8,
    content: Option<Content<'a>>,
    key: Option<Cow<'a, str>>,
    headers: RecordHeaders<'a>,
    ttl_s: Option<u64>,
    idempotency_key: Option<Cow<'a, str>>,
    is_delayed: bool,
}

fn item(text: &str, strict: bool) -> Result<Item<'_>, Problem> {
    let mut message = Message {
        strict,
        seen: 0,
        fault: None,
        contents: 0,
        content: None,
        key: None,
        headers: Vec::new(),
        ttl_s: None,
        idempotency_key: None,
        is_delayed: false,
    };
    object(text, &mut message).map_err(|error| syntax(&error))?;
    if let Some(problem) = message.fault {
        return Err(problem);
    }
    let content = match (message.contents.count_ones(), message.content) {
        (1, Some(content)) => content,
        (0, _) => {
            return Err(Problem::new(
                Code::MissingMember,
                "one of payload, json and base64 is needed, none was given",
            ));
        }
        (count, _) => {
            let detail = format!("one of payload, json and base64 is needed, {count} were given");
            return Err(Problem::new(Code::InvalidMember, detail));
        }
    };
    Ok(Item {
        content,
        key: message.key,
        headers: message.headers,
        ttl_s: message.ttl_s,
        idempotency_key: message.idempotency_key,
        is_delayed: message.is_delayed,
    })
}

const MESSAGE_MEMBERS: [&str; 8] =
    ["payload", "json", "base64", "key", "headers", "ttl_s", "idempotency_key", "delay_s"];

impl<'a> Message<'a> {
    /// Keeps the first fault.
    fn take<T>(&mut self, outcome: Result<T, Problem>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(problem) => {
                self.fault.get_or_insert(problem);
                None
            }
        }
    }

    fn note(&mut self, name: &str) {
        // `at` shares no bit with the others; everything else is unknown.
        let bit = MESSAGE_MEMBERS.iter().position(|member| *member == name).or((name == "at").then_some(8));
        let problem = match bit {
            None => invalid(name, format!("unknown member {}", Scalar::Text(Cow::Borrowed(name)).shown())),
            Some(bit) if self.seen & 1 << bit != 0 => {
                invalid(name, format!("member {name} given more than once"))
            }
            Some(bit) => {
                self.seen |= 1 << bit;
                return;
            }
        };
        if self.strict {
            self.fault.get_or_insert(problem);
        }
    }

    fn set_content(&mut self, content: Result<Option<Content<'a>>, Problem>) {
        if let Some(Some(content)) = self.take(content) {
            self.contents |= match content {
                Content::Text(_) => 1,
                Content::Json(_) => 2,
                Content::Binary(_) => 4,
            };
            self.content = Some(content);
        }
    }
}

impl<'a> Members<'a> for Message<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        self.note(name);
        match name {
            "payload" => {
                let content = text(name, members.next_value()?).and_then(|payload| match payload {
                    Some(payload) => {
                        payload_within(name, payload.len()).map(|()| Some(Content::Text(payload)))
                    }
                    None => Ok(None),
                });
                self.set_content(content);
            }
            "json" => {
                let content = json_within(name, members.next_value::<&'a RawValue>()?.get());
                self.set_content(content.map(|json| Some(Content::Json(json))));
            }
            "base64" => {
                let content =
                    text(name, members.next_value()?).and_then(|text| binary(name, text.as_deref()));
                self.set_content(content);
            }
            "key" => {
                let key =
                    text(name, members.next_value()?).and_then(|key| bounded(name, key, 0, KEY_BYTES_MAX));
                self.key = self.take(key).flatten();
            }
            "headers" => {
                let headers = members.next_value_seed(HeadersSeed { strict: self.strict })?;
                self.headers = self.take(headers).unwrap_or_default();
            }
            "ttl_s" => {
                let ttl_s = ttl(name, &members.next_value()?);
                self.ttl_s = self.take(ttl_s).flatten();
            }
            "idempotency_key" => {
                let key = text(name, members.next_value()?)
                    .and_then(|key| bounded(name, key, 1, IDEMPOTENCY_KEY_BYTES_MAX));
                self.idempotency_key = self.take(key).flatten();
            }
            "delay_s" | "at" => self.is_delayed |= members.next_value::<Scalar<'a>>()? != Scalar::Null,
            _ => {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

fn text<'a>(name: &str, value: Scalar<'a>) -> Result<Option<Cow<'a, str>>, Problem> {
    match value {
        Scalar::Text(text) => Ok(Some(text)),
        Scalar::Null => Ok(None),
        other => Err(invalid(name, format!("{name} must be a string, not {}", other.shown()))),
    }
}

fn bounded<'a>(
    name: &str,
    text: Option<Cow<'a, str>>,
    bytes_min: usize,
    bytes_max: usize,
) -> Result<Option<Cow<'a, str>>, Problem> {
    match &text {
        Some(text) if text.len() < bytes_min || text.len() > bytes_max => Err(invalid(
            name,
            format!("{name} of {} bytes is outside its bounds of {bytes_min} to {bytes_max}", text.len()),
        )),
        _ => Ok(text),
    }
}

fn ttl(name: &str, value: &Scalar<'_>) -> Result<Option<u64>, Problem> {
    match *value {
        Scalar::Null => Ok(None),
        Scalar::Natural(ttl_s) if ttl_s <= TTL_S_MAX => Ok(Some(ttl_s)),
        Scalar::Natural(ttl_s) => {
            Err(invalid(name, format!("{name} of {ttl_s} exceeds ttl_s_max {TTL_S_MAX}")))
        }
        ref other => {
            let detail = format!(
                "{name} must be a whole number of seconds from 0 to {TTL_S_MAX}, not {}",
                other.shown()
            );
            Err(invalid(name, detail))
        }
    }
}

fn payload_within(name: &str, bytes: usize) -> Result<(), Problem> {
    if bytes > PAYLOAD_BYTES_MAX {
        let detail = format!("payload of {bytes} bytes exceeds payload_bytes_max {PAYLOAD_BYTES_MAX}");
        return Err(Problem::new(Code::TooLarge, detail).at(pointer(name)));
    }
    Ok(())
}

fn json_within<'a>(name: &str, json: &'a str) -> Result<&'a str, Problem> {
    payload_within(name, json.len())?;
    if !is_depth_within(json, JSON_DEPTH_MAX) {
        return Err(invalid(name, format!("{name} is nested deeper than json_depth_max {JSON_DEPTH_MAX}")));
    }
    Ok(json)
}

fn binary<'a>(name: &str, text: Option<&str>) -> Result<Option<Content<'a>>, Problem> {
    let Some(text) = text else { return Ok(None) };
    // A padded text may decode to two bytes less than its bound says.
    payload_within(name, base64::decoded_bytes_max(text).saturating_sub(2))?;
    let bytes = base64::decode(text)
        .ok_or_else(|| invalid(name, format!("{name} is not padded base64 of the standard alphabet")))?;
    payload_within(name, bytes.len())?;
    Ok(Some(Content::Binary(bytes)))
}

/// Visitor methods for the kinds of value that a container's member may not have.
macro_rules! refuse_scalars {
    ($problem:path) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Err($problem("a string")))
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Err($problem("a number")))
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Err($problem("a number")))
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Err($problem("a number")))
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Err($problem("a boolean")))
        }
    };
}

/// Reads an object of strings into record headers.
struct HeadersSeed {
    strict: bool,
}

impl<'de> DeserializeSeed<'de> for HeadersSeed {
    type Value = Result<RecordHeaders<'de>, Problem>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for HeadersSeed {
    type Value = Result<RecordHeaders<'de>, Problem>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut headers = RecordHeaders::new();
        let mut bytes = 0;
        let mut fault = None;
        while let Some((Name(name), value)) = members.next_entry::<Name<'de>, Scalar<'de>>()? {
            if fault.is_some() {
                continue;
            }
            match record_header(&name, value, &headers, &mut bytes, self.strict) {
                Ok(Some(value)) => match headers.iter_mut().find(|(other, _)| *other == name) {
                    Some(header) => header.1 = value,
                    None => headers.push((name, value)),
                },
                Ok(None) => {}
                Err(problem) => fault = Some(problem),
            }
        }
        Ok(match fault {
            None => Ok(headers),
            Some(problem) => {
                let location = format!("/headers{}", problem.location);
                Err(problem.at(location))
            }
        })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Ok(RecordHeaders::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(not_an_object("an array")))
    }

    refuse_scalars!(not_an_object);
}

fn not_an_object(kind: &str) -> Problem {
    invalid("headers", format!("headers must be an object of strings, not {kind}"))
}

/// Checks one header against the bounds; its pointer is relative to `/headers`.
fn record_header<'a>(
    name: &str,
    value: Scalar<'a>,
    headers: &RecordHeaders<'a>,
    bytes: &mut usize,
    strict: bool,
) -> Result<Option<Cow<'a, str>>, Problem> {
    let Some(value) = text(name, value)? else { return Ok(None) };
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(invalid(name, "a header name is empty or holds a control character"));
    }
    if strict && headers.iter().any(|(other, _)| other == name) {
        return Err(invalid(name, "header given more than once"));
    }
    if headers.len() == RECORD_HEADERS_COUNT_MAX {
        let detail = format!("more headers than record_headers_count_max {RECORD_HEADERS_COUNT_MAX}");
        return Err(Problem::new(Code::InvalidMember, detail));
    }
    *bytes += name.len() + value.len();
    if *bytes > RECORD_HEADERS_BYTES_MAX {
        let detail =
            format!("headers of {bytes} bytes exceed record_headers_bytes_max {RECORD_HEADERS_BYTES_MAX}");
        return Err(Problem::new(Code::InvalidMember, detail));
    }
    Ok(Some(value))
}

// The document around a batch.

/// What the members of `{"messages":[…]}` gave so far.
#[derive(Default)]
struct Batch<'a> {
    fault: Option<Problem>,
    messages: Option<Vec<&'a str>>,
}

/// The texts of a batch's messages; their syntax is checked, except for surrogates in strings.
fn messages(body: &str) -> Result<Vec<&str>, Problem> {
    let mut batch = Batch::default();
    object(body, &mut batch).map_err(|error| syntax(&error))?;
    match batch {
        Batch { fault: Some(problem), .. } => Err(problem),
        Batch { messages: Some(messages), .. } => Ok(messages),
        Batch { messages: None, .. } => {
            Err(Problem::new(Code::MissingMember, "member messages is missing").at("/messages"))
        }
    }
}

impl<'a> Members<'a> for Batch<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        let fault = if name != "messages" {
            members.next_value::<IgnoredAny>()?;
            invalid(name, format!("unknown member {}", Scalar::Text(Cow::Borrowed(name)).shown()))
        } else if self.messages.is_some() {
            members.next_value::<IgnoredAny>()?;
            invalid(name, "member messages given more than once")
        } else {
            match members.next_value_seed(MessagesSeed)? {
                Ok(messages) => {
                    self.messages = Some(messages);
                    return Ok(());
                }
                Err(problem) => problem,
            }
        };
        self.fault.get_or_insert(fault);
        Ok(())
    }
}

/// Reads an array into the texts of its elements, at most `BATCH_RECORDS_MAX` of them.
struct MessagesSeed;

impl<'de> DeserializeSeed<'de> for MessagesSeed {
    type Value = Result<Vec<&'de str>, Problem>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessagesSeed {
    type Value = Result<Vec<&'de str>, Problem>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
        let mut messages = Vec::new();
        while let Some(message) = values.next_element::<&'de RawValue>()? {
            if messages.len() == BATCH_RECORDS_MAX {
                while values.next_element::<IgnoredAny>()?.is_some() {}
                let detail = format!("more messages than batch_records_max {BATCH_RECORDS_MAX}");
                return Ok(Err(Problem::new(Code::TooLarge, detail).at("/messages")));
            }
            messages.push(message.get());
        }
        Ok(Ok(messages))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Err(not_an_array("an object")))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Err(not_an_array("null")))
    }

    refuse_scalars!(not_an_array);
}

fn not_an_array(kind: &str) -> Problem {
    invalid("messages", format!("messages must be an array of objects, not {kind}"))
}

// The alias.

/// What the members of a `POST /publish` gave so far. The last of two members counts, with its fault or
/// without.
struct Alias<'a> {
    topic: Scalar<'a>,
    payload: Scalar<'a>,
    message: Scalar<'a>,
    id: Scalar<'a>,
    ttl: Scalar<'a>,
    key: Scalar<'a>,
    durability: Scalar<'a>,
    headers: Result<RecordHeaders<'a>, Problem>,
}

impl<'a> Members<'a> for Alias<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, members: &mut A) -> Result<(), A::Error> {
        let member = match name {
            "topic" => &mut self.topic,
            "payload" => &mut self.payload,
            "message" => &mut self.message,
            "id" => &mut self.id,
            "ttl" => &mut self.ttl,
            "key" => &mut self.key,
            "durability" => &mut self.durability,
            "headers" => {
                self.headers = members.next_value_seed(HeadersSeed { strict: false })?;
                return Ok(());
            }
            _ => return members.next_value::<IgnoredAny>().map(|_| ()),
        };
        *member = members.next_value()?;
        Ok(())
    }
}

impl<'a> Alias<'a> {
    fn new() -> Self {
        let absent = || Scalar::Null;
        Self {
            topic: absent(),
            payload: absent(),
            message: absent(),
            id: absent(),
            ttl: absent(),
            key: absent(),
            durability: absent(),
            headers: Ok(RecordHeaders::new()),
        }
    }

    /// Types first, as the original decoded them, then what is missing, then bounds.
    fn finish(self) -> Result<AliasPublish<'a>, Problem> {
        let topic = alias_text("topic", self.topic)?;
        let payload = alias_text("payload", self.payload)?;
        let message = alias_text("message", self.message)?;
        let id = alias_text("id", self.id)?;
        let key = alias_text("key", self.key)?;
        let durability = alias_text("durability", self.durability)?;
        let topic = topic.ok_or_else(|| {
            Problem::new(Code::MissingField, "Missing required field: topic").at(pointer("topic"))
        })?;
        let name = if payload.is_none() && message.is_some() { "message" } else { "payload" };
        let payload =
            payload.or(message).ok_or_else(|| invalid("payload", "message payload cannot be empty"))?;
        payload_within(name, payload.len())?;
        Ok(AliasPublish {
            topic,
            payload,
            id: bounded("id", id, 1, IDEMPOTENCY_KEY_BYTES_MAX)?,
            ttl_s: ttl("ttl", &self.ttl)?,
            key: bounded("key", key, 0, KEY_BYTES_MAX)?,
            headers: self.headers?,
            durability,
        })
    }
}

/// A string that is not empty: the original did not tell an empty one from an absent one.
fn alias_text<'a>(name: &str, value: Scalar<'a>) -> Result<Option<Cow<'a, str>>, Problem> {
    match value {
        Scalar::Text(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Scalar::Null => Ok(None),
        _ => Err(invalid_body(Code::InvalidMember).at(pointer(name))),
    }
}
