//! The route cache: topic name → the log's topic index, the slot of partition 0 and its leader.
//!
//! In: names with their XXH3-64 and the epoch of the slot table in use. Out: routes that were put under that
//! epoch, never another's: the name is compared byte by byte, since hashes of names chosen by clients may
//! collide. It is consulted inside the native append (key by key from Python it loses to a `dict`).
//!
//! Sets of 16 ways, a power of two of them. A lookup reads one cache line of 16 tags and one of the route
//! with its name; names above 47 bytes lie beside. Replacement is bit-PLRU (Malamy et al., US patent 5353425,
//! 1994): a bit per way marks recent use, the first unmarked way is evicted, and marking the last one clears
//! the others.

use hashbrown::HashMap;

use crate::limits::ROUTES_COUNT_MAX;

const WAYS: usize = 16;
const INLINE_NAME_BYTES: usize = 47;

/// Where the messages of a topic go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The topic's index in the log.
    pub topic: u32,
    /// The slot of its partition 0.
    pub slot0: u16,
    /// The member that leads that slot, an index into the slot table's members.
    pub leader: u16,
}

#[derive(Clone)]
#[repr(align(64))]
struct Way {
    table_epoch: u64,
    route: Route,
    name_bytes: u8,
    name: [u8; INLINE_NAME_BYTES],
}

#[derive(Clone)]
#[repr(align(64))]
struct Tags([u32; WAYS]);

/// Which ways of a set hold a route, and which were used of late.
#[derive(Clone, Copy, Default)]
struct Marks {
    used: u16,
    recent: u16,
}

/// A bounded, set-associative map from topic names to routes.
pub struct RouteCache {
    tags: Box<[Tags]>,
    marks: Box<[Marks]>,
    ways: Box<[Way]>,
    long_names: HashMap<u32, Box<[u8]>>,
    len: usize,
    hits: u64,
    misses: u64,
}

impl Default for RouteCache {
    fn default() -> Self {
        Self::new(ROUTES_COUNT_MAX)
    }
}

impl RouteCache {
    /// A cache for at least `routes` routes: 16 times the next power of two. Memory is 68 bytes per route,
    /// taken once.
    ///
    /// # Panics
    /// When `routes` is above 2^24.
    pub fn new(routes: usize) -> Self {
        assert!(routes <= 1 << 24, "a route cache of {routes} routes exceeds 16777216");
        let sets = routes.div_ceil(WAYS).next_power_of_two();
        let route = Route { topic: 0, slot0: 0, leader: 0 };
        let empty = Way { table_epoch: 0, route, name_bytes: 0, name: [0; INLINE_NAME_BYTES] };
        Self {
            tags: vec![Tags([0; WAYS]); sets].into_boxed_slice(),
            marks: vec![Marks::default(); sets].into_boxed_slice(),
            ways: vec![empty; sets * WAYS].into_boxed_slice(),
            long_names: HashMap::new(),
            len: 0,
            hits: 0,
            misses: 0,
        }
    }

    /// The route that was put for `name` under `table_epoch`, counted as hit or miss. `hash` is XXH3-64 of
    /// the name.
    #[inline]
    pub fn get(&mut self, name: &[u8], hash: u64, table_epoch: u64) -> Option<Route> {
        let set = self.set_of(hash);
        if let Some(way) = self.find(set, name, hash) {
            let held = &self.ways[set * WAYS + way];
            if held.table_epoch == table_epoch {
                let route = held.route;
                self.mark(set, way);
                self.hits += 1;
                return Some(route);
            }
        }
        self.misses += 1;
        None
    }

    /// Keeps `route` for `name` under `table_epoch`, in place of what was there for that name. A full set
    /// gives up a route that was not used of late.
    pub fn put(&mut self, name: &[u8], hash: u64, table_epoch: u64, route: Route) {
        let set = self.set_of(hash);
        let found = self.find(set, name, hash);
        let way = found.unwrap_or_else(|| self.vacate(set));
        let index = set * WAYS + way;
        let entry = &mut self.ways[index];
        entry.table_epoch = table_epoch;
        entry.route = route;
        if found.is_none() {
            if let Some(inline) = entry.name.get_mut(..name.len()) {
                inline.copy_from_slice(name);
                entry.name_bytes = u8::try_from(name.len()).expect("at most 47");
            } else {
                entry.name_bytes = u8::MAX;
                self.long_names.insert(key_of(index), name.into());
            }
            self.tags[set].0[way] = tag_of(hash);
            self.marks[set].used |= 1 << way;
            self.len += 1;
        }
        self.mark(set, way);
    }

    /// Forgets the route of one name; true when there was one. Constant time.
    pub fn remove(&mut self, name: &[u8], hash: u64) -> bool {
        let set = self.set_of(hash);
        let found = self.find(set, name, hash);
        if let Some(way) = found {
            self.release(set, way);
        }
        found.is_some()
    }

    /// Forgets every route to `topic` and returns how many there were. Looks at the whole cache: where the
    /// name is at hand, [`RouteCache::remove`] is the cheap way.
    pub fn invalidate(&mut self, topic: u32) -> usize {
        let before = self.len;
        for set in 0..self.marks.len() {
            let mut left = self.marks[set].used;
            while left != 0 {
                let way = left.trailing_zeros() as usize;
                left &= left - 1;
                if self.ways[set * WAYS + way].route.topic == topic {
                    self.release(set, way);
                }
            }
        }
        before - self.len
    }

    /// Routes held, of whatever epoch.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no route.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Routes it can hold.
    pub fn capacity(&self) -> usize {
        self.ways.len()
    }

    /// Lookups that were answered, since the start.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Lookups that were not, since the start.
    pub fn misses(&self) -> u64 {
        self.misses
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the mask keeps the low bits only
    fn set_of(&self, hash: u64) -> usize {
        hash as usize & (self.tags.len() - 1)
    }

    #[inline]
    fn find(&self, set: usize, name: &[u8], hash: u64) -> Option<usize> {
        let tag = tag_of(hash);
        let mut left = 0u16;
        for (way, &held) in self.tags[set].0.iter().enumerate() {
            left |= u16::from(held == tag) << way;
        }
        left &= self.marks[set].used;
        while left != 0 {
            let way = left.trailing_zeros() as usize;
            left &= left - 1;
            if self.is_named(set * WAYS + way, name) {
                return Some(way);
            }
        }
        None
    }

    #[inline]
    fn is_named(&self, index: usize, name: &[u8]) -> bool {
        let way = &self.ways[index];
        match way.name.get(..usize::from(way.name_bytes)) {
            Some(inline) => inline == name,
            None => self.long_names.get(&key_of(index)).is_some_and(|long| long.as_ref() == name),
        }
    }

    #[inline]
    fn mark(&mut self, set: usize, way: usize) {
        let marks = &mut self.marks[set];
        marks.recent |= 1 << way;
        if marks.recent == u16::MAX {
            marks.recent = 1 << way;
        }
    }

    /// A way of the set that holds nothing, emptied if there was none.
    fn vacate(&mut self, set: usize) -> usize {
        let marks = self.marks[set];
        if marks.used != u16::MAX {
            return (!marks.used).trailing_zeros() as usize;
        }
        debug_assert_ne!(marks.recent, u16::MAX);
        let way = (!marks.recent).trailing_zeros() as usize;
        self.release(set, way);
        way
    }

    fn release(&mut self, set: usize, way: usize) {
        let index = set * WAYS + way;
        if usize::from(self.ways[index].name_bytes) > INLINE_NAME_BYTES {
            self.long_names.remove(&key_of(index));
        }
        let marks = &mut self.marks[set];
        debug_assert!(marks.used & (1 << way) != 0);
        marks.used &= !(1 << way);
        marks.recent &= !(1 << way);
        self.len -= 1;
    }
}

/// The half of the hash that does not choose the set.
#[inline]
fn tag_of(hash: u64) -> u32 {
    u32::try_from(hash >> 32).expect("32 bits")
}

#[inline]
fn key_of(index: usize) -> u32 {
    u32::try_from(index).expect("at most 2^28 ways")
}
