#!/usr/bin/env bash
# A MinIO server for tests and for trying the cloud tier: a process beside the node, never a dependency of it.
#
#   scripts/minio.sh start [FOLDER] [PORT]   starts one on loopback; prints endpoint, keys and folder as NAME=value
#   scripts/minio.sh status [FOLDER]         the same lines of a running one; exit 3 when none runs
#   scripts/minio.sh stop [FOLDER]           ends it; its data stay in FOLDER/data
#   scripts/minio.sh find                    prints the program's path, building nothing; exit 77 when there is none
#   scripts/minio.sh build                   prints the program's path, after building it where Go is
#
# FOLDER (build/minio) holds data, log and process id, so that several servers can run; PORT is a free one if not given.
# The program is the first of: $MINIO_BIN, minio on PATH, the cache, one built into the cache by `go install` (about four
# minutes on two cores, once). Where none can be had: exit 77 and one line.
set -euo pipefail
started_in=$PWD
. "$(dirname "$0")/lib.sh"

PIN=v0.0.0-20260212201848-7aac2a2c5b7c # upstream's last; it is frozen there
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sprawl/minio-$PIN
READY_S=20 # it takes half a second on an idle machine

lacking() {
  printf 'no MinIO server: %s\n' "$1" >&2
  exit 77
}

find_program() {
  if [ -n "${MINIO_BIN:-}" ]; then
    [ -x "$MINIO_BIN" ] || lacking "MINIO_BIN=$MINIO_BIN is no program"
    echo "$MINIO_BIN"
  elif command -v minio; then
    :
  elif [ -x "$CACHE" ]; then
    echo "$CACHE"
  else
    return 1
  fi
}

build_program() { # prints nothing; afterwards CACHE is the program
  local folder log
  command -v go >/dev/null ||
    lacking "set MINIO_BIN, put minio on PATH, or install Go (https://go.dev/dl, Debian: apt install golang)"
  mkdir -p "${CACHE%/*}"
  if command -v flock >/dev/null; then # one build at a time; whoever waited finds it done
    exec 9>"$CACHE.lock"
    flock 9
    [ ! -x "$CACHE" ] || return 0
  fi
  say "building MinIO once, about four minutes"
  folder=$(mktemp -d "$CACHE.XXXXXX")
  log=$CACHE.log
  if ! GOBIN=$folder GOFLAGS=-mod=mod nice -n 10 go install -ldflags='-s -w' "github.com/minio/minio@$PIN" \
    >"$log" 2>&1 9>&-; then
    rm -rf "$folder"
    lacking "go install failed, see $log"
  fi
  mv "$folder/minio" "$CACHE"
  rmdir "$folder"
}

program() {
  find_program && return
  build_program
  echo "$CACHE"
}

free_port() {
  "$(find_python)" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

is_running() { # the process named in the folder is alive and is the server that was started there
  [ -f "$folder/pid" ] && kill -0 "$(cat "$folder/pid")" 2>/dev/null &&
    ps -o args= -p "$(cat "$folder/pid")" | grep -qF -- "$folder/data"
}

is_ready() { # PORT
  local answer
  exec 8<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET /minio/health/ready HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&8
  read -r -t 2 answer <&8 || answer=
  exec 8>&-
  [[ $answer == *" 200 "* ]]
} 2>/dev/null

start() { # [PORT]
  local path port user password pid deadline
  if is_running; then
    cat "$folder/access"
    return
  fi
  path=$(program) || exit $?
  mkdir -p "$folder/data"
  port=${1:-$(free_port)}
  user=${MINIO_ROOT_USER:-sprawl-test}
  password=${MINIO_ROOT_PASSWORD:-sprawl-test-secret}
  MINIO_ROOT_USER=$user MINIO_ROOT_PASSWORD=$password MINIO_BROWSER=off MINIO_UPDATE=off MINIO_CALLHOME_ENABLE=off \
    nohup "$path" server --quiet --address "127.0.0.1:$port" "$folder/data" \
    >"$folder/log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$folder/pid"
  (
    umask 077
    printf '%s\n' "MINIO_ENDPOINT=http://127.0.0.1:$port" "MINIO_ACCESS_KEY=$user" "MINIO_SECRET_KEY=$password" \
      "MINIO_PID=$pid" "MINIO_FOLDER=$folder" >"$folder/access"
  )
  deadline=$((SECONDS + READY_S))
  until is_ready "$port"; do
    kill -0 "$pid" 2>/dev/null || die "MinIO ended at once: $(tail -n 3 "$folder/log")"
    [ "$SECONDS" -lt "$deadline" ] || { kill "$pid"; die "MinIO is not ready after $READY_S s, see $folder/log"; }
    sleep 0.05
  done
  cat "$folder/access"
}

stop() {
  local pid
  if is_running; then
    pid=$(cat "$folder/pid")
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  fi
  rm -f "$folder/pid" "$folder/access"
}

verb=${1:-}
folder=${2:-$PWD/build/minio}
[[ $folder == /* ]] || folder=$started_in/$folder
case $verb in
  start) start "${3:-}" ;;
  stop) stop ;;
  status) is_running && cat "$folder/access" || { echo "no MinIO runs in $folder" >&2; exit 3; } ;;
  find) find_program || lacking "none in \$MINIO_BIN, on PATH or in the cache (scripts/minio.sh build; needs Go)" ;;
  build) program ;;
  *) die "usage: scripts/minio.sh start|stop|status [FOLDER] [PORT] | find | build" ;;
esac
