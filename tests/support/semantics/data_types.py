"""Types of HDF5 and of netCDF."""

from pathlib import Path

import h5py
import numpy as np
from case import case, holey, nc


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
    with nc(path, x=3, n=4, time=2) as dataset:
        dataset.createVariable("time", str, ("time",))[:] = np.array(["2000-01-01", "2000-01-02"], object)
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
