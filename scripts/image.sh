#!/usr/bin/env bash
# Builds the image sprawl:<version> with the first container engine that works; where there is none and this is root
# with debootstrap, runs the steps of the Dockerfile in a bare Debian root and starts the node in it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -n 1)
for engine in docker podman buildah; do
  "$engine" info >/dev/null 2>&1 || continue
  say "building sprawl:$version with $engine"
  exec "$engine" build --tag "sprawl:$version" --tag sprawl:latest .
done
say "no container engine answers; proving the Dockerfile by hand"
[ "$(id -u)" = 0 ] || die "not root: install docker, podman or buildah, or run this as root"
command -v debootstrap >/dev/null || die "debootstrap is missing: sudo apt install debootstrap"
exec "$(find_python)" scripts/image_by_hand.py
