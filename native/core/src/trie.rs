//! The pattern trie: topic patterns → subscriber ids.
//!
//! In: patterns (`*` stands for one token, `>` at the end for the rest, one token or more) with ids, and
//! topic names. Out: the sorted ids whose patterns match a name. Invariants: a node exists only while an id
//! lies at it or below it; a pattern is within the grammar of topic names (api.md, Topics), so within
//! `TOPIC_TOKENS_MAX` tokens. Names of `$sys.` are outside that grammar and match nothing.
//!
//! Nodes lie in one vector and know their parent and token; all edges share one hash table, so a node costs
//! no container of its own. A match visits each node at most once. docs/design/routing.md has the sketch.

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::ids::valid_topic;
use crate::limits::{TOPIC_BYTES_MAX, TOPIC_TOKENS_MAX};

const ROOT: u32 = 0;
const ONE: &[u8] = b"*";
const REST: &[u8] = b">";

/// A pattern outside the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPattern;

impl fmt::Display for InvalidPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "not a topic pattern: 1 to {TOPIC_BYTES_MAX} bytes, tokens of A-Z a-z 0-9 _ ~ - or * \
             joined by dots, the last may be >"
        )
    }
}

impl std::error::Error for InvalidPattern {}

/// Whether a pattern is within the grammar. A plain topic name is a pattern too.
pub fn valid_pattern(pattern: &[u8]) -> bool {
    let mut tokens = pattern.split(|&byte| byte == b'.').peekable();
    let mut is_valid = is_bounded(pattern);
    while let (true, Some(token)) = (is_valid, tokens.next()) {
        is_valid = token == ONE || (token == REST && tokens.peek().is_none()) || is_literal(token);
    }
    is_valid
}

/// Whether `pattern` matches `topic`; false when either is outside the grammar.
pub fn pattern_matches(pattern: &[u8], topic: &[u8]) -> bool {
    if !valid_pattern(pattern) || valid_topic(topic).is_err() {
        return false;
    }
    let mut tokens = topic.split(|&byte| byte == b'.');
    for wanted in pattern.split(|&byte| byte == b'.') {
        match tokens.next() {
            Some(_) if wanted == REST => return true,
            Some(token) if wanted == ONE || wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

struct Node<T> {
    /// The ids of the pattern that ends here, sorted.
    ids: Vec<T>,
    token: Box<[u8]>,
    parent: u32,
    children: u32,
    /// Whether a child is `*`, so that most lookups of it are saved.
    has_one: bool,
    /// Whether a child is `>`.
    has_rest: bool,
}

/// Patterns with the ids that are interested in them.
pub struct TopicTrie<T> {
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    edges: HashTable<u32>,
    hasher: DefaultHashBuilder,
    len: usize,
}

impl<T: Copy + Ord> Default for TopicTrie<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy + Ord> TopicTrie<T> {
    /// An empty trie.
    pub fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self {
            nodes: vec![Node::new(ROOT, ROOT_TOKEN)],
            free: Vec::new(),
            edges: HashTable::new(),
            hasher,
            len: 0,
        }
    }

    /// Adds `id` to `pattern`; false when it is there already.
    ///
    /// # Errors
    /// When the pattern is outside the grammar; nothing is changed then.
    ///
    /// # Panics
    /// When there would be 2^32 nodes; whoever feeds the trie bounds the patterns.
    pub fn insert(&mut self, pattern: &[u8], id: T) -> Result<bool, InvalidPattern> {
        if !valid_pattern(pattern) {
            return Err(InvalidPattern);
        }
        debug_assert!(pattern.split(|&byte| byte == b'.').count() <= TOPIC_TOKENS_MAX);
        let mut at = ROOT;
        for token in pattern.split(|&byte| byte == b'.') {
            at = self.child(at, token).unwrap_or_else(|| self.add_child(at, token));
        }
        let ids = &mut self.nodes[at as usize].ids;
        let place = ids.binary_search(&id);
        if let Err(place) = place {
            ids.insert(place, id);
            self.len += 1;
        }
        Ok(place.is_err())
    }

    /// Takes `id` from `pattern`; false when it was not there. Nodes that lead nowhere go.
    pub fn remove(&mut self, pattern: &[u8], id: T) -> bool {
        let Some(at) = self.find(pattern) else { return false };
        let ids = &mut self.nodes[at as usize].ids;
        let Ok(place) = ids.binary_search(&id) else { return false };
        ids.remove(place);
        if ids.len() < ids.capacity() / 4 {
            ids.shrink_to(ids.len() * 2);
        }
        self.len -= 1;
        self.prune(at);
        true
    }

    /// The ids whose patterns match `topic`, ascending, each once; none for a name outside the grammar.
    pub fn matches(&self, topic: &[u8]) -> Vec<T> {
        let mut found = Vec::new();
        self.matches_into(topic, &mut found);
        found
    }

    /// As [`TopicTrie::matches`], into a vector whose contents are replaced.
    pub fn matches_into(&self, topic: &[u8], found: &mut Vec<T>) {
        found.clear();
        if self.len == 0 || valid_topic(topic).is_err() {
            return;
        }
        let mut lists = 0;
        // Nodes to visit, each with where in the name its children's token starts.
        let mut left = vec![(ROOT, 0usize)];
        while let Some((at, start)) = left.pop() {
            let node = &self.nodes[at as usize];
            if start > topic.len() {
                lists += usize::from(!node.ids.is_empty());
                found.extend_from_slice(&node.ids);
                continue;
            }
            let rest = &topic[start..];
            let token = &rest[..memchr::memchr(b'.', rest).unwrap_or(rest.len())];
            let next = start + token.len() + 1;
            if node.has_rest {
                let ids = &self.nodes[self.child(at, REST).expect("marked") as usize].ids;
                lists += usize::from(!ids.is_empty());
                found.extend_from_slice(ids);
            }
            if node.has_one {
                left.push((self.child(at, ONE).expect("marked"), next));
            }
            if node.children > u32::from(node.has_one) + u32::from(node.has_rest) {
                left.extend(self.child(at, token).map(|child| (child, next)));
            }
        }
        if lists > 1 {
            found.sort_unstable();
            found.dedup();
        }
    }

    /// Pairs of pattern and id.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Nodes in use, the root among them.
    pub fn node_count(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    fn find(&self, pattern: &[u8]) -> Option<u32> {
        pattern.split(|&byte| byte == b'.').try_fold(ROOT, |at, token| self.child(at, token))
    }

    fn child(&self, parent: u32, token: &[u8]) -> Option<u32> {
        let is_it = |&at: &u32| self.nodes[at as usize].is_child(parent, token);
        self.edges.find(self.hasher.hash_one((parent, token)), is_it).copied()
    }

    fn add_child(&mut self, parent: u32, token: &[u8]) -> u32 {
        let node = Node::new(parent, token);
        let at = if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            at
        } else {
            let at = u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes");
            self.nodes.push(node);
            at
        };
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        let hash_of = |&at: &u32| nodes[at as usize].hash(hasher);
        self.edges.insert_unique(hasher.hash_one((parent, token)), at, hash_of);
        self.nodes[parent as usize].count_child(token, true);
        at
    }

    /// Frees `at` and what is above it as long as it holds no id and leads to none.
    fn prune(&mut self, mut at: u32) {
        while at != ROOT {
            let node = &self.nodes[at as usize];
            if node.children != 0 || !node.ids.is_empty() {
                return;
            }
            let parent = node.parent;
            let entry = self.edges.find_entry(node.hash(&self.hasher), |&other| other == at);
            entry.expect("every node but the root has its edge").remove();
            let token = std::mem::take(&mut self.nodes[at as usize].token);
            self.nodes[at as usize].ids = Vec::new();
            self.nodes[parent as usize].count_child(&token, false);
            self.free.push(at);
            at = parent;
        }
        if self.len == 0 {
            debug_assert_eq!(self.node_count(), 1);
            *self = Self::new();
        }
    }
}

/// No token is empty, so the root is nobody's child.
const ROOT_TOKEN: &[u8] = b"";

impl<T> Node<T> {
    fn new(parent: u32, token: &[u8]) -> Self {
        Self { ids: Vec::new(), token: token.into(), parent, children: 0, has_one: false, has_rest: false }
    }

    fn is_child(&self, parent: u32, token: &[u8]) -> bool {
        self.parent == parent && self.token.as_ref() == token
    }

    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        hasher.hash_one((self.parent, self.token.as_ref()))
    }

    fn count_child(&mut self, token: &[u8], is_there: bool) {
        if token == ONE {
            self.has_one = is_there;
        } else if token == REST {
            self.has_rest = is_there;
        }
        self.children = if is_there { self.children + 1 } else { self.children - 1 };
    }
}

fn is_bounded(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= TOPIC_BYTES_MAX
}

fn is_literal(token: &[u8]) -> bool {
    !token.is_empty() && token.iter().all(|&byte| IS_LITERAL[usize::from(byte)])
}

/// The bytes of tokens.
const IS_LITERAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'~' | b'-');
        byte += 1;
    }
    table
};
