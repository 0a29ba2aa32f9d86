#!/usr/bin/env bash
# What a mesh's listeners agree to, as tools see it that are not ours: openssl,
# and testssl.sh where it is installed (scripts/tools.sh testssl).
#
#   tests/tls.sh            of a mesh of its own, which ends afterwards
#   tests/tls.sh <folder>   of the running mesh of that folder, such as .dev
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=tls
failed=0
. "$root/tests/mesh.sh"

good() { printf '  ok    %s\n' "$*"; }
bad() { printf '  FAIL  %s\n' "$*"; failed=1; }

# is <what> <wanted> <found>
is() { if [[ $2 == "$3" ]]; then good "$1"; else bad "$1: ${3:-nothing} in place of ${2:-nothing}"; fi; }

# Where a service's own listener is.
listens() { sed -n '/^\[server\]/,/^\[/s/^listen = "\(.*\)"/\1/p' "$folder/run/config/$1.toml"; }

# ask <command>... -- <option>...: what openssl tells of a connection to $address
# as $client, on which it is given what the command writes.
ask() {
  local input=()
  while [[ $1 != -- ]]; do input+=("$1"); shift; done
  shift
  "${input[@]}" | timeout 20 openssl s_client -connect "$address" -servername localhost \
    "${client[@]}" "$@" 2>&1 | tr -d '\0'
}

renegotiate() { printf 'R\n'; sleep 0.5; }

# shake <option>...: a handshake with $address as $client; what openssl tells
# of it is in $told.
shake() {
  local status=0
  # A moment for the alert that TLS 1.3 sends after the client is done.
  told=$(ask sleep 0.3 -- "$@") || status=$?
  return "$status"
}
agrees() { if shake "$@"; then printf yes; else printf no; fi; }
field() { sed -n "s/^ *$1//p" <<<"$told" | head -n 1; }

# The suites of TLS 1.2: the server takes one of all there are, then one of the
# rest, until it takes none.
suites() {
  local offer=ALL:COMPLEMENTOFALL:@SECLEVEL=0 suite
  while shake -tls1_2 -cipher "$offer"; do
    suite=$(sed -n 's/.*Cipher is \(.*\)/\1/p' <<<"$told" | head -n 1)
    [[ -n $suite && $suite != "(NONE)" ]] || break
    printf '%s\n' "$suite"
    offer+=":!$suite"
  done
}

# check <name> <address> <alpn>...
check() {
  local name=$1 protocol suite accepted
  address=$2
  shift 2
  printf '%s, %s\n' "$name" "$address"
  is "TLS 1.2" yes "$(agrees -tls1_2)"
  is "TLS 1.3" yes "$(agrees -tls1_3)"
  is "no TLS 1.1" no "$(agrees -tls1_1 -cipher ALL:@SECLEVEL=0)"
  is "no TLS 1.0" no "$(agrees -tls1 -cipher ALL:@SECLEVEL=0)"
  shake -tls1_2 -CAfile "$ca" -verify_return_error || true
  is "a certificate of the CA" "0 (ok)" "$(field 'Verify return code: ')"
  is "no compression" NONE "$(field 'Compression: ')"
  accepted=$(suites)
  [[ -n $accepted ]] || bad "no suite of TLS 1.2 is accepted"
  for suite in $accepted; do
    if [[ $suite =~ ^ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)$ ]]; then
      good "$suite"
    else
      bad "$suite is accepted: no AEAD with forward secrecy"
    fi
  done
  for protocol in "$@"; do
    shake -alpn "$protocol" || true
    is "ALPN $protocol" "$protocol" "$(field 'ALPN protocol: ')"
  done
  # A second look at the certificate would show a second handshake.
  told=$(ask renegotiate -- -tls1_2 | sed -n '/RENEGOTIATING/,$p') || true
  case $told in
    *depth=*) bad "renegotiation is agreed to" ;;
    *RENEGOTIATING*) good "no renegotiation" ;;
    *) bad "renegotiation could not be tried" ;;
  esac
}

# The sections on protocols, ciphers, forward secrecy and vulnerabilities: no
# finding above LOW.
testssl_of() {
  local report=$scratch/report.json
  rm -f "$report"
  # Its exit code counts what it could not try, too.
  "$testssl" --quiet --color 0 --warnings off --protocols --std --fs --vulnerable \
    --jsonfile "$report" --ip one "$1" >"$scratch/testssl" 2>&1 || true
  python3 - "$report" <<'PYTHON' || { bad "testssl.sh"; return; }
import json, sys

with open(sys.argv[1]) as report:
    findings = json.load(report)
grave = [f for f in findings if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
for finding in grave:
    print("        {id}: {severity}: {finding}".format(**finding))
tried = {f["id"] for f in findings}
missing = {"TLS1_2", "cipherlist_NULL", "heartbleed"} - tried
if missing:
    print("        not tried:", ", ".join(sorted(missing)))
sys.exit(bool(grave or missing))
PYTHON
  good "testssl.sh finds nothing above LOW"
}

start_or_take "$@"
ca=$(value EDGE_CA)
public=$(value EDGE_URL)
public=${public#https://}
testssl=$(command -v testssl || true)

client=()
check "the edge, for partners" "$public" h2 http/1.1
listeners=("$public")
for service in edge-rest auth-svc access-svc biometric-svc; do
  certificates=$folder/run/certificates/$service
  client=(-cert "$certificates/tls.crt" -key "$certificates/tls.key")
  check "$service, for the mesh" "$(listens "$service")" h2
  listeners+=("$(listens "$service")")
  client=()
  for version in tls1_2 tls1_3; do
    is "nobody without a certificate by $version" no "$(agrees -"$version")"
  done
done

if [[ -n $testssl ]]; then
  for address in "${listeners[@]}"; do
    printf 'testssl.sh, %s\n' "$address"
    testssl_of "$address"
  done
else
  printf 'skipped: testssl.sh is not installed (scripts/tools.sh testssl)\n'
fi
exit "$failed"
