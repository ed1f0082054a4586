#!/usr/bin/env python3
"""Writes a global series of two files on latitudes and longitudes, as climate models do: longitudes of 0 to 360, a step in a chunk of
its own, missing values.

    make_global_series.py FOLDER
"""

import sys

import numpy as np
import xarray as xr


def main() -> None:
    lat, lon = np.arange(-87, 90, 6.0), np.arange(3.75, 360, 7.5)
    for year in (2000, 2001):
        days = np.arange(f"{year}-01-01", f"{year}-01-04", dtype="datetime64[D]").astype("datetime64[ns]")
        noise = np.random.default_rng(year).normal(size=(3, len(lat), len(lon)))
        values = (280 + 20 * np.cos(np.deg2rad(lat))[None, :, None] + noise).astype("f4")
        values[:, 20:24, 30:33] = np.nan
        attributes = {"units": "K", "standard_name": "air_temperature"}
        dataset = xr.Dataset(
            {"tas": (("time", "lat", "lon"), values, attributes)},
            {"time": days, "lat": ("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
             "lon": ("lon", lon, {"units": "degrees_east", "standard_name": "longitude"})})
        encoding = {
            "tas": {"zlib": True, "shuffle": True, "chunksizes": (1, 20, 20), "_FillValue": np.float32(1e20)},
            "time": {"units": "days since 2000-01-01", "calendar": "standard"}}
        dataset.to_netcdf(f"{sys.argv[1]}/tas_{year}0101-{year}0103.nc", encoding=encoding, unlimited_dims=["time"])


if __name__ == "__main__":
    main()
