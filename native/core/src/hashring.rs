//! The hash ring: which members shall hold each of the 4096 slots.
//!
//! In: members with weights. Out: per slot its replicas, the preferred leader first. Consistent hashing with
//! virtual nodes ("tokens", one per unit of weight) and bounded loads: a slot walks clockwise from its own
//! point to the first member that has room and does not hold it yet (Mirrokni, Thorup, Zadimoghaddam,
//! "Consistent Hashing with Bounded Loads", 2016). Integers only, so that every node computes the same
//! placement. Invariants of a placement: the replicas of a slot are distinct; no member holds more than
//! `ceil((1 + ε) × fair share)` copies. It is computed when membership changes, never per message. Twin:
//! tests/models/hashring.py; reasons: docs/design/routing.md.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{MEMBERS_COUNT_MAX, NODE_ID_BYTES_MAX, REPLICAS_COUNT_MAX, SLOTS_COUNT};

/// The weight of an ordinary machine; twice as much capacity is twice as much weight.
pub const WEIGHT_ORDINARY: u32 = 128;
/// Weight of one member at most: 32 ordinary machines.
pub const WEIGHT_MAX: u32 = 4096;
/// Largest ε: a member may hold up to ten times its fair share more.
pub const EPSILON_PERMILLE_MAX: u32 = 10_000;

const SLOTS: u64 = SLOTS_COUNT as u64;

/// Why a ring or a placement cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashRingError(String);

impl fmt::Display for HashRingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for HashRingError {}

/// Members on a circle of 64-bit points, one token per unit of weight.
pub struct HashRing {
    /// Sorted by point, then by member.
    tokens: Vec<(u64, u16)>,
    /// By member in order of ids.
    weights: Vec<u64>,
    /// Member in order of ids → its index as given.
    given: Vec<u16>,
}

impl HashRing {
    /// The ring of `members`, each an id and a weight of 1 to [`WEIGHT_MAX`]. Their order plays no part.
    ///
    /// # Errors
    /// When there are no members or more than `MEMBERS_COUNT_MAX`, or one has no, a repeated or too long an
    /// id or a weight out of bounds.
    pub fn new<I: AsRef<str>>(members: &[(I, u32)]) -> Result<Self, HashRingError> {
        if members.is_empty() || members.len() > MEMBERS_COUNT_MAX {
            return Err(HashRingError(format!(
                "{} members instead of 1 to {MEMBERS_COUNT_MAX}",
                members.len()
            )));
        }
        let mut sorted: Vec<(&str, u32, u16)> = Vec::with_capacity(members.len());
        for ((id, weight), index) in members.iter().zip(0u16..) {
            let id = id.as_ref();
            if id.is_empty() || id.len() > NODE_ID_BYTES_MAX {
                return Err(HashRingError(format!(
                    "a node id of {} bytes, not 1 to {NODE_ID_BYTES_MAX}",
                    id.len()
                )));
            }
            if !(1..=WEIGHT_MAX).contains(weight) {
                return Err(HashRingError(format!(
                    "member {id:?} has weight {weight}, not 1 to {WEIGHT_MAX}"
                )));
            }
            sorted.push((id, *weight, index));
        }
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(HashRingError(format!("member {:?} is named twice", pair[0].0)));
        }
        let mut tokens = Vec::new();
        let mut name = Vec::new();
        for ((id, weight, _), member) in sorted.iter().zip(0u16..) {
            for token in 0..*weight {
                name.clear();
                name.extend_from_slice(id.as_bytes());
                name.push(0);
                name.extend_from_slice(&token.to_le_bytes());
                tokens.push((xxh3_64(&name), member));
            }
        }
        tokens.sort_unstable();
        let weights = sorted.iter().map(|&(_, weight, _)| u64::from(weight)).collect();
        Ok(Self { tokens, weights, given: sorted.iter().map(|&(_, _, index)| index).collect() })
    }

    /// Per slot the indexes (into the members as given) that shall hold it, the preferred leader first:
    /// `replicas` of them, or all members when there are fewer. ε, in thousandths, is how much more than its
    /// fair share a member may hold; it bounds copies always, and leaderships too unless weights are so
    /// uneven that distinct replicas cannot be had otherwise.
    ///
    /// # Errors
    /// When `replicas` is not 1 to `REPLICAS_COUNT_MAX` or ε is above [`EPSILON_PERMILLE_MAX`].
    pub fn placement(&self, replicas: usize, epsilon_permille: u32) -> Result<Vec<Vec<u16>>, HashRingError> {
        if !(1..=REPLICAS_COUNT_MAX).contains(&replicas) {
            return Err(HashRingError(format!("{replicas} replicas, not 1 to {REPLICAS_COUNT_MAX}")));
        }
        if epsilon_permille > EPSILON_PERMILLE_MAX {
            return Err(HashRingError(format!("ε of {epsilon_permille} ‰ exceeds {EPSILON_PERMILLE_MAX}")));
        }
        let replicas = replicas.min(self.weights.len());
        let mut work = Work { slots: vec![Vec::new(); SLOTS_COUNT], load: vec![0; self.weights.len()] };
        let leaders = bounds(&self.weights, 1, epsilon_permille);
        let copies = bounds(&self.weights, replicas as u64, epsilon_permille);
        for rank in 0..replicas {
            let limit = if rank == 0 { &leaders } else { &copies };
            for (slot, number) in (0u16..).take(SLOTS_COUNT).enumerate() {
                let member = match self.walk(number, &work.slots[slot], &work.load, limit) {
                    Some(member) => {
                        work.slots[slot].push(member);
                        member
                    }
                    None => work.make_room(slot, limit),
                };
                work.load[usize::from(member)] += 1;
            }
        }
        debug_assert!(work.load.iter().zip(&copies).all(|(load, bound)| load <= bound));
        for held in &mut work.slots {
            for member in held {
                *member = self.given[usize::from(*member)];
            }
        }
        Ok(work.slots)
    }

    /// The first member clockwise from the slot's point that has room and is not in `held`.
    fn walk(&self, slot: u16, held: &[u16], load: &[u64], limit: &[u64]) -> Option<u16> {
        let [low, high] = slot.to_le_bytes();
        let point = xxh3_64(&[b's', b'l', b'o', b't', low, high]);
        let start = self.tokens.partition_point(|&(token, _)| token < point);
        let (before, after) = self.tokens.split_at(start);
        let mut clockwise = after.iter().chain(before).map(|&(_, member)| member);
        clockwise.find(|&member| has_room(member, load, limit) && !held.contains(&member))
    }
}

/// Copies that each member may hold: `ceil((1 + ε) × share)`, where the share of a member is by weight but
/// never more than one copy of each slot. Members whose share is cut leave the rest to the others.
fn bounds(weights: &[u64], copies_per_slot: u64, epsilon_permille: u32) -> Vec<u64> {
    let mut heaviest_first: Vec<usize> = (0..weights.len()).collect();
    heaviest_first.sort_by_key(|&member| std::cmp::Reverse(weights[member]));
    let mut copies = SLOTS * copies_per_slot;
    let mut total: u64 = weights.iter().sum();
    let mut result = vec![SLOTS; weights.len()];
    for (position, &member) in heaviest_first.iter().enumerate() {
        if weights[member] * copies < SLOTS * total {
            for &member in &heaviest_first[position..] {
                let above = weights[member] * copies * (1000 + u64::from(epsilon_permille));
                result[member] = above.div_ceil(1000 * total).min(SLOTS);
            }
            break;
        }
        copies -= SLOTS;
        total -= weights[member];
    }
    result
}

fn has_room(member: u16, load: &[u64], limit: &[u64]) -> bool {
    load[usize::from(member)] < limit[usize::from(member)]
}

struct Work {
    slots: Vec<Vec<u16>>,
    load: Vec<u64>,
}

impl Work {
    /// Gives `slot` one more member when every member with room holds it already, and returns who got one
    /// more copy: the shortest chain of exchanges that ends at a member with room (an augmenting path; one
    /// exists, since the bounds add up to at least all copies). Leaders stay unless no chain without them
    /// exists.
    fn make_room(&mut self, slot: usize, limit: &[u64]) -> u16 {
        let end = self.exchange(slot, limit, 1).or_else(|| self.exchange(slot, limit, 0));
        end.expect("bounds add up to at least all copies")
    }

    fn exchange(&mut self, slot: usize, limit: &[u64], first_rank: usize) -> Option<u16> {
        let members = 0..u16::try_from(self.load.len()).expect("at most MEMBERS_COUNT_MAX");
        let mut queue: Vec<u16> =
            members.clone().filter(|member| !self.slots[slot].contains(member)).collect();
        let mut is_seen: Vec<bool> = members.clone().map(|member| queue.contains(&member)).collect();
        // Who gives up which slot to the member; none for those that take `slot` itself.
        let mut origin: Vec<Option<(u16, usize)>> = vec![None; self.load.len()];
        let mut next = 0;
        while let Some(&member) = queue.get(next) {
            next += 1;
            for at in 0..self.slots.len() {
                if !self.slots[at].iter().skip(first_rank).any(|&holder| holder == member) {
                    continue;
                }
                for other in members.clone() {
                    if is_seen[usize::from(other)] || self.slots[at].contains(&other) {
                        continue;
                    }
                    origin[usize::from(other)] = Some((member, at));
                    if has_room(other, &self.load, limit) {
                        self.shift(slot, other, &origin);
                        return Some(other);
                    }
                    is_seen[usize::from(other)] = true;
                    queue.push(other);
                }
            }
        }
        None
    }

    /// Performs the exchanges that lead to `end`; the last giver takes `slot`.
    fn shift(&mut self, slot: usize, end: u16, origin: &[Option<(u16, usize)>]) {
        let mut taker = end;
        while let Some((giver, at)) = origin[usize::from(taker)] {
            let place = self.slots[at].iter_mut().find(|held| **held == giver);
            *place.expect("chains are shortest, so each slot changes once") = taker;
            taker = giver;
        }
        self.slots[slot].push(taker);
    }
}

#[cfg(test)]
mod tests {
    use super::Work;

    #[test]
    fn a_leader_gives_way_only_when_no_other_exchange_makes_room() {
        let mut work = Work { slots: vec![vec![1], vec![0]], load: vec![1, 1] };
        assert_eq!(work.exchange(0, &[1, 2], 1), None);
        assert_eq!(work.make_room(0, &[1, 2]), 1);
        assert_eq!(work.slots, [vec![1, 0], vec![1]]);

        let mut work = Work { slots: vec![vec![1], vec![0], vec![2, 0]], load: vec![2, 1, 1] };
        assert_eq!(work.make_room(0, &[2, 2, 1]), 1);
        assert_eq!(work.slots, [vec![1, 0], vec![0], vec![2, 1]]);
    }

    #[test]
    fn exchanges_may_form_a_chain() {
        // 1 alone has room and holds slots 0 and 1, so 2 takes slot 0 and gives slot 2 to 1.
        let mut work = Work { slots: vec![vec![1], vec![1, 0], vec![3, 2]], load: vec![1, 2, 1, 1] };
        assert_eq!(work.make_room(0, &[1, 3, 1, 1]), 1);
        assert_eq!(work.slots, [vec![1, 2], vec![1, 0], vec![3, 1]]);
    }
}
