"""``python -m tests.faults check FILE``: checks a history; ends with 1 when it is broken."""

import argparse
import sys
import time
from pathlib import Path

from tests.faults.checker import check
from tests.faults.history import read_records


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="check a history")
    checking.add_argument("file", type=Path)
    checking.add_argument(
        "--allow-damage", action="store_true", help="losses named as damage are none"
    )
    given = parser.parse_args()
    began = time.monotonic()
    try:
        report = check(read_records(given.file), allows_damage=given.allow_damage)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{error}\n")
    sys.stdout.write("\n".join(report.lines()))
    sys.stdout.write(f" ({time.monotonic() - began:.1f} s)\n")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
