#!/usr/bin/env python3
"""Runs the program over the generated matrix and compares what it wrote with h5py, netCDF4 and xarray.

    check_matrix.py PROGRAM FOLDER [--jobs N] [--only PREFIX]

FOLDER is what tests/fixtures/make_matrix.py wrote. Every object of every file has to be there with its values, its
attributes and its chunks, or left out by name for a reason that this script grants it. Prints one JSON line; the
exit code is 1 where something differs.
"""

import argparse
import collections
import json
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import hdf5plugin  # noqa: F401  before netCDF4, which brings plugins of its own
from matrix_hdf5 import check_hdf5
from matrix_netcdf4 import check_netcdf
from matrix_reference import Reference


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="files whose names start so")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as outputs:
        counts, failures = judge(args, Path(outputs))
    print(json.dumps({"ok": not failures, **counts, "failures": failures}, indent=None))
    return 1 if failures or not counts.get("equal") else 0


def judge(args: argparse.Namespace, outputs: Path) -> tuple[dict, list[str]]:
    """Totals over all files, and what is wrong."""
    first, second = outputs / "first", outputs / "second"
    lines = virtualize(args.program, args.folder, first)
    failures = []
    if virtualize(args.program, args.folder, second).keys() != lines.keys():
        failures.append("a second run tells of other files")
    counts = collections.Counter()
    files = sorted(path for path in args.folder.iterdir() if path.suffix in (".h5", ".nc") and path.name.startswith(args.only))
    jobs = [(path, first, second, lines.get(path.name)) for path in files]
    with ProcessPoolExecutor(args.jobs) as pool:
        for path, (found, wrong) in zip(files, pool.map(check, jobs)):
            counts.update(found)
            failures += [f"{path.name}: {what}" for what in wrong]
    return dict(files=len(files), **counts), failures


def virtualize(program: Path, folder: Path, output: Path) -> dict[str, dict]:
    """The program's line about each file, by name."""
    command = [program, "virtualize", folder, "-o", output, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    lines = {}
    for line in filter(None, run.stdout.splitlines()):
        told = json.loads(line)
        path = told["nc_url"] if "nc_url" in told else told["error"]["message"].split(": ")[0]
        lines[Path(path).name] = told
    return lines


def check(job: tuple) -> tuple[collections.Counter, list[str]]:
    """Counts and differences of one file."""
    path, first, second, told = job
    warnings.simplefilter("ignore")
    if told is None or "error" in told:
        return collections.Counter(), [f"no reference: {told}"]
    name = f"{path.name.removesuffix('.nc')}.json"
    if (first / name).read_bytes() != (second / name).read_bytes():
        return collections.Counter(), ["a second run writes something else"]
    skipped = {row["variable"]: row["reason"] for row in told["skipped"]}
    try:
        reference = Reference(first / name)
        counts, wrong = check_netcdf(path, reference, skipped)
        if path.read_bytes()[:3] != b"CDF":
            more, also = check_hdf5(path, reference, skipped)
            counts, wrong = counts + more, wrong + also
        return counts, wrong
    except Exception as error:  # whatever a reader raises is a difference
        return collections.Counter(), [f"{type(error).__name__}: {error}"[:500]]


if __name__ == "__main__":
    sys.exit(main())
