//! Placement: distinct, bounded, the same for any order of members, and stable under arrival and departure.
use proptest::collection::vec;
use proptest::prelude::*;
use sprawl_core::hashring::{HashRing, WEIGHT_MAX, WEIGHT_ORDINARY};

type Members = Vec<(String, u32)>;

fn placement(members: &[(String, u32)], replicas: usize, epsilon_permille: u32) -> Vec<Vec<u16>> {
    HashRing::new(members).unwrap().placement(replicas, epsilon_permille).unwrap()
}

fn names(members: &[(String, u32)], placed: &[Vec<u16>]) -> Vec<Vec<String>> {
    let name = |&member: &u16| members[usize::from(member)].0.clone();
    placed.iter().map(|held| held.iter().map(name).collect()).collect()
}

fn ordinary(count: usize, seed: u64) -> Members {
    (0..count).map(|index| (format!("node-{seed}-{index}"), WEIGHT_ORDINARY)).collect()
}

fn weighted() -> impl Strategy<Value = Members> {
    let weight = prop_oneof![Just(1u32), Just(WEIGHT_MAX), 1..400u32];
    vec(weight, 1..9).prop_map(|weights| {
        weights.into_iter().enumerate().map(|(index, weight)| (format!("n{index}"), weight)).collect()
    })
}

/// Copies in `after` at members that did not hold them in `before`.
fn moved(before: &[Vec<String>], after: &[Vec<String>]) -> usize {
    before.iter().zip(after).map(|(old, new)| new.iter().filter(|member| !old.contains(member)).count()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_slot_has_distinct_members_and_no_member_too_much(
        members in weighted(), replicas in 1..6usize, epsilon in 0..500u32,
    ) {
        let placed = placement(&members, replicas, epsilon);
        let each = replicas.min(members.len());
        let mut load = vec![0u64; members.len()];
        prop_assert_eq!(placed.len(), 4096);
        for held in &placed {
            prop_assert_eq!(held.len(), each);
            for (position, member) in held.iter().enumerate() {
                prop_assert!(!held[..position].contains(member));
                load[usize::from(*member)] += 1;
            }
        }
        // No share is cut when nobody's weight asks for a slot twice: then the bound is plain.
        let total: u64 = members.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let each = each as u64;
        if members.iter().all(|(_, weight)| u64::from(*weight) * each <= total) {
            for ((_, weight), load) in members.iter().zip(load) {
                let above = u64::from(*weight) * 4096 * each * (1000 + u64::from(epsilon));
                prop_assert!(load <= above.div_ceil(1000 * total));
            }
        }
    }

    #[test]
    fn the_order_of_members_plays_no_part(
        (members, shuffled) in
            weighted().prop_flat_map(|given| (Just(given.clone()), Just(given).prop_shuffle())),
        epsilon in 0..300u32,
    ) {
        let one = names(&members, &placement(&members, 3, epsilon));
        prop_assert_eq!(one, names(&shuffled, &placement(&shuffled, 3, epsilon)));
    }

    /// The bound: of n members after an arrival (before a departure) no more than 1.5/n of all copies change
    /// hands, where 1/n is what fairness needs.
    #[test]
    fn one_arrival_or_departure_moves_at_most_one_and_a_half_of_its_share(
        seed in any::<u64>(), count in 3..17usize, replicas in 1..4usize, epsilon in 100..400u32,
    ) {
        let few = ordinary(count, seed);
        let many = ordinary(count + 1, seed);
        let before = names(&few, &placement(&few, replicas, epsilon));
        let after = names(&many, &placement(&many, replicas, epsilon));
        let bound = 4096 * replicas * 3 / (2 * (count + 1));
        prop_assert!(moved(&before, &after) <= bound, "arrival: {} of {bound}", moved(&before, &after));
        prop_assert!(moved(&after, &before) <= bound, "departure: {} of {bound}", moved(&after, &before));
    }

    #[test]
    fn leaderships_of_like_members_are_bounded_like_copies(
        seed in any::<u64>(), count in 1..17usize, replicas in 1..4usize, epsilon in 0..400u32,
    ) {
        let mut led = vec![0usize; count];
        for held in placement(&ordinary(count, seed), replicas, epsilon) {
            led[usize::from(held[0])] += 1;
        }
        let bound = (4096 * (1000 + epsilon as usize)).div_ceil(1000 * count);
        prop_assert!(led.iter().all(|&led| led <= bound), "{led:?} exceeds {bound}");
    }
}

#[test]
fn members_too_light_for_their_bound_are_passed_over_by_exchanges() {
    // Every slot needs the heavy member, so both light ones must share the rest exactly.
    let members: Members = vec![("a".into(), 400), ("b".into(), 1), ("c".into(), 1)];
    let mut load = [0; 3];
    for held in placement(&members, 2, 0) {
        assert!(held.contains(&0));
        for member in held {
            load[usize::from(member)] += 1;
        }
    }
    assert_eq!(load, [4096, 2048, 2048]);
}

#[test]
fn a_placement_is_the_same_on_every_machine() {
    let members: Members =
        vec![("n1".into(), 128), ("n2".into(), 128), ("n3".into(), 64), ("n4".into(), 256)];
    let placed = placement(&members, 3, 100);
    let bytes: Vec<u8> = placed.iter().flatten().flat_map(|member| member.to_le_bytes()).collect();
    assert_eq!(xxhash_rust::xxh3::xxh3_64(&bytes), GOLDEN);
}

/// XXH3-64 of that placement as u16le; a change of it moves data in every cluster.
const GOLDEN: u64 = 4_695_349_321_414_198_186;

#[test]
fn what_is_out_of_bounds_is_refused() {
    let new = |members: &[(&str, u32)]| HashRing::new(members).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(new(&[]), Err("0 members instead of 1 to 1024".into()));
    assert_eq!(new(&[("a", 1), ("b", 1), ("a", 2)]), Err("member \"a\" is named twice".into()));
    assert_eq!(new(&[("a", 0)]), Err("member \"a\" has weight 0, not 1 to 4096".into()));
    assert_eq!(new(&[("a", 4097)]), Err("member \"a\" has weight 4097, not 1 to 4096".into()));
    assert_eq!(new(&[("", 1)]), Err("a node id of 0 bytes, not 1 to 128".into()));
    assert_eq!(new(&[(&"x".repeat(128), 4096)]), Ok(()));
    let ring = HashRing::new(&[("a", 1)]).unwrap();
    assert!(
        ring.placement(0, 0).is_err() && ring.placement(8, 0).is_err() && ring.placement(1, 10_001).is_err()
    );
    assert!(ring.placement(7, 10_000).unwrap().iter().all(|held| held == &[0]));
}
