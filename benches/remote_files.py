"""The files that `remote.py` measures with: seeded, made like those of archives, none of them measured or simulated.

    remote_files.py FOLDER     # makes them all; about 1.2 GB
"""

import sys
from pathlib import Path

import h5py
import netCDF4
import numpy as np

LAT, LON = 192, 288


def make(folder: Path, only: list[str] | None = None) -> dict[str, Path]:
    """The files, by what they stand for; those that are there already stay."""
    makers = {
        "day": ("day file, 365 chunks", lambda path: day(path, None)),
        "day_steps": ("day file, time in chunks of one step", lambda path: day(path, 1)),
        "appended": ("3 457 chunks, appended", appended),
        "chunks": ("200 000 chunks, B-tree v1", many_chunks),
        "objects": ("1 001 objects", many_objects),
    }
    made = {}
    for name, (title, maker) in makers.items():
        if only and name not in only:
            continue
        path = folder / f"{name}.nc"
        if not path.exists():
            maker(path)
        made[title] = path
    return made


def day(path: Path, time_chunk: int | None) -> None:
    """365 daily steps, a chunk each, with the coordinates and attributes of CMIP6; with a time chunk, as a model writes them."""
    with netCDF4.Dataset(path, "w") as ds:
        axes(ds)
        bounded_time(ds, time_chunk)
        tas = data_variable(ds, "tas", ("time", "lat", "lon"), (1, LAT, LON))
        for step in range(365):
            ds["time"][step] = step + 0.5
            ds["time_bnds"][step] = [step, step + 1]
            tas[step] = noise(step)
            if time_chunk:
                ds.sync()
        ds.setncatts({f"attribute_{number:02}": "what archives say of a file " * 2 for number in range(40)})


def appended(path: Path) -> None:
    """12 variables that grow step by step, flushed after each: the metadata comes to lie all over the file."""
    with netCDF4.Dataset(path, "w") as ds:
        axes(ds)
        ds.createDimension("lev", 6)
        ds.createVariable("lev", "f8", ("lev",))[:] = [1000, 850, 700, 500, 250, 100]
        bounded_time(ds, None)
        groups = [ds, ds.createGroup("surface"), ds.createGroup("ocean")]
        fields = [
            data_variable(groups[n % 3], f"field_{n:02}", ("time", "lev", "lat", "lon"), (1, 1, LAT, LON)) for n in range(12)
        ]
        ds.setncatts({f"attribute_{number:02}": f"a note of some length on {number}" for number in range(40)})
        for n, field in enumerate(fields):
            field.setncatts({f"attribute_{number:02}": f"note {number} on {n}" for number in range(10)})
        for step in range(48):
            ds["time"][step] = step + 0.5
            ds["time_bnds"][step] = [step, step + 1]
            for n, field in enumerate(fields):
                field[step] = np.stack([noise(1000 * n + 6 * step + level, 8192) for level in range(6)])
            ds.sync()


def many_chunks(path: Path) -> None:
    """200 000 small chunks of one variable that grew."""
    with h5py.File(path, "w") as f:
        data = f.create_dataset("tas", (12_500, 64, 64), "f4", maxshape=(None, 64, 64), chunks=(1, 16, 16), compression=1)
        values = np.random.default_rng(0).normal(280, 20, (12_500, 64, 64)).astype("f4").round(1)
        for start in range(0, 12_500, 500):
            data[start : start + 500] = values[start : start + 500]


def many_objects(path: Path) -> None:
    """1 001 variables with attributes of their own."""
    with netCDF4.Dataset(path, "w") as ds:
        ds.createDimension("x", 16)
        ds.createVariable("x", "f8", ("x",))[:] = np.arange(16)
        for number in range(1000):
            variable = ds.createVariable(f"v{number:04}", "f4", ("x",), zlib=True)
            variable.setncatts({"units": "K", "long_name": f"variable {number}", "number": number})
            variable[:] = number


def axes(ds: netCDF4.Dataset) -> None:
    for name, length in (("time", None), ("lat", LAT), ("lon", LON), ("bnds", 2)):
        ds.createDimension(name, length)
    for name, length in (("lat", LAT), ("lon", LON)):
        edges = np.linspace(-90, 90, length + 1) if name == "lat" else np.linspace(0, 360, length + 1)
        ds.createVariable(name, "f8", (name,))[:] = (edges[1:] + edges[:-1]) / 2
        ds.createVariable(f"{name}_bnds", "f8", (name, "bnds"))[:] = np.stack([edges[:-1], edges[1:]], 1)
        ds[name].setncatts({"bounds": f"{name}_bnds", "units": "degrees", "axis": "Y" if name == "lat" else "X"})
    ds.createVariable("height", "f8", ())[...] = 2


def bounded_time(ds: netCDF4.Dataset, chunk: int | None) -> None:
    chunks = {"chunksizes": (chunk,)} if chunk else {}
    time = ds.createVariable("time", "f8", ("time",), **chunks)
    time.setncatts({"bounds": "time_bnds", "units": "days since 1850-01-01", "calendar": "noleap", "axis": "T"})
    ds.createVariable("time_bnds", "f8", ("time", "bnds"), **({"chunksizes": (chunk, 2)} if chunk else {}))


def data_variable(group: netCDF4.Group, name: str, dims: tuple, chunks: tuple) -> netCDF4.Variable:
    data = group.createVariable(name, "f4", dims, zlib=True, complevel=1, shuffle=True, chunksizes=chunks,
                                fill_value=np.float32(1e20))
    data.setncatts({"units": "K", "standard_name": "air_temperature", "coordinates": "height", "cell_methods": "time: mean"})
    return data


def noise(seed: int, steps: int = 64) -> np.ndarray:
    """A field that deflate shortens to about two thirds."""
    values = np.random.default_rng(seed).normal(280, 20, (LAT, LON))
    return (np.round(values * steps) / steps).astype("f4")


if __name__ == "__main__":
    for title, path in make(Path(sys.argv[1])).items():
        print(f"{path.stat().st_size / 1e6:8.1f} MB  {path.name}: {title}")
