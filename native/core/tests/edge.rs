//! The HTTP edge as a client sees it: bytes in, answers and steps out. How the bytes are cut must never matter.

use proptest::prelude::*;
use serde_json::Value;
use sprawl_core::batch::{self, Builder, Codec, Record};
use sprawl_core::edge::{Connection, Edge, Inside, Progress, Step, Waiting};
use sprawl_core::http::chunked::Decoder;
use sprawl_core::limits::{READ_LOOK_BYTES_MAX, UNSENT_BYTES_MAX};
use sprawl_core::log::topics::Config;
use sprawl_core::log::{Log, Setup};
use sprawl_core::slots::SlotTable;
use std::fmt::Write as _;
use std::sync::Arc;

const NOW: i64 = 1_700_000_000 * 1_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn edge() -> Edge {
    let setup = Setup {
        memory_bytes_max: 1 << 20,
        chunk_bytes: 32 * 1024,
        dedup_keys_max: 100,
        topics_max: 200,
        seed: 3,
        auto_create: true,
        delete_grace_s: 10,
        disk_lsn: None,
    };
    Edge::new(Log::new(setup, Arc::new(SlotTable::single("n", 1).unwrap())))
}

struct Client {
    edge: Edge,
    connection: Connection,
    now_ns: i64,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    fn offsets(&self) -> Vec<u64> {
        self.json()["messages"].as_array().unwrap().iter().map(|m| m["offset"].as_u64().unwrap()).collect()
    }
}

fn dechunk(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut out = Vec::new();
    let progress = Decoder::new().decode(body, &mut out, usize::MAX).unwrap();
    progress.done.then_some((out, progress.consumed))
}

/// Splits answers; every one must be whole.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status: u16 = head[9..12].parse().unwrap();
        let field = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)).map(str::to_owned);
        let (body, used) = if status == 100 {
            (Vec::new(), 0)
        } else if let Some(length) = field("Content-Length: ") {
            let length: usize = length.parse().unwrap();
            (bytes[end..end + length].to_vec(), length)
        } else if field("Transfer-Encoding: ").is_some() {
            dechunk(&bytes[end..]).expect("a whole chunked body")
        } else {
            (bytes[end..].to_vec(), bytes.len() - end)
        };
        bytes = &bytes[end + used..];
        found.push(Answer { status, head, body });
    }
    found
}

impl Client {
    fn new() -> Self {
        Self { edge: edge(), connection: Connection::new(1, true), now_ns: NOW }
    }

    fn send(&mut self, bytes: &[u8]) -> (Vec<u8>, Step) {
        let mut out = Vec::new();
        let step = self.edge.receive(&mut self.connection, bytes, self.now_ns, &mut out);
        assert_eq!(self.edge.buffered(), self.connection.held(), "accounting of held bytes");
        (out, step)
    }

    /// One request that is answered at once.
    fn ask(&mut self, request: &[u8]) -> Answer {
        let (out, step) = self.send(request);
        assert!(matches!(step, Step::More | Step::Close), "{step:?}");
        let mut found = answers(&out);
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    fn get(&mut self, target: &str) -> Answer {
        self.ask(format!("GET /v1/topics/{target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
    }

    fn post(&mut self, topic: &str, headers: &str, body: &[u8]) -> Answer {
        self.ask(&post(topic, headers, body))
    }

    fn publish(&mut self, topic: &str, body: &str) -> Answer {
        let answer = self.post(topic, "", body.as_bytes());
        assert_eq!(answer.status, 201);
        answer
    }

    fn stream(&mut self, target: &str, accept: &str) -> (Vec<u8>, Box<Waiting>) {
        let request = format!("GET /v1/topics/{target} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n");
        match self.send(request.as_bytes()) {
            (head, Step::Stream(waiting)) => (head, waiting),
            (out, step) => panic!("{step:?}: {}", String::from_utf8_lossy(&out)),
        }
    }

    fn pull(&mut self, waiting: &mut Waiting, bytes_max: usize) -> (String, bool, bool) {
        let mut out = Vec::new();
        let pulled = self.edge.pull(&mut waiting.reader, bytes_max, u64::MAX, self.now_ns, &mut out);
        (String::from_utf8(out).unwrap(), pulled.more, pulled.ended)
    }
}

fn post(topic: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /v1/topics/{topic}/messages HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn batch_of(records: &[Record<'_>], codec: Codec) -> Vec<u8> {
    let mut builder = Builder::new();
    for record in records {
        builder.push(record).unwrap();
    }
    let mut out = Vec::new();
    if codec == Codec::None {
        builder.finish_into(&mut out, 0, 0, None);
    } else {
        builder.compress_into(codec, &mut out, 0, 0, None).unwrap();
    }
    out
}

fn texts<'a>(values: &[&'a str]) -> Vec<Record<'a>> {
    values
        .iter()
        .map(|v| Record { timestamp_ms: 1000, value: Some(v.as_bytes()), ..Record::default() })
        .collect()
}

const JSON: &str = "Content-Type: application/vnd.sprawl.messages+json\r\n";
const LINES: &str = "Content-Type: application/x-ndjson\r\n";
const BATCH: &str = "Content-Type: application/x-sprawl-batch\r\n";

/// Pipelined requests of every kind, hot and cold; the last one closes.
fn everything() -> Vec<u8> {
    let mut all = Vec::new();
    all.extend(post("a.b", "Sprawl-Key: k\r\nIdempotency-Key: i\r\nSprawl-Header-X: y\r\n", b"first"));
    all.extend(post("a.b", "Sprawl-Key: k\r\nIdempotency-Key: i\r\nSprawl-Header-X: y\r\n", b"first"));
    all.extend(b"PUT /v1/topics/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz");
    all.extend(post(
        "a.b",
        JSON,
        br#"{"messages":[{"payload":"p"},{"nope":1},{"json":[1,{"a":2}],"key":"k"}]}"#,
    ));
    all.extend(post("a.b", "If-Match: \"99\"\r\n", b"refused"));
    all.extend(b"HEAD /v1/topics/a.b/messages HTTP/1.1\r\nHost: h\r\n\r\n");
    all.extend(
        b"POST /v1/topics/a.b/messages HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
          4\r\nchun\r\n3;x=y\r\nked\r\n0\r\nT: v\r\n\r\n",
    );
    all.extend(post("a.b", BATCH, &batch_of(&texts(&["b1", "b2"]), Codec::None)));
    all.extend(b"POST /publish HTTP/1.1\r\nHost: h\r\nContent-Length: 32\r\n\r\n{\"topic\":\"al\",\"payload\":\"value\"}");
    all.extend(b"GET /v1/topics/a.b/messages?from=offset:1&limit=3 HTTP/1.1\r\nHost: h\r\n\r\n");
    all.extend(b"GET /v1/topics/a.b/messages?from=latest&wait=5 HTTP/1.1\r\nHost: h\r\n\r\n");
    all.extend(b"GET /v1/topics/a.b/messages HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    all
}

/// Sends `pieces` and plays the driver; the transcript is what the client would read.
fn transcript<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut client = Client::new();
    let mut all = Vec::new();
    'pieces: for piece in pieces {
        let (mut out, mut step) = client.send(piece);
        loop {
            all.append(&mut out);
            match step {
                Step::More => break,
                Step::Close => break 'pieces,
                Step::Full => {}
                Step::Cold(request) | Step::Upgrade(request) => {
                    let text = format!("{} {}?{}", request.method, request.path, request.query);
                    let body = [text.as_bytes(), &request.body].concat();
                    let mut head = String::new();
                    write!(head, "HTTP/1.1 299 cold\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
                    all.extend(head.as_bytes());
                    all.extend(body);
                }
                Step::Wait(mut waiting, until_ns) => {
                    let done = client.edge.answer_fetch(&mut waiting, until_ns, true, &mut all);
                    assert_eq!(done, Progress::Answered);
                }
                Step::Stream(_) => panic!("no stream was asked for"),
            }
            step = client.edge.resume(&mut client.connection, NOW, &mut out);
        }
    }
    assert_eq!(client.edge.buffered(), 0, "everything was served");
    all
}

#[test]
fn where_the_bytes_are_cut_does_not_matter() {
    let stream = everything();
    let whole = transcript(std::iter::once(&stream[..]));
    let found = answers(&whole);
    let statuses: Vec<u16> = found.iter().map(|a| a.status).collect();
    assert_eq!(statuses, [201, 200, 299, 200, 412, 299, 201, 200, 200, 200, 200, 200]);
    assert_eq!(found[9].offsets(), [1, 2, 3]);
    assert_eq!(found[11].offsets(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(found[2].body, b"PUT /v1/topics/x?xyz");
    assert!(found[1].head.contains("Sprawl-Duplicate: true"));
    assert!(found[11].head.contains("Connection: close"));
    for at in 1..stream.len() {
        let cut = transcript([&stream[..at], &stream[at..]].into_iter());
        assert!(cut == whole, "cut at {at}");
    }
    assert!(transcript(stream.chunks(1)) == whole, "byte by byte");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn random_cuts_do_not_matter(mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..20)) {
        let stream = everything();
        let mut at: Vec<usize> = cuts.drain(..).map(|i| i.index(stream.len())).chain([0, stream.len()]).collect();
        at.sort_unstable();
        let whole = transcript(std::iter::once(&stream[..]));
        prop_assert!(transcript(at.windows(2).map(|w| &stream[w[0]..w[1]])) == whole);
    }

    #[test]
    fn any_bytes_leave_the_books_in_order(bytes in prop::collection::vec(any::<u8>(), 0..300), cut: prop::sample::Index) {
        let mut client = Client::new();
        let at = cut.index(bytes.len() + 1);
        let (_, step) = client.send(&bytes[..at]);
        if matches!(step, Step::More) {
            client.send(&bytes[at..]);
        }
        client.edge.forget(&mut client.connection);
        prop_assert_eq!(client.edge.buffered(), 0);
    }
}

fn lines_results(stream: &[u8], pieces: impl Iterator<Item = usize>) -> Vec<Value> {
    let mut client = Client::new();
    let (mut at, mut out) = (0, Vec::new());
    for size in pieces {
        let (mut piece, step) = client.send(&stream[at..(at + size).min(stream.len())]);
        assert!(matches!(step, Step::More));
        out.append(&mut piece);
        at += size;
    }
    let found = answers(&out);
    assert_eq!(found.len(), 2, "the stream of lines and the request after it");
    assert_eq!((found[0].status, found[1].status), (200, 201));
    let text = String::from_utf8(found[0].body.clone()).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn lines_give_one_result_each_however_they_arrive() {
    let body = "{\"payload\":\"1\"}\n\n{\"payload\":2}\r\n  {\"json\":{\"a\":[]}}\n{\"payload\":\"last\"}";
    let fixed = [post("t", LINES, body.as_bytes()), post("t", "", b"next")].concat();
    let mut chunked =
        b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-ndjson\r\n\
        Transfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for piece in body.as_bytes().chunks(7) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    chunked.extend(post("t", "", b"next"));
    let whole = lines_results(&fixed, std::iter::once(fixed.len()));
    assert_eq!(whole.len(), 4);
    assert_eq!(whole[1]["code"], "invalid_member");
    assert_eq!([&whole[0], &whole[2], &whole[3]].map(|r| r["offset"].as_u64()), [Some(0), Some(1), Some(2)]);
    for stream in [&fixed, &chunked] {
        for at in 1..stream.len() {
            assert_eq!(lines_results(stream, [at, stream.len() - at].into_iter()), whole, "cut at {at}");
        }
        assert_eq!(lines_results(stream, std::iter::repeat_n(1, stream.len())), whole);
    }
}

#[test]
fn lines_over_http_1_0_are_collected() {
    let body = b"{\"payload\":\"1\"}\n{\"payload\":\"2\"}\n";
    let request = format!(
        "POST /v1/topics/t/messages HTTP/1.0\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut client = Client::new();
    assert!(client.send(request.as_bytes()).0.is_empty());
    let answer = client.ask(body);
    assert_eq!((answer.status, answer.body.split(|b| *b == b'\n').count()), (200, 3), "two lines");
    assert!(answer.head.contains("Content-Length") && answer.head.contains("Connection: close"));
}

#[test]
fn lines_and_json_refuse_what_cannot_hold_for_each() {
    let numbers = "Producer-Id: 5\r\nProducer-Epoch: 0\r\nProducer-Seq: 0\r\n";
    let mut client = Client::new();
    let two = br#"{"messages":[{"payload":"1"},{"payload":"2"}]}"#;
    assert_eq!(client.post("t", &format!("{JSON}{numbers}"), two).code(), "invalid_header");
    assert_eq!(
        client.post("t", &format!("{LINES}{numbers}"), b"{\"payload\":\"1\"}").code(),
        "invalid_header"
    );
    let request = post("t", LINES, b"{\"payload\":\"1\"}");
    let request = String::from_utf8(request).unwrap().replace("/messages ", "/messages?atomic=true ");
    assert_eq!(client.ask(request.as_bytes()).code(), "invalid_parameter");
    assert!(client.edge.log.topic(b"t").is_none());
    let head = &request[..request.find("\r\n\r\n").unwrap() + 4];
    let (out, step) = client.send(head.as_bytes());
    assert!(matches!(step, Step::Close));
    assert_eq!(answers(&out)[0].code(), "invalid_parameter");
}

#[test]
fn expect_continue_is_answered_once_and_only_when_the_body_is_missing() {
    let whole = post("t", "Expect: 100-continue\r\n", b"body");
    let mut client = Client::new();
    assert_eq!(client.ask(&whole).status, 201);
    let head = &whole[..whole.len() - 4];
    let (out, _) = client.send(&head[..head.len() - 2]);
    assert!(out.is_empty());
    let (out, _) = client.send(&head[head.len() - 2..]);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.connection.inside(), Inside::Body);
    assert!(client.send(b"bo").0.is_empty());
    assert_eq!(client.ask(b"dy").status, 201);
    // Never continued: the deadline ends it, and gives back what it held.
    client.send(head);
    assert!(client.edge.buffered() > 0);
    let mut out = Vec::new();
    client.edge.time_out(&mut client.connection, NOW, &mut out);
    let answer = &answers(&out)[0];
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
    assert!(answer.head.contains("Connection: close"));
    assert_eq!((client.edge.buffered(), client.connection.inside()), (0, Inside::Nothing));
}

#[test]
fn a_body_above_its_bound_is_refused_before_it_is_held() {
    for (target, bound) in [("/v1/topics/t/messages", 16 * 1024 * 1024), ("/v1/cold", 1024 * 1024)] {
        let mut client = Client::new();
        let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", bound + 1);
        let (out, step) = client.send(head.as_bytes());
        assert!(matches!(step, Step::Close));
        assert_eq!((answers(&out)[0].status, client.connection.held()), (413, 0));
        let mut client = Client::new();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            bound + 1
        );
        let (out, step) = client.send(head.as_bytes());
        assert!(matches!(step, Step::Close));
        assert_eq!((answers(&out)[0].status, client.connection.held()), (413, 0));
    }
}

#[test]
fn all_connections_together_hold_no_more_than_their_bound() {
    let mut edge = edge();
    let length = 15 * 1024 * 1024;
    let head = format!("POST /v1/topics/t/messages HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    let mut connections: Vec<_> = (0..8).map(|id| Connection::new(id, true)).collect();
    let mut out = Vec::new();
    for connection in &mut connections {
        assert!(matches!(edge.receive(connection, head.as_bytes(), NOW, &mut out), Step::More));
    }
    let piece = vec![0; 1 << 20];
    let mut closed = 0;
    for _ in 0..14 {
        for connection in &mut connections {
            closed += usize::from(matches!(edge.receive(connection, &piece, NOW, &mut out), Step::Close));
            assert!(edge.buffered() <= 64 << 20);
        }
    }
    assert!(closed > 0 && answers(&out).iter().all(|a| a.status == 503 && a.code() == "busy"));
    for connection in &mut connections {
        edge.forget(connection);
    }
    assert_eq!(edge.buffered(), 0);
}

#[test]
fn what_follows_a_pending_answer_waits_for_it() {
    let mut client = Client::new();
    let (out, step) = client.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/to");
    assert!(out.is_empty() && matches!(step, Step::Cold(_)) && client.connection.is_pending());
    let rest = b"pics/none/messages HTTP/1.1\r\nHost: h\r\n\r\n";
    let (out, step) = client.send(rest);
    assert!(out.is_empty() && matches!(step, Step::More));
    assert_eq!(client.connection.held(), 10 + rest.len());
    let mut out = Vec::new();
    assert!(matches!(client.edge.resume(&mut client.connection, NOW, &mut out), Step::More));
    assert_eq!(answers(&out)[0].status, 404);
    assert_eq!(client.edge.buffered(), 0);
}

#[test]
fn connections_close_as_http_says() {
    for (version, header, closes) in [
        ("1.1", "", false),
        ("1.1", "Connection: close\r\n", true),
        ("1.0", "", true),
        ("1.0", "Connection: keep-alive\r\n", false),
    ] {
        let mut client = Client::new();
        let request = format!(
            "POST /v1/topics/t/messages HTTP/{version}\r\nHost: h\r\n{header}Content-Length: 1\r\n\r\nx"
        );
        let (out, step) = client.send(format!("{request}{request}").as_bytes());
        assert_eq!(matches!(step, Step::Close), closes, "{version} {header}");
        assert_eq!(answers(&out).len(), if closes { 1 } else { 2 });
        if closes {
            assert!(client.send(request.as_bytes()).0.is_empty(), "nothing is served after the last answer");
        }
    }
}

#[test]
fn batches_are_checked_before_any_is_appended() {
    let good = batch_of(&texts(&["x", "y"]), Codec::None);
    let mut wrong_crc = good.clone();
    *wrong_crc.last_mut().unwrap() ^= 1;
    let mut unknown_codec = good.clone();
    unknown_codec[22] = 7;
    let mut wrong_count = good.clone();
    wrong_count[60] = 3;
    for batch in [&mut unknown_codec, &mut wrong_count] {
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    let mut negative = good.clone();
    negative[8..12].copy_from_slice(&(-5i32).to_be_bytes());
    let cut = good[..good.len() - 1].to_vec();
    let mut client = Client::new();
    for (bad, status, code) in [
        (wrong_crc, 400, "bad_checksum"),
        (unknown_codec, 415, "unsupported_media_type"),
        (wrong_count, 400, "invalid_batch"),
        (negative, 400, "invalid_batch"),
        (cut, 400, "invalid_batch"),
        (Vec::new(), 400, "invalid_batch"),
    ] {
        for prefix in [Vec::new(), good.clone()] {
            let body = [prefix.clone(), bad.clone()].concat();
            if bad.is_empty() && !prefix.is_empty() {
                continue;
            }
            let answer = client.post("t", BATCH, &body);
            assert_eq!((answer.status, answer.code().as_str()), (status, code));
        }
    }
    assert!(client.edge.log.topic(b"t").is_none(), "nothing was stored, not even the topic");
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let body = [good.clone(), batch_of(&texts(&["z"; 20]), codec)].concat();
        let answer = client.post("t", BATCH, &body);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["results"][1]["count"], 20);
    }
    assert_eq!(client.get("t/messages").offsets(), (0..110).collect::<Vec<_>>());
}

#[test]
fn an_atomic_publish_is_all_or_none() {
    let mut client = Client::new();
    let ask = |client: &mut Client, body: &str| {
        let request = String::from_utf8(post("t", JSON, body.as_bytes())).unwrap();
        client.ask(request.replace("/messages ", "/messages?atomic=true ").as_bytes())
    };
    for bad in [
        r#"{"messages":[{"payload":"1"},{"oops":"2"}]}"#,
        r#"{"messages":[{"payload":"1"},{"payload":"2","headers":{"":"v"}}]}"#,
        r#"{"messages":[{"payload":"1"},{"payload":"2","delay_s":4}]}"#,
        r#"{"messages":[{"payload":"1","idempotency_key":"k"},{"payload":"2","idempotency_key":"k"}]}"#,
    ] {
        let answer = ask(&mut client, bad);
        assert!(answer.status >= 400, "{bad}");
        assert_eq!(answer.json()["location"].as_str().unwrap().get(..11), Some("/messages/1"));
    }
    assert_eq!(client.get("t/messages").status, 404);
    let answer = ask(&mut client, r#"{"messages":[{"payload":"1"},{"payload":"2"}]}"#);
    assert_eq!(answer.json()["results"][1]["offset"], 1);
}

#[test]
fn conditions_and_duplicates_answer_as_promised() {
    let mut client = Client::new();
    assert_eq!(client.post("t", "If-None-Match: *\r\n", b"a").status, 201);
    assert_eq!(client.post("t", "If-None-Match: *\r\n", b"a").status, 412);
    assert_eq!(client.post("t", "If-Match: \"0\"\r\n", b"b").status, 201);
    let refused = client.post("t", "If-Match: \"0\"\r\n", b"c");
    assert!(refused.status == 412 && refused.json()["detail"].as_str().unwrap().contains('1'));
    assert_eq!(client.post("t", "Prefer: respond-async\r\n", b"d").status, 202);
    let first = client.post("t", "Idempotency-Key: k\r\n", b"e");
    let again = client.post("t", "Idempotency-Key: k\r\n", b"e");
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json()["offset"], again.json()["offset"]);
    assert!(again.head.contains("Sprawl-Duplicate: true"));
    assert_eq!(client.post("t", "Idempotency-Key: k\r\n", b"f").status, 409);
    client.now_ns += 601 * SECOND;
    assert_eq!(client.post("t", "Idempotency-Key: k\r\n", b"f").status, 201);
    let numbers = |seq: u32| format!("Producer-Id: 5\r\nProducer-Epoch: 0\r\nProducer-Seq: {seq}\r\n");
    let statuses: Vec<u16> =
        [0, 1, 0, 3].iter().map(|s| client.post("t", &numbers(*s), b"n").status).collect();
    assert_eq!(statuses, [201, 201, 200, 409]);
    assert_eq!(client.post("t", "Producer-Id: 5\r\n", b"n").code(), "invalid_header");
}

#[test]
fn reads_start_where_they_are_told() {
    let mut client = Client::new();
    for i in 0..5 {
        client.publish("t", &i.to_string());
        // Records of one tick share an append time.
        client.edge.log.end_tick(client.now_ns);
        client.now_ns += SECOND;
    }
    assert_eq!(client.get("t/messages").offsets(), [0, 1, 2, 3, 4]);
    assert_eq!(client.get("t/messages?from=offset:3").offsets(), [3, 4]);
    assert_eq!(client.get("t/messages?from=-2500ms").offsets(), [3, 4]);
    assert!(client.get("t/messages?from=latest&wait=0").offsets().is_empty());
    let part = client.get("t/messages?limit=2");
    assert_eq!((part.offsets(), &part.json()["up_to_date"]), (vec![0, 1], &Value::Bool(false)));
    let cursor = part.json()["cursor"].as_str().unwrap().to_owned();
    let rest = client.get(&format!("t/messages?limit=3&from=cursor:{cursor}"));
    assert_eq!((rest.offsets(), &rest.json()["up_to_date"]), (vec![2, 3, 4], &Value::Bool(true)));
    let end = rest.json()["cursor"].as_str().unwrap().to_owned();
    assert!(client.get(&format!("t/messages?from=cursor:{end}")).offsets().is_empty());
    assert!(client.get("t/messages?from=offset:5").offsets().is_empty());
    assert_eq!(client.get("t/messages?from=offset:6").code(), "offset_out_of_range");
    assert_eq!(client.get("t/messages?from=sideways").code(), "invalid_parameter");
    client.publish("other", "x");
    assert_eq!(client.get(&format!("other/messages?from=cursor:{end}")).code(), "invalid_cursor");
}

#[test]
fn a_long_poll_waits_and_is_answered_by_its_driver() {
    let mut client = Client::new();
    client.publish("t", "0");
    let (out, step) = client.send(b"GET /v1/topics/t/messages?from=latest HTTP/1.1\r\nHost: h\r\n\r\n");
    let Step::Wait(mut waiting, until_ns) = step else { panic!("it waits") };
    assert_eq!((out.len(), until_ns), (0, NOW + 30 * SECOND));
    let progress = client.edge.answer_fetch(&mut waiting, NOW, false, &mut Vec::new());
    assert_eq!(progress, Progress::Waits);
    let mut other = Connection::new(2, true);
    let mut out = Vec::new();
    client.edge.receive(&mut other, &post("t", "", b"1"), NOW, &mut out);
    let mut out = Vec::new();
    client.edge.answer_fetch(&mut waiting, NOW, false, &mut out);
    assert_eq!(answers(&out)[0].offsets(), [1]);
}

#[test]
fn a_filtered_read_waits_for_a_match_and_looks_at_nothing_twice() {
    let mut client = Client::new();
    client.post("t", "Sprawl-Key: other\r\n", b"0");
    let request = b"GET /v1/topics/t/messages?key=k&wait=5 HTTP/1.1\r\nHost: h\r\n\r\n";
    let (out, step) = client.send(request);
    let Step::Wait(mut waiting, until_ns) = step else { panic!("it waits") };
    assert_eq!((out.len(), until_ns, waiting.reader.places()[0].next), (0, NOW + 5 * SECOND, 1));
    let mut other = Connection::new(2, true);
    let mut publish = |client: &mut Client, key: &str| {
        let record = post("t", &format!("Sprawl-Key: {key}\r\n"), b"x");
        client.edge.receive(&mut other, &record, NOW, &mut Vec::new());
    };
    publish(&mut client, "other");
    let mut out = Vec::new();
    let progress = client.edge.answer_fetch(&mut waiting, NOW + SECOND, false, &mut out);
    assert_eq!((progress, out.len(), waiting.reader.places()[0].next), (Progress::Waits, 0, 2));
    publish(&mut client, "k");
    let progress = client.edge.answer_fetch(&mut waiting, NOW + SECOND, false, &mut out);
    assert_eq!((progress, answers(&out)[0].offsets()), (Progress::Answered, vec![2]));
}

#[test]
fn a_filtered_wait_that_ends_answers_an_empty_page_behind_what_it_saw() {
    let mut client = Client::new();
    client.post("t", "Sprawl-Key: other\r\n", b"0");
    let request = b"GET /v1/topics/t/messages?key=k&wait=5 HTTP/1.1\r\nHost: h\r\n\r\n";
    let Step::Wait(mut waiting, until_ns) = client.send(request).1 else { panic!("it waits") };
    let mut out = Vec::new();
    assert_eq!(client.edge.answer_fetch(&mut waiting, until_ns, true, &mut out), Progress::Answered);
    let answer = answers(&out).remove(0).json();
    assert_eq!(
        (answer["messages"].as_array().unwrap().len(), &answer["up_to_date"]),
        (0, &Value::from(true))
    );
    assert_eq!(waiting.reader.places()[0].next, 1);
}

/// About 900 KiB without a match, one match at the end.
fn haystack(client: &mut Client) -> u64 {
    let value = "h".repeat(1_000);
    for _ in 0..90 {
        let records = texts(&[value.as_str(); 10]);
        client.post("hay", BATCH, &batch_of(&records, Codec::None));
    }
    client.post("hay", "Sprawl-Key: k\r\n", b"needle").json()["offset"].as_u64().unwrap()
}

#[test]
fn a_pull_that_finds_little_stops_after_its_share_and_goes_on_behind_it() {
    for accept in ["application/x-ndjson", "application/x-sprawl-batch"] {
        let mut client = Client::new();
        let needle = haystack(&mut client);
        let (_, mut waiting) = client.stream("hay/messages?key=k&follow=true", accept);
        let (mut out, mut pulls, mut before) = (Vec::new(), 0, waiting.reader.places()[0].next);
        loop {
            let pulled = client.edge.pull(&mut waiting.reader, 1 << 16, u64::MAX, NOW, &mut out);
            let next = waiting.reader.places()[0].next;
            let looked = (next - before) * 1_000;
            assert!(looked < READ_LOOK_BYTES_MAX as u64 + 11_000, "{looked} bytes in one pull");
            assert_eq!(pulled.messages > 0, next > needle, "only the last pull finds it");
            pulls += 1;
            before = next;
            if !pulled.more {
                break;
            }
        }
        assert!((3..8).contains(&pulls), "{pulls} pulls");
    }
}

#[test]
fn a_plain_read_looks_on_in_slices_until_it_finds() {
    let mut client = Client::new();
    let needle = haystack(&mut client);
    let request = b"GET /v1/topics/hay/messages?key=k HTTP/1.1\r\nHost: h\r\n\r\n";
    let (mut out, step) = client.send(request);
    let Step::Wait(mut waiting, until_ns) = step else { panic!("it looks on") };
    assert_eq!((out.len(), until_ns), (0, NOW + SECOND));
    let mut turns = 0;
    while client.edge.answer_fetch(&mut waiting, NOW, false, &mut out) == Progress::Looks {
        assert_eq!(out.len(), 0);
        turns += 1;
    }
    assert_eq!((answers(&out)[0].offsets(), turns > 1), (vec![needle], true));
    // Without a match it ends at the end of the log, whatever its time.
    client.connection = Connection::new(2, true);
    let Step::Wait(mut waiting, _) =
        client.send(b"GET /v1/topics/hay/messages?key=none HTTP/1.1\r\nHost: h\r\n\r\n").1
    else {
        panic!("it looks on")
    };
    out.clear();
    while client.edge.answer_fetch(&mut waiting, NOW, false, &mut out) == Progress::Looks {}
    let answer = answers(&out).remove(0);
    assert_eq!((answer.offsets().len(), &answer.json()["up_to_date"]), (0, &Value::from(true)));
}

#[test]
fn a_plain_read_is_refused_while_clients_leave_too_much_lying() {
    let mut client = Client::new();
    client.publish("t", "0");
    client.edge.unsent = UNSENT_BYTES_MAX;
    let answer = client.get("t/messages");
    assert_eq!((answer.status, answer.code().as_str()), (503, "busy"));
    assert!(answer.head.contains("Retry-After: 1\r\n"), "{}", answer.head);
    client.publish("t", "1");
    client.stream("t/messages", "text/event-stream");
    client.connection = Connection::new(2, true);
    client.edge.unsent -= 1;
    assert_eq!(client.get("t/messages").offsets(), [0, 1]);
}

#[test]
fn a_refused_publish_makes_no_topic() {
    let damaged = {
        let mut bytes = batch_of(&texts(&["v"]), Codec::None);
        bytes[30] ^= 1;
        bytes
    };
    let refused: &[(&str, &str, &[u8])] = &[
        ("", "If-Match: \"0\"\r\n", b"x"),
        ("", "Sprawl-Partition: 3\r\n", b"x"),
        ("", JSON, b"{"),
        ("", JSON, br#"{"messages":[{"nope":1}]}"#),
        ("?atomic=true", JSON, br#"{"messages":[{"payload":"p"},{"nope":1}]}"#),
        ("", LINES, b"no json\n{}\n"),
        ("", BATCH, &damaged),
    ];
    for (query, headers, body) in refused {
        let mut client = Client::new();
        let length = body.len();
        let head = format!(
            "POST /v1/topics/t/messages{query} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        client.ask(&[head.as_bytes(), body].concat());
        assert_eq!(client.edge.log.topics().known(), 0, "{headers}{}", String::from_utf8_lossy(body));
        assert!(client.edge.log.take_born().is_empty());
        client.publish("t", "then it is there");
        assert_eq!(client.get("t/messages").offsets(), [0]);
    }
    let mut client = Client::new();
    client.post("t", LINES, b"no json\n{\"payload\":\"good\"}\nno json\n");
    assert_eq!(client.get("t/messages").offsets(), [0]);
}

#[test]
fn lines_before_lost_framing_are_stored_and_answered() {
    let mut client = Client::new();
    let request = "POST /v1/topics/t/messages HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-ndjson\r\n\
                   Transfer-Encoding: chunked\r\n\r\n11\r\n{\"payload\":\"one\"}\r\n1\r\n\n\r\nzz\r\n";
    let (out, step) = client.send(request.as_bytes());
    assert!(matches!(step, Step::Close));
    let body = String::from_utf8(answers(&out).remove(0).body).unwrap();
    let lines: Vec<Value> = body.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["offset"], &lines[1]["code"]), (2, &0.into(), &"bad_request".into()));
    client.connection = Connection::new(2, true);
    assert_eq!(client.get("t/messages").offsets(), [0]);
}

#[test]
fn a_header_of_a_single_message_is_refused_with_several() {
    let mut client = Client::new();
    let json = br#"{"messages":[{"payload":"1"},{"payload":"2"}]}"#;
    let batch = batch_of(&texts(&["v"]), Codec::None);
    for header in ["Sprawl-Key: k", "Sprawl-TTL: 60", "Idempotency-Key: k", "Sprawl-Header-a: b"] {
        for (form, body) in [(JSON, &json[..]), (LINES, b"{\"payload\":\"1\"}"), (BATCH, &batch)] {
            let answer = client.post("t", &format!("{form}{header}\r\n"), body);
            assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_header"), "{form}{header}");
        }
    }
    assert_eq!(client.edge.log.topics().known(), 0);
    for (form, body) in [(JSON, &json[..]), (LINES, b"{\"payload\":\"1\"}"), (BATCH, &batch)] {
        let answer = client.post("t", &format!("{form}traceparent: 00-1-1-01\r\n"), body);
        assert_eq!(answer.status, 200, "{form}: what a proxy adds to every request is not of one message");
    }
}

#[test]
fn a_binary_batch_refuses_what_it_would_not_heed() {
    let mut client = Client::new();
    let one = batch_of(&texts(&["v"]), Codec::None);
    let numbered = format!("{BATCH}Producer-Id: 1\r\nProducer-Epoch: 0\r\nProducer-Seq: 0\r\n");
    let answer = client.post("t", &numbered, &one);
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_header"));
    let atomic = |client: &mut Client, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "POST /v1/topics/t/messages?atomic=true HTTP/1.1\r\nHost: h\r\n{BATCH}Content-Length: {length}\r\n\r\n"
        );
        client.ask(&[head.as_bytes(), body].concat())
    };
    let answer = atomic(&mut client, &[&one[..], &one[..]].concat());
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_parameter"));
    assert_eq!(client.edge.log.topics().known(), 0);
    assert_eq!(atomic(&mut client, &one).status, 200);
}

/// Overruns the memory tier with messages of another topic.
fn overrun(client: &mut Client) {
    for _ in 0..80 {
        client.publish("filler", &"f".repeat(20_000));
        client.edge.log.end_tick(client.now_ns);
    }
}

#[test]
fn eviction_is_never_silent() {
    let mut client = Client::new();
    client.publish("t", "0");
    let (_, mut events) = client.stream("t/messages", "text/event-stream");
    client.connection = Connection::new(2, true);
    let mut waiting = {
        let request = b"GET /v1/topics/t/messages?from=latest HTTP/1.1\r\nHost: h\r\n\r\n";
        let Step::Wait(waiting, _) = client.send(request).1 else { panic!("it waits") };
        waiting
    };
    client.connection = Connection::new(3, true);
    client.publish("t", "1");
    let seen = client.get("t/messages?limit=1").json()["cursor"].as_str().unwrap().to_owned();
    overrun(&mut client);
    client.publish("t", "2");
    let expired = client.get("t/messages?from=offset:0");
    assert_eq!(expired.status, 410);
    let detail = expired.json()["detail"].as_str().unwrap().to_owned();
    let cursor = detail.rsplit("cursor:").next().unwrap();
    assert_eq!(expired.json()["cursor"], cursor);
    assert_eq!(client.get(&format!("t/messages?from=cursor:{cursor}")).offsets(), [2]);
    assert_eq!(client.get("t/messages").offsets(), [2]);
    let (text, _, _) = client.pull(&mut events, 1 << 20);
    assert!(
        text.contains("event: gap\ndata: {\"partition\":0,\"from\":0,\"to\":2,\"reason\":\"retention\"}\n\n")
    );
    assert_eq!(text.matches("event: message").count(), 1);
    client.connection = Connection::new(4, true);
    let (_, mut resumed) = client.stream(&format!("t/messages?last_event_id={seen}"), "text/event-stream");
    let (text, _, _) = client.pull(&mut resumed, 1 << 20);
    assert!(
        text.contains("event: gap\ndata: {\"partition\":0,\"from\":1,\"to\":2,\"reason\":\"retention\"}\n\n")
    );
    let mut out = Vec::new();
    client.edge.answer_fetch(&mut waiting, NOW, false, &mut out);
    assert_eq!(answers(&out)[0].status, 410);
}

#[test]
fn expired_messages_are_left_out_in_every_form() {
    let mut client = Client::new();
    let ttl = |s: u32| Record { timestamp_ms: 1, value: Some(b"v"), ttl_s: Some(s), ..Record::default() };
    let forever = Record { timestamp_ms: 1, value: Some(b"v"), ..Record::default() };
    for codec in [Codec::None, Codec::Zstd] {
        client.post("t", BATCH, &batch_of(&[ttl(1), forever, ttl(100), ttl(2), forever], codec));
    }
    assert_eq!(client.get("t/messages").offsets().len(), 10);
    client.now_ns += 5 * SECOND;
    assert_eq!(client.get("t/messages").offsets(), [1, 2, 4, 6, 7, 9]);
    let answer = client
        .ask(b"GET /v1/topics/t/messages HTTP/1.1\r\nHost: h\r\nAccept: application/x-sprawl-batch\r\n\r\n");
    let (mut at, mut offsets) = (0, Vec::new());
    while at < answer.body.len() {
        let header = batch::Header::parse(&answer.body[at..]).unwrap().unwrap();
        assert!(header.has_valid_crc(&answer.body[at..at + header.length]));
        let mut scratch = Vec::new();
        offsets.extend(batch::records(&answer.body[at..], &mut scratch).unwrap().map(|r| r.unwrap().offset));
        at += header.length;
    }
    assert_eq!(offsets, [1, 2, 4, 6, 7, 9]);
}

#[test]
fn a_filtered_binary_read_survives_records_that_do_not_fit_one_batch() {
    let mut client = Client::new();
    // Timestamps so far apart that only the original base can express them.
    let far: Vec<Record<'_>> = [0, i64::MIN / 2 - 2, i64::MAX / 2 + 2]
        .map(|timestamp_ms| Record { timestamp_ms, key: Some(b"k"), value: Some(b"v"), ..Record::default() })
        .into();
    let mut builder = Builder::new();
    builder.push(&Record { key: Some(b"other"), ..far[0] }).unwrap();
    for record in &far[1..] {
        builder.push(record).unwrap();
    }
    let mut body = Vec::new();
    builder.finish_into(&mut body, 0, 0, None);
    assert_eq!(client.post("t", BATCH, &body).status, 200);
    let request =
        b"GET /v1/topics/t/messages?key=k HTTP/1.1\r\nHost: h\r\nAccept: application/x-sprawl-batch\r\n\r\n";
    let answer = client.ask(request);
    let mut offsets = Vec::new();
    let mut at = 0;
    while at < answer.body.len() {
        let mut scratch = Vec::new();
        let header = batch::Header::parse(&answer.body[at..]).unwrap().unwrap();
        let found = batch::records(&answer.body[at..], &mut scratch).unwrap();
        offsets.extend(found.map(|r| (r.as_ref().unwrap().offset, r.unwrap().timestamp_ms)));
        at += header.length;
    }
    assert_eq!(offsets, [(1, i64::MIN / 2 - 2), (2, i64::MAX / 2 + 2)]);
    assert_eq!(client.get("t/messages").offsets(), [0, 1, 2]);
}

#[test]
fn filters_take_keys_and_headers() {
    let mut client = Client::new();
    client.post("t", "Sprawl-Key: a\r\nSprawl-Header-Kind: x\r\n", b"0");
    client.post("t", "Sprawl-Key: b\r\nSprawl-Header-Kind: x\r\n", b"1");
    client.post("t", "Sprawl-Key: a\r\n", b"2");
    assert_eq!(client.get("t/messages?key=a").offsets(), [0, 2]);
    assert_eq!(client.get("t/messages?header.Kind=x").offsets(), [0, 1]);
    assert_eq!(client.get("t/messages?header.Kind=x&key=a").offsets(), [0]);
    assert!(client.get("t/messages?key=none").offsets().is_empty());
}

#[test]
fn limits_end_streams_and_never_lose_or_repeat() {
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let mut client = Client::new();
        for i in 0..7 {
            client.publish("t", &i.to_string());
        }
        let (head, mut waiting) = client.stream("t/messages?limit=5", accept);
        assert!(String::from_utf8(head).unwrap().contains("Transfer-Encoding: chunked"));
        let mut all = String::new();
        for pull in 0.. {
            assert!(pull < 10);
            let (text, more, ended) = client.pull(&mut waiting, 1);
            all.push_str(&text);
            assert!(!text.is_empty());
            if ended {
                break;
            }
            assert!(more);
        }
        assert_eq!(all.matches("\"offset\":").count(), 5);
        let position = |i: u32| all.find(&format!("\"offset\":{i},")).unwrap();
        assert!((0..4).all(|i| position(i) < position(i + 1)));
    }
}

#[test]
fn last_event_id_goes_on_after_the_event() {
    let mut client = Client::new();
    for i in 0..3 {
        client.publish("t", &i.to_string());
    }
    let (_, mut waiting) = client.stream("t/messages?limit=1", "text/event-stream");
    let (text, _, _) = client.pull(&mut waiting, 1 << 20);
    let id = text.lines().next().unwrap().strip_prefix("id: ").unwrap().to_owned();
    client.connection = Connection::new(2, true);
    let (_, mut waiting) = client.stream(&format!("t/messages?last_event_id={id}"), "text/event-stream");
    let (text, more, _) = client.pull(&mut waiting, 1 << 20);
    assert!(
        !more
            && text.contains("\"offset\":1,")
            && text.contains("\"offset\":2,")
            && !text.contains("\"offset\":0,")
    );
}

#[test]
fn several_partitions_give_each_message_once_and_all_their_turn() {
    let mut client = Client::new();
    client.edge.log.put_topic(b"t", &Config { partitions: 5, ..Config::default() }, NOW).unwrap();
    for i in 0..100 {
        client.post("t", &format!("Sprawl-Key: k{}\r\n", i % 23), i.to_string().as_bytes());
        client.edge.log.end_tick(NOW);
    }
    for limit in [1, 3, 7, 100] {
        let mut seen = Vec::new();
        let mut from = "earliest".to_owned();
        loop {
            let answer = client.get(&format!("t/messages?limit={limit}&from={from}")).json();
            seen.extend(
                answer["messages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|m| m["payload"].as_str().unwrap().to_owned()),
            );
            from = format!("cursor:{}", answer["cursor"].as_str().unwrap());
            if answer["up_to_date"] == true {
                break;
            }
        }
        assert_eq!(seen.len(), 100, "limit {limit}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 100);
    }
    // One stream with small pulls: every partition is served before any is served often.
    let (_, mut waiting) = client.stream("t/messages", "application/x-ndjson");
    let mut partitions = Vec::new();
    for _ in 0..5 {
        let (text, _, _) = client.pull(&mut waiting, 1);
        let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        partitions.push(line["partition"].as_u64().unwrap());
    }
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2, 3, 4]);
}

#[test]
fn a_deleted_topic_ends_its_stream_and_not_that_of_a_pattern() {
    let mut client = Client::new();
    client.publish("a.x", "0");
    client.publish("a.y", "0");
    let (_, mut single) = client.stream("a.x/messages", "application/x-ndjson");
    client.connection = Connection::new(2, true);
    let (_, mut pattern) = client.stream("a.*/messages", "application/x-ndjson");
    assert!(!client.pull(&mut single, 1 << 20).2);
    let (text, _, ended) = client.pull(&mut pattern, 1 << 20);
    assert!(!ended && text.contains("\"topic\":\"a.x\"") && text.contains("\"topic\":\"a.y\""));
    assert!(client.edge.log.delete_topic(b"a.x", NOW));
    assert!(client.pull(&mut single, 1 << 20).2);
    assert!(!client.pull(&mut pattern, 1 << 20).2);
    client.edge.log.take_born();
    client.connection = Connection::new(3, true);
    client.publish("a.z", "new");
    client.publish("b.z", "foreign");
    let born = client.edge.log.take_born();
    let adopted: Vec<bool> =
        born.iter().map(|t| pattern.reader.adopt(&client.edge.log, *t).unwrap()).collect();
    assert_eq!(adopted, [true, false]);
    let (text, _, ended) = client.pull(&mut pattern, 1 << 20);
    assert!(!ended && text.contains("\"topic\":\"a.z\"") && text.matches('\n').count() == 1);
    // Its cursor is good although one of its topics is gone.
    let cursor = pattern.reader.cursor();
    let answer = client.get(&format!("a.*/messages?from=cursor:{cursor}"));
    assert_eq!((answer.status, answer.offsets()), (200, vec![]));
}

#[test]
fn readers_share_only_what_is_equal() {
    let mut client = Client::new();
    client.publish("t", "0");
    let key = |client: &mut Client, target: &str, accept: &str| {
        client.connection = Connection::new(2, true);
        let (_, waiting) = client.stream(target, accept);
        waiting.reader.share_key(&client.edge.log, client.now_ns)
    };
    let (sse, lines) = ("text/event-stream", "application/x-ndjson");
    let first = key(&mut client, "t/messages", sse);
    assert!(first.is_some() && first == key(&mut client, "t/messages", sse));
    for (target, accept) in [
        ("t/messages", lines),
        ("t/messages?from=offset:1", sse),
        ("t/messages?key=k", sse),
        ("t/messages?value=json", sse),
        ("t/messages?limit=5", sse),
        ("*/messages", sse),
    ] {
        assert_ne!(key(&mut client, target, accept), first, "{target} {accept}");
    }
    client.connection = Connection::new(2, true);
    client.publish("t", "1");
    assert_ne!(key(&mut client, "t/messages", sse), first, "there is more to read now");
    let second = key(&mut client, "t/messages", sse);
    client.now_ns += SECOND;
    assert_ne!(key(&mut client, "t/messages", sse), second, "lifetimes go on");
}

#[test]
fn foreign_pages_cannot_publish() {
    let mut client = Client::new();
    for (header, status) in [
        ("Origin: http://evil\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Origin: http://h\r\n", 201),
        ("Sec-Fetch-Site: same-origin\r\n", 201),
    ] {
        assert_eq!(client.post("t", header, b"x").status, status, "{header}");
    }
}
