"""A series with one variable a file, as CMIP6 has them, and what is served of it.

    hypercube.py make FOLDER          tas and pr over two years, a file for each variable and year
    hypercube.py check STORE FILE...  the served Zarr against the files, merged and concatenated by xarray
    hypercube.py cost STORE           what opening the served Zarr asks for: the metadata once, and no data

Prints what differs; the exit code is 0 when nothing does.
"""

import itertools
import sys
import urllib.request
import warnings
from collections import Counter
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from read_with_others import serving

VARIABLES = {"tas": ("K", "days since 1850-01-01"), "pr": ("kg m-2 s-1", "hours since 2000-01-01")}


def make(folder: Path) -> None:
    """Months of a calendar without leap years; the variables count time in units of their own."""
    days = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])
    for (name, (units, clock)), year in itertools.product(VARIABLES.items(), (2000, 2001)):
        with netCDF4.Dataset(folder / f"{name}_Amon_TEST_historical_r1i1p1f1_gn_{year}01-{year}12.nc", "w") as ds:
            for dim, length in [("time", None), ("lat", 4), ("lon", 6), ("bnds", 2)]:
                ds.createDimension(dim, length)
            starts = days + 365 * (year - 2000)
            since, factor = (365 * 150, 1) if clock.startswith("days") else (0, 24)
            edges = (np.stack([starts, np.append(starts[1:], starts[0] + 365)], axis=1) + since) * factor
            time = ds.createVariable("time", "f8", ("time",))
            time[:], time.units, time.calendar, time.bounds = edges.mean(axis=1), clock, "noleap", "time_bnds"
            ds.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = edges
            for dim, values, degrees in [("lat", np.linspace(-60, 60, 4), "degrees_north"), ("lon", np.arange(6) * 60.0, "degrees_east")]:
                ds.createVariable(dim, "f8", (dim,))[:] = values
                ds[dim].units = degrees
            data = ds.createVariable(name, "f4", ("time", "lat", "lon"), zlib=True, chunksizes=(1, 4, 6), fill_value=1e20)
            data[:] = np.arange(12 * 24).reshape(12, 4, 6) + year + len(name)
            data.units = units
            ds.variable_id, ds.source_id = name, "TEST"


def check(store: str, *files: str) -> list[str]:
    """Every variable, decoded."""
    series = {name: sorted(file for file in files if Path(file).name.startswith(name)) for name in VARIABLES}
    parts = [xr.concat([xr.open_dataset(file).load() for file in paths], "time", data_vars="minimal") for paths in series.values()]
    theirs = xr.merge(parts, compat="equals", join="exact", combine_attrs="drop_conflicts")
    found = []
    with xr.open_zarr(store, chunks=None) as ours:
        if set(ours.variables) != set(theirs.variables) or ours.attrs != theirs.attrs:
            found.append(f"{sorted(ours.variables)} {ours.attrs}, in the files {sorted(theirs.variables)} {theirs.attrs}")
        for name in set(ours.variables) & set(theirs.variables):
            if not ours[name].identical(theirs[name]) and not ours.variables[name].equals(theirs.variables[name]):
                found.append(f"{name} differs")
    return found


def cost(store: str) -> list[str]:
    """One request for all metadata, none for a variable's own; values only of what xarray reads on opening, indexes and times."""
    with serving(lambda path: urllib.request.urlopen(store + path).read()) as (root, log):
        ds = xr.open_zarr(root, chunks=None, consolidated=True, zarr_format=2)
        asked = Counter(line.split()[1].strip("/") for line in log)
        # zarr-python asks for the metadata of the root in both forms at once.
        root_keys = {".zmetadata", ".zgroup", ".zattrs"}
        values = {f"{name}/0" for name in ds.indexes} | {"time_bnds/0.0"}
        once = all(asked[key] <= 1 for key in root_keys) and asked[".zmetadata"] == 1
        found = [] if once and set(asked) <= root_keys | values else [f"opening asks for {dict(asked)}"]
        log.clear()
        ds["tas"][5].load()
        return found + ([] if len(log) == 1 and "tas/5.0.0" in log[0] else [f"one step asks for {log}"])


def main() -> int:
    warnings.simplefilter("ignore")
    command, target, *files = sys.argv[1:]
    found = {"make": lambda: make(Path(target)), "check": lambda: check(target, *files), "cost": lambda: cost(target)}[command]()
    print("\n".join(found or []))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
