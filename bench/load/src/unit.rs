//! The unit of a publish load: bytes to send again and again, how many messages they hold and how many answers they earn.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::args::Args;
use crate::http::{Expected, Responses};
use crate::message::{Form, Message};
use crate::record_batch::Template;
use crate::wire::{mqtt_connect, mqtt_packet, resp_command, Acks, Resp, NATS_CONNECT};

pub struct Unit {
    /// Sent once after connecting.
    pub hello: Vec<u8>,
    bytes: Vec<u8>,
    /// Where a running number goes (`{n}` in the path), if it does.
    number_at: Option<usize>,
    /// Where the payload lies, for loads that stamp it.
    payload_at: Option<usize>,
    pub messages: u64,
    pub acks: u64,
    expected: Option<Expected>,
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Answer {
    Http,
    NatsPong,
    JetStream,
    Resp,
    Mqtt,
}

/// Milliseconds since the Unix epoch.
pub fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| passed.as_millis() as i64)
}

/// A POST with a fixed body.
pub fn post(host: &str, path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn joined(size: usize, batch: usize, separator: &str) -> String {
    vec![format!("{{\"payload\":\"{}\"}}", "x".repeat(size)); batch].join(separator)
}

impl Unit {
    /// The unit of `command` as the options describe it; `client` numbers the connection.
    pub fn new(command: &str, args: &Args, client: usize) -> Result<Self, String> {
        if command == "http-post" {
            return Self::http(args);
        }
        let batch: usize = args.number("--batch", 100)?;
        let topic = args.text("--topic", if command == "jetstream-pub" { "j.t" } else { "t" });
        let payload = vec![b'x'; args.number("--size", 128)?];
        let mut unit = Self {
            hello: Vec::new(),
            bytes: Vec::new(),
            number_at: None,
            payload_at: None,
            messages: batch as u64,
            acks: batch as u64,
            expected: None,
            answer: Answer::Resp,
        };
        let mut one = Vec::new();
        match command {
            "nats-pub" | "jetstream-pub" => {
                let reply = if command == "nats-pub" {
                    String::new()
                } else {
                    format!("_INBOX.{client} ")
                };
                unit.hello.extend_from_slice(NATS_CONNECT);
                if !reply.is_empty() {
                    unit.hello
                        .extend_from_slice(format!("SUB {reply}1\r\n").as_bytes());
                }
                unit.hello.extend_from_slice(b"PING\r\n");
                one.extend_from_slice(format!("PUB {topic} {reply}{}\r\n", payload.len()).as_bytes());
                one.extend_from_slice(&payload);
                one.extend_from_slice(b"\r\n");
                unit.bytes = one.repeat(batch);
                if command == "nats-pub" {
                    unit.answer = Answer::NatsPong;
                    unit.acks = 1;
                    unit.bytes.extend_from_slice(b"PING\r\n");
                } else {
                    unit.answer = Answer::JetStream;
                }
            }
            "redis-publish" => resp_command(&[b"PUBLISH", topic.as_bytes(), &payload], &mut one),
            "redis-xadd" => resp_command(&[b"XADD", topic.as_bytes(), b"*", b"d", &payload], &mut one),
            "mqtt-pub" => {
                unit.answer = Answer::Mqtt;
                mqtt_connect(&format!("load-{client}"), &mut unit.hello);
                let qos: u8 = args.number("--qos", 0)?;
                for number in 1..=batch as u16 {
                    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
                    body.extend_from_slice(topic.as_bytes());
                    if qos == 1 {
                        body.extend_from_slice(&number.to_be_bytes());
                    }
                    body.extend_from_slice(&payload);
                    mqtt_packet(0x30 | qos << 1, &body, &mut unit.bytes);
                }
                if qos == 0 {
                    unit.acks = 1;
                    unit.bytes.extend_from_slice(&[0xc0, 0]);
                }
            }
            other => return Err(format!("no unit for {other}")),
        }
        if unit.bytes.is_empty() {
            unit.bytes = one.repeat(batch);
        }
        Ok(unit)
    }

    fn http(args: &Args) -> Result<Self, String> {
        let size: usize = args.number("--size", 128)?;
        let batch: usize = args.number("--batch", 1)?;
        let topic = args.text("--topic", "t");
        let raw = vec![b'x'; size];
        let default_path = format!("/v1/topics/{topic}/messages");
        let (mut path, mut kind, body, mut expected) = (default_path.as_str(), "text/plain", raw, None);
        let mut messages = 1;
        let body = if args.has("--form") {
            messages = batch as u64;
            expected = Some(Expected {
                token: b"\"offset\":",
                count: batch,
            });
            match args.text("--form", "") {
                "binary" => {
                    kind = "application/x-sprawl-batch";
                    expected = Some(Expected {
                        token: b"\"base_offset\":",
                        count: 1,
                    });
                    Template::new(batch, size, wall_ms()).bytes().to_vec()
                }
                "json" => {
                    kind = "application/vnd.sprawl.messages+json";
                    format!("{{\"messages\":[{}]}}", joined(size, batch, ",")).into_bytes()
                }
                "ndjson" => {
                    kind = "application/x-ndjson";
                    (joined(size, batch, "\n") + "\n").into_bytes()
                }
                other => return Err(format!("--form {other}: binary, json or ndjson")),
            }
        } else {
            match args.text("--body", "raw") {
                "raw" => body,
                "json-publish" => {
                    (path, kind) = ("/publish", "application/json");
                    format!("{{\"topic\":\"{topic}\",\"payload\":\"{}\"}}", "x".repeat(size)).into_bytes()
                }
                "constant-file" => {
                    let file = args.text("--file", "");
                    std::fs::read(file).map_err(|e| format!("--file {file}: {e}"))?
                }
                other => return Err(format!("--body {other}: raw, json-publish or constant-file")),
            }
        };
        let path = args.text("--path", path);
        let kind = args.text("--content-type", kind);
        let host = args.text("--addr", "localhost");
        let number_at = path.find("{n}").map(|at| "POST ".len() + at);
        let bytes = post(host, &path.replacen("{n}", "", 1), kind, &body);
        let filler = b"x".repeat(size);
        let payload_at = if messages == 1 {
            memchr::memmem::find(&bytes, &filler)
        } else {
            None
        };
        Ok(Self {
            hello: Vec::new(),
            bytes,
            number_at,
            payload_at,
            messages,
            acks: 1,
            expected,
            answer: Answer::Http,
        })
    }

    pub fn counter(&self) -> Acks {
        match self.answer {
            Answer::Http => Acks::Http(Responses::new(self.expected.clone())),
            Answer::NatsPong => Acks::NatsPong { is_open: false },
            Answer::JetStream => Acks::JetStream,
            Answer::Resp => Acks::Resp(Resp::default()),
            Answer::Mqtt => Acks::Mqtt,
        }
    }

    /// Appends the unit, with `number` in its path where there is a place for one.
    pub fn push(&self, number: u64, out: &mut Vec<u8>) {
        match self.number_at {
            None => out.extend_from_slice(&self.bytes),
            Some(at) => {
                out.extend_from_slice(&self.bytes[..at]);
                out.extend_from_slice(number.to_string().as_bytes());
                out.extend_from_slice(&self.bytes[at..]);
            }
        }
    }

    /// Appends the unit with its payload numbered and stamped.
    pub fn push_stamped(&self, form: &Form, message: Message, out: &mut Vec<u8>) -> Result<(), String> {
        let at = self
            .payload_at
            .ok_or("--rate needs a body with one plain payload")?;
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        form.write(message, &mut out[start + at..start + at + form.size]);
        Ok(())
    }
}
