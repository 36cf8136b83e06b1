#!/usr/bin/env bash
# Have a Docker daemon that answers: install Docker from Debian packages where it is missing, start it where it does not run, wait for it.
# For CI runners and build machines; run as root. A second run does nothing. Ends 0 when `docker info` answers.
#
#   DOCKER_MTU=1400          packet size of container networks (default: the smallest of this machine's own interfaces)
#   DOCKER_LOG=/var/log/...  where a daemon started here writes (default: /var/log/dockerd-mwaa-local.log)
#   DOCKER_WAIT=60           seconds to wait for it
set -euo pipefail

log="${DOCKER_LOG:-/var/log/dockerd-mwaa-local.log}"
wait_seconds="${DOCKER_WAIT:-60}"

say() { printf '%s\n' "$*" >&2; }
fail() { say "docker/daemon.sh: $*"; exit 1; }
answers() { timeout 10 docker info >/dev/null 2>&1; }
has_tools() {
    command -v dockerd >/dev/null && command -v docker >/dev/null &&
        docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1
}

if answers && docker compose version >/dev/null 2>&1; then
    say "Docker answers: $(docker version --format '{{.Server.Version}}')"
    exit 0
fi
[ "$(id -u)" = 0 ] || fail "no daemon answers, and only root can install or start one"

# Health checks that are frequent only while a container starts need Engine 25; Debian has it from release 13 on.
# On an older Debian that release becomes a second source which never wins by itself (priority 100), on the machine's own mirror.
second_source() {
    local list=/etc/apt/sources.list.d/mwaa-local-trixie.sources uri key
    grep -rqsE '(^Suites:.*|^deb .*)\btrixie\b' /etc/apt/sources.list /etc/apt/sources.list.d/ && return 0
    # The machine's own mirror, in either of apt's formats: the first source that carries a Debian release.
    uri=$(awk '/^URIs:/ {u=$2} /^Suites:.*(bullseye|bookworm|stable)/ {print u; exit}' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
    if [ -z "$uri" ]; then
        uri=$(sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) +(bullseye|bookworm|stable) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1 || true)
    fi
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -n "$uri" ] && [ -s "$key" ] || fail "apt's configuration names no Debian mirror; install Docker Engine 25 or later by hand"
    printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$uri" "$key" >"$list"
    printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' >/etc/apt/preferences.d/mwaa-local-trixie
}

candidate() { # the version apt would install now
    apt-cache policy docker.io 2>/dev/null | awk '/Candidate:/ && $2 != "(none)" {print $2}'
}

if ! has_tools; then
    say "Installing Docker from Debian packages ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    release=()
    # (dpkg takes no version for older than any.)
    if dpkg --compare-versions "$(candidate)" lt 25; then
        second_source
        apt-get -qq update
        release=(-t trixie)
    fi
    apt-get -qq install -y --no-install-recommends "${release[@]}" docker.io docker-cli docker-compose docker-buildx iptables debootstrap >/dev/null ||
        fail "apt-get could not install docker.io, docker-cli, docker-compose and docker-buildx"
elif ! command -v debootstrap >/dev/null; then
    apt-get -qq install -y --no-install-recommends debootstrap >/dev/null || say "debootstrap is not installed: docker/offline/ needs it"
fi

if ! answers; then
    # A container network with larger packets than the machine's own loses the big ones without a word.
    mtu="${DOCKER_MTU:-$( (cat /sys/class/net/e*/mtu /sys/class/net/w*/mtu 2>/dev/null || true) | sort -n | head -n 1)}"
    [ -n "$mtu" ] && [ "$mtu" -le 1500 ] || mtu=1500
    say "Starting the Docker daemon (packet size $mtu, log $log) ..."
    mkdir -p "$(dirname "$log")"
    setsid nohup dockerd --mtu "$mtu" >"$log" 2>&1 </dev/null &
    daemon=$!
    for ((second = 0; second < wait_seconds; second++)); do
        answers && break
        kill -0 "$daemon" 2>/dev/null || { tail -n 15 "$log" >&2; fail "the daemon ended; its last lines are above"; }
        sleep 1
    done
    answers || { tail -n 15 "$log" >&2; fail "the daemon did not answer within $wait_seconds s; its last lines are above"; }
fi
say "Docker answers: $(docker version --format '{{.Server.Version}}')"
