#!/usr/bin/env python3
"""Landfall beside kerchunk and VirtualiZarr: whole processes, processor seconds and peak memory, one run.

    peers.py LANDFALL [--files 200] [--rounds 3]

Makes its files in a temporary folder (seeded, CMIP6-like): one day file of 365 chunks and a series of monthly files. Each program
starts anew for each case, as it does on a command line or in a function; the least of the rounds counts. Wall time is left out:
it says more about the machine's neighbours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import netCDF4
import numpy as np

KERCHUNK = """
import json, sys, kerchunk.hdf
from kerchunk.combine import MultiZarrToZarr
out, files = sys.argv[1], sys.argv[2:]
one = [kerchunk.hdf.SingleHdf5ToZarr(f, error="raise").translate() for f in files]
if len(one) > 1:
    one = [MultiZarrToZarr(one, concat_dims=["time"], identical_dims=["lat", "lon"], remote_protocol="file").translate()]
json.dump(one[0], open(out, "w"))
"""
# A child forked from this process would show its memory as its own peak; a bare interpreter's is about 10 MB.
LAUNCH = """
import os, sys
pid = os.fork()
if not pid:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(status != 0)
"""
VIRTUALIZARR = """
import sys, virtualizarr as vz, virtualizarr.parsers as vp, xarray as xr
from obstore.store import LocalStore
from obspec_utils.registry import ObjectStoreRegistry
out, files = sys.argv[1], sys.argv[2:]
registry = ObjectStoreRegistry({"file://": LocalStore()})
parts = [vz.open_virtual_dataset("file://" + f, parser=vp.HDFParser(), registry=registry) for f in files]
joined = parts[0] if len(parts) == 1 else xr.concat(
    parts, dim="time", data_vars="minimal", coords="minimal", compat="override", join="override", combine_attrs="override")
joined.vz.to_kerchunk(out, format="json")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("landfall")
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        day = [write(Path(folder) / "day.nc", 365, 96, 144, 0)]
        series = [write(Path(folder) / f"month_{n:04}.nc", 12, 32, 64, 12 * n) for n in range(args.files)]
        report("one file, 365 chunks", programs(args.landfall, day, "virtualize"), folder, args.rounds)
        report(f"{args.files} files to one", programs(args.landfall, series, "combine"), folder, args.rounds)
    return 0


def write(path: Path, steps: int, nlat: int, nlon: int, start: int) -> str:
    """A file of daily or monthly steps, one step a chunk, shuffled and deflated."""
    noise = np.random.default_rng(start)
    with netCDF4.Dataset(path, "w") as ds:
        for name, length in (("time", None), ("lat", nlat), ("lon", nlon)):
            ds.createDimension(name, length)
        time = ds.createVariable("time", "f8", ("time",), chunksizes=(512,))
        time.setncatts({"units": "days since 1850-01-01", "calendar": "noleap", "standard_name": "time"})
        time[:] = start + np.arange(steps)
        for name, values in (("lat", np.linspace(-89, 89, nlat)), ("lon", np.linspace(0, 359, nlon))):
            ds.createVariable(name, "f8", (name,))[:] = values
        tas = ds.createVariable("tas", "f4", ("time", "lat", "lon"), zlib=True, complevel=1, shuffle=True,
                                chunksizes=(1, nlat, nlon), fill_value=np.float32(1e20))
        tas.setncatts({"units": "K", "standard_name": "air_temperature"})
        tas[:] = 280 + noise.normal(size=(steps, nlat, nlon)).round(2)
    return str(path)


def programs(landfall: str, files: list[str], command: str) -> dict[str, list[str]]:
    """The command line of each program, {out} standing for its output."""
    verified = {"landfall": [landfall, command, *files, "-o", "{out}"]}
    if command == "combine":
        verified = {"landfall --no-verify": [landfall, command, *files, "-o", "{out}", "--no-verify"], **verified}
    peers = {"kerchunk": KERCHUNK, "virtualizarr": VIRTUALIZARR}
    return {**verified, **{name: [sys.executable, "-c", code, "{out}", *files] for name, code in peers.items()}}


def report(title: str, commands: dict[str, list[str]], folder: str, rounds: int) -> None:
    print(f"\n{title}")
    first = None
    for name, command in commands.items():
        argv = [word.replace("{out}", f"{folder}/out.json") for word in command]
        cpu, memory = min(measure(argv) for _ in range(rounds))
        first = first or cpu
        size = os.path.getsize(f"{folder}/out.json")
        assert json.load(open(f"{folder}/out.json"))["refs"]
        print(f"  {name:<22} {cpu:8.3f} s of CPU  {memory:6.0f} MB  {cpu / first:7.1f} x   {size:9} bytes")


def measure(argv: list[str]) -> tuple[float, float]:
    """Processor seconds and peak memory of a process and what it waited for."""
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, *argv]
    done = subprocess.run(launcher, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{argv[0]} failed: {done.stderr[-400:]}")
    cpu, memory = done.stdout.split()[-2:]
    return float(cpu), float(memory) / 1000


if __name__ == "__main__":
    sys.exit(main())
