#!/usr/bin/env python3
"""Fuzzes a target until so many minutes of processor time bring no new coverage.

    until_quiet.py TARGET [--minutes 30]

What it found is kept in fuzz/target/found/TARGET, and what it has spent in a file beside it, so that it goes on where
it stopped. At the end the least inputs that cover the same lie in fuzz/target/found/TARGET-least: copy what is new
into fuzz/corpus.
A crash, a hang or too much memory ends it with libFuzzer's report.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
BOUNDS = ["-rss_limit_mb=512", "-malloc_limit_mb=64", "-timeout=20", "-max_len=20000"]


def spent() -> float:
    """Processor seconds of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def program(target: str) -> list[str]:
    """The target, built."""
    os.environ["RUSTC_WRAPPER"] = str(FUZZ / "own-coverage.sh")
    command = ["cargo", "+nightly", "fuzz", "build", "--sanitizer", "none"]
    subprocess.run([*command, target], cwd=FUZZ.parent, check=True)
    described = subprocess.run(
        ["cargo", "+nightly", "metadata", "--format-version=1", "--no-deps"],
        cwd=FUZZ, check=True, capture_output=True, text=True,
    )
    built = Path(json.loads(described.stdout)["target_directory"])
    dictionary = FUZZ / f"{target}.dict"
    options = [f"-dict={dictionary}"] if dictionary.exists() else []
    return [next(built.glob(f"*/release/{target}")), *BOUNDS, *options]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("target")
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--slice", type=int, default=420, help="seconds of one run")
    options = arguments.parse_args()
    fuzzer = program(options.target)
    found = FUZZ / "target/found" / options.target
    found.mkdir(parents=True, exist_ok=True)
    names = ["hdf5", "classic"] if options.target == "inspect" else [options.target]
    corpora = [FUZZ / "corpus" / name for name in names]
    record = found.with_suffix(".json")
    state = {"coverage": 0, "quiet": 0.0, "total": 0.0}
    if record.exists():
        state = json.loads(record.read_text())
    while state["quiet"] < options.minutes * 60:
        before = spent()
        prefix = f"-artifact_prefix={found}-"
        run = subprocess.run(
            [*fuzzer, f"-max_total_time={options.slice}", prefix, found, *corpora],
            stderr=subprocess.PIPE, text=True, errors="replace",
        )
        if run.returncode:
            sys.stderr.write(run.stderr[-6000:])
            return run.returncode
        seconds = spent() - before
        coverage = max(map(int, re.findall(r"cov: (\d+)", run.stderr)), default=0)
        state["quiet"] = 0.0 if coverage > state["coverage"] else state["quiet"] + seconds
        state["coverage"] = max(coverage, state["coverage"])
        state["total"] += seconds
        record.write_text(json.dumps(state))
        print(
            f"{options.target}: {state['coverage']} edges, {state['quiet']:.0f} s without a new one,"
            f" {state['total']:.0f} s in all",
            flush=True,
        )
    least = found.with_name(f"{options.target}-least")
    least.mkdir(exist_ok=True)
    merge = [*fuzzer, "-merge=1", least, *corpora, found]
    return subprocess.run(merge, stderr=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main())
