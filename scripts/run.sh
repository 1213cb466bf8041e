#!/usr/bin/env bash
# Sets everything up and becomes a node on the defaults. Options of `sprawl` may follow: scripts/run.sh -httpPort=8090
set -euo pipefail
here=$(dirname "$0")
"$here/setup.sh" run
. "$here/lib.sh"

cat >&2 <<END

Starting a node; Ctrl-C stops it. In a second terminal, in this folder:

  curl -d 'Hello, World!' http://localhost:8080/v1/topics/my-topic/messages
  curl 'http://localhost:8080/v1/topics/my-topic/messages?from=earliest'
  $VENV/bin/sprawlctl subscribe -t my-topic --follow

END
exec "$VENV/bin/sprawl" "$@"
