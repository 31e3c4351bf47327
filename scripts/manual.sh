#!/usr/bin/env bash
# Renews what the manual takes from the program: the tables of docs/OPERATING.md, configs/reference.yaml and the schema.
# usage: scripts/manual.sh PATH-OF-TANDEM
set -euo pipefail
tandem=$(realpath "${1:?usage: scripts/manual.sh PATH-OF-TANDEM}")
cd "$(dirname "$0")/.."
"$tandem" docs reference >configs/reference.yaml
"$tandem" docs schema >configs/tandem.schema.json
manual=docs/OPERATING.md
skipping=""
while IFS= read -r line; do
    if [[ $line == "<!-- end -->" ]]; then skipping=""; fi
    [[ $skipping ]] || printf '%s\n' "$line"
    if [[ $line =~ ^"<!-- tandem docs "([a-z-]+)" -->"$ ]]; then
        # The substitution takes the line ends off.
        printf '\n%s\n\n' "$("$tandem" docs "${BASH_REMATCH[1]}")"
        skipping=yes
    fi
done <"$manual" >"$manual.new"
mv "$manual.new" "$manual"
