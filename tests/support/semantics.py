#!/usr/bin/env python3
"""Makes NetCDF files for one topic, and compares references to them with what xarray shows for the files.

    semantics.py make TOPIC DIR       writes DIR/*.nc, and prints their names with what is expected beside equality
    semantics.py compare TOPIC DIR    opens DIR/NAME.json beside DIR/NAME.nc with xarray, and prints what differs

TOPIC is `fill_values`, `data_types`, `conventions` or `storage`. Every variable is compared masked and as stored: name,
dimensions, type, attributes, and values to the bit. Prints one JSON line; the exit code is 0 when nothing differs.
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import xarray as xr

CASES: dict[str, dict[str, "Case"]] = {}


class Case:
    """One file: how it is made, which engine of xarray is the judge, and what is left out by name."""

    def __init__(self, make: Callable[[Path], None], engine: str, group: str | None, without: tuple[str, ...]) -> None:
        self.make, self.engine, self.group, self.without = make, engine, group, without


def case(topic: str, engine: str = "netcdf4", group: str | None = None, without: tuple[str, ...] = ()):
    """Registers a function that writes one file, under its name."""

    def register(make: Callable[[Path], None]) -> Callable[[Path], None]:
        CASES.setdefault(topic, {})[make.__name__] = Case(make, engine, group, without)
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
        for name, dtype in [("fixed_marked", "S3"), ("variable_marked", h5py.string_dtype())]:
            file.create_dataset(name, data=["x", "none", "yy"], dtype=dtype).attrs["_FillValue"] = "yy"


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
            holey(file, f"{name}_marked", dtype, 5, [3j, 1]).attrs["_FillValue"] = np.array(3j, dtype)


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
                dtype.set_cset(getattr(h5py.h5t, f"CSET_{'UTF_8' if charset == 'UTF8' else 'ASCII'}"))
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


@case("data_types", "h5netcdf", without=("array_member", "text_member", "reference_member", "big_order_member"))
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
            if name not in ("text_member", "reference_member"):
                raw = np.arange(dtype.itemsize * 4, dtype="u1") % 50
                values = raw.view(dtype).copy()
            if name == "boolean":
                values["flag"] = [True, False, False, True]
            if name == "text_member":
                values["b"] = "x"
            file.create_dataset(name, data=values)
            if name not in ("array_member", "text_member", "reference_member"):
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
        encoded[:] = np.array(["é", "ab", "日"], object)
        dataset.createVariable("char_one", "S1", ("x",))[:] = np.array(list("abc"), "S1")
        clouds = dataset.createEnumType(np.uint8, "cloud_t", {"clear": 0, "cirrus": 1, "missing": 255})
        dataset.createVariable("cloud", clouds, ("x",), fill_value=255)[:2] = [0, 1]
        dataset.createVariable("cloud_plain", clouds, ("x",))[:] = [0, 1, 0]
        packed = dataset.createCompoundType(np.dtype([("u", "f4"), ("v", "f4")]), "wind_t")
        dataset.createVariable("wind", packed, ("x",))[:] = np.array([(1, 2), (3, 4), (5, 6)], "f4,f4").astype([("u", "f4"), ("v", "f4")])
        padded = dataset.createCompoundType(np.dtype([("flag", "i1"), ("v", "f8")], align=True), "padded_t")
        dataset.createVariable("padded", padded, ("x",))[:] = np.array([(1, 2), (3, 4), (5, 6)], np.dtype([("flag", "i1"), ("v", "f8")], align=True))


# --- the two commands --------------------------------------------------------------------------------


def main() -> int:
    """Runs one command; see the top."""
    command, topic, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    warnings.simplefilter("ignore")
    cases = CASES[topic]
    if command == "make":
        for name, each in cases.items():
            each.make(folder / f"{name}.nc")
        print(json.dumps({name: sorted(each.without) for name, each in cases.items()}))
        return 0
    differences = {name: found for name, each in cases.items() if (found := list(compare(each, folder, name)))}
    print(json.dumps(differences, indent=1))
    return 1 if differences else 0


def compare(each: Case, folder: Path, name: str) -> Iterator[str]:
    """What differs between the file and its reference."""
    reference = json.loads((folder / f"{name}.json").read_text(), parse_constant=not_strict)
    del reference
    for options in [{}, {"mask_and_scale": False, "decode_times": False}]:
        options["group"] = each.group
        try:
            with (xr.open_dataset(str(folder / f"{name}.nc"), engine=each.engine, drop_variables=each.without, **options) as theirs,
                  xr.open_dataset(str(folder / f"{name}.json"), engine="kerchunk", **options) as ours):
                label = "decoded" if len(options) == 1 else "stored"
                yield from (f"{label}: {text}" for text in differences_of(ours.load(), theirs.load()))
        except Exception as error:  # whatever a reader raises is what differs
            yield f"cannot be read: {type(error).__name__}: {error}"


def not_strict(constant: str) -> None:
    """Called for NaN and infinities, which strict JSON does not have."""
    raise ValueError(f"{constant} in a reference")


def differences_of(ours: xr.Dataset, theirs: xr.Dataset) -> Iterator[str]:
    """Names, then each variable."""
    for what, a, b in [("variables", set(ours.variables), set(theirs.variables)), ("coordinates", set(ours.coords), set(theirs.coords)),
                       ("dimensions", dict(ours.sizes), dict(theirs.sizes)), ("attributes", plain(ours.attrs), plain(theirs.attrs))]:
        if a != b:
            yield f"{what}: {a} is not {b}"
    for name in sorted(set(ours.variables) & set(theirs.variables)):
        yield from (f"{name}: {text}" for text in variable(ours[name].variable, theirs[name].variable))


def variable(ours: xr.Variable, theirs: xr.Variable) -> Iterator[str]:
    """Dimensions, type, attributes and values."""
    if ours.dims != theirs.dims:
        yield f"dimensions {ours.dims} are not {theirs.dims}"
    a, b = ours.values, theirs.values
    if kind(a) != kind(b):
        yield f"type {a.dtype} is not {b.dtype}"
    elif not same(a, b):
        yield f"values {a.ravel()[:9]} are not {b.ravel()[:9]}"
    for what, x, y in [("attributes", ours.attrs, theirs.attrs), ("encoding", packing(ours), packing(theirs))]:
        if plain(x) != plain(y):
            yield f"{what} {plain(x)} are not {plain(y)}"


def kind(values: np.ndarray) -> str:
    """The type without its byte order; text that is no array of bytes is one type, whatever numpy makes of it."""
    if values.dtype.kind in "OTU" and all(isinstance(value, str) for value in values.ravel()):
        return "text"
    return repr(values.dtype.newbyteorder("<"))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal, with NaN equal to NaN."""
    if a.shape != b.shape:
        return False
    if a.dtype.names:
        return all(same(a[name], b[name]) for name in a.dtype.names)
    if a.dtype.kind in "OTV":
        return all(x == y or (x != x and y != y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


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
