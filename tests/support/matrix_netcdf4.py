"""One NetCDF file of the matrix against netCDF4 and xarray."""

import collections
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from matrix_reference import Reference, differences
from read_with_xarray import compare_datasets, is_numeric, variables


# HDF5 files of the matrix that netCDF-C opens too, for the names of dimensions.
ALSO = ("scales.", "layouts.")
# Kinds of files in which the library takes an unlimited length, four bytes of ones, for the number 2^32 - 1.
NARROW = (".sizes84.", ".sizes44.", ".sizes22.")


def check_netcdf(path: Path, reference: Reference, skipped: dict[str, str]) -> tuple[collections.Counter, list[str]]:
    """Counts of verdicts, and what is wrong; nothing for plain HDF5 files."""
    counts, wrong = collections.Counter(), []
    if path.suffix != ".nc" and (not path.name.startswith(ALSO) or any(kind in path.name for kind in NARROW)):
        return counts, wrong
    if path.name.startswith("nc_streaming."):
        path = with_number_of_records(path, reference.path.with_suffix(".nc"))
    with netCDF4.Dataset(path) as ds:
        ds.set_auto_maskandscale(False)
        for name, variable in variables(ds, ""):
            if name in skipped or not is_numeric(variable):
                continue
            found = variable_differs(name, variable, reference)
            counts["netCDF wrong" if found else "netCDF equal"] += 1
            wrong += found
        groups = [group for group in walk(ds)] if path.suffix == ".nc" else []
    for group in groups:
        found = decoded_differs(path, group, reference, skipped)
        counts["xarray wrong" if found else "xarray equal"] += 1
        wrong += [f"{group}: {what}" for what in found]
    return counts, wrong


def with_number_of_records(path: Path, copy: Path) -> Path:
    """A copy that says how many records it has, four: netCDF-C crashes on a file that leaves it open."""
    data = bytearray(path.read_bytes())
    width = 8 if data[3] == 5 else 4
    data[4:4 + width] = (4).to_bytes(width, "big")
    copy.write_bytes(data)
    return copy


def walk(group: netCDF4.Dataset) -> list[str]:
    """Paths of all groups."""
    return [group.path, *(path for inner in group.groups.values() for path in walk(inner))]


def variable_differs(name: str, variable: netCDF4.Variable, reference: Reference) -> list[str]:
    """Dimensions and stored values of one variable."""
    if name not in reference:
        return [f"{name}: netCDF4 has it"]
    named = reference.attributes(name).get("_ARRAY_DIMENSIONS", [])
    found = [] if named == list(variable.dimensions) else [f"{name}: dimensions {named} instead of {variable.dimensions}"]
    return found + differences(name, reference.values(name), np.asarray(variable[...]))


def decoded_differs(path: Path, group: str, reference: Reference, skipped: dict[str, str]) -> list[str]:
    """One group as xarray decodes it."""
    prefix = "/" if group == "/" else f"{group}/"
    without = [name.removeprefix(prefix) for name in skipped if name.startswith(prefix)]
    options = {} if group == "/" else {"group": group.strip("/")}
    with (xr.open_dataset(str(reference.path), engine="kerchunk", **options) as ours,
          xr.open_dataset(path, engine="netcdf4", drop_variables=without, **options) as theirs):
        return compare_datasets(*(as_text(side) for side in (ours, theirs)))[1]


def as_text(dataset: xr.Dataset) -> xr.Dataset:
    """Strings as objects: readers differ in the type that they give them. A complex number is one only through Zarr."""
    found = {name: variable for name, variable in dataset.variables.items() if variable.dtype.kind in "TUO"}
    texts = {name: variable.copy(data=variable.values.astype(object)) for name, variable in found.items()}
    return dataset.assign(texts).drop_vars([name for name, variable in dataset.variables.items() if variable.dtype.names
                                            or variable.dtype.kind == "c"])
