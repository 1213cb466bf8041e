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
  # The first time this takes minutes, most of them beside the Rust tests; what is lacking the block at the end says.
  scripts/minio.sh build >/dev/null &
  minio=$!
  say "cargo test"
  (cd native && cargo test --locked --package sprawl-core)
  wait "$minio" || true
fi
say "pytest"
# shellcheck disable=SC2086 # T holds several options
"$VENV/bin/python" -m pytest ${T:-}
