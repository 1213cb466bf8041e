//! One node's log: topics, partitions, and the batches that the memory tier holds of them.
//!
//! In: records and batches with the time they arrived. Out: receipts, views of stored batches, and the partitions that
//! readers wait for. Invariants: offsets of a partition ascend and are never reused; what arrives singly for one
//! partition within a tick shares a batch; nothing is visible before its batch is sealed; at the bound the oldest
//! bytes go first, and a topic with `discard=new` refuses instead. Formats: `docs/design/log-format.md`.

mod cold;
pub mod dedup;
pub mod durable;
pub mod partition;
pub mod topics;

mod append;
mod keep;
pub mod lifetimes;
mod read;
mod restore;
mod retain;

pub use append::{BatchReceipt, Expect, NewRecord, Options, Receipt};
pub use cold::ColdRange;
pub use keep::Overdue;
pub use read::{Batch, Found, Start};
pub use restore::{StoredBatch, TopicRecord, LOST_TAIL_OFFSETS, MANIFESTS_ID};

use crate::batch::Builder;
use crate::ids;
use crate::limits;
use crate::problem::{Code, Problem};
use crate::ring::Ring;
use crate::route::{Route, RouteCache};
use crate::slots::SlotTable;
use dedup::Keys;
use durable::Disk;
use partition::{Partition, NOT_PENDING};
use std::sync::Arc;
use topics::{name_hash, Config, Parts, Topic, Topics};

/// Bounds and identity of a log; see `sprawl/limits.py` and the settings for the values.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Bytes of the memory tier.
    pub memory_bytes_max: usize,
    /// Bytes of one chunk of it.
    pub chunk_bytes: usize,
    /// Idempotency keys remembered.
    pub dedup_keys_max: usize,
    /// Topics of the node, deleted ones included until their grace time is over.
    pub topics_max: usize,
    /// Random bits: topic ids come from it.
    pub seed: u64,
    /// Whether a publish to an unknown topic creates it.
    pub auto_create: bool,
    /// Seconds for which a deleted topic can be brought back.
    pub delete_grace_s: u64,
    /// With a disk tier: the log position from which this process goes on.
    pub disk_lsn: Option<u64>,
}

/// What the log counts. All only grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Records appended.
    pub records: u64,
    /// Bytes of values appended.
    pub value_bytes: u64,
    /// Batches appended.
    pub batches: u64,
    /// Publishes answered as duplicates.
    pub duplicates: u64,
    /// Records that a start found on disk.
    pub restored_records: u64,
    /// Records dropped at the bound of the memory tier.
    pub evicted_records: u64,
    /// Records dropped by a topic's retention, or with their topic when its grace time was over.
    pub retired_records: u64,
    /// Records whose lifetime was over before they were dropped.
    pub expired_records: u64,
}

struct Pending {
    part: u32,
    builder: Builder,
    base: u64,
    append_ns: i64,
    expiry_ns: i64,
    producer: Option<dedup::Producer>,
}

/// A pending batch is sealed before the end of its tick when it reaches this size or count.
const PENDING_BYTES: usize = 256 * 1024;
const PENDING_RECORDS: u32 = 4096;

impl Pending {
    fn has_room(&self, bytes_max: usize) -> bool {
        self.builder.encoded_len() < bytes_max && self.builder.count() < PENDING_RECORDS
    }
}

/// The log of one node.
pub struct Log {
    ring: Ring,
    disk: Option<Disk>,
    topics: Topics,
    parts: Vec<Partition>,
    /// Handles of partitions whose topics are forgotten.
    free_parts: Vec<u32>,
    pending: Vec<Pending>,
    spare: Vec<Builder>,
    slots: Arc<SlotTable>,
    routes: RouteCache,
    slot_sequences: Box<[u64]>,
    keys: Keys,
    woken: Vec<u32>,
    retained: Vec<u32>,
    hidden: Vec<u32>,
    born: Vec<u32>,
    /// Bytes, envelopes included, that live topics with `discard=new` hold or are about to seal.
    pinned_bytes: u64,
    /// Records of deleted topics that could be read if the topics were brought back.
    hidden_records: u64,
    /// Records of live topics that can be read from disk alone.
    moved_records: u64,
    /// Records of live topics that can be read from the cloud alone.
    cold_records: u64,
    has_cloud: bool,
    /// Where the next look for what retention no longer covers begins: index into `retained`, partition.
    overdue_from: (usize, usize),
    lifetimes: lifetimes::Lifetimes,
    last_ns: i64,
    /// Time of the newest append.
    appended_ns: i64,
    random: u64,
    setup: Setup,
    counters: Counters,
}

impl Log {
    /// An empty log whose slots are all led by this node.
    #[must_use]
    pub fn new(setup: Setup, slots: Arc<SlotTable>) -> Self {
        Self {
            ring: Ring::new(setup.memory_bytes_max, setup.chunk_bytes, setup.disk_lsn.unwrap_or(0)),
            disk: setup.disk_lsn.map(Disk::new),
            topics: Topics::default(),
            parts: Vec::new(),
            free_parts: Vec::new(),
            pending: Vec::new(),
            spare: Vec::new(),
            slots,
            routes: RouteCache::new(limits::ROUTES_COUNT_MAX),
            slot_sequences: vec![0; limits::SLOTS_COUNT].into_boxed_slice(),
            keys: Keys::new(setup.dedup_keys_max),
            woken: Vec::new(),
            retained: Vec::new(),
            hidden: Vec::new(),
            born: Vec::new(),
            pinned_bytes: 0,
            hidden_records: 0,
            moved_records: 0,
            cold_records: 0,
            has_cloud: false,
            overdue_from: (0, 0),
            lifetimes: lifetimes::Lifetimes::default(),
            last_ns: 0,
            appended_ns: 0,
            random: setup.seed,
            setup,
            counters: Counters::default(),
        }
    }

    /// Index of a live topic.
    pub fn topic(&mut self, name: &[u8]) -> Option<u32> {
        let hash = name_hash(name);
        let epoch = self.slots.table_epoch();
        if let Some(route) = self.routes.get(name, hash, epoch) {
            let topic = self.topics.get(route.topic);
            if *topic.name == *name && topic.deleted_ns == 0 {
                return Some(route.topic);
            }
        }
        let topic = self.topics.find(name, hash)?;
        let slot0 = self.parts[self.topics.get(topic).parts.as_slice()[0] as usize].slot;
        let leader = self.slots.leader(slot0);
        self.routes.put(name, hash, epoch, Route { topic, slot0, leader });
        Some(topic)
    }

    /// Index of the topic a publish goes to, created with defaults when that is allowed.
    ///
    /// # Errors
    /// `invalid_topic`, `topic_not_found` (creation off), `too_many_requests` (bound on topics).
    pub fn topic_to_publish(&mut self, name: &[u8], now_ns: i64) -> Result<u32, Problem> {
        match self.publishable(name)? {
            Some(topic) => Ok(topic),
            None => self.create(name, None, now_ns),
        }
    }

    /// Index of the topic a publish would go to; `None` when it would be created.
    ///
    /// # Errors
    /// `invalid_topic`, `topic_not_found` (creation off).
    pub fn publishable(&mut self, name: &[u8]) -> Result<Option<u32>, Problem> {
        if let Some(topic) = self.topic(name) {
            return Ok(Some(topic));
        }
        ids::valid_topic(name)?;
        if !self.setup.auto_create {
            let name = String::from_utf8_lossy(name);
            let detail =
                format!("topic {name} does not exist and auto_create_topics is off; create it first");
            return Err(Problem::new(Code::TopicNotFound, detail));
        }
        Ok(None)
    }

    fn create(&mut self, name: &[u8], config: Option<Box<Config>>, now_ns: i64) -> Result<u32, Problem> {
        let bound = self.setup.topics_max;
        if self.topics.known() >= bound {
            return Err(Problem::new(
                Code::TooManyRequests,
                format!("the node holds topics_max {bound} topics"),
            ));
        }
        let id = loop {
            let id = self.next_random();
            if id > restore::MANIFESTS_ID && self.topics.find_id(id).is_none() {
                break id;
            }
        };
        let count = config.as_ref().map_or(1, |c| c.partitions);
        let at = self.topics.next_index();
        let parts = self.add_parts(at, name, 0..count);
        let parts =
            if let [one] = parts[..] { Parts::One(one) } else { Parts::Many(parts.into_boxed_slice()) };
        if config.as_ref().is_some_and(|c| c.has_retention()) {
            self.retained.push(at);
        }
        let topic = Topic { name: name.into(), id, parts, config, created_ns: now_ns, deleted_ns: 0 };
        let index = self.topics.insert(topic);
        debug_assert_eq!(index, at);
        self.born.push(index);
        self.record_topic(index, now_ns);
        Ok(index)
    }

    fn add_parts(&mut self, topic: u32, name: &[u8], numbers: std::ops::Range<u32>) -> Vec<u32> {
        numbers
            .map(|number| {
                let slot = ids::slot_of(name, number);
                let number = u16::try_from(number).expect("partitions_max is below 2^16");
                let part = Partition::new(topic, number, slot);
                if let Some(handle) = self.free_parts.pop() {
                    // Readers of the topic that is gone may still count here until they leave.
                    let watchers = self.parts[handle as usize].watchers;
                    self.parts[handle as usize] = Partition { watchers, ..part };
                    return handle;
                }
                let handle = u32::try_from(self.parts.len()).expect("fewer than 2^32 partitions");
                self.parts.push(part);
                handle
            })
            .collect()
    }

    fn next_random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014) from a seed of the system's randomness: unique, not secret.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Creates a topic or changes its configuration. `Created`, `Updated` or `Same`.
    ///
    /// # Errors
    /// `invalid_topic`, `invalid_member`; `topic_conflict` when the change cannot be applied (fewer partitions).
    pub fn put_topic(&mut self, name: &[u8], config: &Config, now_ns: i64) -> Result<Put, Problem> {
        ids::valid_topic(name)?;
        topics::check_config(config)?;
        let boxed = (*config != Config::default()).then(|| Box::new(config.clone()));
        let Some(index) = self.topic(name) else {
            self.create(name, boxed, now_ns)?;
            return Ok(Put::Created);
        };
        let old = self.topics.get(index).config();
        if old == *config {
            return Ok(Put::Same);
        }
        if config.partitions < old.partitions {
            let detail =
                format!("topic has {} partitions and cannot shrink to {}", old.partitions, config.partitions);
            return Err(Problem::new(Code::TopicConflict, detail).at("/partitions"));
        }
        if old.discard_new != config.discard_new && self.disk.is_none() {
            self.seal(now_ns);
            let held = self.held_bytes(index);
            let bound = self.pinned_bytes_max();
            if config.discard_new && self.pinned_bytes + held > bound {
                let pinned = self.pinned_bytes;
                let detail = format!(
                    "topic holds {held} bytes and topics with discard=new hold {pinned}, their bound is {bound}, half of the memory tier"
                );
                return Err(Problem::new(Code::TopicConflict, detail).at("/discard"));
            }
            self.pinned_bytes =
                if config.discard_new { self.pinned_bytes + held } else { self.pinned_bytes - held };
        }
        if old.ttl_s != config.ttl_s {
            self.change_ttl(index, old.ttl_s, config.ttl_s);
        }
        if config.partitions > old.partitions {
            let mut parts = self.topics.get(index).parts.as_slice().to_vec();
            parts.extend(self.add_parts(index, name, old.partitions..config.partitions));
            self.topics.get_mut(index).parts = Parts::Many(parts.into_boxed_slice());
            self.born.push(index);
        }
        if config.has_retention() && !self.retained.contains(&index) {
            self.retained.push(index);
        }
        self.topics.get_mut(index).config = boxed;
        self.record_topic(index, now_ns);
        self.retire(index, now_ns);
        Ok(Put::Updated)
    }

    /// Takes back the newest topic while nothing was ever stored in it, as if it had not been made: what a refused publish
    /// created does not stay. `false` when something was stored, or another topic is newer.
    pub fn withdraw_topic(&mut self, index: u32) -> bool {
        let handles = self.topics.get(index).parts.as_slice().to_vec();
        let is_used = |h: &u32| {
            let part = self.part(*h);
            part.end > 0 || part.watchers > 0 || part.pending != NOT_PENDING
        };
        if handles.iter().any(is_used) {
            return false;
        }
        let name = self.topics.get(index).name.clone();
        self.routes.remove(&name, name_hash(&name));
        self.topics.hide(index, 1);
        // Its making was recorded: a start must not find it again.
        self.record_topic(index, self.last_ns);
        self.free_parts.extend(self.topics.forget(index).as_slice());
        self.born.retain(|at| *at != index);
        self.retained.retain(|at| *at != index);
        true
    }

    /// Takes a topic out of sight. Its messages can be brought back within the grace time while memory holds them, and as
    /// many as there is room for if they may not be dropped then.
    pub fn delete_topic(&mut self, name: &[u8], now_ns: i64) -> bool {
        let now_ns = self.advance(now_ns);
        self.seal(now_ns);
        let Some(index) = self.topic(name) else { return false };
        if self.is_pinned(index) {
            self.pinned_bytes -= self.held_bytes(index);
        }
        self.hidden_records += self.readable_of(index);
        let (moved, cold) = self.moved_of(index);
        self.moved_records -= moved;
        self.cold_records -= cold;
        self.topics.hide(index, now_ns);
        self.record_topic(index, now_ns);
        self.hidden.push(index);
        self.wake_all(index);
        true
    }

    /// Brings the newest deleted topic of this name back. `false` when there is none or the name is taken.
    pub fn undelete_topic(&mut self, name: &[u8]) -> bool {
        let newest = self.hidden.iter().rposition(|&at| *self.topics.get(at).name == *name);
        let Some(at) = newest else { return false };
        if !self.topics.unhide(self.hidden[at]) {
            return false;
        }
        let index = self.hidden.remove(at);
        self.record_topic(index, self.last_ns);
        self.hidden_records -= self.readable_of(index);
        let (moved, cold) = self.moved_of(index);
        self.moved_records += moved;
        self.cold_records += cold;
        if self.is_pinned(index) {
            self.trim(index, self.pinned_bytes_max().saturating_sub(self.pinned_bytes));
            self.pinned_bytes += self.held_bytes(index);
        }
        if self.topics.get(index).config().has_retention() && !self.retained.contains(&index) {
            self.retained.push(index);
        }
        self.wake_all(index);
        true
    }

    /// Whether a topic's batches may not be dropped for want of room.
    fn is_pinned(&self, topic: u32) -> bool {
        let topic = self.topics.get(topic);
        self.disk.is_none() && topic.deleted_ns == 0 && topic.config.as_deref().is_some_and(|c| c.discard_new)
    }

    /// Bound of [`Log::pinned_bytes`]: the other half is for what comes and goes.
    fn pinned_bytes_max(&self) -> u64 {
        self.setup.memory_bytes_max as u64 / 2
    }

    fn held_bytes(&self, topic: u32) -> u64 {
        self.topics.get(topic).parts.as_slice().iter().map(|p| self.parts[*p as usize].bytes).sum()
    }

    fn readable_of(&self, topic: u32) -> u64 {
        self.topics.get(topic).parts.as_slice().iter().map(|p| self.readable(*p)).sum()
    }

    /// Records of a topic on disk alone and in the cloud alone.
    fn moved_of(&self, topic: u32) -> (u64, u64) {
        let parts = || self.topics.get(topic).parts.as_slice().iter().map(|p| &self.parts[*p as usize]);
        (parts().map(|p| p.moved.records).sum(), parts().map(|p| p.in_cloud().records).sum())
    }

    fn wake_all(&mut self, topic: u32) {
        for part in self.topics.get(topic).parts.as_slice() {
            if self.parts[*part as usize].watchers > 0 {
                self.woken.push(*part);
            }
        }
    }

    /// Topics created or widened since the last call: readers of patterns look at them.
    pub fn take_born(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.born)
    }

    /// The topic table.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// A partition by its handle.
    #[must_use]
    pub fn part(&self, handle: u32) -> &Partition {
        &self.parts[handle as usize]
    }

    /// Epoch under which a partition is written.
    #[must_use]
    pub fn epoch(&self, handle: u32) -> u32 {
        self.slots.epoch(self.part(handle).slot)
    }

    /// One reader more (`true`) or less waits for new records of a partition.
    pub fn watch(&mut self, handle: u32, waits: bool) {
        let watchers = &mut self.parts[handle as usize].watchers;
        *watchers = if waits { *watchers + 1 } else { watchers.saturating_sub(1) };
    }

    /// Whether something must be sealed at the end of this tick.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty() || !self.woken.is_empty() || self.disk.as_ref().is_some_and(Disk::is_used)
    }

    /// The newest node time the log was told, ns since the Unix epoch.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        self.last_ns
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes that topics with `discard=new` hold: at half of the memory tier they refuse.
    #[must_use]
    pub fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }

    /// The memory tier.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The route cache, for its figures.
    #[must_use]
    pub fn routes(&self) -> &RouteCache {
        &self.routes
    }

    /// Idempotency keys, to look messages up by the id a client gave.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
}

/// What became of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The topic is new.
    Created,
    /// The topic existed with another configuration.
    Updated,
    /// Nothing changed.
    Same,
}

#[cfg(test)]
mod tests;
