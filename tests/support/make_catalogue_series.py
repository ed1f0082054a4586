"""Series for the catalogue: `make_catalogue_series.py FOLDER`.

`global/`: three files of four days each, a whole Earth of latitudes and longitudes from 0 to 360.
`thirty/`: two files of thirty days each in the calendar `360_day`, the last on 30 February.
`nowhere/`: one file of a time series that does not say where it was taken.
"""

import sys
from pathlib import Path

import netCDF4
import numpy as np

EPOCH = "days since 2000-01-01"


def create(file: Path, calendar: str, days: np.ndarray) -> netCDF4.Dataset:
    """A file with its axis of time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset = netCDF4.Dataset(file, "w")
    dataset.Conventions = "CF-1.10"
    dataset.createDimension("time", None)
    time = dataset.createVariable("time", "f8", ("time",))
    time.setncatts({"units": EPOCH, "calendar": calendar, "standard_name": "time", "axis": "T"})
    time[:] = days
    return dataset


def write_map(file: Path, calendar: str, days: np.ndarray, size: int) -> None:
    """Temperatures of the whole Earth, a chunk a day, stored as archives do."""
    with create(file, calendar, days) as dataset:
        dataset.license = "Creative Commons Attribution 4.0 International"
        dataset.createDimension("bnds", 2)
        step = 180 / size
        axes = {
            "lat": (np.arange(size) * step - 90 + step / 2, "degrees_north", "latitude"),
            "lon": (np.arange(2 * size) * step + step / 2, "degrees_east", "longitude"),
        }
        for name, (values, units, standard_name) in axes.items():
            dataset.createDimension(name, len(values))
            axis = dataset.createVariable(name, "f8", (name,))
            axis.setncatts({"units": units, "standard_name": standard_name, "bounds": f"{name}_bnds"})
            axis[:] = values
            bounds = dataset.createVariable(f"{name}_bnds", "f8", (name, "bnds"))
            bounds[:] = np.stack([values - step / 2, values + step / 2], axis=1)
        tas = dataset.createVariable(
            "tas", "f4", ("time", "lat", "lon"), zlib=True, shuffle=True, fill_value=1e20, chunksizes=(1, size, 2 * size)
        )
        tas.setncatts({"units": "K", "standard_name": "air_temperature", "long_name": "Near-Surface Air Temperature"})
        lat, lon = (np.deg2rad(axes[name][0]) for name in ("lat", "lon"))
        wave = np.cos(lat)[None, :, None] * np.sin(3 * lon[None, None, :] + days[:, None, None])
        tas[:] = 250 + 45 * np.cos(lat)[None, :, None] + 5 * wave


def write_station(file: Path) -> None:
    """A series of one instrument, without a word on where it stands."""
    with create(file, "standard", np.arange(10.0)) as dataset:
        level = dataset.createVariable("level", "f4", ("time",))
        level.units = "m"
        level[:] = np.linspace(0, 1, 10)


def make(root: Path) -> None:
    """All three."""
    for part in range(3):
        write_map(root / f"global/tas_{part}.nc", "standard", np.arange(4.0) + 4 * part, 36)
    for part in range(2):
        write_map(root / f"thirty/tas_{part}.nc", "360_day", np.arange(30.0) + 30 * part, 6)
    write_station(root / "nowhere/level.nc")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
