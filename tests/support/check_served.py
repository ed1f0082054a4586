#!/usr/bin/env python3
"""Opens the store of every file that a running `landfall dev` has referenced, as Zarr v2 and as Zarr v3, and compares both with
each other and with the file.

    check_served.py SERVER ROOT [--jobs N] [--limit N] [--least N]

ROOT is the folder of `landfall dev`. Every array, of every group, undecoded through zarr-python: the same shape, type, names and
bits as v2 and v3, and as netCDF4 or h5py where they read plain numbers; every group, decoded through xarray: the same variables,
values and attributes. What the v3 store says it cannot express (`landfall:not_in_zarr_v3`) must be in the v2 store, may not be in the
other, and is counted. Prints one JSON line for each file that differs and one for all; exit code 0 if none does and at least
`--least` were compared.
"""

import argparse
import concurrent.futures
import hashlib
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from read_with_xarray import compare_datasets, raw_differs, stored_arrays, values_differ

REFUSED = "landfall:not_in_zarr_v3"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("server")
    parser.add_argument("root", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--least", type=int, default=1)
    args = parser.parse_args()
    references = sorted((args.root / "silver" / "refs" / "files" / "local" / "bronze").rglob("*.json"))[:args.limit]
    work = [(args.server.rstrip("/"), reference) for reference in references]
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        verdicts = list(pool.map(judge, work))
    wrong = [verdict for verdict in verdicts if verdict["differences"]]
    for verdict in wrong:
        print(json.dumps(verdict))
    refused = {f"{verdict['file']}: {path}": reason for verdict in verdicts for path, reason in verdict["refused"].items()}
    total = {"files": len(verdicts), "arrays": sum(verdict["arrays"] for verdict in verdicts),
             "compared_with_the_file": sum(verdict["of_file"] for verdict in verdicts), "wrong": len(wrong),
             "refused": refused}
    print(json.dumps(total))
    return 0 if not wrong and len(verdicts) >= args.least else 1


def judge(work: tuple[str, Path]) -> dict:
    """The verdict on one file."""
    warnings.simplefilter("ignore")
    server, reference = work
    source = json.loads(json.loads(reference.read_text())["landfall"])["sources"][0]
    path = Path(urllib.parse.unquote(source["url"].removeprefix("file://")))
    verdict = {"file": path.name, "arrays": 0, "of_file": 0, "refused": {}, "differences": []}
    try:
        store = address(server, reference, path, source["etag"])
        v2, v3 = (open_root(store, version) for version in (2, 3))
        verdict["refused"] = dict(v3.attrs.get(REFUSED, {}))
        found = [*hierarchies_differ(v2, v3, verdict["refused"]), *decoded_differ(store, v2, verdict["refused"])]
        verdict["of_file"], of_file = stored_differ(path, v3)
        verdict["arrays"] = len(arrays_of(v3))
        verdict["differences"] = found + of_file
    except Exception as error:  # whatever a reader raises is the verdict
        verdict["differences"] = [f"cannot be read: {type(error).__name__}: {error}"]
    return verdict


def address(server: str, reference: Path, path: Path, etag: str) -> str:
    """Where the store of a file is. The blob has the name of the file below the folder of bronze."""
    names = [path.name]
    for folder in [*path.parents]:
        blob = "/".join(reversed(names))
        identity = hashlib.sha256(f"local|bronze|{blob}".encode()).hexdigest()[:32]
        store = f"{server}/api/zarr/files/{identity}/{urllib.parse.quote(etag, safe='')}"
        try:
            urllib.request.urlopen(f"{store}/.zgroup").read()
            return store
        except urllib.error.HTTPError as error:
            if error.code != 410:
                raise
        names.append(folder.name)
    raise FileNotFoundError(f"no store of {path}")


def open_root(store: str, version: int) -> zarr.Group:
    """The root of a store, from its consolidated metadata."""
    url = store if version == 2 else f"{store}/~v3"
    return zarr.open_group(url, mode="r", zarr_format=version, use_consolidated=True)


def arrays_of(root: zarr.Group) -> dict[str, zarr.Array]:
    """Every array below a group by its path."""
    return {path: member for path, member in root.members(max_depth=None) if isinstance(member, zarr.Array)}


def hierarchies_differ(v2: zarr.Group, v3: zarr.Group, refused: dict) -> Iterator[str]:
    """Arrays and groups on one side only, and what differs in those on both."""
    ours, theirs = arrays_of(v3), arrays_of(v2)
    if set(ours) != set(theirs) - set(refused) or not set(refused) <= set(theirs):
        yield f"arrays are {sorted(ours)} without {sorted(refused)}, as v2 {sorted(theirs)}"
        return
    groups = [{path for path, member in root.members(max_depth=None) if isinstance(member, zarr.Group)} for root in (v2, v3)]
    if groups[0] != groups[1]:
        yield f"groups are {groups[1]}, as v2 {groups[0]}"
    for path in sorted(ours):
        yield from arrays_differ(path, ours[path], theirs[path])


def arrays_differ(path: str, ours: zarr.Array, theirs: zarr.Array) -> Iterator[str]:
    """Shape, chunks, type (byte order apart), dimension names and bits of an array in both versions."""
    names = tuple(theirs.attrs["_ARRAY_DIMENSIONS"])
    if (ours.shape, ours.chunks, ours.metadata.dimension_names or ()) != (theirs.shape, theirs.chunks, names):
        yield f"{path}: shape, chunks, names are {ours.shape}, {ours.chunks}, {ours.metadata.dimension_names}, not as v2"
        return
    a, b = np.asarray(ours[...]), np.asarray(theirs[...])
    if a.dtype.kind not in "TO" and a.dtype.newbyteorder("=") != b.dtype.newbyteorder("="):
        yield f"{path}: dtype is {a.dtype}, as v2 {b.dtype}"
        return
    if a.dtype.kind == "V":
        a, b = (side.astype(side.dtype.newbyteorder("=")) for side in (a, b))
        if a.tobytes() != b.tobytes():
            yield f"{path}: values differ from v2"
        return
    if a.dtype.kind in "TO":
        a, b = (np.asarray(side, dtype=object) for side in (a, b))
        yield from [f"{path}: values differ from v2"] if a.tolist() != b.tolist() else []
        return
    yield from values_differ(path, a.astype(a.dtype.newbyteorder("=")), b.astype(b.dtype.newbyteorder("=")))


def decoded_differ(store: str, v2: zarr.Group, refused: dict) -> Iterator[str]:
    """What xarray makes of every group, in both versions. What it cannot decode as v2 it need not as v3."""
    groups = [None, *(path for path, member in v2.members(max_depth=None) if isinstance(member, zarr.Group))]
    for group in groups:
        try:
            theirs = xr.open_zarr(store, group=group, chunks=None, zarr_format=2).load()
        except Exception:
            continue
        prefix = f"{group}/" if group else ""
        theirs = theirs.drop_vars([path.removeprefix(prefix) for path in refused if path.startswith(prefix)], errors="ignore")
        ours = xr.open_zarr(f"{store}/~v3", group=group, chunks=None, zarr_format=3).load()
        ours.attrs.pop(REFUSED, None)
        _, found = compare_datasets(ours, theirs)
        yield from (f"group {group or '/'}: {difference}" for difference in found)


def stored_differ(path: Path, v3: zarr.Group) -> tuple[int, list[str]]:
    """Every plain number of the file that the store has in the same shape, undecoded; none where nobody else reads the file."""
    try:
        stored = stored_arrays(str(path), set())
    except (OSError, RuntimeError, KeyError):
        return 0, []
    arrays = arrays_of(v3)
    # A variable that was never written to the end is shorter than its dimensions in the file itself.
    alike = [(name, values) for name, values, _ in stored
             if name.strip("/") in arrays and arrays[name.strip("/")].shape == np.shape(values)]
    return len(alike), [difference for name, values in alike for difference in raw_differs(name, v3, values, None)]


if __name__ == "__main__":
    sys.exit(main())
