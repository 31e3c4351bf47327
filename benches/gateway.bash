# What the SIP benches share: a gateway on loopback whose port carries nothing, SIPp's statistics, an end in good order.
# Sourced by them, not run.
bin=${CARGO_TARGET_DIR:-target}/release
last_core=$(($(nproc) - 1))
# The worker polls on the last core, SIPp has the others but the first, which is left to control. On two cores SIPp comes before
# the worker on the last one: the worker has no traffic, and control's core is what is measured.
peer=(nice -n -15 taskset -c "$last_core")
((last_core <= 1)) || peer=(taskset -c "1-$((last_core - 1))")
pids=()
work=$(mktemp -d)
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# usage: prints the lines of comment that a bench begins with, and ends it
usage() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# need TOOL...: ends the bench where one is missing
need() {
    for tool; do
        command -v "$tool" >/dev/null || { echo "$(basename "$0"): $tool is missing: run 'scripts/setup.sh demo bench'" >&2; exit 1; }
    done
    [[ -x $bin/tandem ]] || { echo "$(basename "$0"): $bin/tandem is not built: run 'make build', or say --bin DIR" >&2; exit 1; }
    bin=$(realpath "$bin")
}

# start_gateway PORT: a gateway that hears $messages_per_s messages a second of each stranger (100; 0 for any number) and answers
# SIP on 127.0.0.1:PORT, HTTP on PORT + 20; its configuration beyond that from standard input. Its process is in $gateway.
start_gateway() {
    local port=$1
    http=127.0.0.1:$((port + 20))
    cat >"$work/tandem.yaml"
    cat >>"$work/tandem.yaml" <<YAML
dpdk: { huge_pages: off, memory_mib: 128, file_prefix: "bench$$" }
ports: [{ name: media, device: net_null0, addresses: [10.77.9.1/24] }]
workers: { cores: [$last_core] }
sip: { listen: [{ name: main, address: "127.0.0.1:$port" }], guard: { messages_per_s: ${messages_per_s:-100} } }
records: { directory: "$work/records" }
http: { listen: "$http" }
shutdown: { drain_timeout_s: 1 }
log: { level: warn }
YAML
    "$bin/tandem" run --config "$work/tandem.yaml" 2>"$work/gateway.log" &
    gateway=$!
    pids+=("$gateway")
    for _ in {1..100}; do
        ctl ready >/dev/null 2>&1 && return
        kill -0 "$gateway" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/gateway.log" >&2
    exit 1
}

# The part of a configuration that routes calls from SIPp at 127.0.0.2 to SIPp at 127.0.0.3.
two_sipps() { # PORT MAX_CALLS
    cat <<YAML
limits: { max_calls: $2 }
peers:
  - { name: caller, address: "127.0.0.2:$1", codecs: [PCMU] }
  - { name: callee, address: "127.0.0.3:$1", codecs: [PCMU] }
routes: [{ from: caller, prefix: "service", peer: callee }]
YAML
}

ctl() { "$bin/tandem" ctl --server "$http" "$@"; }

# answering PORT: SIPp's own scenario of a callee at 127.0.0.3
answering() {
    (cd "$work" && exec "${peer[@]}" sipp -sn uas -i 127.0.0.3 -p "$1" -mi 127.0.0.3 -mp 30000 -nostdin >/dev/null 2>&1) &
    pids+=($!)
    sleep 0.5
}

# column NAME: the last value of a column of what SIPp wrote to $work/stat.csv by -trace_stat
column() {
    awk -F';' -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } END { print $c }' "$work/stat.csv"
}

# rate_options ARGUMENT...: --bin, --seconds and --rates of a bench whose rate grows
rate_options() {
    while (($#)); do
        case $1 in
            --bin) bin=${2:?}; shift 2 ;;
            --seconds) seconds=${2:?}; shift 2 ;;
            --rates) rates=${2:?}; shift 2 ;;
            *) usage ;;
        esac
    done
}

# climb UNIT REQUESTS RUN: `RUN RATE` for each of $rates, $seconds of SIPp with -trace_stat, until one fails or more than 1 % of its messages,
# so many REQUESTS each, have to be sent again. The highest rate that held is in $best, 0 where none did.
climb() {
    local unit=$1 requests=$2 run=$3 rate made good bad again elapsed verdict
    best=0
    printf '%15s %10s %10s %8s %16s %s\n' "$unit" made answered failed retransmissions verdict
    for rate in $rates; do
        rm -f "$work"/*stat.csv
        "$run" "$rate"
        made=$(column 'TotalCallCreated') good=$(column 'SuccessfulCall(C)') bad=$(column 'FailedCall(C)') again=$(column 'Retransmissions(C)')
        elapsed=$(column 'ElapsedTime(C)')
        verdict=held
        if ((bad > 0 || good < rate * seconds)); then verdict=failed
        elif ((again * 100 > made * requests)); then verdict=retransmitting; fi
        printf '%15s %10s %10s %8s %16s %s (%s)\n' "$rate" "$made" "$good" "$bad" "$again" "$verdict" "${elapsed%.*}"
        [[ $verdict == held ]] || break
        best=$rate
    done
}
