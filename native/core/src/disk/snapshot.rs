//! States of topics and of manifests: the last one of each, as names and opaque bytes.
//!
//! An entry: key length u16, value length u32 (0xffffffff: forgotten), key, value. Entries are never cut.
use super::index::{open, put, Section, BODY_BYTES_MAX, HEAD_LEN};
use super::{u16_at, u32_at, Damage};
use crate::arena::{Slice, Tail};
use crate::batch;
use crate::limits::{KEY_BYTES_MAX, TOPIC_STATE_BYTES_MAX};
use std::collections::BTreeMap;
use std::ops::Range;

const ENTRY_HEAD_LEN: usize = 6;
const FORGOTTEN: u32 = u32::MAX;

/// A key and its last value; `None` when it was forgotten.
pub type State<'a> = (&'a [u8], Option<&'a [u8]>);

/// The last state of each key.
#[derive(Default)]
pub(super) struct States {
    states: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    scratch: Vec<u8>,
}

impl States {
    /// Takes the records of a batch of `$sys.topics` or `$sys.manifest` in their order.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        let damage = |error: batch::BatchError| Damage::new(format!("batch of states: {error}"));
        let mut scratch = std::mem::take(&mut self.scratch);
        for record in batch::records(bytes, &mut scratch).map_err(damage)? {
            let record = record.map_err(damage)?;
            self.put(record.key.unwrap_or_default(), record.value)?;
        }
        self.scratch = scratch;
        Ok(())
    }

    /// Sets the state of a key.
    pub(super) fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Damage> {
        let size = value.map_or(0, <[u8]>::len);
        if key.is_empty() || key.len() > KEY_BYTES_MAX || size > TOPIC_STATE_BYTES_MAX {
            let length = key.len();
            return Err(Damage::new(format!(
                "state with a key of {length} (1 to {KEY_BYTES_MAX}) and a value of {size} bytes (at most {TOPIC_STATE_BYTES_MAX})"
            )));
        }
        match self.states.get_mut(key) {
            Some(state) => *state = value.map(<[u8]>::to_vec),
            None => drop(self.states.insert(key.to_vec(), value.map(<[u8]>::to_vec))),
        }
        Ok(())
    }

    /// How the entries are spread over values: entries and bytes of each.
    pub(super) fn values(&self) -> Vec<(usize, usize)> {
        let mut out: Vec<(usize, usize)> = Vec::new();
        for (key, value) in &self.states {
            let size = ENTRY_HEAD_LEN + key.len() + value.as_ref().map_or(0, Vec::len);
            match out.last_mut() {
                Some((count, bytes)) if *bytes + size <= BODY_BYTES_MAX => {
                    *count += 1;
                    *bytes += size;
                }
                _ => out.push((1, size)),
            }
        }
        out
    }

    /// Bytes of all values with their heads.
    pub(super) fn bytes(values: &[(usize, usize)]) -> usize {
        values.iter().map(|(_, bytes)| HEAD_LEN + bytes).sum()
    }

    /// Writes the values to `tail`.
    pub(super) fn put_all(&self, values: &[(usize, usize)], tail: &mut Tail) -> Vec<Range<usize>> {
        let mut states = self.states.iter();
        let mut write = |&(count, bytes): &(usize, usize)| {
            put(tail, Section::Snapshot, count, bytes, |mut out| {
                for (key, value) in states.by_ref().take(count) {
                    let length = value.as_ref().map_or(FORGOTTEN, |value| value.len() as u32);
                    out[0..2].copy_from_slice(&(key.len() as u16).to_le_bytes());
                    out[2..6].copy_from_slice(&length.to_le_bytes());
                    let (own, rest) = out[ENTRY_HEAD_LEN..].split_at_mut(key.len());
                    own.copy_from_slice(key);
                    let value = value.as_deref().unwrap_or_default();
                    rest[..value.len()].copy_from_slice(value);
                    out = &mut rest[value.len()..];
                }
            })
        };
        values.iter().map(&mut write).collect()
    }
}

/// The values that hold the last of each key's states, in the order of the keys.
pub fn pack<'a>(states: impl IntoIterator<Item = State<'a>>) -> Result<Vec<Slice>, Damage> {
    let mut all = States::default();
    for (key, value) in states {
        all.put(key, value)?;
    }
    let values = all.values();
    let mut tail = Tail::new(States::bytes(&values));
    let placed = all.put_all(&values, &mut tail);
    Ok(placed
        .into_iter()
        .map(|range| Slice::new(tail.chunk(), range).expect("a value that was written"))
        .collect())
}

/// The entries of a snapshot value whose checksum holds, by key.
pub fn entries(value: &[u8]) -> Result<Vec<State<'_>>, Damage> {
    let (count, mut rest) = open(value, Section::Snapshot)?;
    let damage = || Damage::new(format!("snapshot value does not hold the {count} entries it states"));
    if count == 0 || count > rest.len() / ENTRY_HEAD_LEN {
        return Err(damage());
    }
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        let (head, after) = rest.split_at_checked(ENTRY_HEAD_LEN).ok_or_else(damage)?;
        let (key, after) = after.split_at_checked(u16_at(head, 0) as usize).ok_or_else(damage)?;
        let length = u32_at(head, 2);
        let size = if length == FORGOTTEN { 0 } else { length as usize };
        let (state, after) = after.split_at_checked(size).ok_or_else(damage)?;
        out.push((key, (length != FORGOTTEN).then_some(state)));
        rest = after;
    }
    if !rest.is_empty() {
        return Err(damage());
    }
    Ok(out)
}
