//! The block of a window: one walk over its log bytes, two sorts, one allocation for all values.
use super::entries::{PartitionEntry, SlotEntry, PARTITION_ENTRIES_MAX, PARTITION_ENTRY_LEN};
use super::entries::{SLOT_ENTRIES_MAX, SLOT_ENTRY_LEN};
use super::index::{put, Header, Key, Section, HEAD_LEN};
use super::snapshot::States;
use super::stream::Stream;
use super::{bloom, pairs, Damage, Pair};
use crate::arena::Tail;
use crate::batch;
use crate::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH, KIND_MANIFEST, KIND_TOPICS};
use crate::limits::WINDOW_BYTES_MAX;

/// Bytes of an envelope and of the base offset behind it.
const HEAD_BYTES: usize = ENVELOPE_LEN + 8;
/// Batches that memory is taken for before they are seen.
const EXPECTED_MAX: usize = 1 << 20;

/// A window's header and all values of its block, in the order of their keys.
pub struct Window {
    /// What it covers.
    pub header: Header,
    /// The values, the header's first.
    pub pairs: Vec<Pair>,
}

/// Builds the block of the window that begins at `first_lsn` from its log bytes.
///
/// `parts` are all of its bytes in order; it ends between envelopes. The ranges of positions in `skip` (ascending) are
/// known damage: their bytes are there, but not read. `verify` checks envelopes and batches, for bytes that come from disk;
/// those of the ring are taken as they are. Offsets of a partition and sequences of a slot must ascend.
pub fn build(first_lsn: u64, parts: &[&[u8]], verify: bool, skip: &[(u64, u64)]) -> Result<Window, Damage> {
    let mut builder = Builder::default();
    let mut stream = Stream::new(parts);
    let end_lsn = first_lsn.checked_add(stream.left()).filter(|&end| i64::try_from(end).is_ok());
    let Some(end_lsn) = end_lsn.filter(|&end| (1..=WINDOW_BYTES_MAX).contains(&(end - first_lsn))) else {
        let length = stream.left();
        let reason =
            format!("window of {length} bytes from {first_lsn} on, window_bytes_max is {WINDOW_BYTES_MAX}");
        return Err(Damage::new(reason));
    };
    let (mut at, mut skip, mut scratch) = (first_lsn, skip.iter().peekable(), Vec::new());
    while at < end_lsn {
        if let Some(&&(start, end)) = skip.peek() {
            if start < at || end <= start || end > end_lsn {
                let reason =
                    format!("damage from {start} to {end} is not ascending inside the window at {at}");
                return Err(Damage::new(reason));
            }
            if start == at {
                stream.advance(end - start);
                at = end;
                skip.next();
                continue;
            }
        }
        let (envelope, length) = stream.envelope(at, &mut scratch)?;
        if builder.batches.is_empty() {
            builder.expect((stream.left() as usize / length).min(EXPECTED_MAX));
        }
        let bytes_needed = if verify || envelope.kind != KIND_BATCH { length } else { HEAD_BYTES };
        let bytes = match stream.peek(bytes_needed.min(length), &mut scratch) {
            Some(bytes) if length >= HEAD_BYTES => bytes,
            _ => return Err(Damage::new(format!("envelope at {at} of {length} bytes holds no batch"))),
        };
        builder.take((at - first_lsn) as u32, &envelope, length, bytes, verify).map_err(|damage| {
            Damage::new(format!("window at {first_lsn}, envelope at {at}: {}", damage.reason))
        })?;
        stream.advance(length as u64);
        at += length as u64;
    }
    if let Some((start, end)) = skip.next() {
        return Err(Damage::new(format!("damage from {start} to {end} lies after the window")));
    }
    builder.finish(first_lsn, end_lsn)
}

#[derive(Default)]
struct Builder {
    batches: Vec<PartitionEntry>,
    streams: Vec<SlotEntry>,
    states: States,
    records: u64,
}

impl Builder {
    /// Takes memory for about so many batches: as many as there would be if all were as long as the first.
    fn expect(&mut self, count: usize) {
        self.batches.reserve(count);
        self.streams.reserve(count);
    }

    fn take(
        &mut self,
        lsn_rel: u32,
        envelope: &Envelope,
        length: usize,
        bytes: &[u8],
        verify: bool,
    ) -> Result<(), Damage> {
        if verify {
            verify_all(bytes)?;
        }
        match envelope.kind {
            KIND_BATCH => {}
            KIND_TOPICS | KIND_MANIFEST => self.states.take(&bytes[ENVELOPE_LEN..])?,
            kind => return Err(Damage::new(format!("kind {kind} is not known"))),
        }
        let mut base = [0; 8];
        base.copy_from_slice(&bytes[ENVELOPE_LEN..HEAD_BYTES]);
        self.records += u64::from(envelope.records_count);
        self.batches.push(PartitionEntry {
            topic_id: envelope.topic_id,
            base: u64::from_be_bytes(base),
            append_ns: envelope.append_ns,
            lsn_rel,
            length: length as u32,
            records: envelope.records_count,
            partition: envelope.partition,
            slot: envelope.slot,
        });
        self.streams.push(SlotEntry {
            sequence: envelope.sequence,
            lsn_rel,
            epoch: envelope.epoch,
            slot: envelope.slot,
        });
        Ok(())
    }

    fn finish(self, first_lsn: u64, end_lsn: u64) -> Result<Window, Damage> {
        let (by_partition, filter) = self.by_partition()?;
        let by_slot = self.by_slot()?;
        let states = self.states.values();
        let mut header = Header {
            first_lsn,
            end_lsn,
            batches: self.batches.len() as u64,
            records: self.records,
            oldest_ns: self.batches.iter().map(|entry| entry.append_ns).min().unwrap_or(0),
            newest_ns: self.batches.iter().map(|entry| entry.append_ns).max().unwrap_or(0),
            bloom_bytes: filter.len() as u32,
            pieces: [0, 0, 0, states.len() as u32],
        };
        header.pieces = header.expected_pieces();
        let numbers = header.pieces[2].max(header.pieces[3]);
        if numbers > u32::from(u16::MAX) {
            return Err(Damage::new(format!(
                "window with {numbers} values in one section, they have 16 bits"
            )));
        }
        let fixed = self.batches.len() * (PARTITION_ENTRY_LEN + SLOT_ENTRY_LEN) + filter.len();
        let heads = header.pieces[..3].iter().sum::<u32>() as usize * HEAD_LEN;
        let mut tail = Tail::new(Header::VALUE_LEN + fixed + heads + States::bytes(&states));
        let mut placed = vec![(Key::Header { window: first_lsn }.encode(), header.put(&mut tail))];
        for chunk in by_partition.chunks(PARTITION_ENTRIES_MAX) {
            let first = self.batches[chunk[0] as usize];
            let key = Key::Partitions {
                window: first_lsn,
                topic_id: first.topic_id,
                partition: first.partition,
                base: first.base,
            };
            let size = chunk.len() * PARTITION_ENTRY_LEN;
            let range = put(&mut tail, Section::Partitions, chunk.len(), size, |out| {
                for (index, out) in chunk.iter().zip(out.chunks_exact_mut(PARTITION_ENTRY_LEN)) {
                    self.batches[*index as usize].write(out);
                }
            });
            placed.push((key.encode(), range));
        }
        for chunk in by_slot.chunks(SLOT_ENTRIES_MAX) {
            let first = self.streams[chunk[0] as usize];
            let key = Key::Slots { window: first_lsn, slot: first.slot, sequence: first.sequence };
            let size = chunk.len() * SLOT_ENTRY_LEN;
            let range = put(&mut tail, Section::Slots, chunk.len(), size, |out| {
                for (index, out) in chunk.iter().zip(out.chunks_exact_mut(SLOT_ENTRY_LEN)) {
                    self.streams[*index as usize].write(out);
                }
            });
            placed.push((key.encode(), range));
        }
        for (number, part) in filter.chunks(bloom::PIECE_BYTES_MAX).enumerate() {
            let key = Key::Bloom { window: first_lsn, number: number as u16 };
            let blocks = part.len() / bloom::BLOCK_LEN;
            let range = put(&mut tail, Section::Bloom, blocks, part.len(), |out| out.copy_from_slice(part));
            placed.push((key.encode(), range));
        }
        for (number, range) in self.states.put_all(&states, &mut tail).into_iter().enumerate() {
            placed.push((Key::Snapshot { window: first_lsn, number: number as u16 }.encode(), range));
        }
        debug_assert_eq!(tail.room(), 0);
        Ok(Window { header, pairs: pairs(tail.chunk(), placed) })
    }

    /// Indexes of the batches by partition, in each in the order of the log, which is that of the offsets; and the
    /// Bloom filter over the partitions.
    fn by_partition(&self) -> Result<(Vec<u32>, Vec<u8>), Damage> {
        let place =
            |entry: &PartitionEntry| u128::from(entry.topic_id) << 64 | u128::from(entry.partition) << 48;
        let keys = self.batches.iter().enumerate();
        let mut keys: Vec<u128> = keys.map(|(index, entry)| place(entry) | index as u128).collect();
        keys.sort_unstable();
        let out: Vec<u32> = keys.iter().map(|&key| key as u32).collect();
        for pair in out.windows(2) {
            let (a, b) = (&self.batches[pair[0] as usize], &self.batches[pair[1] as usize]);
            if (a.topic_id, a.partition) == (b.topic_id, b.partition) && b.base < a.end() {
                let (end, base, partition) = (a.end(), b.base, a.partition);
                return Err(Damage::new(format!(
                    "offset {base} of topic {:#x} partition {partition} follows {end} in the log",
                    a.topic_id
                )));
            }
        }
        keys.dedup_by_key(|key| *key >> 48);
        let mut filter = vec![0; bloom::bytes_for(keys.len())];
        for key in keys {
            bloom::set(&mut filter, (key >> 64) as u64, (key >> 48) as u16);
        }
        Ok((out, filter))
    }

    /// Indexes of the batches by slot, in each in the order of the log, which is that of the sequences.
    fn by_slot(&self) -> Result<Vec<u32>, Damage> {
        let keys = self.streams.iter().enumerate();
        let mut keys: Vec<u64> =
            keys.map(|(index, entry)| u64::from(entry.slot) << 32 | index as u64).collect();
        keys.sort_unstable();
        let out: Vec<u32> = keys.into_iter().map(|key| key as u32).collect();
        for pair in out.windows(2) {
            let (a, b) = (&self.streams[pair[0] as usize], &self.streams[pair[1] as usize]);
            if a.slot == b.slot && b.sequence <= a.sequence {
                return Err(Damage::new(format!(
                    "sequence {} of slot {} follows {} in the log",
                    b.sequence, a.slot, a.sequence
                )));
            }
        }
        Ok(out)
    }
}

/// Checks that envelope and batch hold: the bytes are exactly one of each.
pub(super) fn verify_all(bytes: &[u8]) -> Result<(Envelope, usize), Damage> {
    let checked = Envelope::check(bytes).map_err(|error| Damage::new(error.to_string()))?;
    let Some((envelope, length)) = checked else { return Err(Damage::new("envelope is incomplete")) };
    let batch = &bytes[ENVELOPE_LEN..length];
    let header = batch::Header::parse(batch).map_err(|error| Damage::new(error.to_string()))?;
    match header {
        Some(header)
            if header.length == batch.len()
                && i64::from(header.records_count) == i64::from(envelope.records_count)
                && header.has_valid_crc(batch) =>
        {
            Ok((envelope, length))
        }
        _ => Err(Damage::new("the batch does not hold, though its envelope does")),
    }
}
