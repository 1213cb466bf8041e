"""Prints one SHA-256 over the names and contents of the given files and folders.

Build output inside a folder (``target``, shared objects, generated C) does not count, so the figure changes exactly
when something that the build reads has changed.
"""

import hashlib
import os
import sys
from pathlib import Path

OUTPUT_FOLDERS = {"target", "__pycache__", "artifacts", "coverage", "corpus"}
OUTPUT_SUFFIXES = (".so", ".c", ".html", ".pyc", ".new")


def files(path: Path) -> list[Path]:
    """Every source file at or below ``path``, sorted by name."""
    if path.is_file():
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in OUTPUT_FOLDERS]
        found += [Path(folder) / name for name in names if not name.endswith(OUTPUT_SUFFIXES)]
    return sorted(found)


digest = hashlib.sha256()
for argument in sys.argv[1:]:
    for source in files(Path(argument)):
        content = source.read_bytes()
        digest.update(f"{source}\0{len(content)}\0".encode() + content)
print(digest.hexdigest())
