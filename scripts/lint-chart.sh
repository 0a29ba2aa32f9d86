#!/usr/bin/env bash
# Lints and renders the chart with its default values and with each of its
# ci/*-values.yaml, validates what came out, scans it, and shows that the
# schema refuses what must be refused.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
chart=$root/charts/access-mesh
kubernetes=(1.30.0 1.37.0) # the oldest the chart accepts, and the newest known

"$root/scripts/tools.sh" helm python-tools
export PATH=$root/.tools/bin:$PATH
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

fail() { printf 'lint-chart: %s\n' "$*" >&2; exit 1; }
render() { helm template access-mesh "$chart" --namespace access-mesh "$@"; }

# refuses <expected text> <helm arguments>...
refuses() {
  local expected=$1
  shift
  if render "$@" >"$out/refused" 2>&1; then fail "accepted: $*"; fi
  grep -qF -- "$expected" "$out/refused" || fail "refused $* without saying: $expected"$'\n'"$(<"$out/refused")"
}

for values in "" "$chart"/ci/*-values.yaml; do
  arguments=(${values:+--values "$values"})
  name=$(basename "${values:-default-values.yaml}" -values.yaml)
  helm lint --strict --quiet "$chart" "${arguments[@]}"
  render "${arguments[@]}" >"$out/$name.yaml"
  # cert-manager's kinds have no schema here: warned of, and hidden.
  for version in "${kubernetes[@]}"; do
    kubernetes-validate --strict --quiet --no-warn -k "$version" "$out/$name.yaml"
  done
done

# CKV_K8S_15  images are tagged by version, so that a node's copy is the one meant
# CKV_K8S_35  a database URL comes by environment, from a Secret; keys come by file
# CKV_K8S_43  digests are for whoever deploys to give: services.<name>.digest
LOG_LEVEL=ERROR checkov --quiet --compact --skip-download --framework kubernetes \
  --skip-check CKV_K8S_15,CKV_K8S_35,CKV_K8S_43 --directory "$out"

for metric in auth_face_misses_total access_face_misses_total; do
  grep -qF "rate($metric[10m])" "$out/postgres-ha.yaml" || fail "no alert on $metric"
done
if grep -q PrometheusRule "$out/default.yaml"; then fail "a PrometheusRule by default"; fi

for service in auth-svc access-svc biometric-svc; do
  refuses "/services/$service/database" --set "services.$service.replicas=2"
  postgres=(--set "services.$service.database.existingSecret=a-secret")
  refuses "/services/$service/backup/accessMode" "${postgres[@]}"
  postgres+=(--set "services.$service.backup.accessMode=ReadWriteMany")
  if [[ $service != auth-svc ]]; then
    refuses "/services/$service/ledger/accessMode" "${postgres[@]}"
    postgres+=(--set "services.$service.ledger.accessMode=ReadWriteMany")
  fi
  render --set "services.$service.replicas=2" "${postgres[@]}" >"$out/accepted"
  grep -q 'kind: PodDisruptionBudget' "$out/accepted" || fail "two replicas of $service without a PodDisruptionBudget"
done
refuses "'lissten' not allowed" --set lissten=1
refuses "'replica' not allowed" --set services.edge-rest.replica=2
refuses "does not match pattern" --set services.auth-svc.database.url=postgres://propdev:secret@db/auth
refuses "'not' failed" --set services.auth-svc.database.url=postgres://db/auth?password=secret
refuses "PROPDEV_DATABASE__URL" --set-string services.auth-svc.env.PROPDEV_DATABASE__URL=sqlite:///x
refuses "exclusiveMinimum" --set alerts.missesPerMinute=0
refuses "/audit/publishEverySeconds" --set services.access-svc.audit.publishEverySeconds=3601
refuses "does not match pattern" --set-json 'services.access-svc.audit.witnesses=[{"url":"http://witness.example"}]'
render --set services.access-svc.audit.checkpointClaim=elsewhere \
  --set-json 'services.access-svc.audit.witnesses=[{"url":"https://witness.example","caSecret":"witness-ca"}]' >"$out/witnessed"
for line in 'folders = ["/var/lib/propdev-checkpoints"]' 'claimName: elsewhere' \
  'ca = "/etc/propdev/witnesses/0.crt"' 'path: witnesses/0.crt'; do
  grep -qF -- "$line" "$out/witnessed" || fail "checkpoints without: $line"
done
for line in 'operator = { name = "ООО «Застройщик»", address = "Москва, ул. Примерная, 1" }' \
  'destroyed_by = { name = "Петрова О. И.", post = "администратор" }' 'information_system = "Система'; do
  grep -qF -- "$line" "$out/postgres-ha.yaml" || fail "an act of destruction without: $line"
done
refuses "/erasure/operator" --set erasure.operator.name=somebody
refuses "/residency/region" --set residency.region=
refuses "minItems" --set-json 'networkPolicy.dnsPeers=[]'
refuses "does not match pattern" --set publicUrl=http://access.propdev.example

# Every value is in the README's table, and nothing else is.
"$root/.tools/venv/bin/python" - "$chart" <<'PYTHON' || fail "README.md and values.yaml disagree"
import pathlib, re, sys, yaml

chart = pathlib.Path(sys.argv[1])

def keys(value, prefix=""):
    for key, below in value.items():
        if isinstance(below, dict) and below and not key.endswith(("Selector", "Ref")) and key != "resources":
            yield from keys(below, f"{prefix}{key}.")
        else:
            yield re.sub(r"^services\.(?:auth-svc|access-svc|biometric-svc|edge-rest)\.", "services.<name>.", prefix + key)

values = set(keys(yaml.safe_load((chart / "values.yaml").read_text())))
table = set(re.findall(r"^\| `(\w[^`]*)` \|", (chart / "README.md").read_text(), re.MULTILINE))
for key in sorted(values ^ table):
    print(f"lint-chart: {key} is only in {'values.yaml' if key in values else 'README.md'}", file=sys.stderr)
sys.exit(values != table)
PYTHON

printf 'lint-chart: fine\n'
