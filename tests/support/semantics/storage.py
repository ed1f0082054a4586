"""Where the values are: inlined, or cut into chunks of the source."""

from pathlib import Path

import numpy as np
from case import case, nc


@case("storage", chunks={"rows": [3, 512, 1024], "wide": [1, 1050, 1024], "small": [4, 1024, 1024], "time": None})
def contiguous(path: Path) -> None:
    """Uncompressed data of more than 16 MiB is cut along its leading dimensions, that of less is not."""
    with nc(path, time=6, two=2, four=4, y=512, n=1024, m=2100) as dataset:
        dataset.createVariable("time", "f8", ("time",))[:] = np.arange(6)
        for name, dims in [("rows", ("time", "y", "n")), ("wide", ("two", "m", "n"))]:
            variable = dataset.createVariable(name, "f8", dims, contiguous=True, fill_value=False)
            variable[-1] = np.arange(variable[-1].size).reshape(variable.shape[1:])
        dataset.createVariable("small", "f4", ("four", "n", "n"), contiguous=True)[2] = 3


def series(path: Path) -> None:
    """A concat coordinate in compressed big-endian chunks, with other coordinates and data."""
    with nc(path, time=None, bnds=2, x=10) as dataset:
        time = dataset.createVariable("time", ">f8", ("time",), chunksizes=(3,), zlib=True, shuffle=True)
        time.units, time.bounds = "days since 2000-01-01", "time_bnds"
        bounds = dataset.createVariable("time_bnds", ">f8", ("time", "bnds"), chunksizes=(3, 2), zlib=True)
        time[:], bounds[:] = np.arange(10), np.arange(20).reshape(10, 2)
        dataset.createVariable("x", ">i2", ("x",), zlib=True)[:] = np.arange(10)
        dataset.createVariable("level", "f4", ())[...] = 1000
        tas = dataset.createVariable("tas", "f4", ("time", "x"), chunksizes=(1, 10), zlib=True)
        tas.coordinates = "level"
        tas[:] = np.arange(100).reshape(10, 10)


@case("storage", chunks={"time": None, "time_bnds": None, "x": None, "level": None, "tas": [1, 10]})
def inlined_by_default(path: Path) -> None:
    """Coordinates, bounds and scalars are one plain chunk each; data is virtual."""
    series(path)


@case("storage", flags=("--inline-max-bytes", "0"),
      chunks={"time": None, "time_bnds": [3, 2], "x": [10], "level": [], "tas": [1, 10]})
def inlined_as_little_as_can_be(path: Path) -> None:
    """The concat coordinate is always inlined."""
    series(path)


@case("storage", flags=("--inline-max-bytes", "20"),
      chunks={"time": None, "time_bnds": [3, 2], "x": None, "level": None, "tas": [1, 10]})
def inlined_up_to_a_size(path: Path) -> None:
    """A variable of exactly that size is inlined."""
    series(path)


@case("storage", flags=("--concat-dim", "x"), chunks={"x": None, "time": None, "tas": [1, 10]})
def another_concat_dimension(path: Path) -> None:
    """Any dimension can be the one that files are joined along."""
    series(path)


@case("storage", chunks={"time": None, "scattered": [1], "near": None})
def scattered(path: Path) -> None:
    """A coordinate in more than 16 places stays virtual, unless it is the concat coordinate."""
    with nc(path, time=None, near=None, scattered=None, n=20000) as dataset:
        for name in ["time", "near", "scattered"]:
            dataset.createVariable(name, "f8", (name,), chunksizes=(1 if name != "near" else 512,))
        between = dataset.createVariable("between", "f8", ("time", "n"), chunksizes=(1, 20000), fill_value=False)
        for step in range(20):
            dataset["time"][step] = dataset["near"][step] = dataset["scattered"][step] = step
            between[step] = step
            dataset.sync()


@case("storage", flags=("--inline-max-bytes", "64"), without=("long_text", "padded_table"),
      chunks={"text": [3]})
def texts_up_to_a_size(path: Path) -> None:
    """What can only be inlined is left out by name where it is larger than allowed."""
    with nc(path, x=3, n=5) as dataset:
        dataset.createVariable("text", str, ("x",))[:] = np.array(["a", "b", "c"], object)
        dataset.createVariable("long_text", str, ("n",))[:] = np.array(["a"] * 5, object)
        padded = dataset.createCompoundType(np.dtype([("a", "i1"), ("b", "f8")], align=True), "padded_t")
        dataset.createVariable("padded_table", padded, ("n",))
