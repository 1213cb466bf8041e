"""``python -m bench.peers run [row …] --rounds 3 --seconds 2`` and ``python -m bench.peers list``."""

import argparse
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from bench.peers.machine import describe
from bench.peers.measure import Invalid, Missing, NotReady, Sample, build_load, load_command, take
from bench.peers.result import document
from bench.peers.rows import ROWS, Row
from bench.peers.systems import ROOT, SYSTEMS

RESULTS = ROOT / "perf" / "results"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(row: Row, systems: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Takes every round of a row, systems in turn, their order reversed each round."""
    samples: dict[str, list[Sample]] = {name: [] for name in systems}
    notes: dict[str, str] = {}
    for number in range(rounds):
        for name in systems if number % 2 == 0 else reversed(systems):
            if name in notes:
                continue
            try:
                samples[name].append(take(row, name, seconds))
            except (Missing, Invalid, NotReady) as reason:
                notes[name] = str(reason)
                say(f"  {name}: no figure: {reason}")
    timed = seconds if row.how in ("rate", "stall") else None
    commands = {
        name: " ".join(["sprawl-load", *load_command(arguments, "ADDR", timed)[1:]])
        for name, arguments in row.loads.items()
        if arguments and row.how != "python"
    }
    return document(row, samples, notes, commands)


def table(found: dict[str, Any]) -> str:
    """A few lines a person reads: value, range, CPU, latency, node / peer."""
    lines = [f"{found['row']}: {found['title']} [{found['unit']}]"]
    for name, entry in found["systems"].items():
        if "median" not in entry:
            lines.append(f"  {name:15} -")
            continue
        middle = entry["median"]
        text = f"  {name:15} {middle['value']:>14,.1f}  ({entry['min']:,.1f}–{entry['max']:,.1f})"
        if "cpu_us" in middle:
            text += f"  {middle['cpu_user_us']:.2f} + {middle['cpu_system_us']:.2f} µs"
        if "p50_us" in middle:
            text += f"  p50 {middle['p50_us']:.0f} p99 {middle['p99_us']:.0f} µs"
        if ratio := found["ratios"].get(name, {}).get("value"):
            text += f"  node/peer {ratio:.2f}"
        lines.append(text)
    return "\n".join(lines)


def run(options: argparse.Namespace) -> int:
    """Measures rows and writes one document each; 1 when the node gave no figure for one of them."""
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        say(f"unknown rows: {', '.join(unknown)}; see python -m bench.peers list")
        return 2
    build_load()
    missing = 0
    options.results.mkdir(parents=True, exist_ok=True)
    for row in [ROWS[name] for name in options.rows or ROWS]:
        systems = [name for name in row.loads if not options.systems or name in options.systems]
        now = dt.datetime.now(dt.UTC)
        machine = describe(systems)
        found = measure(row, systems, options.rounds, options.seconds)
        found |= {
            "date": now.isoformat(timespec="seconds"),
            "rounds": options.rounds,
            "seconds": options.seconds,
            "reproduce": f"python -m bench.peers run {row.name} --rounds {options.rounds}"
            f" --seconds {options.seconds:g}",
            "machine": machine,
        }
        path = options.results / f"{now:%Y-%m-%d}-{row.name}.json"
        # Paths of the checkout are nobody else's.
        text = json.dumps(found, indent=1, ensure_ascii=False).replace(str(ROOT), ".")
        path.write_text(text + "\n")
        print(table(found), flush=True)
        missing += "median" not in found["systems"].get("sprawl", {})
    return 1 if missing else 0


def show(_options: argparse.Namespace) -> int:
    """Lists rows, and systems with where they are or how to install them."""
    for row in ROWS.values():
        print(f"{row.name:22} {row.title}; against {', '.join(row.peers) or 'a bound'}")
    print()
    for system in SYSTEMS.values():
        print(f"{system.name:15} {system.find() or 'not here: ' + system.install}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    commands = parser.add_subparsers(required=True)
    runner = commands.add_parser("run", help="measure rows (all, when none is named)")
    runner.add_argument("rows", nargs="*", metavar="row")
    runner.add_argument("--rounds", type=int, default=3)
    runner.add_argument("--seconds", type=float, default=2.0, help="measured span of one sample")
    runner.add_argument("--systems", nargs="*", help="only these (default: all of the row)")
    runner.add_argument("--results", type=Path, default=RESULTS)
    runner.set_defaults(call=run)
    commands.add_parser("list", help="rows and systems").set_defaults(call=show)
    options = parser.parse_args()
    result: int = options.call(options)
    return result


if __name__ == "__main__":
    sys.exit(main())
