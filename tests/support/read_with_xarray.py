#!/usr/bin/env python3
"""Opens what Landfall wrote or serves with unmodified readers and compares it with the NetCDF files.

    read_with_xarray.py served URL FILE...        xr.open_zarr(URL)                  against xr.open_mfdataset(FILES)
    read_with_xarray.py kerchunk REFERENCE FILE...  xr.open_dataset(.., "kerchunk")  against the same
    read_with_xarray.py raw REFERENCE FILE        zarr over the reference            against the stored values

REFERENCE is a path or an http URL. Prints one JSON line, {"ok", "reader", "variables", "differences",
"versions"}; the exit code is 0 when nothing differs, 1 when something does or cannot be read.
"""

import argparse
import importlib.metadata
import json
import sys
import warnings
from collections.abc import Iterator

import fsspec
import h5py
import hdf5plugin  # noqa: F401  registers filters with h5py
import netCDF4
import numpy as np
import xarray as xr
import zarr

# Attributes that decoding moves away and that decide the values.
ENCODING = ("_FillValue", "missing_value", "scale_factor", "add_offset")
# Kinds of numpy types that are compared by their bits.
NUMBERS = "biufc"


def main() -> int:
    verdict = judge(sys.argv[1:])
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


def judge(arguments: list[str]) -> dict:
    """The verdict on one command line."""
    args = parse(arguments)
    warnings.simplefilter("ignore")
    try:
        count, differences = args.compare(args)
    except Exception as error:  # whatever a reader raises is the verdict
        count, differences = 0, [f"cannot be read: {type(error).__name__}: {error}"]
    if not count and not differences:
        differences = ["nothing was compared"]
    versions = {name: importlib.metadata.version(name) for name in ("xarray", "zarr", "numcodecs", "netCDF4")}
    return {"ok": not differences, "reader": args.reader, "variables": count, "differences": differences,
            "versions": versions}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line; `compare` is the function of the chosen reader."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    readers = parser.add_subparsers(dest="reader", required=True)
    for name, compare, target in [("served", compare_served, "url"), ("kerchunk", compare_kerchunk, "reference")]:
        reader = readers.add_parser(name)
        reader.add_argument(target)
        reader.add_argument("files", nargs="+")
        reader.add_argument("--group", help="a group below the root")
        reader.add_argument("--concat-dim", default="time")
        reader.add_argument("--without", default="", help="variables that were left out by name, a,b")
        reader.set_defaults(compare=compare)
    raw = readers.add_parser("raw")
    raw.add_argument("reference")
    raw.add_argument("file")
    raw.add_argument("--without", default="", help="variables that were left out by name, /a,/group/b")
    raw.set_defaults(compare=compare_raw)
    return parser.parse_args(arguments)


# --- decoded, through xarray ---------------------------------------------------------------------


def compare_served(args: argparse.Namespace) -> tuple[int, list[str]]:
    """A Zarr store over HTTP."""
    with xr.open_zarr(args.url, group=args.group, chunks=None) as ours, open_files(args) as theirs:
        return compare_datasets(ours, theirs)


def compare_kerchunk(args: argparse.Namespace) -> tuple[int, list[str]]:
    """A reference document, local or over HTTP."""
    group = {"group": args.group} if args.group else {}
    with xr.open_dataset(args.reference, engine="kerchunk", **group) as ours, open_files(args) as theirs:
        return compare_datasets(ours, theirs)


def open_files(args: argparse.Namespace) -> xr.Dataset:
    """The NetCDF files as one dataset, in the order of their first times; differing attributes dropped, the first history kept."""
    without = [name for name in args.without.split(",") if name]

    def first(path: str) -> object:
        with xr.open_dataset(path, engine="netcdf4", group=args.group) as ds:
            values = ds[args.concat_dim].values if args.concat_dim in ds.variables else [0]
            return values[0] if len(values) else 0

    files = sorted(args.files, key=first) if len(args.files) > 1 else args.files
    if len(files) == 1:
        return xr.open_dataset(files[0], engine="netcdf4", group=args.group).drop_vars(without, errors="ignore")
    dataset = xr.open_mfdataset(
        files, engine="netcdf4", group=args.group, combine="nested", concat_dim=args.concat_dim,
        data_vars="minimal", coords="minimal", compat="override", join="exact", combine_attrs="drop_conflicts")
    with xr.open_dataset(files[0], engine="netcdf4", group=args.group) as head:
        for name in [None, *dataset.variables]:
            ours, first = (dataset, head) if name is None else (dataset[name], head.get(name))
            if first is not None and "history" in first.attrs:
                ours.attrs["history"] = first.attrs["history"]
    return dataset.drop_vars(without, errors="ignore")


def compare_datasets(ours: xr.Dataset, theirs: xr.Dataset) -> tuple[int, list[str]]:
    """Every variable, bit for bit, then the attributes of the dataset."""
    found = list(names_differ("coordinates", set(ours.coords), set(theirs.coords)))
    found += names_differ("variables", set(ours.variables), set(theirs.variables))
    found += lengths_differ(dict(ours.sizes), dict(theirs.sizes))
    found += attributes_differ("the dataset", ours.attrs, theirs.attrs)
    shared = sorted(set(ours.variables) & set(theirs.variables), key=str)
    for name in shared:
        found += variable_differs(str(name), ours[name], theirs[name])
    return len(shared), found


def names_differ(what: str, ours: set, theirs: set) -> Iterator[str]:
    """Names on one side only."""
    if missing := sorted(map(str, theirs - ours)):
        yield f"{what} missing: {', '.join(missing)}"
    if extra := sorted(map(str, ours - theirs)):
        yield f"{what} that the files do not have: {', '.join(extra)}"


def lengths_differ(ours: dict, theirs: dict) -> Iterator[str]:
    """Dimension lengths that differ."""
    if ours != theirs:
        yield f"dimensions are {ours}, in the files {theirs}"


def variable_differs(name: str, ours: xr.DataArray, theirs: xr.DataArray) -> Iterator[str]:
    """Dimensions, type, values, what governs decoding, and attributes of one variable."""
    if ours.dims != theirs.dims:
        yield f"{name}: dimensions are {ours.dims}, in the files {theirs.dims}"
        return
    if ours.dtype != theirs.dtype and not both_times(ours, theirs):
        yield f"{name}: dtype is {ours.dtype}, in the files {theirs.dtype}"
        return
    if ours.shape != theirs.shape:
        yield f"{name}: shape is {ours.shape}, in the files {theirs.shape}"
        return
    yield from values_differ(name, ours.values, theirs.values)
    for key in ENCODING:
        yield from encoding_differs(name, key, ours.encoding.get(key), theirs.encoding.get(key))
    if "calendar" in theirs.encoding and ours.encoding.get("calendar") != theirs.encoding["calendar"]:
        yield f"{name}: calendar is {ours.encoding.get('calendar')}, in the files {theirs.encoding['calendar']}"
    yield from attributes_differ(name, ours.attrs, theirs.attrs)


def both_times(ours: xr.DataArray, theirs: xr.DataArray) -> bool:
    """Instants or durations of two resolutions are the same type."""
    return ours.dtype.kind == theirs.dtype.kind and ours.dtype.kind in "mM"


def values_differ(name: str, ours: np.ndarray, theirs: np.ndarray) -> Iterator[str]:
    """Bit equality for numbers, so that -0.0 and the payload of a NaN count; equality for the rest."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.dtype.kind in NUMBERS:
        a, b = (np.ascontiguousarray(side).reshape(-1) for side in (ours, theirs))
        width = a.dtype.itemsize
        wrong = (a.view("u1").reshape(-1, width) != b.view("u1").reshape(-1, width)).any(axis=1)
    else:
        a, b = ours.reshape(-1), theirs.reshape(-1)
        same = (a == b) | (np.isnat(a) & np.isnat(b)) if a.dtype.kind in "mM" else a == b
        wrong = ~np.asarray(same, bool)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        where = tuple(int(i) for i in np.unravel_index(at, ours.shape)) if ours.shape else ()
        yield f"{name}: {int(wrong.sum())} of {wrong.size} values differ, first at {where}: {a[at]} instead of {b[at]}"


def encoding_differs(name: str, key: str, ours: object, theirs: object) -> Iterator[str]:
    """A governing attribute that decoding has moved into the encoding."""
    if (ours is None) != (theirs is None) or (ours is not None and not same_value(ours, theirs)):
        yield f"{name}: {key} is {ours!r}, in the files {theirs!r}"


def attributes_differ(holder: str, ours: dict, theirs: dict) -> Iterator[str]:
    """Attributes compared as JSON can carry them: numbers by value, whatever their width."""
    yield from names_differ(f"{holder}: attributes", set(ours), set(theirs))
    for key in sorted(set(ours) & set(theirs)):
        if not same_value(ours[key], theirs[key]):
            yield f"{holder}: attribute {key} is {ours[key]!r}, in the files {theirs[key]!r}"


def same_value(ours: object, theirs: object) -> bool:
    """Equality of two attribute values; a list of one is its item."""
    a, b = np.asarray(ours).reshape(-1), np.asarray(theirs).reshape(-1)
    if a.shape != b.shape:
        return False
    if a.dtype.kind in NUMBERS and b.dtype.kind in NUMBERS:
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc"))
    return [str(item) for item in a.tolist()] == [str(item) for item in b.tolist()]


# --- stored values, through zarr -----------------------------------------------------------------


def compare_raw(args: argparse.Namespace) -> tuple[int, list[str]]:
    """Every numeric variable of every group, undecoded."""
    options = dict(asynchronous=True)
    files = fsspec.filesystem("reference", fo=args.reference, remote_options=options, **options)
    root = zarr.open_group(zarr.storage.FsspecStore(files, read_only=True), mode="r", zarr_format=2)
    without = {"/" + name.strip("/") for name in args.without.split(",") if name}
    arrays = stored_arrays(args.file, without)
    return len(arrays), [difference for path, values, dims in arrays for difference in raw_differs(path, root, values, dims)]


def stored_arrays(path: str, without: set[str]) -> list[tuple[str, np.ndarray, list[str] | None]]:
    """Absolute path, values and dimension names of every numeric variable, from netCDF4, else from h5py (no names)."""
    try:
        with netCDF4.Dataset(path) as ds:
            ds.set_auto_maskandscale(False)
            return [(name, np.asarray(variable[...]), list(variable.dimensions))
                    for name, variable in variables(ds, "") if name not in without and is_numeric(variable)]
    except (OSError, RuntimeError):
        found = []
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.append((f"/{name}", item[()], None)) if (
                isinstance(item, h5py.Dataset) and f"/{name}" not in without and item.shape is not None
                and item.dtype.kind in NUMBERS) else None)
        return found


def variables(group: netCDF4.Dataset, prefix: str) -> Iterator[tuple[str, netCDF4.Variable]]:
    """Every variable below a group, by absolute path."""
    for name, variable in group.variables.items():
        yield f"{prefix}/{name}", variable
    for name, inner in group.groups.items():
        yield from variables(inner, f"{prefix}/{name}")


def is_numeric(variable: netCDF4.Variable) -> bool:
    """Plain numbers and enums; text, compound and variable-length types have no one Zarr form."""
    kind = variable.datatype
    return isinstance(kind, netCDF4.EnumType) or isinstance(kind, np.dtype) and kind.kind in NUMBERS


def raw_differs(path: str, root: zarr.Group, stored: np.ndarray, dims: list[str] | None) -> Iterator[str]:
    """Shape, type (byte order apart, and a bool may be a byte), dimension names and bits of one array."""
    stored = np.asarray(stored)
    if path.strip("/") not in root:
        yield f"{path}: missing"
        return
    array = root[path.strip("/")]
    if array.shape != stored.shape:
        yield f"{path}: shape is {array.shape}, in the file {stored.shape}"
        return
    native = stored.dtype.newbyteorder("=")
    bytes_alike = {array.dtype.str, native.str} <= {"|b1", "|i1", "|u1"}
    if array.dtype.newbyteorder("=") != native and not bytes_alike:
        yield f"{path}: dtype is {array.dtype}, in the file {stored.dtype}"
        return
    named = list(array.attrs.get("_ARRAY_DIMENSIONS", []))
    if dims is not None and named != dims:
        yield f"{path}: dimensions are {named}, in the file {dims}"
    yield from values_differ(path, np.asarray(array[...]).astype(native), stored.astype(native))


if __name__ == "__main__":
    sys.exit(main())
