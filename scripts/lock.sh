#!/usr/bin/env bash
# Writes requirements/{dev,run,build,readers}.lock again from pyproject.toml: exact versions with hashes, for CPython 3.11 and
# up on Linux and macOS at once. Run after changing a dependency; `scripts/lock.sh --upgrade` takes newer versions.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

python=$(find_python)
[ -x build/lock/bin/uv ] || { "$python" -m venv build/lock && build/lock/bin/pip install --quiet 'uv>=0.9'; }
compile() { # OUTPUT ARGUMENT...
  local output=$1
  shift
  say "resolving $output"
  build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command scripts/lock.sh --output-file "$output" "$@"
}
compile requirements/dev.lock pyproject.toml --extra dev "$@"
compile requirements/run.lock pyproject.toml --constraint requirements/dev.lock
compile requirements/build.lock --group build --constraint requirements/dev.lock
compile requirements/readers.lock --group readers --constraint requirements/dev.lock "$@"

# What only the worker process may import belongs to the version that brings it, never to these files by accident.
if heavy=$(grep -nE '^(numpy|pandas|scipy|pyarrow|onnx|onnxruntime)==' requirements/*.lock); then
  die "a heavy package entered the locks: $heavy"
fi
