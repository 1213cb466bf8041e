//! The log as it lies on disk after a crash, value by value: which envelopes are whole, and what is not.
//!
//! In: values in the order of their keys. Out: events whose ranges tile the log. After damage reading goes on at the next
//! envelope: where the damaged one says that it ends (its own length, or that of its batch) if a whole envelope begins
//! there, else at the first beginning that a later value names. Bytes inside a batch are never searched for something
//! that looks like an envelope: a client could have put it there.
//!
//! Bounds: an envelope and a following one are held at most, and a length that two later values contradict is not waited
//! for, so every byte is hashed a few times at worst.
use super::piece::Piece;
use super::window::verify_all;
use super::{u32_at, Damage};
use crate::envelope::{Envelope, ENVELOPE_BYTES_MAX, ENVELOPE_LEN};
use std::collections::VecDeque;

/// What the header of a damaged envelope says of its records. Nothing of it is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The topic.
    pub topic_id: u64,
    /// The partition.
    pub partition: u16,
    /// Offset of the first record.
    pub base: u64,
    /// Records in the batch.
    pub records: u32,
}

/// What was found. Ranges are log positions, half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Whole, verified envelopes; the range ends between two.
    Whole {
        /// First position.
        start: u64,
        /// Position after the last.
        end: u64,
    },
    /// No whole envelope: to be fenced.
    Damaged {
        /// First position.
        start: u64,
        /// Where a whole envelope begins again.
        end: u64,
        /// Why the first envelope does not hold.
        reason: String,
        /// What it says it was.
        claim: Option<Claim>,
    },
    /// Bytes that no value holds; a `Damaged` that covers them follows.
    Hole {
        /// First position.
        start: u64,
        /// Where the next value begins.
        end: u64,
    },
    /// A value that does not hold its form; what its bytes lose is told by the other events.
    Value {
        /// Position that its key names.
        start: u64,
        /// Position after its bytes.
        end: u64,
        /// What is wrong.
        reason: String,
    },
    /// Bytes after the last whole envelope, at the end of the log: to be cut.
    Torn {
        /// First position.
        start: u64,
        /// End of the log.
        end: u64,
        /// Why they are no envelope.
        reason: String,
        /// What it says it was.
        claim: Option<Claim>,
    },
}

/// Bytes of the current value, as far as they matter: where it begins and names its first envelope.
struct Mark {
    lsn: u64,
    end: u64,
    first: Option<u64>,
    is_met: bool,
}

struct Lost {
    from: u64,
    reason: String,
    claim: Option<Claim>,
    /// Where the damaged envelope says that it ends.
    ends: Vec<u64>,
}

/// Reads a log from a position that begins an envelope.
pub struct Scan {
    /// Where it begins.
    begin: u64,
    /// Position of the next byte to come.
    next: u64,
    /// End of all values that were seen, good or not.
    seen: u64,
    /// Position of `held[done]`.
    at: u64,
    held: Vec<u8>,
    done: usize,
    marks: VecDeque<Mark>,
    lost: Option<Lost>,
    run: u64,
    verify_batches: bool,
    batches: u64,
    records: u64,
}

impl Scan {
    /// A scan that begins at `first_lsn`; `verify_batches` checks each batch's CRC32C too.
    pub fn new(first_lsn: u64, verify_batches: bool) -> Self {
        Self {
            begin: first_lsn,
            next: first_lsn,
            seen: first_lsn,
            at: first_lsn,
            held: Vec::new(),
            done: 0,
            marks: VecDeque::new(),
            lost: None,
            run: first_lsn,
            verify_batches,
            batches: 0,
            records: 0,
        }
    }

    /// Whole envelopes so far.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Records that they state.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The next value. `whole` is called for each whole envelope with its position and bytes.
    pub fn feed(
        &mut self,
        key: &[u8],
        value: &[u8],
        events: &mut Vec<Event>,
        mut whole: impl FnMut(u64, &Envelope, &[u8]),
    ) {
        let piece = match Piece::parse(key, value) {
            Ok(piece) if piece.lsn >= self.next => piece,
            // The first one may begin before the scan does: windows end where a value goes on.
            Ok(piece) if self.next == self.begin && piece.end() > self.begin => piece.from(self.begin),
            refused => {
                let reason = match refused {
                    Ok(piece) => format!("log value at {} begins before {}", piece.lsn, self.next),
                    Err(damage) => damage.reason,
                };
                let start = <[u8; 8]>::try_from(key).map_or(self.next, u64::from_be_bytes);
                let size = value.len().saturating_sub(super::PIECE_HEADER_LEN).min(super::PIECE_BYTES_MAX);
                let end = start.saturating_add(size as u64);
                if i64::try_from(start).is_ok() {
                    self.seen = self.seen.max(end);
                }
                events.push(Event::Value { start, end, reason });
                return;
            }
        };
        if piece.lsn > self.next {
            self.walk(true, events, &mut whole);
            self.leap(piece.lsn, events);
        }
        self.held.drain(..self.done);
        self.done = 0;
        self.held.extend_from_slice(piece.bytes);
        self.next = piece.end();
        self.seen = self.seen.max(self.next);
        let first = piece.first.map(|first| piece.lsn + u64::from(first));
        self.marks.push_back(Mark { lsn: piece.lsn, end: piece.end(), first, is_met: false });
        self.walk(false, events, &mut whole);
        self.tell_whole(events);
    }

    /// The log ends here: what is left is torn.
    pub fn finish(&mut self, events: &mut Vec<Event>, mut whole: impl FnMut(u64, &Envelope, &[u8])) {
        self.walk(true, events, &mut whole);
        if self.seen > self.next {
            self.leap(self.seen, events);
        }
        self.tell_whole(events);
        if let Some(lost) = self.lost.take() {
            self.run = self.next;
            let Lost { from: start, reason, claim, .. } = lost;
            events.push(Event::Torn { start, end: self.next, reason, claim });
        }
    }

    /// Goes over bytes that are not there.
    fn leap(&mut self, to: u64, events: &mut Vec<Event>) {
        self.tell_whole(events);
        events.push(Event::Hole { start: self.next, end: to });
        let from = self.at;
        let reason = format!("{} bytes at {} are missing", to - self.next, self.next);
        self.lost.get_or_insert(Lost { from, reason, claim: None, ends: Vec::new() }).ends.clear();
        self.forget(to);
    }

    /// Drops what is held; reading goes on at `to`.
    fn forget(&mut self, to: u64) {
        self.held.clear();
        self.done = 0;
        self.marks.clear();
        self.at = to;
        self.next = to;
    }

    fn tell_whole(&mut self, events: &mut Vec<Event>) {
        let end = self.lost.as_ref().map_or(self.at, |lost| lost.from);
        if end > self.run {
            events.push(Event::Whole { start: self.run, end });
            self.run = end;
        }
    }

    /// Reads what is held as far as it goes; `is_end`: nothing follows it.
    fn walk(&mut self, is_end: bool, events: &mut Vec<Event>, whole: &mut impl FnMut(u64, &Envelope, &[u8])) {
        loop {
            if self.lost.is_some() {
                if !self.resume(is_end, events) {
                    return;
                }
                continue;
            }
            if self.done == self.held.len() {
                return;
            }
            match self.whole_at(self.at) {
                Ok(Some((envelope, length))) => {
                    self.meet(self.at, events);
                    whole(self.at, &envelope, &self.held[self.done..self.done + length]);
                    self.batches += 1;
                    self.records += u64::from(envelope.records_count);
                    self.done += length;
                    self.at += length as u64;
                    self.pass(self.at, events);
                }
                Ok(None) if !is_end => return,
                Ok(None) => self.lose("envelope is incomplete".into()),
                Err(damage) => self.lose(damage.reason),
            }
        }
    }

    /// The envelope at `lsn`, which is held, once it is whole.
    fn whole_at(&self, lsn: u64) -> Result<Option<(Envelope, usize)>, Damage> {
        let bytes = &self.held[self.done + (lsn - self.at) as usize..];
        let parsed = Envelope::parse(bytes).map_err(|error| Damage::new(error.to_string()))?;
        let Some((_, length)) = parsed else { return Ok(None) };
        if self.is_contradicted(lsn, lsn + length as u64) {
            let reason = format!("length of {length} bytes goes over the beginnings of later envelopes");
            return Err(Damage::new(reason));
        }
        if bytes.len() < length {
            return Ok(None);
        }
        if self.verify_batches {
            return verify_all(&bytes[..length]).map(Some);
        }
        Envelope::check(bytes).map_err(|error| Damage::new(error.to_string()))
    }

    /// Whether two values name beginnings inside an envelope from `start` to `end`: one of them may be damaged.
    fn is_contradicted(&self, start: u64, end: u64) -> bool {
        let inside = |mark: &&Mark| mark.first.is_some_and(|first| start < first && first < end);
        self.marks.iter().filter(inside).nth(1).is_some()
    }

    /// What is held from `at` on begins no envelope.
    #[cold]
    fn lose(&mut self, reason: String) {
        let bytes = &self.held[self.done..];
        let mut ends = Vec::new();
        let mut end = |length: usize| {
            let end = self.at + length as u64;
            if (ENVELOPE_LEN..=ENVELOPE_BYTES_MAX).contains(&length) && !ends.contains(&end) {
                ends.push(end);
            }
        };
        if bytes.len() >= 4 {
            end(u32_at(bytes, 0) as usize);
        }
        let mut claim = None;
        if let Some(head) = bytes.get(..ENVELOPE_LEN + 12) {
            let counted = u32::from_be_bytes(super::field(head, ENVELOPE_LEN + 8)) as usize;
            end(ENVELOPE_LEN + 12 + counted);
            claim = Some(Claim {
                topic_id: super::u64_at(head, 32),
                partition: super::u16_at(head, 20),
                base: u64::from_be_bytes(super::field(head, ENVELOPE_LEN)),
                records: u32_at(head, 56),
            });
        }
        ends.sort_unstable();
        self.lost = Some(Lost { from: self.at, reason, claim, ends });
    }

    /// Looks for the next whole envelope, or for a beginning that a value names. `false`: more bytes are needed.
    fn resume(&mut self, is_end: bool, events: &mut Vec<Event>) -> bool {
        let held_end = self.at + (self.held.len() - self.done) as u64;
        let lost = self.lost.as_ref().expect("called when something is lost");
        let from = lost.from.max(self.at);
        let mut found = None;
        let mut ends = lost.ends.as_slice();
        while let Some((&end, rest)) = ends.split_first() {
            if end >= held_end {
                if !is_end && !self.is_contradicted(from, end) {
                    break;
                }
            } else {
                match self.whole_at(end) {
                    Ok(Some(_)) => {
                        found = Some(end);
                        break;
                    }
                    Ok(None) if !is_end => break,
                    _ => {}
                }
            }
            ends = rest;
        }
        let is_waiting = !ends.is_empty() && found.is_none();
        if !is_waiting && found.is_none() {
            // A hole leaves nothing of the damaged envelope, so the next value may begin with a whole one.
            let is_after_hole = lost.from < self.at;
            let firsts = self.marks.iter().filter_map(|mark| mark.first);
            found = firsts.into_iter().find(|&first| first > from || (is_after_hole && first == from));
        }
        let rest = ends.to_vec();
        let Some(found) = found else {
            self.lost.as_mut().expect("still lost").ends = rest;
            if !is_waiting {
                self.forget(self.next);
            }
            return false;
        };
        self.tell_whole(events);
        let Lost { from: start, reason, claim, .. } = self.lost.take().expect("still lost");
        events.push(Event::Damaged { start, end: found, reason, claim });
        self.done += (found - self.at) as usize;
        self.at = found;
        self.run = found;
        // What the values passed over say of their beginnings cannot be compared.
        while self.marks.front().is_some_and(|mark| mark.end <= found) {
            self.marks.pop_front();
        }
        if let Some(mark) = self.marks.front_mut().filter(|mark| mark.lsn < found) {
            mark.is_met = true;
        }
        true
    }

    /// A whole envelope begins at `lsn`: the value around it must say so if it is its first.
    fn meet(&mut self, lsn: u64, events: &mut Vec<Event>) {
        let Some(mark) = self.marks.front_mut() else { return };
        debug_assert!((mark.lsn..mark.end).contains(&lsn));
        if !mark.is_met && mark.first != Some(lsn) {
            events.push(wrong_first(mark, Some(lsn)));
        }
        mark.is_met = true;
    }

    /// Leaves the values behind that end at `lsn` or before.
    fn pass(&mut self, lsn: u64, events: &mut Vec<Event>) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.end <= lsn) {
            if !mark.is_met && mark.first.is_some() {
                events.push(wrong_first(mark, None));
            }
            self.marks.pop_front();
        }
    }
}

#[cold]
fn wrong_first(mark: &Mark, found: Option<u64>) -> Event {
    let name = |lsn: Option<u64>| lsn.map_or_else(|| "none".into(), |lsn| format!("one at {lsn}"));
    let reason = format!("its first envelope is {}, not {}", name(found), name(mark.first));
    Event::Value { start: mark.lsn, end: mark.end, reason }
}
