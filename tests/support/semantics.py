#!/usr/bin/env python3
"""Makes NetCDF files for one topic, and compares references to them with what xarray shows for the files.

    semantics.py make TOPIC DIR       writes DIR/*.nc; prints of each its name, what is left out of it, and flags for the program
    semantics.py compare TOPIC DIR    opens DIR/NAME.json beside DIR/NAME.nc with xarray, and prints what differs

TOPIC is `fill_values`, `data_types`, `conventions` or `storage`. Every variable is compared masked and as stored: name,
dimensions, type, attributes, and values to the bit. Prints one JSON line; the exit code is 0 when nothing differs.
"""

import itertools
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import xarray as xr

CASES: dict[str, dict[str, "Case"]] = {}


@dataclass(frozen=True)
class Case:
    """One file."""

    # Writes it.
    make: Callable[[Path], None]
    # The judges: engines of xarray, or h5py.
    engines: tuple[str, ...] = ("netcdf4",)
    # The groups to compare beside the root.
    groups: tuple[str, ...] = ()
    # What is left out by name.
    without: tuple[str, ...] = ()
    # What `landfall virtualize` is called with.
    flags: tuple[str, ...] = ()
    # The chunk shape of variables that are virtual; None for those that are one plain inlined chunk.
    chunks: dict[str, list[int] | None] = field(default_factory=dict)


def case(topic: str, *engines: str, **options):
    """Registers a function that writes one file, under its name."""

    def register(make: Callable[[Path], None]) -> Callable[[Path], None]:
        CASES.setdefault(topic, {})[make.__name__] = Case(make, engines or ("netcdf4",), **options)
        return make

    return register


# --- fill values -----------------------------------------------------------------------------------


def nc(path: Path, **sizes: int | None) -> netCDF4.Dataset:
    """A new NetCDF-4 file with dimensions."""
    dataset = netCDF4.Dataset(path, "w")
    for name, size in sizes.items():
        dataset.createDimension(name, size)
    return dataset


def holey(group: h5py.Group, name: str, dtype: str, fill, values, **options) -> h5py.Dataset:
    """Three chunks of two elements, of which only the first is allocated."""
    dataset = group.create_dataset(name, (6,), dtype, chunks=(2,), fillvalue=fill, **options)
    dataset[:2] = values
    return dataset


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


# --- data types ----------------------------------------------------------------------------------------


@case("data_types", "h5netcdf")
def numbers(path: Path) -> None:
    """Every number that Zarr has, in both byte orders."""
    with h5py.File(path, "w") as file:
        for order in "<>":
            for dtype in ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]:
                name = f"{dtype}_{'big' if order == '>' else 'little'}"
                values = np.array([0, 1, 100, 3], f"{order}{dtype}")
                file.create_dataset(name, data=values)
                file.create_dataset(f"{name}_chunked", data=values, chunks=(3,), compression="gzip", shuffle=True)
                file.create_dataset(f"{name}_scalar", data=values[2])
        file.create_dataset("boolean", data=np.array([True, False, True]))
        file.create_dataset("boolean_scalar", data=True)
        file.create_dataset("enum", data=[1, 2, 1], dtype=h5py.enum_dtype({"RED": 1, "GREEN": 2}, ">i2"))


@case("data_types", "h5netcdf")
def fixed_strings(path: Path) -> None:
    """Fixed strings by padding and character set; what lies behind the end of a text is no text."""
    stored = np.array([b"ab   ", b"a\0bcd", b"     ", b" a b ", b"\0\0\0\0\0", b"abcde", b"\xc3\xa9 x\0"], "S5")
    with h5py.File(path, "w") as file:
        for padding in ["NULLTERM", "NULLPAD", "SPACEPAD"]:
            for charset in ["ASCII", "UTF8"]:
                dtype = h5py.h5t.C_S1.copy()
                dtype.set_size(5)
                dtype.set_strpad(getattr(h5py.h5t, f"STR_{padding}"))
                dtype.set_cset(getattr(h5py.h5t, f"CSET_{charset}"))
                for chunk in [0, 2]:
                    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    if chunk:
                        create.set_chunk((chunk,))
                        create.set_deflate(1)
                    name = f"{padding}_{charset}_{chunk}".lower().encode()
                    dataset = h5py.h5d.create(file.id, name, dtype, h5py.h5s.create_simple(stored.shape), create)
                    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, stored, mtype=dtype)
        file.create_dataset("scalar", data=np.bytes_("text"))
        file.create_dataset("table", data=np.array([[b"a", b"bc"], [b"", b"d"]], "S4"))


@case("data_types", "h5netcdf")
def variable_strings(path: Path) -> None:
    """Variable-length strings: lattices, scalars, chunks, an empty one, and arrays of them in an element."""
    with h5py.File(path, "w") as file:
        texts = np.array([["a", ""], ["bé", "日本"]], object)
        for charset in ["ascii", "utf-8"]:
            values = np.array([["a", ""], ["b", "c d"]], object) if charset == "ascii" else texts
            dtype = h5py.string_dtype(charset)
            file.create_dataset(f"{charset}", data=values, dtype=dtype)
            file.create_dataset(f"{charset}_chunked", data=values, dtype=dtype, chunks=(1, 2), compression="gzip")
            file.create_dataset(f"{charset}_scalar", data="text", dtype=dtype)
            file.create_dataset(f"{charset}_none", (0,), dtype)
        file.create_dataset("long", data="x" * 100_000, dtype=h5py.string_dtype())


@case("data_types", "h5netcdf", without=("array_member", "text_member", "reference_member"))
def compounds(path: Path) -> None:
    """Compounds: packed, padded, out of order, nested, with text, and members that Zarr readers have no type for."""
    types = {
        "packed": np.dtype([("a", "i4"), ("b", "f8")]),
        "padded": np.dtype([("a", "i1"), ("b", "f8")], align=True),
        "padded_behind": np.dtype({"names": ["a"], "formats": ["i2"], "offsets": [0], "itemsize": 8}),
        "out_of_order": np.dtype({"names": ["b", "a"], "formats": ["i2", "f4"], "offsets": [4, 0], "itemsize": 6}),
        "nested": np.dtype([("in", [("n", "i1"), ("m", "f4")]), ("z", "u2")]),
        "nested_padded": np.dtype([("in", np.dtype([("n", "i1"), ("m", "f4")], align=True)), ("z", "u2")], align=True),
        "text": np.dtype([("name", "S5"), ("value", "f4")]),
        "complex": np.dtype([("c", "c8"), ("value", "f4")]),
        "boolean": np.dtype([("flag", "?"), ("value", "f4")]),
        "real_imag": np.dtype([("real", "f8"), ("imag", "f8")]),
        "array_member": np.dtype([("a", "i4", (3,)), ("b", "f8")]),
        "text_member": np.dtype([("a", "i4"), ("b", h5py.string_dtype())]),
        "reference_member": np.dtype([("a", "i4"), ("b", h5py.ref_dtype)]),
    }
    with h5py.File(path, "w") as file:
        for name, dtype in types.items():
            values = np.zeros((4,), dtype)
            if name == "reference_member":
                file.create_dataset(name, (4,), dtype)
                continue
            if name != "text_member":
                raw = np.arange(dtype.itemsize * 4, dtype="u1") % 50
                values = raw.view(dtype).copy()
            if name == "boolean":
                values["flag"] = [True, False, False, True]
            if name == "text_member":
                values["b"] = "x"
            file.create_dataset(name, data=values)
            if name not in ("array_member", "text_member"):
                file.create_dataset(f"{name}_chunked", data=values, chunks=(3,), compression="gzip")
                file.create_dataset(f"{name}_scalar", data=values[1])
        file.create_dataset("other", data=np.arange(3))


@case("data_types", "h5netcdf", without=("sequence", "reference", "region", "nothing"))
def odd(path: Path) -> None:
    """Opaque bytes, bit fields, arrays inside an element, partial integers; what has no form is left out by name."""
    with h5py.File(path, "w") as file:
        file.create_dataset("opaque", data=np.array([b"abcde", b"fghij"], "V5"))
        file.create_dataset("opaque_chunked", data=np.array([b"abcde", b"fghij"], "V5"), chunks=(1,), compression="gzip")
        for size, order in [(1, "LE"), (2, "BE"), (8, "LE")]:
            field = getattr(h5py.h5t, f"STD_B{size * 8}{order}")
            name = f"bits_{size}_{order}".lower().encode()
            dataset = h5py.h5d.create(file.id, name, field, h5py.h5s.create_simple((3,)))
            values = np.array([1, 2, 255], f"{'<' if order == 'LE' else '>'}u{size}")
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values, mtype=field)
        for name, size, precision, offset, signed in [("twelve", 2, 12, 4, True), ("thirty_one", 4, 31, 0, False),
                                                      ("three", 1, 3, 2, True), ("forty", 8, 40, 8, True)]:
            for order in ["LE", "BE"]:
                partial = getattr(h5py.h5t, f"STD_{'I' if signed else 'U'}{size * 8}{order}").copy()
                partial.set_precision(precision)
                partial.set_offset(offset)
                for chunk in [0, 2]:
                    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                    create.set_fill_value(np.array(2, "i8"))
                    if chunk:
                        create.set_chunk((chunk,))
                    label = f"{name}_{order}_{chunk}".lower().encode()
                    dataset = h5py.h5d.create(file.id, label, partial, h5py.h5s.create_simple((5,)), create)
                    space = dataset.get_space()
                    space.select_hyperslab((0,), (3,))
                    dataset.write(h5py.h5s.create_simple((3,)), space, np.array([-1 if signed else 1, 0, 3], "i8"))
        file.create_dataset("sequence", (2,), h5py.vlen_dtype("i4"))[0] = [1, 2]
        file.create_dataset("reference", data=file["opaque"].ref, dtype=h5py.ref_dtype)
        file.create_dataset("region", data=file["opaque"].regionref[:1], dtype=h5py.regionref_dtype)
        file.create_dataset("nothing", data=h5py.Empty("f4"))


@case("data_types")
def netcdf_types(path: Path) -> None:
    """netCDF's own: strings, characters, enums, compounds, opaque."""
    with nc(path, x=3, n=4) as dataset:
        dataset.createVariable("text", str, ("x",))[:] = np.array(["a", "é", ""], object)
        dataset.createVariable("text_scalar", str, ())[...] = "all"
        dataset.createVariable("char", "S1", ("x", "n"))[:] = np.array([list("abcd"), list("ef\0\0"), list("\0\0\0\0")], "S1")
        encoded = dataset.createVariable("char_utf8", "S1", ("x", "n"))
        encoded._Encoding = "utf-8"
        encoded.set_auto_chartostring(False)
        encoded[:] = np.array(["é".encode(), b"ab", "日".encode()], "S4").view("S1").reshape(3, 4)
        dataset.createVariable("char_one", "S1", ("x",))[:] = np.array(list("abc"), "S1")
        clouds = dataset.createEnumType(np.uint8, "cloud_t", {"clear": 0, "cirrus": 1, "missing": 255})
        dataset.createVariable("cloud", clouds, ("x",), fill_value=255)[:2] = [0, 1]
        dataset.createVariable("cloud_plain", clouds, ("x",))[:] = [0, 1, 0]
        packed = dataset.createCompoundType(np.dtype([("u", "f4"), ("v", "f4")]), "wind_t")
        dataset.createVariable("wind", packed, ("x",))[:] = np.array([(1, 2), (3, 4), (5, 6)], "f4,f4").astype([("u", "f4"), ("v", "f4")])
        padded = dataset.createCompoundType(np.dtype([("flag", "i1"), ("v", "f8")], align=True), "padded_t")
        dataset.createVariable("padded", padded, ("x",))[:] = np.array([(1, 2), (3, 4), (5, 6)], np.dtype([("flag", "i1"), ("v", "f8")], align=True))


@case("data_types", "h5py")
def only_hdf5(path: Path) -> None:
    """Arrays inside an element, native complex numbers, and strings that were never written beside a fill value."""
    with h5py.File(path, "w") as file:
        holey(file, "text", h5py.string_dtype(), "none", ["x", "yé"])
        file.create_dataset("text_never", (3,), h5py.string_dtype(), fillvalue="none")
        words = h5py.h5t.array_create(h5py.h5t.py_create(h5py.string_dtype(), logical=True), (2,))
        created(file, "words", words, 2)[...] = np.array([["a", "bé"], ["", "d"]], object)
        numbers = h5py.h5t.array_create(h5py.h5t.STD_I16BE, (2, 3))
        created(file, "numbers", numbers, 4)[...] = np.arange(24).reshape(4, 2, 3)
        created(file, "numbers_in_part", numbers, 6, chunk=2)[1] = np.arange(6).reshape(2, 3)
        for order in ["LE", "BE"]:
            for size in [32, 64]:
                native = getattr(h5py.h5t, f"COMPLEX_IEEE_F{size}{order}")
                created(file, f"complex_{size}_{order}", native, 2)[...] = [1 + 2j, -3j]


def created(file: h5py.File, name: str, dtype: h5py.h5t.TypeID, length: int, chunk: int = 0) -> h5py.Dataset:
    """A dataset of a type that h5py has no name for."""
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunk:
        create.set_chunk((chunk,))
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), dtype, h5py.h5s.create_simple((length,)), create))


# --- conventions of netCDF ------------------------------------------------------------------------------


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


# --- where the values are ----------------------------------------------------------------------------------


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


# --- the two commands --------------------------------------------------------------------------------


def main() -> int:
    """Runs one command; see the top."""
    command, topic, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    warnings.simplefilter("ignore")
    cases = CASES[topic]
    if command == "make":
        for name, each in cases.items():
            each.make(folder / f"{name}.nc")
        print(json.dumps([{"name": name, "without": sorted(each.without), "flags": each.flags} for name, each in cases.items()]))
        return 0
    differences = {name: found for name, each in cases.items() if (found := list(compare(each, folder, name)))}
    print(json.dumps(differences, indent=1))
    return 1 if differences else 0


def compare(each: Case, folder: Path, name: str) -> Iterator[str]:
    """What differs between the file and its reference."""
    refs = json.loads((folder / f"{name}.json").read_text(), parse_constant=not_strict)["refs"]
    yield from chunks(refs, each.chunks)
    file, reference = str(folder / f"{name}.nc"), str(folder / f"{name}.json")
    for engine in each.engines:
        for group in [None, *each.groups]:
            for label, options in [("decoded", {}), ("stored", {"mask_and_scale": False, "decode_times": False})]:
                label = " ".join(filter(None, [engine, group, label]))
                try:
                    with (opened(file, engine, group=group, drop_variables=each.without, **options) as theirs,
                          xr.open_dataset(reference, engine="kerchunk", group=group, **options) as ours):
                        yield from (f"{label}: {text}" for text in differences_of(ours.load(), theirs.load()))
                except Exception as error:  # whatever a reader raises is what differs
                    yield f"{label}: cannot be read: {type(error).__name__}: {error}"


def opened(path: str, engine: str, **options) -> xr.Dataset:
    """The file as an engine of xarray shows it, or as h5py does where no engine can."""
    if engine != "h5py":
        return xr.open_dataset(path, engine=engine, **options)
    # Without the right to write HDF5 does not show the fill values of strings.
    with h5py.File(path, "r+") as file:
        arrays = {name: plain_text(dataset[...]) for name, dataset in file.items()}
    dims = (f"phony_dim_{number}" for number in itertools.count())
    return xr.Dataset({name: ([next(dims) for _ in values.shape], values) for name, values in arrays.items()})


def plain_text(values: np.ndarray) -> np.ndarray:
    """Strings of any length, which h5py gives as bytes, as text."""
    return np.vectorize(bytes.decode, otypes=[object])(values) if values.dtype == object else values


def chunks(refs: dict, expected: dict[str, list[int] | None]) -> Iterator[str]:
    """Whether variables are virtual in chunks of a shape, or one plain little-endian chunk in the reference."""
    for name, shape in expected.items():
        array = refs[f"{name}/.zarray"]
        array = json.loads(array) if isinstance(array, str) else array
        found = [ref for key, ref in refs.items() if key.startswith(f"{name}/") and "/.z" not in key]
        if shape is None:
            plain = array["filters"] is None and array["chunks"] == array["shape"] and array["dtype"][0] in "<|"
            if not (plain and len(found) == 1 and isinstance(found[0], str)):
                yield f"{name} is not one plain chunk"
        elif array["chunks"] != shape:
            yield f"{name} has chunks {array['chunks']}, not {shape}"


def not_strict(constant: str) -> None:
    """Called for NaN and infinities, which strict JSON does not have."""
    raise ValueError(f"{constant} in a reference")


def differences_of(ours: xr.Dataset, theirs: xr.Dataset) -> Iterator[str]:
    """Names, then each variable."""
    for what, a, b in [("variables", set(ours.variables), set(theirs.variables)), ("coordinates", set(ours.coords), set(theirs.coords)),
                       ("dimensions", named(ours.sizes), named(theirs.sizes)), ("attributes", plain(ours.attrs), plain(theirs.attrs))]:
        if a != b:
            yield f"{what}: {a} is not {b}"
    for name in sorted(set(ours.variables) & set(theirs.variables)):
        yield from (f"{name}: {text}" for text in variable(ours[name].variable, theirs[name].variable))


def variable(ours: xr.Variable, theirs: xr.Variable) -> Iterator[str]:
    """Dimensions, type, attributes and values."""
    if unnumbered(ours.dims) != unnumbered(theirs.dims):
        yield f"dimensions {ours.dims} are not {theirs.dims}"
    a, b = ours.values, theirs.values
    if kind(a) != kind(b):
        yield f"type {a.dtype} is not {b.dtype}"
    elif not same(a, b):
        yield f"values {a.ravel()[:9]} are not {b.ravel()[:9]}"
    for what, x, y in [("attributes", ours.attrs, theirs.attrs), ("encoding", packing(ours), packing(theirs))]:
        if plain(x) != plain(y):
            yield f"{what} {plain(x)} are not {plain(y)}"


def unnumbered(dims: Iterable[str]) -> list[str]:
    """Names of dimensions; h5netcdf numbers anonymous ones otherwise than netCDF-C does, which we follow."""
    return [dim.rstrip("0123456789") if dim.startswith("phony_dim_") else dim for dim in dims]


def named(sizes: Mapping[str, int]) -> dict[str, int]:
    """Lengths of the dimensions that have a name."""
    return {dim: size for dim, size in sizes.items() if not dim.startswith("phony_dim_")}


def kind(values: np.ndarray) -> object:
    """The type without its byte order and padding; text of any length is one type, whatever numpy makes of it."""
    if values.dtype.kind in "OTU" and all(isinstance(value, str) for value in values.ravel()):
        return "text"
    return fields(values.dtype)


def fields(dtype: np.dtype) -> object:
    """A type as its members, however far apart they are and in whatever order."""
    if dtype.names:
        return {name: fields(dtype.fields[name][0]) for name in dtype.names}
    return repr(np.dtype(dtype.newbyteorder("<").str))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal, with NaN equal to NaN."""
    if a.shape != b.shape:
        return False
    if a.dtype.names:
        return all(same(np.asarray(a[name]), np.asarray(b[name])) for name in a.dtype.names)
    if a.dtype.kind in "OTV":
        return all(x == y or (x != x and y != y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fcmM")


def packing(variable: xr.Variable) -> dict:
    """What decoding took from the attributes."""
    names = ["_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "units", "calendar", "coordinates"]
    return {name: variable.encoding[name] for name in names if name in variable.encoding}


def plain(attributes: dict) -> dict:
    """Attributes as JSON has them, where one element of a list is the element."""

    def value(item):
        item = item.tolist() if isinstance(item, np.ndarray | np.generic) else item
        item = item[0] if isinstance(item, list) and len(item) == 1 else item
        item = item.decode() if isinstance(item, bytes) else item
        return "NaN" if isinstance(item, float) and item != item else item

    return {str(name): value(item) for name, item in sorted(attributes.items())}


if __name__ == "__main__":
    sys.exit(main())
