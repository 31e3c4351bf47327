#!/usr/bin/env bash
# The figures of this machine: kernels, packet path, a port, calls per second, time to start, calls at once, peers. Some
# 15 minutes, after what has to be compiled. A part that cannot run says why, and the others go on; reports are in target/bench.
# Run it on an idle machine with two cores or more: a busy one shows its own load, not the gateway's.
#
# usage: scripts/bench.sh [codec] [packets] [port] [calls] [start] [capacity] [peers]     default: all of them
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
bin=${CARGO_TARGET_DIR:-target}/release

title() { printf '\n== %s\n' "$*"; }

codec() {
    for bench in g711 g722 g729_encode g729_decode; do
        title "codec, $bench"
        $cargo bench --locked -q -p tandem-codec --bench $bench
    done
}
packets() {
    title "packet path, in memory"
    $cargo bench --locked -q -p tandem-media --bench packet_path
}
port() {
    title "packet path, over memif"
    if (($(cat /proc/sys/vm/nr_hugepages) < 256)); then
        echo "not run: needs 256 huge pages of 2 MiB (sysctl vm.nr_hugepages=512)"
        return
    fi
    $cargo bench --locked -q -p tandem-gateway --bench memif
}
calls() {
    title "SIP parsing, call set-up in memory"
    $cargo bench --locked -q -p tandem-sip --bench parse
    $cargo bench --locked -q -p tandem-call --bench setup
    title "calls set up per second, SIPp through the gateway"
    benches/setup-rate.sh
}
start() {
    title "time from start to ready for calls"
    local log
    log=$(mktemp)
    sed -e 's#net_af_packet0,iface=media0#net_null0#' -e 's#10.77.0.1:5060#127.0.0.1:25060#' -e "s#/var/lib/tandem#$log.d#" \
        -e "s#cores: \[1\]#cores: [$(($(nproc) - 1))]#" configs/demo.yaml >"$log.yaml"
    "$bin/tandem" run --config "$log.yaml" 2>"$log" &
    local gateway=$!
    for _ in {1..100}; do grep -q 'ready for calls' "$log" && break; sleep 0.1; done
    grep -o 'started_ms.*' "$log" | sed 's/\x1b\[[0-9;]*m//g'
    kill -TERM $gateway && wait $gateway || true
    rm -rf "$log" "$log.yaml" "$log.d"
}
capacity() {
    title "concurrent calls at a service level, one core each for gateway and source, over memif"
    if (($(nproc) < 2)); then echo "not run: needs two cores"; return; fi
    # Whatever else has the cores now and then is left out of latency, and told.
    "$bin/tandem" capacity --quick --discount-stops --mix relay --mix g711 --mix g711-g729 --out "$out/capacity.json"
}
peers() {
    title "calls per core beside rtpengine"
    if ! command -v rtpengine >/dev/null; then echo "not run: scripts/setup.sh bench installs it"; return; fi
    if [[ $(id -u) != 0 ]]; then echo "not run: needs root for network namespaces"; return; fi
    if (($(nproc) < 2)); then echo "not run: needs two cores"; return; fi
    benches/peers.sh --bin "$bin" --out "$out" relay g711-g729
}

every=(codec packets port calls start capacity peers)
parts=("$@")
((${#parts[@]})) || parts=("${every[@]}")
for part in "${parts[@]}"; do
    [[ " ${every[*]} " == *" $part "* ]] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
done
title "building"
$cargo build --release --locked -p tandem-gateway
out=$(dirname "$bin")/bench
mkdir -p "$out"
failed=()
for nth in "${!parts[@]}"; do
    part=${parts[nth]}
    printf '\n-- %s, part %d of %d, after %d s\n' "$part" $((nth + 1)) ${#parts[@]} $SECONDS
    # In a shell of its own, which ends where something fails; behind "||" it would go on.
    set +e
    (set -e; "$part")
    status=$?
    set -e
    ((status == 0)) || { failed+=("$part"); echo "$part: failed ($status)"; }
done
printf '\n== done after %d s%s\n' $SECONDS "${failed:+; failed: ${failed[*]}}"
((${#failed[@]} == 0))
