#!/usr/bin/env bash
# Every check that runs no test, cheapest first; all of them run, and the last line says which failed.
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" dev
. "$here/lib.sh"
bin=$VENV/bin

failed=()
check() { # NAME COMMAND...
  local name=$1
  shift
  say "$name"
  "$@" || failed+=("$name")
}
in_native() { (cd native && "$@"); }

check "ruff format" "$bin/ruff" format --check --quiet
check "ruff" "$bin/ruff" check --output-format concise
check "cargo fmt" in_native cargo fmt --all --check
check "import directions" "$bin/lint-imports"
check "mypy" "$bin/mypy"
check "stubs against binaries" scripts/stubs.sh
check "clippy" in_native cargo clippy --locked --workspace --all-targets --quiet -- -D warnings

if [ ${#failed[@]} -gt 0 ]; then
  die "lint failed: $(printf '%s, ' "${failed[@]}" | sed 's/, $//')"
fi
say "lint passed"
