#!/usr/bin/env bash
# Runs each fuzz target of native/fuzz for FUZZ_S seconds (60), or only the targets named, from the committed seeds and
# what earlier runs found; writes executions and coverage of each to perf/results/fuzz-DATE.json, and ends with 1 when one
# of them found something (the input is in native/fuzz/artifacts).
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
rows=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "${targets[@]}"; do
  say "fuzzing $target for ${FUZZ_S:-60} s"
  mkdir -p "fuzz/corpus/$target"
  folders=("fuzz/corpus/$target")
  [ ! -d "fuzz/seeds/$target" ] || folders+=("fuzz/seeds/$target")
  found=false
  cargo fuzz run "$target" "${folders[@]}" -- -max_total_time="${FUZZ_S:-60}" -print_final_stats=1 2>&1 | tee "$log" ||
    { failed+=("$target") && found=true; }
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  rows+=("  {\"target\": \"$target\", \"executions\": ${executions:-0}, \"edges\": ${coverage:-0}, \"found\": $found}")
done
mkdir -p ../perf/results
out=../perf/results/fuzz-$(date -u +%Y-%m-%d).json
{ echo "["; (IFS=$'\n'; echo "${rows[*]}") | sed '$!s/$/,/'; echo "]"; } >"$out"
say "written: perf/results/${out##*/}"
[ ${#failed[@]} -eq 0 ] || die "found something: ${failed[*]}"
