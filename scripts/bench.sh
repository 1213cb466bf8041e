#!/usr/bin/env bash
# How fast is it now: native structures, load against the node, and the same load against its peers. Options pass on.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
exec "$VENV/bin/python" -m bench "$@"
