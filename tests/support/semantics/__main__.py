#!/usr/bin/env python3
"""Makes NetCDF files for one topic, and compares references to them with what xarray shows for the files.

    python semantics make TOPIC DIR       writes DIR/*.nc; prints of each its name, what is left out of it, and flags for
                                          the program
    python semantics compare TOPIC DIR    opens DIR/NAME.json beside DIR/NAME.nc with xarray, and prints what differs

TOPIC is a module beside this one: `fill_values`, `data_types`, `conventions` or `storage`. Every variable is compared masked
and as stored: name, dimensions, type, attributes, and values to the bit. Prints JSON; the exit code is 0 when nothing differs.
"""

import importlib
import itertools
import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from case import CASES, Case


def main() -> int:
    """Runs one command; see the top."""
    command, topic, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    warnings.simplefilter("ignore")
    importlib.import_module(topic)
    cases = CASES[topic]
    if command == "make":
        for name, each in cases.items():
            each.make(folder / f"{name}.nc")
        print(json.dumps([{"name": name, "without": sorted(each.without), "flags": each.flags} for name, each in cases.items()]))
        return 0
    differences = {name: found for name, each in cases.items() if (found := list(compare(each, folder, name)))}
    print(json.dumps(differences, indent=1))
    return 1 if differences else 0


def compare(each: Case, folder: Path, name: str) -> Iterator[str]:
    """What differs between the file and its reference."""
    refs = json.loads((folder / f"{name}.json").read_text(), parse_constant=not_strict)["refs"]
    yield from chunks(refs, each.chunks)
    file, reference = str(folder / f"{name}.nc"), str(folder / f"{name}.json")
    for engine in each.engines:
        for group in [None, *each.groups]:
            for label, options in [("decoded", {}), ("stored", {"mask_and_scale": False, "decode_times": False})]:
                label = " ".join(filter(None, [engine, group, label]))
                try:
                    with (opened(file, engine, group=group, drop_variables=each.without, **options) as theirs,
                          xr.open_dataset(reference, engine="kerchunk", group=group, **options) as ours):
                        yield from (f"{label}: {text}" for text in differences_of(ours.load(), theirs.load()))
                except Exception as error:  # whatever a reader raises is what differs
                    yield f"{label}: cannot be read: {type(error).__name__}: {error}"


def opened(path: str, engine: str, **options) -> xr.Dataset:
    """The file as an engine of xarray shows it, or as h5py does where no engine can."""
    if engine != "h5py":
        return xr.open_dataset(path, engine=engine, **options)
    # Without the right to write HDF5 does not show the fill values of strings.
    with h5py.File(path, "r+") as file:
        arrays = {name: plain_text(dataset[...]) for name, dataset in file.items()}
    dims = (f"phony_dim_{number}" for number in itertools.count())
    return xr.Dataset({name: ([next(dims) for _ in values.shape], values) for name, values in arrays.items()})


def plain_text(values: np.ndarray) -> np.ndarray:
    """Strings of any length, which h5py gives as bytes, as text."""
    return np.vectorize(bytes.decode, otypes=[object])(values) if values.dtype == object else values


def chunks(refs: dict, expected: dict[str, list[int] | None]) -> Iterator[str]:
    """Whether variables are virtual in chunks of a shape, or one plain little-endian chunk in the reference."""
    for name, shape in expected.items():
        array = refs[f"{name}/.zarray"]
        array = json.loads(array) if isinstance(array, str) else array
        found = [ref for key, ref in refs.items() if key.startswith(f"{name}/") and "/.z" not in key]
        if shape is None:
            plain = array["filters"] is None and array["chunks"] == array["shape"] and array["dtype"][0] in "<|"
            if not (plain and len(found) == 1 and isinstance(found[0], str)):
                yield f"{name} is not one plain chunk"
        elif array["chunks"] != shape:
            yield f"{name} has chunks {array['chunks']}, not {shape}"


def not_strict(constant: str) -> None:
    """Called for NaN and infinities, which strict JSON does not have."""
    raise ValueError(f"{constant} in a reference")


def differences_of(ours: xr.Dataset, theirs: xr.Dataset) -> Iterator[str]:
    """Names, then each variable."""
    for what, a, b in [("variables", set(ours.variables), set(theirs.variables)), ("coordinates", set(ours.coords), set(theirs.coords)),
                       ("dimensions", named(ours.sizes), named(theirs.sizes)), ("attributes", plain(ours.attrs), plain(theirs.attrs))]:
        if a != b:
            yield f"{what}: {a} is not {b}"
    for name in sorted(set(ours.variables) & set(theirs.variables)):
        yield from (f"{name}: {text}" for text in variable(ours[name].variable, theirs[name].variable))


def variable(ours: xr.Variable, theirs: xr.Variable) -> Iterator[str]:
    """Dimensions, type, attributes and values."""
    if unnumbered(ours.dims) != unnumbered(theirs.dims):
        yield f"dimensions {ours.dims} are not {theirs.dims}"
    a, b = ours.values, theirs.values
    if kind(a) != kind(b):
        yield f"type {a.dtype} is not {b.dtype}"
    elif not same(a, b):
        yield f"values {a.ravel()[:9]} are not {b.ravel()[:9]}"
    for what, x, y in [("attributes", ours.attrs, theirs.attrs), ("encoding", packing(ours), packing(theirs))]:
        if plain(x) != plain(y):
            yield f"{what} {plain(x)} are not {plain(y)}"


def unnumbered(dims: Iterable[str]) -> list[str]:
    """Names of dimensions; h5netcdf numbers anonymous ones otherwise than netCDF-C does, which we follow."""
    return [dim.rstrip("0123456789") if dim.startswith("phony_dim_") else dim for dim in dims]


def named(sizes: Mapping[str, int]) -> dict[str, int]:
    """Lengths of the dimensions that have a name."""
    return {dim: size for dim, size in sizes.items() if not dim.startswith("phony_dim_")}


def kind(values: np.ndarray) -> object:
    """The type without its byte order and padding; text of any length is one type, whatever numpy makes of it."""
    if values.dtype.kind in "UTO" and all(isinstance(value, str) for value in values.ravel()):
        return "text"
    return fields(values.dtype)


def fields(dtype: np.dtype) -> object:
    """A type as its members, however far apart they are and in whatever order."""
    if dtype.names:
        return {name: fields(dtype.fields[name][0]) for name in dtype.names}
    return repr(np.dtype(dtype.newbyteorder("<").str))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal, with NaN equal to NaN."""
    if a.shape != b.shape:
        return False
    if a.dtype.names:
        return all(same(np.asarray(a[name]), np.asarray(b[name])) for name in a.dtype.names)
    if a.dtype.kind in "TOV":
        return all(x == y or (x != x and y != y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fcmM")


def packing(variable: xr.Variable) -> dict:
    """What decoding took from the attributes."""
    names = ["_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "units", "calendar", "coordinates"]
    return {name: variable.encoding[name] for name in names if name in variable.encoding}


def plain(attributes: dict) -> dict:
    """Attributes as JSON has them, where one element of a list is the element."""

    def value(item):
        item = item.tolist() if isinstance(item, np.ndarray | np.generic) else item
        item = item[0] if isinstance(item, list) and len(item) == 1 else item
        item = item.decode() if isinstance(item, bytes) else item
        return "NaN" if isinstance(item, float) and item != item else item

    return {str(name): value(item) for name, item in sorted(attributes.items())}


if __name__ == "__main__":
    sys.exit(main())
