#!/usr/bin/env bash
# What a failover costs: calls through one of two gateways, which then goes away in one of several ways. Prints, for each way,
# calls lost, the gap of the media in each direction and what it consists of, packets of two gateways at once, duplicate answers and
# records lost; draws the gaps. Ends with 1 where something is not as it is to be.
#
# usage: benches/failover.sh [--calls N] [--repeats N] [--beat-ms N] [--case NAME] [--output DIRECTORY]      (root)
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${CARGO:-cargo}" bench --locked -p tandem-gateway --bench failover -- "$@"
