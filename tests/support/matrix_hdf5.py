"""One file of the matrix against h5py: every dataset, its values, its attributes, its chunks."""

import collections
import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5f, h5o, h5p, h5t, h5z
from matrix_reference import Reference, differences
from read_with_xarray import NUMBERS, same_value

# The largest dataset that is read.
MOST = 1 << 24
# Attributes that are the library's or the convention's own.
INTERNAL = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict",
            "_NCProperties", "_FillValue", "_ARRAY_DIMENSIONS"}
# Filters without a codec in Zarr v2, by id.
NO_CODEC = {4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32026: "blosc2"}
PURE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"


def check_hdf5(path: Path, reference: Reference, skipped: dict[str, str]) -> tuple[collections.Counter, list[str]]:
    """Counts of verdicts, and what is wrong."""
    counts, wrong = collections.Counter(), []
    with open_file(path) as file:
        found, seen = datasets(file)
        counts["unknown to h5py"] += len(seen)
        for names, dataset in found:
            seen.update(names)
            verdict, differing = check_dataset(names, dataset, reference, skipped)
            counts[verdict] += 1
            wrong += differing
        wrong += [f"/: {difference}" for difference in attributes_differ(file, reference.attributes("/"))]
    invented = {f"/{name}" for name in reference.arrays} - {plain(name) for name in seen}
    return counts, wrong + [f"{name}: h5py does not know it" for name in sorted(invented)]


def open_file(path: Path) -> h5py.File:
    """Also files with types that the library finds odd."""
    import ctypes

    access = h5p.create(h5p.FILE_ACCESS)
    for line in Path("/proc/self/maps").read_text().splitlines():
        library = line.split(maxsplit=5)[-1]
        if "libhdf5" in library and "_hl" not in library and "h5py" in library:
            ctypes.CDLL(library).H5Pset_relax_file_integrity_checks(ctypes.c_int64(access.id), ctypes.c_uint64(1))
            break
    return h5py.File(h5f.open(str(path).encode(), h5f.ACC_RDONLY, access))


def datasets(file: h5py.File) -> tuple[list[tuple[list[str], h5py.Dataset]], set[str]]:
    """Every dataset, with all its paths that do not go in circles; paths of what the library cannot open."""
    found, addresses, closed = {}, {}, set()

    def walk(group: h5py.Group, path: str, above: tuple) -> None:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            try:
                item = group[name]
            except (KeyError, RuntimeError):
                closed.add(f"{path}/{name}")
                continue
            address = h5o.get_info(item.id).addr
            if isinstance(item, h5py.Dataset):
                addresses.setdefault(address, []).append(f"{path}/{name}")
                found[address] = item
            elif isinstance(item, h5py.Group) and address not in above:
                walk(item, f"{path}/{name}", (*above, address))

    walk(file, "", (h5o.get_info(file.id).addr,))
    return [(addresses[address], item) for address, item in found.items()], closed


def plain(name: str) -> str:
    """The netCDF name: a variable that shares its name with a foreign dimension is stored under a prefix."""
    head, _, last = name.rpartition("/")
    return f"{head}/{last.removeprefix('_nc4_non_coord_')}"


def check_dataset(names: list[str], dataset: h5py.Dataset, reference: Reference, skipped: dict) -> tuple[str, list[str]]:
    """A verdict on one dataset, and what is wrong with it."""
    if is_pure_dimension(dataset):
        return "dimension", []
    here = [name for name in map(plain, names) if name in reference]
    if len(here) > 1:
        return "wrong", [f"{here}: one dataset, more than one array"]
    if not here:
        reasons = [skipped[name] for name in names if name in skipped]
        granted = may_skip(names[0], dataset)
        if not reasons:
            return "wrong", [f"{names[0]}: missing without a word"]
        if not granted or not re.search(granted, reasons[0]):
            return "wrong", [f"{names[0]}: left out: {reasons[0]}"]
        return "left out", []
    wrong = list(chunks_differ(here[0], dataset, reference))
    wrong += [f"{here[0]}: {found}" for found in attributes_differ(dataset, reference.attributes(here[0]))]
    if dataset.size <= MOST and dataset.nbytes <= 8 * MOST:
        try:
            values = stored(dataset) if is_dense(dataset) else sampled(here[0], dataset, reference)
        except OSError as error:
            return "unreadable", [*wrong, f"{here[0]}: h5py cannot read it: {error}"]
        wrong += differences(here[0], reference.values(here[0]), values)
    elif tuple(reference.metadata(here[0])["shape"]) != dataset.shape:
        wrong.append(f"{here[0]}: shape {reference.metadata(here[0])['shape']} instead of {dataset.shape}")
    return "wrong" if wrong else "equal", wrong


def is_pure_dimension(dataset: h5py.Dataset) -> bool:
    """A netCDF dimension that is no variable."""
    return np.asarray(dataset.attrs.get("NAME", b"")).tobytes().startswith(PURE_DIMENSION)


def stored(dataset: h5py.Dataset) -> np.ndarray:
    """The values as h5py gives them; text as text, bits as unsigned numbers."""
    kind = dataset.id.get_type()
    if kind.get_class() == h5t.OPAQUE:
        values = np.zeros(dataset.shape, f"V{kind.get_size()}")
        dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values, mtype=kind)
        return values
    if kind.get_class() == h5t.BITFIELD:
        values = np.zeros(dataset.shape, f"u{kind.get_size()}")
        dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values, mtype=kind)
        return values if kind.get_order() == h5t.ORDER_LE else values.byteswap()
    if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == "O":
        return np.asarray(dataset.asstr(errors="backslashreplace")[()], object)
    return np.asarray(dataset[()])


def is_dense(dataset: h5py.Dataset) -> bool:
    """Whether reading all of it is a matter of moments: the library takes its time over chunks that are not there."""
    return dataset.chunks is None or dataset.size // np.prod(dataset.chunks) < 20_000


def sampled(name: str, dataset: h5py.Dataset, reference: Reference) -> np.ndarray:
    """The values at the chunks that the reference has, which have to be as many as the library's."""
    values = np.zeros(dataset.shape, dataset.dtype)
    chunks = reference.chunks[name.strip("/")]
    if len(chunks) != dataset.id.get_num_chunks():
        raise OSError(f"{len(chunks)} chunks, in the file {dataset.id.get_num_chunks()}")
    for key in chunks:
        place = reference.place(name, key)
        values[place] = dataset[place]
    return values


def may_skip(name: str, dataset: h5py.Dataset) -> str | None:
    """What the reason for leaving it out has to say; `None` where it must be there."""
    plist, kind = dataset.id.get_create_plist(), dataset.id.get_type()
    if any(part in name for part in ("\\", "/../", "/./")):
        return "Zarr key"
    if dataset.shape is None:
        return "null dataspace"
    if dataset.external:
        return "other files"
    if plist.get_layout() == h5d.VIRTUAL:
        return "virtual layout"
    filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
    reasons = [NO_CODEC[number] for number in filters if number in NO_CODEC] + [no_zarr_type(kind)]
    reasons += ["netCDF name"] if name.rpartition("/")[2].startswith("_nc4_non_coord_") else []
    return "|".join(filter(None, reasons)) or None


def no_zarr_type(kind: h5t.TypeID) -> str | None:
    """Types that Zarr v2 has no word for."""
    number = kind.get_class()
    if number in (h5t.INTEGER,) and (kind.get_precision() != 8 * kind.get_size() or kind.get_size() not in (1, 2, 4, 8)):
        return "its integers"
    if number == h5t.FLOAT and kind.get_size() > 8:
        return "IEEE 754"
    if number == h5t.COMPOUND:
        return "compound|has no type for"
    return {h5t.REFERENCE: "references", h5t.TIME: "time class", h5t.VLEN: "variable-length sequences"}.get(number)


# --- chunks --------------------------------------------------------------------------------------


def chunks_differ(name: str, dataset: h5py.Dataset, reference: Reference) -> Iterator[str]:
    """Places in the file, against those that the library lists."""
    ours = {key: value for key, value in reference.chunks[name.strip("/")].items() if isinstance(value, list)}
    if dataset.chunks is None:
        yield from contiguous_differs(name, dataset, [value[1:] if len(value) > 1 else value for value in ours.values()])
        return
    grows = [axis for axis, length in enumerate(dataset.maxshape) if length is None]
    if len(grows) == 1 and grows[0] > 0:
        return  # the library lists wrong coordinates for the extensible array; the values decide
    inlined = set(reference.chunks[name.strip("/")]) - set(ours)
    if not ours and inlined:
        return  # cut in another way; the values decide
    inner = ".0" * (len(reference.metadata(name)["chunks"]) - dataset.ndim)
    theirs = {}

    def note(chunk: h5d.StoreInfo) -> None:
        if all(at < length for at, length in zip(chunk.chunk_offset, dataset.shape)):
            key = ".".join(str(at // length) for at, length in zip(chunk.chunk_offset, dataset.chunks))
            theirs[key + inner] = [chunk.byte_offset, chunk.size]

    dataset.id.chunk_iter(note)
    for key in sorted(set(ours) | set(theirs) - inlined):
        found = ours.get(key, [None])[1:]
        if found != theirs.get(key):
            yield f"{name}: chunk {key} is {found}, in the library's list {theirs.get(key)}"
            return


def contiguous_differs(name: str, dataset: h5py.Dataset, pieces: list[list[int]]) -> Iterator[str]:
    """Pieces of one run of bytes."""
    start = dataset.id.get_offset()
    if not pieces:
        return
    pieces = sorted(pieces)
    joined = all(at + size == following for (at, size), (following, _) in zip(pieces, pieces[1:]))
    total = sum(size for _, size in pieces)
    if start is None or pieces[0][0] != start or not joined or total != dataset.id.get_storage_size():
        yield f"{name}: bytes {pieces[0][0]}+{total}, in the library's list {start}+{dataset.id.get_storage_size()}"


# --- attributes ----------------------------------------------------------------------------------


def attributes_differ(holder: h5py.HLObject, ours: dict) -> Iterator[str]:
    """Attributes that JSON can carry, by value."""
    theirs = dict(carried(holder))
    for name in sorted(set(theirs) ^ (set(ours) - INTERNAL)):
        yield f"attribute {name} is {'missing' if name in theirs else 'not in the file'}"
    for name in sorted(set(theirs) & set(ours)):
        if not same_value(*(from_json(value) for value in (ours[name], theirs[name]))):
            yield f"attribute {name} is {str(ours[name])[:80]!r}, in the file {str(theirs[name])[:80]!r}"


def from_json(value: object) -> object:
    """Numbers that JSON has no word for, written as text."""
    words = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return words.get(value, value) if isinstance(value, str) else value


def carried(holder: h5py.HLObject) -> Iterator[tuple[str, object]]:
    """Names and values; references, compounds, sequences and null values are dropped."""
    for name in holder.attrs:
        if name in INTERNAL:
            continue
        try:
            value = holder.attrs[name]
        except (OSError, TypeError, KeyError):
            continue
        array = np.asarray(value)
        if isinstance(value, h5py.Empty):
            # As netCDF4 gives it: no text, or a list of nothing.
            yield name, "" if value.dtype.kind == "S" else []
            continue
        if array.dtype.names or array.dtype.kind not in (*"biuf", "S", "U", "O"):
            continue
        if name in ("missing_value", "scale_factor", "add_offset") and array.dtype.kind == "f" and not np.isfinite(array).all():
            # What is not a number marks none, and of several those are left that JSON can say.
            value = array[np.isfinite(array)] if name == "missing_value" else array[:0]
            if not value.size:
                continue
        if array.dtype.kind == "O" and not all(isinstance(item, (str, bytes)) for item in array.reshape(-1)):
            continue
        if array.dtype.kind in "SO":
            # What is not UTF-8 is replaced, as everywhere; zero bytes are left out.
            value = [shown(item) for item in array.reshape(-1).tolist()]
        yield name, value


def shown(value: object) -> str:
    """The text of an attribute."""
    raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace").replace("\0", "")
