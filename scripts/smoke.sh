#!/usr/bin/env bash
# scripts/smoke.sh SPRAWL SPRAWLCTL: starts the node in the working directory on free ports, publishes with curl and
# with sprawlctl, reads both back byte for byte, and stops it with SIGTERM, which must end it with 0.
set -euo pipefail
sprawl=$1
sprawlctl=$2

free_ports=$(python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in held))')
read -r http health bind <<<"$free_ports"
url=http://127.0.0.1:$http

SPRAWL_HEALTH_PORT=$health "$sprawl" -bindAddr=127.0.0.1 -httpAddr=127.0.0.1 -httpPort="$http" -bindPort="$bind" &
node=$!
trap 'kill -9 $node 2>/dev/null || true' EXIT

curl -s --fail --retry 100 --retry-connrefused --retry-delay 1 --retry-max-time 20 -o /dev/null "$url/health" || { echo "no answer from $url within 20 s" >&2; exit 1; }
curl -sS --fail -H 'Content-Type: text/plain' -d 'Hello, World!' "$url/v1/topics/smoke/messages"
"$sprawlctl" -n "$url" publish -t smoke -m 'Hello again'
read_back=$(curl -sS --fail "$url/v1/topics/smoke/messages?from=earliest")
for payload in 'Hello, World!' 'Hello again'; do
  case "$read_back" in
  *"\"payload\":\"$payload\""*) ;;
  *) echo "not read back: $payload in $read_back" >&2 && exit 1 ;;
  esac
done
curl -sS --fail -o /dev/null "http://127.0.0.1:$health/metrics"
kill -TERM $node
wait $node
trap - EXIT
echo "published, read back, stopped"
