"""Fill values: what xarray masks, and what it shows for chunks that were never written."""

from pathlib import Path

import h5py
import netCDF4
import numpy as np
from case import case, holey, nc


@case("fill_values", "h5netcdf")
def zero_is_a_value(path: Path) -> None:
    """HDF5's fill value 0 without `_FillValue`: a 0 stays 0, and the type stays an integer."""
    with h5py.File(path, "w") as file:
        holey(file, "integer", "i4", 0, [0, 7])
        holey(file, "float", "f4", 0, [0, 7])
        holey(file, "packed", "i2", 0, [0, 7]).attrs.update({"scale_factor": 0.5, "add_offset": 10.0})


@case("fill_values", "h5netcdf")
def attribute_beside_another_fill(path: Path) -> None:
    """`_FillValue` differs from HDF5's fill value, which unallocated chunks hold."""
    with h5py.File(path, "w") as file:
        for dtype in ["i2", ">i4", "f4", ">f8", "u1"]:
            name = dtype.replace(">", "big_")
            holey(file, name, dtype, 5, [1, 99]).attrs["_FillValue"] = np.array(99, dtype)
            same = holey(file, f"{name}_same", dtype, 99, [1, 99])
            same.attrs["_FillValue"] = np.array(99, dtype)
            holey(file, f"{name}_alone", dtype, 5, [1, 99])
            dataset = holey(file, f"{name}_deflated", dtype, 5, [1, 99], compression="gzip", shuffle=True)
            dataset.attrs["_FillValue"] = np.array(99, dtype)


@case("fill_values", "h5netcdf")
def not_finite(path: Path) -> None:
    """NaN and infinities as `_FillValue` and as HDF5's fill value."""
    with h5py.File(path, "w") as file:
        for dtype in ["f2", "f4", ">f8"]:
            for name, value in [("nan", np.nan), ("inf", np.inf), ("ninf", -np.inf)]:
                label = f"{name}_{dtype.replace('>', 'big_')}"
                dataset = holey(file, label, dtype, value, [1, value])
                dataset.attrs["_FillValue"] = np.array(value, dtype)
                holey(file, f"{label}_alone", dtype, value, [1, value])
                holey(file, f"{label}_differs", dtype, 3, [1, value]).attrs["_FillValue"] = np.array(value, dtype)


@case("fill_values")
def not_decimal(path: Path) -> None:
    """Single-precision fill values that no short decimal number is."""
    with nc(path, x=4) as dataset:
        for name, dtype, fill in [("cmip", "f4", 1e20), ("default", "f4", 9.96921e36), ("wide", "f8", 1e20),
                                  ("tenth", "f4", 0.1), ("default_wide", "f8", netCDF4.default_fillvals["f8"])]:
            variable = dataset.createVariable(name, dtype, ("x",), fill_value=fill)
            variable[:2] = [1, 2]


@case("fill_values")
def missing_value(path: Path) -> None:
    """`missing_value` alone, equal to and beside `_FillValue`."""
    with nc(path, x=3) as dataset:
        for name, fill, missing in [("alone", None, -9), ("equal", -9, -9), ("beside", -8, -9)]:
            for dtype in ["i2", "f4"]:
                variable = dataset.createVariable(f"{name}_{dtype}", dtype, ("x",), fill_value=fill)
                variable.missing_value = np.array(missing, dtype)
                variable.set_auto_mask(False)
                variable[:] = [1, -9, -8]


@case("fill_values")
def unsigned(path: Path) -> None:
    """`_Unsigned` on signed bytes and the other way round, with fill values in the stored type."""
    with nc(path, x=4) as dataset:
        for name, dtype, flag, fill in [("as_unsigned", "i1", "true", -1), ("as_signed", "u1", "false", 255),
                                        ("short", "i2", "true", -1), ("packed", "i1", "true", -128)]:
            variable = dataset.createVariable(name, dtype, ("x",), fill_value=fill)
            variable.set_auto_maskandscale(False)
            variable.setncattr("_Unsigned", flag)
            if name == "packed":
                variable.scale_factor, variable.add_offset = 0.5, 1.0
            variable[:] = np.array([1, 127, 200, 255], "u1").astype(dtype)
        variable = dataset.createVariable("plain", "u1", ("x",), fill_value=255)
        variable[:3] = [0, 1, 254]


@case("fill_values")
def beyond_doubles(path: Path) -> None:
    """Integers of 64 bits that no double holds, as values and as fill values."""
    with nc(path, x=3) as dataset:
        for name, dtype, fill in [("signed", "i8", 2**53 + 1), ("negative", "i8", -(2**63) + 1),
                                  ("unsigned", "u8", 2**64 - 1), ("unsigned_middle", "u8", 2**63 + 1)]:
            variable = dataset.createVariable(name, dtype, ("x",), fill_value=fill)
            variable.set_auto_mask(False)
            variable[:] = np.array([fill, 1, 2**53 - 1], dtype)
        variable = dataset.createVariable("none", "i8", ("x",), fill_value=False)
        variable[:] = np.array([2**53 + 1, 2**62 + 3, -(2**62) - 1])


@case("fill_values", "h5netcdf")
def booleans_and_enums(path: Path) -> None:
    """Fill values of a boolean and of an enum."""
    with h5py.File(path, "w") as file:
        holey(file, "boolean", "?", True, [True, False])
        colours = h5py.enum_dtype({"RED": 1, "GREEN": 2, "NONE": 9}, "i2")
        holey(file, "enum", colours, 9, [1, 2])
        holey(file, "enum_default", colours, None, [1, 2])


@case("fill_values", "h5netcdf")
def texts(path: Path) -> None:
    """Fill values of fixed and of variable-length strings."""
    with h5py.File(path, "w") as file:
        holey(file, "fixed", "S3", b"abc", [b"x", b"yy"])
        holey(file, "fixed_default", "S3", None, [b"x", b"yy"])
        holey(file, "variable_default", h5py.string_dtype(), None, ["x", "yé"])
        marked = file.create_dataset("variable_marked", data=["x", "none", "yy"], dtype=h5py.string_dtype())
        marked.attrs["_FillValue"] = "yy"


@case("fill_values")
def characters(path: Path) -> None:
    """Fill values of characters, which xarray joins to strings."""
    with nc(path, x=2, n=3) as dataset:
        for name, fill in [("zero", "\0"), ("star", "*"), ("default", None)]:
            variable = dataset.createVariable(name, "S1", ("x", "n"), fill_value=fill)
            variable[0] = np.array([b"a", b"b", b"\0"])


@case("fill_values")
def strings(path: Path) -> None:
    """netCDF strings that were never written, and an array of them with gaps."""
    with nc(path, x=3) as dataset:
        dataset.createVariable("never", str, ("x",))
        dataset.createVariable("some", str, ("x",))[1] = "é"


@case("fill_values", "h5netcdf")
def complex_numbers(path: Path) -> None:
    """A fill value of a complex number, and unallocated chunks without one."""
    with h5py.File(path, "w") as file:
        for dtype in ["c8", ">c16"]:
            name = dtype.replace(">", "big_")
            holey(file, name, dtype, 1 + 2j, [3j, 1])
            holey(file, f"{name}_default", dtype, None, [3j, 1])
            holey(file, f"{name}_marked", dtype, 5j, [3j, 1]).attrs["_FillValue"] = np.array(3j, dtype)


@case("fill_values", "h5netcdf")
def undefined(path: Path) -> None:
    """No fill value is defined: what is not allocated has no value, and h5py shows zeros."""
    with h5py.File(path, "w") as file:
        for name, late in [("chunked", h5py.h5d.ALLOC_TIME_INCR), ("late", h5py.h5d.ALLOC_TIME_LATE),
                           ("early", h5py.h5d.ALLOC_TIME_EARLY)]:
            create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            create.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            create.set_alloc_time(late)
            if name == "chunked":
                create.set_chunk((2,))
            space = h5py.h5s.create_simple((6,))
            h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_INT32, space, create)
        file["chunked"][:2] = [1, 2]
        file["early"][:] = range(6)


@case("fill_values")
def packed(path: Path) -> None:
    """Packed values with fill values in the packed type, some never written."""
    with nc(path, x=6) as dataset:
        for name, dtype, fill in [("short", "i2", -32767), ("byte", "i1", -127), ("single", "f4", -1), ("none", "i2", None)]:
            variable = dataset.createVariable(name, dtype, ("x",), fill_value=fill, chunksizes=(2,), zlib=True)
            variable.scale_factor, variable.add_offset = 0.01, 273.15
            variable[:3] = [273.15, 274.15, 275.15]


@case("fill_values", "h5netcdf")
def never_written(path: Path) -> None:
    """Contiguous data that is allocated late and was never written, and data that is allocated early."""
    with h5py.File(path, "w") as file:
        for name, fill in [("nothing", None), ("five", 5)]:
            file.create_dataset(name, (3, 2), "i4", fillvalue=fill)
            marked = file.create_dataset(f"{name}_marked", (3, 2), "i4", fillvalue=fill)
            marked.attrs["_FillValue"] = np.int32(-1)
            same = file.create_dataset(f"{name}_same", (3, 2), "i4", fillvalue=fill)
            same.attrs["_FillValue"] = np.int32(fill or 0)
            file.create_dataset(f"{name}_scalar", (), "f8", fillvalue=fill)
            create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            create.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            if fill:
                create.set_fill_value(np.array(fill, "i4"))
            h5py.h5d.create(file.id, f"{name}_early".encode(), h5py.h5t.STD_I32LE, h5py.h5s.create_simple((4,)), create)


@case("fill_values")
def netcdf_defaults(path: Path) -> None:
    """netCDF's default fill values, which xarray does not mask, and variables without any."""
    with nc(path, x=4, t=None) as dataset:
        for dtype in ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]:
            dataset.createVariable(f"default_{dtype}", dtype, ("x",))[:2] = [1, 2]
            dataset.createVariable(f"unwritten_{dtype}", dtype, ("x",))
            dataset.createVariable(f"never_{dtype}", dtype, ("x",), fill_value=False)[:] = [1, 2, 3, 4]
        dataset.createVariable("scalar", "f4", ())


@case("fill_values")
def other_type(path: Path) -> None:
    """A `_FillValue` of another type than the variable, and one that is text."""
    with h5py.File(path, "w") as file:
        file.create_dataset("narrow", data=np.array([1, 2, -9], "i2")).attrs["_FillValue"] = np.int32(-9)
        file.create_dataset("float_of_integer", data=np.array([1, 2, -9], "f4")).attrs["_FillValue"] = np.int32(-9)
        file.create_dataset("list", data=np.array([1, 2, -9], "f4")).attrs["_FillValue"] = np.array([-9], "f4")


def classic(path: Path, kind: str) -> None:
    """Types of the classic formats, partly written, with and without `_FillValue`."""
    with netCDF4.Dataset(path, "w", format=kind) as dataset:
        dataset.createDimension("t", None)
        dataset.createDimension("x", 3)
        dtypes = ["i1", "i2", "i4", "f4", "f8"] + (["u1", "u2", "u4", "i8", "u8"] if kind.endswith("64BIT_DATA") else [])
        for dtype in dtypes:
            dataset.createVariable(f"default_{dtype}", dtype, ("x",))[:2] = [1, 2]
            dataset.createVariable(f"marked_{dtype}", dtype, ("t", "x"), fill_value=9)[0] = [1, 9, 0]
            dataset.createVariable(f"nan_{dtype}", "f4", ("t", "x"), fill_value=np.nan)[1] = [1, np.nan, 0]
        dataset.createVariable("c", "S1", ("x",))[:2] = np.array([b"a", b"b"])


@case("fill_values")
def classic_cdf1(path: Path) -> None:
    """CDF-1."""
    classic(path, "NETCDF3_CLASSIC")


@case("fill_values")
def classic_cdf5(path: Path) -> None:
    """CDF-5 with its unsigned and 64-bit types."""
    classic(path, "NETCDF3_64BIT_DATA")
