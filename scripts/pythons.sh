#!/usr/bin/env bash
# scripts/pythons.sh PYTHON...: proves, for each interpreter named, `pip install .` in a fresh clone of the committed
# state and the same from its sdist, each in a fresh environment that is then used from an empty directory
# (scripts/smoke.sh). No locks: pip resolves as it does for a user.
#
#   scripts/pythons.sh python3.11 python3.12 python3.13 python3.14
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || die "usage: scripts/pythons.sh PYTHON..."

prober=$PWD/scripts/smoke.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
summary=()

prove() { # HOW ENVIRONMENT REQUIREMENT
  local began=$SECONDS environment=$2
  "$python" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$3"
  mkdir "$environment.empty"
  (cd "$environment.empty" && "$prober" "$environment/bin")
  summary+=("$version, $1: $((SECONDS - began)) s")
}

for python in "$@"; do
  version=$("$python" --version)
  say "$version"
  place=$scratch/${version#Python }
  git clone --quiet . "$place/clone"
  prove "pip install ." "$place/env" "$place/clone"
  "$python" -m venv "$place/tools"
  "$place/tools/bin/python" -m pip install --quiet --disable-pip-version-check build
  "$place/tools/bin/python" -m build --sdist --outdir "$place/dist" "$place/clone" >"$place/sdist.log" ||
    die "no sdist:" "$(tail -n 20 "$place/sdist.log")"
  prove "from the sdist" "$place/env-sdist" "$(echo "$place"/dist/*.tar.gz)"
done
printf '%s\n' "${summary[@]}"
