#!/usr/bin/env bash
# How fast must it be: compares the newest results in perf/results with perf/budgets.toml; fails on a row that is
# outside its budget or was never measured. Options pass on.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
exec "$VENV/bin/python" perf/compare.py "$@"
