//! Slot tables: what was said of each slot is what is read, and bytes that are not a table are refused.
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use sprawl_core::limits::{MEMBERS_COUNT_MAX, NODE_ID_BYTES_MAX, REPLICAS_COUNT_MAX, SLOTS_COUNT};
use sprawl_core::slots::{SlotEntry, SlotTable, NO_LEADER};
use xxhash_rust::xxh3::xxh3_64;

const SLOTS: u16 = 4096;

fn entry(members: u16) -> impl Strategy<Value = SlotEntry> {
    let most = REPLICAS_COUNT_MAX.min(usize::from(members));
    (btree_set(0..members, 1..=most), any::<u32>(), any::<u8>(), any::<prop::sample::Index>()).prop_flat_map(
        |(members, epoch, marks, pick)| {
            let members: Vec<u16> = members.into_iter().collect();
            Just(members).prop_shuffle().prop_map(move |replicas| {
                let choice = pick.index(replicas.len() + 1);
                let leader = replicas.get(choice).copied().unwrap_or(NO_LEADER);
                let in_sync = marks & u8::try_from((1u16 << replicas.len()) - 1).unwrap();
                SlotEntry { leader, epoch, replicas, in_sync }
            })
        },
    )
}

fn parts() -> impl Strategy<Value = (Vec<Box<str>>, Vec<SlotEntry>, u64)> {
    btree_set("[a-zé0-9-]{1,40}", 1..12).prop_flat_map(|ids| {
        let members = u16::try_from(ids.len()).unwrap();
        let ids: Vec<Box<str>> = ids.into_iter().map(Into::into).collect();
        let entries =
            vec(entry(members), 16).prop_map(|some| some.into_iter().cycle().take(SLOTS_COUNT).collect());
        (Just(ids), entries, any::<u64>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_table_says_what_it_was_given_also_after_bytes((members, entries, table_epoch) in parts()) {
        let table = SlotTable::new(members.clone(), &entries, table_epoch).unwrap();
        let again = SlotTable::decode(&table.encode()).unwrap();
        for (slot, entry) in (0..SLOTS).zip(&entries) {
            prop_assert_eq!(&table.entry(slot), entry);
            prop_assert_eq!(&again.entry(slot), entry);
            prop_assert_eq!(table.leader(slot), entry.leader);
            prop_assert_eq!(table.leader_id(slot), members.get(usize::from(entry.leader)).map(AsRef::as_ref));
        }
        prop_assert_eq!(again.members(), &members[..]);
        prop_assert_eq!(again.table_epoch(), table_epoch);
        for (index, id) in members.iter().enumerate() {
            prop_assert_eq!(again.member(id).map(usize::from), Some(index));
        }
    }

    #[test]
    fn a_changed_or_cut_table_is_refused(
        (members, entries, table_epoch) in parts(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let bytes = SlotTable::new(members, &entries, table_epoch).unwrap().encode();
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= flip;
        prop_assert!(SlotTable::decode(&flipped).is_err());
        prop_assert!(SlotTable::decode(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn bytes_with_a_right_checksum_never_panic(mut body in vec(any::<u8>(), 0..400)) {
        if let Some(version) = body.first_mut() {
            *version = 1;
        }
        body.extend_from_slice(&xxh3_64(&body).to_le_bytes());
        prop_assert!(SlotTable::decode(&body).is_err());
    }
}

#[test]
fn a_cluster_of_one_leads_everything() {
    let table = SlotTable::single("n1", 7).unwrap();
    for slot in 0..SLOTS {
        let entry = SlotEntry { leader: 0, epoch: 7, replicas: vec![0], in_sync: 1 };
        assert_eq!(table.entry(slot), entry);
        assert_eq!(table.leader_id(slot), Some("n1"));
    }
    assert_eq!((table.table_epoch(), table.members().len(), table.member("n2")), (7, 1, None));
}

#[test]
fn the_bytes_of_a_table_are_as_documented() {
    let bytes = SlotTable::single("ab", 3).unwrap().encode();
    assert_eq!(bytes[..16], [1, 0, 1, 0, 0, 16, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[16..19], *b"\x02ab");
    assert_eq!(bytes[19..29], [3, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
    assert_eq!(bytes.len(), 19 + 4096 * 10 + 8);
    assert_eq!(bytes[bytes.len() - 8..], xxh3_64(&bytes[..bytes.len() - 8]).to_le_bytes());
}

#[test]
fn each_broken_invariant_is_named() {
    let good = SlotEntry { leader: 1, epoch: 1, replicas: vec![1, 0], in_sync: 3 };
    let build = |last: SlotEntry| {
        let mut entries = vec![good.clone(); SLOTS_COUNT];
        entries[SLOTS_COUNT - 1] = last;
        SlotTable::new(vec!["a".into(), "b".into()], &entries, 1)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(build(good.clone()), Ok(()));
    assert_eq!(build(SlotEntry { leader: NO_LEADER, ..good.clone() }), Ok(()));
    let refused = [
        (SlotEntry { replicas: vec![], ..good.clone() }, "slot 4095 has 0 replicas, not 1 to 7"),
        (SlotEntry { replicas: vec![1, 2], ..good.clone() }, "slot 4095 names member 2 of 2"),
        (SlotEntry { replicas: vec![1, 1], ..good.clone() }, "slot 4095 names member 1 twice"),
        (
            SlotEntry { replicas: vec![0], in_sync: 1, ..good.clone() },
            "slot 4095 is led by 1, which does not hold it",
        ),
        (SlotEntry { in_sync: 4, ..good.clone() }, "slot 4095 marks more than its 2 replicas in sync"),
    ];
    for (entry, message) in refused {
        assert_eq!(build(entry), Err(message.to_string()));
    }
    let many = SlotEntry { replicas: (0..8).collect(), leader: 0, epoch: 1, in_sync: 0 };
    let ids: Vec<Box<str>> = (0..8).map(|index| index.to_string().into()).collect();
    assert!(SlotTable::new(ids, &vec![many; SLOTS_COUNT], 1).is_err());
}

#[test]
fn members_are_distinct_bounded_and_named() {
    let new = |ids: Vec<String>| {
        let entries = vec![SlotEntry { leader: 0, epoch: 1, replicas: vec![0], in_sync: 1 }; SLOTS_COUNT];
        SlotTable::new(ids.into_iter().map(Into::into).collect(), &entries, 1)
    };
    assert!(new(vec![]).is_err());
    assert!(new(vec!["a".into(), "b".into(), "a".into()]).is_err());
    assert!(new(vec![String::new()]).is_err());
    assert!(new(vec!["x".repeat(NODE_ID_BYTES_MAX)]).is_ok());
    assert!(new(vec!["x".repeat(NODE_ID_BYTES_MAX + 1)]).is_err());
    assert!(new((0..MEMBERS_COUNT_MAX).map(|index| index.to_string()).collect()).is_ok());
    assert!(new((0..=MEMBERS_COUNT_MAX).map(|index| index.to_string()).collect()).is_err());
}
