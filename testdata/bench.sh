#!/usr/bin/env bash
# Pairs quell with gitleaks, built from its module, over the same bytes with
# the defaults of both: cold processes, one core, A B A B …, at least five
# pairs. Prints the medians of quell's CPU and wall time as parts of gitleaks'.
# QUELL_CORPUS names more text; the default is Go's own sources.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pairs=${PAIRS:-5} work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
go build -o "$work/quell" ./cmd/quell
go build -o "$work/gitleaks" github.com/zricethezav/gitleaks/v8
export XDG_STATE_HOME="$work/state" XDG_CONFIG_HOME="$work/config" GOMAXPROCS=1 TIMEFORMAT='%U %S %R'
timed() { { time "$@" >/dev/null 2>&1 || true; } 2>&1; }
pair() { # NAME TARGET QUELL-ARGS… -- GITLEAKS-ARGS…
  local name=$1 q=() g=() n; shift
  while [ "$1" != -- ]; do q+=("$1"); shift; done; shift; g=("$@")
  : > "$work/rows"
  for ((n = 0; n < pairs; n++)); do
    echo "$(timed "$work/quell" "${q[@]}" --offline --fail-on never --format jsonl) $(timed "$work/gitleaks" "${g[@]}" --exit-code 0 --no-banner -l error)" >> "$work/rows"
  done
  awk -v name="$name" '{c[NR]=($1+$2)/($4+$5); w[NR]=$3/$6; q[NR]=$1+$2; g[NR]=$4+$5}
    function med(a,   i,j,t){for(i=1;i<=NR;i++)for(j=i+1;j<=NR;j++)if(a[j]<a[i]){t=a[i];a[i]=a[j];a[j]=t}return a[int((NR+1)/2)]}
    END{printf "%-22s CPU %.2f  wall %.2f  of gitleaks  (median of %d pairs; %.1f s and %.1f s of CPU)\n", name, med(c), med(w), NR, med(q), med(g)}' "$work/rows"
}
src=$(go env GOROOT)/src/net
pair "path: Go's src/net" scan path "$src" -- dir "$src"
if [ -n "${QUELL_CORPUS:-}" ]; then pair "log: QUELL_CORPUS" scan log "$QUELL_CORPUS" -- dir "$QUELL_CORPUS"; fi
git rev-parse --git-dir >/dev/null 2>&1 && pair "git: this repository" scan git . -- git .
