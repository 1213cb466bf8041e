//! The memory tier: fixed-size chunks in arrival order, bounded in bytes for the whole node.
//!
//! The ring knows bytes only. What they mean (envelopes, partitions, offsets) is the log's business, which keeps the index
//! and decides when the oldest chunk goes. An append larger than a chunk gets a chunk of its own size.

use crate::arena::{Chunk, Slice, Tail};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where bytes lie: chunk number and byte inside it. Ordered like arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the chunk, counted from the first of this process.
    pub chunk: u32,
    /// First byte inside the chunk.
    pub byte: u32,
}

struct Sealed {
    base_lsn: u64,
    chunk: Arc<Chunk>,
}

/// Chunks in arrival order; the last one is written to.
pub struct Ring {
    sealed: VecDeque<Sealed>,
    first_number: u32,
    tail: Tail,
    tail_lsn: u64,
    chunk_bytes: usize,
    bytes_max: usize,
    allocated: usize,
}

impl Ring {
    /// An empty ring of at most `bytes_max` bytes in chunks of `chunk_bytes`, whose first byte lies at `first_lsn`.
    ///
    /// # Panics
    /// When it would hold fewer than two chunks: settings are checked before.
    #[must_use]
    pub fn new(bytes_max: usize, chunk_bytes: usize, first_lsn: u64) -> Self {
        assert!(
            bytes_max >= 2 * chunk_bytes,
            "ring of {bytes_max} bytes holds fewer than two chunks of {chunk_bytes}"
        );
        Self {
            sealed: VecDeque::new(),
            first_number: 0,
            tail: Tail::new(chunk_bytes),
            tail_lsn: first_lsn,
            chunk_bytes,
            bytes_max,
            allocated: chunk_bytes,
        }
    }

    /// Bytes the ring may allocate.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes allocated now.
    #[must_use]
    pub fn bytes_allocated(&self) -> usize {
        self.allocated
    }

    /// Next byte to be written, as position in this node's log.
    #[must_use]
    pub fn head_lsn(&self) -> u64 {
        self.tail_lsn + self.tail.chunk().len() as u64
    }

    /// Oldest byte still held.
    #[must_use]
    pub fn memory_tail(&self) -> u64 {
        self.sealed.front().map_or(self.tail_lsn, |s| s.base_lsn)
    }

    fn tail_number(&self) -> u32 {
        self.first_number + u32::try_from(self.sealed.len()).expect("fewer than 2^32 chunks")
    }

    /// Whether an append of `size` bytes needs a new chunk that exceeds the bound: evict first.
    #[must_use]
    pub fn must_evict(&self, size: usize) -> bool {
        size > self.tail.room() && self.allocated + size.max(self.chunk_bytes) > self.bytes_max
    }

    /// Appends `size` bytes written by `write` and returns where they begin. They are contiguous.
    pub fn append(&mut self, size: usize, write: impl FnOnce(&mut [u8])) -> Position {
        if size > self.tail.room() {
            self.roll(size.max(self.chunk_bytes));
        }
        let byte = self.tail.append(size, write);
        Position { chunk: self.tail_number(), byte: u32::try_from(byte).expect("chunks are below 4 GiB") }
    }

    fn roll(&mut self, capacity: usize) {
        let full = std::mem::replace(&mut self.tail, Tail::new(capacity));
        let base_lsn = self.tail_lsn;
        self.tail_lsn += full.chunk().len() as u64;
        self.allocated += capacity;
        self.sealed.push_back(Sealed { base_lsn, chunk: Arc::clone(full.chunk()) });
    }

    /// Ends the chunk being written, so that everything held so far can be evicted.
    pub fn seal(&mut self) {
        if !self.tail.chunk().is_empty() {
            self.roll(self.chunk_bytes);
        }
    }

    /// A view of `size` bytes at `position`, or `None` when they are not held.
    #[must_use]
    pub fn slice(&self, position: Position, size: usize) -> Option<Slice> {
        let start = position.byte as usize;
        Slice::new(self.chunk(position.chunk)?, start..start + size)
    }

    /// Views of the bytes `[first, end)` by log position, in order.
    ///
    /// # Panics
    /// When they are not all held: the caller knows what it has kept.
    #[must_use]
    pub fn range(&self, first: u64, end: u64) -> Vec<Slice> {
        assert!(
            self.memory_tail() <= first && end <= self.head_lsn(),
            "log bytes {first}..{end} are not held"
        );
        let after = self.sealed.partition_point(|s| s.base_lsn <= first);
        let mut slices = Vec::new();
        let mut at = after.saturating_sub(1);
        let mut lsn = first;
        while lsn < end {
            let (base, chunk) = match self.sealed.get(at) {
                Some(sealed) => (sealed.base_lsn, &sealed.chunk),
                None => (self.tail_lsn, self.tail.chunk()),
            };
            let stop = end.min(base + chunk.len() as u64);
            if stop > lsn {
                let inside = |lsn: u64| usize::try_from(lsn - base).expect("chunks are below 4 GiB");
                slices.extend(Slice::new(chunk, inside(lsn)..inside(stop)));
                lsn = stop;
            }
            at += 1;
        }
        slices
    }

    /// Log position after the oldest sealed chunk.
    #[must_use]
    pub fn oldest_end_lsn(&self) -> Option<u64> {
        let oldest = self.sealed.front()?;
        Some(oldest.base_lsn + oldest.chunk.len() as u64)
    }

    /// The chunk after the oldest one.
    #[must_use]
    pub fn second_chunk(&self) -> Option<&Arc<Chunk>> {
        self.chunk(self.first_number + 1)
    }

    /// The published bytes of a chunk.
    #[must_use]
    pub fn chunk(&self, number: u32) -> Option<&Arc<Chunk>> {
        let at = number.checked_sub(self.first_number)? as usize;
        match self.sealed.get(at) {
            Some(sealed) => Some(&sealed.chunk),
            None if at == self.sealed.len() => Some(self.tail.chunk()),
            None => None,
        }
    }

    /// Chunks that can be evicted.
    #[must_use]
    pub fn sealed_count(&self) -> usize {
        self.sealed.len()
    }

    /// Takes the oldest sealed chunk out of the ring: its number and bytes. `None` when only the tail is left.
    pub fn evict(&mut self) -> Option<(u32, Arc<Chunk>)> {
        let oldest = self.sealed.pop_front()?;
        let number = self.first_number;
        self.first_number += 1;
        self.allocated -= oldest.chunk.capacity();
        Some((number, oldest.chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(ring: &mut Ring, bytes: &[u8]) -> Position {
        ring.append(bytes.len(), |b| b.copy_from_slice(bytes))
    }

    #[test]
    fn appends_are_contiguous_and_ordered() {
        let mut ring = Ring::new(64, 16, 0);
        let a = put(&mut ring, b"0123456789");
        let b = put(&mut ring, b"abcdefghij");
        assert_eq!((a.chunk, a.byte, b.chunk, b.byte), (0, 0, 1, 0));
        assert_eq!(&*ring.slice(a, 10).unwrap(), b"0123456789");
        assert_eq!(&*ring.slice(b, 10).unwrap(), b"abcdefghij");
        assert_eq!((ring.memory_tail(), ring.head_lsn()), (0, 20));
        assert!(ring.slice(b, 11).is_none());
    }

    #[test]
    fn eviction_frees_the_oldest_and_views_survive_it() {
        let mut ring = Ring::new(32, 16, 0);
        let a = put(&mut ring, b"0123456789");
        put(&mut ring, b"abcdefghij");
        let view = ring.slice(a, 10).unwrap();
        assert!(ring.must_evict(10));
        let (number, chunk) = ring.evict().unwrap();
        assert_eq!((number, chunk.bytes()), (0, &b"0123456789"[..]));
        assert!(!ring.must_evict(10) && ring.slice(a, 10).is_none() && ring.evict().is_none());
        assert_eq!((&*view, ring.memory_tail()), (&b"0123456789"[..], 10));
    }

    #[test]
    fn a_range_of_the_log_is_its_bytes_in_order() {
        let mut ring = Ring::new(64, 16, 1000);
        for bytes in [&b"0123456789"[..], b"abcdefghij", b"KLMNOPQRST"] {
            put(&mut ring, bytes);
        }
        let text = |first, end| {
            ring.range(first, end).iter().flat_map(|s| s.to_vec()).map(char::from).collect::<String>()
        };
        assert_eq!(text(1000, 1030), "0123456789abcdefghijKLMNOPQRST");
        assert_eq!((text(1009, 1011), text(1020, 1021)), ("9a".to_owned(), "K".to_owned()));
        assert_eq!((text(1030, 1030), ring.oldest_end_lsn()), (String::new(), Some(1010)));
    }

    #[test]
    fn an_oversized_append_gets_its_own_chunk() {
        let mut ring = Ring::new(64, 16, 0);
        put(&mut ring, b"x");
        let big = put(&mut ring, &[7; 40]);
        let after = put(&mut ring, b"y");
        assert_eq!((big.chunk, big.byte, after.chunk), (1, 0, 2));
        assert_eq!(ring.bytes_allocated(), 16 + 40 + 16);
        assert_eq!(ring.slice(big, 40).unwrap().len(), 40);
    }
}
