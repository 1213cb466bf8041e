"""The original's spellings of options."""

import pytest

from sprawl.cli.ctl.app import root
from sprawl.cli.ctl.arguments import arranged


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("publish -t x", "publish -t x"),
        ("-t x publish", "publish -t x"),
        ("-tx publish -mhello", "publish -tx -mhello"),
        ("--topic=x publish", "publish --topic=x"),
        ("publish -t=x", "publish -t x"),
        ("publish -w=false", "publish --no-wait"),
        ("publish --wait=false", "publish --no-wait"),
        ("publish -w=true", "publish -w"),
        ("subscribe -f=0", "subscribe --no-follow"),
        ("-n http://a,http://b subscribe -t t", "subscribe -n http://a,http://b -t t"),
        ("-n http://a topic -o json ls", "topic ls -n http://a -o json"),
        ("publish -m -w=false", "publish -m -w=false"),
        ("publish -m=-1", "publish -m -1"),
        ("publish -- -t=x", "publish -- -t=x"),
        ("--help", "--help"),
        ("nope -t=x", "nope -t=x"),
    ],
)
def test_arguments_are_arranged(typed: str, read: str) -> None:
    assert arranged(root, typed.split()) == read.split()


def test_one_option_is_followed_by_a_value_in_all_commands_or_in_none() -> None:
    from sprawl.cli.ctl.arguments import _leaves, _options

    kinds: dict[str, set[bool]] = {}
    for command in _leaves(root):
        for option in _options(command):
            for name in option.opts:
                kinds.setdefault(name, set()).add(bool(option.is_flag))
    mixed = {name for name, found in kinds.items() if len(found) > 1}
    assert not mixed
