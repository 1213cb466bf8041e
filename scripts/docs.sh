#!/usr/bin/env bash
# Writes docs/reference from the tables in the source (`--check`: only says what is out of date).
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
"$VENV/bin/python" scripts/reference.py "$@"
