#!/usr/bin/env python3
"""Writes FOLDER/a.nc and FOLDER/b.nc: the smallest series in which every kind of reference occurs.

Missing chunks (of `tas` and `pr`), masked values in chunks that are there, packed values, a scalar, a grid mapping,
inlined coordinates, a last chunk that the shape cuts, and chunks that compression has made longer (of `noise`).
"""

import pathlib
import sys

import netCDF4
import numpy as np

STEPS, LAT, LON = 4, 10, 12


def write(path: pathlib.Path, start: int) -> None:
    rng = np.random.default_rng(start)
    with netCDF4.Dataset(path, "w") as ds:
        ds.Conventions = "CF-1.8"
        ds.createDimension("time", None)
        ds.createDimension("lat", LAT)
        ds.createDimension("lon", LON)
        time = ds.createVariable("time", "f8", "time")
        time.setncatts({"units": "days since 2001-01-01", "calendar": "noleap", "axis": "T"})
        time[:] = np.arange(start, start + STEPS)
        for name, standard, length, units in [("lat", "latitude", LAT, "degrees_north"), ("lon", "longitude", LON, "degrees_east")]:
            axis = ds.createVariable(name, "f8", name)
            axis.setncatts({"units": units, "standard_name": standard})
            axis[:] = np.linspace(-40, 40, length)
        crs = ds.createVariable("crs", "i4")
        crs.setncatts({"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563})
        crs[...] = 7
        options = dict(zlib=True, shuffle=True, chunksizes=(1, 6, 8))
        tas = ds.createVariable("tas", "f4", ("time", "lat", "lon"), fill_value=1e20, **options)
        tas.setncatts({"units": "K", "grid_mapping": "crs"})
        values = np.ma.masked_array(rng.integers(280, 290, (STEPS, LAT, LON)).astype("f4"))
        values[:, 0, 1] = np.ma.masked
        tas[0] = values[0]
        tas[2:] = values[2:]
        pr = ds.createVariable("pr", "i2", ("time", "lat", "lon"), fill_value=-999, **options)
        pr.setncatts({"units": "mm", "scale_factor": 0.5, "add_offset": 100.0, "grid_mapping": "crs"})
        packed = np.ma.masked_array(100 + 0.5 * rng.integers(0, 9, (STEPS, LAT, LON)))
        packed[:, 4, 5] = np.ma.masked
        pr[0] = packed[0]
        pr[3] = packed[3]
        noise = ds.createVariable("noise", "f4", ("time", "lat", "lon"), zlib=True, chunksizes=(1, 2, 3))
        noise[:] = rng.normal(0, 1, (STEPS, LAT, LON))


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    for name, start in [("a.nc", 0), ("b.nc", STEPS)]:
        write(folder / name, start)


if __name__ == "__main__":
    main()
