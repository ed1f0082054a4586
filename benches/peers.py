#!/usr/bin/env python3
"""Landfall beside kerchunk and VirtualiZarr: whole processes, processor seconds and peak memory, one run, as a Markdown table.

    peers.py LANDFALL [--files 200] [--long 0] [--rounds 5] [--only TEXT] [--alone TEXT]

Its files are those of make_inputs.py, in a temporary folder. Each program starts anew for each case, as it does on a command line or
in a function; the least processor time of the rounds counts (fewer rounds where one takes long) and the most memory. Wall time is
left out: it says more about the machine's neighbours. With `--files 1000` the peers take a minute a case. `--long 2740` adds a
series of a million chunks, where they take many minutes and gigabytes: `--alone long` leaves them out there.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import measure

KERCHUNK = """
import json, sys, kerchunk.hdf
from kerchunk.combine import MultiZarrToZarr
out, files = sys.argv[1], sys.argv[2:]
read = lambda f: json.load(open(f)) if f.endswith(".json") else kerchunk.hdf.SingleHdf5ToZarr(f, error="raise").translate()
one = [read(f) for f in files]
if len(one) > 1:
    one = [MultiZarrToZarr(one, concat_dims=["time"], identical_dims=["lat", "lon"], remote_protocol="file").translate()]
json.dump(one[0], open(out, "w"))
"""
VIRTUALIZARR = """
import sys, virtualizarr as vz, virtualizarr.parsers as vp, xarray as xr
from obstore.store import LocalStore
from obspec_utils.registry import ObjectStoreRegistry
out, files = sys.argv[1], sys.argv[2:]
registry = ObjectStoreRegistry({"file://": LocalStore()})
parser = vp.KerchunkJSONParser() if files[0].endswith(".json") else vp.HDFParser()
parts = [vz.open_virtual_dataset("file://" + f, parser=parser, registry=registry) for f in files]
joined = parts[0] if len(parts) == 1 else xr.concat(
    parts, dim="time", data_vars="minimal", coords="minimal", compat="override", join="override", combine_attrs="override")
joined.vz.to_kerchunk(out, format="json")
"""
PEERS = {"kerchunk": KERCHUNK, "VirtualiZarr": VIRTUALIZARR}
# A case is not repeated once its rounds have taken this much processor time.
ENOUGH = 8.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("landfall")
    parser.add_argument("--files", type=int, default=200, help="files of the long series")
    parser.add_argument("--long", type=int, default=0, help="files of 365 chunks of the longest series")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", default="-", help="the cases whose title has this text are run without the peers")
    parser.add_argument("--only", default="", help="only the cases whose title has this text")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = Path(__file__).with_name("make_inputs.py")
        sizes = ["--months", str(args.files), "--long", str(args.long)]
        subprocess.run([sys.executable, make, folder, *sizes], check=True)
        print("| case | Landfall | kerchunk | VirtualiZarr | faster peer |\n| --- | --- | --- | --- | --- |")
        for title, command, files in cases(folder):
            if args.only in title:
                commands = list(programs(args.landfall, command, files, folder))
                report(title, commands[:1] if args.alone in title else commands, folder, args.rounds)
    return 0


def cases(folder: Path):
    """Title, Landfall's command, and the inputs of each case."""
    years, months = (sorted(map(str, (folder / name).iterdir())) for name in ("year", "month"))
    yield "one file, 365 chunks", ["virtualize"], years[:1]
    for kind in ("btree1", "btree2", "earray", "farray"):
        file = folder / "indexed" / f"{kind}.nc"
        yield f"one file, 200 000 chunks, {kind}", ["virtualize"], [str(file)]
    for title, files in ((f"{len(years)} files of 365 chunks to one", years), (f"{len(months)} files of 12 chunks to one", months)):
        yield title, ["combine", "--no-verify"], files
        yield f"{title}, verified", ["combine"], files
    yield f"{len(months)} references to one", ["combine", "--no-verify"], months
    if (folder / "long").is_dir():
        files = sorted(map(str, (folder / "long").iterdir()))
        title = f"long series, {len(files)} files, {365 * len(files)} chunks to one"
        yield title, ["combine", "--no-verify"], files
        yield f"{title}, verified", ["combine"], files


def programs(landfall: str, command: list[str], files: list[str], folder: Path):
    """The command line of each program by its name; {out} stands for its output."""
    yield "Landfall", [landfall, *command, *files, "-o", "{out}"]
    for name, code in PEERS.items():
        yield name, [sys.executable, "-c", code, "{out}", *files]


def report(title: str, commands, folder: Path, rounds: int) -> None:
    """Prints one row of the table."""
    cells, seconds = [], []
    for name, argv in commands:
        # What neither peer does.
        if "verified" in title and name != "Landfall":
            cells.append("–")
            continue
        if "references" in title:
            argv = own_references(name, argv, folder)
        try:
            cpu, memory = repeat([word.replace("{out}", f"{folder}/out.json") for word in argv], rounds)
        except RuntimeError as error:
            if name == "Landfall":
                raise
            print(f"{title}: {name}: {error}", file=sys.stderr)
            cells.append("fails")
            continue
        assert json.loads((folder / "out.json").read_bytes())["refs"]
        cells.append(f"{cpu:.3f} s, {memory:.0f} MB")
        seconds.append(cpu)
    cells += ["–"] * (len(PEERS) + 1 - len(cells))
    ratio = f"{min(seconds[1:]) / seconds[0]:.0f} ×" if seconds[1:] else "–"
    print(f"| {title} | {' | '.join(cells)} | {ratio} |", flush=True)


def repeat(argv: list[str], rounds: int) -> tuple[float, float]:
    """The least processor time and the most memory of some rounds."""
    done: list[tuple[float, float]] = []
    while len(done) < rounds and sum(cpu for cpu, _ in done) < ENOUGH:
        done.append(measure(argv))
    return min(cpu for cpu, _ in done), max(memory for _, memory in done)


def own_references(name: str, argv: list[str], folder: Path) -> list[str]:
    """The same command over the references of the files, which the program itself writes first, unmeasured."""
    target = folder / f"references of {name}"
    files = [word for word in argv if word.endswith(".nc")]
    references = {file: str(target / f"{Path(file).stem}.json") for file in files}
    target.mkdir()
    if name == "Landfall":
        subprocess.run([argv[0], "virtualize", *files, "-o", target], check=True, stdout=subprocess.DEVNULL)
    else:
        # Once for all files: an interpreter a file would take minutes.
        code = PEERS[name].split("out, files")[0] + ONE_BY_ONE[name]
        subprocess.run([sys.executable, "-c", code, target, *files], check=True)
    return [references.get(word, word) for word in argv]


ONE_BY_ONE = {
    "kerchunk": """
for f in sys.argv[2:]:
    name = sys.argv[1] + "/" + f.rsplit("/", 1)[1].replace(".nc", ".json")
    json.dump(kerchunk.hdf.SingleHdf5ToZarr(f, error="raise").translate(), open(name, "w"))
""",
    "VirtualiZarr": """
registry = ObjectStoreRegistry({"file://": LocalStore()})
for f in sys.argv[2:]:
    name = sys.argv[1] + "/" + f.rsplit("/", 1)[1].replace(".nc", ".json")
    vz.open_virtual_dataset("file://" + f, parser=vp.HDFParser(), registry=registry).vz.to_kerchunk(name, format="json")
""",
}

if __name__ == "__main__":
    sys.exit(main())
