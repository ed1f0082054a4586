"""HDF5 files with one filter each, and what their references must read as.

    codecs.py write FOLDER [NAME…]             FOLDER/NAME.h5 with one kind of filter; all kinds without a name
    codecs.py compare FILE REFERENCE           every dataset of FILE through zarr-python and the reference
"""

import json
import sys
import warnings
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

TYPES = ["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<i8", ">u8", "<f4", ">f4", "<f8", ">f8"]
SHAPE, CHUNKS = (23, 37), (10, 17)


def patterns(dtype):
    """Values that compress well, hardly, and not at all."""
    count = SHAPE[0] * SHAPE[1]
    smooth = (np.arange(count) // 7 % 90).astype(dtype).reshape(SHAPE)
    noise = np.frombuffer(np.random.default_rng(5).bytes(count * np.dtype(dtype).itemsize), "u1")
    if np.dtype(dtype).kind == "f":
        noise = (noise.view("u1")[:count].astype("f8") * 1.37 - 100).astype(dtype)
    else:
        noise = noise.view(dtype)
    yield "smooth", smooth
    yield "noise", noise.reshape(SHAPE)
    yield "zeros", np.zeros(SHAPE, dtype)


def fill(file, types=TYPES, shuffle=False, **filters):
    for dtype in types:
        for name, values in patterns(dtype):
            path = f"{dtype.replace('<', 'le_').replace('>', 'be_')}_{name}"
            file.create_dataset(path, data=values, chunks=CHUNKS, shuffle=shuffle, **filters)
    line = np.arange(1003).astype("<i4") % 50
    file.create_dataset("line", data=line, chunks=(100,), shuffle=shuffle, **filters)


def low_level(file, name, dtype, values, set_filter):
    """A dataset whose filter h5py has no keyword for."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(CHUNKS)
    set_filter(plist)
    space = h5py.h5s.create_simple(values.shape)
    dataset = h5py.h5d.create(file.id, name.encode(), dtype, space, plist)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values))


def nbit(file):
    """Numbers that use all their bits, which this filter leaves as they are."""
    for kind in (h5py.h5t.STD_I32LE, h5py.h5t.STD_U16BE):
        values = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(kind.dtype)
        low_level(file, kind.dtype.name, kind, values, lambda plist: plist.set_filter(h5py.h5z.FILTER_NBIT, 0))


def scale_offset(file):
    for dtype in TYPES:
        is_float = np.dtype(dtype).kind == "f"
        for name, values in patterns(dtype):
            path = f"{dtype.replace('<', 'le_').replace('>', 'be_')}_{name}"
            if is_float:
                # Tens are what is kept; h5py has no keyword for that.
                tens = (0, 2**32 - 1)
                low_level(
                    file, f"{path}_tens", h5py.h5t.py_create(np.dtype(dtype)), values,
                    lambda plist: plist.set_filter(h5py.h5z.FILTER_SCALEOFFSET, 0, tens),
                )
            for factor in (0, 1, 2, 3, 5) if is_float else (0, 6):
                if factor and not is_float and name == "noise":
                    continue
                file.create_dataset(f"{path}_{factor}", data=values, chunks=CHUNKS, scaleoffset=factor)
                if name == "smooth":
                    # Some elements are the fill value, which is stored as all bits set.
                    file.create_dataset(
                        f"{path}_{factor}_fill", data=values, chunks=CHUNKS, scaleoffset=factor, fillvalue=values[3, 5]
                    )


def odd_chunks(file):
    """Chunks that left a filter out, and chunks that are not allocated."""
    values = np.arange(400, dtype="<i4").reshape(20, 20)
    for name, filters in {
        "lzf": {"compression": "lzf"},
        "lz4": hdf5plugin.LZ4(),
        "szip": {"compression": "szip"},
        "bitshuffle": hdf5plugin.Bitshuffle(cname="none"),
        "bitshuffle_lz4": hdf5plugin.Bitshuffle(cname="lz4"),
        "blosc2": hdf5plugin.Blosc2(),
    }.items():
        masked = file.create_dataset(f"{name}_masked", values.shape, "<i4", chunks=(10, 10), **filters)
        masked[...] = values
        masked.id.write_direct_chunk((10, 0), values[10:, :10].tobytes(), filter_mask=0xFFFFFFFF)
        sparse = file.create_dataset(f"{name}_sparse", values.shape, "<i4", chunks=(10, 10), fillvalue=7, **filters)
        sparse[:10] = values[:10]


def large(file):
    values = np.arange(300_000, dtype="<i4").reshape(500, 600)
    file.create_dataset("bitshuffle", data=values, chunks=(50, 600), **hdf5plugin.Bitshuffle())
    file.create_dataset("scaled", data=values, chunks=(50, 600), scaleoffset=0)


FILES = {
    "lzf": lambda f: fill(f, compression="lzf"),
    "lzf_shuffle_fletcher32": lambda f: fill(f, compression="lzf", shuffle=True, fletcher32=True),
    "lz4": lambda f: fill(f, **hdf5plugin.LZ4()),
    "lz4_small_blocks": lambda f: fill(f, shuffle=True, **hdf5plugin.LZ4(nbytes=100)),
    "szip_nn_8": lambda f: fill(f, compression="szip", compression_opts=("nn", 8)),
    "szip_ec_32": lambda f: fill(f, compression="szip", compression_opts=("ec", 32)),
    "bitshuffle": lambda f: fill(f, **hdf5plugin.Bitshuffle(cname="none")),
    "bitshuffle_64": lambda f: fill(f, **hdf5plugin.Bitshuffle(cname="none", nelems=64)),
    "bitshuffle_lz4": lambda f: fill(f, **hdf5plugin.Bitshuffle(cname="lz4")),
    "bitshuffle_lz4_64": lambda f: fill(f, **hdf5plugin.Bitshuffle(cname="lz4", nelems=64)),
    "bitshuffle_zstd": lambda f: fill(f, **hdf5plugin.Bitshuffle(cname="zstd", clevel=3)),
    "blosc_lz4": lambda f: fill(f, **hdf5plugin.Blosc(cname="lz4", shuffle=2)),
    "blosc2_zstd": lambda f: fill(f, **hdf5plugin.Blosc2(cname="zstd", filters=1)),
    "blosc2_blosclz": lambda f: fill(f, **hdf5plugin.Blosc2(cname="blosclz", filters=2)),
    "bzip2": lambda f: fill(f, **hdf5plugin.BZip2()),
    "zstd": lambda f: fill(f, **hdf5plugin.Zstd()),
    "nbit": nbit,
    "scale_offset": scale_offset,
    "odd_chunks": odd_chunks,
    "large": large,
}


def write(folder, *names):
    for name in names or FILES:
        make = FILES[name]
        with h5py.File(Path(folder) / f"{name}.h5", "w") as file:
            make(file)


def compare(path, reference):
    import fsspec
    import zarr

    warnings.simplefilter("ignore")
    refs = json.loads(Path(reference).read_text())
    store = fsspec.filesystem("reference", fo=refs, asynchronous=True, remote_options={"asynchronous": True})
    group = zarr.open_group(zarr.storage.FsspecStore(store, read_only=True), mode="r", zarr_format=2)
    result = {"equal": 0, "differ": [], "missing": [], "codecs": {}}
    with h5py.File(path) as file:
        for name, dataset in file.items():
            if name not in group:
                result["missing"].append(name)
                continue
            array = group[name]
            metadata = json.loads(refs["refs"][f"{name}/.zarray"])
            ids = [codec["id"] for codec in metadata["filters"] or []]
            result["codecs"].setdefault("+".join(ids), []).append(name)
            try:
                equal = array[...].tobytes() == dataset[...].astype(array.dtype).tobytes()
            except Exception as error:
                equal, name = False, f"{name}: {type(error).__name__}: {error}"
            if equal:
                result["equal"] += 1
            else:
                result["differ"].append(name)
    print(json.dumps(result))


if __name__ == "__main__":
    {"write": write, "compare": compare}[sys.argv[1]](*sys.argv[2:])
