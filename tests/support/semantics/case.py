"""What a file of a topic is, and what the files are made with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import netCDF4

CASES: dict[str, dict[str, "Case"]] = {}


@dataclass(frozen=True)
class Case:
    """One file."""

    # Writes it.
    make: Callable[[Path], None]
    # The judges: engines of xarray, or h5py.
    engines: tuple[str, ...] = ("netcdf4",)
    # The groups to compare beside the root.
    groups: tuple[str, ...] = ()
    # What is left out by name.
    without: tuple[str, ...] = ()
    # What `landfall virtualize` is called with.
    flags: tuple[str, ...] = ()
    # The chunk shape of variables that are virtual; None for those that are one plain inlined chunk.
    chunks: dict[str, list[int] | None] = field(default_factory=dict)


def case(topic: str, *engines: str, **options):
    """Registers a function that writes one file, under its name."""

    def register(make: Callable[[Path], None]) -> Callable[[Path], None]:
        CASES.setdefault(topic, {})[make.__name__] = Case(make, engines or ("netcdf4",), **options)
        return make

    return register


def nc(path: Path, **sizes: int | None) -> netCDF4.Dataset:
    """A new NetCDF-4 file with dimensions."""
    dataset = netCDF4.Dataset(path, "w")
    for name, size in sizes.items():
        dataset.createDimension(name, size)
    return dataset


def holey(group: h5py.Group, name: str, dtype: str, fill, values, **options) -> h5py.Dataset:
    """Three chunks of two elements, of which only the first is allocated."""
    dataset = group.create_dataset(name, (6,), dtype, chunks=(2,), fillvalue=fill, **options)
    dataset[:2] = values
    return dataset
