#!/usr/bin/env bash
# Breaks nodes in every way of the fault matrix that this machine can do, in the long form: hours. SPRAWL_FAULTS=short
# or test for the forms of CI and of `make test`; T='-m "fault and K1"' for one row; SPRAWL_FAULTS_SEED repeats a run.
# The histories and logs of what failed stay in build/faults.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
mkdir -p build
export SPRAWL_FAULTS=${SPRAWL_FAULTS:-long}
say "faults ($SPRAWL_FAULTS)"
eval "options=(${T:--m fault})"
# shellcheck disable=SC2154 # options is set by eval, so that T may hold quotes
exec "$VENV/bin/python" -m pytest tests/faults --basetemp=build/faults -o tmp_path_retention_policy=failed "${options[@]}"
