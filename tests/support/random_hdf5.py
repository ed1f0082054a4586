"""Draws one HDF5 file at random, through h5py: every type, storage, filter and fill value, links, and what is changed later."""

import contextlib
import random
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t, h5z
from random_contents import NUMBERS, draw_attributes, draw_fills, draw_name, draw_number, draw_values

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "fixtures"))
from make_matrix import BOUNDS, KINDS, possible  # noqa: E402
from matrix_library import allow_unused_bits, leave_partial_chunks_unfiltered, set_precision  # noqa: E402

# Filters by id, with options that suit them: `size` stands for that of an element.
PLUGINS = [hdf5plugin.Zstd(), hdf5plugin.BZip2(), hdf5plugin.LZ4(), hdf5plugin.LZ4(nbytes=64), hdf5plugin.Bitshuffle(cname="none"),
           hdf5plugin.Bitshuffle(cname="lz4"), hdf5plugin.Bitshuffle(cname="zstd", clevel=3), hdf5plugin.Blosc(cname="lz4", shuffle=1),
           hdf5plugin.Blosc(cname="zstd", shuffle=2), hdf5plugin.Blosc(cname="blosclz", shuffle=0), hdf5plugin.Blosc2(cname="lz4", filters=1)]
FILTERS = {
    "deflate": (h5z.FILTER_DEFLATE, (4,)), "shuffle": (h5z.FILTER_SHUFFLE, ()), "fletcher32": (h5z.FILTER_FLETCHER32, ()),
    "szip": (h5z.FILTER_SZIP, (32, 8)), "nbit": (h5z.FILTER_NBIT, ()), "scaleoffset": (h5z.FILTER_SCALEOFFSET, (2, 0)),
    "scaledown": (h5z.FILTER_SCALEOFFSET, (0, 2)), "lzf": (h5z.FILTER_LZF, ()),
}
USUAL = [[], [], ["deflate"], ["shuffle", "deflate"], ["shuffle", "deflate", "fletcher32"], ["fletcher32"], ["shuffle"]]
# What the library says to what cannot be: filters that a type does not take, chunks that are too large.
UNWRITABLE = (RuntimeError, OSError, ValueError, KeyError, TypeError, OverflowError)


def write_hdf5(path: Path, draw: random.Random) -> list[str]:
    """Writes the file; the engines of xarray that can open such a one."""
    bound, kind = draw.choice(list(BOUNDS)), draw.choice([*["plain"] * 12, *KINDS])
    kind = kind if possible(bound, kind) else "plain"
    create, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    KINDS[kind](create)
    access.set_libver_bounds(*BOUNDS[bound])
    allow_unused_bits(access)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    writer = Writer(draw)
    with h5py.File(h5f.create(str(path).encode(), h5f.ACC_TRUNC, create, access)) as file:
        writer.group(file, 0)
        writer.link(file)
        writer.change(file)
    if draw.random() < 0.3:
        with h5py.File(h5f.open(str(path).encode(), h5f.ACC_RDWR, access)) as file:
            writer.change(file)
    # netCDF-C loses itself in circles, and shows what stood in memory where no value is defined; neither engine opens a file with a link that leads nowhere.
    if writer.dangles or kind in ("sizes84", "sizes44", "sizes22"):
        return []
    return ["h5netcdf"] if writer.circles or writer.undefined else ["netcdf4", "h5netcdf"]


class Writer:
    """A file in the making."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.datasets: list[h5py.Dataset] = []
        self.groups: list[h5py.Group] = []
        self.scales: list[h5py.Dataset] = []
        self.dangles = self.circles = self.undefined = False

    def group(self, group: h5py.Group, depth: int) -> None:
        """Datasets, attributes and groups below."""
        draw, taken = self.draw, set()
        self.groups.append(group)
        for _ in range(draw.choice([1, 2, 3, 4, 6, 20 if draw.random() < 0.1 else 3])):
            name = draw_name(draw, taken)
            try:
                self.datasets.append(self.dataset(group, name))
            except UNWRITABLE:
                if name in group:
                    del group[name]
        self.attributes(group)
        if depth < 3:
            for _ in range(draw.choice([0, 0, 1, 2])):
                below = group.create_group(draw_name(draw, taken), track_order=draw.random() < 0.3)
                self.group(below, depth + 1)

    # --- datasets --------------------------------------------------------------------------------

    def dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """One dataset with its values, dimension scales and attributes."""
        draw = self.draw
        label, kind, dtype = draw_type(draw, group)
        shape = tuple(draw.choice([0, 1, 1, 2, 3, 4, 5, 7, 12]) for _ in range(draw.choice([0, 1, 1, 1, 2, 2, 3, 4])))
        create, fill = h5p.create(h5p.DATASET_CREATE), None
        limits = tuple(draw.choice([length, length, None, length + draw.randrange(9)]) for length in shape)
        layout = draw.choice(["compact", "contiguous", "chunked", "chunked", "chunked", "chunked"]) if shape else draw.choice(["compact", "contiguous"])
        if layout == "chunked":
            self.chunks(create, shape, limits, label)
        else:
            limits = shape
            create.set_layout(h5d.COMPACT if layout == "compact" else h5d.CONTIGUOUS)
        if dtype in NUMBERS and draw.random() < 0.5:
            fill = draw_number(draw, dtype)
            create.set_fill_value(np.asarray(fill))
        if draw.random() < 0.2:
            filled = draw.choice([h5d.FILL_TIME_ALLOC, h5d.FILL_TIME_NEVER, h5d.FILL_TIME_IFSET])
            create.set_fill_time(filled)
            self.undefined |= filled == h5d.FILL_TIME_NEVER
        if draw.random() < 0.3 and layout != "compact":
            create.set_alloc_time(draw.choice([h5d.ALLOC_TIME_EARLY, h5d.ALLOC_TIME_LATE, h5d.ALLOC_TIME_INCR]))
        if draw.random() < 0.3:
            create.set_attr_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
        if draw.random() < 0.1:
            create.set_attr_phase_change(draw.randrange(1, 4), draw.randrange(1))
        space = h5s.create(h5s.NULL) if draw.random() < 0.02 else h5s.create_simple(
            shape, tuple(h5s.UNLIMITED if limit is None else limit for limit in limits)) if shape else h5s.create(h5s.SCALAR)
        dataset = h5py.Dataset(h5d.create(group.id, name.encode(), kind, space, create))
        self.fill(dataset, label, dtype, [] if fill is None else [fill])
        self.dimensions(dataset)
        if dtype in NUMBERS:
            for key, value in draw_fills(draw, dtype, fill):
                dataset.attrs[key] = value
        self.attributes(dataset)
        return dataset

    def chunks(self, create: h5p.PropDCID, shape: tuple[int, ...], limits: tuple, label: str) -> None:
        """A chunk shape and filters."""
        draw = self.draw
        create.set_chunk(tuple(draw.randrange(1, max(1, min(length + 3, limit or length + 3)) + 1) for length, limit in zip(shape, limits)))
        if draw.random() < 0.2:
            leave_partial_chunks_unfiltered(create)
        names = draw.choice(USUAL)
        if draw.random() < 0.2:
            names = draw.sample(sorted(FILTERS), draw.randrange(1, 4))
        elif draw.random() < 0.2:
            names = [*draw.choice([[], [], ["shuffle"]]), "plugin", *draw.choice([[], [], ["fletcher32"], ["deflate"]])]
        for name in names:
            number, values = FILTERS.get(name, (0, ()))
            if name == "plugin":
                plugin = draw.choice(PLUGINS)
                number, values = plugin["compression"], plugin["compression_opts"]
            if name == "szip":
                create.set_szip(*draw.choice([(32, 8), (4, 4)]))
            else:
                create.set_filter(number, draw.choice([0, h5z.FLAG_OPTIONAL]), values)

    def fill(self, dataset: h5py.Dataset, label: str, dtype: object, special: list) -> None:
        """Writes all, some or none of it, and some chunks past the filters."""
        draw = self.draw
        how = draw.choice(["all", "all", "all", "some", "none"])
        if how == "none" or dataset.shape is None:
            return
        where = tuple(slice(0, length) if how == "all" or draw.random() < 0.5 else slice(length // 2, length) for length in dataset.shape)
        shape = tuple(part.stop - part.start for part in where)
        values = draw_elements(draw, label, dtype, shape, special)
        if values is None or not values.size:
            return
        if label in ("numbers", "texts"):
            dataset[where if shape else ...] = values
            return
        space = dataset.id.get_space()
        if shape:
            space.select_hyperslab(tuple(part.start for part in where), shape)
        kind = dataset.id.get_type()
        memory = h5t.py_create(values.dtype, logical=True) if label in ("object", "bool") or dtype in NUMBERS else kind
        dataset.id.write(h5s.create_simple(shape) if shape else h5s.ALL, space if shape else h5s.ALL, np.ascontiguousarray(values), mtype=memory)
        if dataset.chunks and dtype in NUMBERS and draw.random() < 0.1:
            chunk = draw_values(draw, dtype, dataset.chunks, special).astype(dataset.dtype)
            at = tuple(draw.randrange(-(-length // step)) * step for length, step in zip(dataset.shape, dataset.chunks))
            dataset.id.write_direct_chunk(at, chunk.tobytes(), filter_mask=0xFFFFFFFF if draw.random() < 0.5 else 2 ** dataset.id.get_create_plist().get_nfilters() - 1)

    def dimensions(self, dataset: h5py.Dataset) -> None:
        """Makes it a scale, or attaches scales of its lengths."""
        draw = self.draw
        if dataset.ndim == 1 and draw.random() < 0.4:
            dataset.make_scale(draw.choice(["", dataset.name.rpartition("/")[2], "other"]))
            self.scales.append(dataset)
            return
        share = draw.choice([0, 0.5, 1])
        for axis, length in enumerate(dataset.shape or ()):
            fitting = [scale for scale in self.scales if scale.shape == (length,)]
            if fitting and draw.random() < share:
                for scale in draw.sample(fitting, 1 if draw.random() < 0.9 else min(2, len(fitting))):
                    dataset.dims[axis].attach_scale(scale)
            if draw.random() < 0.05:
                dataset.dims[axis].label = draw.choice(["x", "é"])

    # --- attributes ------------------------------------------------------------------------------

    def attributes(self, holder: h5py.HLObject) -> None:
        """Attributes that every format has, and those that only HDF5 has."""
        draw = self.draw
        with contextlib.suppress(*UNWRITABLE):
            for name, value in draw_attributes(draw, [*NUMBERS, "f2", ">i4", ">f8", "?", "c8"]):
                holder.attrs[name] = value
        for number in range(draw.choice([0, 0, 0, 1, 2])):
            with contextlib.suppress(*UNWRITABLE):
                self.odd_attribute(holder, f"odd {number}")

    def odd_attribute(self, holder: h5py.HLObject, name: str) -> None:
        """One that JSON has no word for, or a word of its own."""
        draw = self.draw
        kind = draw.choice(["empty", "empty text", "none", "texts", "fixed", "fixed texts", "reference", "references", "compound", "enum", "bool",
                            "sequence", "opaque", "lattice", "huge", "ascii", "not utf8", "null text", "dense"])
        if kind == "dense":
            for number in range(draw.choice([9, 40])):
                holder.attrs[f"{name} {number}"] = draw.choice([number, "x" * number])
            return
        value = {
            "empty": h5py.Empty("f4"), "empty text": h5py.Empty("S1"), "none": np.array([], draw.choice(["i4", "f8", "S3"])),
            "texts": ["a", "", "é"][:draw.randrange(1, 4)], "fixed": np.bytes_(draw.choice([b"ab", b"ab\0\0", b"a \0b"])),
            "fixed texts": np.array([b"ab", b"c"], "S3"), "reference": holder.ref, "references": np.array([holder.ref, holder.ref], h5py.ref_dtype),
            "compound": np.array((1, 2.0), [("a", "i4"), ("b", "f8")]), "bool": draw.choice([True, np.array([True, False])]),
            "opaque": np.void(b"abc"), "lattice": np.arange(6, dtype=draw.choice(NUMBERS)).reshape(2, 3), "huge": np.arange(9000),
            "ascii": "plain", "not utf8": np.bytes_(b"caf\xe9"), "null text": np.bytes_(b""), "enum": 1, "sequence": None}[kind]
        if kind == "enum":
            holder.attrs.create(name, draw.choice([1, [1, 2]]), dtype=h5py.enum_dtype({"RED": 1, "GREEN": 2}, draw.choice(["i1", ">i2", "u8"])))
        elif kind == "sequence":
            holder.attrs.create(name, np.arange(3, dtype="i4"), (), h5py.vlen_dtype("i4"))
        elif kind == "ascii":
            holder.attrs.create(name, value, dtype=h5py.string_dtype("ascii", draw.choice([None, 9])))
        else:
            holder.attrs[name] = value

    # --- links and changes -----------------------------------------------------------------------

    def link(self, file: h5py.File) -> None:
        """Second names, and links that lead to other objects, nowhere or in a circle."""
        draw = self.draw
        for number in range(draw.choice([0, 0, 0, 1, 2])):
            group, name = draw.choice(self.groups), f"link {number}"
            kind = draw.choice(["hard", "soft", "dangling", "external", "circle", "group", "type"])
            if kind == "hard" and self.datasets:
                group[name] = draw.choice(self.datasets)
            elif kind == "soft" and self.datasets:
                group[name] = h5py.SoftLink(draw.choice(self.datasets).name)
            elif kind == "dangling":
                group[name], self.dangles = h5py.SoftLink("/nowhere"), True
            elif kind == "external":
                group[name], self.dangles = h5py.ExternalLink("other.h5", "/a"), True
            elif kind == "circle":
                group[name], self.circles = file, True
            elif kind == "group" and group not in (below := self.groups[-1], file) and not below.name.startswith(group.name) and not group.name.startswith(below.name):
                group[name] = below
            elif kind == "type":
                group[name] = np.dtype([("a", "i4")])

    def change(self, file: h5py.File) -> None:
        """Datasets grow, shrink, go and come again; attributes come and go until they are stored densely."""
        draw = self.draw
        paths: list[str] = []
        file.visititems(lambda name, item: paths.append(name) if isinstance(item, h5py.Dataset) else None)
        for path in paths:
            with contextlib.suppress(*UNWRITABLE):
                self.change_dataset(file, path)

    def change_dataset(self, file: h5py.File, path: str) -> None:
        """Something is done to one dataset, mostly nothing."""
        draw, dataset = self.draw, file[path]
        if dataset.chunks and draw.random() < 0.25:
            dataset.resize(tuple(draw.randrange(length + 6) if limit is None else draw.randrange(limit + 1)
                                 for length, limit in zip(dataset.shape, dataset.maxshape)))
            if draw.random() < 0.5 and dataset.dtype.kind in "iuf" and dataset.size:
                dataset[tuple(slice(draw.randrange(length), length) for length in dataset.shape)] = 7
        if draw.random() < 0.1:
            names = [f"churn {number}" for number in range(draw.choice([3, 12, 30]))]
            for name in names:
                dataset.attrs[name] = draw.choice([1, "text", [1.0, 2.0]])
            for name in draw.sample(names, draw.randrange(len(names) + 1)):
                del dataset.attrs[name]
            for name in sorted(set(names[:3]) & set(dataset.attrs)):
                dataset.attrs.modify(name, 5)
        if draw.random() < 0.05 and not dataset.is_scale and not len(dataset.attrs):
            values = dataset[()]
            del file[path]
            file.create_dataset(path, data=values, dtype=dataset.dtype)


def draw_type(draw: random.Random, group: h5py.Group) -> tuple[str, h5t.TypeID, object]:
    """A label, the type in the file, and numpy's name of plain numbers."""
    label = draw.choice(["number"] * 12 + ["text", "texts", "half", "bool", "enum", "compound", "complex", "opaque", "numbers", "bits", "partial",
                                           "sequence", "reference", "committed", "text field"])
    order = draw.choice("<<>")
    if label in ("number", "committed"):
        dtype = draw.choice(NUMBERS)
        kind = h5t.py_create(np.dtype(order + dtype)).copy()
        if label == "committed":
            kind.commit(group.id, f"type {draw.randrange(10**6)}".encode())
        return "number", kind, dtype
    if label == "text":
        kind = h5t.C_S1.copy()
        kind.set_size(draw.choice([1, 5]))
        kind.set_strpad(draw.choice([h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD]))
        kind.set_cset(draw.choice([h5t.CSET_ASCII, h5t.CSET_UTF8]))
        return label, kind, np.dtype(f"S{kind.get_size()}")
    dtype = {
        "texts": h5py.string_dtype(draw.choice(["ascii", "utf-8"])), "half": np.dtype(f"{order}f2"), "bool": np.dtype("?"),
        "enum": h5py.enum_dtype({"RED": 1, "GREEN": 2, "ZERO": 0}, f"{order}{draw.choice(['i1', 'i2', 'u4', 'i8'])}"),
        "compound": np.dtype([("a", f"{order}i2"), ("b", "f8"), ("in", [("x", "f4"), ("s", "S3")])][:draw.randrange(1, 4)], align=draw.random() < 0.5),
        "complex": np.dtype(order + draw.choice(["c8", "c16"])), "opaque": np.dtype(f"V{draw.choice([1, 4, 7])}"),
        "sequence": h5py.vlen_dtype("i4"), "reference": h5py.ref_dtype,
        "text field": np.dtype([("a", "i4"), ("b", h5py.string_dtype())]),
    }.get(label)
    if label == "numbers":
        return label, h5t.array_create(h5t.py_create(np.dtype(order + draw.choice(NUMBERS))), (2, 3)[:draw.randrange(1, 3)]), None
    if label == "bits":
        kind = draw.choice([h5t.STD_B8LE, h5t.STD_B16BE, h5t.STD_B32LE, h5t.STD_B64BE])
        return label, kind, np.dtype(f"u{kind.get_size()}")
    if label == "partial":
        kind = draw.choice([h5t.STD_I32LE, h5t.STD_U16BE, h5t.STD_I64LE]).copy()
        set_precision(kind, kind.get_size(), draw.randrange(3, 13), draw.randrange(4))
        return "object", kind, np.dtype("i8")
    return label, h5t.py_create(dtype, logical=True), dtype


def draw_elements(draw: random.Random, label: str, dtype: object, shape: tuple[int, ...], special: list) -> np.ndarray | None:
    """Values of a type as they are in memory; `None` where only the library can make some."""
    count = int(np.prod(shape))
    if dtype in NUMBERS or label in ("half", "complex"):
        return draw_values(draw, dtype, shape, special)
    if label in ("enum", "bool"):
        return np.array([draw.choice([0, 1, 2] if label == "enum" else [0, 1]) for _ in range(count)], dtype).reshape(shape)
    if label in ("opaque", "compound", "text", "bits"):
        letters = b"ab \xc3\xa9" if label == "text" else bytes(range(60))
        return np.frombuffer(bytes(draw.choice(letters) for _ in range(count * dtype.itemsize)), dtype).reshape(shape)
    if label == "object":
        return np.array([draw.randrange(4) for _ in range(count)], "i8").reshape(shape)
    if label == "texts":
        return np.array([draw.choice(["", "a", "bc " * 9, "d"]) for _ in range(count)], object).reshape(shape)
    return None
