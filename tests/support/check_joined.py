"""Compares combined references with the files that they were made of, step by step, as xarray decodes both.

    check_joined.py FOLDER     reads FOLDER/joined.json: [{"reference", "files", "without"}]

Prints a line for each difference; the exit code is 0 when there is none.
"""

import json
import sys
import warnings
from pathlib import Path

import fsspec
import netCDF4
import numpy as np
import xarray as xr
import zarr

CODER = xr.coders.CFDatetimeCoder(use_cftime=True)


def from_reference(path: str, group: str | None) -> xr.Dataset:
    """A group of a reference as it is stored."""
    files = fsspec.filesystem("reference", fo=path, asynchronous=True, remote_options=dict(asynchronous=True))
    store = zarr.storage.FsspecStore(files, read_only=True)
    return xr.open_dataset(store, engine="zarr", group=group, consolidated=False, zarr_format=2, chunks=None, decode_cf=False)


def from_file(path: str, group: str | None, without: list[str]) -> xr.Dataset:
    """A group of a NetCDF file as it is stored."""
    return xr.open_dataset(path, engine="netcdf4", group=group, decode_cf=False, drop_variables=without)


def decoded(raw: xr.Dataset) -> xr.Dataset:
    """A group as CF has it: xarray gives bounds the units of their time, but not those of a climatology."""
    for variable in raw.variables.values():
        if (bounds := variable.attrs.get("climatology")) in raw.variables:
            for key in ("units", "calendar"):
                raw[bounds].attrs.setdefault(key, variable.attrs[key])
    return xr.decode_cf(raw, decode_times=CODER)


def groups(path: str) -> list[str]:
    """Paths of the root and of every group below it."""
    def below(group: netCDF4.Dataset) -> list[str]:
        return [group.path, *(path for inner in group.groups.values() for path in below(inner))]
    with netCDF4.Dataset(path) as ds:
        return below(ds)


def variables(path: str, without: list[str]) -> dict[str, tuple[tuple[str, ...], np.ndarray, list]]:
    """Of a file: dimensions, decoded values and the dates of the steps, by path."""
    found = {}
    times: dict[str, list] = {}
    for group in groups(path):
        with decoded(from_file(path, group, without)) as ds:
            parent = times.get(group.rsplit("/", 1)[0] or "/", [])
            times[group] = list(ds["time"].values) if "time" in ds.variables else parent
            for name, variable in ds.variables.items():
                found[f"{group.rstrip('/')}/{name}"] = (variable.dims, variable.values, times[group])
    return found


def expected(files: list[dict], name: str) -> tuple[tuple[str, ...], dict | np.ndarray] | str:
    """A variable over all files: by its steps where it has time, and else the first file's."""
    steps: dict = {}
    first = next(file[name] for file in files if name in file)
    dims = first[0]
    if "time" not in dims:
        return dims, first[1]
    for file in files:
        if name not in file:
            continue
        _, values, times = file[name]
        values = np.moveaxis(values, dims.index("time"), 0)
        for time, value in zip(times, values, strict=True):
            if time in steps and not same(steps[time], value):
                return f"{name} has two values at {time}"
            steps[time] = value
    return dims, steps


def same(a: object, b: object) -> bool:
    """Equality of values, bit for bit but for what stands for missing ones."""
    a, b = np.asarray(a), np.asarray(b)
    floats = a.dtype.kind == "f" and b.dtype.kind == "f"
    texts = a.dtype.kind in "UT" and b.dtype.kind in "UT"
    return a.shape == b.shape and (texts or a.dtype.kind == b.dtype.kind) and bool(np.array_equal(a, b, equal_nan=floats))


def differences(case: dict) -> list[str]:
    """What a reference says otherwise than its files."""
    files = [variables(path, case["without"]) for path in case["files"]]
    files.sort(key=lambda file: next(iter(file["/time"][2]), np.inf) if "/time" in file and file["/time"][2] else LAST)
    names = {name for file in files for name in file}
    found, seen, times = [], set(), {}
    for group in sorted({name.rsplit("/", 1)[0] for name in names} | {""}):
        with decoded(from_reference(case["reference"], group.strip("/") or None)) as ds:
            ds.load()
            times[group] = list(ds["time"].values) if "time" in ds.variables else times.get(group.rsplit("/", 1)[0], times.get("", []))
            for name, variable in ds.variables.items():
                path = f"{group}/{name}"
                seen.add(path)
                if path not in names:
                    found.append(f"{path} is in no file")
                    continue
                found += compare(path, variable, expected(files, path), times[group])
    found += [f"{name} is missing" for name in sorted(names - seen)]
    return found


def compare(path: str, variable: xr.Variable, truth: tuple | str, times: list) -> list[str]:
    """One variable against the files'."""
    if isinstance(truth, str):
        return [truth]
    dims, values = truth
    if variable.dims != dims:
        return [f"{path} has the dimensions {variable.dims}, in the files {dims}"]
    if not isinstance(values, dict):
        return [] if same(variable.values, values) else [f"{path} differs"]
    ours = np.moveaxis(variable.values, dims.index("time"), 0)
    if len(ours) != len(times) or sorted(times) != times or not set(values) <= set(times):
        return [f"{path} has {len(ours)} steps for {len(times)} times, the files {len(values)}"]
    wrong = [str(time) for time, value in zip(times, ours) if not (
        same(value, values[time]) if time in values else np.isnan(np.asarray(value, float)).all())]
    return [f"{path} differs at {len(wrong)} of {len(times)} steps, first at {wrong[0]}"] if wrong else []


class _Last:
    """Sorts behind every date."""

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True


LAST = _Last()


def main() -> int:
    warnings.simplefilter("ignore")
    cases = json.loads((Path(sys.argv[1]) / "joined.json").read_text())
    count = 0
    for case in cases:
        try:
            found = differences(case)
        except Exception as error:  # whatever a reader raises is the verdict
            found = [f"cannot be read: {type(error).__name__}: {error}"]
        for line in found:
            print(f"{case['reference']}: {line}")
        count += len(found)
    return 1 if count or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
