#!/usr/bin/env bash
# REGISTERs with authentication per second, each answered 200 when SQLite has it on disk: SIPp is a crowd of telephones that
# register, each challenged once, so that a registration is two REGISTERs. The rate grows until a registration fails or more than
# 1 % of the messages have to be sent again.
#
# usage: benches/register.sh [--bin DIR] [--seconds N] [--rates "1000 2000 ..."]
# A rate is of registrations. Control is left the first core, the worker has the last, SIPp the others; of two cores it shares the
# idle worker's.
set -euo pipefail
cd "$(dirname "$0")/.."
source benches/gateway.bash
seconds=5 rates="500 1000 1500 2000 2500 3000 4000" port=25066 users=1000
# All of them have one address here.
messages_per_s=0
rate_options "$@"
need sipp curl
start_gateway $port <<YAML
limits: { max_calls: 10, max_transactions: 1000000 }
registrar: { realm: example.com, peer: phones, algorithms: [MD5] }
store: { url: "sqlite://$work/tandem.db" }
peers: [{ name: phones }]
routes: [{ peer: phones }]
YAML
{
    echo SEQUENTIAL
    for user in $(seq $users); do echo "u$user;[authentication username=u$user password=secret]"; done
} >"$work/accounts.csv"
for user in $(seq $users); do
    printf 'next\nurl = "http://%s/v1/subscribers/u%s"\nrequest = PUT\nheader = "content-type: application/json"\ndata = "{\\"password\\":\\"secret\\"}"\noutput = /dev/null\nfail\n' \
        "$http" "$user"
done | sed 1d | curl -sS --config -
scenario=$PWD/crates/gateway/tests/sipp/phone_registers.xml
registrations() { # RATE
    (cd "$work" && exec "${peer[@]}" sipp -sf "$scenario" -inf accounts.csv -i 127.0.0.1 -p 25070 -r "$1" -m $(($1 * seconds)) \
        -l 100000 -auth_uri example.com -trace_stat -stf "$work/stat.csv" -fd 1 -nostdin -timeout $((seconds + 15))s 127.0.0.1:$port >/dev/null 2>&1) || true
}
# Two requests a registration.
climb registrations/s 2 registrations
echo "highest rate held: $best registrations/s, $((best * 2)) REGISTERs/s"
curl -fsS "http://$http/metrics" | grep -E '^tandem_(registers_accepted|digest_challenges|database_failures|sip_retransmissions)' || true
kill -TERM "$gateway"
wait "$gateway"
((best))
