#!/usr/bin/env python3
"""Reads one served dataset with every client there is, unmodified, over https, in both versions of Zarr, openly and with a read
token, and compares what comes with the NetCDF files. Prints a table in Markdown.

    clients.py LANDFALL [--clients xarray,zarr-python,...]

LANDFALL is the program. It is started twice: `landfall dev`, where the demo series lands, and `landfall serve --standalone` beside it
with a certificate that is made here, which lets in only whom it has to. Exit code 0 if every cell is as it should be: each client
reads every store, but GDAL, which has no codec of numcodecs, reads those of v2 alone.
"""

import argparse
import base64
import concurrent.futures
import contextlib
import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERIES = sorted((HERE.parent / "fixtures" / "cmip6").glob("*.nc"))
PATIENCE = 90
STORES = ("v2", "v3", "v2, token", "v3, token")


def main() -> int:
    if sys.argv[1] == "--read":
        return read(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("landfall", type=os.path.abspath)
    parser.add_argument("--clients", default=",".join(CLIENTS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(args.landfall, Path(folder)) as (urls, trust, approve):
        # First what is not public is read with tokens, then what is public without.
        cells = {}
        closed = {name: run("xarray", name, urls[name], trust) for name in STORES[:2]}
        for names in (STORES[2:], STORES[:2]):
            places = [(client, name) for client in args.clients.split(",") for name in names]
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                found = pool.map(lambda place: run(*place, urls[place[1]], trust), places)
                cells |= dict(zip(places, found, strict=True))
            approve()
    print("| client | " + " | ".join(STORES) + " |")
    print("| --- |" + " --- |" * len(STORES))
    for client in args.clients.split(","):
        print(f"| {client} {version_of(client)} | " + " | ".join(cells[client, name] for name in STORES) + " |")
    wrong = [f"{client}, {name}" for (client, name), cell in cells.items()
             if (cell == "reads it") == ((client, name[:2]) in CANNOT)]
    wrong += [f"xarray reads {name} without being let in" for name, cell in closed.items() if cell == "reads it"]
    for cell in wrong:
        print(f"not as it should be: {cell}")
    return 1 if wrong else 0


def run(client: str, store: str, url: str, trust: Path) -> str:
    """What a client of its own process comes to."""
    names = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GDAL_CURL_CA_BUNDLE")
    environment = {**os.environ, **dict.fromkeys(names, str(trust))}
    command = [sys.executable, __file__, "--read", client, store[:2], url]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    said = (done.stdout.strip() or done.stderr.strip() or "nothing").splitlines()[-1]
    return said.replace("|", "/")[:160]


# --- one client ---------------------------------------------------------------------------------


def read(client: str, version: str, url: str) -> int:
    """Reads the store as a client does and says what it came to."""
    import warnings

    warnings.simplefilter("ignore")
    try:
        count, differences = CLIENTS[client](url, version)
    except Exception as error:  # whatever a client raises is the verdict
        print(f"{type(error).__name__}: {error}".split("\n")[0])
        return 1
    print(differences[0] if differences else "reads it" if count else "nothing was compared")
    return 1 if differences else 0


def namespace() -> argparse.Namespace:
    return argparse.Namespace(files=[str(path) for path in SERIES], group=None, concat_dim="time", without="")


def stored(values_of: Callable) -> tuple[int, list[str]]:
    from read_with_others import compare_stored

    return compare_stored(namespace(), values_of)


def through_xarray(url: str, version: str) -> tuple[int, list[str]]:
    """`open_zarr`, which finds out the version by itself."""
    import xarray as xr
    from read_with_xarray import compare_datasets, open_files

    with xr.open_zarr(url, chunks=None) as ours, open_files(namespace()) as theirs:
        if ours.encoding.get("zarr_format", int(version[1])) != int(version[1]):
            return 0, ["it is another version"]
        return compare_datasets(ours, theirs)


def through_zarr(url: str, version: str) -> tuple[int, list[str]]:
    import numpy as np
    import zarr

    root = zarr.open_group(url, mode="r", zarr_format=int(version[1]))
    return stored(lambda name, _: np.asarray(root[name][...]))


def through_obstore(url: str, version: str) -> tuple[int, list[str]]:
    """What TiTiler reads with."""
    import numpy as np
    import obstore
    import zarr

    store = zarr.storage.ObjectStore(obstore.store.from_url(url), read_only=True)
    root = zarr.open_group(store, mode="r", zarr_format=int(version[1]))
    return stored(lambda name, _: np.asarray(root[name][...]))


def through_fsspec(url: str, version: str) -> tuple[int, list[str]]:
    """The bytes of every chunk by a mapping of keys, decoded with numcodecs alone."""
    import fsspec
    import numcodecs
    import numpy as np

    keys = fsspec.get_mapper(url)

    def codecs_of(meta: dict) -> tuple[str, list]:
        if version == "v2":
            found = [*(meta["filters"] or []), *([meta["compressor"]] if meta["compressor"] else [])]
            return meta["dtype"], [numcodecs.get_codec(codec) for codec in found]
        first, *rest = meta["codecs"]
        order = {"big": ">"}.get(first.get("configuration", {}).get("endian"), "<")
        configs = [{"id": codec["name"].removeprefix("numcodecs."), **codec["configuration"]} for codec in rest]
        return np.dtype(meta["data_type"]).newbyteorder(order), [numcodecs.get_codec(config) for config in configs]

    def values_of(name: str, _: np.ndarray) -> np.ndarray:
        meta = json.loads(keys[f"{name}/.zarray" if version == "v2" else f"{name}/zarr.json"])
        kind, codecs = codecs_of(meta)
        chunks = meta["chunks"] if version == "v2" else meta["chunk_grid"]["configuration"]["chunk_shape"]
        out = np.full(meta["shape"], meta["fill_value"] or 0, kind)
        for index in np.ndindex(*(-(-length // chunk) for length, chunk in zip(meta["shape"], chunks))):
            words = [str(number) for number in index]
            key = ".".join(words) or "0" if version == "v2" else "/".join(["c", *words])
            chunk = keys.get(f"{name}/{key}")
            if chunk is None:
                continue
            for codec in reversed(codecs):
                chunk = codec.decode(chunk)
            block = np.frombuffer(chunk, kind).reshape(chunks)
            place = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks))
            out[place] = block[tuple(slice(0, n) for n in out[place].shape)]
        return out

    return stored(values_of)


def through_gdal(url: str, version: str) -> tuple[int, list[str]]:
    """rasterio's GDAL over /vsicurl, which shows grids."""
    import rasterio

    def values_of(name: str, theirs):
        if theirs.ndim < 3:
            return None
        with rasterio.open(f'ZARR:"/vsicurl/{url}":/{name}') as raster:
            return raster.read().reshape(theirs.shape)

    return stored(values_of)


def through_zarrita(url: str, version: str) -> tuple[int, list[str]]:
    """A browser's reader, in Node."""
    import numpy as np

    script = HERE / "node" / "zarrita_store.mjs"
    done = subprocess.run(["node", script, node_folder(), url, version], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(next((line for line in done.stderr.splitlines() if "Error" in line or "error" in line), done.stderr))
    arrays = map(json.loads, done.stdout.splitlines())
    values = {array["path"]: np.frombuffer(base64.b64decode(array["values"]), array["type"]).reshape(array["shape"])
              for array in arrays}
    return stored(lambda name, _: values[name])


def through_titiler(url: str, version: str) -> tuple[int, list[str]]:
    """The opener of `titiler.xarray`, and a tile of a variable by its reader, in the environment of TiTiler."""
    code = """
import json, sys
import xarray as xr
from rio_tiler.io.xarray import XarrayReader
from titiler.xarray.io import Reader, get_variable
url, file = sys.argv[1:]
with Reader(url, variable="tas", decode_times=False) as reader:
    ours = reader.tile(0, 0, 0, indexes=1)
theirs = XarrayReader(get_variable(xr.open_dataset(file, decode_times=False, decode_coords="all"), "tas")).tile(0, 0, 0, indexes=1)
same = (ours.array == theirs.array).all() and bool((ours.mask == theirs.mask).all())
print(json.dumps([1, [] if same else ["the tile differs from the file's"]]))
"""
    python = os.environ.get("LANDFALL_TEST_TITILER_PYTHON", str(HERE.parent.parent / ".venv/titiler/bin/python"))
    done = subprocess.run([python, "-W", "ignore", "-c", code, url, str(SERIES[0])], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    count, differences = json.loads(done.stdout)
    return count, differences


CLIENTS = {
    "xarray": through_xarray, "zarr-python": through_zarr, "obstore": through_obstore, "fsspec": through_fsspec,
    "GDAL": through_gdal, "zarrita": through_zarrita, "titiler.xarray": through_titiler,
}
# GDAL 3.12 has no codec of numcodecs (its issue 14917).
CANNOT = {("GDAL", "v3")}


def version_of(client: str) -> str:
    """The version that was tried."""
    if client == "GDAL":
        import rasterio

        return rasterio.__gdal_version__
    if client == "zarrita":
        return json.loads((Path(node_folder()) / "node_modules/zarrita/package.json").read_text())["version"]
    if client == "titiler.xarray":
        line = (HERE / "titiler.txt").read_text().split("titiler.xarray==")[1]
        return line.split()[0]
    return importlib.metadata.version({"zarr-python": "zarr"}.get(client, client))


def node_folder() -> str:
    return os.environ.get("LANDFALL_TEST_NODE_FOLDER", str(HERE.parent.parent / ".venv/node"))


# --- the server ---------------------------------------------------------------------------------


@contextlib.contextmanager
def served(landfall: str, folder: Path) -> Iterator[tuple[dict[str, str], Path, Callable[[], None]]]:
    """The addresses of the stores, what to trust, and a way to approve the Release for the public."""
    dev_port, port = free_port(), free_port()
    server = f"https://127.0.0.1:{port}"
    root = folder / "data"
    make_certificates(folder)
    settings = {**os.environ, "LANDFALL_PUBLIC_URL": server}
    dev = subprocess.Popen([landfall, "dev", str(root), "--port", str(dev_port), "--quiet-period", "PT2S", "--json"],
                           env=settings, stdout=subprocess.DEVNULL)
    database = root / "landfall.db"
    settings |= {"LANDFALL_BRONZE_DIR": str(root / "bronze"), "LANDFALL_SILVER_DIR": str(root / "silver"),
                 "LANDFALL_DATABASE": str(database)}
    standalone = None
    try:
        release = land(f"http://127.0.0.1:{dev_port}", root / "bronze" / "demo")
        standalone = subprocess.Popen(
            [landfall, "serve", "--standalone", "--listen", f"127.0.0.1:{port}", "--tls-cert", str(folder / "cert.pem"),
             "--tls-key", str(folder / "key.pem")], env=settings, stdout=subprocess.DEVNULL)
        token = subprocess.run([landfall, "token", release, "--expires-in", "PT1H", "--server", f"http://127.0.0.1:{dev_port}"],
                               check=True, capture_output=True, text=True).stdout.strip()
        plain = f"{server}/api/zarr/{release}/r1"
        urls = dict(zip(STORES, (plain, f"{plain}/~v3", token, f"{token}/~v3")))
        wait(lambda: reachable(port))
        yield urls, folder / "ca.pem", lambda: approve(f"http://127.0.0.1:{dev_port}", release)
    finally:
        for process in filter(None, (standalone, dev)):
            process.terminate()
            process.wait(30)


def land(server: str, target: Path) -> str:
    """Lets the demo series land and gives the id of its Release once it is published."""
    wait(lambda: ask(f"{server}/api/livez") is not None)
    target.mkdir(parents=True)
    for path in SERIES:
        (target / path.name).write_bytes(path.read_bytes())

    def published() -> str | None:
        releases = (ask(f"{server}/api/releases") or {}).get("releases", [])
        return next((release["release_id"] for release in releases if release["blob_path"]), None)

    return wait(published)


def ask(url: str) -> dict | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def wait(what: Callable):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.2)
    raise TimeoutError("the series is not served")


def approve(server: str, release: str) -> None:
    """Approves the Release for the public; once is enough."""
    body = json.dumps({"release_id": release, "reviewer": "ada@example.org", "clearance_state": "public"}).encode()
    request = urllib.request.Request(f"{server}/api/platform/approve", body, {"content-type": "application/json"})
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request).read()


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_certificates(folder: Path) -> None:
    """`ca.pem`, and `cert.pem` with `key.pem` for this machine. Python 3.13 insists on the identifiers and usages."""
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n")
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=landfall-test"]
    for command in (
            [*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign"],
            [*new, "-keyout", "key.pem", "-out", "cert.csr"],
            ["openssl", "x509", "-req", "-in", "cert.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
             "-extfile", "extensions", "-out", "cert.pem"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
