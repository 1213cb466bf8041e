//! Random insertions, removals and matches of the pattern trie, held against a list of patterns.

use std::collections::BTreeSet;

use sprawl_core::trie::{pattern_matches, valid_pattern, TopicTrie};

// Lines: an operation byte, an id byte, then a pattern or a name.
/// One input.
pub fn run(data: &[u8]) {
    let mut trie = TopicTrie::new();
    let mut model: BTreeSet<(&[u8], u8)> = BTreeSet::new();
    for line in data.split(|&byte| byte == b'\n').take(256) {
        let [operation, id, name @ ..] = line else { continue };
        match operation % 3 {
            0 => {
                let wanted = valid_pattern(name).then(|| model.insert((name, *id)));
                assert_eq!(trie.insert(name, *id).ok(), wanted);
            }
            1 => assert_eq!(trie.remove(name, *id), model.remove(&(name, *id))),
            _ => {
                let matching = model.iter().filter(|(pattern, _)| pattern_matches(pattern, name));
                let wanted: BTreeSet<u8> = matching.map(|(_, id)| *id).collect();
                assert_eq!(trie.matches(name), wanted.into_iter().collect::<Vec<_>>());
            }
        }
        assert_eq!(trie.len(), model.len());
    }
    for (pattern, id) in &model {
        assert!(trie.remove(pattern, *id));
    }
    assert_eq!(trie.node_count(), 1);
}
