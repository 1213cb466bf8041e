#!/usr/bin/env bash
# Sends requests made from the OpenAPI document to a node, FUZZ_EXAMPLES (500) of each operation and phase, from a
# random seed that is printed and can be given as FUZZ_SEED; fails on a defect or an answer that is not in the document.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
export SPRAWL_FUZZ_EXAMPLES=${FUZZ_EXAMPLES:-500} SPRAWL_FUZZ_SEED=${FUZZ_SEED:-$RANDOM} SPRAWL_FUZZ_S=${FUZZ_S:-3600}
say "seed $SPRAWL_FUZZ_SEED, $SPRAWL_FUZZ_EXAMPLES examples of each operation"
exec "$VENV/bin/python" -m pytest tests/contract/outside/test_schemathesis.py "$@"
