#!/usr/bin/env python3
"""Opens a reference set with one of the readers that are not xarray's kerchunk engine, and compares it with the NetCDF files.

    read_with_others.py READER REFERENCE FILE...

    xarray-zarr    xr.open_dataset("reference://", engine="zarr")   JSON, Parquet
    zarr           zarr-python over fsspec's reference filesystem   JSON, Parquet
    virtualizarr   VirtualiZarr's parsers and obstore               JSON, Parquet
    fsspec         the reference filesystem, chunk by chunk         Parquet
    gdal           rasterio                                         JSON
    zarrita        zarrita in Node, its packages in LANDFALL_TEST_NODE_FOLDER   JSON
    requests       xarray over HTTP: what opening it costs          JSON

REFERENCE is a local path. Prints one JSON line, {"ok", "reader", "variables", "differences"}; the exit code is 0 when
nothing differs, 1 when something does or cannot be read.
"""

import argparse
import base64
import contextlib
import functools
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import fsspec
import numpy as np
import xarray as xr
import zarr

import read_with_xarray as common

# Every reader below opens local files; these two dicts are what fsspec asks for beside the reference itself.
OPTIONS = dict(remote_protocol="file", remote_options={"asynchronous": True}, asynchronous=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("reference", type=os.path.abspath)
    parser.add_argument("files", nargs="+")
    parser.set_defaults(group=None, concat_dim="time", without="")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.reader in NEED_PYTHON_312 and sys.version_info < (3, 12):
        print(json.dumps({"ok": True, "reader": args.reader, "variables": 0, "note": "not there before Python 3.12"}))
        return 0
    try:
        count, differences = READERS[args.reader](args)
    except Exception as error:  # whatever a reader raises is the verdict
        count, differences = 0, [f"cannot be read: {type(error).__name__}: {error}"]
    if not count and not differences:
        differences = ["nothing was compared"]
    print(json.dumps({"ok": not differences, "reader": args.reader, "variables": count, "differences": differences}))
    return 1 if differences else 0


# --- decoded ------------------------------------------------------------------------------------


def xarray_zarr(args: argparse.Namespace) -> tuple[int, list[str]]:
    """xarray's own engine."""
    options = {"fo": args.reference, **OPTIONS}
    with xr.open_dataset("reference://", engine="zarr", consolidated=False, zarr_format=2,
                         storage_options=options) as ours, common.open_files(args) as theirs:
        return common.compare_datasets(ours, theirs)


# --- stored values ------------------------------------------------------------------------------


def compare_stored(args: argparse.Namespace, values_of: Callable[[str, np.ndarray], np.ndarray | None]) -> tuple[int, list[str]]:
    """Every variable as it is stored; `values_of` gives None for one that the reader cannot show."""
    with common.open_files(args) as decoded:
        theirs = {str(name): stored(decoded[name]) for name in decoded.variables}
    found, count = [], 0
    for name, values in sorted(theirs.items()):
        ours = values_of(name, values)
        if ours is None:
            continue
        count += 1
        if ours.shape != values.shape:
            found.append(f"{name}: shape is {ours.shape}, in the files {values.shape}")
        elif ours.dtype.newbyteorder("=") != values.dtype:
            found.append(f"{name}: dtype is {ours.dtype}, in the files {values.dtype}")
        else:
            found += common.values_differ(name, ours.astype(values.dtype), values)
    return count, found


def stored(variable: xr.DataArray) -> np.ndarray:
    """What decoding began with, by xarray's own encoder; with times in the units of the first file."""
    values = xr.conventions.encode_cf_variable(variable.variable.load()).values
    kind = variable.encoding.get("dtype", values.dtype)
    return values.astype(np.dtype(kind).newbyteorder("="))


def through_zarr(args: argparse.Namespace) -> tuple[int, list[str]]:
    """zarr-python alone."""
    files = fsspec.filesystem("reference", fo=args.reference, **OPTIONS)
    root = zarr.open_group(zarr.storage.FsspecStore(files, read_only=True), mode="r", zarr_format=2)
    return compare_stored(args, lambda name, _: np.asarray(root[name][...]))


def through_fsspec(args: argparse.Namespace) -> tuple[int, list[str]]:
    """The bytes of every chunk that the files have, decoded with numcodecs as `.zarray` says."""
    import numcodecs

    files = fsspec.filesystem("reference", fo=args.reference, remote_protocol="file")

    def values_of(name: str, _: np.ndarray) -> np.ndarray:
        meta = json.loads(files.cat_file(f"{name}/.zarray"))
        codecs = [numcodecs.get_codec(codec) for codec in [*(meta["filters"] or []), meta["compressor"]] if codec]
        out = np.full(meta["shape"], meta["fill_value"] or 0, meta["dtype"])
        grid = [-(-length // chunk) for length, chunk in zip(meta["shape"], meta["chunks"])]
        for index in np.ndindex(*grid):
            try:
                chunk = files.cat_file(f"{name}/{'.'.join(map(str, index)) or '0'}")
            except FileNotFoundError:
                continue
            for codec in reversed(codecs):
                chunk = codec.decode(chunk)
            block = np.frombuffer(chunk, meta["dtype"]).reshape(meta["chunks"])
            place = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, meta["chunks"]))
            out[place] = block[tuple(slice(0, n) for n in out[place].shape)]
        return out

    return compare_stored(args, values_of)


def virtualizarr(args: argparse.Namespace) -> tuple[int, list[str]]:
    """VirtualiZarr reads the references, obstore the chunks. Undecoded: its parsers lose fill values."""
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import KerchunkJSONParser, KerchunkParquetParser

    parser = KerchunkParquetParser() if os.path.isdir(args.reference) else KerchunkJSONParser()
    store = parser(f"file://{args.reference}", ObjectStoreRegistry({"file://": LocalStore()}))
    with xr.open_zarr(store, consolidated=False, zarr_format=3, chunks=None, decode_cf=False) as ours:
        return compare_stored(args, lambda name, _: ours[name].values)


def gdal(args: argparse.Namespace) -> tuple[int, list[str]]:
    """rasterio's GDAL, which shows grids."""
    import rasterio

    def values_of(name: str, theirs: np.ndarray) -> np.ndarray | None:
        if theirs.ndim < 3:
            return None
        with rasterio.open(f'ZARR:"{args.reference}":/{name}') as raster:
            return raster.read().reshape(theirs.shape)

    return compare_stored(args, values_of)


def zarrita(args: argparse.Namespace) -> tuple[int, list[str]]:
    """A browser's reader, in Node."""
    script = pathlib.Path(__file__).parent / "node/zarrita_values.mjs"
    command = ["node", script, os.environ["LANDFALL_TEST_NODE_FOLDER"], args.reference]
    arrays = map(json.loads, subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())
    values = {array["path"]: np.frombuffer(base64.b64decode(array["values"]), array["type"]).reshape(array["shape"])
              for array in arrays}
    return compare_stored(args, lambda name, _: values[name])


# --- what opening costs -------------------------------------------------------------------------


def requests(args: argparse.Namespace) -> tuple[int, list[str]]:
    """Cold, over HTTP: one request brings the reference; the coordinates in it cost none, data one each chunk."""
    with served("/") as (root, log):
        text = pathlib.Path(args.reference).read_text().replace("file://", root)
        with served_text(text) as (url, documents):
            ds = xr.open_dataset("reference://", engine="zarr", consolidated=False, zarr_format=2,
                                 storage_options={"fo": url, "remote_protocol": "http",
                                                  "remote_options": {"asynchronous": True}, "asynchronous": True})
            inlined = [name for name in ds.coords if ds[name].ndim < 2]
            for name in inlined:
                ds[name].load()
            found = []
            # fsspec asks for the length first.
            if [line.split()[0] for line in documents] != ["HEAD", "GET"]:
                found.append(f"the reference took these requests: {documents}")
            if log:
                found.append(f"opening it and loading {inlined} took {len(log)} requests: {log}")
            ds["tas"][0].load()
            chunks = [key for key in json.loads(text)["refs"] if key.startswith("tas/0.")]
            if len(log) != len(chunks):
                found.append(f"{len(chunks)} chunks took {len(log)} requests: {log}")
    return len(inlined) + 1, found


class Handler(http.server.BaseHTTPRequestHandler):
    """Ranges of files, or one text; every request is put down."""

    protocol_version = "HTTP/1.1"

    def __init__(self, log: list[str], body: Callable[[str], bytes], *rest: object) -> None:
        self.log, self.body = log, body
        super().__init__(*rest)

    def do_GET(self) -> None:
        self.log.append(f"{self.command} {self.path} {self.headers.get('range', '')}".strip())
        body, status = self.body(self.path), 200
        if wanted := self.headers.get("range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            body, status = body[int(first):int(last) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(body: Callable[[str], bytes]) -> Iterator[tuple[str, list[str]]]:
    log: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, log, body))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", log
    finally:
        server.shutdown()
        server.server_close()


def served(folder: str) -> contextlib.AbstractContextManager[tuple[str, list[str]]]:
    """A folder, with the requests that came."""
    return serving(lambda path: (pathlib.Path(folder) / path.lstrip("/")).read_bytes())


@contextlib.contextmanager
def served_text(text: str) -> Iterator[tuple[str, list[str]]]:
    """One document, with the requests that came."""
    with serving(lambda _: text.encode()) as (root, log):
        yield f"{root}/combined.json", log


# These read references with inlined values only in versions that Python 3.12 can have.
NEED_PYTHON_312 = {"virtualizarr", "gdal"}
READERS = {
    "xarray-zarr": xarray_zarr, "zarr": through_zarr, "virtualizarr": virtualizarr, "fsspec": through_fsspec,
    "gdal": gdal, "zarrita": zarrita, "requests": requests,
}

if __name__ == "__main__":
    sys.exit(main())
