"""Builds both compiled extensions of one distribution.

``sprawl._hot.*`` are Cython modules, built by setuptools. ``sprawl._native`` is Rust: its ``build_ext`` step
runs ``maturin build`` for the running interpreter and takes the one shared object out of that wheel. Everything
(``pip install .``, ``-e .``, sdist, cibuildwheel) goes through this hook; see docs/design/packaging.md.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
RUST_FLOOR = (1, 85)
NO_RUST = (
    "sprawl-node needs Rust >= 1.85 to build its native extension ({found}). Install it with https://rustup.rs, "
    "or: Debian/Ubuntu `apt install rustc-web cargo-web` (or rustup), Fedora `dnf install rust cargo`, "
    "Arch `pacman -S rust`, Alpine `apk add rust cargo`, macOS `brew install rust`; or set SPRAWL_NATIVE_PREBUILT to a prebuilt object."
)


class MaturinExtension(Extension):
    """A Rust extension built by maturin from the project folder ``project``."""

    def __init__(self, name: str, project: str) -> None:
        super().__init__(name, sources=[])
        self.project = ROOT / project


def require_rust() -> None:
    """Stops the build with one line when cargo is missing or older than the floor."""
    rustc = shutil.which("rustc")
    if rustc is None or shutil.which("cargo") is None:
        raise SystemExit(NO_RUST.format(found="no rustc or cargo on PATH"))
    text = subprocess.run([rustc, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.match(r"rustc (\d+)\.(\d+)", text)
    if found is None or (int(found[1]), int(found[2])) < RUST_FLOOR:
        raise SystemExit(NO_RUST.format(found=f"found {text.strip()}"))


class BuildExt(build_ext):
    """Builds Cython modules as usual and hands Rust ones to maturin."""

    def build_extension(self, ext: Extension) -> None:
        if not isinstance(ext, MaturinExtension):
            super().build_extension(ext)
            return
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        if prebuilt := os.environ.get("SPRAWL_NATIVE_PREBUILT"):
            shutil.copyfile(prebuilt, target)
            return
        require_rust()
        env = {"CARGO_TARGET_DIR": str(ROOT / "build" / "cargo")} | os.environ
        profile = "dev" if self.debug else os.environ.get("SPRAWL_BUILD_PROFILE", "release")
        maturin = shutil.which("maturin") or str(Path(sys.executable).with_name("maturin"))
        with tempfile.TemporaryDirectory() as out:
            command = [maturin, "build", "--profile", profile, "--locked", "--interpreter", sys.executable]
            command += ["--auditwheel", "skip", "--out", out]
            subprocess.run(command, check=True, cwd=ext.project, env=env)
            (wheel,) = Path(out).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                objects = [n for n in archive.namelist() if Path(n).name.startswith("_native") and n.endswith(".so")]
                if len(objects) != 1:
                    raise SystemExit(f"maturin's wheel holds {objects} instead of one _native*.so")
                # A new file, not an overwrite: a process that has the old one mapped keeps its own.
                fresh = target.with_suffix(".new")
                fresh.write_bytes(archive.read(objects[0]))
                fresh.replace(target)


HOT = [
    Extension(f"sprawl._hot.{path.stem}", [str(path.relative_to(ROOT))], extra_compile_args=["-O2"])
    for path in sorted((ROOT / "sprawl" / "_hot").glob("*.pyx"))
]

setup(
    ext_modules=[
        *cythonize(HOT, build_dir="build/cython", language_level=3, annotate=bool(os.environ.get("SPRAWL_ANNOTATE"))),
        MaturinExtension("sprawl._native", "native"),
    ],
    cmdclass={"build_ext": BuildExt},
)
