//! Append-only memory shared between one writer and many readers: the only module with `unsafe`.
//!
//! A [`Chunk`] is a zeroed allocation of fixed capacity. Its unique [`Tail`] writes beyond `len` and then publishes by
//! raising `len`; a [`Slice`] is a reference-counted view of published bytes, which never change again. So a slice on its
//! way into a socket stays valid when the ring has long dropped the chunk.
#![allow(unsafe_code)]

use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// A fixed allocation of which `[0, len)` is published and immutable.
pub struct Chunk {
    start: NonNull<u8>,
    capacity: usize,
    len: AtomicUsize,
}

// SAFETY: bytes below `len` are never written again, bytes above are touched only through the unique `Tail`, and `len`
// is raised with Release after they were written and read with Acquire.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

impl Chunk {
    fn new(capacity: usize) -> Self {
        // Zeroed memory of this size comes from the kernel untouched, so an unused chunk costs address space only.
        let memory: Box<[u8]> = vec![0; capacity].into_boxed_slice();
        let start = NonNull::from(Box::leak(memory)).cast::<u8>();
        Self { start, capacity, len: AtomicUsize::new(0) }
    }

    /// Bytes published so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Whether nothing was published yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// All published bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `[0, len)` lies inside the allocation, was initialised (zeroed, then written) and is immutable.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len()) }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let memory = std::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.capacity);
        // SAFETY: `memory` is exactly the box leaked in `new`, and no view outlives the last reference to the chunk.
        drop(unsafe { Box::from_raw(memory) });
    }
}

/// The one writer of a chunk.
pub struct Tail {
    chunk: Arc<Chunk>,
}

impl Tail {
    /// A writer on a fresh chunk of `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { chunk: Arc::new(Chunk::new(capacity)) }
    }

    /// Bytes still free.
    #[must_use]
    pub fn room(&self) -> usize {
        self.chunk.capacity - self.chunk.len()
    }

    /// Lets `write` fill the next `size` bytes (handed over zeroed), publishes them and returns where they begin.
    ///
    /// # Panics
    /// When `size` exceeds [`Tail::room`]: the caller checks.
    pub fn append(&mut self, size: usize, write: impl FnOnce(&mut [u8])) -> usize {
        let at = self.chunk.len();
        assert!(size <= self.chunk.capacity - at, "append of {size} bytes exceeds the room of the chunk");
        // SAFETY: `[at, at + size)` is inside the allocation and above `len`, so no reader sees it, and `&mut self`
        // of the unique tail keeps any other writer away.
        let region = unsafe { std::slice::from_raw_parts_mut(self.chunk.start.as_ptr().add(at), size) };
        write(region);
        self.chunk.len.store(at + size, Ordering::Release);
        at
    }

    /// The chunk written to, for readers.
    #[must_use]
    pub fn chunk(&self) -> &Arc<Chunk> {
        &self.chunk
    }
}

/// A reference-counted view of published bytes.
#[derive(Clone)]
pub struct Slice {
    chunk: Arc<Chunk>,
    range: Range<usize>,
}

impl Slice {
    /// A view of `range`, or `None` when it is not published.
    #[must_use]
    pub fn new(chunk: &Arc<Chunk>, range: Range<usize>) -> Option<Self> {
        (range.start <= range.end && range.end <= chunk.len())
            .then(|| Self { chunk: Arc::clone(chunk), range })
    }

    /// The part of this view that `range` (relative to it) names.
    ///
    /// # Panics
    /// When `range` leaves the view.
    #[must_use]
    pub fn sub(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.range.len(), "sub-slice outside its slice");
        let start = self.range.start + range.start;
        Self { chunk: Arc::clone(&self.chunk), range: start..self.range.start + range.end }
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.chunk.bytes()[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_bytes_stay_after_the_tail_is_gone() {
        let mut tail = Tail::new(16);
        assert_eq!(tail.append(5, |b| b.copy_from_slice(b"hello")), 0);
        assert_eq!(tail.append(6, |b| b.copy_from_slice(b" world")), 5);
        let slice = Slice::new(tail.chunk(), 3..8).unwrap();
        assert!(Slice::new(tail.chunk(), 3..12).is_none());
        drop(tail);
        assert_eq!(&*slice, b"lo wo");
        assert_eq!(&*slice.sub(2..4), b" w");
    }

    #[test]
    #[should_panic(expected = "exceeds the room")]
    fn append_beyond_the_capacity_panics() {
        Tail::new(4).append(5, |_| ());
    }

    #[test]
    fn readers_on_other_threads_see_whole_appends() {
        let mut tail = Tail::new(1 << 16);
        let chunk = Arc::clone(tail.chunk());
        let reader = std::thread::spawn(move || {
            while chunk.len() < 1 << 16 {
                let seen = chunk.bytes();
                assert!(seen.len() % 8 == 0 && seen.iter().all(|b| *b == 7));
                std::thread::yield_now();
            }
        });
        for _ in 0..(1 << 13) {
            tail.append(8, |b| b.fill(7));
        }
        reader.join().unwrap();
    }
}
