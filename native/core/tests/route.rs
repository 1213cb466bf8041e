//! The route cache against a plain map: it may forget, it may never answer wrongly.
use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sprawl_core::route::{Route, RouteCache};
use xxhash_rust::xxh3::xxh3_64;

fn route(topic: u32) -> Route {
    Route { topic, slot0: (topic % 4096).try_into().unwrap(), leader: (topic % 7).try_into().unwrap() }
}

#[derive(Clone, Debug)]
enum Step {
    Get(usize, u64),
    Put(usize, u64, u32),
    Remove(usize),
    Invalidate(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..60usize;
    let epoch = 0..3u64;
    prop_oneof![
        4 => (name.clone(), epoch.clone()).prop_map(|(name, epoch)| Step::Get(name, epoch)),
        4 => (name.clone(), epoch, 0..40u32).prop_map(|(name, epoch, topic)| Step::Put(name, epoch, topic)),
        1 => name.prop_map(Step::Remove),
        1 => (0..40u32).prop_map(Step::Invalidate),
    ]
}

/// Names of all lengths around the inline bound, some of them long.
fn name(index: usize) -> Vec<u8> {
    let length = if index % 3 == 0 { 200 + index % 49 } else { 1 + index };
    let mut name = vec![b'x'; length];
    name[length - 1] = b'A' + u8::try_from(index / 2).unwrap();
    name
}

/// What a hash function with few results does: sets overflow and tags are shared.
fn poor_hash(name: &[u8]) -> u64 {
    xxh3_64(name) & 0x1_0000_0001
}

fn run(steps: &[Step], capacity: usize, hash: fn(&[u8]) -> u64) -> Result<(), TestCaseError> {
    let mut cache = RouteCache::new(capacity);
    let mut model: HashMap<Vec<u8>, (u64, Route)> = HashMap::new();
    let (mut hits, mut misses) = (0, 0);
    for step in steps {
        match *step {
            Step::Get(index, epoch) => {
                let name = name(index);
                let found = cache.get(&name, hash(&name), epoch);
                let wanted = model.get(&name).filter(|(held, _)| *held == epoch).map(|(_, route)| *route);
                if let Some(found) = found {
                    hits += 1;
                    prop_assert_eq!(Some(found), wanted);
                } else {
                    misses += 1;
                }
            }
            Step::Put(index, epoch, topic) => {
                let name = name(index);
                cache.put(&name, hash(&name), epoch, route(topic));
                prop_assert_eq!(cache.get(&name, hash(&name), epoch), Some(route(topic)));
                hits += 1;
                model.insert(name, (epoch, route(topic)));
            }
            Step::Remove(index) => {
                let name = name(index);
                let removed = cache.remove(&name, hash(&name));
                prop_assert!(model.remove(&name).is_some() || !removed);
                prop_assert_eq!(cache.get(&name, hash(&name), 0), None);
                misses += 1;
            }
            Step::Invalidate(topic) => {
                let held = model.len();
                model.retain(|_, (_, route)| route.topic != topic);
                prop_assert!(cache.invalidate(topic) <= held - model.len());
                prop_assert_eq!(cache.invalidate(topic), 0);
            }
        }
        prop_assert!(cache.len() <= cache.capacity() && cache.len() <= model.len());
        prop_assert_eq!((cache.hits(), cache.misses()), (hits, misses));
    }
    Ok(())
}

proptest! {
    #[test]
    fn it_never_answers_what_was_not_put(steps in vec(step(), 1..300)) {
        run(&steps, 32, xxh3_64)?;
    }

    #[test]
    fn names_whose_hashes_collide_stay_apart(steps in vec(step(), 1..300)) {
        run(&steps, 32, poor_hash)?;
    }
}

#[test]
fn the_default_holds_ten_thousand_topics_with_few_misses() {
    let mut cache = RouteCache::default();
    let names: Vec<Vec<u8>> = (0..10_000).map(|index| format!("orders.{index}").into_bytes()).collect();
    assert_eq!(cache.capacity(), 16_384);
    let look_up = |cache: &mut RouteCache, topic: usize| {
        let hash = xxh3_64(&names[topic]);
        let topic = u32::try_from(topic).unwrap();
        if cache.get(&names[topic as usize], hash, 1).is_none() {
            cache.put(&names[topic as usize], hash, 1, route(topic));
        }
    };
    for topic in 0..names.len() {
        look_up(&mut cache, topic);
    }
    assert_eq!((cache.hits(), cache.misses()), (0, 10_000));
    for step in 0..100_000u64 {
        look_up(&mut cache, usize::try_from(xxh3_64(&step.to_le_bytes()) % 10_000).unwrap());
    }
    assert!(
        cache.misses() - 10_000 <= 1_000,
        "{} misses of 100,000 uniform lookups",
        cache.misses() - 10_000
    );
    assert!(cache.len() > 9_900);
}

#[test]
fn a_route_in_use_outlives_those_that_pass_by() {
    let mut cache = RouteCache::new(16);
    assert_eq!((cache.capacity(), cache.is_empty()), (16, true));
    cache.put(b"kept", 0, 1, route(1));
    for topic in 0..1_000u32 {
        assert_eq!(cache.get(b"kept", 0, 1), Some(route(1)), "after {topic} others");
        cache.put(&topic.to_le_bytes(), u64::from(topic) << 32, 1, route(topic));
    }
    assert_eq!(cache.len(), 16);
}

#[test]
fn a_route_of_another_table_is_a_miss_until_it_is_put_again() {
    let mut cache = RouteCache::default();
    let hash = xxh3_64(b"t");
    cache.put(b"t", hash, 1, route(5));
    assert_eq!(cache.get(b"t", hash, 2), None);
    cache.put(b"t", hash, 2, route(6));
    assert_eq!(cache.get(b"t", hash, 2), Some(route(6)));
    assert_eq!(cache.get(b"t", hash, 1), None);
    assert_eq!((cache.len(), cache.hits(), cache.misses()), (1, 1, 2));
}
