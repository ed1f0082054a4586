#!/usr/bin/env python3
"""Series for tests that drop many files: COUNT files of five days each, in one of two formats.

    make_drops.py FOLDER NAME COUNT [--format NETCDF4|NETCDF3_64BIT_OFFSET] [--edition N]

Writes FOLDER/NAME_YYYYMMDD-YYYYMMDD.nc. No two values of a series are equal; another edition has the same names and
times and other values, as a corrected upload has.
"""

import argparse
from pathlib import Path

import cftime
import netCDF4
import numpy as np

UNITS = "hours since 1990-01-01"
STEPS = 5
LAT = np.linspace(-70, 70, 6)
LON = np.arange(0.0, 360.0, 45.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("count", type=int)
    parser.add_argument("--format", default="NETCDF4", choices=["NETCDF4", "NETCDF3_64BIT_OFFSET"])
    parser.add_argument("--edition", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for index in range(args.count):
        write(args.folder, args.name, index, args.format, args.edition)


def write(folder: Path, name: str, index: int, form: str, edition: int) -> None:
    """One file: five noons, a temperature and a flux over latitude and longitude."""
    hours = 12 + 24 * np.arange(index * STEPS, (index + 1) * STEPS)
    first, last = (cftime.num2date(hour, UNITS).strftime("%Y%m%d") for hour in (hours[0], hours[-1]))
    with netCDF4.Dataset(folder / f"{name}_{first}-{last}.nc", "w", format=form) as ds:
        ds.Conventions = "CF-1.8"
        ds.title = "A series for tests"
        ds.edition = str(edition)
        for dimension, length in [("time", None), ("lat", LAT.size), ("lon", LON.size)]:
            ds.createDimension(dimension, length)
        for coordinate, values, units in [("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")]:
            axis = ds.createVariable(coordinate, "f8", (coordinate,))
            axis.units = units
            axis[:] = values
        time = ds.createVariable("time", "f8", ("time",))
        time.units, time.standard_name, time.calendar = UNITS, "time", "standard"
        time[:] = hours
        packed = {} if form != "NETCDF4" else {"zlib": True, "shuffle": True, "chunksizes": (1, LAT.size, LON.size)}
        size = STEPS * LAT.size * LON.size
        numbers = (np.arange(size) + size * index).reshape(STEPS, LAT.size, LON.size)
        for variable, dtype, units in [("tas", "f4", "K"), ("rsds", "f8", "W m-2")]:
            data = ds.createVariable(variable, dtype, ("time", "lat", "lon"), fill_value=dtype == "f4" and 1e20, **packed)
            data.units = units
            data[:] = numbers + edition / 4


if __name__ == "__main__":
    main()
