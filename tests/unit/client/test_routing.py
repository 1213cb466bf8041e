"""Routing agrees with the formats that are fixed for ever."""

import json
from pathlib import Path

from sprawl.client.routing import partition_of, slot_of

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "ids.json").read_text(encoding="utf-8"))


def test_slots_are_those_of_the_golden_file() -> None:
    assert [[n, p, slot_of(n, p)] for n, p, _ in GOLDEN["slots"]] == GOLDEN["slots"]


def test_partitions_of_keys_are_those_of_the_golden_file() -> None:
    assert [[k, c, partition_of(bytes.fromhex(k), c)] for k, c, _ in GOLDEN["keys"]] == GOLDEN[
        "keys"
    ]
