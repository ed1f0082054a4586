#!/usr/bin/env python3
"""The files that the benchmarks read, CMIP6-like and the same on every run.

    make_inputs.py FOLDER [--indexed 200000] [--years 50] [--months 200] [--long 0]

    indexed/{btree1,btree2,earray,farray}.nc   one variable of many chunks, once for each kind of chunk index that can hold many
    year/*.nc                                  a series of daily files, 365 chunks each
    month/*.nc                                 a series of monthly files, 12 chunks each
    long/*.nc                                  a series of very many small files, 365 chunks each, with time bounds and CMIP6's attributes
"""

import argparse
import sys
import zlib
from pathlib import Path

import h5py
import netCDF4
import numpy as np

# What makes HDF5 choose each kind of index: the oldest format it may use, and which dimensions are unlimited.
KINDS = {
    "btree1": ("earliest", (True, False, False)),
    "btree2": ("latest", (True, True, False)),
    "earray": ("latest", (True, False, False)),
    "farray": ("latest", (False, False, False)),
}
NLAT, NLON = 32, 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--indexed", type=int, default=200_000, metavar="CHUNKS")
    parser.add_argument("--years", type=int, default=50, metavar="FILES")
    parser.add_argument("--months", type=int, default=200, metavar="FILES")
    parser.add_argument("--long", type=int, default=0, metavar="FILES")
    args = parser.parse_args()
    if args.indexed:
        indexed(args.folder / "indexed", args.indexed)
    series(args.folder / "year", args.years, 365)
    series(args.folder / "month", args.months, 12)
    if args.long:
        long(args.folder / "long", args.long, 365)
    return 0


def indexed(folder: Path, chunks: int) -> None:
    """For each kind a file of `chunks` steps, one step a chunk; the encoded bytes repeat, their places do not."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, (oldest, unlimited) in KINDS.items():
        shape = (chunks, 16, 16)
        with h5py.File(folder / f"{kind}.nc", "w", libver=(oldest, "latest")) as file:
            scales = [scale(file, name, length) for name, length in zip(("time", "lat", "lon"), shape, strict=True)]
            scales[0].attrs["units"] = "hours since 2015-01-01"
            tas = file.create_dataset("tas", shape, "<f4", chunks=(1, 16, 16), compression="gzip", shuffle=True,
                                      maxshape=tuple(None if u else n for u, n in zip(unlimited, shape, strict=True)))
            for dimension, dataset in enumerate(scales):
                tas.dims[dimension].attach_scale(dataset)
            for step in range(chunks):
                tas.id.write_direct_chunk((step, 0, 0), ENCODED[step % len(ENCODED)])


def scale(file: h5py.File, name: str, length: int) -> h5py.Dataset:
    dataset = file.create_dataset(name, data=np.arange(length, dtype="<f8"))
    dataset.make_scale(name)
    return dataset


def encode(seed: int) -> bytes:
    """A chunk of 16 x 16 float32 as HDF5 stores it, shuffled and deflated."""
    values = (280 + np.random.default_rng(seed).normal(size=256)).round(2).astype("<f4")
    return zlib.compress(values.view("u1").reshape(256, 4).T.tobytes(), 1)


ENCODED = [encode(seed) for seed in range(8)]


def series(folder: Path, files: int, steps: int) -> None:
    """Files of `steps` days that follow one another, one step a chunk, shuffled and deflated."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        write(folder / f"tas_{number:04}.nc", steps, steps * number)


def write(path: Path, steps: int, start: int) -> None:
    with netCDF4.Dataset(path, "w") as file:
        for name, length in (("time", None), ("lat", NLAT), ("lon", NLON)):
            file.createDimension(name, length)
        time = file.createVariable("time", "f8", ("time",), chunksizes=(512,))
        time.setncatts({"units": "days since 1850-01-01", "calendar": "noleap", "standard_name": "time"})
        time[:] = start + np.arange(steps)
        for name, values in (("lat", np.linspace(-89, 89, NLAT)), ("lon", np.linspace(0, 359, NLON))):
            file.createVariable(name, "f8", (name,))[:] = values
        tas = file.createVariable("tas", "f4", ("time", "lat", "lon"), zlib=True, complevel=1, shuffle=True,
                                  chunksizes=(1, NLAT, NLON), fill_value=np.float32(1e20))
        tas.setncatts({"units": "K", "standard_name": "air_temperature"})
        tas[:] = 280 + np.random.default_rng(start).normal(size=(steps, NLAT, NLON)).round(2)


def long(folder: Path, files: int, steps: int) -> None:
    """Files that differ in their times alone: copies of one, with the times, which are stored as they are, put in."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.tmp"
    write_small(model, steps)
    with h5py.File(model) as file:
        places = [file[name].id.get_chunk_info(0).byte_offset for name in ("time", "time_bnds")]
    content = bytearray(model.read_bytes())
    model.unlink()
    for number in range(files):
        times = steps * number + np.arange(steps, dtype="<f8")
        for place, values in zip(places, (times + 0.5, np.stack([times, times + 1], axis=1)), strict=True):
            content[place:place + values.nbytes] = values.tobytes()
        (folder / f"tas_{number:05}.nc").write_bytes(content)


def write_small(path: Path, steps: int) -> None:
    with netCDF4.Dataset(path, "w") as file:
        for name, length in (("time", None), ("lat", 4), ("lon", 8), ("bnds", 2)):
            file.createDimension(name, length)
        time = file.createVariable("time", "f8", ("time",), chunksizes=(steps,))
        time.setncatts({"units": "days since 0001-01-01", "calendar": "noleap", "standard_name": "time", "axis": "T",
                        "bounds": "time_bnds", "long_name": "time"})
        bounds = file.createVariable("time_bnds", "f8", ("time", "bnds"), chunksizes=(steps, 2))
        for name, values in (("lat", np.linspace(-60, 60, 4)), ("lon", np.linspace(0, 315, 8))):
            variable = file.createVariable(name, "f8", (name,))
            variable[:] = values
            variable.setncatts({"units": f"degrees_{'north' if name == 'lat' else 'east'}", "standard_name": f"{name}itude"})
        file["lat"].axis, file["lon"].axis = "Y", "X"
        tas = file.createVariable("tas", "f4", ("time", "lat", "lon"), zlib=True, complevel=1, shuffle=True,
                                  chunksizes=(1, 4, 8), fill_value=np.float32(1e20))
        tas.setncatts({"units": "K", "standard_name": "air_temperature", "long_name": "Near-Surface Air Temperature",
                       "cell_methods": "area: time: mean", "cell_measures": "area: areacella"})
        file.setncatts({name: f"of the series, {name}" for name in GLOBAL})
        time[:] = np.arange(steps)
        bounds[:] = 0
        tas[:] = 280 + np.random.default_rng(0).normal(size=(steps, 4, 8)).round(2)


GLOBAL = ("Conventions activity_id branch_method creation_date data_specs_version experiment experiment_id external_variables frequency "
          "grid grid_label history institution institution_id license mip_era nominal_resolution product realm source source_id "
          "sub_experiment table_id tracking_id variable_id variant_label").split()


if __name__ == "__main__":
    sys.exit(main())
