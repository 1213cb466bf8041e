#!/usr/bin/env bash
# How fast is it now: the same load against the node and its peers, one row after another. Arguments pass on, as in
# `scripts/bench.sh run ROW --rounds 3 --seconds 2` or `scripts/bench.sh list`. Native structures: `cargo bench` in native/.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
[ $# -gt 0 ] || set -- run
exec "$VENV/bin/python" -m bench.peers "$@"
