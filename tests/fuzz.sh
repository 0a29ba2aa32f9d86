#!/usr/bin/env bash
# Requests made up from the edge's own OpenAPI document by Schemathesis
# (scripts/tools.sh schemathesis): every answer is one that the document tells
# of, none is a 5xx, and no service panics.
#
#   tests/fuzz.sh            of a mesh of its own, which ends afterwards
#   tests/fuzz.sh <folder>   of the running mesh of that folder, such as .dev
#
# SEED=<number> runs one again, EXAMPLES=<number> tries more of each operation.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=fuzz
failed=0
. "$root/tests/mesh.sh"

schemathesis=$root/.tools/schemathesis/bin/schemathesis
seed=${SEED:-$RANDOM}
examples=${EXAMPLES:-100}
[[ -x $schemathesis ]] || die "Schemathesis is not installed (scripts/tools.sh schemathesis)"
start_or_take "$@"
set -a
. "$folder/mesh.env"
set +a

# Whether what the document forbids is refused is asked; whether what it allows
# is taken is not: people, plates and devices are mostly not there.
checks=(--checks all --exclude-checks positive_data_acceptance)

# fuzz <as> <option>...: a line of counts for each operation; one that no answer
# below 300 came of was not reached.
fuzz() {
  local as=$1 report=$scratch/$1.txt
  shift
  export FUZZ_AS=$as FUZZ_TALLY=$scratch/$as.json
  printf 'as a %s\n' "$as"
  if ! (
    cd "$scratch"
    PYTHONPATH=$root/tests/fuzz PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=hooks \
      "$schemathesis" --config-file "$root/tests/fuzz/schemathesis.toml" run "$scratch/openapi.json" \
      --url "$EDGE_URL" --tls-verify "$EDGE_CA" --no-color --continue-on-failure \
      "${checks[@]}" --suppress-health-check all --warnings off \
      --phases examples,coverage,fuzzing --max-examples "$examples" \
      --seed "$seed" --generation-database none "$@" >"$report" 2>&1
  ); then
    cat "$report"
    failed=1
  fi
  python3 - "$FUZZ_TALLY" "$as" <<'PYTHON' || failed=1
import json, sys

with open(sys.argv[1]) as file:
    tally = json.load(file)
unreached = []
for operation, counts in tally.items():
    print(f"  {operation:50}", " ".join(f"{status}:{count}" for status, count in counts.items()))
    if sys.argv[2] == "client" and not any(status < "300" for status in counts):
        unreached.append(operation)
if unreached or not tally:
    print("  FAIL  nothing was granted:", ", ".join(unreached) or "any operation")
    sys.exit(1)
PYTHON
}

printf 'seed %s\n' "$seed"
python3 - "$EDGE_URL/openapi.json" "$EDGE_CA" "$scratch/openapi.json" <<'PYTHON'
import ssl, sys, urllib.request

url, ca, path = sys.argv[1:]
https = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca))
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
with opener.open(url) as answer, open(path, "wb") as file:
    file.write(answer.read())
PYTHON

fuzz stranger
fuzz client
# From now on the other partner's client must sign.
"$root/target/debug/propctl" --config "$folder/propctl.toml" client webhook-secret set "$OTHER_CLIENT_ID" \
  >/dev/null || die "no signing secret"
CLIENT_ID=$OTHER_CLIENT_ID CLIENT_SECRET=$OTHER_CLIENT_SECRET fuzz signer --include-path-regex ^/v1/webhooks/

if grep -hE '"level":"ERROR"|panicked at' "$folder"/run/logs/*; then
  printf '  FAIL  a service says so of itself\n'
  failed=1
fi
[[ $failed == 0 ]] || printf 'again: SEED=%s EXAMPLES=%s tests/fuzz.sh\n' "$seed" "$examples"
exit "$failed"
