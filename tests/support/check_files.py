#!/usr/bin/env python3
"""Draws files at random, has the program make a reference of each, and compares it with h5py, netCDF4 and xarray.

    check_files.py PROGRAM [--count N] [--seed S] [--keep FOLDER] [--only SEED]

Every dataset has to be there with the values, attributes and chunks that h5py shows; every group has to look as it does
through xarray's engines, decoded and as stored; what is left out is left out by name for a reason that the file gives. Prints
one JSON line; the exit code is 1 where something differs. Each step runs in a process of its own, because the libraries
crash on some files: what a library does not survive is counted, not compared.
"""

import argparse
import collections
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import hdf5plugin  # noqa: F401  before netCDF4, which brings plugins of its own
import fsspec.implementations.reference  # noqa: F401
import h5netcdf  # noqa: F401
import h5py
import kerchunk.xarray_backend  # noqa: F401
import numpy as np
import xarray as xr
from matrix_hdf5 import check_hdf5, datasets, from_json, open_file, plain, shown
from matrix_netcdf4 import as_text
from matrix_reference import Reference
from random_file import draw_file
from read_with_xarray import ENCODING, both_times, names_differ, same_value, values_differ

# How xarray opens a group: as a reader sees it, and as the file has it.
VIEWS = {"decoded": {}, "stored": dict(mask_and_scale=False, decode_times=False, decode_coords=False, concat_characters=False)}
# Seconds that one step may take.
PATIENCE = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", help="one seed, as it is printed")
    parser.add_argument("--keep", type=Path, help="a folder where the files that come out wrong stay")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    # Imported once, not in every process.
    xr.backends.list_engines()
    counts, wrong, reasons = collections.Counter(), [], collections.Counter()
    for seed in [args.only] if args.only else [f"{args.seed}-{index}" for index in range(args.count)]:
        folder = Path(tempfile.mkdtemp(prefix="file-"))
        found, lines, refused = judge(args.program, folder, seed)
        counts.update(found)
        reasons.update(refused)
        for line in lines:
            print(f"{seed}: {line}", file=sys.stderr, flush=True)
        wrong += [f"{seed}: {line}" for line in lines]
        if lines and args.keep:
            shutil.copytree(folder, args.keep / seed, dirs_exist_ok=True)
        shutil.rmtree(folder)
    print(json.dumps({**counts, "left out": reasons, "wrong": wrong}, ensure_ascii=False))
    return 1 if wrong else 0


def judge(program: str, folder: Path, seed: str) -> tuple[collections.Counter, list[str], list[str]]:
    """Counts, what is wrong, and the reasons for what was left out of one file."""
    case = alone(drawn, folder, seed)
    if not isinstance(case, dict):
        return collections.Counter(unwritten=1), [], []
    counts = collections.Counter({"files": 1, case["writer"]: 1})
    reference = folder / "file.json"
    done = subprocess.run([program, "virtualize", case["path"], "-o", reference, "--json"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        return counts, [f"exit {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}"], []
    skipped = {row["variable"]: row["reason"] for row in json.loads(done.stdout)["skipped"]}
    # A variable that has the name of a dimension it does not have is stored under another.
    named = {plain(name): reason for name, reason in skipped.items() if not reason.startswith("it is here")}
    steps: list[tuple[Callable, tuple]] = [(through_xarray, (case["path"], reference, engine, named)) for engine in case["engines"]]
    if case["path"].read_bytes()[:3] != b"CDF":
        steps.append((through_h5py, (case["path"], reference, skipped)))
    answer = alone(in_turn, steps)
    if answer is None:  # one at a time, so that only what a library does not survive is lost
        answers = [alone(in_turn, [step]) for step in steps]
        counts["crashed"] += answers.count(None)
        answer = together([answer for answer in answers if answer])
    return counts + answer[0], answer[1], list(skipped.values())


def drawn(folder: Path, seed: str) -> dict:
    """A file that its own library can read: with short addresses, and after many changes, some cannot be."""
    case = draw_file(folder, seed)
    if case["path"].read_bytes()[:3] != b"CDF":
        with open_file(case["path"]) as file:
            for item in [file, *(dataset for _, dataset in datasets(file)[0])]:
                list(item.attrs)
    return case


def in_turn(steps: list[tuple[Callable, tuple]]) -> tuple[collections.Counter, list[str]]:
    """What several steps find."""
    return together([step(*arguments) for step, arguments in steps])


def together(answers: list[tuple[collections.Counter, list[str]]]) -> tuple[collections.Counter, list[str]]:
    """Counts and differences of several steps."""
    return sum((counts for counts, _ in answers), collections.Counter()), [line for _, lines in answers for line in lines]


def alone(step: Callable, *arguments: object) -> object:
    """What a function returns in a process of its own; `None` where that dies."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if not child:
        receiver.close()
        # The libraries talk of what they cannot write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            sender.send(step(*arguments))
        except Exception:  # whatever a reader raises is a difference
            sender.send((collections.Counter(), [traceback.format_exc()[-700:]]))
        os._exit(0)
    sender.close()
    try:
        answer = receiver.recv() if receiver.poll(PATIENCE) else os.kill(child, 9)
    except EOFError:
        answer = None
    os.waitpid(child, 0)
    return answer


def through_h5py(path: Path, reference: Path, skipped: dict[str, str]) -> tuple[collections.Counter, list[str]]:
    """Every dataset with its values, attributes and chunks."""
    counts, wrong = check_hdf5(path, Reference(reference), skipped)
    return collections.Counter({f"h5py {verdict}": count for verdict, count in counts.items()}), wrong


# --- through xarray ------------------------------------------------------------------------------


def through_xarray(path: Path, reference: Path, engine: str, skipped: dict[str, str]) -> tuple[collections.Counter, list[str]]:
    """Every group, in every view."""
    counts, wrong = collections.Counter(), []
    groups, aliases = objects(path)
    for group in groups:
        prefix = f"{group}/" if group else "/"
        without = [name.removeprefix(prefix) for name in [*skipped, *aliases] if name.rpartition("/")[0] == group]
        for view, options in VIEWS.items():
            options = dict(options, group=group.strip("/") or None)
            own = dict(phony_dims="sort") if engine == "h5netcdf" else {}
            hidden = odd_types(path, group, is_plain if engine == "netcdf4" else is_single)
            try:
                theirs = as_text(xr.open_dataset(path, engine=engine, drop_variables=[*without, *hidden], **options, **own).load())
            except Exception:  # no answer to compare with
                counts[f"{engine} cannot open {view}"] += 1
                continue
            ours = xr.open_dataset(str(reference), engine="kerchunk", drop_variables=hidden, **options).load()
            found = list(datasets_differ(as_text(ours), theirs, path.suffix != ".h5"))
            if without:  # what is named together with something that was left out is a coordinate all the same
                found = [line for line in found if not line.startswith("coordinates")]
            counts[f"{engine} {view}"] += 1
            wrong += [f"{engine} {view} {group or '/'}: {line}" for line in found]
    return counts, wrong


def odd_types(path: Path, group: str, is_known: Callable) -> list[str]:
    """Variables of a plain HDF5 file that an engine leaves out, takes for others, or stumbles on."""
    if path.suffix != ".h5":
        return []
    with open_file(path) as file:
        found = {name: file[group or "/"].get(name) for name in file[group or "/"]}
        return [name for name, item in found.items() if isinstance(item, h5py.Dataset) and not is_known(item.id.get_type())]


def is_plain(kind: h5py.h5t.TypeID) -> bool:
    """Whether netCDF-C has the type: whole numbers and floats of all their bits."""
    size, number = kind.get_size(), kind.get_class()
    return number == h5py.h5t.FLOAT and size in (4, 8) or number == h5py.h5t.INTEGER and kind.get_precision() == 8 * size


def is_single(kind: h5py.h5t.TypeID) -> bool:
    """Whether an element is one value: h5netcdf stumbles on the dimensions of arrays, and on the names of compounds."""
    return kind.get_class() not in (h5py.h5t.ARRAY, h5py.h5t.COMPOUND)


def objects(path: Path) -> tuple[list[str], set[str]]:
    """Paths of all groups, and second names of objects, which references do not repeat."""
    if path.read_bytes()[:3] == b"CDF":
        return [""], set()
    with open_file(path) as file:
        groups, seen, aliases = [""], {h5py.h5o.get_info(file.id).addr}, set()

        def walk(group: h5py.Group, above: str) -> None:
            for name in group:
                here = f"{above}/{name}"
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    aliases.add(here)
                    continue
                item = group.get(name)
                address = h5py.h5o.get_info(item.id).addr
                if isinstance(item, h5py.Group) and address not in seen:
                    groups.append(here)
                    seen.add(address)
                    walk(item, here)

        walk(file, "")
        aliases |= {name for names, _ in datasets(file)[0] for name in names[1:]}
    return groups, aliases


def datasets_differ(ours: xr.Dataset, theirs: xr.Dataset, exact: bool) -> Iterator[str]:
    """Every variable, bit for bit, and the attributes; `exact` where no attribute is one that h5py has to judge, and no dimension anonymous."""
    yield from names_differ("coordinates", set(ours.coords), set(theirs.coords))
    yield from names_differ("variables", set(ours.variables), set(theirs.variables))
    yield from attributes_of("the group", ours.attrs, theirs.attrs, exact)
    for name in sorted(set(ours.variables) & set(theirs.variables), key=str):
        yield from (f"{name!r}: {line}" for line in variable_differs(ours[name].variable, theirs[name].variable, exact))


def variable_differs(ours: xr.Variable, theirs: xr.Variable, exact: bool) -> Iterator[str]:
    """Dimensions, type, values, what governs decoding, and attributes of one variable."""
    if theirs.dtype == "S1" and "char_dim_name" in ours.encoding:
        return  # xarray joins characters unless another variable has the dimension, be it one that was left out
    theirs = as_stored(ours, theirs)
    if len(ours.dims) != len(theirs.dims) or exact and unnumbered(ours) != unnumbered(theirs):
        yield f"dimensions {ours.dims}, in the file {theirs.dims}"
    if ours.shape != theirs.shape:
        yield f"shape {ours.shape}, in the file {theirs.shape}"
        return
    # A missing value that JSON has no word for is dropped, and integers that are not masked stay integers.
    if theirs.dtype.kind == "f" and ours.dtype.kind in "iu" and not np.isfinite(theirs.encoding.get("missing_value", 0)).all():
        theirs = theirs.astype(ours.dtype, keep_attrs=True)
    bytes_alike = {ours.dtype.str, theirs.dtype.str} <= {"|b1", "|i1", "|u1"}
    if ours.dtype.newbyteorder("=") != theirs.dtype.newbyteorder("=") and not both_times(ours, theirs) and not bytes_alike:
        yield f"type {ours.dtype}, in the file {theirs.dtype}"
        return
    native = theirs.dtype.newbyteorder("=")
    yield from values_differ("values", ours.values.astype(native), theirs.values.astype(native))
    for key in [*ENCODING, "units", "calendar", "coordinates", "_Unsigned"]:
        # What is infinite is marked by a fill value, because no attribute can say it.
        unsaid = key in ("_FillValue", "missing_value") and not np.isfinite(theirs.encoding.get("missing_value", 0)).all()
        if not same(ours.encoding.get(key, ""), theirs.encoding.get(key, "")) and not unsaid:
            yield f"{key} is {ours.encoding.get(key)!r}, in the file {theirs.encoding.get(key)!r}"
    yield from attributes_of("it", ours.attrs, theirs.attrs, exact)


def as_stored(ours: xr.Variable, theirs: xr.Variable) -> xr.Variable:
    """The part of a variable that is stored: netCDF fills up to the length of an unlimited dimension, references name what there is."""
    shorter = {dim: length for name, dim, length in zip(ours.dims, theirs.dims, ours.shape) if name == f"{dim}_first_{length}"}
    if not shorter:
        return theirs
    found = theirs[tuple(slice(shorter.get(dim)) for dim in theirs.dims)]
    return xr.Variable(ours.dims, found.values, found.attrs, found.encoding)


def attributes_of(holder: str, ours: dict, theirs: dict, exact: bool) -> Iterator[str]:
    """Attributes as JSON can carry them."""
    for key in sorted(set(ours) | set(theirs), key=str):
        if key not in theirs or key not in ours:
            # Of plain HDF5 h5py says which attributes can be carried, and a number that JSON has no word for marks nothing.
            if exact and not (key == "missing_value" and key in theirs and not np.isfinite(theirs[key]).all()):
                yield f"{holder}: attribute {key} is {'missing' if key in theirs else 'not in the file'}"
        elif not same(ours[key], finite(theirs[key]) if key == "missing_value" else theirs[key]):
            yield f"{holder}: attribute {key} is {str(ours[key])[:60]!r}, in the file {str(theirs[key])[:60]!r}"


def finite(values: object) -> object:
    """The numbers that JSON has a word for, where there are several."""
    array = np.asarray(values)
    return array[np.isfinite(array)] if array.dtype.kind == "f" and array.size > 1 else values


def same(ours: object, theirs: object) -> bool:
    """Equality of attributes: numbers that JSON has no word for are text, and h5netcdf takes UTF-8 for bytes where a type says ASCII."""
    if isinstance(theirs, str):
        theirs = shown(theirs)
    return same_value(from_json(ours.tolist() if isinstance(ours, np.ndarray) else ours), theirs) or same_value(ours, theirs)


def unnumbered(variable: xr.Variable) -> list[str]:
    """Names of dimensions; h5netcdf numbers anonymous ones otherwise than netCDF-C does, which we follow."""
    return [dim.rstrip("0123456789") if dim.startswith("phony_dim_") else dim for dim in variable.dims]


if __name__ == "__main__":
    sys.exit(main())
