//! The disk tier's formats under damage of any kind; `tests/unit/native/test_disk.py` holds them to their twin.
use proptest::prelude::*;
use sprawl_core::batch::{Builder, Record};
use sprawl_core::disk::{build, cut, Event, Piece, Scan, PIECE_BYTES_MAX, PIECE_HEADER_LEN};
use sprawl_core::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH};

/// Envelopes of one topic with payloads of these sizes, and where each begins.
fn log_of(first_lsn: u64, sizes: &[usize]) -> (Vec<u8>, Vec<(u64, u64)>) {
    let (mut log, mut places) = (Vec::new(), Vec::new());
    for (number, &size) in sizes.iter().enumerate() {
        let payload = vec![number as u8; size];
        let mut builder = Builder::new();
        builder.push(&Record { value: Some(&payload), ..Record::default() }).unwrap();
        let mut batch = Vec::new();
        builder.finish_into(&mut batch, number as i64, 0, None);
        let envelope = Envelope {
            kind: KIND_BATCH,
            slot: 5,
            epoch: 1,
            partition: 0,
            sequence: number as u64 + 1,
            topic_id: 9 + number as u64 % 3,
            append_ns: number as i64,
            expiry_ns: 0,
            records_count: 1,
        };
        let start = first_lsn + log.len() as u64;
        envelope.write_into(&batch, &mut log);
        places.push((start, first_lsn + log.len() as u64));
    }
    (log, places)
}

type Values = Vec<(Vec<u8>, Vec<u8>)>;

/// The log as values, in commits of `per_commit` envelopes.
fn values_of(first_lsn: u64, log: &[u8], places: &[(u64, u64)], per_commit: usize) -> Values {
    let mut out = Vec::new();
    for commit in places.chunks(per_commit) {
        let (start, end) = (commit[0].0, commit[commit.len() - 1].1);
        let bytes = &log[(start - first_lsn) as usize..(end - first_lsn) as usize];
        out.extend(cut(start, &[bytes]).unwrap().into_iter().map(|pair| (pair.key, pair.value.to_vec())));
    }
    out
}

fn scanned(first_lsn: u64, values: &Values) -> (Vec<Event>, Vec<(u64, u64)>) {
    let (mut scan, mut events, mut whole) = (Scan::new(first_lsn, true), Vec::new(), Vec::new());
    let mut take = |lsn: u64, _: &Envelope, bytes: &[u8]| whole.push((lsn, lsn + bytes.len() as u64));
    for (key, value) in values {
        scan.feed(key, value, &mut events, &mut take);
    }
    scan.finish(&mut events, &mut take);
    assert_eq!(scan.batches(), whole.len() as u64);
    (events, whole)
}

fn check_tiling(first_lsn: u64, end_lsn: u64, events: &[Event], whole: &[(u64, u64)]) {
    let mut at = first_lsn;
    let mut verified = 0;
    for event in events {
        match *event {
            Event::Whole { start, end } => {
                assert!(start == at && start < end, "{events:?}");
                verified += end - start;
                at = end;
            }
            Event::Damaged { start, end, .. } | Event::Torn { start, end, .. } => {
                assert!(start == at && start < end, "{events:?}");
                at = end;
            }
            Event::Hole { start, end } | Event::Value { start, end, .. } => assert!(start <= end),
        }
    }
    assert_eq!(at, end_lsn, "{events:?}");
    assert_eq!(verified, whole.iter().map(|(start, end)| end - start).sum::<u64>());
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![20 => 0..200_usize, 2 => 200..3000_usize, 1 => 60_000..140_000_usize];
    prop::collection::vec(size, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_log_is_cut_without_loss(sizes in sizes(), first_lsn in 0..1_u64 << 50, cuts: [prop::sample::Index; 3]) {
        let (log, places) = log_of(first_lsn, &sizes);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len())).collect();
        cuts.sort_unstable();
        let parts = [&log[..cuts[0]], &log[cuts[0]..cuts[1]], &log[cuts[1]..cuts[2]], &log[cuts[2]..]];
        let pairs = cut(first_lsn, &parts).unwrap();
        let (mut at, mut joined) = (first_lsn, Vec::new());
        for pair in &pairs {
            let piece = Piece::parse(&pair.key, &pair.value).unwrap();
            prop_assert_eq!(piece.lsn, at);
            let begins = places.iter().map(|place| place.0).find(|&begin| begin >= at && begin < piece.end());
            prop_assert_eq!(piece.first.map(|first| at + u64::from(first)), begins);
            joined.extend_from_slice(piece.bytes);
            at = piece.end();
        }
        prop_assert_eq!(joined, log.clone());
        let (whole, parted) = (build(first_lsn, &[&log], false, &[]).unwrap(), build(first_lsn, &parts, true, &[]).unwrap());
        prop_assert_eq!(whole.header, parted.header);
        prop_assert!(whole.pairs.iter().zip(&parted.pairs).all(|(a, b)| a.key == b.key && *a.value == *b.value));
    }

    #[test]
    fn damage_costs_nothing_beyond_the_next_beginning(
        sizes in sizes(),
        per_commit in 1..30_usize,
        first_lsn in 0..1_u64 << 50,
        spot: prop::sample::Index,
        damage in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let (log, places) = log_of(first_lsn, &sizes);
        let mut values = values_of(first_lsn, &log, &places, per_commit);
        let firsts: Vec<u64> = values
            .iter()
            .filter_map(|(key, value)| {
                let piece = Piece::parse(key, value).unwrap();
                piece.first.map(|first| piece.lsn + u64::from(first))
            })
            .collect();
        // Overwritten log bytes, from one value into the next ones.
        let from = spot.index(log.len());
        let until = (from + damage.len()).min(log.len());
        let mut at = 0;
        for (_, value) in &mut values {
            for byte in &mut value[PIECE_HEADER_LEN..] {
                if (from..until).contains(&at) {
                    *byte = damage[at - from];
                }
                at += 1;
            }
        }
        let (events, whole) = scanned(first_lsn, &values);
        check_tiling(first_lsn, first_lsn + log.len() as u64, &events, &whole);
        prop_assert!(whole.iter().all(|place| places.contains(place)), "{:?}", events);
        let (from, until) = (first_lsn + from as u64, first_lsn + until as u64);
        let again = firsts.iter().copied().find(|&first| first >= until).unwrap_or(u64::MAX);
        for place in places.iter().filter(|place| place.1 <= from || place.0 >= again) {
            prop_assert!(whole.contains(place), "{:?} of {:?}", place, events);
        }
    }

    #[test]
    fn lost_values_are_holes(
        sizes in sizes(), per_commit in 1..30_usize, lost in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let (log, places) = log_of(0, &sizes);
        let mut values = values_of(0, &log, &places, per_commit);
        let mut gone = Vec::new();
        for lost in lost {
            // The last one stays: what nothing follows is not missed.
            if values.len() > 1 {
                let (key, value) = values.remove(lost.index(values.len() - 1));
                let lsn = u64::from_be_bytes(key.try_into().unwrap());
                gone.push((lsn, lsn + (value.len() - PIECE_HEADER_LEN) as u64));
            }
        }
        let (events, whole) = scanned(0, &values);
        check_tiling(0, log.len() as u64, &events, &whole);
        let is_kept = |place: &&(u64, u64)| gone.iter().all(|hole| place.1 <= hole.0 || place.0 >= hole.1);
        prop_assert_eq!(&whole, &places.iter().filter(is_kept).copied().collect::<Vec<_>>());
        let holes: u64 = events.iter().map(|event| if let Event::Hole { start, end } = event { end - start } else { 0 }).sum();
        prop_assert_eq!(holes, gone.iter().map(|hole| hole.1 - hole.0).sum::<u64>());
    }
}

#[test]
fn an_envelope_over_many_values_is_put_together() {
    let (log, places) = log_of(0, &[10, 5 * PIECE_BYTES_MAX, 10]);
    let values = values_of(0, &log, &places, 3);
    assert_eq!(values.len(), 6);
    let (events, whole) = scanned(0, &values);
    assert_eq!(whole, places);
    check_tiling(0, log.len() as u64, &events, &whole);
    assert!(events.iter().all(|event| matches!(event, Event::Whole { .. })));
}

#[test]
fn a_scan_may_begin_at_any_envelope_of_a_value() {
    let (log, places) = log_of(0, &[500; 400]);
    let values = values_of(0, &log, &places, 400);
    assert!(values.len() > 2);
    for (number, &(start, _)) in places.iter().enumerate().step_by(37) {
        let at_or_below =
            values.iter().rposition(|(key, _)| u64::from_be_bytes(key[..].try_into().unwrap()) <= start);
        let (events, whole) = scanned(start, &values[at_or_below.unwrap()..].to_vec());
        assert_eq!(whole, places[number..]);
        check_tiling(start, log.len() as u64, &events, &whole);
        assert!(events.iter().all(|event| matches!(event, Event::Whole { .. })), "{events:?}");
    }
}

#[test]
fn a_length_that_later_values_contradict_is_not_waited_for() {
    let (log, places) = log_of(0, &[60_000; 20]);
    let mut values = values_of(0, &log, &places, 20);
    // 8 MiB and a bit: within the bound, above all that follows.
    values[0].1[PIECE_HEADER_LEN + 2] |= 0x80;
    let (mut scan, mut events) = (Scan::new(0, true), Vec::new());
    let mut fed = 0;
    for (key, value) in &values {
        scan.feed(key, value, &mut events, |_, _, _| {});
        fed += 1;
        if !events.is_empty() {
            break;
        }
    }
    assert_eq!(fed, 3, "{events:?}");
    assert!(
        matches!(events[0], Event::Damaged { start: 0, end, claim: Some(claim), .. }
            if end == places[0].1 && (claim.topic_id, claim.base, claim.records) == (9, 0, 1)),
        "{events:?}"
    );
    assert!(matches!(events[1], Event::Whole { .. }));
}

#[test]
fn acknowledged_envelopes_behind_a_wrong_length_are_not_a_torn_end() {
    let (log, places) = log_of(0, &[100; 50]);
    for byte in 0..ENVELOPE_LEN {
        let mut values = values_of(0, &log, &places, 50);
        values[0].1[PIECE_HEADER_LEN + places[3].0 as usize + byte] ^= 0x40;
        let (events, whole) = scanned(0, &values);
        assert_eq!(whole.len(), 49, "byte {byte}: {events:?}");
        assert!(events
            .iter()
            .any(|event| matches!(event, Event::Damaged { start, end, .. } if (*start, *end) == places[3])));
    }
}
