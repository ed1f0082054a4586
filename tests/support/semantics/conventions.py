"""Conventions of netCDF: dimensions, groups, names, attributes, times."""

from pathlib import Path

import h5py
import numpy as np
from case import case, nc


@case("conventions", "netcdf4", "h5netcdf")
def dimensions(path: Path) -> None:
    """Scales with and without variables, an unlimited one, coordinates of two dimensions, one named as its dimension."""
    with nc(path, time=None, y=2, x=3, bnds=2, empty=0) as dataset:
        time = dataset.createVariable("time", "f8", ("time",))
        time.units, time.calendar, time.bounds = "days since 2000-01-01", "noleap", "time_bnds"
        time[:] = [58, 59, 60]
        dataset.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = [[57, 58], [58, 59], [59, 60]]
        dataset.createVariable("x", ">f4", ("x",))[:] = [1, 2, 3]
        dataset.createVariable("lat", "f8", ("y", "x"))[:] = np.arange(6).reshape(2, 3)
        dataset.createVariable("lon", "f8", ("y", "x"))[:] = -np.arange(6).reshape(2, 3)
        dataset.createVariable("height", "f8", ())[...] = 2
        dataset.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"
        tas = dataset.createVariable("tas", "f4", ("time", "y", "x"), zlib=True, fill_value=1e20)
        tas.coordinates, tas.grid_mapping, tas.units = "lat lon height", "crs", "K"
        tas[:] = np.arange(18).reshape(3, 2, 3)
        dataset.createVariable("nothing", "i4", ("empty", "x"))
        dataset.createVariable("first", "i2", ("x", "x"))[:] = np.arange(9).reshape(3, 3)
        dataset.createVariable("station", str, ("y",))[:] = np.array(["é", "b"], object)


@case("conventions", "netcdf4", "h5netcdf", groups=("g", "g/h", "other"))
def groups(path: Path) -> None:
    """Dimensions of the parents in groups, and one that hides the parent's."""
    with nc(path, x=3, t=None) as dataset:
        dataset.createVariable("x", "f8", ("x",))[:] = [1, 2, 3]
        outer = dataset.createGroup("g")
        outer.title = "outer"
        outer.createDimension("y", 2)
        outer.createVariable("v", "f4", ("y", "x"))[:] = np.arange(6).reshape(2, 3)
        inner = outer.createGroup("h")
        inner.createDimension("x", 4)
        inner.createVariable("x", "f8", ("x",))[:] = [1, 2, 3, 4]
        inner.createVariable("w", "i4", ("y", "x"))[:] = np.arange(8).reshape(2, 4)
        inner.createVariable("u", "i4", ("t",))[:] = [1, 2]
        other = dataset.createGroup("other")
        other.createVariable("w", "i4", ("t", "x"))[:2] = np.arange(6).reshape(2, 3)


@case("conventions", without=("_nc4_non_coord_y",))
def names(path: Path) -> None:
    """A variable named as a dimension it does not have, and names that are not words."""
    with nc(path, x=3, y=2) as dataset:
        dataset.createVariable("y", "i4", ("x",))[:] = [1, 2, 3]
        for name in ["a b", "é", "x.y", "_private", "0", "a-b", "CamelCase", "a+b", "v@w"]:
            dataset.createVariable(name, "i4", ("y",))[:] = [4, 5]
            dataset.setncattr(name, 1)


@case("conventions")
def anonymous(path: Path) -> None:
    """Plain HDF5: anonymous dimensions in the root and in groups, and lengths that repeat."""
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.zeros((2, 3)))
        file.create_dataset("b", data=np.zeros((3, 3)))
        file.create_dataset("c", data=np.zeros((2,)), maxshape=(None,), chunks=(2,))
        file.create_dataset("d", data=np.float64(1))


@case("conventions", "netcdf4", "h5netcdf")
def attributes(path: Path) -> None:
    """Attributes of every type, of the file and of a variable."""
    with nc(path, x=2) as dataset:
        variable = dataset.createVariable("v", "f4", ("x",))
        variable[:] = [1, 2]
        for owner in [dataset, variable]:
            for dtype in ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]:
                owner.setncattr(f"one_{dtype}", np.array(3, dtype))
                owner.setncattr(f"two_{dtype}", np.array([3, 4], dtype))
            owner.setncattr("tenth", np.float32(0.1))
            owner.setncattr("large", np.int64(2**53 + 1))
            owner.setncattr("largest", np.uint64(2**64 - 1))
            owner.setncattr("not_a_number", np.nan)
            owner.setncattr("text", "é µ 日本")
            owner.setncattr("empty", "")
            owner.setncattr("lines", "a\nb\t\"c\"\\")
            owner.setncattr_string("string", "one")
            owner.setncattr("strings", ["a", "", "é"])
            owner.setncattr("none", np.array([], "i4"))


@case("conventions", "h5netcdf")
def hdf5_attributes(path: Path) -> None:
    """Attributes that only HDF5 has: booleans, enums, bit fields, lattices, fixed text by padding."""
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=[1.0])
        for owner in [file, file["v"]]:
            owner.attrs["boolean"] = True
            owner.attrs["booleans"] = [True, False]
            owner.attrs["half"] = np.float16(0.5)
            owner.attrs["big"] = np.array([1, 2], ">i4")
            owner.attrs["text"] = np.bytes_("fixed")
            owner.attrs["texts"] = np.array([b"a", b"bcd"], "S3")
            owner.attrs.create("enum", 2, dtype=h5py.enum_dtype({"RED": 1, "GREEN": 2}, "i1"))


@case("conventions", "h5netcdf")
def time_encodings(path: Path) -> None:
    """Times by calendar, unit and type, decoded by xarray."""
    with nc(path, n=3) as dataset:
        for number, (units, calendar, dtype) in enumerate([
            ("days since 1850-01-01", "standard", "f8"), ("hours since 1900-01-01 00:00:0.0", "gregorian", "i4"),
            ("seconds since 1970-01-01T00:00:00Z", "proleptic_gregorian", "i8"), ("days since 0001-01-01", "360_day", "f8"),
            ("minutes since 2000-02-28", "365_day", "i2"), ("days since 2000-02-28", "julian", "f4"),
        ]):
            variable = dataset.createVariable(f"t{number}", dtype, ("n",))
            variable.units, variable.calendar = units, calendar
            variable[:] = [0, 1, 700]
        variable = dataset.createVariable("duration", "i4", ("n",), fill_value=-1)
        variable.units = "days"
        variable[:2] = [1, 2]
