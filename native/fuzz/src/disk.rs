//! Any bytes as values of the disk tier: nothing panics, what is found lies inside, and a scan tiles the log.
use sprawl_core::disk::{
    self, bloom_place, check_value, snapshot_entries, Bloom, Event, Header, Key, PartitionEntries, Piece,
    Scan, SlotEntries,
};

/// Reads `data` as each value, as log bytes, and as a log of values.
pub fn run(data: &[u8]) {
    values(data);
    log_bytes(data);
    scan(data);
}

fn values(data: &[u8]) {
    for at in [8, 9, 11, 19, 27] {
        let Some((key, value)) = data.split_at_checked(at) else { break };
        let is_whole = check_value(key, value).is_ok();
        if let Ok(key) = Key::parse(key) {
            assert_eq!(key.encode(), &data[..at]);
        } else {
            assert!(!is_whole);
        }
        if let Ok(piece) = Piece::parse(key, value) {
            assert_eq!(piece.bytes, &value[16..]);
        }
        let _ = Header::parse(value);
        if let Ok(states) = snapshot_entries(value) {
            assert!(states.len() <= value.len());
        }
        if let Ok(entries) = PartitionEntries::open(value) {
            let last = entries.get(entries.len() - 1);
            let (found, _) = entries.find(last.topic_id, last.partition, last.base, u64::MAX);
            assert!(found.len() <= entries.len());
            entries.find_since(last.topic_id, last.partition, last.append_ns, 0);
            assert!(entries.last_of_each().len() <= entries.len());
        }
        if let Ok(entries) = SlotEntries::open(value) {
            let last = entries.get(entries.len() - 1);
            assert!(entries.find(last.slot, last.sequence, 10).0.len() <= 10);
            assert!(entries.last_of_each().len() <= entries.len());
        }
        if let Ok(bloom) = Bloom::open(value) {
            for bloom_bytes in [0, 64, 4032, 4096, u32::MAX] {
                let _ = bloom.admits(7, 1, bloom_bytes);
                assert!(bloom_place(7, 1, bloom_bytes).is_none_or(|place| place.byte < 63 * 64));
            }
        }
    }
}

fn log_bytes(data: &[u8]) {
    let middle = data.len() / 2;
    let parts = [&data[..middle], &data[middle..]];
    if let Ok(pairs) = disk::cut(77, &parts) {
        let mut whole = Vec::new();
        for pair in &pairs {
            whole.extend_from_slice(Piece::parse(&pair.key, &pair.value).expect("our own piece").bytes);
        }
        assert_eq!(whole, data);
    }
    for verify in [false, true] {
        if let Ok(window) = disk::build(77, &parts, verify, &[]) {
            for pair in &window.pairs {
                check_value(&pair.key, &pair.value).expect("our own value");
            }
        }
    }
}

/// `data` as values of up to 200 log bytes each, whose headers hold but for what a byte of it says.
fn scan(data: &[u8]) {
    let (mut scan, mut events) = (Scan::new(0, true), Vec::new());
    let (mut lsn, mut bytes) = (0_u64, 0_u64);
    for piece in data.chunks(200) {
        let length = piece.len() as u64;
        let oddity = piece[0] >> 4;
        let lsn_stated = if oddity == 9 { lsn + 1 } else { lsn };
        let mut value = vec![if oddity == 10 { 2 } else { 1 }];
        let first = u32::from(piece[piece.len() - 1]).min(length as u32 - 1);
        value.extend_from_slice(&first.to_le_bytes()[..3]);
        value.extend_from_slice(&(length as u32).to_le_bytes());
        value.extend_from_slice(&lsn_stated.to_le_bytes());
        value.extend_from_slice(piece);
        scan.feed(&lsn.to_be_bytes(), &value, &mut events, |_, _, whole| bytes += whole.len() as u64);
        lsn += length;
    }
    scan.finish(&mut events, |_, _, whole| bytes += whole.len() as u64);
    let mut at = 0;
    for event in &events {
        match *event {
            Event::Whole { start, end } => {
                assert!(start == at && end > start, "{events:?}");
                bytes -= end - start;
                at = end;
            }
            Event::Damaged { start, end, .. } | Event::Torn { start, end, .. } => {
                assert!(start == at && end > start, "{events:?}");
                at = end;
            }
            Event::Hole { .. } | Event::Value { .. } => {}
        }
    }
    assert_eq!((at, bytes), (lsn, 0), "{events:?}");
}
