# Sourced by the scripts beside it: working directory, messages, and the search for a Python, a compiler and Rust.
# Every refusal is one line per distribution that says what to install.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

PYTHON_FLOOR=11 # of Python 3
RUST_FLOOR=85   # of Rust 1
VENV=.venv
# One cache for builds, checks, wheels and isolated builds alike.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/build/cargo}

say() { printf '\033[2m==\033[0m %s\n' "$*" >&2; }
[ -t 2 ] || say() { printf '== %s\n' "$*" >&2; }

die() {
  printf '%s\n' "$@" >&2
  exit 1
}

# Prints the command of the newest usable Python, else ends with what to install. A name on PATH is not enough
# (version managers put names there that answer with an error), so each candidate is asked.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
    if "$candidate" -c "import sys; sys.exit(not (sys.version_info[:2] >= (3, $PYTHON_FLOOR)))" 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  die "Sprawl needs Python >= 3.$PYTHON_FLOOR, and none of ${PYTHON:-python3.14 … python3} is one. Install it:" \
    "  Debian, Ubuntu:  sudo apt install python3 python3-venv python3-dev" \
    "  Fedora:          sudo dnf install python3 python3-devel" \
    "  Arch:            sudo pacman -S python" \
    "  macOS:           brew install python"
}

# Ends with what to install when PYTHON cannot make environments or compile against its headers.
require_python_parts() { # PYTHON
  "$1" -c 'import venv, ensurepip' 2>/dev/null || die \
    "$1 cannot make virtual environments (its venv or ensurepip module is a package of its own). Install it:" \
    "  Debian, Ubuntu:  sudo apt install python3-venv"
  "$1" -c 'import pathlib, sysconfig as s
raise SystemExit(not pathlib.Path(s.get_path("include"), "Python.h").exists())' || die \
    "$1 has no header files (Python.h), which the compiled parts need. Install them:" \
    "  Debian, Ubuntu:  sudo apt install python3-dev" \
    "  Fedora:          sudo dnf install python3-devel"
}

require_compiler() {
  command -v "${CC:-cc}" >/dev/null || die \
    "Sprawl needs a C compiler, and ${CC:-cc} is not on PATH. Install one:" \
    "  Debian, Ubuntu:  sudo apt install gcc libc6-dev" \
    "  Fedora:          sudo dnf install gcc" \
    "  Arch:            sudo pacman -S gcc" \
    "  macOS:           xcode-select --install"
}

require_rust() {
  local found minor
  [ -z "${SPRAWL_NATIVE_PREBUILT:-}" ] || return 0
  found=$(cargo --version >/dev/null 2>&1 && rustc --version 2>/dev/null) || found="no working rustc and cargo on PATH"
  minor=$(printf '%s' "$found" | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
  [ "${minor:-0}" -ge "$RUST_FLOOR" ] || die \
    "Sprawl needs Rust >= 1.$RUST_FLOOR to build its native part ($found). Install it:" \
    "  Debian 12:       sudo apt install rustc-web cargo-web" \
    "  Debian 13, Ubuntu 25.04 and up:  sudo apt install rustc cargo" \
    "  Fedora:          sudo dnf install rust cargo" \
    "  Arch:            sudo pacman -S rust" \
    "  Alpine:          sudo apk add rust cargo" \
    "  macOS:           brew install rust" \
    "  any other:       https://rustup.rs"
}
