"""One NetCDF file of the matrix against netCDF4 and xarray."""

import collections
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from matrix_reference import Reference, differences
from read_with_xarray import compare_datasets, is_numeric, variables


# HDF5 files of the matrix that netCDF-C opens too, for the names of dimensions.
ALSO = ("scales.", "spaces.", "layouts.")


def check_netcdf(path: Path, reference: Reference, skipped: dict[str, str]) -> tuple[collections.Counter, list[str]]:
    """Counts of verdicts, and what is wrong; nothing for plain HDF5 files."""
    counts, wrong = collections.Counter(), []
    if path.suffix != ".nc" and not path.name.startswith(ALSO):
        return counts, wrong
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
    with (xr.open_dataset(reference.path, engine="kerchunk", **options) as ours,
          xr.open_dataset(path, engine="netcdf4", drop_variables=without, **options) as theirs):
        return compare_datasets(ours, theirs)[1]
