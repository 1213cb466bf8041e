//! Builds the segments of a window.
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use parquet::data_type::ByteArray;
use parquet::file::writer::SerializedFileWriter;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{xxh3_64, Xxh3};

use super::columns::{Rows, Shared};
use super::manifest::{Cover, Group, Manifest, PartitionRange};
use super::schema::{properties, schema};
use super::{SegmentError, VERSION};
use crate::batch::{self, Header};
use crate::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH, KIND_MANIFEST, KIND_TOPICS};
use crate::ids;
use crate::limits::{
    SEGMENT_BYTES_MAX, SEGMENT_GROUP_BYTES, SEGMENT_GROUP_ROWS_MAX, SEGMENT_PARTITIONS_MAX, SEGMENT_PARTS_MAX,
};
use crate::log::lifetimes::expiry_ns;

const DAY_NS: i64 = 86_400 * 1_000_000_000;
const FOOTER_TAIL_LEN: usize = 8;

/// What the caller knows of a topic whose batches are in the window.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    /// Its id.
    pub id: u64,
    /// Its name; `None`: the topic is gone for good, its records are left out.
    pub name: Option<&'a str>,
    /// Lifetimes that it gave to records without one of their own: from which append time on, seconds (0: none).
    /// Ascending; before the first, the first holds.
    pub lifetimes: &'a [(i64, u64)],
}

impl Topic<'_> {
    fn ttl_s(&self, append_ns: i64) -> u64 {
        let found = self.lifetimes.iter().rev().find(|(since_ns, _)| *since_ns <= append_ns);
        found.or(self.lifetimes.first()).map_or(0, |(_, ttl_s)| *ttl_s)
    }
}

/// Where files and row groups end.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of keys, values and texts after which a row group ends.
    pub group_bytes: usize,
    /// Rows after which a row group ends.
    pub group_rows: usize,
    /// Bytes written after which a file ends.
    pub file_bytes: usize,
    /// Partitions of one file.
    pub partitions: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            group_bytes: SEGMENT_GROUP_BYTES,
            group_rows: SEGMENT_GROUP_ROWS_MAX,
            file_bytes: SEGMENT_BYTES_MAX,
            partitions: SEGMENT_PARTITIONS_MAX,
        }
    }
}

/// One file with its manifest.
pub struct Segment {
    /// The file.
    pub data: Vec<u8>,
    /// What is said of it.
    pub manifest: Manifest,
}

/// All that a window gives.
pub struct Segments {
    /// Sequences of each slot that the input held, internal batches and left-out topics included.
    pub covers: Vec<Cover>,
    /// In order of day, topic name, topic id, partition, offset; none when the input held no record.
    pub segments: Vec<Segment>,
}

/// One batch of the input: its place in the order of rows, then its place in the input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    day: i64,
    topic: u32,
    partition: u16,
    base: i64,
    at: usize,
    length: usize,
}

/// Builds the segments of `parts`, whole envelopes in the order of the log (a part may end anywhere).
///
/// Every envelope and batch is verified. `topics` names all topics of the input, in any order.
///
/// # Errors
/// An envelope or batch that does not hold, a topic that is not named, offsets of a partition or sequences of a slot that do
/// not ascend, more than `SEGMENT_PARTS_MAX` files.
pub fn build(parts: &[&[u8]], topics: &[Topic<'_>], bounds: &Bounds) -> Result<Segments, SegmentError> {
    let log = parts.concat();
    let mut topics: Vec<&Topic<'_>> = topics.iter().collect();
    topics.sort_by_key(|topic| (topic.name, topic.id));
    let (sources, covers) = sources(&log, &topics)?;
    let stem = covers_stem(&covers);
    let texts = |topic: &&Topic<'_>| {
        let id = ids::topic_id_text(topic.id);
        (ByteArray::from(topic.name.unwrap_or_default()), ByteArray::from(&id[..]))
    };
    let texts: Vec<_> = topics.iter().map(texts).collect();
    let mut files = Files { texts: &texts, topics: &topics, bounds, done: Vec::new(), open: None };
    let mut scratch = Vec::new();
    let mut rows = Rows::default();
    for source in &sources {
        files.put(source, &log[source.at..source.at + source.length], &mut rows, &mut scratch)?;
    }
    files.finish(&mut rows)?;
    let count = files.done.len();
    if count > SEGMENT_PARTS_MAX {
        return Err(SegmentError::new(format!("{count} files exceed segment_parts_max {SEGMENT_PARTS_MAX}")));
    }
    let mut segments = files.done;
    for (part, segment) in segments.iter_mut().enumerate() {
        let manifest = &mut segment.manifest;
        let day = day_text(manifest.oldest_ns);
        manifest.key = format!("data/day={day}/{stem}-{part:04}.parquet");
        (manifest.part, manifest.parts) = (part as u16, count as u16);
        manifest.covers.clone_from(&covers);
    }
    Ok(Segments { covers, segments })
}

/// The batches with rows, sorted, and what the input covers.
fn sources(log: &[u8], topics: &[&Topic<'_>]) -> Result<(Vec<Source>, Vec<Cover>), SegmentError> {
    let ranks: HashMap<u64, u32> = topics.iter().enumerate().map(|(rank, t)| (t.id, rank as u32)).collect();
    let (mut sources, mut covers, mut at) = (Vec::new(), BTreeMap::<u16, Cover>::new(), 0);
    while at < log.len() {
        let fault = |what: &str| SegmentError::new(format!("envelope at byte {at} of the window: {what}"));
        let checked = Envelope::check(&log[at..]).map_err(|error| fault(&error.reason))?;
        let (envelope, length) = checked.ok_or_else(|| fault("it is incomplete"))?;
        let Envelope { slot, epoch, sequence, .. } = envelope;
        match covers.entry(slot) {
            Entry::Vacant(entry) => {
                entry.insert(Cover { slot, epoch, first: sequence, last: sequence });
            }
            Entry::Occupied(mut entry) => {
                let cover = entry.get_mut();
                if sequence <= cover.last {
                    let last = cover.last;
                    return Err(fault(&format!("sequence {sequence} of slot {slot} follows {last}")));
                }
                cover.last = sequence;
                cover.epoch = cover.epoch.max(epoch);
            }
        }
        match envelope.kind {
            KIND_BATCH => {
                let batch = &log[at + ENVELOPE_LEN..at + length];
                let header = Header::parse(batch).map_err(|error| fault(&error.to_string()))?;
                let header = header
                    .filter(|h| h.length == batch.len() && h.records_count as u32 == envelope.records_count)
                    .filter(|h| h.has_valid_crc(batch))
                    .ok_or_else(|| fault("its batch does not hold"))?;
                let topic = *ranks
                    .get(&envelope.topic_id)
                    .ok_or_else(|| fault(&format!("topic {:#x} is not named", envelope.topic_id)))?;
                if topics[topic as usize].name.is_some() {
                    let day = envelope.append_ns.div_euclid(DAY_NS);
                    let (partition, base) = (envelope.partition, header.base_offset);
                    sources.push(Source { day, topic, partition, base, at, length });
                }
            }
            KIND_TOPICS | KIND_MANIFEST => {}
            kind => return Err(fault(&format!("kind {kind} is not known"))),
        }
        at += length;
    }
    sources.sort_unstable();
    Ok((sources, covers.into_values().collect()))
}

/// What the names of all segments of this input begin with: XXH3-128 of what they cover.
fn covers_stem(covers: &[Cover]) -> String {
    let mut hash = Xxh3::new();
    hash.update(&[VERSION]);
    for cover in covers {
        hash.update(&cover.slot.to_le_bytes());
        hash.update(&cover.epoch.to_le_bytes());
        hash.update(&cover.first.to_le_bytes());
        hash.update(&cover.last.to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}

/// The UTC day of a time as `YYYY-MM-DD` (the proleptic Gregorian calendar; Howard Hinnant's `civil_from_days`).
fn day_text(ns: i64) -> String {
    let days = ns.div_euclid(DAY_NS) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

struct Open {
    writer: SerializedFileWriter<Vec<u8>>,
    day: i64,
    groups: Vec<Group>,
    partitions: Vec<PartitionRange>,
    /// Rows taken, those that wait for their group included.
    row: u64,
    /// What the group in the making begins with, and its latest append time.
    first: u64,
    newest_ns: i64,
}

struct Files<'a> {
    texts: &'a [(ByteArray, ByteArray)],
    topics: &'a [&'a Topic<'a>],
    bounds: &'a Bounds,
    done: Vec<Segment>,
    open: Option<Open>,
}

impl Files<'_> {
    fn put(
        &mut self,
        source: &Source,
        bytes: &[u8],
        rows: &mut Rows,
        scratch: &mut Vec<u8>,
    ) -> Result<(), SegmentError> {
        let fault =
            |what: String| SegmentError::new(format!("envelope at byte {} of the window: {what}", source.at));
        let parsed = Envelope::parse(bytes).map_err(|error| fault(error.reason))?;
        let (envelope, _) = parsed.ok_or_else(|| fault("it is incomplete".into()))?;
        let topic = self.topics[source.topic as usize];
        let records =
            batch::records(&bytes[ENVELOPE_LEN..], scratch).map_err(|error| fault(error.to_string()))?;
        let header = *records.header();
        let topic_ttl_s = topic.ttl_s(envelope.append_ns);
        let shared = Shared { topic: source.topic, envelope: &envelope, header: &header, topic_ttl_s };
        if self.open.as_ref().is_some_and(|open| open.day != source.day) {
            self.finish(rows)?;
        }
        for (index, record) in records.enumerate() {
            let record = record.map_err(|error| fault(error.to_string()))?;
            let offset =
                u64::try_from(record.offset).map_err(|_| fault(format!("offset {}", record.offset)))?;
            let is_new = self.open.as_ref().is_none_or(|open| {
                open.partitions.last().is_none_or(|range| {
                    (range.topic_id, range.partition) != (envelope.topic_id, envelope.partition)
                })
            });
            if is_new && self.open.as_ref().is_some_and(|o| o.partitions.len() >= self.bounds.partitions) {
                self.finish(rows)?;
            }
            if self.open.is_none() {
                self.open = Some(Open::new(source.day)?);
            }
            let open = self.open.as_mut().expect("opened above");
            let log_bytes = if index == 0 { bytes.len() as u64 } else { 0 };
            let expiry_ns = expiry_ns(record.ttl_s, topic_ttl_s, envelope.append_ns);
            open.take(&envelope, offset, log_bytes, expiry_ns).map_err(|last| {
                fault(format!("offset {offset} of partition {} follows {last}", envelope.partition))
            })?;
            if rows.len() == 0 {
                (open.first, open.newest_ns) = (offset, envelope.append_ns);
            }
            open.newest_ns = open.newest_ns.max(envelope.append_ns);
            rows.push(&shared, index as i32, &record);
            if rows.len() >= self.bounds.group_rows || rows.bytes() >= self.bounds.group_bytes {
                open.flush(rows, self.texts)?;
                if open.writer.bytes_written() >= self.bounds.file_bytes {
                    self.finish(rows)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the open file.
    fn finish(&mut self, rows: &mut Rows) -> Result<(), SegmentError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        if rows.len() > 0 {
            open.flush(rows, self.texts)?;
        }
        self.done.push(open.close()?);
        Ok(())
    }
}

impl Open {
    fn new(day: i64) -> Result<Self, SegmentError> {
        let writer = SerializedFileWriter::new(Vec::new(), schema(), properties())?;
        let (groups, partitions) = (Vec::new(), Vec::new());
        Ok(Self { writer, day, groups, partitions, row: 0, first: 0, newest_ns: 0 })
    }

    /// Counts a row and the bytes of its batch; the last offset of the partition if the row's does not ascend.
    fn take(&mut self, envelope: &Envelope, offset: u64, log_bytes: u64, expiry_ns: i64) -> Result<(), u64> {
        let Envelope { topic_id, partition, slot, append_ns, .. } = *envelope;
        let place = self.partitions.last_mut().filter(|r| (r.topic_id, r.partition) == (topic_id, partition));
        match place {
            Some(range) if range.last >= offset => return Err(range.last),
            Some(range) => {
                range.last = offset;
                range.count += 1;
                range.oldest_ns = range.oldest_ns.min(append_ns);
                range.newest_ns = range.newest_ns.max(append_ns);
                range.log_bytes += log_bytes;
                let is_for_ever = range.last_expiry_ns == 0 || expiry_ns == 0;
                range.last_expiry_ns = if is_for_ever { 0 } else { range.last_expiry_ns.max(expiry_ns) };
            }
            None => self.partitions.push(PartitionRange {
                topic_id,
                first: offset,
                last: offset,
                row: self.row,
                oldest_ns: append_ns,
                newest_ns: append_ns,
                log_bytes,
                last_expiry_ns: expiry_ns,
                count: 1,
                partition,
                slot,
            }),
        }
        self.row += 1;
        Ok(())
    }

    fn flush(&mut self, rows: &mut Rows, texts: &[(ByteArray, ByteArray)]) -> Result<(), SegmentError> {
        let (at, count) = (self.writer.bytes_written() as u64, rows.len() as u32);
        rows.write(&mut self.writer, texts)?;
        self.groups.push(Group {
            ordinal: self.groups.len() as u32,
            rows: count,
            row: self.row - u64::from(count),
            at,
            length: self.writer.bytes_written() as u64 - at,
            sum: 0,
            first: self.first,
            newest_ns: self.newest_ns,
        });
        Ok(())
    }

    fn close(self) -> Result<Segment, SegmentError> {
        let Self { writer, mut groups, mut partitions, row, .. } = self;
        let data = writer.into_inner()?;
        let tail = data.len() - FOOTER_TAIL_LEN;
        let footer_len =
            u32::from_le_bytes([data[tail], data[tail + 1], data[tail + 2], data[tail + 3]]) as usize;
        let footer_at = tail - footer_len;
        for group in &mut groups {
            group.sum = xxh3_64(&data[group.at as usize..(group.at + group.length) as usize]);
        }
        debug_assert!(groups.last().is_some_and(|group| group.at + group.length <= footer_at as u64));
        partitions.sort_unstable_by_key(|range| (range.topic_id, range.partition));
        let manifest = Manifest {
            key: String::new(),
            size: data.len() as u64,
            sha256: Sha256::digest(&data).into(),
            footer_at: footer_at as u64,
            footer_sum: xxh3_64(&data[footer_at..]),
            records: row,
            oldest_ns: partitions.iter().map(|range| range.oldest_ns).min().unwrap_or(0),
            newest_ns: partitions.iter().map(|range| range.newest_ns).max().unwrap_or(0),
            part: 0,
            parts: 0,
            covers: Vec::new(),
            groups,
            partitions,
        };
        Ok(Segment { data, manifest })
    }
}
