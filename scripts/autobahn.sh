#!/usr/bin/env bash
# Runs every group of the Autobahn WebSocket suite (or those named) against the node's WebSocket and writes the table
# to perf/results/autobahn-<date>.json. Needs a Python 2.7; groups 9, 12 and 13 take minutes.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
PYTHONPATH=. exec "$VENV/bin/python" -m tests.contract.outside.autobahn.suite "$@"
