"""Files for tests/round_trips.rs, each over 2 MiB, so that none is fetched whole: what a kind of structure costs to read.

    make_round_trip_files.py FOLDER
"""

import sys
from pathlib import Path

import h5py
import netCDF4
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
import remote_files  # noqa: E402

NOISE = np.random.default_rng(0)


def filler(f, name="filler"):
    """3 MB of data, so that what is written next is neither in the head nor in the tail."""
    f.create_dataset(name, data=NOISE.integers(0, 255, 3_000_000, dtype="u1"))
    f.file.flush()


def classic(path):
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as ds:
        ds.createDimension("time", None)
        ds.createDimension("x", 20_000)
        ds.createVariable("x", "f8", ("x",))[:] = np.arange(20_000)
        ds.createVariable("v", "f4", ("time", "x"))[:] = NOISE.normal(size=(40, 20_000))
        time = ds.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = np.arange(40)


def contiguous(path):
    with h5py.File(path, "w") as f:
        filler(f)
        f.create_dataset("v", data=NOISE.normal(size=(500, 1000)))


def btree_v1(path):
    """400 chunks that were appended: a root and seven or so leaves, each somewhere between the chunks."""
    with netCDF4.Dataset(path, "w") as ds:
        ds.createDimension("time", None)
        ds.createDimension("x", 4096)
        ds.createVariable("x", "f4", ("x",))[:] = np.arange(4096)
        time = ds.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        v = ds.createVariable("v", "f4", ("time", "x"), zlib=True, chunksizes=(1, 4096))
        for step in range(400):
            time[step] = step
            v[step] = NOISE.normal(size=4096)


def time_steps(path):
    """A model's output: each step is written and flushed, and has a chunk of `time` of its own."""
    with netCDF4.Dataset(path, "w") as ds:
        ds.createDimension("time", None)
        ds.createDimension("x", 16384)
        time = ds.createVariable("time", "f8", ("time",), chunksizes=(1,))
        time.units = "days since 2000-01-01"
        v = ds.createVariable("v", "f4", ("time", "x"), zlib=True, chunksizes=(1, 16384))
        for step in range(200):
            time[step] = step
            v[step] = NOISE.normal(size=16384)
            ds.sync()


def day(path):
    """A year of days as archives have it, made like the file that is measured with: the attributes of the file were
    written when the data was there, so they stand far from the head and the tail."""
    remote_files.day(path, None)


def dense_attributes(path):
    with h5py.File(path, "w", libver="latest") as f:
        filler(f)
        for name in "abc":
            v = f.create_dataset(name, data=np.arange(1000.0))
            for number in range(100):
                v.attrs[f"attribute_{number:03}"] = f"value {number} " * 8


def many_objects(path):
    with h5py.File(path, "w", libver="latest") as f:
        filler(f)
        for number in range(400):
            f.create_dataset(f"v{number:03}", data=np.arange(200.0), chunks=(50,)).attrs["units"] = "K"


def paged(path):
    """All metadata in pages of its own."""
    with h5py.File(path, "w", fs_strategy="page", fs_page_size=1 << 16) as f:
        for name in "abc":
            f.create_dataset(name, data=NOISE.normal(size=(300, 500)), chunks=(3, 500), compression="gzip")


def groups(path):
    with h5py.File(path, "w") as f:
        group = f
        for name in ("one", "two", "three"):
            filler(group)
            group = group.create_group(name)
            f.flush()
        group.create_dataset("v", data=np.arange(1000.0), chunks=(100,))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for make in (classic, contiguous, btree_v1, time_steps, day, dense_attributes, many_objects, paged, groups):
        make(folder / f"{make.__name__}.nc")
