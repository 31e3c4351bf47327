#!/usr/bin/env bash
# Renews what the manual takes from the program: the tables of docs/OPERATING.md, configs/reference.yaml and the schema.
# usage: scripts/manual.sh PATH-OF-TANDEM
set -euo pipefail
tandem=$(realpath "${1:?usage: scripts/manual.sh PATH-OF-TANDEM}")
cd "$(dirname "$0")/.."
"$tandem" docs reference >configs/reference.yaml
"$tandem" docs schema >configs/tandem.schema.json
manual=docs/OPERATING.md
renewed=$(mktemp)
awk -v tandem="$tandem" '
    /^<!-- end -->$/ { skipping = 0 }
    !skipping { print }
    /^<!-- made by: tandem docs [a-z-]+ -->$/ { skipping = 1; system(tandem " docs " $6); fflush() }
' "$manual" >"$renewed"
cat "$renewed" >"$manual"
rm "$renewed"
