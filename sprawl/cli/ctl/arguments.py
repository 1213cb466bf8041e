"""The original's spellings of options, brought into the one that click reads.

In: the arguments as typed, the tree of commands. Out: the same with every option behind its
command. Invariants: what stands behind ``--`` is left alone; an argument that is no option of the
command stays where click will name it in its complaint.

``-t=x`` → ``-t x``; ``-w=false``, ``--wait=false`` → ``--no-wait``; options before the command go
behind it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import click

_TRUTHS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def _leaves(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _leaves(command)
        else:
            yield command


def _options(command: click.Command) -> Iterator[click.Option]:
    return (parameter for parameter in command.params if isinstance(parameter, click.Option))


def _valued_names(root: click.Group) -> set[str]:
    """Every option of any command that is followed by a value."""
    return {
        name
        for command in _leaves(root)
        for option in _options(command)
        if not option.is_flag and not option.count
        for name in option.opts
    }


def arranged(root: click.Group, arguments: Sequence[str]) -> list[str]:
    """``arguments`` with the command's path first, its options behind it, each spelled plainly."""
    valued = _valued_names(root)
    left = list(arguments)
    path: list[str] = []
    early: list[str] = []
    group: click.Command = root
    while left and isinstance(group, click.Group):
        word = left.pop(0)
        if word == "--":
            left.insert(0, word)
            break
        if word.startswith("-") and word != "-":
            early.append(word)
            if word in valued and left:
                early.append(left.pop(0))
        elif word in group.commands:
            path.append(word)
            group = group.commands[word]
        else:
            left.insert(0, word)
            break
    return [*path, *_spelled(group, early + left)]


def _spelled(command: click.Command, arguments: Sequence[str]) -> Iterator[str]:
    flags = {name: option for option in _options(command) if option.is_flag for name in option.opts}
    valued = {n for option in _options(command) if not option.is_flag for n in option.opts}
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            yield word
            yield from rest
            return
        name, sign, value = word.partition("=")
        if sign and name in flags and value in _TRUTHS:
            yield from _flag(flags[name], name, is_on=_TRUTHS[value])
        elif sign and name in valued and len(name) == 2:
            yield from (name, value)
        else:
            yield word
            if word in valued and (value_of := next(rest, None)) is not None:
                yield value_of


def _flag(option: click.Option, name: str, *, is_on: bool) -> Iterator[str]:
    if is_on:
        yield name
    elif option.secondary_opts:
        yield option.secondary_opts[0]
