#!/usr/bin/env bash
# Calls through a gateway that is flooded with junk: SIPp calls SIPp at a steady rate while datagrams that nobody wants
# come from 256 addresses: octets at random, halves of messages, scanners, calls from strangers. No call may fail.
#
# usage: benches/sip-flood.sh [--bin DIR] [--seconds N] [--rate CALLS] [--junk DATAGRAMS]
# Control is left the first core, which the source of the junk shares; the worker has the last, SIPp the others or the idle worker's.
set -euo pipefail
cd "$(dirname "$0")/.."
source benches/gateway.bash
seconds=20 rate=100 junk=50000 port=25062
while (($#)); do
    case $1 in
        --bin) bin=${2:?}; shift 2 ;;
        --seconds) seconds=${2:?}; shift 2 ;;
        --rate) rate=${2:?}; shift 2 ;;
        --junk) junk=${2:?}; shift 2 ;;
        *) usage ;;
    esac
done
need sipp python3 jq
cat >"$work/junk.py" <<'PYTHON'
import os, random, socket, sys, time
rate, seconds = int(sys.argv[1]), int(sys.argv[2])
random.seed(4475)
sockets = []
for host in range(256):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((f"127.1.0.{host}" if host else "127.1.1.1", 0))
    s.connect(("127.0.0.1", 25062))
    s.setblocking(False)
    sockets.append(s)
def request(method, agent, number):
    return (f"{method} sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.1.0.1:5060;branch=z9hG4bK{number}\r\n"
            f"From: <sip:100@127.1.0.1>;tag={number}\r\nTo: <sip:100@127.0.0.1>\r\nCall-ID: {number}\r\n"
            f"CSeq: 1 {method}\r\nContact: <sip:100@127.1.0.1>\r\nMax-Forwards: 70\r\n{agent}Content-Length: 0\r\n\r\n").encode()
messages = []
for number in range(1024):
    whole = request("INVITE", "", number)
    messages += [os.urandom(random.randrange(20, 600)), whole[:random.randrange(40, len(whole))], whole,
                 request("OPTIONS", "User-Agent: friendly-scanner\r\n", number), request("REGISTER", "", number)]
sent = unsent = 0
begin = time.monotonic()
while (now := time.monotonic() - begin) < seconds:
    due = int(now * rate)
    for number in range(sent, min(due, sent + 500)):
        try:
            sockets[number % 256].send(messages[number % len(messages)])
        except OSError:
            unsent += 1
    sent = min(due, sent + 500) if due > sent else sent
    if due - sent < 100:
        time.sleep(0.001)
print(f"{sent / seconds:.0f} datagrams/s of junk, {unsent} of {sent} not taken by the kernel")
PYTHON
start_gateway $port < <(two_sipps $port 4000)
answering $port
taskset -c 0 python3 "$work/junk.py" "$junk" "$((seconds + 2))" >"$work/junk.log" &
flood=$!
sleep 1
(cd "$work" && exec "${peer[@]}" sipp -sn uac -i 127.0.0.2 -p $port -mi 127.0.0.2 -mp 20000 -d 0 -r "$rate" -m $((rate * seconds)) -l 4000 \
    -trace_stat -stf "$work/stat.csv" -fd 1 -nostdin -timeout $((seconds + 40))s 127.0.0.1:$port >/dev/null 2>&1) || true
wait $flood
cat "$work/junk.log"
echo "calls: $(column 'TotalCallCreated') made, $(column 'SuccessfulCall(C)') answered, $(column 'FailedCall(C)') failed," \
    "$(column 'Retransmissions(C)') retransmissions"
ctl stats --json |
    jq -c '{received: .sip.received, guard: .switch.guard, malformed: .switch.malformed_datagrams, strangers: .switch.refused_strangers}'
awk -v udp="$(printf '%04X' $port)" '$2 ~ ":" udp "$" { print "datagrams lost in the gateway'"'"'s socket: " $13 }' /proc/net/udp | head -1
[[ $(column 'FailedCall(C)') == 0 && $(column 'SuccessfulCall(C)') == $((rate * seconds)) ]] || { echo "calls failed"; exit 1; }
echo "no call failed"
