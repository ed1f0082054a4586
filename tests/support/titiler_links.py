#!/usr/bin/env python3
"""Follows the TiTiler links of a published item to an unmodified `titiler.xarray`, which this starts, and compares what comes with
what rio-tiler makes of the NetCDF file.

    titiler_links.py ITEM BASE FILE

ITEM is a STAC item in a JSON file, BASE the address that its TiTiler links begin with, FILE the NetCDF file of its first step. The
certificate authority of the store is in SSL_CERT_FILE. Prints a JSON line once every link was answered and was right; then waits
for a line on its standard input, follows the links again, which must fail now, and prints another. TiTiler keeps what it knows of a
store in memory for as long as it runs: there, links that need no data may still tell of it; one that is started anew must fail on
them all. Exit code 0 if all was so.
"""

import contextlib
import io
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import xarray as xr
from rio_tiler.io.xarray import XarrayReader
from titiler.xarray.io import get_variable

TILES = [(0, 0, 0), (1, 1, 0), (2, 0, 1), (3, 7, 5)]
POINTS = [(10.0, 50.0), (-120.5, -33.25), (179.0, 0.0)]
PATIENCE = 90
# Links that need chunks, and those that need only what TiTiler keeps of a store. The page of the map asks for nothing itself.
DATA = ("tiles", "point")
METADATA = ("info", "tilejson")


def main() -> int:
    item_path, base, file = sys.argv[1:]
    with open(item_path) as text:
        item = json.load(text)
    links = {link["rel"]: link["href"] for link in item["links"] if link["href"].startswith(base)}
    with titiler(f"{item_path}.titiler.log") as server:
        urls = {rel: href.replace(base, server) for rel, href in links.items()}
        if not tell(links, all_right(urls, file)):
            return 1
        sys.stdin.readline()
        found = all_fail(urls, DATA)
    with titiler(f"{item_path}.titiler.log") as server:
        found += all_fail({rel: href.replace(base, server) for rel, href in links.items()}, DATA + METADATA)
    return 0 if tell(links, found) else 1


def tell(links: dict[str, str], found: list[str]) -> bool:
    """Says what was found, and whether that was nothing."""
    print(json.dumps({"ok": not found, "links": sorted(links), "differences": found}), flush=True)
    return not found


@contextlib.contextmanager
def titiler(log: str) -> Iterator[str]:
    """An app that runs, by its address."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "titiler.xarray.main:app", "--host", "127.0.0.1", "--port", str(port)]
    with open(log, "a") as output:
        app = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz", app)
        yield f"http://127.0.0.1:{port}"
    finally:
        app.terminate()
        app.wait(20)


def all_right(urls: dict[str, str], file: str) -> list[str]:
    """What a published item promises."""
    if sorted(urls) != ["info", "point", "tilejson", "tiles", "viewer"]:
        return [f"the links are {sorted(urls)}"]
    with xr.open_dataset(file, decode_times=False, decode_coords="all") as ds:
        reader = XarrayReader(get_variable(ds, "tas").load())
    found = []
    status, kind, body = get(fill(urls["tiles"], 0, 0, 0))
    if (status, kind, body[:8]) != (200, "image/png", b"\x89PNG\r\n\x1a\n"):
        found.append(f"the tile is {status} {kind}")
    for z, x, y in TILES:
        status, _, body = get(values_of(fill(urls["tiles"], z, x, y)))
        if status != 200:
            found.append(f"tile {z}/{x}/{y} is {status}: {body[:300]}")
            continue
        theirs = reader.tile(x, y, z, indexes=1)
        ours = np.load(io.BytesIO(body))
        expected = np.concatenate([theirs.data, theirs.mask[np.newaxis].astype(theirs.data.dtype)])
        if ours.shape != expected.shape or not np.array_equal(ours, expected, equal_nan=True):
            found.append(f"tile {z}/{x}/{y} differs from rio-tiler's: {ours.shape} {ours.ravel()[:3]}, {expected.shape} {expected.ravel()[:3]}")
        elif not np.isfinite(ours[0][ours[1] > 0]).all() or np.ptp(ours[0][ours[1] > 0]) == 0:
            found.append(f"tile {z}/{x}/{y} shows nothing")
    for lon, lat in POINTS:
        status, _, body = get(urls["point"].replace("{lon}", str(lon)).replace("{lat}", str(lat)))
        expected = [float(value) for value in reader.point(lon, lat, indexes=1).data]
        if status != 200 or json.loads(body)["values"] != expected:
            found.append(f"the point {lon},{lat} is {status} {body[:300]}, in the file {expected}")
    for rel, part in [("info", b"tas"), ("tilejson", b"tilejson"), ("viewer", b"<html")]:
        status, _, body = get(urls[rel])
        if status != 200 or part not in body:
            found.append(f"{rel} is {status}: {body[:300]}")
    return found


def values_of(tile: str) -> str:
    """The numbers behind a picture: without the shades that the link gives them."""
    address, query = tile.replace(".png?", ".npy?").split("?")
    shades = ("rescale=", "colormap_name=")
    return f"{address}?{'&'.join(part for part in query.split('&') if not part.startswith(shades))}"


def all_fail(urls: dict[str, str], rels: tuple[str, ...]) -> list[str]:
    """What was taken back: an error for each, and never a picture or a number."""
    tiles = [fill(urls["tiles"], z, x, y) for z, x, y in TILES]
    asked = {
        "tiles": [*tiles, *map(values_of, tiles)],
        "point": [urls["point"].replace("{lon}", str(lon)).replace("{lat}", str(lat)) for lon, lat in POINTS]}
    found = []
    for url in (url for rel in rels for url in asked.get(rel, [urls[rel]])):
        status, kind, body = get(url)
        if status < 400:
            found.append(f"{url.split('?')[0]} is still {status} {kind}: {body[:200]!r}")
    return found


def fill(template: str, z: int, x: int, y: int) -> str:
    return template.replace("{z}", str(z)).replace("{x}", str(x)).replace("{y}", str(y))


def get(url: str) -> tuple[int, str, bytes]:
    """Status, media type and body."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read()


def wait_for(url: str, app: subprocess.Popen) -> None:
    """Returns once the app answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and app.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("titiler.xarray does not start")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
