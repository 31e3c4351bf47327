#!/usr/bin/env bash
# Calls set up per second: SIPp calls SIPp through one gateway, INVITE to BYE, media legs installed on a worker whose
# port carries nothing. The rate grows until a call fails or more than 1 % of the messages have to be sent again.
#
# usage: benches/setup-rate.sh [--bin DIR] [--seconds N] [--rates "300 600 ..."]
# The gateway, control and worker together, runs on the last core; SIPp has the others.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARGO_TARGET_DIR:-target}/release seconds=5 rates="300 600 1000 1500 2000 2500 3000 4000"
while (($#)); do
    case $1 in
        --bin) bin=${2:?}; shift 2 ;;
        --seconds) seconds=${2:?}; shift 2 ;;
        --rates) rates=${2:?}; shift 2 ;;
        *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
command -v sipp >/dev/null || { echo "setup-rate: sipp is missing: run 'make setup'" >&2; exit 1; }
[[ -x $bin/tandem ]] || { echo "setup-rate: $bin/tandem is not built: run 'make build'" >&2; exit 1; }
bin=$(realpath "$bin")
gateway_core=$(($(nproc) - 1))
sipp_cores=0
((gateway_core <= 1)) || sipp_cores=0-$((gateway_core - 1))
work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

cat >"$work/tandem.yaml" <<EOF
dpdk: { huge_pages: off, memory_mib: 128, file_prefix: "rate$$" }
ports:
  - { name: media, device: net_null0, addresses: [10.77.9.1/24] }
workers: { cores: [$gateway_core] }
sip: { listen: [{ name: main, address: "127.0.0.1:25060" }] }
limits: { max_calls: 4000 }
peers:
  - { name: caller, address: "127.0.0.2:25060", codecs: [PCMU] }
  - { name: callee, address: "127.0.0.3:25060", codecs: [PCMU] }
routes:
  - { from: caller, prefix: "service", peer: callee }
records: { directory: "$work/records" }
http: { listen: "127.0.0.1:25080" }
shutdown: { drain_timeout_s: 1 }
log: { level: warn }
EOF
taskset -c "$gateway_core" "$bin/tandem" run --config "$work/tandem.yaml" 2>"$work/gateway.log" &
gateway=$!
pids+=($gateway)
for _ in {1..100}; do
    "$bin/tandem" ctl --server 127.0.0.1:25080 ready >/dev/null 2>&1 && break
    kill -0 $gateway 2>/dev/null || { cat "$work/gateway.log" >&2; exit 1; }
    sleep 0.1
done

column() { # name: the last value of a column of SIPp's statistics
    awk -F';' -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } END { print $c }' "$work/uac.csv"
}
cpu() { awk '{ print $14 + $15 }' "/proc/$gateway/stat"; }

# One UAS for the whole run: SIPp ends its calls by itself.
(cd "$work" && exec taskset -c "$sipp_cores" sipp -sn uas -i 127.0.0.3 -p 25060 -mi 127.0.0.3 -mp 30000 -nostdin >/dev/null 2>&1) &
pids+=($!)
sleep 0.5
printf '%10s %10s %10s %8s %16s %s\n' 'calls/s' made answered failed retransmissions verdict
best=0
for rate in $rates; do
    rm -f "$work/uac.csv"
    (cd "$work" && exec taskset -c "$sipp_cores" sipp -sn uac -i 127.0.0.2 -p 25060 -mi 127.0.0.2 -mp 20000 -d 0 -r "$rate" \
        -m $((rate * seconds)) -l 4000 -trace_stat -stf "$work/uac.csv" -fd 1 -nostdin -timeout $((seconds + 15))s \
        127.0.0.1:25060 >/dev/null 2>&1) || true
    made=$(column 'TotalCallCreated') good=$(column 'SuccessfulCall(C)') bad=$(column 'FailedCall(C)') again=$(column 'Retransmissions(C)')
    elapsed=$(column 'ElapsedTime(C)')
    verdict=held
    # Three requests a call.
    if ((bad > 0 || good < rate * seconds)); then verdict=failed
    elif ((again * 100 > made * 3)); then verdict="retransmitting"; fi
    printf '%10s %10s %10s %8s %16s %s (%s)\n' "$rate" "$made" "$good" "$bad" "$again" "$verdict" "${elapsed%.*}"
    [[ $verdict == held ]] || break
    best=$rate
done
echo "highest rate held: $best calls/s"
kill -TERM $gateway
wait $gateway
