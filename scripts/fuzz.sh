#!/usr/bin/env bash
# Runs each fuzz target of native/fuzz for FUZZ_S seconds (60), or only the targets named; prints executions and
# coverage of each, and ends with 1 when one of them found something (the input is in native/fuzz/artifacts).
set -euo pipefail
. "$(dirname "$0")/lib.sh"
require_rust
require_compiler

export PATH=$PWD/build/tools/bin:$PATH
if ! cargo fuzz --version >/dev/null 2>&1; then
  say "cargo-fuzz is missing; building it into build/tools (once)"
  cargo install --quiet --locked --root build/tools cargo-fuzz
fi
# libFuzzer's instrumentation is an unstable compiler option; this lets a stable compiler take it.
export RUSTC_BOOTSTRAP=1
cd native
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
[ ${#targets[@]} -gt 0 ] || die "native/fuzz has no target"
failed=()
for target in "${targets[@]}"; do
  say "fuzzing $target for ${FUZZ_S:-60} s"
  cargo fuzz run "$target" -- -max_total_time="${FUZZ_S:-60}" -print_final_stats=1 -verbosity=1 || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || die "found something: ${failed[*]}"
