#!/bin/sh
# build.sh: builds the binary that is deployed, for Linux on x86-64, so that it runs where glibc is 2.28 or newer (Debian 10,
# Ubuntu 18.10, RHEL 8, Azure Linux) wherever it is built; prints its path. `setup.sh package-tools` brings what it needs.
set -eu
repository=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
cd "$repository"
target=x86_64-unknown-linux-gnu
PATH=$repository/.venv/package/bin:$PATH
command -v cargo-zigbuild >/dev/null || { echo "build: no cargo-zigbuild: run tests/support/setup.sh package-tools" >&2; exit 1; }
# Rust's own library for the target is there on such a machine; elsewhere it is fetched.
[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || rustup target add "$target" >&2
cargo zigbuild --quiet --release --bin landfall --target "$target.2.28" >&2
echo "${CARGO_TARGET_DIR:-$repository/target}/$target/release/landfall"
