//! Topics on disk: their configurations as records of `$sys.topics`, and the log as a start finds it again.

use super::append::seconds;
use super::durable::Level;
use super::topics::{Config, Parts, Topic};
use super::Log;
use crate::batch::{Builder, Record};
use crate::envelope::{Envelope, ENVELOPE_LEN, KIND_MANIFEST, KIND_TOPICS};
use crate::limits::{KEY_BYTES_MAX, SLOTS_COUNT, TOPIC_STATE_BYTES_MAX};
use crate::problem::{Code, Problem};

/// Topic id of `$sys.topics`, whose partition *i* lies in slot *i*.
pub const CONFIGS_ID: u64 = 1;
/// Topic id of `$sys.manifest`, whose partition *i* lies in slot *i*. No topic of a client has an id up to this one.
pub const MANIFESTS_ID: u64 = 2;
/// Bytes of the longest batch of manifest records.
const MANIFESTS_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the key of a topic's record; those of manifests have other lengths.
const TOPIC_KEY_LEN: usize = 8;
/// Version of a topic's record.
const VERSION: u8 = 1;
const RECORD_LEN: usize = 4 + 4 + 4 + 8 * 8;

/// A topic as its record in `$sys.topics` has it. The record's key is the topic's id, 8 bytes big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: Box<[u8]>,
    /// Its configuration.
    pub config: Config,
    /// When it was made, ns since the Unix epoch.
    pub created_ns: i64,
    /// When it was deleted, or 0.
    pub deleted_ns: i64,
}

impl TopicRecord {
    /// The record's value; drawn in `docs/design/disk.md`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let config = &self.config;
        let level = match config.level {
            None => 0,
            Some(Level::Memory) => 1,
            Some(Level::Disk) => 2,
        };
        let discard = u8::from(config.discard_new) | u8::from(config.discard_old) << 1;
        let mut out = vec![VERSION, level, discard, 0];
        out.extend_from_slice(&config.partitions.to_le_bytes());
        out.extend_from_slice(&config.replicas.to_le_bytes());
        for number in [
            config.ttl_s,
            config.retention_age_s,
            config.retention_bytes,
            config.retention_count,
            config.dedup_window_s,
            config.message_bytes_max,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.created_ns.to_le_bytes());
        out.extend_from_slice(&self.deleted_ns.to_le_bytes());
        debug_assert_eq!(out.len(), RECORD_LEN);
        out.extend_from_slice(&self.name);
        out
    }

    /// Whether a key in the snapshot of a window is that of a topic; else it is one of `$sys.manifest`.
    #[must_use]
    pub fn has_key(key: &[u8]) -> bool {
        key.len() == TOPIC_KEY_LEN
    }

    /// Reads key and value; `None` when they are not of a version this node knows, or out of bounds.
    #[must_use]
    pub fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let id = u64::from_be_bytes(key.try_into().ok()?);
        let (bytes, name) = value.split_first_chunk::<RECORD_LEN>()?;
        crate::ids::valid_topic(name).ok()?;
        if bytes[0] != VERSION || bytes[2] > 2 || bytes[3] != 0 {
            return None;
        }
        let level = match bytes[1] {
            0 => None,
            1 => Some(Level::Memory),
            2 => Some(Level::Disk),
            _ => return None,
        };
        let short = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or_default();
        let long = |at: usize| {
            bytes[12 + 8 * at..20 + 8 * at].try_into().map(u64::from_le_bytes).unwrap_or_default()
        };
        let config = Config {
            partitions: short(4),
            replicas: short(8),
            level,
            ttl_s: long(0),
            retention_age_s: long(1),
            retention_bytes: long(2),
            retention_count: long(3),
            discard_new: bytes[2] == 1,
            discard_old: bytes[2] == 2,
            dedup_window_s: long(4),
            message_bytes_max: long(5),
        };
        super::topics::check_config(&config).ok()?;
        let signed = |at: usize| i64::from_le_bytes(long(at).to_le_bytes());
        let (created_ns, deleted_ns) = (signed(6), signed(7));
        Some(Self { id, name: name.into(), config, created_ns, deleted_ns })
    }
}

/// A record of an internal topic.
fn state<'a>(key: &'a [u8], value: Option<&'a [u8]>, now_ns: i64) -> Record<'a> {
    Record {
        timestamp_ms: now_ns.div_euclid(1_000_000),
        key: Some(key),
        value,
        headers: &[],
        ttl_s: None,
        idempotency_key: None,
        content_type: None,
    }
}

impl Log {
    /// What `$sys.topics` says of a topic now.
    fn topic_record(&self, index: u32) -> TopicRecord {
        let topic = self.topics.get(index);
        let (created_ns, deleted_ns) = (topic.created_ns, topic.deleted_ns);
        TopicRecord { id: topic.id, name: topic.name.clone(), config: topic.config(), created_ns, deleted_ns }
    }

    /// Key and value of a topic's present record in `$sys.topics`; `None` when it is not known.
    #[must_use]
    pub fn topic_state(&self, id: u64) -> Option<([u8; 8], Vec<u8>)> {
        let index = self.topics.find_id(id)?;
        Some((id.to_be_bytes(), self.topic_record(index).encode()))
    }

    /// Appends what is now known of a topic to `$sys.topics`; nothing without a disk tier.
    pub(super) fn record_topic(&mut self, index: u32, now_ns: i64) {
        if self.disk.is_none() {
            return;
        }
        let slot = self.parts[self.topics.get(index).parts.as_slice()[0] as usize].slot;
        let record = self.topic_record(index);
        let key = record.id.to_be_bytes();
        let mut builder = Builder::with_capacity(256);
        builder
            .push(&state(&key, Some(&record.encode()), now_ns))
            .expect("a name and a configuration fit a batch");
        self.append_states(KIND_TOPICS, slot, &builder, now_ns);
    }

    /// Appends records of `$sys.manifest` to a slot as one batch; gives the log position after them. Nothing refuses them
    /// for want of room: they are what makes room.
    ///
    /// # Errors
    /// `invalid_parameter` without a disk tier, for no record, for a key or value that the index of a window cannot hold,
    /// for a key of the length that those of topics have, and for more than 1 MiB.
    pub fn record_manifests(
        &mut self,
        slot: u16,
        records: &[(&[u8], Option<&[u8]>)],
        now_ns: i64,
    ) -> Result<u64, Problem> {
        let refused = |detail: String| Err(Problem::new(Code::InvalidParameter, detail));
        if self.disk.is_none() || usize::from(slot) >= SLOTS_COUNT || records.is_empty() {
            let count = records.len();
            return refused(format!("{count} manifest records for slot {slot} have no place"));
        }
        let now_ns = self.advance(now_ns);
        let mut builder = Builder::with_capacity(4096);
        for (key, value) in records {
            let (key_len, size) = (key.len(), value.map_or(0, <[u8]>::len));
            let is_key = (1..=KEY_BYTES_MAX).contains(&key_len) && key_len != TOPIC_KEY_LEN;
            if !is_key || size > TOPIC_STATE_BYTES_MAX {
                return refused(format!(
                    "manifest record with a key of {key_len} bytes (1 to {KEY_BYTES_MAX}, not {TOPIC_KEY_LEN}) and a value \
                     of {size} bytes (at most {TOPIC_STATE_BYTES_MAX})"
                ));
            }
            builder.push(&state(key, *value, now_ns))?;
        }
        let size = builder.encoded_len();
        if size > MANIFESTS_BYTES_MAX {
            return refused(format!(
                "batch of {size} bytes of manifest records exceeds {MANIFESTS_BYTES_MAX}"
            ));
        }
        self.append_states(KIND_MANIFEST, slot, &builder, now_ns);
        Ok(self.ring.head_lsn())
    }

    /// Appends a batch of states to a slot's partition of the internal topic of this kind.
    fn append_states(&mut self, kind: u8, slot: u16, builder: &Builder, now_ns: i64) {
        let size = builder.encoded_len();
        self.make_room(ENVELOPE_LEN + size);
        let epoch = self.slots.epoch(slot);
        let sequence = &mut self.slot_sequences[slot as usize];
        let topic_id = if kind == KIND_TOPICS { CONFIGS_ID } else { MANIFESTS_ID };
        let envelope = Envelope {
            kind,
            slot,
            epoch,
            partition: slot,
            sequence: *sequence,
            topic_id,
            append_ns: self.last_ns.max(now_ns),
            expiry_ns: 0,
            records_count: builder.count(),
        };
        *sequence += 1;
        let Some(disk) = &mut self.disk else { return };
        disk.touch();
        let offset = disk.internal_offset(topic_id, slot).expect("an internal topic");
        let base = i64::try_from(*offset).expect("offsets are below 2^63");
        *offset += u64::from(envelope.records_count);
        let epoch = i32::try_from(epoch).unwrap_or(i32::MAX);
        self.ring.append(ENVELOPE_LEN + size, |out| {
            builder.finish_in_place(&mut out[ENVELOPE_LEN..], base, epoch, None);
            envelope.seal(out);
        });
    }

    /// Takes a topic in as a start found it; the newest record of an id counts.
    pub fn restore_topic(&mut self, record: &TopicRecord) {
        let name = &*record.name;
        if let Some(index) = self.topics.find_id(record.id) {
            let have = self.topics.get(index).parts.as_slice().len();
            let wanted = record.config.partitions;
            if wanted as usize > have {
                let have = u32::try_from(have).expect("partitions_max is below 2^32");
                let mut parts = self.topics.get(index).parts.as_slice().to_vec();
                parts.extend(self.add_parts(index, name, have..wanted));
                self.topics.get_mut(index).parts = Parts::Many(parts.into_boxed_slice());
            }
            let boxed = (record.config != Config::default()).then(|| Box::new(record.config.clone()));
            self.topics.get_mut(index).config = boxed;
            match (self.topics.get(index).deleted_ns, record.deleted_ns) {
                (0, deleted) if deleted != 0 => {
                    self.topics.hide(index, deleted);
                    self.hidden.push(index);
                }
                (deleted, 0) if deleted != 0 => {
                    self.topics.unhide(index);
                    self.hidden.retain(|&at| at != index);
                }
                _ => {}
            }
        } else {
            let at = u32::try_from(self.topics.len()).expect("topics are bounded below 2^32");
            let parts = self.add_parts(at, name, 0..record.config.partitions);
            let parts =
                if let [one] = parts[..] { Parts::One(one) } else { Parts::Many(parts.into_boxed_slice()) };
            let config = (record.config != Config::default()).then(|| Box::new(record.config.clone()));
            let topic = Topic {
                name: name.into(),
                id: record.id,
                parts,
                config,
                created_ns: record.created_ns,
                deleted_ns: 0,
            };
            self.topics.insert(topic);
            if record.deleted_ns != 0 {
                self.topics.hide(at, record.deleted_ns);
                self.hidden.push(at);
            }
        }
        let index = self.topics.find_id(record.id).expect("it was just inserted");
        if record.config.has_retention() && !self.retained.contains(&index) {
            self.retained.push(index);
        }
    }

    /// Widens what is known of a partition by a batch that lies on disk. Of unknown topics nothing is kept. Where nothing
    /// was cut away (then a low offset was restored) partitions begin at offset 0, also where the bytes of their first
    /// batch are damaged.
    pub fn restore_batch(&mut self, batch: &StoredBatch) {
        self.last_ns = self.last_ns.max(batch.append_ns);
        let Some(disk) = &mut self.disk else { return };
        let end = batch.end();
        if let Some(next) = disk.internal_offset(batch.topic_id, batch.partition) {
            *next = (*next).max(end);
            return;
        }
        let index = self.topics.find_id(batch.topic_id);
        let parts = index.map_or(&[][..], |index| self.topics.get(index).parts.as_slice());
        let Some(&handle) = parts.get(batch.partition as usize) else {
            disk.nameless.get_or_insert(batch.topic_id);
            return;
        };
        disk.note_newest(handle, batch.end_lsn);
        let part = &mut self.parts[handle as usize];
        // What lies below the low offset, or was found in the cloud, too.
        let start = batch.base.max(part.end);
        if end <= start {
            return;
        }
        // Offsets that no batch has: cut away when their records were over, lost, or damaged.
        let (gap, live) = (start - part.end, end - start);
        part.end = end;
        part.visible = part.end;
        part.bytes += u64::from(batch.length);
        part.moved.add(live, 0, u64::from(batch.length), (batch.append_ns, batch.append_ns));
        self.lifetimes.add_over(handle, gap);
        self.counters.restored_records += live;
        let topic = self.topics.get(self.part(handle).topic);
        if let Some(ttl_s) = topic.config.as_deref().map(|c| c.ttl_s).filter(|ttl_s| *ttl_s > 0) {
            self.lifetimes.add_date(handle, batch.append_ns.saturating_add(seconds(ttl_s)), live);
        }
        if topic.deleted_ns == 0 {
            self.moved_records += live;
        } else {
            self.hidden_records += live;
        }
    }

    /// The next sequence of a slot is above this one.
    pub fn restore_sequence(&mut self, slot: u16, sequence: u64) {
        let next = &mut self.slot_sequences[slot as usize];
        *next = (*next).max(sequence + 1);
    }

    /// Nothing below this offset of a partition is retained.
    pub fn restore_low(&mut self, topic_id: u64, number: u16, low: u64) {
        if let Some(next) = self.disk.as_mut().and_then(|disk| disk.internal_offset(topic_id, number)) {
            *next = (*next).max(low);
            return;
        }
        let Some(index) = self.topics.find_id(topic_id) else { return };
        let Some(&handle) = self.topics.get(index).parts.as_slice().get(number as usize) else { return };
        let part = &mut self.parts[handle as usize];
        part.low = part.low.max(low);
        part.end = part.end.max(low);
        part.visible = part.end;
    }

    /// Ends the reading of a start; gives the id of a topic that has batches and no record, if there is one.
    ///
    /// `unclean`: where the log ended each time a process did not end in order, and how often there. What topics at
    /// `memory` had shown then may be lost, so their partitions go on well above their newest batch. `damaged_lsns`: where
    /// bytes ended that hold no whole batch. They may have been of any partition that has no later batch.
    pub fn finish_restore(&mut self, unclean: &[(u64, u64)], damaged_lsns: &[u64]) -> Option<u64> {
        let disk = self.disk.as_mut()?;
        let nameless = disk.nameless.take();
        let newest = std::mem::take(&mut disk.newest_lsn);
        let mut ends = Vec::with_capacity(self.parts.len());
        for handle in 0..self.parts.len() {
            let newest = newest.get(handle).copied().unwrap_or_default();
            let mut count = damaged_lsns.iter().filter(|end| **end > newest).count() as u64;
            if self.level_of(self.parts[handle].topic) == Level::Memory {
                count +=
                    unclean.iter().filter(|(end, _)| *end >= newest).map(|(_, times)| times).sum::<u64>();
            }
            let part = &mut self.parts[handle];
            part.end += count * LOST_TAIL_OFFSETS;
            part.visible = part.end;
            let handle = u32::try_from(handle).expect("fewer than 2^32 partitions");
            self.lifetimes.add_over(handle, count * LOST_TAIL_OFFSETS);
            ends.push(part.end);
        }
        if let Some(disk) = &mut self.disk {
            disk.restored_ends = ends.into_boxed_slice();
        }
        nameless
    }

    /// Why no batch on disk has the offsets `[from, to)` of a partition, and where the range ends; `None` when it was
    /// never restored: what expired in memory is no gap.
    #[must_use]
    pub fn hole(&self, handle: u32, from: u64, to: u64) -> Option<(u64, &'static str)> {
        let restored_end = self.disk.as_ref()?.restored_ends.get(handle as usize).copied()?;
        let to = to.min(restored_end);
        // A topic at `memory` was promised nothing, so what it has lost is put down to the crash.
        let is_memory = self.level_of(self.part(handle).topic) == Level::Memory;
        (from < to).then_some((to, if is_memory { "lost_tail" } else { "damaged" }))
    }
}

/// A batch on disk, as the index of its window has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Id of the topic.
    pub topic_id: u64,
    /// Partition number.
    pub partition: u16,
    /// Offset of the first record.
    pub base: u64,
    /// Records in it.
    pub records: u32,
    /// Bytes with its envelope.
    pub length: u32,
    /// Append time, ns since the Unix epoch.
    pub append_ns: i64,
    /// Log position after it.
    pub end_lsn: u64,
}

impl StoredBatch {
    /// Offset after its last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base.saturating_add(u64::from(self.records))
    }
}

/// How far above the end of the log a partition goes on whose shown records a crash may have taken.
pub const LOST_TAIL_OFFSETS: u64 = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_record_comes_back() {
        let config = Config {
            partitions: 7,
            level: Some(Level::Memory),
            ttl_s: 9,
            discard_new: true,
            ..Config::default()
        };
        let record =
            TopicRecord { id: 77, name: (*b"orders.new").into(), config, created_ns: 5, deleted_ns: -1 };
        let (key, bytes) = (77_u64.to_be_bytes(), record.encode());
        assert_eq!(TopicRecord::decode(&key, &bytes), Some(record));
        for at in 0..=RECORD_LEN {
            assert_eq!(TopicRecord::decode(&key, &bytes[..at]), None);
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(TopicRecord::decode(&key, &newer), None);
    }
}
