"""Draws one file at random: its format, writer, groups, dimensions, variables and attributes.

`draw_file(folder, seed)` writes it and tells its path, its writer, and the reading libraries that can be asked about it.
"""

import contextlib
import random
from pathlib import Path

import h5netcdf
import hdf5plugin  # noqa: F401  before netCDF4, which brings plugins of its own
import netCDF4
import numpy as np
from random_contents import CLASSIC, NUMBERS, draw_attributes, draw_fills, draw_name, draw_number, draw_values
from random_hdf5 import write_hdf5

FORMATS = ["NETCDF4", "NETCDF4", "NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]
COMPRESSIONS = [None, None, "zlib", "zlib", "szip", "zstd", "bzip2", "blosc_lz", "blosc_lz4", "blosc_zlib", "blosc_zstd"]
# What a library says when it cannot write what was drawn.
UNWRITABLE = (RuntimeError, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, NotImplementedError, IndexError)


def draw_file(folder: Path, seed: str) -> dict:
    """Writes one file."""
    draw = random.Random(seed)
    writer = draw.choice(["h5py", "h5py", "h5py", "netCDF4", "netCDF4", "netCDF4", "h5netcdf"])
    path = folder / f"file.{'h5' if writer == 'h5py' else 'nc'}"
    if writer == "h5py":
        return dict(path=path, writer=writer, engines=write_hdf5(path, draw))
    if writer == "h5netcdf":
        write_h5netcdf(path, draw)
        return dict(path=path, writer=writer, engines=["netcdf4", "h5netcdf"])
    form = draw.choice(FORMATS)
    file = NetcdfFile(draw, form)
    file.write(path)
    # What was not filled is whatever stands in memory of netCDF-C, and zeros for the others.
    engines = ["netcdf4"] if not file.is_hdf5 else ["h5netcdf"] if file.unfilled else ["netcdf4", "h5netcdf"]
    return dict(path=path, writer=form, engines=engines)


class NetcdfFile:
    """A file that netCDF-C writes."""

    def __init__(self, draw: random.Random, form: str) -> None:
        self.draw, self.form = draw, form
        self.is_hdf5 = form.startswith("NETCDF4")
        self.unfilled = draw.random() < 0.25
        self.dtypes = NUMBERS if form in ("NETCDF4", "NETCDF3_64BIT_DATA") else CLASSIC

    def write(self, path: Path) -> None:
        """All of it, and sometimes changes after it was closed."""
        draw = self.draw
        with netCDF4.Dataset(path, "w", format=self.form) as file:
            if self.unfilled:
                file.set_fill_off()
            self.group(file, 0)
        if draw.random() < 0.3:
            with netCDF4.Dataset(path, "a") as file:
                self.change(file)

    def group(self, group: netCDF4.Dataset, depth: int) -> None:
        """Dimensions, variables, attributes and groups below."""
        draw, taken = self.draw, set()
        unlimited = (draw.choice([0, 1, 1]) if self.form != "NETCDF4" else draw.randrange(3)) if depth == 0 or self.form == "NETCDF4" else 0
        for number in range(draw.randrange(1 if depth else 2, 5)):
            with contextlib.suppress(*UNWRITABLE):
                group.createDimension(draw_name(draw, taken), None if number < unlimited else draw.choice([1, 1, 2, 3, 4, 5, 7, 12]))
        for _ in range(draw.randrange(5 if depth else 7)):
            with contextlib.suppress(*UNWRITABLE):
                self.variable(group, taken)
        for name, value in draw_attributes(draw, self.dtypes):
            with contextlib.suppress(*UNWRITABLE):
                group.setncattr(name, value)
        if self.form == "NETCDF4" and depth < 3:
            for _ in range(draw.choice([0, 0, 1, 2])):
                with contextlib.suppress(*UNWRITABLE):
                    self.group(group.createGroup(draw_name(draw, taken)), depth + 1)

    def variable(self, group: netCDF4.Dataset, taken: set[str]) -> None:
        """One variable, partly written or not at all."""
        draw = self.draw
        dims = self.dimensions(group)
        name = draw.choice(dims) if dims and draw.random() < 0.35 and dims[0] not in group.variables else draw_name(draw, taken)
        dtype = self.type_of(group, taken)
        plain = isinstance(dtype, str) and dtype != "S1"
        # Without a fill value what was not written is not defined.
        fill = draw.choice([None, None, False if self.is_whole(group, dims) else None, "own"]) if plain else None
        if fill == "own":
            fill = draw_number(draw, dtype)
        variable = group.createVariable(name, dtype, dims, fill_value=fill, **self.storage(group, dims))
        variable.set_auto_maskandscale(False)
        if plain:
            for key, value in draw_fills(draw, dtype, None):
                if key != "_FillValue":
                    variable.setncattr(key, value)
        self.fill(variable, dtype, [] if fill is None or fill is False else [fill], fill is False)
        for key, value in draw_attributes(draw, self.dtypes):
            with contextlib.suppress(*UNWRITABLE):
                variable.setncattr(key, value)
        if draw.random() < 0.15 and group.variables:
            variable.coordinates = " ".join(draw.sample(sorted(group.variables), min(2, len(group.variables))))
        if draw.random() < 0.1 and group.variables:
            variable.bounds = draw.choice(sorted(group.variables))

    def dimensions(self, group: netCDF4.Dataset) -> tuple[str, ...]:
        """Names of dimensions of the group or above it."""
        found, above = {}, group
        while above is not None:
            found = {**above.dimensions, **found}
            above = above.parent
        names = self.draw.choices(sorted(found), k=self.draw.choice([0, 1, 1, 2, 2, 3, 4])) if found else []
        # An unlimited dimension once: netCDF-C shows what stood in memory where a variable has one twice.
        grows = [name for name in dict.fromkeys(names) if found[name].isunlimited()]
        fixed = [name for name in names if name not in grows]
        if not self.is_hdf5:  # the record dimension comes first
            return (*grows, *fixed)
        for name in grows:
            fixed.insert(self.draw.choice([0, 0, len(fixed)]), name)
        return tuple(fixed)

    def type_of(self, group: netCDF4.Dataset, taken: set[str]) -> object:
        """A type, made in the group where it has to be."""
        draw, kind = self.draw, self.draw.random()
        if kind < 0.75 or self.form == "NETCDF4_CLASSIC" and kind < 0.9:
            return draw.choice(self.dtypes)
        if self.form != "NETCDF4" or kind < 0.83:
            return "S1"
        if kind < 0.9:
            return str
        if kind < 0.94:
            base = draw.choice(["i1", "u1", "i2", "i4", "u8"])
            return group.createEnumType(base, draw_name(draw, taken), {"clear": 0, "cloudy": 1, "a b": 2, "none": 100})
        if kind < 0.97:
            fields = [("u", "f4"), ("v", "i2"), ("w", "f8")][:draw.randrange(1, 4)]
            return group.createCompoundType(np.dtype(fields, align=draw.random() < 0.5), draw_name(draw, taken))
        return group.createVLType(draw.choice(["i4", "f8"]), draw_name(draw, taken))

    def storage(self, group: netCDF4.Dataset, dims: tuple[str, ...]) -> dict:
        """How it is stored; nothing to choose in the classic formats."""
        draw = self.draw
        options: dict = {"endian": draw.choice(["native", "native", "little", "big"])}
        # The library's own choice is a chunk of megabytes where two dimensions can grow.
        grows = sum(1 for dim in dims if not group_dimension(group, dim).size)
        if not self.is_hdf5 or draw.random() < 0.3 and grows < 2:
            return options if self.is_hdf5 else {}
        if draw.random() < 0.2:
            return options | {"contiguous": True}
        compression = draw.choice(COMPRESSIONS)
        options |= {"compression": compression, "shuffle": draw.random() < 0.6, "fletcher32": draw.random() < 0.25,
                    "complevel": draw.randrange(1, 9), "szip_coding": draw.choice(["nn", "ec"]), "szip_pixels_per_block": draw.choice([4, 8, 32]),
                    "blosc_shuffle": draw.randrange(3)}
        if draw.random() < 0.7 or grows > 1:
            options["chunksizes"] = tuple(draw.randrange(1, 6) for _ in dims)
        if compression and draw.random() < 0.15:
            options |= {"significant_digits": 3, "quantize_mode": draw.choice(["BitGroom", "GranularBitRound", "BitRound"])}
        return options

    def is_whole(self, group: netCDF4.Dataset, dims: tuple[str, ...]) -> bool:
        """Whether none of the dimensions can grow."""
        return not any(group_dimension(group, dim).isunlimited() for dim in dims)

    def fill(self, variable: netCDF4.Variable, dtype: object, special: list, whole: bool) -> None:
        """Writes all, some or none of it; unlimited dimensions grow."""
        draw = self.draw
        how = "all" if whole else draw.choice(["all", "all", "some", "none"])
        if how == "none":
            return
        shape = tuple(length or draw.randrange(0, 5) for length in variable.shape)
        where = tuple(slice(0, length) if how == "all" or draw.random() < 0.5 else slice(length // 2, length) for length in shape)
        shape = tuple(part.stop - part.start for part in where)
        values = self.values(variable, dtype, shape, special)
        if values is not None:
            variable[where if shape else ...] = values

    def values(self, variable: netCDF4.Variable, dtype: object, shape: tuple[int, ...], special: list) -> np.ndarray | None:
        """Values of a type."""
        draw, count = self.draw, int(np.prod(shape))
        if dtype is str:
            texts = [draw.choice(["", "a", "é", "日本", "long " * 20, " b "]) for _ in range(count)]
            return np.array(texts, object).reshape(shape)
        if dtype == "S1":
            return np.frombuffer(bytes(draw.choice(b"ab \0\0zq") for _ in range(count)), "S1").reshape(shape)
        if isinstance(dtype, str):
            return draw_values(draw, dtype, shape, special)
        if isinstance(dtype, netCDF4.EnumType):
            return np.array([draw.choice(list(dtype.enum_dict.values())) for _ in range(count)], dtype.dtype).reshape(shape)
        if isinstance(dtype, netCDF4.CompoundType):
            return np.frombuffer(bytes(draw.randrange(60) for _ in range(count * dtype.dtype.itemsize)), dtype.dtype).reshape(shape)
        return None

    def change(self, file: netCDF4.Dataset) -> None:
        """What is done to a file that is there: attributes come and go, names change, records are added."""
        draw = self.draw
        for name in list(file.ncattrs())[:draw.randrange(3)]:
            file.delncattr(name)
        for variable in list(file.variables.values()):
            with contextlib.suppress(*UNWRITABLE):
                if draw.random() < 0.3:
                    for number in range(draw.choice([1, 9, 20])):
                        variable.setncattr(f"added {number}", draw.choice(["text", number, np.arange(number, dtype="i4")]))
                if draw.random() < 0.15:
                    file.renameVariable(variable.name, f"renamed_{variable.name}")
                if draw.random() < 0.3 and variable.ndim and file.dimensions[variable.dimensions[0]].isunlimited() and variable.dtype.kind in "iuf":
                    variable.set_auto_maskandscale(False)
                    variable[variable.shape[0] + draw.randrange(2)] = 3
        with contextlib.suppress(*UNWRITABLE):
            if draw.random() < 0.15:
                file.renameDimension(draw.choice(sorted(file.dimensions)), "renamed")


def group_dimension(group: netCDF4.Dataset, name: str) -> netCDF4.Dimension:
    """A dimension of the group or above it."""
    return group.dimensions[name] if name in group.dimensions else group_dimension(group.parent, name)


def write_h5netcdf(path: Path, draw: random.Random) -> None:
    """A file that h5netcdf writes."""
    with h5netcdf.File(path, "w", track_order=draw.random() < 0.7) as file:
        fill_h5netcdf(file, draw, 0)


def fill_h5netcdf(group: h5netcdf.Group, draw: random.Random, depth: int) -> None:
    """Dimensions, variables, attributes and groups below."""
    taken: set[str] = set()
    for _ in range(draw.randrange(1, 4)):
        group.dimensions[draw_name(draw, taken)] = draw.choice([None, 1, 2, 3, 5, 8])
    for _ in range(draw.randrange(1, 5)):
        dims = tuple(draw.choices(sorted(group.dimensions), k=draw.randrange(4)))
        name = draw.choice(dims) if dims and draw.random() < 0.3 and dims[0] not in group.variables else draw_name(draw, taken)
        dtype = draw.choice(NUMBERS)
        fill = draw.choice([None, None, draw_number(draw, dtype)])
        storage = {} if draw.random() < 0.4 or not dims else dict(
            chunks=tuple(draw.randrange(1, 4) for _ in dims), compression=draw.choice([None, "gzip", "lzf"]),
            shuffle=draw.random() < 0.5, fletcher32=draw.random() < 0.3)
        with contextlib.suppress(*UNWRITABLE):
            variable = group.create_variable(name, dims, dtype, fillvalue=fill, **storage)
            for at, dim in enumerate(dims):
                if group.dimensions[dim].isunlimited() and not group.dimensions[dim].size:
                    group.resize_dimension(dim, draw.randrange(4))
            if draw.random() < 0.8:
                variable[...] = draw_values(draw, dtype, variable.shape, [] if fill is None else [fill])
            for key, value in draw_attributes(draw, NUMBERS):
                variable.attrs[key] = value
    for key, value in draw_attributes(draw, NUMBERS):
        with contextlib.suppress(*UNWRITABLE):
            group.attrs[key] = value
    if depth < 2 and draw.random() < 0.4:
        fill_h5netcdf(group.create_group(draw_name(draw, taken)), draw, depth + 1)
