"""Proves from a syscall trace that no message left the node before it was synced.

In: the output of ``strace -f -y -ttt``, the descriptors that were open for synchronous writing when
it began, and which stored message became which message id. Out: an ``Order``. Invariants: a
message is durable when a write that held it had ended before a sync of that file began which
returned 0, and, where the file has a descriptor of its own for synchronous writes (LMDB's meta
page), when the next write to that one has returned as well; a message whose write comes after its
answer left early, one whose write is not in the trace at all is counted, never taken for good. Lines of a trace are in the order of the stops of all
threads, so their place is their time.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LINE: Final = re.compile(r"^(\d+)\s+[\d.]+ (.*)$", re.DOTALL)
_CALL: Final = re.compile(r"^(\w+)\((\d+)<([^>]*)>")
_RESUMED: Final = re.compile(r"^<\.\.\. (\w+) resumed>")
_RESULT: Final = re.compile(r"\)\s+= (-?\d+|\?)")
# It begins with a letter: a digit would run into the octal number of a byte before it.
_MARK: Final = re.compile(r"(m\d+-\d+-\d+) [0-9a-f]{8}")
_ANSWERED: Final = re.compile(r'\\"id\\":\\"([a-z2-7]{13}-\d+-\d+)\\"')
_WRITES: Final = frozenset({"pwrite64", "pwritev", "pwritev2", "write", "writev"})
_SYNCS: Final = frozenset({"fdatasync", "fsync"})
_SENDS: Final = frozenset({"write", "writev", "sendto", "sendmsg"})
_DSYNC: Final = 0o10000


@dataclass(slots=True)
class Order:
    """What a trace shows; ``early`` are messages that left before they were durable."""

    checked_count: int = 0
    syncs_count: int = 0
    unseen: set[str] = field(default_factory=set)
    early: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _File:
    """What is on its way into one file."""

    has_mark: bool
    written: set[str] = field(default_factory=set)
    synced: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Trace:
    """The trace up to a line."""

    dsync: Mapping[int, str]
    files: dict[str, _File] = field(default_factory=dict)
    durable: set[str] = field(default_factory=set)
    # By thread, the call that has begun: its name, descriptor, path, text, and what it will make durable.
    begun: dict[str, tuple[str, int, str, str, frozenset[str]]] = field(default_factory=dict)
    syncs_count: int = 0


def dsync_files(pid: int) -> dict[int, str]:
    """Descriptors of a process that are open for synchronous writes, and their files."""
    found = {}
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        flags = re.search(r"^flags:\s+(\d+)", info.read_text(), re.MULTILINE)
        if flags is not None and int(flags[1], 8) & _DSYNC:
            link = Path(f"/proc/{pid}/fd/{info.name}").readlink()
            found[int(info.name)] = str(link)
    return found


def check_order(
    lines: Iterable[str], messages: Mapping[str, str], dsync: Mapping[int, str]
) -> Order:
    """Follows a trace; ``messages`` maps the id in an answer to the mark in the stored bytes."""
    trace = _Trace(dsync)
    order = Order()
    waiting = dict(messages)
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        thread, text = found.groups()
        if _RESUMED.match(text):
            call = trace.begun.pop(thread, None)
            if call is not None:
                _end(order, trace, call, text)
            continue
        head = _CALL.match(text)
        if head is None:
            continue
        name, handle, path = head[1], int(head[2]), head[3]
        if name in _SENDS and path.startswith(("socket:", "TCP")):
            _leave(order, waiting, trace, text)
            continue
        call = (name, handle, path, text, _about_to_be_synced(trace, name, handle, path))
        if text.rstrip().endswith("<unfinished ...>"):
            trace.begun[thread] = call
        else:
            _end(order, trace, call, text)
    order.syncs_count = trace.syncs_count
    return order


def _leave(order: Order, waiting: dict[str, str], trace: _Trace, text: str) -> None:
    """Bytes go to a client: what they name must be durable. Each message counts once."""
    for message in _ANSWERED.findall(text):
        mark = waiting.pop(message, None)
        if mark is None:
            continue
        order.checked_count += 1
        if mark in trace.durable:
            continue
        on_its_way = any(mark in f.written or mark in f.synced for f in trace.files.values())
        if on_its_way:
            order.early.append(mark)
        else:
            order.unseen.add(mark)


def _about_to_be_synced(trace: _Trace, name: str, handle: int, path: str) -> frozenset[str]:
    """What had been written when this call began, and so is covered by it."""
    file = trace.files.get(path)
    if file is None:
        return frozenset()
    if name in _SYNCS:
        return frozenset(file.written)
    if name in _WRITES and handle in trace.dsync:
        return frozenset(file.synced)
    return frozenset()


def _end(
    order: Order, trace: _Trace, call: tuple[str, int, str, str, frozenset[str]], text: str
) -> None:
    name, handle, path, begun, covered = call
    result = _RESULT.search(text[text.rfind(")") :] if ")" in text else text)
    if result is None or result[1] == "?" or int(result[1]) < 0:
        return
    if name in _SYNCS:
        trace.syncs_count += 1
        if (file := trace.files.get(path)) is not None:
            file.written -= covered
            (file.synced if file.has_mark else trace.durable).update(covered)
    elif name in _WRITES:
        file = trace.files.setdefault(path, _File(path in trace.dsync.values()))
        if handle in trace.dsync:
            file.synced -= covered
            trace.durable |= covered
        else:
            marks = {mark for mark in _MARK.findall(begun) if mark not in trace.durable}
            file.written |= marks
            late = marks & order.unseen
            order.unseen -= late
            order.early += sorted(late)
