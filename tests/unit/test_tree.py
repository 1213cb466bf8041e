"""Reads the sources: what holds for the whole tree and no single test would see."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sprawl

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "sprawl").rglob("*.py"))
CYTHON = sorted((ROOT / "sprawl").rglob("*.pyx"))
EVALUABLE = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle"}
# What the worker process alone imports, when it is asked for what they do.
WORKER_ONLY = {"sprawl.log.cloud.s3"}
HEAVY = {"numpy", "onnx", "onnxruntime", "pyarrow", "minio", "pandas", "scipy"}


def _toml(path: str) -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / path).read_text())


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _called(node: ast.Call) -> str:
    """Dotted name of what is called, as written; empty for anything more complicated."""
    try:
        return ast.unparse(node.func)
    except ValueError:
        return ""


def test_version_is_the_same_everywhere() -> None:
    version = _toml("pyproject.toml")["project"]["version"]
    workspace = _toml("native/Cargo.toml")["workspace"]
    assert isinstance(workspace["package"], dict)
    lock = tomllib.loads((ROOT / "native/Cargo.lock").read_text())
    locked = {p["name"]: p["version"] for p in lock["package"] if p["name"].startswith("sprawl-")}
    native = _toml("native/pyproject.toml")["project"]["version"]
    assert workspace["package"]["version"] == native == sprawl.__version__ == version
    assert locked == {"sprawl-core": version, "sprawl-native": version}


def test_native_module_carries_the_version_of_the_package() -> None:
    from sprawl import _native

    assert _native.__version__ == sprawl.__version__


def test_floors_are_the_same_everywhere() -> None:
    rust = _toml("native/Cargo.toml")["workspace"]["package"]["rust-version"]  # type: ignore[index]
    minor = str(rust).split(".")[1]
    assert f"RUST_FLOOR={minor}" in (ROOT / "scripts/lib.sh").read_text()
    assert f"RUST_FLOOR = (1, {minor})" in (ROOT / "setup.py").read_text()
    python = str(_toml("pyproject.toml")["project"]["requires-python"]).removeprefix(">=3.")
    assert f"PYTHON_FLOOR={python} " in (ROOT / "scripts/lib.sh").read_text()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_module_reads_an_evaluable_format(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            assert not EVALUABLE & {name.partition(".")[0] for name in names}, f"line {node.lineno}"
        elif isinstance(node, ast.Call):
            assert _called(node) not in {"eval", "exec", "yaml.load"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", CYTHON, ids=_name)
def test_no_cython_module_reads_an_evaluable_format(path: Path) -> None:
    words = "|".join(sorted(EVALUABLE))
    pattern = rf"^\s*(?:c?import|from)\s+(?:{words})\b|\b(?:eval|exec)\s*\(|\byaml\.load\s*\("
    assert not re.findall(pattern, path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=_name)
def test_a_room_exports_at_most_ten_names(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            assert len(ast.literal_eval(node.value)) <= 10


@pytest.mark.parametrize("path", sorted((ROOT / "sprawl").rglob("*.so")), ids=_name)
def test_every_compiled_module_has_a_stub(path: Path) -> None:
    stub = path.with_name(path.name.partition(".")[0] + ".pyi")
    assert stub.exists()


def test_starting_a_command_imports_nothing_heavy() -> None:
    """The node's own process stays small: what is heavy belongs to the worker process alone."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if path.name != "__main__.py"
    ]
    modules = [name for name in modules if name not in WORKER_ONLY]
    program = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\nprint(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert not HEAVY & set(answer.stdout.split())
