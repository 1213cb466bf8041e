//! The topic table: name and id to topic, topic to partitions.

use super::durable::Level;
use crate::limits::PARTITIONS_MAX;
use crate::problem::{Code, Problem};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// What a user sets for a topic. Zero means "not limited" in all but the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Partitions, 1 to 1,024.
    pub partitions: u32,
    /// Replicas wanted; a cluster with fewer members has fewer.
    pub replicas: u32,
    /// The level asked for by name; `None` = the node's default.
    pub level: Option<Level>,
    /// Lifetime of messages that name none, in seconds.
    pub ttl_s: u64,
    /// Messages older than this (append time) go, in seconds.
    pub retention_age_s: u64,
    /// Bytes kept per partition.
    pub retention_bytes: u64,
    /// Messages kept per partition.
    pub retention_count: u64,
    /// At the bound of the last tier refuse publishes instead of dropping the oldest.
    pub discard_new: bool,
    /// Drop the oldest there, asked for by name: with a disk tier the default is to refuse.
    pub discard_old: bool,
    /// How long idempotency keys are remembered, in seconds.
    pub dedup_window_s: u64,
    /// Largest payload.
    pub message_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            partitions: 1,
            replicas: 3,
            level: None,
            ttl_s: 0,
            retention_age_s: 0,
            retention_bytes: 0,
            retention_count: 0,
            discard_new: false,
            discard_old: false,
            dedup_window_s: 600,
            message_bytes_max: crate::limits::PAYLOAD_BYTES_MAX as u64,
        }
    }
}

impl Config {
    /// Whether publishes are refused for want of room instead of dropping the oldest.
    #[must_use]
    pub fn discards_new(&self, has_disk: bool) -> bool {
        self.discard_new || (has_disk && !self.discard_old)
    }

    /// Whether old messages go before the ring drops them.
    #[must_use]
    pub fn has_retention(&self) -> bool {
        self.retention_age_s > 0 || self.retention_bytes > 0 || self.retention_count > 0
    }
}

/// Handles of a topic's partitions. Most topics have one.
pub enum Parts {
    /// The only partition.
    One(u32),
    /// By partition number.
    Many(Box<[u32]>),
}

impl Parts {
    /// All handles by partition number.
    #[must_use]
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Many(parts) => parts,
        }
    }
}

/// One topic.
pub struct Topic {
    /// Its name.
    pub name: Box<[u8]>,
    /// 64 random bits; 0 only in a free entry.
    pub id: u64,
    /// Its partitions.
    pub parts: Parts,
    /// What differs from the defaults.
    pub config: Option<Box<Config>>,
    /// When it was made, ns since the Unix epoch.
    pub created_ns: i64,
    /// When it was deleted, or 0.
    pub deleted_ns: i64,
}

impl Topic {
    /// Its configuration by value.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config.as_deref().cloned().unwrap_or_default()
    }

    /// Its name as text.
    #[must_use]
    pub fn name_str(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or_default()
    }
}

/// All topics. An index is stable while its topic is known, then the next new topic has it: whoever keeps one keeps the
/// topic's id with it.
#[derive(Default)]
pub struct Topics {
    entries: Vec<Topic>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    by_id: HashTable<u32>,
    live: usize,
}

/// Hash of a topic's name, as the route cache uses it.
#[must_use]
pub fn name_hash(name: &[u8]) -> u64 {
    xxh3_64(name)
}

impl Topics {
    /// Topics that are not deleted.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// Topics that are known: live, or deleted and not yet forgotten.
    #[must_use]
    pub fn known(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Index of the topic that is inserted next.
    #[must_use]
    pub fn next_index(&self) -> u32 {
        let end = || u32::try_from(self.entries.len()).expect("topics are bounded below 2^32");
        self.free.last().copied().unwrap_or_else(end)
    }

    /// Entries, deleted and free ones included: the bound of indexes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there never was a topic.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The topic at an index.
    #[must_use]
    pub fn get(&self, index: u32) -> &Topic {
        &self.entries[index as usize]
    }

    /// The topic at an index, to change.
    pub fn get_mut(&mut self, index: u32) -> &mut Topic {
        &mut self.entries[index as usize]
    }

    /// Index of a live topic by name.
    #[must_use]
    pub fn find(&self, name: &[u8], hash: u64) -> Option<u32> {
        self.by_name.find(hash, |&at| *self.entries[at as usize].name == *name).copied()
    }

    /// Index of a topic by id, deleted ones included.
    #[must_use]
    pub fn find_id(&self, id: u64) -> Option<u32> {
        self.by_id.find(id, |&at| self.entries[at as usize].id == id).copied()
    }

    /// Adds a live topic; its name and id must be new.
    pub fn insert(&mut self, topic: Topic) -> u32 {
        debug_assert!(self.find_id(topic.id).is_none());
        let at = self.next_index();
        let (hash, id) = (name_hash(&topic.name), topic.id);
        if self.free.pop().is_some() {
            self.entries[at as usize] = topic;
        } else {
            self.entries.push(topic);
        }
        let entries = &self.entries;
        self.by_name.insert_unique(hash, at, |&i| name_hash(&entries[i as usize].name));
        self.by_id.insert_unique(id, at, |&i| entries[i as usize].id);
        self.live += 1;
        at
    }

    /// Takes the name away from a topic; its id and partitions stay until [`Topics::forget`].
    pub fn hide(&mut self, index: u32, now_ns: i64) {
        let hash = name_hash(&self.entries[index as usize].name);
        if let Ok(slot) = self.by_name.find_entry(hash, |&at| at == index) {
            slot.remove();
            self.live -= 1;
            self.entries[index as usize].deleted_ns = now_ns.max(1);
        }
    }

    /// Gives a hidden topic its name back. `false` when the name is taken.
    pub fn unhide(&mut self, index: u32) -> bool {
        let hash = name_hash(&self.entries[index as usize].name);
        if self.find(&self.entries[index as usize].name, hash).is_some() {
            return false;
        }
        self.entries[index as usize].deleted_ns = 0;
        let entries = &self.entries;
        self.by_name.insert_unique(hash, index, |&i| name_hash(&entries[i as usize].name));
        self.live += 1;
        true
    }

    /// Forgets a hidden topic for good and gives its partitions, which nobody has any more. Its entry is free.
    pub fn forget(&mut self, index: u32) -> Parts {
        let id = self.entries[index as usize].id;
        if let Ok(slot) = self.by_id.find_entry(id, |&at| at == index) {
            slot.remove();
            self.free.push(index);
        }
        let topic = &mut self.entries[index as usize];
        topic.id = 0;
        topic.name = Box::default();
        topic.config = None;
        std::mem::replace(&mut topic.parts, Parts::Many(Box::default()))
    }
}

/// Checks a configuration against its bounds.
///
/// # Errors
/// `invalid_member` that names the member, the bound and the value.
pub fn check_config(config: &Config) -> Result<(), Problem> {
    let bad = |detail: String, at: &str| Err(Problem::new(Code::InvalidMember, detail).at(at));
    if config.partitions == 0 || config.partitions > PARTITIONS_MAX {
        return bad(
            format!("partitions is {}, outside 1 to partitions_max {PARTITIONS_MAX}", config.partitions),
            "/partitions",
        );
    }
    let replicas_max = crate::limits::REPLICAS_COUNT_MAX as u32;
    if config.replicas == 0 || config.replicas > replicas_max {
        return bad(
            format!("replicas is {}, outside 1 to replicas_count_max {replicas_max}", config.replicas),
            "/replicas",
        );
    }
    let bytes_max = crate::limits::PAYLOAD_BYTES_MAX as u64;
    if config.message_bytes_max == 0 || config.message_bytes_max > bytes_max {
        let value = config.message_bytes_max;
        return bad(
            format!("max_message_bytes is {value}, outside 1 to payload_bytes_max {bytes_max}"),
            "/max_message_bytes",
        );
    }
    let seconds = crate::limits::TTL_S_MAX;
    for (value, at) in [
        (config.ttl_s, "/ttl_s"),
        (config.retention_age_s, "/retention/age_s"),
        (config.dedup_window_s, "/dedup_window_s"),
    ] {
        if value > seconds {
            return bad(format!("{value} seconds exceed ttl_s_max {seconds}"), at);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, id: u64) -> Topic {
        let name = name.as_bytes().into();
        Topic { name, id, parts: Parts::One(0), config: None, created_ns: 1, deleted_ns: 0 }
    }

    #[test]
    fn a_deleted_topic_shares_nothing_with_its_successor() {
        let mut topics = Topics::default();
        let hash = name_hash(b"a");
        let first = topics.insert(topic("a", 7));
        topics.hide(first, 5);
        assert_eq!((topics.find(b"a", hash), topics.find_id(7), topics.live()), (None, Some(first), 0));
        let second = topics.insert(topic("a", 8));
        assert!(!topics.unhide(first));
        topics.hide(second, 6);
        assert!(topics.unhide(first));
        assert_eq!(topics.find(b"a", hash), Some(first));
        topics.forget(second);
        assert_eq!((topics.find_id(8), topics.known(), topics.len()), (None, 1, 2));
        assert_eq!(topics.insert(topic("b", 9)), second);
        assert_eq!((topics.find_id(9), topics.known(), topics.len()), (Some(second), 2, 2));
    }

    #[test]
    fn configurations_outside_their_bounds_are_named() {
        let config = Config { partitions: 2000, ..Config::default() };
        let problem = check_config(&config).unwrap_err();
        assert_eq!(problem.location, "/partitions");
        assert!(problem.detail.contains("2000") && problem.detail.contains("1024"));
        assert!(check_config(&Config::default()).is_ok());
    }
}
