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
env/bin/python - <<'END'
import importlib, pathlib, pkgutil
import sprawl, sprawl._hot, sprawl._native
site = pathlib.Path(sprawl.__file__).parent
assert "env" in site.parts, site
names = [m.name for m in pkgutil.iter_modules(sprawl._hot.__path__)]
files = [importlib.import_module(f"sprawl._hot.{name}").__file__ for name in names]
print("imported", sprawl._native.__file__, *files, sep="\n  ")
END
mkdir work
cd work
"$prober" "$empty/env/bin/sprawl" "$empty/env/bin/sprawlctl"
say "installed size: $(du -sm "$empty/env/lib" | cut -f1) MB with its environment's pip"
ls -l "$(dirname "$locks")/../dist"
