#!/usr/bin/env bash
# Makes .venv hold what is asked for and both compiled extensions of this checkout, doing only what has changed.
#
#   scripts/setup.sh run    what a node needs and the tools that build it
#   scripts/setup.sh dev    that, and what tests and checks need
#
# Two stamps in .venv say what was done: the lock files it was filled from, and the sources the extensions were built
# from. Both are content hashes, so touching a file or switching branches back and forth builds nothing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

set_name=${1:-run}
locks=requirements/$set_name.lock

if ! "$VENV/bin/python" -c "import sys; sys.exit(sys.version_info[:2] < (3, $PYTHON_FLOOR))" 2>/dev/null; then
  python=$(find_python)
  require_python_parts "$python"
  require_compiler
  require_rust
  say "environment $VENV with $("$python" --version)"
  "$python" -m venv --clear "$VENV"
fi

# The development set contains the other one, so `make run` after `make test` installs nothing.
hash_of() { "$VENV/bin/python" -I -S scripts/stamp.py "$@"; }
run_stamp=$(hash_of requirements/run.lock requirements/build.lock)
dev_stamp=$(hash_of requirements/dev.lock)
installed=$(cat "$VENV/installed.stamp" 2>/dev/null || true)
wanted=$run_stamp
[ "$set_name" = run ] || wanted="$run_stamp $dev_stamp"
case "$installed" in
"$wanted" | "$wanted "*) ;;
*)
  [ "$set_name" = dev ] || locks="$locks requirements/build.lock"
  say "installing $locks"
  # shellcheck disable=SC2046 # one -r per file is meant
  "$VENV/bin/python" -m pip install --disable-pip-version-check --no-deps --require-hashes \
    $( [ -t 2 ] || echo --quiet ) $(printf -- '-r %s ' $locks)
  echo "$wanted" >"$VENV/installed.stamp"
  ;;
esac

profile=${SPRAWL_BUILD_PROFILE:-release}
wanted="$profile $(hash_of setup.py pyproject.toml native sprawl/_hot)"
extensions_present() { ls sprawl/_native.*.so >/dev/null 2>&1 && [ -x "$VENV/bin/sprawl" ]; }
if [ "$wanted" != "$(cat "$VENV/built.stamp" 2>/dev/null || true)" ] || ! extensions_present; then
  require_compiler
  require_rust
  say "building both extensions (profile $profile; the first time takes a minute or two)"
  "$VENV/bin/python" setup.py --quiet build_ext --inplace
  # Metadata and commands; the extensions are there, so the build step inside only looks at them.
  native=$("$VENV/bin/python" -c 'import sysconfig; print("sprawl/_native" + sysconfig.get_config_var("EXT_SUFFIX"))')
  SPRAWL_NATIVE_PREBUILT=$native "$VENV/bin/python" -m pip install --disable-pip-version-check --quiet \
    --no-deps --no-build-isolation --editable .
  echo "$wanted" >"$VENV/built.stamp"
fi
