"""Compares a thumbnail with the data: `check_picture.py PNG FILE VARIABLE LOW HIGH`.

The picture is the first step of VARIABLE in FILE as netCDF4 reads it, from north to south and from 180 W to 180 E, in shades
between LOW and HIGH; its palette runs from dark to light. GDAL reads the picture.
"""

import sys
import warnings

import netCDF4
import numpy as np
import rasterio


def main(png, file, variable, low, high):
    warnings.simplefilter("ignore")
    with rasterio.open(png) as picture:
        shades, palette = picture.read(1).astype(int), picture.colormap(1)
    with netCDF4.Dataset(file) as dataset:
        first = dataset[variable][0].filled(np.nan)
        lat, lon = dataset["lat"][:], (dataset["lon"][:] + 180) % 360 - 180
    first = first[np.argsort(-lat)][:, np.argsort(lon)]
    expected = 1 + np.round(np.clip((first - float(low)) / (float(high) - float(low)), 0, 1) * 254)
    if shades.shape != expected.shape or np.abs(shades - expected).max() > 0:
        sys.exit(f"{shades.shape} against {expected.shape}:\n{shades}\n{expected}")
    if palette[0][3] != 0 or palette[1][3] != 255:
        sys.exit(f"transparent are {palette[0]}, {palette[1]}")
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in (palette[n] for n in range(1, 256))]
    if not (np.diff(light) > -1e-9).all():
        sys.exit(f"not from dark to light: {light}")


if __name__ == "__main__":
    main(*sys.argv[1:])
