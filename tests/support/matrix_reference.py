"""A kerchunk reference as zarr-python reads it, and equality of values."""

import base64
import json
from pathlib import Path

import fsspec
import numcodecs
import numpy as np
import zarr
from read_with_xarray import NUMBERS, values_differ

# Chunks of an array that zarr-python reads.
MOST_CHUNKS = 64


class Reference:
    """A reference document, with its arrays and its chunk tables."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refs = json.loads(path.read_bytes())["refs"]
        files = fsspec.filesystem("reference", fo={"version": 1, "refs": self.refs}, remote_options={"asynchronous": True},
                                  asynchronous=True, skip_instance_cache=True)
        self.root = zarr.open_group(zarr.storage.FsspecStore(files, read_only=True), mode="r", zarr_format=2)
        self.arrays = {key.removesuffix("/.zarray") for key in self.refs if key.endswith("/.zarray")}
        self.chunks = {name: {} for name in self.arrays}
        for key, value in self.refs.items():
            name, _, last = key.rpartition("/")
            if name in self.chunks and last[0].isdigit():
                self.chunks[name][last] = value

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self.arrays

    def attributes(self, path: str) -> dict:
        """Attributes of a group or an array."""
        prefix = f"{path.strip('/')}/" if path.strip("/") else ""
        text = self.refs.get(f"{prefix}.zattrs", "{}")
        return json.loads(text) if isinstance(text, str) else text

    def metadata(self, path: str) -> dict:
        """The `.zarray` of an array."""
        text = self.refs[f"{path.strip('/')}/.zarray"]
        return json.loads(text) if isinstance(text, str) else text

    def values(self, path: str) -> np.ndarray:
        """All of an array, decoded."""
        array = self.root[path.strip("/")]
        if array.nchunks <= MOST_CHUNKS:
            return np.asarray(array[...])
        return self.decoded_by_hand(path.strip("/"), array)

    def decoded_by_hand(self, path: str, array: zarr.Array) -> np.ndarray:
        """The chunks that are there, through numcodecs: zarr-python asks for every chunk, for minutes where they are many."""
        metadata = self.metadata(path)
        codecs = [numcodecs.get_codec(dict(codec)) for codec in [*(metadata["filters"] or []), metadata["compressor"]] if codec]
        values = np.full(array.shape, array.fill_value or 0, array.dtype)
        for key, entry in self.chunks[path].items():
            data = self.bytes_of(entry)
            for codec in reversed(codecs):
                data = codec.decode(data)
            chunk = np.frombuffer(data, metadata["dtype"]).reshape(array.chunks)
            place = self.place(path, key)
            values[place] = chunk[tuple(slice(length) for length in values[place].shape)]
        return values

    def place(self, path: str, key: str) -> tuple[slice, ...]:
        """What part of an array a chunk covers."""
        lengths = self.metadata(path)["chunks"]
        return tuple(slice(int(at) * length, (int(at) + 1) * length) for at, length in zip(key.split("."), lengths))

    def bytes_of(self, entry: list | str) -> bytes:
        """The stored bytes of a chunk."""
        if isinstance(entry, str):
            return base64.b64decode(entry[7:]) if entry.startswith("base64:") else entry.encode()
        url, *place = entry
        with open(url.removeprefix("file://"), "rb") as file:
            file.seek(place[0] if place else 0)
            return file.read(place[1] if place else -1)


def differences(name: str, ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    """What differs between two arrays: shape, type (byte order apart), and bits; text by what it says."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        return [f"{name}: shape {ours.shape} instead of {theirs.shape}"]
    if theirs.dtype.names:
        if ours.dtype.names is None or set(ours.dtype.names) != set(theirs.dtype.names):
            return [f"{name}: fields {ours.dtype} instead of {theirs.dtype}"]
        fields = (differences(f"{name}.{field}", ours[field], theirs[field]) for field in theirs.dtype.names)
        return [difference for found in fields for difference in found]
    if theirs.dtype.kind in NUMBERS:
        native = theirs.dtype.newbyteorder("=")
        bytes_alike = {ours.dtype.str, native.str} <= {"|b1", "|i1", "|u1"}
        if ours.dtype.newbyteorder("=") != native and not bytes_alike:
            return [f"{name}: type {ours.dtype} instead of {theirs.dtype}"]
        return list(values_differ(name, ours.astype(native), theirs.astype(native)))
    wrong = [at for at, (a, b) in enumerate(zip(ours.reshape(-1).tolist(), theirs.reshape(-1).tolist())) if text(a) != text(b)]
    at = wrong[0] if wrong else 0
    return [f"{name}: {len(wrong)} of {ours.size} differ, first {at}: {ours.reshape(-1)[at]!r} instead of {theirs.reshape(-1)[at]!r}"] if wrong else []


def text(value: object) -> str:
    """Text or bytes as text; the padding of bytes has no meaning."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").rstrip("\0")
    return str(value)
