# `./just` runs these, and fetches `just` itself where it is missing.

# The share of the corpus's comparable files that must come out right: what was reached, so it cannot fall back.
corpus_min_ok := "0.94"
corpus := env("LANDFALL_CORPUS", justfile_directory() / "../shared/corpus")
target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
python := justfile_directory() / ".venv/py/bin/python"

# The readers' Python, for the tests that start one.
export LANDFALL_TEST_PYTHON := env("LANDFALL_TEST_PYTHON", python)
export PATH := justfile_directory() / ".venv/cargo/bin:" + justfile_directory() / ".venv/tools/bin:" + env("PATH")

# The recipes.
default:
    @just --justfile {{ justfile() }} --list

# Everything the other recipes need; quick when it is all there.
setup:
    @tests/support/setup.sh all

# The demo series lands file by file in a watched folder and is served as Zarr; or your own FOLDER. Ctrl-C ends it.
demo FOLDER="":
    @tests/support/setup.sh readers
    cargo build --release --bin landfall
    @{{ python }} tests/support/demo.py {{ target }}/release/landfall {{ if FOLDER == "" { "" } else { quote(FOLDER) } }}

# Everything: checks, the corpus, the readers, the demo once, all tests; the HDF5 C library is compiled once for it.
test: setup check infra-check readers corpus
    LANDFALL_DEMO_ONCE=1 "{{ just_executable() }}" --justfile "{{ justfile() }}" demo
    cargo test --workspace --features landfall/libhdf5

# Format, lints, documentation, dependencies, spelling.
check:
    @tests/support/setup.sh python-tools
    @tests/support/setup.sh cargo-tools
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --quiet -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    cargo deny --log-level error check bans licenses sources
    cargo machete
    typos

# The deployment without Azure: templates, alerts over the app's own log lines, runbooks; and that each of these checks can fail.
infra-check:
    @tests/support/setup.sh infra
    @tests/support/setup.sh readers
    cargo build --quiet --bin landfall
    {{ python }} infra/check/check.py {{ target }}/debug/landfall

# The comparison with xarray, proven to pass what is right and to fail what is not.
readers:
    @tests/support/setup.sh readers
    {{ python }} tests/support/check_readers.py

# Real files of others, against their oracles: no wrong value, no crash.
corpus:
    #!/usr/bin/env bash
    set -euo pipefail
    if [ ! -d "{{ corpus }}" ]; then
      echo "no corpus at {{ corpus }}: set LANDFALL_CORPUS" >&2
      # On CI a missing piece is an error.
      [ -z "${CI:-}" ] && exit 0 || exit 1
    fi
    tests/support/setup.sh readers
    cargo build --quiet --bin landfall
    "{{ python }}" "{{ corpus }}/check_refs.py" --manifest "{{ corpus }}/MANIFEST.json" --root "{{ corpus }}" \
        --min-ok {{ corpus_min_ok }} --jobs 2 --cmd '{{ target }}/debug/landfall virtualize {input} -o {output} --json'
    "{{ python }}" "{{ corpus }}/check_groups.py" --manifest "{{ corpus }}/MANIFEST.json" --root "{{ corpus }}" \
        --jobs 2 --cmd '{{ target }}/debug/landfall combine {inputs} -o {output} --concat-dim {dim} --json'

# The HTTP API tried from its document: so many examples for each operation and method.
api EXAMPLES="300":
    @tests/support/setup.sh api
    LANDFALL_API_EXAMPLES={{ EXAMPLES }} cargo test --test tests -- contract::schemathesis --nocapture

# Looks for inputs that break what must hold: MINUTES for each target (or the one named), then damaged fixtures.
fuzz MINUTES="1" TARGET="hdf5 classic kerchunk parquet chunk times inspect names envelopes":
    #!/usr/bin/env bash
    set -euo pipefail
    tests/support/setup.sh fuzz-tools
    cargo +nightly --version >/dev/null || { echo "a nightly compiler is needed: rustup toolchain install nightly" >&2; exit 1; }
    for target in {{ TARGET }}; do
      # What is found stays out of the repository; what is worth keeping is put into fuzz/corpus by hand.
      mkdir -p fuzz/target/found/"$target"
      corpus=(fuzz/corpus/"$target")
      [ "$target" != inspect ] || corpus=(fuzz/corpus/hdf5 fuzz/corpus/classic)
      RUSTC_WRAPPER="$PWD/fuzz/own-coverage.sh" cargo +nightly fuzz run --sanitizer none "$target" fuzz/target/found/"$target" "${corpus[@]}" -- \
          -max_total_time=$(( {{ MINUTES }} * 60 )) -rss_limit_mb=256 -malloc_limit_mb=64 -timeout=5 -max_len=20000
    done
    LANDFALL_DAMAGED=$(( {{ MINUTES }} * 20000 )) LANDFALL_SEED=$(date +%s) cargo test --test tests hostile::damaged

# Draws so many random small files for the fuzzer to begin from.
fuzz-seeds COUNT="1000" SEED="1":
    tests/support/setup.sh readers
    {{ python }} fuzz/seeds.py --count {{ COUNT }} --seed {{ SEED }}

# Fuzzes a target until so many minutes of processor time bring no new coverage; what it found lies in fuzz/target/found.
fuzz-until-quiet TARGET MINUTES="30":
    tests/support/setup.sh fuzz-tools
    python3 fuzz/until_quiet.py {{ TARGET }} --minutes {{ MINUTES }}

# The whole product of contents, format bounds and kinds of files (the tests run every two of them), against h5py and netCDF4.
matrix JOBS="2":
    #!/usr/bin/env bash
    set -euo pipefail
    tests/support/setup.sh readers
    cargo build --quiet --bin landfall
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "{{ python }}" tests/fixtures/make_matrix.py "$folder" --full --jobs {{ JOBS }}
    "{{ python }}" tests/support/check_matrix.py "{{ target }}/debug/landfall" "$folder" --jobs {{ JOBS }}

# So many random series joined and compared with netCDF4 and numpy (the tests run sixty); KEEP is a folder for those that come out wrong.
series COUNT="1000" SEED="1" KEEP="":
    @tests/support/setup.sh readers
    cargo build --quiet --bin landfall
    {{ python }} tests/support/check_series.py "{{ target }}/debug/landfall" --count {{ COUNT }} --seed {{ SEED }} {{ if KEEP == "" { "" } else { "--keep " + quote(KEEP) } }}

# So many random files compared with h5py, netCDF4 and xarray (the tests take forty); KEEP is a folder for those that come out wrong.
files COUNT="1000" SEED="1" KEEP="":
    @tests/support/setup.sh readers
    cargo build --quiet --bin landfall
    {{ python }} tests/support/check_files.py "{{ target }}/debug/landfall" --count {{ COUNT }} --seed {{ SEED }} {{ if KEEP == "" { "" } else { "--keep " + quote(KEEP) } }}

# Ten thousand blobs of an emulated container are put into series, by the command line and by the app: seconds.
inventory:
    cargo test --test tests -- inventory::ten_thousand --ignored --nocapture

# The life of a Release over PostgreSQL and pgSTAC, from its submission to its revocation, as readers of the catalogue see it; PGSTAC may be 0.9.8.
lifecycle PGSTAC="0.10.0":
    @tests/support/setup.sh readers
    @tests/support/setup.sh stac
    @tests/support/setup.sh databases
    LANDFALL_TEST_PGSTAC={{ PGSTAC }} cargo test --test tests lifecycle
    LANDFALL_TEST_PGSTAC={{ PGSTAC }} cargo test --lib -- postgres::tests::publishing postgres::tests::stac

# Items of the corpus, a file at a time, against the published schemas of STAC and its extensions.
items:
    @tests/support/setup.sh readers
    @tests/support/setup.sh stac
    cargo test --test tests items -- --include-ignored

# Our decoder, and `verify --against libhdf5`, against the HDF5 C library; it is compiled once, in two minutes and more.
libhdf5:
    @tests/support/setup.sh python-tools
    cargo test --package landfall --package libhdf5-oracle --features landfall/libhdf5 --test tests --test fixtures -- libhdf5 the_library

# The function app as the Functions host wants it: host.json, the function folders and a binary for glibc 2.28 side by side.
stage:
    @tests/support/setup.sh package-tools
    infra/stage.sh "$(infra/build.sh)" dist/app

# dist/landfall.zip, the staged folder for deployment, tried out; it asks for no newer system than Azure has.
package: stage
    infra/package.sh dist/app dist/landfall.zip
    infra/try-package.sh dist/landfall.zip tests/fixtures/cmip6/tas_Amon_DEMO-ESM_historical_r1i1p1f1_gn_200001-200012.nc

# What is tested of the packaged folder is the packaged binary: the main job on Azurite, PostgreSQL and the local host.
staged: package
    @tests/support/setup.sh readers
    @tests/support/setup.sh databases
    LANDFALL_TEST_PROGRAM="{{ justfile_directory() }}/dist/app/landfall" cargo test --test tests -- staged::

# The whole job on Azurite, PostgreSQL and the local host: so many files dropped out of order, with lost and doubled events.
e2e FILES="60":
    @tests/support/setup.sh readers
    @tests/support/setup.sh databases
    LANDFALL_E2E_FILES={{ FILES }} cargo test --test tests -- end_to_end:: staged::

# A storm: so many file events while the handler is killed so often, storage and database start again, and requests fail.
# Twenty minutes; the tests have a minute of it.
chaos EVENTS="2000" KILLS="200" SEED="3":
    @tests/support/setup.sh readers
    @tests/support/setup.sh databases
    LANDFALL_CHAOS_EVENTS={{ EVENTS }} LANDFALL_CHAOS_KILLS={{ KILLS }} LANDFALL_SEED={{ SEED }} \
        cargo test --test tests -- chaos:: --nocapture

# What events cost the release build: processor time, memory with 64 and 256 at once, the time to the first answer.
load:
    @tests/support/setup.sh readers
    @tests/support/setup.sh databases
    cargo build --release --bin landfall
    LANDFALL_TEST_PROGRAM="{{ target }}/release/landfall" cargo test --test tests -- load:: --include-ignored --nocapture

# Every client there is against the served stores, over https, openly and with tokens: a table in Markdown.
clients:
    @tests/support/setup.sh readers
    @tests/support/setup.sh titiler
    cargo build --quiet --bin landfall
    {{ python }} tests/support/clients.py "{{ target }}/debug/landfall"

# The store of every file of the corpus and of the fixtures, as Zarr v2 and v3, against each other and the file (the tests take some).
served JOBS="2":
    #!/usr/bin/env bash
    set -euo pipefail
    tests/support/setup.sh readers
    cargo build --quiet --bin landfall
    folder=$(mktemp -d)
    mkdir "$folder/bronze" "$folder/data"
    for part in "{{ corpus }}" tests/fixtures; do
      [ ! -d "$part" ] || cp -RL "$part" "$folder/bronze/$(basename "$part")"
    done
    LANDFALL_AUTO_GROUP=false "{{ target }}/debug/landfall" dev "$folder/data" --bronze "$folder/bronze" --port 7097 --json >"$folder/log" &
    trap 'kill %1; wait; rm -rf "$folder"' EXIT
    # Until nothing more is referenced.
    before=-1 now=0
    while [ "$before" != "$now" ] || [ "$now" = 0 ]; do
      sleep 10
      before=$now now=$(grep -c '"step":"referenced"' "$folder/log" || true)
    done
    "{{ python }}" tests/support/check_served.py http://127.0.0.1:7097 "$folder/data" --jobs {{ JOBS }} --least 60

# What decoding costs, by file: time, requests, rounds and bytes as over an object store.
bench:
    @tests/support/setup.sh readers
    {{ python }} benches/make_inputs.py {{ target }}/bench --years 1 --months 1
    cargo bench --quiet --bench decode -- {{ target }}/bench/*/*.nc tests/fixtures/cmip6/*.nc

# Landfall beside kerchunk and VirtualiZarr, in one run: processor seconds and memory of whole processes, as a Markdown table.
# FILES of the long series; MORE is passed on: `just bench-peers 1000 --long 2740 --alone long`.
bench-peers FILES="200" *MORE="":
    @tests/support/setup.sh peers
    cargo build --release --bin landfall
    .venv/bench/bin/python benches/peers.py {{ target }}/release/landfall --files {{ FILES }} {{ MORE }}

# The same over HTTP: rounds, requests, bytes and seconds of a cold read. Makes about 0.7 GB of files and removes them.
bench-remote LATENCY_MS="20":
    @tests/support/setup.sh peers
    cargo build --release --bin landfall
    .venv/bench/bin/python benches/remote.py {{ target }}/release/landfall --latency-ms {{ LATENCY_MS }}
