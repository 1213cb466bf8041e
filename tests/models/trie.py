"""Topic patterns as regular expressions, tried one by one: the oracle of ``TopicTrie``."""

import re

TOKEN = "[A-Za-z0-9_~-]+"
TOPIC = re.compile(rf"(?=.{{1,249}}\Z){TOKEN}(\.{TOKEN})*\Z")
PATTERN = re.compile(rf"(?=.{{1,249}}\Z)(({TOKEN}|\*)\.)*({TOKEN}|\*|>)\Z")


def valid_pattern(pattern: str) -> bool:
    return PATTERN.match(pattern) is not None


def pattern_matches(pattern: str, topic: str) -> bool:
    if not valid_pattern(pattern) or TOPIC.match(topic) is None:
        return False
    wanted = re.escape(pattern).replace(r"\*", TOKEN).replace(">", rf"{TOKEN}(\.{TOKEN})*")
    return re.fullmatch(wanted, topic) is not None


class TopicTrie:
    """Pairs of pattern and id."""

    def __init__(self) -> None:
        self.pairs: set[tuple[str, int]] = set()

    def insert(self, items: list[tuple[str, int]]) -> int:
        if not all(valid_pattern(pattern) for pattern, _ in items):
            raise ValueError(items)
        before = len(self.pairs)
        self.pairs.update(items)
        return len(self.pairs) - before

    def remove(self, items: list[tuple[str, int]]) -> int:
        before = len(self.pairs)
        self.pairs.difference_update(items)
        return before - len(self.pairs)

    def matches(self, topics: list[str]) -> list[list[int]]:
        return [
            sorted({number for pattern, number in self.pairs if pattern_matches(pattern, topic)})
            for topic in topics
        ]

    def node_count(self) -> int:
        """The distinct prefixes of all patterns, the empty one always among them."""
        prefixes: set[tuple[str, ...]] = {()}
        for pattern, _ in self.pairs:
            tokens = tuple(pattern.split("."))
            prefixes.update(tokens[:end] for end in range(1, len(tokens) + 1))
        return len(prefixes)
