#!/usr/bin/env bash
# Sets everything up and becomes a node on the defaults. Options of `sprawl` may follow: scripts/run.sh -httpPort=8090
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" run
. "$here/lib.sh"

say "starting a node; Ctrl-C stops it"
exec "$VENV/bin/sprawl" "$@"
