#!/usr/bin/env bash
# scripts/smoke.sh BIN: proves the environment whose commands are in BIN. Imports both extensions from it, starts its
# node in the working directory on free ports, publishes with curl, with sprawlctl and with the Python client, reads all
# three back byte for byte with curl and with the client, and stops the node with SIGTERM, which must end it with 0.
set -euo pipefail
bin=$1

"$bin/python" -I - <<'END'
import importlib, pathlib, pkgutil, sys
import sprawl, sprawl._hot, sprawl._native
names = [m.name for m in pkgutil.iter_modules(sprawl._hot.__path__)]
files = [importlib.import_module(f"sprawl._hot.{name}").__file__ for name in names]
files.append(sprawl._native.__file__)
outside = [file for file in files if not pathlib.Path(file).is_relative_to(sys.prefix)]
assert names and not outside, f"not from {sys.prefix}: {outside}"
print(f"Python {sys.version.split()[0]}, sprawl {sprawl.__version__}", *files, sep="\n  ")
END

free_ports=$("$bin/python" -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in held))')
read -r http health bind <<<"$free_ports"
url=http://127.0.0.1:$http

SPRAWL_HEALTH_PORT=$health "$bin/sprawl" -bindAddr=127.0.0.1 -httpAddr=127.0.0.1 -httpPort="$http" -bindPort="$bind" &
node=$!
trap 'kill -9 $node 2>/dev/null || true' EXIT

curl -s --fail --retry 100 --retry-connrefused --retry-delay 1 --retry-max-time 20 -o /dev/null "$url/health" || { echo "no answer from $url within 20 s" >&2; exit 1; }
curl -sS --fail -H 'Content-Type: text/plain' -d 'Hello, World!' "$url/v1/topics/smoke/messages"
"$bin/sprawlctl" -n "$url" publish -t smoke -m 'Hello again'
"$bin/python" -I - "$url" <<'END'
import sys
from sprawl.client.sync import Client

expected = [b"Hello, World!", b"Hello again", b"Hello from Python"]
with Client(sys.argv[1]) as client:
    client.publish("smoke", expected[-1])
    read = [message.data for message in client.read("smoke", limit=3)]
assert read == expected, read
END
read_back=$(curl -sS --fail "$url/v1/topics/smoke/messages?from=earliest")
for payload in 'Hello, World!' 'Hello again' 'Hello from Python'; do
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
