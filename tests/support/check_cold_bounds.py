#!/usr/bin/env python3
"""What opening a series costs whose bounds of time are too scattered to be inlined: their first and their last chunk.

    check_cold_bounds.py LANDFALL FOLDER

Makes two files of twenty steps, each step's bounds in a chunk of its own with 128 kB of data between it and the next, joins them
with `LANDFALL combine`, opens the result with xarray over HTTP, and prints one JSON line {"opening": [...], "ends": [...],
"bounds": N}: the requests for chunks that came, as [file, first byte, length]; where the first and the last chunk of the bounds lie;
and how many more requests loading the bounds took.
"""

import json
import pathlib
import re
import subprocess
import sys

import netCDF4
import numpy as np
import xarray as xr

import read_with_others as others

STEPS = 20


def make(path: pathlib.Path, first: int) -> None:
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        for name, size in {"bnds": 2, "y": 128, "x": 256}.items():
            file.createDimension(name, size)
        # One chunk of time, so that it is read in one range and inlined.
        time = file.createVariable("time", "f8", ["time"], chunksizes=[STEPS])
        time.units, time.calendar, time.bounds = "days since 2000-01-01", "standard", "time_bnds"
        bounds = file.createVariable("time_bnds", "f8", ["time", "bnds"], chunksizes=[1, 2])
        data = file.createVariable("pr", "f4", ["time", "y", "x"], chunksizes=[1, 128, 256])
        time[:] = first + np.arange(STEPS) + 0.5
        for step in range(STEPS):
            bounds[step] = first + step, first + step + 1
            data[step] = np.full((128, 256), first + step, "f4")
            file.sync()


def main() -> int:
    landfall, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    files = [folder / "a.nc", folder / "b.nc"]
    for number, file in enumerate(files):
        make(file, number * STEPS)
    combined = folder / "combined.json"
    subprocess.run([landfall, "combine", *files, "-o", combined, "--json"], check=True, stdout=subprocess.DEVNULL)
    with others.served("/") as (root, log):
        text = combined.read_text().replace("file://", root)
        with others.served_text(text) as (url, _):
            ds = xr.open_dataset("reference://", engine="zarr", consolidated=False, zarr_format=2,
                                 storage_options={"fo": url, "remote_protocol": "http",
                                                  "remote_options": {"asynchronous": True}, "asynchronous": True})
            ds["time"].load()
            opening = [asked(line) for line in log]
            log.clear()
            loaded = ds["time_bnds"].load()
    assert loaded.shape == (2 * STEPS, 2) and loaded.dtype.kind == "M", loaded
    print(json.dumps({"opening": opening, "ends": ends(text), "bounds": len(log)}))
    return 0


def asked(line: str) -> list:
    path, first, last = re.fullmatch(r"GET (\S+) bytes=(\d+)-(\d+)", line).groups()
    return [pathlib.PurePath(path).name, int(first), int(last) - int(first) + 1]


def ends(text: str) -> list:
    """Where the first and the last chunk of the bounds lie, by the reference."""
    refs = json.loads(text)["refs"]
    return [[pathlib.PurePath(url).name, offset, length]
            for url, offset, length in (refs[f"time_bnds/{step}.0"] for step in (0, 2 * STEPS - 1))]


if __name__ == "__main__":
    sys.exit(main())
