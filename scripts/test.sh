#!/usr/bin/env bash
# Sets everything up, then runs the Rust tests and the Python tests. T='-k name' passes options on to pytest alone.
#
# What this machine lacks is named in one block at the end, "not run, because …"; with SPRAWL_REQUIRE=all (or a comma
# list of names) a missing thing fails its tests instead.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"

if [ -z "${T:-}" ]; then
  say "cargo test"
  (cd native && cargo test --locked --package sprawl-core)
fi
say "pytest"
# shellcheck disable=SC2086 # T holds several options
"$VENV/bin/python" -m pytest ${T:-}
