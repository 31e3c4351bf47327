#!/bin/sh
# Packets per second through a memif with nothing but rx and tx on the far side: the floor under the gateway's own figure.
#
#   benches/echo/run.sh [seconds]
#
# Keeps two cores busy for that time: the far side on ECHO_CORE (1), the source on SOURCE_CORE (0). Needs 64 free huge pages of 2 MiB, or NO_HUGE=1.
# Prints one line of JSON per measurement. The frames are 214 octets long.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-5}
far_core=${ECHO_CORE:-1}
source_core=${SOURCE_CORE:-0}
huge=${NO_HUGE:+--no-huge}

cargo build --quiet --release --package dpdk --examples
bin=${CARGO_TARGET_DIR:-target}/release/examples
dir=$(mktemp -d)
far=
trap '[ -z "$far" ] || kill "$far" 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

# The source measures, the far side outlasts it.
memif() {
    socket=$dir/$1.sock
    shift
    options="socket=$socket,socket-abstract=no"
    # shellcheck disable=SC2086
    "$bin/echo" $huge --device "net_memif0,role=server,$options" --core "$far_core" --seconds "$((seconds + 1))" \
        --file-prefix "floor-far-$$" "$@" >/dev/null &
    far=$!
    until [ -S "$socket" ]; do
        kill -0 "$far" # it says itself why it ended
        sleep 0.1
    done
    # shellcheck disable=SC2086
    "$bin/blast" $huge --device "net_memif0,role=client,$options" --core "$source_core" --seconds "$seconds" \
        --file-prefix "floor-source-$$"
    wait "$far"
    far=
}

# A null device always has packets and takes all: what the calls into DPDK cost by themselves.
printf 'null echo      '
# shellcheck disable=SC2086
"$bin/echo" $huge --device net_null0,size=214 --core "$far_core" --seconds 2 --file-prefix "floor-null-$$"
printf 'memif one way  '
memif sink --sink
printf 'memif echo     '
memif echo
