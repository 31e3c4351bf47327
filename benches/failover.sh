#!/usr/bin/env bash
# What a failover costs: calls through one of two gateways, which then goes away in one of several ways. Prints, for each way,
# calls lost, the gap of the media in each direction, packets of two gateways at once and records; draws the gaps.
#
# usage: benches/failover.sh [--calls N] [--repeats N] [--case NAME] [--output DIRECTORY]      (root)
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${CARGO:-cargo}" bench --locked -p tandem-gateway --bench failover -- "$@"
