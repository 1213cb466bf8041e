"""A filesystem of its own for one node: an image on a loop device, which can lose its power.

In: a folder, a size, a filesystem. Out: a mounted ``Volume``. Invariants: what ``cut_power`` leaves
is what the device had been told before, the file system's log included and nothing flushed; the
loop device and the mount are given back by ``close``, whatever happened. Needs root.
"""

import fcntl
import os
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

# FS_IOC_SHUTDOWN, and its mode "no log flush": what a power failure does.
_GOING_DOWN: Final = 0x8004587D
_NO_LOG_FLUSH: Final = 2
_MAKE: Final = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
# An image this large has room for a journal of either filesystem.
BYTES_MIN: Final = {"ext4": 8 << 20, "xfs": 300 << 20}


class Volume:
    """A mounted image; ``path`` is where. Use it as a context manager."""

    def __init__(self, folder: Path, size_bytes: int, filesystem: str = "ext4") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.image: Final = folder / "image"
        self.path: Final = folder / "mount"
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(size_bytes)
        _run(*_MAKE[filesystem], str(self.image))
        self.device: Final = _run("losetup", "--find", "--show", str(self.image)).strip()
        self._is_mounted = False
        try:
            self.mount()
        except BaseException:
            self.close()
            raise

    def mount(self) -> None:
        """Mounts, replaying the filesystem's own log."""
        _run("mount", self.device, str(self.path))
        self._is_mounted = True

    def unmount(self) -> None:
        """Unmounts; nobody may have a file of it open."""
        _run("umount", str(self.path))
        self._is_mounted = False

    def cut_power(self) -> None:
        """From here on nothing reaches the device, and all that was not synced is gone."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(handle, _GOING_DOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def free_bytes(self) -> int:
        """What root may still write."""
        found = os.statvfs(self.path)
        return found.f_bfree * found.f_frsize

    def close(self) -> None:
        """Unmounts and gives the device back; twice does nothing."""
        if self._is_mounted:
            self.unmount()
        if self.image.exists():
            _run("losetup", "--detach", self.device)
            self.image.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
