#!/usr/bin/env python3
"""Draws random small files for the fuzzer to begin from: more kinds of files than mutation finds in hours.

    seeds.py [--count 1000] [--seed 1]

The files of `tests/support/random_file.py` of up to 20 kB go into fuzz/target/found/hdf5 and fuzz/target/found/classic,
under names by their number. Each is drawn in a process of its own, because the libraries crash on some.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/support"))
from random_file import draw_file  # noqa: E402

# Longer inputs are not mutated.
LONGEST = 20_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--count", type=int, default=1000)
    arguments.add_argument("--seed", default="1")
    options = arguments.parse_args()
    found = REPOSITORY / "fuzz/target/found"
    for kind in ["hdf5", "classic"]:
        (found / kind).mkdir(parents=True, exist_ok=True)
    kept = 0
    for number in range(options.count):
        folder = Path(tempfile.mkdtemp(prefix="seed-"))
        child = os.fork()
        if not child:
            with contextlib.suppress(Exception):
                draw_file(folder, f"{options.seed}-{number}")
            os._exit(0)
        os.waitpid(child, 0)
        for file in folder.glob("file.*"):
            bytes_ = file.read_bytes()
            if 0 < len(bytes_) <= LONGEST:
                kind = "classic" if bytes_.startswith(b"CDF") else "hdf5"
                (found / kind / f"drawn-{options.seed}-{number}").write_bytes(bytes_)
                kept += 1
        shutil.rmtree(folder)
    print(f"{kept} of {options.count} files are small enough")


if __name__ == "__main__":
    main()
