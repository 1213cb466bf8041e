//! The parameters of a read, and the reader they make. Contract: the table "Read" of the API reference.

use super::encode::Form;
use super::reader::{check_count, is_pattern, place, Filter, Place, Reader};
use super::time::{parse_duration, parse_rfc3339};
use crate::cursor;
use crate::http::query;
use crate::limits::{FETCH_BYTES_MAX, FETCH_MESSAGES_MAX, FETCH_WAIT_S_MAX};
use crate::log::topics::name_hash;
use crate::log::{Log, Start};
use crate::problem::{Code, Problem};
use crate::trie::{pattern_matches, valid_pattern};

/// Messages of one answer unless `limit` says otherwise.
const LIMIT_DEFAULT: u64 = 1000;
/// Bytes of one answer unless `max_bytes` says otherwise.
const BYTES_DEFAULT: usize = 1024 * 1024;
/// Seconds that a read from `latest` waits unless `wait` says otherwise.
const LATEST_WAIT_NS: i64 = 30_000_000_000;

enum From {
    Place(Start),
    Cursor(Vec<cursor::Entry>),
}

/// A read as asked for.
pub struct Fetch {
    from: Option<From>,
    partition: Option<u32>,
    filter: Filter,
    json_values: bool,
    /// Messages at most, if asked for.
    pub limit: Option<u64>,
    /// Bytes at most.
    pub bytes_max: usize,
    /// How long to wait for the first message, if asked for.
    wait_ns: Option<i64>,
    /// Binary: go on without end.
    pub follow: bool,
}

fn bad(name: &str, value: &str, wants: &str) -> Problem {
    let shown: String = value.chars().take(80).collect();
    Problem::new(Code::InvalidParameter, format!("{name} is \"{shown}\", it takes {wants}"))
}

fn number(name: &str, value: &str, max: u64) -> Result<u64, Problem> {
    let number = value.parse::<u64>().ok().filter(|n| *n <= max && value.bytes().all(|b| b.is_ascii_digit()));
    number.ok_or_else(|| bad(name, value, &format!("a whole number of at most {max}")))
}

fn boolean(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad(name, value, "true or false")),
    }
}

fn from(value: &str, now_ns: i64) -> Result<From, Problem> {
    let wants = "earliest, latest, offset:N, time:RFC3339, -DURATION or cursor:C";
    let start = match value {
        "earliest" => Start::Earliest,
        "latest" => Start::Latest,
        _ if value.starts_with("offset:") => {
            Start::Offset(number("from", &value[7..], i64::MAX.unsigned_abs())?)
        }
        _ if value.starts_with("time:") => {
            Start::Time(parse_rfc3339(&value[5..]).ok_or_else(|| bad("from", value, wants))?)
        }
        _ if value.starts_with("cursor:") => return Ok(From::Cursor(cursor::decode(&value[7..])?)),
        _ if value.starts_with('-') => {
            let ago = parse_duration(&value[1..]).ok_or_else(|| bad("from", value, wants))?;
            Start::Time(now_ns.saturating_sub(ago))
        }
        _ => return Err(bad("from", value, wants)),
    };
    Ok(From::Place(start))
}

impl Fetch {
    /// Reads the query string; `last_event_id` (header or parameter) overrides `from`.
    ///
    /// # Errors
    /// `invalid_parameter` or `invalid_cursor`, naming parameter, bound and value.
    pub fn parse(query: &str, last_event_id: Option<&str>, now_ns: i64) -> Result<Self, Problem> {
        let mut fetch = Self {
            from: None,
            partition: None,
            filter: Filter::default(),
            json_values: false,
            limit: None,
            bytes_max: BYTES_DEFAULT,
            wait_ns: None,
            follow: false,
        };
        let mut resume = None;
        for pair in query::pairs(query) {
            let (name, value) = pair?;
            let (name, value) = (&*name, &*value);
            match name {
                "from" => fetch.from = Some(from(value, now_ns)?),
                "partition" => fetch.partition = Some(u32::try_from(number(name, value, 1023)?).unwrap_or(0)),
                "limit" => fetch.limit = Some(number(name, value, FETCH_MESSAGES_MAX)?.max(1)),
                "max_bytes" => {
                    fetch.bytes_max =
                        usize::try_from(number(name, value, FETCH_BYTES_MAX as u64)?).unwrap_or(1).max(1);
                }
                "wait" => fetch.wait_ns = Some(seconds(value)?),
                "key" => fetch.filter.key = Some(value.as_bytes().to_vec()),
                "value" if value == "json" => fetch.json_values = true,
                "value" => return Err(bad(name, value, "json")),
                "follow" => fetch.follow = boolean(name, value)?,
                "read" if matches!(value, "leader" | "follower") => {}
                "read" => return Err(bad(name, value, "leader or follower")),
                "last_event_id" => resume = Some(value.to_owned()),
                _ => match name.strip_prefix("header.") {
                    Some(header) if !header.is_empty() => {
                        fetch.filter.headers.push((header.as_bytes().to_vec(), value.as_bytes().to_vec()));
                    }
                    _ => {
                        let shown: String = name.chars().take(64).collect();
                        let detail = format!("query parameter {shown} is not known here");
                        return Err(Problem::new(Code::InvalidParameter, detail));
                    }
                },
            }
        }
        if let Some(id) = last_event_id.map(str::to_owned).or(resume).filter(|id| !id.is_empty()) {
            fetch.from = Some(From::Cursor(cursor::decode(&id)?));
        }
        Ok(fetch)
    }

    /// How long a plain read waits for its first message, ns.
    #[must_use]
    pub fn wait_ns(&self) -> i64 {
        let latest = matches!(self.from, Some(From::Place(Start::Latest)));
        self.wait_ns.unwrap_or(if latest { LATEST_WAIT_NS } else { 0 })
    }

    /// Messages of one plain answer.
    #[must_use]
    pub fn messages_max(&self) -> u64 {
        self.limit.unwrap_or(LIMIT_DEFAULT)
    }

    /// The reader of a topic or pattern.
    ///
    /// # Errors
    /// `topic_not_found`, `offset_expired` (with the earliest cursor), `offset_out_of_range`, `invalid_cursor`,
    /// `too_many_partitions`.
    pub fn reader(self, log: &mut Log, topic: &str, form: Form) -> Result<Reader, Problem> {
        if self.follow && form == Form::Json {
            let detail =
                "follow=true has no meaning for a JSON read; use Accept: application/x-ndjson for a stream";
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        let is_pattern = is_pattern(topic);
        let streams = matches!(form, Form::Sse | Form::Ndjson | Form::WsJson | Form::WsBinary)
            || (form == Form::Binary && self.follow);
        let topics = match existing(log, topic) {
            _ if is_pattern => matching(log, topic)?,
            // Whoever subscribes before the first publish waits for it; the topic joins when it is created.
            Err(problem) if streams && problem.code == Code::TopicNotFound && self.partition.is_none() => {
                Vec::new()
            }
            found => vec![found?],
        };
        let is_early = topics.is_empty() && !is_pattern;
        let mut places = Vec::new();
        for index in topics {
            for (number, part) in log.topics().get(index).parts.as_slice().to_vec().into_iter().enumerate() {
                if self.partition.is_none_or(|wanted| wanted as usize == number) {
                    places.push(place(log, index, part, 0));
                }
            }
            check_count(places.len())?;
        }
        if places.is_empty() && !is_pattern && !is_early {
            let (number, name) = (self.partition.unwrap_or(0), topic);
            let detail = format!("topic {name} has no partition {number}");
            return Err(Problem::new(Code::InvalidParameter, detail));
        }
        let mut retained = Vec::new();
        match self.from.unwrap_or(From::Place(Start::Earliest)) {
            From::Place(start) => {
                for place in &mut places {
                    place.next = log.resolve(place.part, start);
                    if let Start::Time(ns) = start {
                        place.since_ns = log.time_on_disk(place.part, ns);
                        place.next = if place.since_ns == 0 { place.next } else { log.part(place.part).low };
                    }
                }
            }
            From::Cursor(entries) => {
                resume(log, &mut places, &entries, topic)?;
                if streams {
                    // A stream that goes on tells what it missed by a gap event; a 410 would end an EventSource.
                    let kept = |p: &Place| Place { next: p.next.max(log.part(p.part).low), ..*p };
                    retained = places.iter().map(kept).collect();
                }
            }
        }
        check_range(log, if retained.is_empty() { &places } else { &retained })?;
        let awaited = (is_pattern || is_early).then(|| topic.to_owned());
        let mut reader = Reader::new(places, form, self.json_values, self.filter, awaited);
        reader.left = self.limit.filter(|_| streams);
        Ok(reader)
    }
}

fn seconds(value: &str) -> Result<i64, Problem> {
    let wants = || bad("wait", value, &format!("seconds from 0 to {FETCH_WAIT_S_MAX}"));
    let seconds: f64 = value.parse().map_err(|_| wants())?;
    if !(0.0..=f64::from(FETCH_WAIT_S_MAX)).contains(&seconds) {
        return Err(wants());
    }
    #[allow(clippy::cast_possible_truncation)] // bounded above
    Ok((seconds * 1e9) as i64)
}

fn existing(log: &mut Log, topic: &str) -> Result<u32, Problem> {
    if let Some(index) = log.topic(topic.as_bytes()) {
        return Ok(index);
    }
    crate::ids::valid_topic(topic.as_bytes())?;
    debug_assert!(log.topics().find(topic.as_bytes(), name_hash(topic.as_bytes())).is_none());
    Err(Problem::new(Code::TopicNotFound, format!("topic {topic} does not exist")))
}

fn matching(log: &Log, pattern: &str) -> Result<Vec<u32>, Problem> {
    if !valid_pattern(pattern.as_bytes()) {
        let shown: String = pattern.chars().take(80).collect();
        let detail = format!(
            "pattern \"{shown}\" is not tokens joined by '.', with * for one token and > last for the rest"
        );
        return Err(Problem::new(Code::InvalidTopic, detail));
    }
    let count = u32::try_from(log.topics().len()).expect("topics_max is below 2^32");
    let mut found = Vec::new();
    for index in 0..count {
        let topic = log.topics().get(index);
        if topic.deleted_ns == 0 && pattern_matches(pattern.as_bytes(), &topic.name) {
            found.push(index);
            check_count(found.len())?;
        }
    }
    Ok(found)
}

fn resume(
    log: &mut Log,
    places: &mut [Place],
    entries: &[cursor::Entry],
    topic: &str,
) -> Result<(), Problem> {
    for place in places.iter_mut() {
        log.settle(place.part);
    }
    for entry in entries {
        let is_gone = |at: u32| log.topics().get(at).deleted_ns != 0;
        if topic.contains(['*', '>']) && log.topics().find_id(entry.topic_id).is_none_or(is_gone) {
            continue; // a pattern outlives its topics
        }
        let found = places.iter_mut().find(|p| p.topic_id == entry.topic_id && p.number == entry.partition);
        let Some(place) = found else {
            let id = crate::ids::topic_id_text(entry.topic_id);
            let id = String::from_utf8_lossy(&id);
            let detail = format!(
                "the cursor belongs to topic id {id}, partition {}, which is not part of {topic} (another topic, or this one before it was recreated)",
                entry.partition
            );
            return Err(Problem::new(Code::InvalidCursor, detail));
        };
        place.next = entry.next;
    }
    Ok(())
}

/// Refuses places outside what their partitions hold.
///
/// # Errors
/// `offset_expired` with the earliest cursor, `offset_out_of_range`.
pub(super) fn check_range(log: &Log, places: &[Place]) -> Result<(), Problem> {
    for (at, asked) in places.iter().enumerate() {
        if log.is_deleted(asked.topic, asked.topic_id) {
            continue; // gone while the read waited: it ends with what it has
        }
        let part = log.part(asked.part);
        if asked.next < part.low {
            let earliest: Vec<_> = places
                .iter()
                .enumerate()
                .map(|(i, p)| cursor::Entry {
                    topic_id: p.topic_id,
                    partition: p.number,
                    epoch: p.epoch,
                    next: if i == at { part.low } else { p.next.max(log.part(p.part).low) },
                })
                .collect();
            let cursor = cursor::encode(&earliest);
            let detail = format!(
                "offset {} of partition {} is no longer retained, the earliest is {}; go on with from=cursor:{cursor}",
                asked.next, asked.number, part.low
            );
            return Err(Problem::new(Code::OffsetExpired, detail).resuming_at(cursor));
        }
        if asked.next > part.end {
            let detail =
                format!("offset {} of partition {} is above its end {}", asked.next, asked.number, part.end);
            return Err(Problem::new(Code::OffsetOutOfRange, detail));
        }
    }
    Ok(())
}
