#!/usr/bin/env bash
# A compiler for `cargo fuzz` (RUSTC_WRAPPER) that counts coverage in Landfall's own crates alone. Counters in
# serde_json or url grow for hours without a new path of ours, and cost time in every run.
set -euo pipefail
crate=
for ((i = 1; i < $#; i++)); do
  [ "${!i}" != --crate-name ] || { next=$((i + 1)); crate=${!next}; }
done
case " landfall virtualize landfall_fuzz hdf5 classic kerchunk names envelopes chunk inspect parquet times " in
  *" $crate "*) exec "$@" ;;
esac
kept=()
for argument in "$@"; do
  case $argument in
    -Cpasses=sancov-module | -Cllvm-args=-sanitizer-coverage-*) ;;
    *) kept+=("$argument") ;;
  esac
done
exec "${kept[@]}"
