#!/usr/bin/env bash
# Builds the sdist and, from it, the wheel; then proves the wheel in an empty directory with an environment of its own:
# what it holds, that both extensions import from there, and that `sprawl` starts, takes a message and gives it back.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"

say "sdist, and the wheel from it"
rm -rf dist
"$VENV/bin/python" -m build --outdir dist .
wheel=$(realpath dist/*.whl)
say "what $(basename "$wheel") holds"
"$VENV/bin/python" scripts/wheel_contents.py "$wheel"

locks=$PWD/requirements/run.lock
prober=$PWD/scripts/smoke.sh
python=$PWD/$VENV/bin/python
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
cd "$empty"
say "fresh environment in $empty"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$locks"
env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$wheel"
mkdir work
cd work
"$prober" "$empty/env/bin"
say "installed size: $(du -sm "$empty/env/lib" | cut -f1) MB with its environment's pip"
ls -l "$(dirname "$locks")/../dist"
