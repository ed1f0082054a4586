"""Joins random series with the program and compares the result with what netCDF4 and numpy read in the files.

    check_series.py PROGRAM [--count N] [--seed N] [--keep FOLDER]

Every series has to come out as its files have it, or be refused with a file and a variable by name; one without a reason
to be refused has to be joined. Prints {"series", "joined", "refused", "wrong"}; the exit code is 0 when `wrong` is empty.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import cftime
import fsspec
import netCDF4
import numpy as np
import xarray as xr
import zarr
from random_series import draw_series

CODER = xr.coders.CFDatetimeCoder(use_cftime=True)
# Said by the array's metadata or re-expressed on the way.
ENCODING = {"_FillValue", "missing_value", "units", "calendar", "coordinates", "scale_factor", "add_offset", "_Unsigned", "dtype"}
TOLD = {"values-differ", "within-tolerance", "not-compared"}


@dataclass
class Array:
    """A variable of one file, or of the result."""
    dims: tuple[str, ...]
    raw: np.ndarray
    attributes: dict
    # Units and calendar that its values count in, where they are times.
    clock: tuple[str, str] | None
    # The dates of its steps, from its group's time or the nearest one's above.
    steps: list | None

    def decoded(self) -> np.ndarray:
        """Dates as tuples, packed numbers as floats with NaN for what is masked, and the rest as it stands."""
        raw, has = self.raw, self.attributes
        if has.get("dtype") == "bool":
            return raw.astype(bool)
        masked = mask(raw, has)
        if self.clock:
            return dates(raw * has.get("scale_factor", 1), *self.clock)
        if has.get("_Unsigned") == "true" and raw.dtype.kind == "i":
            raw = raw.view(raw.dtype.str.replace("i", "u"))
        if "scale_factor" in has or "add_offset" in has:
            raw = raw.astype("f8") * float(has.get("scale_factor", 1)) + float(has.get("add_offset", 0))
        elif raw.dtype.kind == "O":
            return raw.astype(str)
        if masked.any():
            raw = np.where(masked, np.nan, raw.astype("f8"))
        return raw


def mask(raw: np.ndarray, attributes: dict) -> np.ndarray:
    """Where values are missing."""
    found = np.zeros(raw.shape, bool)
    if raw.dtype.kind not in "iuf":
        return found
    for name in ("_FillValue", "missing_value"):
        if name in attributes:
            value = np.asarray(attributes[name]).astype(raw.dtype)
            found |= (raw == value) | (np.isnan(value) & np.isnan(raw) if raw.dtype.kind == "f" else False)
    return found


def dates(raw: np.ndarray, units: str, calendar: str) -> np.ndarray:
    """Stored times as tuples of year to microsecond."""
    out = np.empty(raw.shape, object)
    if raw.size:
        found = np.ma.filled(cftime.num2date(raw.astype(raw.dtype.newbyteorder("=")), units, calendar), None)
        out[...] = np.vectorize(tuple_of, otypes=[object])(found)
    return out


def tuple_of(date: object) -> tuple:
    """A date as a tuple, which has an order in every calendar."""
    return (date.year, date.month, date.day, date.hour, date.minute, date.second, date.microsecond)


# --- reading -------------------------------------------------------------------------------------


def read_file(path: Path, dim: str, roles: dict[str, str]) -> dict[str, Array]:
    """The variables of a file by path, as netCDF4 reads them; `roles` are the bounds that the files name, and their times."""
    with netCDF4.Dataset(path) as ds:
        ds.set_auto_maskandscale(False)
        ds.set_auto_chartostring(False)
        found: dict[str, Array] = {}
        read_group(found, ds, "", dim, None, roles)
        return found


def read_roles(path: Path) -> dict[str, str]:
    """Bounds of the root that a file names, and what they bound."""
    with netCDF4.Dataset(path) as ds:
        named = [(getattr(v, key, None), name) for name, v in ds.variables.items() for key in ("bounds", "climatology")]
    return {bounds: name for bounds, name in named if bounds}


def read_group(found: dict, group: netCDF4.Dataset, prefix: str, dim: str, above: list | None, roles: dict[str, str]) -> None:
    """One group and those below it."""
    raw = {name: (v.dimensions, np.array(v[...]), {key: v.getncattr(key) for key in v.ncattrs()}) for name, v in group.variables.items()}
    steps = add_arrays(found, raw, prefix, dim, above, roles)
    found[f"{prefix}:"] = Array((), np.array(0), {key: group.getncattr(key) for key in group.ncattrs()}, None, None)
    for name, inner in group.groups.items():
        read_group(found, inner, f"{prefix}{name}/", dim, None if dim in inner.dimensions else steps, {})


def add_arrays(found: dict, raw: dict, prefix: str, dim: str, above: list | None, roles: dict[str, str]) -> list | None:
    """The variables of one group, and the dates of its steps."""
    clocks = {name: (has["units"], has.get("calendar", "standard")) for name, (_, _, has) in raw.items()
              if " since " in str(has.get("units", ""))}
    for bounds, name in roles.items():
        if name in clocks and bounds in raw:
            clocks.setdefault(bounds, clocks[name])
    steps = above
    if "time" in clocks and raw["time"][0] == (dim,):
        times = raw["time"]
        steps = list(dates(times[1] * times[2].get("scale_factor", 1), *clocks["time"]))
        if mask(times[1], times[2]).any():
            steps = ["masked"] * len(steps)
    for name, (dims, values, has) in raw.items():
        found[f"{prefix}{name}"] = Array(dims, values, has, clocks.get(name), steps if dim in dims else None)
    return steps


def read_reference(path: Path, dim: str, roles: dict[str, str]) -> tuple[dict[str, Array], list[str]]:
    """The variables of a reference, and where xarray's own decoding of times says otherwise."""
    refs = json.loads(path.read_text())["refs"]
    groups = sorted({key.removesuffix(".zgroup") for key in refs if key.endswith(".zgroup")})
    found, times, differ = {}, {"": None}, []
    for prefix in groups:
        files = fsspec.filesystem("reference", fo=str(path), asynchronous=True, remote_options=dict(asynchronous=True))
        store = zarr.storage.FsspecStore(files, read_only=True)
        raw = xr.open_dataset(store, engine="zarr", group=prefix.strip("/") or None, consolidated=False, zarr_format=2, chunks=None, decode_cf=False).load()
        arrays = {str(name): (v.dims, v.values, dict(v.attrs)) for name, v in raw.variables.items()}
        parent = prefix.rstrip("/").rpartition("/")[0]
        parent = f"{parent}/" if parent else ""
        times[prefix] = add_arrays(found, arrays, prefix, dim, times.get(parent), {} if prefix else roles)
        found[f"{prefix}:"] = Array((), np.array(0), dict(raw.attrs), None, None)
        differ += [f"{prefix}{line}" for line in decoded_otherwise(raw, found, prefix)]
    return found, differ


def decoded_otherwise(raw: xr.Dataset, found: dict[str, Array], prefix: str) -> list[str]:
    """Times that xarray decodes to other dates than cftime."""
    ds = xr.decode_cf(raw, decode_times=CODER)
    lines = []
    for name, variable in ds.variables.items():
        ours = found[f"{prefix}{name}"]
        if ours.clock and variable.dtype == object and not mask(ours.raw, ours.attributes).any() and variable.size:
            theirs = np.vectorize(tuple_of, otypes=[object])(variable.values)
            if not np.array_equal(theirs, ours.decoded()):
                lines.append(f"{name} is decoded otherwise by xarray")
    return lines


# --- comparing -----------------------------------------------------------------------------------


def differences(case: dict, folder: Path, answer: dict, reference: Path) -> list[str]:
    """What the result says otherwise than the files."""
    roles = {bounds: name for path in case["files"] for bounds, name in read_roles(folder / path).items()}
    files = [read_file(folder / name, case["dim"], roles) for name in case["files"]]
    files = [{path: array for path, array in file.items() if path.rpartition("/")[2] not in case["without"]} for file in files]
    # In the order of the series; those without steps stand behind.
    if any(first_steps(file)[:1] == ["masked"] for file in files):
        return ["a step without a time was joined"]
    files.sort(key=lambda file: (not first_steps(file), first_steps(file)[:1]))
    ours, lines = read_reference(reference, case["dim"], roles)
    paths = {path for file in files for path in file}
    skipped = {one["variable"].lstrip("/") for one in answer["skipped"]}
    lines += [f"{path} is in no file" for path in ours.keys() - paths]
    lines += [f"{path} is missing" for path in paths - ours.keys() - skipped]
    reported = {one.get("variable") for one in answer["findings"] if one["code"] in TOLD}
    for path in sorted(paths & ours.keys()):
        arrays = [file[path] for file in files if path in file]
        if not path.endswith(":"):
            if case["dim"] in arrays[0].dims:
                lines += along(path, ours[path], arrays, case["dim"], "--merge-variables" in case["options"])
            else:
                lines += still(path, ours[path], arrays, path in reported)
        lines += attributes(path, ours[path], arrays, answer["dropped_attributes"])
    return lines


def first_steps(file: dict[str, Array]) -> list:
    """The dates of a file's own time."""
    return file["time"].steps or [] if "time" in file else []


def along(path: str, ours: Array, arrays: list[Array], dim: str, merges: bool) -> list[str]:
    """A variable along the series: each of its steps is one file's, or the same in all that have it where files are merged."""
    if any(array.dims != ours.dims for array in arrays):
        return [f"{path} has the dimensions {ours.dims}, in files {[array.dims for array in arrays]}"]
    axis = ours.dims.index(dim)
    values = np.moveaxis(ours.decoded(), axis, 0)
    truth: dict = {}
    for array in arrays:
        if array.steps is None or len(array.steps) != array.raw.shape[axis]:
            return [f"{path} has no steps in a file"]
        for step, value in zip(array.steps, np.moveaxis(array.decoded(), axis, 0), strict=True):
            if step == "masked" or step in truth and not (merges and same(truth[step], value)):
                return [f"{path} has the step {step} twice or masked, and was joined"]
            truth[step] = value
    if ours.steps is None or len(ours.steps) != len(values):
        return [f"{path} has {len(values)} steps for {ours.steps and len(ours.steps)} times"]
    if not set(truth) <= set(ours.steps) or ours.steps != sorted(ours.steps):
        return [f"{path} has other steps: {ours.steps[:4]}… for {sorted(truth)[:4]}…"]
    wrong = [step for step, value in zip(ours.steps, values, strict=True) if not (
        same(value, truth[step]) if step in truth else is_absent(value))]
    return [f"{path} differs at {len(wrong)} of {len(values)} steps, first at {wrong[0]}"] if wrong else []


def still(path: str, ours: Array, arrays: list[Array], reported: bool) -> list[str]:
    """A variable without the concat dimension: the first file's, and what differs elsewhere is told."""
    first = arrays[0].decoded()
    if ours.dims != arrays[0].dims or not same(ours.decoded(), first):
        return [f"{path} is not the first file's: {ours.decoded()!r} for {first!r}"]
    silent = not reported and not all(same(first, array.decoded()) for array in arrays[1:])
    return [f"{path} differs between files, which nothing tells"] if silent else []


def attributes(path: str, ours: Array, arrays: list[Array], dropped: list[str]) -> list[str]:
    """Attributes as `drop_conflicts` has them, the history of the first, and the dropped ones listed."""
    lines = []
    listed = (lambda name: f"{path}{name}" if path.endswith(":") else f"{path}:{name}")
    for name in sorted({name for array in arrays for name in array.attributes} - ENCODING):
        values = [array.attributes[name] for array in arrays if name in array.attributes]
        if name == "history":
            values = values[:1]
        agree = all(np.array_equal(value, values[0]) for value in values)
        if agree and (name not in ours.attributes or not np.array_equal(ours.attributes[name], values[0])):
            lines.append(f"{listed(name)} is {ours.attributes.get(name)!r}, in the files {values[0]!r}")
        if not agree and (name in ours.attributes or listed(name) not in dropped):
            lines.append(f"{listed(name)} differs between files and is kept, or is not listed")
    return lines


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equality of decoded values."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or kind_of(a) != kind_of(b):
        return False
    # What is masked is a float, in which integers lose digits: they are compared as they are where nothing is.
    return bool(np.array_equal(a, b, equal_nan=kind_of(a) == "number"))


def kind_of(a: np.ndarray) -> str:
    """Numbers, text, or whatever else a type holds."""
    return "number" if a.dtype.kind in "iuf" else "text" if a.dtype.kind in "SUT" else a.dtype.kind


def is_absent(value: np.ndarray) -> bool:
    """Whether nothing is there."""
    return np.asarray(value).dtype.kind == "f" and bool(np.isnan(value).all())


# --- running -------------------------------------------------------------------------------------


def judge(program: str, case: dict, folder: Path) -> tuple[str, list[str]]:
    """`joined` or `refused`, and what is wrong with it."""
    reference = folder / "combined.json"
    inputs = [str(folder / name) for name in case["files"]]
    if case["references"]:
        inputs = referenced(program, case, inputs, folder)
    command = [program, "combine", *inputs, "-o", str(reference), "--json", *case["options"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return "joined", differences(case, folder, json.loads(done.stdout), reference)
    if done.returncode != 3:
        return "failed", [f"exit {done.returncode}: {done.stdout[-400:]} {done.stderr[-400:]}"]
    error = json.loads(done.stdout)["error"]
    all_named = error.get("disagreements") or []
    wrong = [f"not by name: {one}" for one in all_named if one["file"] not in case["files"] or not one["variable"]
             or one["file"] not in one["message"] or one["variable"] not in one["message"] or not one["cure"]]
    if not all_named:
        wrong.append(f"refused without a disagreement: {error}")
    if not case["excuses"]:
        wrong.append(f"refused for no reason: {error['message']}")
    return "refused", wrong


def referenced(program: str, case: dict, files: list[str], folder: Path) -> list[str]:
    """References of the files, as the app keeps and joins them."""
    keys = ("--concat-dim", "--inline-max-bytes")
    options = [word for key, value in zip(case["options"], case["options"][1:], strict=False) if key in keys for word in (key, value)]
    subprocess.run([program, "virtualize", *files, "-o", str(folder / "refs"), "--json", *options], capture_output=True, timeout=120, check=True)
    return [str(folder / "refs" / f"{Path(file).stem}.json") for file in files]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1582)
    parser.add_argument("--keep", type=Path, help="a folder where the series that come out wrong stay")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    counts = {"series": 0, "joined": 0, "refused": 0, "failed": 0}
    wrong = []
    for index in range(args.count):
        seed = f"{args.seed}-{index}"
        folder = Path(tempfile.mkdtemp(prefix="series-"))
        try:
            case = draw_series(folder, seed)
            outcome, lines = judge(args.program, case, folder)
        except Exception:
            outcome, lines, case = "failed", [traceback.format_exc()], {}
        counts["series"] += 1
        counts[outcome] += 1
        told = [f"{seed}: {line} {case.get('changes')}" for line in lines]
        for line in told:
            print(line, file=sys.stderr, flush=True)
        wrong += told
        if lines and args.keep:
            shutil.copytree(folder, args.keep / seed, dirs_exist_ok=True)
            (args.keep / seed / "case.json").write_text(json.dumps(case | dict(lines=lines), indent=1, default=str))
        shutil.rmtree(folder)
    print(json.dumps(counts | {"wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
