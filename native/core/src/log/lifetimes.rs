//! Lifetimes of records: what can no longer be read is not counted, and a batch of which nothing is left goes.
//!
//! In: batches as they are stored and dropped, and node time. Out: how many records of a partition are over. Invariants:
//! a record's lifetime is its own, else the topic's at the time of its append; nothing is over before append time plus
//! lifetime; a partition without lifetimes has no entry here. The low offset stays: what expired is no gap.

use super::append::seconds;
use super::retain::{base_offset, parsed};
use super::Log;
use crate::batch;
use crate::envelope::{Envelope, ENVELOPE_LEN};
use crate::ring::Position;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// A pass looks at so many batches at least, and at a quarter of all when that is more: what expires at once in masses is
/// spread over passes.
const PASS_BATCHES_MIN: usize = 16_384;
const SECOND_NS: i64 = 1_000_000_000;

/// When a record's lifetime is over, ns since the Unix epoch; 0 is never. An own lifetime of 0 is none.
#[must_use]
pub fn expiry_ns(own_ttl_s: Option<u32>, topic_ttl_s: u64, append_ns: i64) -> i64 {
    match own_ttl_s.filter(|ttl| *ttl > 0).map_or(topic_ttl_s, u64::from) {
        0 => 0,
        ttl_s => append_ns.saturating_add(seconds(ttl_s)),
    }
}

/// What is known of the lifetimes in one log.
#[derive(Default)]
pub(super) struct Lifetimes {
    /// Every held batch of which something will expire: when next, its partition's handle, its base offset.
    due: BTreeSet<(i64, u32, u64)>,
    /// Records from the low offset of a partition on that are over, by handle.
    over: HashMap<u32, u64>,
    /// Records that left memory for the disk or the cloud: when they are over, in whole seconds, and how many of which
    /// partition.
    moved: BTreeMap<(i64, u32), u64>,
    /// Of these, records that retention took first, by handle: their dates say nothing any more.
    forgone: HashMap<u32, u64>,
    /// Lifetimes of a topic whose batches saw more than one, by topic: from which append time on, seconds.
    changes: HashMap<u32, Vec<(i64, u64)>>,
    /// Time up to which `over` was counted.
    until_ns: i64,
}

impl Lifetimes {
    /// Offsets of a partition from its low one on that have no record to be read.
    pub(super) fn over(&self, handle: u32) -> u64 {
        self.over.get(&handle).copied().unwrap_or_default()
    }

    /// So many offsets more have none.
    pub(super) fn add_over(&mut self, handle: u32, count: u64) {
        if count > 0 {
            *self.over.entry(handle).or_default() += count;
        }
    }

    /// Records on disk or in the cloud that have dates went before their time.
    pub(super) fn forgo(&mut self, handle: u32, count: u64) {
        if count > 0 {
            *self.forgone.entry(handle).or_default() += count;
        }
    }

    /// So many records on disk or in the cloud are over at this time.
    pub(super) fn add_date(&mut self, handle: u32, expiry_ns: i64, count: u64) {
        let second_ns =
            expiry_ns.saturating_add(SECOND_NS - 1).div_euclid(SECOND_NS).saturating_mul(SECOND_NS);
        *self.moved.entry((second_ns, handle)).or_default() += count;
    }
}

/// What is left of a batch.
#[derive(Clone, Copy)]
pub(super) struct Rest {
    /// Records that are not over, in the offsets asked for.
    pub live: u64,
    /// When the next record of the whole batch is over; 0 is never.
    next_ns: i64,
}

impl Log {
    /// The lifetime that a topic gave to records appended at this time, in seconds; 0 is none.
    #[must_use]
    pub fn topic_ttl_s(&self, topic: u32, append_ns: i64) -> u64 {
        let changes = self.lifetimes.changes.get(&topic);
        let found = changes.and_then(|c| c.iter().rev().find(|(since_ns, _)| *since_ns <= append_ns));
        found.map_or_else(
            || self.topics.get(topic).config.as_deref().map_or(0, |c| c.ttl_s),
            |(_, ttl_s)| *ttl_s,
        )
    }

    /// The lifetimes that a topic gave to records that name none: from which append time on, seconds. Ascending; none, when
    /// they live for ever.
    #[must_use]
    pub fn topic_lifetimes(&self, topic: u32) -> Vec<(i64, u64)> {
        if let Some(changes) = self.lifetimes.changes.get(&topic) {
            return changes.clone();
        }
        let ttl_s = self.topics.get(topic).config.as_deref().map_or(0, |c| c.ttl_s);
        if ttl_s > 0 {
            vec![(i64::MIN, ttl_s)]
        } else {
            Vec::new()
        }
    }

    /// Records of a partition that can be read, those of the open tick included.
    #[must_use]
    pub fn readable(&self, handle: u32) -> u64 {
        let part = self.part(handle);
        part.end - part.low - self.lifetimes.over.get(&handle).copied().unwrap_or_default()
    }

    /// Takes note of a topic's new lifetime: it holds for what is appended from now on.
    pub(super) fn change_ttl(&mut self, topic: u32, old_ttl_s: u64, new_ttl_s: u64) {
        self.seal(self.last_ns);
        // One nanosecond later than all that is stored, so that append times tell on which side of the change they are.
        self.last_ns += 1;
        let since_ns = self.last_ns;
        let parts = self.topics.get(topic).parts.as_slice();
        let oldest_ns = parts.iter().filter_map(|p| self.time_range(*p)).map(|(oldest, _)| oldest).min();
        let changes =
            self.lifetimes.changes.entry(topic).or_insert_with(|| Vec::from([(i64::MIN, old_ttl_s)]));
        changes.push((since_ns, new_ttl_s));
        let first = changes.iter().rposition(|(since, _)| *since <= oldest_ns.unwrap_or(since_ns));
        changes.drain(..first.unwrap_or_default());
        if changes.len() == 1 {
            self.lifetimes.changes.remove(&topic);
        }
    }

    /// Takes note of a batch that was stored.
    pub(super) fn schedule(&mut self, handle: u32, base: u64, expiry_ns: i64) {
        if expiry_ns != 0 {
            self.lifetimes.due.insert((expiry_ns, handle, base));
        }
    }

    /// What is left of a batch, `live` counted over `offsets`.
    pub(super) fn rest(
        &self,
        handle: u32,
        envelope: &Envelope,
        batch: &[u8],
        offsets: &std::ops::Range<u64>,
    ) -> Rest {
        let base = base_offset(batch);
        let until_ns = self.lifetimes.until_ns;
        if envelope.expiry_ns == 0 || envelope.expiry_ns > until_ns {
            let end = base + u64::from(envelope.records_count);
            let live = offsets.end.min(end).saturating_sub(offsets.start.max(base));
            return Rest { live, next_ns: envelope.expiry_ns };
        }
        let mut rest = Rest { live: 0, next_ns: 0 };
        self.each_expiry(handle, envelope, batch, |offset, expiry_ns| {
            if expiry_ns == 0 || expiry_ns > until_ns {
                rest.live += u64::from(offsets.contains(&offset));
                rest.next_ns = earlier(rest.next_ns, expiry_ns);
            }
        });
        rest
    }

    fn each_expiry(&self, handle: u32, envelope: &Envelope, batch: &[u8], mut take: impl FnMut(u64, i64)) {
        let topic_ttl_s = self.topic_ttl_s(self.part(handle).topic, envelope.append_ns);
        let mut scratch = Vec::new();
        for record in batch::records(batch, &mut scratch).expect("stored batches were verified") {
            let record = record.expect("stored batches were verified");
            let offset = u64::try_from(record.offset).expect("stored batches have offsets");
            take(offset, expiry_ns(record.ttl_s, topic_ttl_s, envelope.append_ns));
        }
    }

    /// Takes the oldest batch of a partition out of the index and gives how many of its records could still be read. The
    /// low offset rises behind it.
    pub(super) fn pop_oldest(&mut self, handle: u32, count: u32, total: usize, rest: Rest) -> u64 {
        let part = &mut self.parts[handle as usize];
        let base = part.index.pop().expect("the caller found it there").base;
        let end = base + u64::from(count);
        let span = end.saturating_sub(part.low);
        part.low = part.low.max(end);
        part.bytes -= total as u64;
        if rest.next_ns != 0 {
            self.lifetimes.due.remove(&(rest.next_ns, handle, base));
        }
        self.account(handle, span, rest.live);
        self.note_low(handle);
        rest.live
    }

    /// Raises the low offset inside the oldest batch and gives how many records left by that could still be read.
    pub(super) fn raise_low(&mut self, handle: u32, to: u64) -> u64 {
        let part = self.part(handle);
        let offsets = part.low..to;
        if offsets.is_empty() {
            return 0;
        }
        let live = if self.lifetimes.over.contains_key(&handle) {
            part.index.get(0).map_or(0, |entry| {
                let (envelope, total, bytes) = self.stored_at(entry.position);
                self.rest(handle, &envelope, &bytes[ENVELOPE_LEN..total], &offsets).live
            })
        } else {
            to - part.low
        };
        self.parts[handle as usize].low = to;
        self.account(handle, offsets.end - offsets.start, live);
        self.note_low(handle);
        live
    }

    /// Of `span` offsets that fell below the low offset, `live` had records that could be read.
    pub(super) fn account(&mut self, handle: u32, span: u64, live: u64) {
        if span > live {
            let over = self.lifetimes.over.get_mut(&handle).expect("what is over was counted");
            *over -= span - live;
            if *over == 0 {
                self.lifetimes.over.remove(&handle);
            }
        }
        if self.topics.get(self.part(handle).topic).deleted_ns != 0 {
            self.hidden_records -= live;
        }
    }

    /// Counts out what is over by now; batches of which nothing is left leave the index, and the bound of `discard=new`
    /// with it.
    pub fn expire(&mut self, now_ns: i64) {
        let now_ns = self.advance(now_ns);
        self.expire_moved(now_ns);
        let is_due = |pending: &super::Pending| pending.expiry_ns != 0 && pending.expiry_ns <= now_ns;
        if self.pending.iter().any(is_due) {
            self.seal(now_ns);
        }
        if self.lifetimes.due.first().is_none_or(|(next_ns, ..)| *next_ns > now_ns) {
            return;
        }
        self.seal(now_ns);
        let batches_max = PASS_BATCHES_MIN.max(self.lifetimes.due.len() / 4);
        let until_ns = self.lifetimes.due.iter().nth(batches_max).map_or(now_ns, |(at, ..)| now_ns.min(*at));
        let later = self.lifetimes.due.split_off(&(until_ns + 1, 0, 0));
        let due = std::mem::replace(&mut self.lifetimes.due, later);
        self.lifetimes.until_ns = until_ns;
        let mut empty: HashMap<u32, Vec<u64>> = HashMap::new();
        for (since_ns, handle, base) in due {
            if self.expire_batch(handle, base, since_ns) {
                empty.entry(handle).or_default().push(base);
            }
        }
        for (handle, mut bases) in empty {
            bases.sort_unstable();
            self.drop_empty(handle, &bases);
        }
    }

    /// Keeps the dates of a batch that leaves memory for the disk.
    pub(super) fn move_lifetimes(&mut self, handle: u32, envelope: &Envelope, batch: &[u8]) {
        if envelope.expiry_ns == 0 {
            return;
        }
        let (base, low) = (base_offset(batch), self.part(handle).low);
        let mut dates = Vec::new();
        self.each_expiry(handle, envelope, batch, |offset, expiry_ns| {
            if expiry_ns > self.lifetimes.until_ns && offset >= low {
                dates.push(expiry_ns);
            }
        });
        if let Some(next_ns) = dates.iter().min() {
            self.lifetimes.due.remove(&(*next_ns, handle, base));
        }
        for expiry_ns in dates {
            self.lifetimes.add_date(handle, expiry_ns, 1);
        }
    }

    /// Counts out what is over by now of what lies on disk or in the cloud.
    fn expire_moved(&mut self, now_ns: i64) {
        let later = self.lifetimes.moved.split_off(&(now_ns + 1, 0));
        let over = std::mem::replace(&mut self.lifetimes.moved, later);
        for ((_, handle), count) in over {
            let forgone = self.lifetimes.forgone.get(&handle).copied().unwrap_or_default().min(count);
            if forgone > 0 {
                let left = self.lifetimes.forgone.get_mut(&handle).expect("it was just there");
                *left -= forgone;
                if *left == 0 {
                    self.lifetimes.forgone.remove(&handle);
                }
            }
            let count = self.expire_moved_out(handle, count - forgone);
            self.lifetimes.add_over(handle, count);
            self.counters.expired_records += count;
            if self.topics.get(self.parts[handle as usize].topic).deleted_ns != 0 {
                self.hidden_records -= count;
            }
        }
    }

    /// Counts the records of a batch whose lifetime ended since `since_ns`. `true` when none is left.
    fn expire_batch(&mut self, handle: u32, base: u64, since_ns: i64) -> bool {
        let part = self.part(handle);
        let entry = part.index.get(part.index.find(base)).filter(|entry| entry.base == base);
        let (envelope, total, bytes) =
            self.stored_at(entry.expect("a batch that leaves takes its date along").position);
        let (mut over, mut live, mut next_ns) = (0, 0, 0);
        self.each_expiry(handle, &envelope, &bytes[ENVELOPE_LEN..total], |offset, expiry_ns| {
            if expiry_ns == 0 || expiry_ns > self.lifetimes.until_ns {
                live += u64::from(offset >= part.low);
                next_ns = earlier(next_ns, expiry_ns);
            } else if expiry_ns >= since_ns && offset >= part.low {
                over += 1;
            }
        });
        let topic = part.topic;
        if over > 0 {
            *self.lifetimes.over.entry(handle).or_default() += over;
            self.counters.expired_records += over;
            if self.topics.get(topic).deleted_ns != 0 {
                self.hidden_records -= over;
            }
        }
        if live > 0 {
            self.schedule(handle, base, next_ns);
        }
        live == 0
    }

    /// Takes batches of which nothing can be read, of ascending base offsets, out of a partition's index.
    pub(super) fn drop_empty(&mut self, handle: u32, bases: &[u64]) {
        let part = self.part(handle);
        let entries = bases.iter().filter_map(|base| part.index.get(part.index.find(*base)));
        let bytes: u64 = entries.map(|entry| self.envelope_at(entry).1 as u64).sum();
        if self.is_pinned(part.topic) {
            self.pinned_bytes -= bytes;
        }
        let part = &mut self.parts[handle as usize];
        part.bytes -= bytes;
        part.index.remove(bases);
    }

    /// Takes the oldest batch out of the index when all that can be read of it has fallen below the low offset.
    pub(super) fn drop_oldest_if_empty(&mut self, handle: u32) {
        let part = self.part(handle);
        let Some(entry) = part.index.get(0) else { return };
        let (envelope, total, bytes) = self.stored_at(entry.position);
        let rest = self.rest(handle, &envelope, &bytes[ENVELOPE_LEN..total], &(part.low..u64::MAX));
        if rest.live == 0 {
            if rest.next_ns != 0 {
                self.lifetimes.due.remove(&(rest.next_ns, handle, entry.base));
            }
            self.drop_empty(handle, &[entry.base]);
        }
    }

    /// Forgets a topic's lifetimes when its batches are gone.
    pub(super) fn forget_ttl(&mut self, topic: u32) {
        if self.disk.is_some() {
            let handles = self.topics.get(topic).parts.as_slice();
            self.lifetimes.moved.retain(|(_, handle), _| !handles.contains(handle));
            self.lifetimes.forgone.retain(|handle, _| !handles.contains(handle));
        }
        self.lifetimes.changes.remove(&topic);
    }

    pub(super) fn stored_at(&self, position: Position) -> (Envelope, usize, &[u8]) {
        let chunk = self.ring.chunk(position.chunk).expect("indexed batches are held");
        let bytes = &chunk.bytes()[position.byte as usize..];
        let (envelope, total) = parsed(bytes);
        (envelope, total, bytes)
    }
}

fn earlier(one_ns: i64, other_ns: i64) -> i64 {
    if one_ns == 0 || other_ns == 0 {
        one_ns.max(other_ns)
    } else {
        one_ns.min(other_ns)
    }
}
