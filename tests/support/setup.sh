#!/usr/bin/env bash
# Brings what the recipes need, each part only when it is missing:
#
#   setup.sh python-tools   .venv/tools   the binaries of tools.txt, from PyPI
#   setup.sh cargo-tools    .venv/cargo   the programs of cargo-tools.txt, compiled unoptimised: a minute and a half
#   setup.sh fuzz-tools     .venv/cargo   the programs of fuzz-tools.txt, which only `just fuzz` needs
#   setup.sh package-tools  .venv/package what builds the deployed binary, of package-tools.txt
#   setup.sh readers        .venv/py      the Python readers of requirements.txt
#                           .venv/node    the packages of node/package.json: JavaScript readers, Azurite, what drives a browser
#   setup.sh stac           .venv/stac    pgSTAC, a STAC API over it and a client, of stac-requirements.txt
#   setup.sh api            .venv/api     schemathesis, of api-requirements.txt
#   setup.sh titiler        .venv/titiler   an unmodified TiTiler, of titiler.txt
#   setup.sh infra          .venv/infra   Kusto's parser, of infra/check/package.json
#   setup.sh databases                    PostgreSQL with PostGIS, from Debian's packages
#   setup.sh browser                      Chromium, from Debian's packages
#   setup.sh peers          .venv/bench   those and the peers of benches/requirements.txt
#   setup.sh all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
support=tests/support
# An environment is never built from another one of ours.
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v '/\.venv/' | paste -sd: -)

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Installs Debian packages without a word, as root or through sudo; says what to install otherwise.
apt_install() {
  local as=()
  command -v apt-get >/dev/null 2>&1 || die "please install: $*"
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || die "please install, as root: apt-get install $*"
    as=(sudo -n)
  fi
  say "installing $*"
  "${as[@]}" apt-get update -qq >/dev/null
  "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

can_make_venv() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# The Python to build environments with: 3.13 or 3.12 if there is one, for the newest readers, else 3.14, else 3.11.
find_python() {
  local version candidate
  for version in 3.13 3.12 3.14 3.11; do
    for candidate in "$(command -v "python$version" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
      if [ -n "$candidate" ] && [ -x "$candidate" ] && can_make_venv "$candidate"; then
        printf '%s\n' "$candidate"
        return
      fi
    done
  done
}

need_python() {
  python=$(find_python)
  if [ -z "$python" ]; then
    apt_install python3 python3-venv python3-pip
    python=$(find_python)
  fi
  [ -n "$python" ] || die "Python 3.11 or later is needed, with its venv module; found: $(python3 --version 2>/dev/null || echo none)"
}

# environment FOLDER REQUIREMENTS: a virtual environment with exactly these, remade when the list or Python changes.
environment() {
  local folder=$1 list=$2 stamp
  need_python
  stamp="$("$python" --version) $(sha256sum <"$list")"
  [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ] && return
  say "$folder with $("$python" --version) ($python)"
  "$python" -m venv --clear "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$list"
  printf '%s' "$stamp" >"$folder/stamp"
}

node_readers() { node_packages .venv/node "$support/node"; }

# node_packages FOLDER LIST: the packages of a package.json, at the versions of its lock; remade when either changes.
node_packages() {
  local folder=$1 list=$2 stamp
  command -v npm >/dev/null 2>&1 || apt_install nodejs npm
  stamp="$(node --version) $(cat "$list"/package*.json | sha256sum)"
  [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ] && return
  say "$folder with Node $(node --version)"
  mkdir -p "$folder"
  cp "$list"/package*.json "$folder"
  npm ci --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts
  printf '%s' "$stamp" >"$folder/stamp"
}

# cargo_tools LIST: the programs of a list, each as name@version.
cargo_tools() {
  local tool
  while read -r tool; do
    [ -e ".venv/cargo/$tool" ] && continue
    say "compiling $tool"
    env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --force --root .venv/cargo "$tool"
    touch ".venv/cargo/$tool"
  done <"$1"
}

# The servers that tests start for themselves. Debian starts none of its own in a container; elsewhere it may.
databases() {
  local found=(/usr/lib/postgresql/*/bin/initdb) postgis=(/usr/share/postgresql/*/extension/postgis.control) missing=()
  [ -x "${found[0]}" ] || missing+=(postgresql)
  [ -e "${postgis[0]}" ] || missing+=(postgresql-postgis)
  command -v openssl >/dev/null 2>&1 || missing+=(openssl)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# What the status page is looked at with.
browser() { command -v chromium >/dev/null 2>&1 || apt_install chromium; }

need_compiler() { command -v cc >/dev/null 2>&1 || apt_install gcc libc6-dev; }

case "${1:-all}" in
  python-tools) environment .venv/tools "$support/tools.txt" ;;
  cargo-tools) need_compiler; cargo_tools "$support/cargo-tools.txt" ;;
  fuzz-tools) need_compiler; cargo_tools "$support/fuzz-tools.txt" ;;
  package-tools) need_compiler; environment .venv/package "$support/package-tools.txt" ;;
  readers) environment .venv/py "$support/requirements.txt"; node_readers ;;
  infra) node_packages .venv/infra infra/check ;;
  stac) environment .venv/stac "$support/stac-requirements.txt" ;;
  api) environment .venv/api "$support/api-requirements.txt" ;;
  titiler) environment .venv/titiler "$support/titiler.txt" ;;
  databases) databases ;;
  browser) browser ;;
  peers) environment .venv/bench benches/requirements.txt ;;
  all) need_compiler; environment .venv/tools "$support/tools.txt"; environment .venv/py "$support/requirements.txt"; node_readers; node_packages .venv/infra infra/check; environment .venv/stac "$support/stac-requirements.txt"; environment .venv/api "$support/api-requirements.txt"; environment .venv/titiler "$support/titiler.txt"; databases; browser; cargo_tools "$support/cargo-tools.txt" ;;
  *) die "no part called $1" ;;
esac
