#!/usr/bin/env bash
# Compares each compiled module with its stub: names, signatures and defaults must agree in both directions.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

shopt -s nullglob # a checkout may have no Cython module yet
modules=()
for object in sprawl/_native.*.so sprawl/_hot/*.so; do
  module=${object%%.*}
  modules+=("${module//\//.}")
done
"$VENV/bin/python" -m mypy.stubtest --mypy-config-file pyproject.toml \
  --allowlist scripts/stubs-allow.txt --ignore-unused-allowlist "${modules[@]}"
