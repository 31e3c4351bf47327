#!/usr/bin/env bash
# The gateway on real calls: SIPp calls SIPp across three network namespaces, speech is transcoded on a DPDK port, and
# what arrives is compared bit for bit with the offline transcode of what was sent. scripts/network.sh draws the network.
#
# Everything it makes (namespaces, processes, files) is gone when it ends, also when it is interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=15
calls=12
device=net_af_packet0
profile=release
keep=""
usage() {
    cat <<EOF
usage: scripts/demo.sh [--seconds N] [--calls N] [--device NAME] [--profile NAME] [--keep DIR]
  --seconds N   length of each call (4 to 120, default $seconds)
  --calls N     concurrent calls of each kind: PCMU to PCMA, to G.722, to G.729 (1 to 50, default $calls)
  --device NAME the DPDK device on the gateway's veth: net_af_packet0 (default) or net_af_xdp0
  --profile NAME  whose build: release (default), or debug, which tests use
  --keep DIR    leave captures, logs and call records in DIR
EOF
}
number() { # name value low high
    [[ $2 =~ ^[0-9]{1,4}$ ]] && (($2 >= $3 && $2 <= $4)) || { echo "demo: --$1 takes a whole number from $3 to $4, not '$2'" >&2; exit 2; }
}
while (($#)); do
    case $1 in
        --seconds) number seconds "${2-}" 4 120; seconds=$2; shift 2 ;;
        --calls) number calls "${2-}" 1 50; calls=$2; shift 2 ;;
        --device) device=${2:?--device takes net_af_packet0 or net_af_xdp0}; shift 2 ;;
        --profile) profile=${2:?--profile takes release or debug}; shift 2 ;;
        --keep) keep=${2:?--keep takes a directory}; shift 2 ;;
        -h | --help) usage; exit 0 ;;
        *) echo "demo: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
done

if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "demo: network namespaces need root: run as root or install sudo" >&2; exit 1; }
    exec sudo -- "$0" --seconds "$seconds" --calls "$calls" --device "$device" --profile "$profile" ${keep:+--keep "$keep"}
fi
bin=${CARGO_TARGET_DIR:-target}/$profile
for program in tandem tandem-demo; do
    [[ -x $bin/$program ]] || { echo "demo: $bin/$program is not built: run 'make demo'" >&2; exit 1; }
done
bin=$(realpath "$bin")
for program in sipp tcpdump ip ethtool; do
    command -v $program >/dev/null || { echo "demo: $program is missing: run 'make setup'" >&2; exit 1; }
done

id=$$
gw=tandem-gw-$id caller=tandem-a-$id callee=tandem-b-$id # made by scripts/network.sh
work=$(mktemp -d)
pids=()
finish() {
    local status=$?
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        for _ in {1..40}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
    done
    scripts/network.sh down "$id"
    if [[ -n $keep ]]; then mkdir -p "$keep" && cp -r "$work/." "$keep/"; fi
    if ((status != 0)) && [[ -s $work/gateway.log ]]; then
        echo "demo: failed; the gateway's last words:" >&2
        tail -n 15 "$work/gateway.log" >&2
    fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '  %-11s %s\n' "$1" "$2"; }

# One core for the gateway's worker, the others for everything else.
worker_core=$(($(nproc) - 1))
others=0
((worker_core == 0)) || others=0-$((worker_core - 1))
beside() { taskset -c "$others" "$@"; }

step network "namespaces $gw, $caller, $callee"
scripts/network.sh up "$id"

step speech "caller speaks mu-law, callees A-law, G.722 and G.729 ($((seconds - 2)) s of each clip)"
clip=$((seconds - 2))
encode() { # speech, codec, octets per second, file
    "$bin/tandem" codec encode --codec g722 "benches/speech/$1.wav" "$work/wide"
    "$bin/tandem" codec transcode --from g722 --to "$2" "$work/wide" "$work/clip"
    # A call longer than the clip hears it again.
    while (($(stat -c %s "$work/clip") < clip * $3)); do cat "$work/clip" "$work/clip" >"$work/twice" && mv "$work/twice" "$work/clip"; done
    head -c $((clip * $3)) "$work/clip" >"$work/$4"
}
encode caller pcmu 8000 caller.ulaw
encode callee pcma 8000 callee.alaw
encode callee g722 8000 callee.g722
encode callee g729 1000 callee.g729

step gateway "worker on core $worker_core, media on $device (media0)"
sed -e "s#cores: \[1\]#cores: [$worker_core]#" -e "s#/var/lib/tandem#$work#" -e "s#net_af_packet0#$device#" configs/demo.yaml >"$work/demo.yaml"
ip netns exec "$gw" taskset -c "0-$worker_core" "$bin/tandem" run --config "$work/demo.yaml" >"$work/gateway.log" 2>&1 &
gateway=$!
pids+=($gateway)
ctl() { ip netns exec "$gw" "$bin/tandem" ctl "$@"; }
for _ in {1..100}; do
    kill -0 $gateway 2>/dev/null || { echo "demo: the gateway did not start" >&2; exit 1; }
    ctl ready >/dev/null 2>&1 && break
    sleep 0.1
done
ctl ready >/dev/null

capture() { # namespace file
    ip netns exec "$1" taskset -c "$others" tcpdump -i eth0 -B 16384 -s 0 -w "$work/$2" udp and host 10.77.0.10 2>"$work/$2.log" &
    pids+=($!)
    for _ in {1..50}; do grep -qs listening "$work/$2.log" && return; sleep 0.1; done
    echo "demo: tcpdump did not start: $(cat "$work/$2.log")" >&2
    exit 1
}
capture "$caller" caller.pcap
capture "$callee" callee.pcap
captures=("${pids[@]: -2}")

scenarios=$(realpath scripts/demo)
sipp_in() { # namespace log args...
    local ns=$1 log=$2
    shift 2
    (cd "$work" && exec ip netns exec "$ns" taskset -c "$others" sipp "$@" -nostdin -timeout $((seconds + 30))s -timeout_error >"$log" 2>&1) &
    pids+=($!)
}
# Codec of the callee, its SIP port (also the caller's for these calls), its RTP port, the number that reaches it.
kinds=("pcma 5060 20000 8100" "g722 5062 30000 9100" "g729 5064 40000 7100")
callees=() callers=()
for kind in "${kinds[@]}"; do
    read -r codec sip rtp _ <<<"$kind"
    sipp_in "$callee" "callee-$codec.log" -sf "$scenarios/callee-$codec.xml" -i 10.77.0.3 -p "$sip" -mi 10.77.0.3 -mp "$rtp" -m "$calls"
    callees+=($!)
done
sleep 0.5
step calls "$calls each of PCMU<->PCMA, PCMU<->G.722, PCMU<->G.729, all at once, $seconds s"
for kind in "${kinds[@]}"; do
    read -r codec sip rtp number <<<"$kind"
    sipp_in "$caller" "caller-$codec.log" -sf "$scenarios/caller.xml" -i 10.77.0.2 -p "$sip" -mi 10.77.0.2 -mp "$rtp" \
        -d $((seconds * 1000)) -s "$number" -m "$calls" -l "$calls" -r "$calls" 10.77.0.1:5060
    callers+=($!)
done

started=$SECONDS
while kill -0 "${callers[@]}" 2>/dev/null; do
    if [[ -t 1 ]]; then printf '\r  %-11s %s' speaking "$((SECONDS - started)) s"; fi
    sleep 0.5
done
if [[ -t 1 ]]; then printf '\r%-40s\r' ''; fi
failed=0
for pid in "${callers[@]}" "${callees[@]}"; do wait "$pid" || failed=1; done
ctl stats --json >"$work/stats.json"
kill "${captures[@]}" && wait "${captures[@]}" 2>/dev/null || true
if ((failed)); then
    echo "demo: SIPp reports failed calls:" >&2
    tail -n 30 "$work"/caller-*.log >&2
    exit 1
fi

"$bin/tandem-demo" --caller "$work/caller.pcap" --callee "$work/callee.pcap" --media 10.77.0.10 \
    --records "$work/records" --stats "$work/stats.json" --calls $((${#kinds[@]} * calls))

kill -TERM $gateway
wait $gateway
