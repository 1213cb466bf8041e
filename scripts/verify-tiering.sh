#!/usr/bin/env bash
# Publishes 20 messages of 5 KiB and follows them from the memory tier to the disk tier, and to the cloud tier where
# that is on; reads every one back byte for byte after each move.
#
#   SPRAWL_URL=http://localhost:8080 scripts/verify-tiering.sh [--wait SECONDS]
#
# An age of /store/tiers that lies beyond the wait limit (120 s) is not waited for: the move is asked for instead.
# Exit status: 0 all moved and readable, 1 something failed, 2 the node has no tier to move to.
# Needs bash, curl, and jq or python3.
set -euo pipefail

url=${SPRAWL_URL:-http://localhost:8080}
url=${url%/}
wait_s=120
topic=tiering-test
count=20
case "${1:-}" in
"") ;;
--wait) wait_s=${2:?--wait needs seconds} ;;
--wait=*) wait_s=${1#--wait=} ;;
*)
  sed -n '2,9s/^# \{0,1\}//p' "$0"
  [ "$1" = -h ] || [ "$1" = --help ] || exit 1
  exit 0
  ;;
esac

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# field NAME: the member NAME (dotted) of the JSON object on standard input; lists one item a line.
if command -v jq >/dev/null; then
  field() { jq -r ".$1 | if type == \"array\" then .[] elif . == null then empty else . end"; }
elif command -v python3 >/dev/null; then
  field() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = (value or {}).get(name)
for item in value if isinstance(value, list) else [] if value is None else [value]:
    print(str(item).lower() if isinstance(item, bool) else item)' "$1"
  }
else
  fail "neither jq nor python3 is on PATH"
fi

get() { curl -sS --fail --max-time 30 "$url$1"; }
post() { curl -sS --fail-with-body --max-time 60 -H 'Content-Type: application/json' -d "$2" "$url$1"; }
show_store() {
  echo "--- /store $1"
  get /store
}

get /health >/dev/null || fail "no healthy node at $url"
show_store "before"
post /subscribe "{\"topics\":[\"$topic\"]}" >/dev/null || fail "cannot subscribe to $topic"

ids=()
payloads=()
for ((i = 0; i < count; i++)); do
  # base64 of random bytes on one line, whatever this base64 does about line ends.
  payload=$(head -c 5120 /dev/urandom | base64 | tr -d '\n')
  answer=$(post /publish "{\"topic\":\"$topic\",\"payload\":\"$payload\"}") || fail "publish $i: $answer"
  id=$(printf '%s' "$answer" | field id)
  [ -n "$id" ] || fail "publish $i answered no id: $answer"
  echo "published $id"
  ids+=("$id")
  payloads+=("$payload")
done
show_store "after publishing"

tier_of() { get "/messages/$1" | field storage_tier; }

check_payloads() {
  local i got
  for ((i = 0; i < count; i++)); do
    got=$(get "/messages/${ids[i]}" | field payload) || fail "${ids[i]} is not readable $1"
    [ "$got" = "${payloads[i]}" ] || fail "${ids[i]} differs $1"
  done
  echo "all $count messages are readable byte for byte $1"
}

rank_of() { # TIER
  case "$1" in memory) echo 0 ;; disk) echo 1 ;; cloud) echo 2 ;; *) fail "a message is in tier '$1'" ;; esac
}

# wait_for TIER SECONDS: until every message is in TIER, or in a colder one that it went on to.
wait_for() {
  local deadline=$((SECONDS + $2)) id tier seen=0
  for id in "${ids[@]}"; do
    tier=$(tier_of "$id")
    until [ "$(rank_of "$tier")" -ge "$(rank_of "$1")" ]; do
      [ "$SECONDS" -lt "$deadline" ] || fail "$id is in $tier after $2 s, not in $1"
      sleep 0.5
      tier=$(tier_of "$id")
    done
    [ "$tier" != "$1" ] || seen=$((seen + 1))
  done
  echo "$seen of $count messages were seen in the $1 tier"
}

move_to() { # TIER AGE_SECONDS
  local age=${2%%.*}
  if [ "$age" -le $((wait_s - 10)) ]; then
    echo "waiting until they are $age s old and move to $1"
    wait_for "$1" $((age + 30))
  else
    echo "they would move to $1 after $age s, beyond the limit of $wait_s s: asking for the move"
    post /store/tiers "{\"topic\":\"$topic\",\"tier\":\"$1\"}" >/dev/null || fail "the move to $1 was refused"
    wait_for "$1" "$wait_s"
  fi
  check_payloads "in the $1 tier"
  show_store "after the move to $1"
}

check_payloads "in the memory tier"
policies=$(get /store/tiers)
tiers=$(printf '%s' "$policies" | field tiers)
case "$tiers" in
*disk*) move_to disk "$(printf '%s' "$policies" | field memory_to_disk_age_seconds)" ;;
*)
  echo "This node has only its memory tier: there is no tier to move to." >&2
  exit 2
  ;;
esac
case "$tiers" in
*cloud*) move_to cloud "$(printf '%s' "$policies" | field disk_to_cloud_age_seconds)" ;;
esac
echo "OK: every message moved and stayed readable"
