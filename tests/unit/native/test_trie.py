"""The compiled pattern trie against its twin, on random operations."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sprawl._native import TopicTrie, pattern_matches, valid_pattern
from tests.models import trie as model

tokens = st.sampled_from(["a", "b", "x-1", "~_Z"])
topics = st.lists(tokens, min_size=1, max_size=5).map(".".join)
patterns = st.builds(
    lambda first, last: ".".join([*first, last]),
    st.lists(st.one_of(tokens, st.just("*")), max_size=4),
    st.one_of(tokens, st.sampled_from(["*", ">"])),
)
items = st.lists(st.tuples(patterns, st.sampled_from([0, 1, 2, 2**64 - 1])), max_size=6)
anything = st.text("ab.*>$ é\0", max_size=12)


class Patterns(RuleBasedStateMachine):
    """The trie and the list of patterns agree after every step, and no node is left over."""

    def __init__(self) -> None:
        super().__init__()
        self.trie = TopicTrie()
        self.twin = model.TopicTrie()

    @rule(items=items)
    def insert(self, items: list[tuple[str, int]]) -> None:
        assert self.trie.insert(items) == self.twin.insert(items)

    @rule(items=items)
    def remove(self, items: list[tuple[str, int]]) -> None:
        assert self.trie.remove(items) == self.twin.remove(items)

    @rule(data=st.data())
    def remove_known(self, data: st.DataObject) -> None:
        if self.twin.pairs:
            known = data.draw(st.lists(st.sampled_from(sorted(self.twin.pairs)), unique=True))
            assert self.trie.remove(known) == self.twin.remove(known) == len(known)

    @rule(topics=st.lists(st.one_of(topics, anything), max_size=8))
    def match(self, topics: list[str]) -> None:
        assert self.trie.matches(topics) == self.twin.matches(topics)

    @invariant()
    def counts(self) -> None:
        assert len(self.trie) == len(self.twin.pairs)
        assert self.trie.node_count == self.twin.node_count()


TestPatterns = Patterns.TestCase
TestPatterns.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.one_of(patterns, anything), st.one_of(topics, anything))
@example("a" * 249, "a" * 249)
@example("a" * 250, "a" * 250)
@example("a.>", "a")
@example(">", "$sys.topics")
@example("a\n", "a\n")
def test_the_grammar_and_its_meaning_are_the_twins(pattern: str, topic: str) -> None:
    assert valid_pattern(pattern) == model.valid_pattern(pattern)
    assert pattern_matches(pattern, topic) == model.pattern_matches(pattern, topic)


def test_a_bad_pattern_adds_nothing_of_its_batch() -> None:
    trie = TopicTrie()
    with pytest.raises(ValueError, match=r'"a\.\." is not a topic pattern'):
        trie.insert([("a", 1), ("a..", 1)])
    assert (len(trie), trie.node_count) == (0, 1)
