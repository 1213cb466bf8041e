"""Counts instructions per operation with callgrind and compares them with ``perf/instructions.toml``.

In: the programs ``native/core/examples/instr_*.rs``, and any command listed with ``command``. Each takes one
argument, N, and performs its operation N times on fixed input after its own warm-up. The count of an
operation is (instructions of 2N − instructions of N) / N, so start, warm-up and exit cancel out. Out: a
table; exit 1 when a count is above its record by more than the tolerance, when a program has no record, or
when a record has no program. A gate for change, not a speed: valgrind has no AVX-512, so code that
dispatches on it takes another path here.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "perf" / "instructions.toml"
EXAMPLES = ROOT / "native" / "core" / "examples"
OPERATIONS = 2000
SECONDS_MAX = 300
HEADER = """\
# Instructions per operation of the programs in native/core/examples/instr_*.rs, counted by callgrind.
# `python perf/instructions.py` compares, `--update` rewrites this file. See docs/design/bench.md.
"""


@dataclass(frozen=True)
class Program:
    """``command`` is what runs (N is appended); ``instructions`` the recorded count per operation."""

    name: str
    command: tuple[str, ...] = ()
    operations: int = OPERATIONS
    instructions: float | None = None


def parse_count(text: str) -> int:
    """The instruction total of a callgrind output file; raises ``ValueError`` when there is none."""
    found = re.search(r"^(?:totals|summary):\s*(\d+)", text, re.MULTILINE)
    if found is None:
        raise ValueError("no totals line in callgrind's output")
    return int(found[1])


def judge(program: Program, count: float, tolerance: float) -> str:
    """``ok``, ``better`` (record it), ``WORSE`` or ``unrecorded``."""
    if program.instructions is None:
        return "unrecorded"
    if count > program.instructions * (1 + tolerance):
        return "WORSE"
    return "better" if count < program.instructions * (1 - tolerance) else "ok"


def read_record(text: str) -> tuple[dict[str, Program], float, str]:
    """Programs by name, the tolerance, and the compiler they were recorded with."""
    document = tomllib.loads(text)
    programs: dict[str, Program] = {}
    for entry in document.get("program", []):
        fields: dict[str, Any] = {**entry, "command": tuple(entry.get("command", ()))}
        programs[entry["name"]] = Program(**fields)
    return programs, float(document["tolerance"]), str(document.get("rustc", ""))


def write_record(programs: Mapping[str, Program], tolerance: float, rustc: str) -> str:
    """The text of ``instructions.toml``."""
    parts = [HEADER, f'tolerance = {tolerance}\nrustc = "{rustc}"\n']
    for program in programs.values():
        lines = ["[[program]]", f'name = "{program.name}"']
        if program.command:
            words = ", ".join(f'"{word}"' for word in program.command)
            lines.append(f"command = [{words}]")
        lines.append(f"operations = {program.operations}")
        lines.append(f"instructions = {program.instructions:.1f}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def build(target: Path) -> None:
    """Builds the examples in release mode."""
    command = [
        "cargo",
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--examples",
        "-p",
        "sprawl-core",
    ]
    env = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    subprocess.run(command, check=True, cwd=ROOT / "native", env=env)


def instructions(command: Sequence[str], operations: int) -> int:
    """Instructions of one run under callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
        # Hash seeds and addresses must not move the count.
        env = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run(
            [*valgrind, *command, str(operations)],
            check=True,
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            timeout=SECONDS_MAX,
        )
        return parse_count(out.read_text())


def per_operation(program: Program, target: Path) -> float:
    """Instructions of one operation of ``program``."""
    command = program.command or (str(target / "release" / "examples" / program.name),)
    once = instructions(command, program.operations)
    return (instructions(command, 2 * program.operations) - once) / program.operations


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="record what is counted now")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("not run, because valgrind is missing: apt install valgrind", file=sys.stderr)
        return 1 if os.environ.get("SPRAWL_REQUIRE") == "all" else 0
    recorded, tolerance, compiler = read_record(RECORD.read_text())
    examples = sorted(path.stem for path in EXAMPLES.glob("instr_*.rs"))
    programs = {name: recorded.get(name, Program(name)) for name in examples}
    programs |= {name: program for name, program in recorded.items() if program.command}
    if not programs:
        print(f"perf: no instr_*.rs in {EXAMPLES.relative_to(ROOT)}", file=sys.stderr)
        return 1
    version = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True)
    rustc = version.stdout.split()[1]
    if compiler not in ("", rustc) and not options.update:
        print(f"recorded with rustc {compiler}, this is {rustc}: counts may differ for that alone")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "build" / "cargo"))
    if examples:
        build(target)
    failures, counted = 0, {}
    for name, program in programs.items():
        count = per_operation(program, target)
        counted[name] = Program(name, program.command, program.operations, count)
        word = judge(program, count, tolerance)
        before = "-" if program.instructions is None else f"{program.instructions:,.1f}"
        print(f"{name:36} {before:>12} → {count:>12,.1f}  {word}")
        failures += word in ("WORSE", "unrecorded")
    for name in recorded.keys() - programs.keys():
        print(f"{name:36} recorded, but there is no such program")
        failures += 1
    if options.update:
        RECORD.write_text(write_record(counted, tolerance, rustc))
        return 0
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
