#!/usr/bin/env bash
# How fast is it now: the same load against the node and its peers, one row after another. Arguments pass on, as in
# `scripts/bench.sh run ROW --rounds 3 --seconds 2` or `scripts/bench.sh list`. `scripts/bench.sh micro`: the native structures alone.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
if [ "${1:-}" = micro ]; then
  (cd native && cargo bench --locked --package sprawl-core)
  exec "$VENV/bin/python" -m bench.micro.boundary
fi
[ $# -gt 0 ] || set -- run
exec "$VENV/bin/python" -m bench.peers "$@"
