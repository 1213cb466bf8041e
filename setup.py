"""Builds both compiled extensions of one distribution.

``sprawl._hot.*`` are Cython modules, built by setuptools. ``sprawl._native`` is Rust: its ``build_ext`` step runs
``maturin build`` for the running interpreter and takes the one shared object out of that wheel, and the bill of
materials with it. Everything (``pip install .``, ``-e .``, sdist, cibuildwheel) goes through this hook; see
docs/design/packaging.md.

Environment: ``SPRAWL_BUILD_PROFILE`` names a cargo profile (``release``), ``SPRAWL_NATIVE_PREBUILT`` a shared object
to take instead of building one, ``SPRAWL_ANNOTATE`` asks Cython for its HTML reports, ``CARGO_TARGET_DIR`` is honoured.
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
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SBOMS = ROOT / "build" / "sboms"
RUST_FLOOR = (1, 85)
NO_RUST = """\
sprawl-node needs Rust >= 1.85 to build its native part ({found}). Install it:
  Debian 12:       sudo apt install rustc-web cargo-web
  Debian 13, Ubuntu 25.04 and up:  sudo apt install rustc cargo
  Fedora:          sudo dnf install rust cargo
  Arch:            sudo pacman -S rust
  Alpine:          sudo apk add rust cargo
  macOS:           brew install rust
  any other:       https://rustup.rs
or name a prebuilt shared object in SPRAWL_NATIVE_PREBUILT."""


class MaturinExtension(Extension):
    """A Rust extension built by maturin from the project folder ``project``."""

    def __init__(self, name: str, project: str) -> None:
        super().__init__(name, sources=[])
        self.project = ROOT / project


def require_rust() -> None:
    """Stops the build with a message when cargo is missing or older than the floor."""
    rustc = shutil.which("rustc")
    if rustc is None or shutil.which("cargo") is None:
        raise SystemExit(NO_RUST.format(found="no rustc and cargo on PATH"))
    answer = subprocess.run([rustc, "--version"], check=False, capture_output=True, text=True)
    found = re.match(r"rustc (\d+)\.(\d+)", answer.stdout)
    if found is None or (int(found[1]), int(found[2])) < RUST_FLOOR:
        text = answer.stdout.strip() or answer.stderr.strip()
        raise SystemExit(NO_RUST.format(found=f"found: {text}"))


class BuildExt(build_ext):
    """Builds Cython modules as usual and hands Rust ones to maturin."""

    def build_extension(self, ext: Extension) -> None:
        if not isinstance(ext, MaturinExtension):
            super().build_extension(ext)
            return
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        if prebuilt := os.environ.get("SPRAWL_NATIVE_PREBUILT"):
            if not (target.exists() and target.samefile(prebuilt)):
                shutil.copyfile(prebuilt, target)
            return
        require_rust()
        env = {"CARGO_TARGET_DIR": str(ROOT / "build" / "cargo")} | os.environ
        profile = "dev" if self.debug else os.environ.get("SPRAWL_BUILD_PROFILE", "release")
        # `python -m maturin` does not work inside pip's isolated build.
        maturin = shutil.which("maturin") or str(Path(sys.executable).with_name("maturin"))
        with tempfile.TemporaryDirectory() as out:
            command = [maturin, "build", "--profile", profile, "--locked"]
            command += ["--interpreter", sys.executable, "--auditwheel", "skip", "--out", out]
            try:
                subprocess.run(command, check=True, cwd=ext.project, env=env)
            except subprocess.CalledProcessError as error:
                raise SystemExit(f"maturin ended with {error.returncode}") from error
            (wheel,) = Path(out).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                take_native(archive, target)


def take_native(archive: zipfile.ZipFile, target: Path) -> None:
    """Puts the one ``_native*.so`` of maturin's wheel at ``target``, its SBOMs below build/."""
    names = archive.namelist()
    objects = [n for n in names if Path(n).name.startswith("_native") and n.endswith(".so")]
    if len(objects) != 1:
        raise SystemExit(f"maturin's wheel holds {objects} instead of one _native*.so")
    # A new file, not an overwrite: a process that has the old one mapped keeps its own.
    fresh = target.with_suffix(".new")
    fresh.write_bytes(archive.read(objects[0]))
    fresh.replace(target)
    shutil.rmtree(SBOMS, ignore_errors=True)
    for name in names:
        if ".dist-info/sboms/" in name and not name.endswith("/"):
            SBOMS.mkdir(parents=True, exist_ok=True)
            (SBOMS / Path(name).name).write_bytes(archive.read(name))


class BdistWheel(bdist_wheel):
    """Adds the native part's bill of materials to the wheel (PEP 770)."""

    def write_wheelfile(self, wheelfile_base: str, *args: object, **options: object) -> None:
        super().write_wheelfile(wheelfile_base, *args, **options)
        if SBOMS.is_dir():
            shutil.copytree(SBOMS, Path(wheelfile_base) / "sboms", dirs_exist_ok=True)


HOT = [
    Extension(f"sprawl._hot.{path.stem}", [str(path.relative_to(ROOT))], extra_compile_args=["-O2"])
    for path in sorted((ROOT / "sprawl" / "_hot").glob("*.pyx"))
]

setup(
    ext_modules=[
        *cythonize(
            HOT,
            build_dir="build/cython",
            language_level=3,
            annotate=bool(os.environ.get("SPRAWL_ANNOTATE")),
        ),
        MaturinExtension("sprawl._native", "native"),
    ],
    cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
)
