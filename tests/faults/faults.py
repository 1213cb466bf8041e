"""Everything that is done to a node: one class a fault, with ``start(target)`` and ``stop()``.

In: a target (a process, a volume, files). Out: damage, and three lines in the history with their
times. Invariants: ``start`` returns when the fault has happened or is armed; ``stop`` takes it away
where it can be taken away, and twice does nothing; no fault syncs what it is about to lose; what a
process acknowledged before it died was sent before the line ``done``, whatever came after ``start``.
"""

import contextlib
import errno
import os
import random
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from tests.faults.history import History
from tests.faults.node import NodeProcess
from tests.faults.volume import Volume

_DETACH_S: Final = 15
_PAGE_BYTES: Final = 4_096


T = TypeVar("T")


class Fault(Generic[T]):
    """What all faults share: their lines in the history.

    One that ``is_armed`` may happen at any time until it is taken away.
    """

    is_armed = False

    def __init__(self, history: History) -> None:
        self._history = history
        self._name = ""

    def start(self, target: T) -> None:
        """Does it."""
        self._name = getattr(target, "name", None) or str(target)
        self._note("start")
        self._begin(target)
        if not self.is_armed:
            self._note("done")

    def stop(self) -> None:
        """Takes it away."""
        if self._name:
            self._end()
            if self.is_armed:
                self._note("done")
            self._note("stop")
            self._name = ""

    @contextlib.contextmanager
    def active(self, target: T) -> Iterator[None]:
        """It is there inside the block, and gone behind it, whatever happened."""
        self.start(target)
        try:
            yield
        finally:
            self.stop()

    def _note(self, phase: str) -> None:
        self._history.fault(type(self).__name__, self._name, phase)

    def _begin(self, target: T) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        """Nothing to take away."""


class Kill9(Fault[NodeProcess]):
    """SIGKILL, now; the caller draws the moment."""

    def _begin(self, target: NodeProcess) -> None:
        target.kill()


class PowerCut(Fault[NodeProcess]):
    """The machine's power fails under a living node: its volume first, then its process.

    On return the volume is mounted again and holds what a disk would hold.
    """

    def __init__(self, history: History, volume: Volume) -> None:
        super().__init__(history)
        self._volume = volume

    def _begin(self, target: NodeProcess) -> None:
        self._volume.cut_power()
        target.kill()
        self._volume.unmount()
        self._volume.mount()


class _Traced(Fault[NodeProcess]):
    """strace on a running process; its output is in ``trace``.

    ``paths`` restricts it to calls on these files: LMDB writes by ``writev``, and so do sockets.
    """

    is_armed = True

    def __init__(self, history: History, trace: Path, paths: Sequence[Path] = ()) -> None:
        super().__init__(history)
        self.trace: Final = trace
        self._paths = paths
        self._strace: subprocess.Popen[str] | None = None

    def _options(self) -> list[str]:
        raise NotImplementedError

    def _begin(self, target: NodeProcess) -> None:
        command = ["strace", "-f", "-o", str(self.trace), *self._options()]
        command += [f"--trace-path={path}" for path in self._paths] + ["-p", str(target.pid)]
        self._strace = strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert strace.stderr is not None
        # Its first line comes when it holds all threads there are, or when it ends.
        line = strace.stderr.readline()
        while "Requested path" in line:
            line = strace.stderr.readline()
        if "attached" not in line:
            self._end()
            raise OSError(f"{' '.join(command)}: {line.strip()}")

    def _end(self) -> None:
        if self._strace is None:
            return
        if self._strace.poll() is None:
            self._strace.send_signal(signal.SIGINT)
        self._strace.communicate(timeout=_DETACH_S)
        self._strace = None


class _Injected(_Traced):
    """strace that changes what ``calls`` do, as its ``inject`` option says."""

    def __init__(
        self, history: History, trace: Path, calls: str, change: str, paths: Sequence[Path]
    ) -> None:
        super().__init__(history, trace, paths)
        self._calls = calls
        self._change = change

    def _options(self) -> list[str]:
        return ["-e", f"trace={self._calls}", "-e", f"inject={self._calls}:{self._change}"]


class SyscallKill(_Injected):
    """SIGKILL when the ``nth`` of these calls is entered, of each kind and thread.

    ``watched`` are calls that are in the trace beside them.
    """

    def __init__(
        self,
        history: History,
        trace: Path,
        calls: str,
        nth: int,
        paths: Sequence[Path] = (),
        watched: Sequence[str] = (),
    ) -> None:
        super().__init__(history, trace, calls, f"signal=KILL:when={nth}", paths)
        self._watched = watched

    def _options(self) -> list[str]:
        return [*super()._options(), "-e", f"trace={','.join([self._calls, *self._watched])}"]


class SyscallError(_Injected):
    """An error from calls, as ``EIO`` from ``fdatasync``; ``when`` as strace counts them."""

    def __init__(
        self,
        history: History,
        trace: Path,
        calls: str,
        error: str,
        when: str = "1+",
        paths: Sequence[Path] = (),
    ) -> None:
        super().__init__(history, trace, calls, f"error={error}:when={when}", paths)


class SyscallTrace(_Traced):
    """No fault: all writes, syncs and answers, for ``order``."""

    CALLS: Final = (
        "openat,close,pwrite64,pwritev,pwritev2,fdatasync,fsync,sync_file_range,msync,"
        "write,writev,sendto,sendmsg"
    )

    def _options(self) -> list[str]:
        return ["-y", "-ttt", "-s", "1048576", "-e", f"trace={self.CALLS}", "-e", "signal=none"]


class DiskFull(Fault[Volume]):
    """A filler takes all but ``leave_bytes`` of a volume; ``take`` takes more of what is left."""

    def __init__(self, history: History, leave_bytes: int = 0) -> None:
        super().__init__(history)
        self._leave_bytes = leave_bytes
        self._filler: Path | None = None

    def _begin(self, target: Volume) -> None:
        self._filler = target.path / "filler"
        self._filler.touch()
        self._volume = target
        self.take(max(0, target.free_bytes() - self._leave_bytes))

    def take(self, count: int) -> None:
        """Takes up to ``count`` bytes more, in pieces, until the filesystem has no more."""
        assert self._filler is not None
        piece = 1 << 20
        handle = os.open(self._filler, os.O_WRONLY)
        try:
            end = os.fstat(handle).st_size + count
            while (size := os.fstat(handle).st_size) < end:
                try:
                    os.posix_fallocate(handle, size, min(piece, end - size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    if piece <= _PAGE_BYTES:
                        return
                    piece //= 2
        finally:
            os.close(handle)

    def _end(self) -> None:
        if self._filler is not None:
            self._filler.unlink()
            self._filler = None


class _Damage(Fault[Path]):
    """A change of one file; ``stop`` puts the file back as it was."""

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self._kept: Path | None = None
        self._file: Path | None = None

    def _begin(self, target: Path) -> None:
        self._file = target
        # Beside the history: the directory holds what the node put there and nothing else.
        self._kept = self._history.path.with_name(f"{target.name}.kept")
        copy_sparse(target, self._kept)
        self._change(target)

    def _change(self, file: Path) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        assert self._kept is not None and self._file is not None
        copy_sparse(self._kept, self._file)
        self._kept.unlink()


class BitFlip(Fault[Path]):
    """One bit at ``bit`` of a file, or anywhere in its written ranges; ``stop`` flips it back."""

    def __init__(self, history: History, draw: random.Random, bit: int | None = None) -> None:
        super().__init__(history)
        self._draw = draw
        self.bit = bit
        self._file: Path | None = None

    def _begin(self, target: Path) -> None:
        self._file = target
        if self.bit is None:
            ranges = written_ranges(target)
            at = self._draw.randrange(sum(end - first for first, end in ranges))
            for first, end in ranges:
                if at < end - first:
                    break
                at -= end - first
            self.bit = (first + at) * 8 + self._draw.randrange(8)
        self._flip()

    def _flip(self) -> None:
        assert self._file is not None and self.bit is not None
        with self._file.open("r+b") as stream:
            stream.seek(self.bit // 8)
            byte = stream.read(1)[0]
            stream.seek(self.bit // 8)
            stream.write(bytes([byte ^ (1 << self.bit % 8)]))

    def _end(self) -> None:
        self._flip()


class Truncate(_Damage):
    """Cuts a file at ``size`` bytes; below zero counts from the end."""

    def __init__(self, history: History, size: int) -> None:
        super().__init__(history)
        self._size = size

    def _change(self, file: Path) -> None:
        size = self._size if self._size >= 0 else max(0, file.stat().st_size + self._size)
        os.truncate(file, size)


class ZeroTail(_Damage):
    """Zeroes the last ``count`` bytes of a file's data."""

    def __init__(self, history: History, count: int = _PAGE_BYTES) -> None:
        super().__init__(history)
        self._count = count

    def _change(self, file: Path) -> None:
        end = max((end for _, end in written_ranges(file)), default=0)
        with file.open("r+b") as stream:
            stream.seek(max(0, end - self._count))
            stream.write(bytes(min(self._count, end)))


class Swap(_Damage):
    """Two files change places, or two pages of one file."""

    def __init__(self, history: History, other: Path | None = None) -> None:
        super().__init__(history)
        self._other = other

    def _change(self, file: Path) -> None:
        if self._other is not None:
            held = file.with_name(f".{file.name}.swapped")
            file.rename(held)
            self._other.rename(file)
            held.rename(self._other)
            return
        pages = written_ranges(file)[-1][1] // _PAGE_BYTES
        assert pages > 1, "one page has none to change places with"
        first, second = (pages - 2) * _PAGE_BYTES, (pages - 1) * _PAGE_BYTES
        with file.open("r+b") as stream:
            stream.seek(first)
            one = stream.read(_PAGE_BYTES)
            stream.seek(second)
            two = stream.read(_PAGE_BYTES)
            stream.seek(first)
            stream.write(two)
            stream.seek(second)
            stream.write(one)

    def _end(self) -> None:
        if self._other is None:
            super()._end()
            return
        assert self._kept is not None and self._file is not None
        self._file.rename(self._other)
        super()._end()


class OldCopy(_Damage):
    """A file is again what it was when ``copy`` was made of it."""

    def __init__(self, history: History, copy: Path) -> None:
        super().__init__(history)
        self._copy = copy

    def _change(self, file: Path) -> None:
        copy_sparse(self._copy, file)


def copy_sparse(source: Path, target: Path) -> None:
    """A copy in which holes stay holes."""
    with source.open("rb") as reading, target.open("wb") as writing:
        for start, end in written_ranges(source):
            first = start
            reading.seek(first)
            writing.seek(first)
            while first < end and (data := reading.read(min(1 << 20, end - first))):
                writing.write(data)
                first += len(data)
        writing.truncate(source.stat().st_size)


def written_ranges(file: Path) -> list[tuple[int, int]]:
    """Where a file holds data, as ``[first, end)``; what lies between are holes."""
    size = file.stat().st_size
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    ranges = []
    try:
        at = 0
        while at < size:
            try:
                first = os.lseek(handle, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            at = os.lseek(handle, first, os.SEEK_HOLE)
            ranges.append((first, at))
    finally:
        os.close(handle)
    return ranges
