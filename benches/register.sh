#!/bin/sh
# REGISTERs with authentication per second, each answered 200 when SQLite has it on disk.
#
#   benches/register.sh [RATE] [SECONDS]      default: 2000 a second for 20 seconds
#
# SIPp is a crowd of telephones that register, each challenged once: two REGISTERs a registration. The gateway's control has one core, SIPp
# the other. Says how many registrations were answered, how many were not, and how long the second REGISTER took.
set -eu

rate=${1:-2000}
seconds=${2:-20}
users=1000
here=$(cd "$(dirname "$0")/.." && pwd)
tandem=${TANDEM:-$here/target/release/tandem}
[ -x "$tandem" ] || { echo "no $tandem: cargo build --release, or say TANDEM=" >&2; exit 1; }
work=$(mktemp -d)
gateway=
trap '[ -z "$gateway" ] || kill "$gateway" 2>/dev/null; wait; rm -rf "$work"' EXIT

cat > "$work/tandem.yaml" <<YAML
dpdk: { huge_pages: off, memory_mib: 64, packet_buffers: 4096, file_prefix: "register-bench-$$" }
ports: [{ name: media, device: net_null0, addresses: [10.77.9.1/24] }]
workers: { cores: [1] }
sip: { listen: [{ name: main, address: "127.0.0.1:25060" }] }
limits: { max_calls: 10, max_transactions: 1000000 }
registrar: { realm: example.com, peer: phones, algorithms: [MD5] }
store: { url: "sqlite://$work/tandem.db" }
peers: [{ name: phones }]
routes: [{ peer: phones }]
records: { directory: "$work/records" }
http: { listen: "127.0.0.1:29060" }
YAML
# The worker is pinned to core 1 by itself; everything else of the gateway stays on core 0.
taskset -c 0 "$tandem" run --config "$work/tandem.yaml" 2> "$work/log" & gateway=$!
until "$tandem" ctl --server 127.0.0.1:29060 ready > /dev/null 2>&1; do
    kill -0 "$gateway" 2> /dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done
{
    echo SEQUENTIAL
    for user in $(seq "$users"); do echo "u$user;[authentication username=u$user password=secret]"; done
} > "$work/accounts.csv"
for user in $(seq "$users"); do
    curl -fsS -X PUT -H 'content-type: application/json' -d '{"password":"secret"}' "http://127.0.0.1:29060/v1/subscribers/u$user" > /dev/null
done
before=$(ps -o times= -p "$gateway")
taskset -c 1 sipp -sf "$here/crates/gateway/tests/sipp/phone_registers.xml" -inf "$work/accounts.csv" -i 127.0.0.1 -p 25070 \
    -r "$rate" -m $((rate * seconds)) -l 100000 -nostdin -auth_uri example.com -trace_stat -stf "$work/stat.csv" 127.0.0.1:25060 > "$work/sipp.log" 2>&1 || true
after=$(ps -o times= -p "$gateway")
awk -F';' 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } END {
    printf "registrations %s, failed %s, per second %s\n", $at["SuccessfulCall(C)"], $at["FailedCall(C)"], $at["CallRate(C)"] }' "$work/stat.csv"
echo "processor seconds of the gateway: $((after - before)) in $seconds"
curl -fsS http://127.0.0.1:29060/metrics | grep -E '^tandem_(registers_accepted|digest_challenges|database_failures|sip_retransmissions)' || true
