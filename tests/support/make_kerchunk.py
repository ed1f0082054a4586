"""References of kerchunk for a series: make_kerchunk.py FOLDER FILE… writes kerchunk_one.json and kerchunk_all.json."""

import json
import sys
import warnings
from pathlib import Path

from kerchunk.combine import MultiZarrToZarr
from kerchunk.hdf import SingleHdf5ToZarr

warnings.simplefilter("ignore")
folder, files = Path(sys.argv[1]), sys.argv[2:]
single = []
for file in files:
    with open(file, "rb") as opened:
        single.append(SingleHdf5ToZarr(opened, file, inline_threshold=300).translate())
joined = MultiZarrToZarr(
    single,
    remote_protocol="file",
    concat_dims=["time"],
    identical_dims=["lat", "lon", "lat_bnds", "lon_bnds", "height"],
    coo_map={"time": "cf:time"},
)
for name, refs in [("kerchunk_one", single[0]), ("kerchunk_all", joined.translate())]:
    (folder / f"{name}.json").write_text(json.dumps(refs))
