#!/usr/bin/env bash
# Calls set up per second: SIPp calls SIPp through one gateway, INVITE to BYE, media legs installed on a worker whose
# port carries nothing. The rate grows until a call fails or more than 1 % of the messages have to be sent again. Then, at
# half of the highest rate, how much later the 200 comes than where SIPp calls SIPp without a gateway (RFC 6076).
#
# usage: benches/setup-rate.sh [--bin DIR] [--seconds N] [--rates "300 600 ..."]
# Control is left the first core, the worker has the last, SIPp the others; of two cores it shares the idle worker's.
set -euo pipefail
cd "$(dirname "$0")/.."
source benches/gateway.bash
seconds=5 rates="300 600 1000 1500 2000 2500 3000 4000" port=25060
rate_options "$@"
need sipp
start_gateway $port < <(two_sipps $port 4000)
# One callee for the whole run: SIPp ends its calls by itself.
answering $port

calls() { # RATE SERVER OPTIONS...
    local rate=$1 server=$2
    shift 2
    rm -f "$work"/*.csv
    (cd "$work" && exec "${peer[@]}" sipp -sn uac -i 127.0.0.2 -p $port -mi 127.0.0.2 -mp 20000 -d 0 -r "$rate" \
        -m $((rate * seconds)) -l 4000 -trace_stat -stf "$work/stat.csv" -fd 1 -nostdin -timeout $((seconds + 15))s "$@" \
        "$server" >/dev/null 2>&1) || true
}
at_gateway() { calls "$1" 127.0.0.1:$port; }
# Three requests a call.
climb calls/s 3 at_gateway
echo "highest rate held: $best calls/s"
((best)) || exit 1

delays() { # NAME SERVER: quantiles of INVITE to 200, in milliseconds
    calls $((best / 2)) "$2" -trace_rtt -rtt_freq 100
    cat "$work"/*_rtt.csv | awk -F';' '$2 ~ /^[0-9.]+$/ { print $2 }' | sort -n | awk -v name="$1" '{ ms[NR] = $1 } END {
        printf "%-24s %8d calls   p50 %.3f ms   p99 %.3f ms   p99.9 %.3f ms\n", name, NR, ms[int(NR * .5) + 1], ms[int(NR * .99) + 1], ms[int(NR * .999) + 1] }'
}
echo "INVITE to 200 at $((best / 2)) calls/s"
delays "without a gateway" 127.0.0.3:$port
delays "through the gateway" 127.0.0.1:$port
kill -TERM "$gateway"
wait "$gateway"
