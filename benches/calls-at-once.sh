#!/usr/bin/env bash
# The memory of many calls at once: SIPp sets calls up through a gateway until so many are up, each with its media legs on a
# worker; then the gateway's memory is read, all of it (control, worker, DPDK), and the calls end.
#
# usage: benches/calls-at-once.sh [--bin DIR] [--calls N] [--rate CALLS]
# Control is left the first core, the worker has the last, SIPp the others; of two cores it shares the idle worker's.
set -euo pipefail
cd "$(dirname "$0")/.."
source benches/gateway.bash
calls=10000 rate=400 port=25064
while (($#)); do
    case $1 in
        --bin) bin=${2:?}; shift 2 ;;
        --calls) calls=${2:?}; shift 2 ;;
        --rate) rate=${2:?}; shift 2 ;;
        *) usage ;;
    esac
done
need sipp jq
start_gateway $port < <(
    two_sipps $port "$calls"
    echo 'media: { port_range: 10000-65535, inactivity_timeout_s: 3600 }'
)
resident() { awk '/^(VmRSS|HugetlbPages):/ { kb += $2 } END { print int(kb / 1024) }' "/proc/$gateway/status"; }
echo "before any call: $(resident) MiB"
answering $port
hold=$((calls / rate + 8))
(cd "$work" && exec "${peer[@]}" sipp -sn uac -i 127.0.0.2 -p $port -mi 127.0.0.2 -mp 20000 -d $((hold * 1000)) -r "$rate" \
    -m "$calls" -l "$calls" -trace_stat -stf "$work/stat.csv" -fd 1 -nostdin -timeout $((hold * 3 + 30))s 127.0.0.1:$port >/dev/null 2>&1) &
caller=$!
most=0 up=0
while kill -0 $caller 2>/dev/null; do
    sleep 1
    up=$(ctl stats --json | jq .calls)
    now=$(resident)
    ((now <= most)) || most=$now
    printf '\r%7s calls up, %6s MiB ' "$up" "$now" >&2
done
echo >&2
wait $caller || true
echo "calls: $(column 'TotalCallCreated') made, at once $(column 'CurrentCall') at the end, $(column 'SuccessfulCall(C)') ended well," \
    "$(column 'FailedCall(C)') failed, $(column 'Retransmissions(C)') retransmissions"
echo "most memory: $most MiB"
kill -TERM "$gateway"
wait "$gateway"
