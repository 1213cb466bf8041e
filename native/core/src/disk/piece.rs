//! A piece of the log: one value of the database `log`, whose key is its log position.
use super::stream::Stream;
use super::{field, pairs, u32_at, u64_at, Damage, Pair, VERSION};
use crate::arena::Tail;
use crate::limits::DISK_VALUE_BYTES_MAX;

/// Bytes before the log bytes of a piece.
pub const PIECE_HEADER_LEN: usize = 16;
/// Log bytes of the longest piece.
pub const PIECE_BYTES_MAX: usize = DISK_VALUE_BYTES_MAX - PIECE_HEADER_LEN;
/// What stands for "no envelope begins in this piece".
const NONE: u32 = 0xff_ffff;

/// Log bytes of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Position of the first byte.
    pub lsn: u64,
    /// Where in `bytes` the first envelope that begins in this piece does so.
    pub first: Option<u32>,
    /// The log bytes, cut without regard to envelopes.
    pub bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// The piece under `key`, all of whose header holds; its log bytes are for their envelopes to verify.
    pub fn parse(key: &[u8], value: &'a [u8]) -> Result<Self, Damage> {
        let Ok(key) = <[u8; 8]>::try_from(key) else {
            return Err(Damage::new(format!("key of a log value has {} bytes, not 8", key.len())));
        };
        let lsn = u64::from_be_bytes(key);
        let damage = |what: String| Err(Damage::new(format!("log value at {lsn}: {what}")));
        let Some(head) = value.first_chunk::<PIECE_HEADER_LEN>() else {
            return damage(format!("{} bytes are less than a header of {PIECE_HEADER_LEN}", value.len()));
        };
        if head[0] != VERSION {
            return damage(format!("version {} is not {VERSION}", head[0]));
        }
        let bytes = &value[PIECE_HEADER_LEN..];
        let stated = u32_at(head, 4) as usize;
        if stated != bytes.len() || !(1..=PIECE_BYTES_MAX).contains(&stated) {
            let found = bytes.len();
            return damage(format!("{stated} bytes are stated and {found} there, of 1 to {PIECE_BYTES_MAX}"));
        }
        let own = u64_at(head, 8);
        if own != lsn {
            return damage(format!("it says of itself that it belongs to {own}"));
        }
        if lsn > i64::MAX as u64 {
            return damage("positions are below 2^63".into());
        }
        let [a, b, c] = field(head, 1);
        let first = u32::from_le_bytes([a, b, c, 0]);
        if first != NONE && first as usize >= stated {
            return damage(format!("its first envelope begins at {first} of {stated} bytes"));
        }
        Ok(Self { lsn, first: (first != NONE).then_some(first), bytes })
    }

    /// What of it lies from `lsn` on, where an envelope begins.
    #[must_use]
    pub fn from(self, lsn: u64) -> Self {
        assert!(self.lsn <= lsn && lsn < self.end(), "{lsn} is outside of the piece at {}", self.lsn);
        Self { lsn, first: Some(0), bytes: &self.bytes[(lsn - self.lsn) as usize..] }
    }

    /// Position after the last byte.
    pub fn end(&self) -> u64 {
        self.lsn + self.bytes.len() as u64
    }
}

/// The values that hold the bytes of `parts`, the log from `lsn` on: whole envelopes, one at least.
///
/// The first piece begins with an envelope, and every piece says where its first one begins: from there reading goes on
/// after damage. All values lie in one allocation.
pub fn cut(lsn: u64, parts: &[&[u8]]) -> Result<Vec<Pair>, Damage> {
    let total: u64 = parts.iter().map(|part| part.len() as u64).sum();
    if total == 0 || lsn.checked_add(total).is_none_or(|end| end > i64::MAX as u64) {
        return Err(Damage::new(format!("{total} bytes of the log from {lsn} on cannot be cut")));
    }
    let end = lsn + total;
    let count = total.div_ceil(PIECE_BYTES_MAX as u64) as usize;
    let mut tail = Tail::new(total as usize + count * PIECE_HEADER_LEN);
    let mut placed = Vec::with_capacity(count);
    let (mut source, mut walker, mut scratch) = (Stream::new(parts), Stream::new(parts), Vec::new());
    let (mut at, mut boundary) = (lsn, lsn);
    while at < end {
        let length = (end - at).min(PIECE_BYTES_MAX as u64) as usize;
        let after = at + length as u64;
        let first = if boundary < after { (boundary - at) as u32 } else { NONE };
        while boundary < after {
            let (_, size) = walker.envelope(boundary, &mut scratch)?;
            walker.advance(size as u64);
            boundary += size as u64;
        }
        let size = PIECE_HEADER_LEN + length;
        let start = tail.append(size, |out| {
            let (head, body) = out.split_at_mut(PIECE_HEADER_LEN);
            head[0..4].copy_from_slice(&(first << 8 | u32::from(VERSION)).to_le_bytes());
            head[4..8].copy_from_slice(&(length as u32).to_le_bytes());
            head[8..16].copy_from_slice(&at.to_le_bytes());
            let mut filled = 0;
            while filled < length {
                let run = source.run();
                let take = run.len().min(length - filled);
                body[filled..filled + take].copy_from_slice(&run[..take]);
                source.advance(take as u64);
                filled += take;
            }
        });
        placed.push((at.to_be_bytes().to_vec(), start..start + size));
        at = after;
    }
    Ok(pairs(tail.chunk(), placed))
}
