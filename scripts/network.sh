#!/usr/bin/env bash
# A telephone network in three namespaces on this machine: a caller's, a callee's and the gateway's host.
#
#   tandem-a-ID  10.77.0.2/24 eth0 --- bridge br0 10.77.0.1/24 --- eth0 10.77.0.3/24  tandem-b-ID
#                                       | tandem-gw-ID
#                                       `- veth media0: no kernel address, for the gateway's DPDK port
#
# usage: scripts/network.sh up ID | down ID      (root; ID: letters, digits)
set -euo pipefail
action=${1-} id=${2-}
[[ ($action == up || $action == down) && $id =~ ^[A-Za-z0-9]{1,16}$ ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
gw=tandem-gw-$id caller=tandem-a-$id callee=tandem-b-$id

down() {
    for ns in "$gw" "$caller" "$callee"; do ip netns delete "$ns" 2>/dev/null || true; done
}

endpoint() { # namespace, its port on the bridge, its address
    ip -n "$gw" link add "$2" type veth peer name eth0 netns "$1"
    ip -n "$gw" link set "$2" master br0 up
    ip -n "$1" address add "$3" dev eth0
    # A veth leaves transmit checksums to hardware it does not have, and a packet socket would show them unfinished.
    ip netns exec "$1" ethtool -K eth0 tx off >/dev/null
    ip -n "$1" link set eth0 up
}

if [[ $action == down ]]; then
    down
    exit
fi
trap 'down' ERR
for ns in "$gw" "$caller" "$callee"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
done
ip -n "$gw" link add br0 type bridge
endpoint "$caller" caller0 10.77.0.2/24
endpoint "$callee" callee0 10.77.0.3/24
ip -n "$gw" address add 10.77.0.1/24 dev br0
ip netns exec "$gw" ethtool -K br0 tx off >/dev/null
ip -n "$gw" link add media0 type veth peer name media0-br
ip -n "$gw" link set media0-br master br0 up
# The kernel must not speak on the gateway's port.
ip netns exec "$gw" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/media0/disable_ipv6'
ip -n "$gw" link set media0 up
ip -n "$gw" link set br0 up
