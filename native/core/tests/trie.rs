//! The trie against a plain list of patterns.
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use sprawl_core::trie::{pattern_matches, valid_pattern, InvalidPattern, TopicTrie};

/// The grammar's meaning written down once more, by recursion over tokens.
fn means(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([], []) | ([">"], [_, ..]) => true,
        ([wanted, pattern @ ..], [token, topic @ ..]) => {
            (*wanted == "*" || wanted == token) && means(pattern, topic)
        }
        _ => false,
    }
}

fn split(name: &str) -> Vec<&str> {
    name.split('.').collect()
}

fn pattern() -> impl Strategy<Value = String> {
    (vec("[ab*]|x[0-2]", 0..4), "[ab*>]").prop_map(|(mut tokens, last)| {
        tokens.push(last);
        tokens.join(".")
    })
}

fn topic() -> impl Strategy<Value = String> {
    vec("[ab]|x[0-2]", 1..6).prop_map(|tokens| tokens.join("."))
}

#[derive(Clone, Debug)]
enum Step {
    Insert(String, u64),
    Remove(String, u64),
    Match(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (pattern(), 0..6u64).prop_map(|(pattern, id)| Step::Insert(pattern, id)),
        (pattern(), 0..6u64).prop_map(|(pattern, id)| Step::Remove(pattern, id)),
        topic().prop_map(Step::Match),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_agrees_with_a_list_of_patterns(steps in vec(step(), 1..200), topics in vec(topic(), 1..20)) {
        let mut trie = TopicTrie::new();
        let mut model: BTreeSet<(String, u64)> = BTreeSet::new();
        for step in steps.into_iter().chain(topics.into_iter().map(Step::Match)) {
            match step {
                Step::Insert(pattern, id) => {
                    prop_assert_eq!(trie.insert(pattern.as_bytes(), id), Ok(model.insert((pattern, id))));
                }
                Step::Remove(pattern, id) => {
                    prop_assert_eq!(trie.remove(pattern.as_bytes(), id), model.remove(&(pattern, id)));
                }
                Step::Match(topic) => {
                    let wanted: BTreeSet<u64> = model
                        .iter()
                        .filter(|(pattern, _)| means(&split(pattern), &split(&topic)))
                        .map(|(_, id)| *id)
                        .collect();
                    prop_assert_eq!(trie.matches(topic.as_bytes()), wanted.into_iter().collect::<Vec<_>>());
                }
            }
            let prefixes: BTreeSet<Vec<&str>> = model
                .iter()
                .flat_map(|(pattern, _)| (0..=split(pattern).len()).map(|end| split(pattern)[..end].to_vec()))
                .collect();
            prop_assert_eq!(trie.node_count(), prefixes.len().max(1));
            prop_assert_eq!((trie.len(), trie.is_empty()), (model.len(), model.is_empty()));
        }
        for (pattern, id) in &model {
            prop_assert!(trie.remove(pattern.as_bytes(), *id));
        }
        prop_assert_eq!((trie.len(), trie.node_count()), (0, 1));
    }

    #[test]
    fn one_pattern_matches_as_the_trie_does(pattern in pattern(), topic in topic()) {
        let mut trie = TopicTrie::new();
        trie.insert(pattern.as_bytes(), 1u8).unwrap();
        let wanted = means(&split(&pattern), &split(&topic));
        prop_assert_eq!(pattern_matches(pattern.as_bytes(), topic.as_bytes()), wanted);
        prop_assert_eq!(!trie.matches(topic.as_bytes()).is_empty(), wanted);
    }

    #[test]
    fn any_bytes_are_either_a_pattern_or_refused(
        bytes in vec(prop_oneof![any::<u8>(), Just(b'.'), Just(b'a')], 0..260),
    ) {
        let mut trie = TopicTrie::new();
        let wanted = if valid_pattern(&bytes) { Ok(true) } else { Err(InvalidPattern) };
        prop_assert_eq!(trie.insert(&bytes, 1u8), wanted);
        prop_assert_eq!(trie.remove(&bytes, 1), wanted.is_ok());
        prop_assert_eq!(trie.node_count(), 1);
        trie.insert(b">", 1).unwrap();
        prop_assert_eq!(!trie.matches(&bytes).is_empty(), pattern_matches(b">", &bytes));
    }
}

#[test]
fn the_grammar_of_patterns() {
    for good in
        ["a", "*", ">", "a.*.b", "a.>", "*.>", "A9_~-.z", &"a.".repeat(124).as_str().to_owned()[..247]]
    {
        assert!(valid_pattern(good.as_bytes()), "{good}");
    }
    for bad in ["", ".", "a.", ".a", "a..b", ">.a", "a*", "a>", "**", "$sys.a", "a b", "é", "a/b", "a\0"] {
        assert!(!valid_pattern(bad.as_bytes()), "{bad}");
    }
    assert!(valid_pattern(&[b'a'; 249]) && !valid_pattern(&[b'a'; 250]));
}

#[test]
fn the_rest_is_at_least_one_token() {
    assert!(!pattern_matches(b"a.>", b"a"));
    assert!(pattern_matches(b"a.>", b"a.b") && pattern_matches(b"a.>", b"a.b.c"));
    assert!(!pattern_matches(b"a.*", b"a.b.c") && !pattern_matches(b"*", b"a.b"));
}

#[test]
fn names_outside_the_grammar_match_nothing() {
    let mut trie = TopicTrie::new();
    trie.insert(b">", 1u64).unwrap();
    trie.insert(b"*.*", 2).unwrap();
    for topic in ["", "$sys.topics", "a..b", "a.*", ">", "."] {
        assert!(trie.matches(topic.as_bytes()).is_empty(), "{topic}");
        assert!(!pattern_matches(b">", topic.as_bytes()), "{topic}");
    }
    assert_eq!(trie.matches(b"a.b"), [1, 2]);
}

#[test]
fn the_longest_name_has_one_hundred_and_twenty_five_tokens() {
    let topic = vec!["a"; 125].join(".");
    let mut trie = TopicTrie::new();
    for (id, last) in (0u64..).zip(["a", "*", ">"]) {
        let mut tokens = vec![if id == 1 { "*" } else { "a" }; 124];
        tokens.push(last);
        assert_eq!(trie.insert(tokens.join(".").as_bytes(), id), Ok(true));
    }
    assert_eq!(trie.matches(topic.as_bytes()), [0, 1, 2]);
    assert_eq!(trie.insert(vec!["a"; 126].join(".").as_bytes(), 3), Err(InvalidPattern));
}

#[test]
fn many_patterns_leave_no_node_behind() {
    let mut trie = TopicTrie::new();
    let patterns: Vec<String> = (0..100_000u32).map(|index| format!("t{}.*.{index}", index % 97)).collect();
    for (id, pattern) in (0u64..).zip(&patterns) {
        assert_eq!(trie.insert(pattern.as_bytes(), id), Ok(true));
    }
    assert_eq!(trie.node_count(), 1 + 97 * 2 + 100_000);
    assert_eq!(trie.matches(b"t1.x.98"), [98]);
    for (id, pattern) in (0u64..).zip(&patterns) {
        assert!(trie.remove(pattern.as_bytes(), id));
    }
    assert_eq!((trie.node_count(), trie.len()), (1, 0));
}
