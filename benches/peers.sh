#!/usr/bin/env bash
# Calls per core, Tandem's beside rtpengine's, on this machine: the same speech from the same source over the same kernel
# sockets and the same pair of virtual interfaces, one core for the gateway and one for the source, one search, one
# service level. Tandem runs over af_packet, as rtpengine's counterpart, and over memif, as what it is made for.
#
# usage: benches/peers.sh [--bin DIR] [--seconds N] [--out DIR] [--peer PEER]... [mix ...]
#   peers: rtpengine tandem-af_packet tandem-memif; mixes: relay g711 g711-g729 g711-g722; all of them by default, about a
#   minute each. With --out the table holds what an earlier run left there as well.
# Needs root, two cores and `scripts/setup.sh bench`. rtpengine runs in user space, without its kernel module: nothing
# else can be compared on any machine. Its transcoding adds 20 ms and more, so the service level here allows 50 ms, and
# whatever audio it makes: what latency each had is in the table.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARGO_TARGET_DIR:-target}/release seconds=3 out= mixes=() peers=()
while (($#)); do
    case $1 in
        --bin) bin=${2:?}; shift 2 ;;
        --seconds) seconds=${2:?}; shift 2 ;;
        --out) out=${2:?}; shift 2 ;;
        --peer) peers+=("${2:?}"); shift 2 ;;
        -*) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
        *) mixes+=("$1"); shift ;;
    esac
done
((${#mixes[@]})) || mixes=(relay g711 g711-g729 g711-g722)
every=(rtpengine tandem-af_packet tandem-memif)
((${#peers[@]})) || peers=("${every[@]}")
[[ $(id -u) == 0 ]] || { echo "peers: needs root for network namespaces" >&2; exit 1; }
for program in rtpengine jq ip taskset; do
    command -v $program >/dev/null || { echo "peers: $program is missing: run 'scripts/setup.sh demo bench'" >&2; exit 1; }
done
[[ -x $bin/tandem ]] || { echo "peers: $bin/tandem is not built: run 'make build'" >&2; exit 1; }
bin=$(realpath "$bin")
core=$(($(nproc) - 1))
((core > 0)) || { echo "peers: needs two cores" >&2; exit 1; }
work=$(mktemp -d)
out=${out:-$work}
mkdir -p "$out"
gw=tandem-peer-gw-$$ src=tandem-peer-src-$$
gateway=
stop_gateway() {
    [[ -z $gateway ]] || { kill "$gateway" 2>/dev/null || true; wait "$gateway" 2>/dev/null || true; }
    gateway=
}
finish() {
    stop_gateway
    for ns in $gw $src; do ip netns delete $ns 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

for ns in $gw $src; do
    ip netns add $ns
    ip -n $ns link set lo up
done
# One pair for media, one for whatever sets calls up, so that rtpengine and the kernel do not answer for Tandem's addresses.
ip -n $gw link add media0 type veth peer name media0 netns $src
ip -n $gw link add control0 type veth peer name control0 netns $src
ip netns exec $src ethtool -K media0 tx off >/dev/null
ip netns exec $gw ethtool -K media0 tx off >/dev/null
for ns in $gw $src; do
    ip netns exec $ns sh -c 'echo 1 >/proc/sys/net/ipv6/conf/media0/disable_ipv6'
    ip netns exec $ns sysctl -qw net.core.rmem_max=16777216 net.core.wmem_max=16777216 2>/dev/null || true
    ip -n $ns link set media0 up
    ip -n $ns link set control0 up
done
ip -n $gw address add 10.78.1.1/24 dev control0
ip -n $src address add 10.78.1.2/24 dev control0
ip -n $src address add 10.78.0.2/24 dev media0

# Sources and gateways come before whatever else wants a core, all of them alike.
first=(nice -n -15)

# capacity PEER MIX ARGUMENTS...: one search from the source's namespace
# The source's own stalls count as void from 10 ms on: a fifth of what the level allows.
level=(--max-lost-ppm 100 --max-p99-9-ms 50 --any-audio --lateness-us 10000)
capacity() {
    local peer=$1 mix=$2
    shift 2
    rm -f "$out/$peer-$mix.json"
    "$@" "$bin/tandem" capacity --quick --seconds "$seconds" --mix "$mix" "${level[@]}" --out "$out/$peer-$mix.json" \
        "${source[@]}" >/dev/null 2>"$out/$peer-$mix.log" || tail -n 2 "$out/$peer-$mix.log" >&2
}

rtpengine_runs() {
    ip -n $gw address add 10.78.0.1/24 dev media0 2>/dev/null || true
    ip netns exec $gw "${first[@]}" taskset -c "$core" rtpengine --foreground --table=-1 --interface=10.78.0.1 --listen-ng=10.78.1.1:2223 \
        --num-threads=1 --port-min=10000 --port-max=65000 --log-stderr --log-level=3 2>"$out/rtpengine.log" &
    gateway=$!
    sleep 1
    kill -0 $gateway || { cat "$out/rtpengine.log" >&2; exit 1; }
}

tandem_runs() {
    export TANDEM_TOKEN=$(openssl rand -hex 16)
    ip -n $gw address del 10.78.0.1/24 dev media0 2>/dev/null || true
    cat >"$work/tandem.yaml" <<YAML
dpdk: { huge_pages: off, memory_mib: 256, file_prefix: "peers$$" }
ports:
  - name: media
    device: "net_af_packet0,iface=media0"
    addresses: [10.78.0.1/24]
    # What comes while something else has the core waits: 36 ms of 1,000 calls.
    rx_descriptors: 4096
    tx_descriptors: 4096
workers: { cores: [$core] }
media: { port_range: 10000-64999, inactivity_timeout_s: 0, port_quarantine_ms: 0 }
sip: { listen: [{ address: "10.78.1.1:5060" }] }
limits: { max_calls: 10000 }
peers: [{ name: source, address: "10.78.1.2:5060" }]
routes: [{ peer: source }]
records: { directory: "$work/records" }
http: { listen: "10.78.1.1:9060", tokens: [{ name: source, environment: TANDEM_TOKEN, scope: full }] }
shutdown: { drain_timeout_s: 0 }
YAML
    ip netns exec $gw "${first[@]}" "$bin/tandem" run --config "$work/tandem.yaml" 2>"$out/tandem-af_packet.log" &
    gateway=$!
    for _ in {1..100}; do
        ip netns exec $gw "$bin/tandem" ctl --server 10.78.1.1:9060 ready >/dev/null 2>&1 && return
        kill -0 $gateway || break
        sleep 0.1
    done
    cat "$out/tandem-af_packet.log" >&2
    exit 1
}

inside=(ip netns exec $src "${first[@]}" taskset -c 0)
for mix in "${mixes[@]}"; do
    for peer in "${peers[@]}"; do
        echo "peers: $mix, $peer" >&2
        case $peer in
            rtpengine)
                rtpengine_runs
                source=(--kernel --addresses 10.78.0.2/24 --rtpengine 10.78.1.1:2223 --rtpengine-pid $gateway --first 100)
                capacity rtpengine "$mix" "${inside[@]}"
                ;;
            tandem-af_packet)
                tandem_runs
                source=(--kernel --addresses 10.78.0.2/24 --control 10.78.1.1:9060 --gateway-config "$work/tandem.yaml" --first 200)
                capacity tandem-af_packet "$mix" "${inside[@]}"
                ;;
            tandem-memif)
                source=()
                capacity tandem-memif "$mix" "${first[@]}"
                ;;
            *) echo "peers: $peer is none of ${every[*]}" >&2; exit 2 ;;
        esac
        stop_gateway
    done
done

# What held in a report: calls, range, latency there, what was lost, what stands in the way.
held() {
    jq -r '.measurements[0] as $m | $m.answer as $a
        | ([$m.points[] | select(.calls == $a.held and .verdict == "holds")] | last) as $p
        | [$a.held, (if $a.status == "at_least" then ">= " else "" end) + ($a.held | tostring),
           (if $a.range then "\($a.range.low) to \($a.range.high)" else "-" end),
           (if $p.latency then ($p.latency.p50_us | round | tostring) else "-" end),
           (if $p.latency then ($p.latency.p99_9_us | round | tostring) else "-" end),
           ($p.traffic.lost // 0 | tostring), ($m.binding.limit // "-")] | @tsv' "$1"
}

printf '\nCalls on one core, %s s, at most 100 of a million packets lost, 99.9 %% of them back within 50 ms:\n\n' "$seconds"
row='%-11s %-17s %10s %18s %12s %9s %10s %6s  %s\n'
printf "$row" mix gateway calls 'edge (95 %)' 'x rtpengine' 'p50, us' 'p99.9, us' lost 'what binds'
for mix in "${mixes[@]}"; do
    of_rtpengine=
    for peer in "${every[@]}"; do
        report=$out/$peer-$mix.json
        if [[ ! -s $report ]]; then
            [[ " ${peers[*]} " != *" $peer "* ]] || printf "$row" "$mix" "$peer" 'no answer' - - - - - -
            continue
        fi
        IFS=$'\t' read -r number calls range p50 p999 lost binds < <(held "$report")
        [[ $peer != rtpengine ]] || of_rtpengine=$number
        ratio=-
        ((${of_rtpengine:-0} == 0)) || ratio=$(awk -v a="$number" -v b="$of_rtpengine" 'BEGIN { printf "%.1f", a / b }')
        printf "$row" "$mix" "$peer" "$calls" "$range" "$ratio" "$p50" "$p999" "$lost" "$binds"
    done
done
