//! Log bytes given as several slices, read as one.
use super::Damage;
use crate::envelope::{Envelope, ENVELOPE_LEN};

/// A place in the bytes of `parts`, which follow each other.
pub(super) struct Stream<'a> {
    parts: &'a [&'a [u8]],
    part: usize,
    byte: usize,
    left: u64,
}

impl<'a> Stream<'a> {
    pub(super) fn new(parts: &'a [&'a [u8]]) -> Self {
        let left = parts.iter().map(|part| part.len() as u64).sum();
        Self { parts, part: 0, byte: 0, left }
    }

    /// Bytes that follow.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The bytes that follow inside of one part: some unless nothing follows.
    #[inline]
    pub(super) fn run(&mut self) -> &'a [u8] {
        while let Some(part) = self.parts.get(self.part) {
            if self.byte < part.len() {
                return &part[self.byte..];
            }
            self.part += 1;
            self.byte = 0;
        }
        &[]
    }

    /// The next `count` bytes; those that lie in several parts are put together in `scratch`. `None`: fewer follow.
    #[inline]
    pub(super) fn peek<'b>(&mut self, count: usize, scratch: &'b mut Vec<u8>) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        if count as u64 > self.left {
            return None;
        }
        let run = self.run();
        if run.len() >= count {
            return Some(&run[..count]);
        }
        scratch.clear();
        scratch.reserve(count);
        let mut ahead = Self { ..*self };
        while scratch.len() < count {
            let run = ahead.run();
            let take = run.len().min(count - scratch.len());
            scratch.extend_from_slice(&run[..take]);
            ahead.advance(take as u64);
        }
        Some(scratch)
    }

    /// Leaves `count` bytes behind, at most [`Stream::left`].
    #[inline]
    pub(super) fn advance(&mut self, count: u64) {
        debug_assert!(count <= self.left);
        self.left -= count;
        let mut rest = count;
        while rest > 0 {
            let step = rest.min(self.run().len() as u64);
            self.byte += step as usize;
            rest -= step;
        }
    }

    /// The envelope that begins here and its length with the batch, all of which follows.
    #[inline]
    pub(super) fn envelope(&mut self, lsn: u64, scratch: &mut Vec<u8>) -> Result<(Envelope, usize), Damage> {
        let left = self.left;
        let parsed = match self.peek(ENVELOPE_LEN, scratch) {
            Some(head) => {
                Envelope::parse(head).map_err(|error| Damage::new(format!("log at {lsn}: {error}")))?
            }
            None => None,
        };
        parsed
            .filter(|&(_, length)| length as u64 <= left)
            .ok_or_else(|| Damage::new(format!("log at {lsn}: an envelope is incomplete after {left} bytes")))
    }
}
