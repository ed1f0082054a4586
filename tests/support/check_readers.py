#!/usr/bin/env python3
"""Shows that `read_with_xarray.py` passes what is right and fails what is not, without Landfall.

kerchunk makes the references: of one file, and of the demo series joined. Each must pass as it is, and
fail once a chunk, a codec, an attribute, a fill value, the time axis or a variable was changed in it.
"""

import base64
import copy
import functools
import http.server
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from kerchunk.combine import MultiZarrToZarr
from kerchunk.hdf import SingleHdf5ToZarr

from read_with_xarray import judge

HERE = Path(__file__).resolve().parent
SERIES = sorted((HERE.parent / "fixtures" / "cmip6").glob("*.nc"))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        one = SingleHdf5ToZarr(str(SERIES[0]), inline_threshold=0).translate()
        null_fill(one["refs"])
        joined = MultiZarrToZarr(
            [SingleHdf5ToZarr(str(path), inline_threshold=0).translate() for path in SERIES], concat_dims=["time"],
            identical_dims=["lat", "lon", "lat_bnds", "lon_bnds", "height"]).translate()
        null_fill(joined["refs"])
        drop_conflicts(joined["refs"])
        failures = [*check("raw", one, SERIES[:1], out), *check("kerchunk", one, SERIES[:1], out),
                    *check("kerchunk", joined, SERIES, out), *check_served(one, out),
                    *check_exit_code(one, out)]
    for failure in failures:
        print(failure)
    print(f"readers: {'ok' if not failures else 'NOT ok'}")
    return 1 if failures else 0


def null_fill(refs: dict) -> None:
    """Puts right what kerchunk gets wrong: netCDF's default fill value stands in `.zarray` as if it were CF's."""
    for key in [key for key in refs if key.endswith("/.zarray")]:
        attrs, meta = json.loads(refs[key.replace(".zarray", ".zattrs")]), json.loads(refs[key])
        if "_FillValue" not in attrs and key != "tas/.zarray":
            refs[key] = json.dumps(meta | {"fill_value": None})


def drop_conflicts(refs: dict) -> None:
    """The joined files differ in `tracking_id` and in `history`, of which the first is kept."""
    attrs = json.loads(refs[".zattrs"])
    attrs.pop("tracking_id")
    refs[".zattrs"] = json.dumps(attrs)


def run_alone(path: Path, files: list[Path]) -> int:
    """The exit code of the program as the tests run it."""
    command = [sys.executable, str(HERE / "read_with_xarray.py"), "raw", str(path), *map(str, files)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


# --- what a wrong reference looks like -----------------------------------------------------------


def swapped(refs: dict) -> None:
    """Two chunks stand in each other's place."""
    refs["tas/2.0.0"], refs["tas/3.0.0"] = refs["tas/3.0.0"], refs["tas/2.0.0"]


def dropped(refs: dict) -> None:
    """A chunk is not there, so it reads as fill."""
    del refs["tas/1.0.0"]


def without_variable(refs: dict) -> None:
    """A variable is missing."""
    for key in [key for key in refs if key.startswith("lat_bnds/")]:
        del refs[key]


def wrong_codec(refs: dict) -> None:
    """The bytes stay shuffled."""
    meta = json.loads(refs["tas/.zarray"])
    meta["filters"] = [item for item in meta["filters"] or [] if item["id"] != "shuffle"]
    refs["tas/.zarray"] = json.dumps(meta)


def wrong_fill(refs: dict) -> None:
    """A value that occurs is taken for missing."""
    meta = json.loads(refs["height/.zarray"])
    meta["fill_value"] = 2.0
    refs["height/.zarray"] = json.dumps(meta)


def wrong_attribute(refs: dict) -> None:
    """A unit changes."""
    attrs = json.loads(refs["tas/.zattrs"])
    attrs["units"] = "degC"
    refs["tas/.zattrs"] = json.dumps(attrs)


def late_by_a_day(refs: dict) -> None:
    """The reference date of time moves."""
    attrs = json.loads(refs["time/.zattrs"])
    attrs["units"] = attrs["units"].replace("-01-01", "-01-02")
    refs["time/.zattrs"] = json.dumps(attrs)


def one_bit(refs: dict) -> None:
    """The last bit of an inlined latitude."""
    value = refs["lat/0"]
    raw = base64.b64decode(value[7:]) if isinstance(value, str) else read_range(value)
    values = np.frombuffer(raw, "<f8").copy()
    values[0] = np.nextafter(values[0], 0)
    refs["lat/0"] = "base64:" + base64.b64encode(values.tobytes()).decode()


def read_range(entry: list) -> bytes:
    """The bytes that a reference points at."""
    with open(entry[0], "rb") as file:
        file.seek(entry[1])
        return file.read(entry[2])


STORED: list[Callable[[dict], None]] = [swapped, dropped, without_variable, wrong_codec, one_bit]
DECODED = [*STORED, wrong_fill, wrong_attribute, late_by_a_day]


def check(reader: str, reference: dict, files: list[Path], out: Path) -> list[str]:
    """What goes wrong with one reference: it must pass, and each mutation of it must fail."""
    path, failures = write(reference, out), []
    verdict = judge([reader, str(path), *map(str, files)])
    if not verdict["ok"]:
        failures.append(f"{reader} refuses a right reference: {verdict['differences']}")
    for mutate in STORED if reader == "raw" else DECODED:
        changed = copy.deepcopy(reference)
        mutate(changed["refs"])
        if judge([reader, str(write(changed, out)), *map(str, files)])["ok"]:
            failures.append(f"{reader} passes {mutate.__name__}: {mutate.__doc__}")
    return failures


def write(reference: dict, out: Path) -> Path:
    """A file of its own for each reference, because fsspec remembers what stood under a name."""
    path = out / f"{len(list(out.iterdir()))}.json"
    path.write_text(json.dumps(reference))
    return path


def check_exit_code(reference: dict, out: Path) -> list[str]:
    """The program says with its exit code what it says in its verdict."""
    changed = copy.deepcopy(reference)
    swapped(changed["refs"])
    codes = [run_alone(write(refs, out), SERIES[:1]) for refs in (reference, changed)]
    return [] if codes == [0, 1] else [f"exit codes are {codes} instead of [0, 1]"]


def check_served(reference: dict, out: Path) -> list[str]:
    """Over HTTP: the reference itself, a Zarr store, and that store with a chunk missing."""
    with xr.open_dataset(SERIES[0], decode_cf=False) as ds:
        encoding = {name: {"_FillValue": None} for name in ds.variables if name != "tas"}
        for name in ("right", "wrong"):
            ds.to_zarr(out / name, zarr_format=2, consolidated=True, encoding=encoding)
    (out / "wrong" / "tas" / "0.0.0").unlink()
    document = write(reference, out).name
    handler = functools.partial(QuietHandler, directory=out)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        verdicts = {
            (reader, name): judge([reader, f"http://127.0.0.1:{server.server_port}/{name}", str(SERIES[0])])
            for reader, name in [("served", "right"), ("served", "wrong"), ("kerchunk", document), ("raw", document)]}
        server.shutdown()
    return [f"{reader} of {name} over http: {verdict['differences']}" for (reader, name), verdict in verdicts.items()
            if verdict["ok"] == (name == "wrong")]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


if __name__ == "__main__":
    sys.exit(main())
