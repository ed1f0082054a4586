#!/usr/bin/env python3
"""The demo behind `just demo`: `landfall dev` on a folder, and files that land in it.

    demo.py LANDFALL             feeds the CMIP6-like series into demo/bronze/cmip6/, slowly and out of order
    demo.py LANDFALL FOLDER      your own files, where they are: nothing is copied

It runs until Ctrl-C. With LANDFALL_DEMO_ONCE=1 it ends by itself: it waits for the dataset to be served, reads it once with
xarray against the files it came from, and exits with 0 when they are equal. LANDFALL_DEMO_PORT (7071) is the port.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SERIES = sorted((HERE.parent / "fixtures" / "cmip6").glob("*.nc"))
PORT = int(os.environ.get("LANDFALL_DEMO_PORT", "7071"))
ONCE = os.environ.get("LANDFALL_DEMO_ONCE") == "1"
PATIENCE = 120  # seconds until a demo that should end by itself has failed


def main() -> int:
    binary, folder = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    demo = ROOT / "demo"
    shutil.rmtree(demo, ignore_errors=True)
    (demo / "bronze").mkdir(parents=True)
    command = [binary, "dev", str(demo), "--port", str(PORT)]
    if folder:
        command += ["--bronze", str(Path(folder).resolve())]
    print("$", " ".join(command), flush=True)
    app = subprocess.Popen(command, stdout=subprocess.PIPE if ONCE else None, text=True)
    if not folder:
        threading.Thread(target=feed, args=(demo / "bronze" / "cmip6",), daemon=True).start()
    return wait_and_read(app, folder) if ONCE else wait(app)


def feed(target: Path) -> None:
    """The three years, last one first, each written in pieces; the first one lands twice."""
    wait_for_port()
    target.mkdir(parents=True, exist_ok=True)
    for path in (SERIES[2], SERIES[0], SERIES[2], SERIES[1]):
        land(path, target / path.name)
        time.sleep(1)


def wait_for_port() -> None:
    """Returns when the app answers, or when it has had time enough."""
    for _ in range(PATIENCE * 10):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                return
        time.sleep(0.1)


def land(source: Path, target: Path) -> None:
    """Writes a file as a slow upload does."""
    data = source.read_bytes()
    piece = len(data) // 8 + 1
    with open(target, "wb") as file:
        for start in range(0, len(data), piece):
            file.write(data[start:start + piece])
            file.flush()
            time.sleep(0.1)


def wait(app: subprocess.Popen) -> int:
    """Until Ctrl-C, which the app gets as well."""
    while True:
        try:
            return app.wait()
        except KeyboardInterrupt:
            continue


def wait_and_read(app: subprocess.Popen, folder: str | None) -> int:
    """Passes the app's lines on until one has the served URL, reads that, and ends the app."""
    killer = threading.Timer(PATIENCE, app.kill)
    killer.start()
    url = None
    for line in app.stdout:
        print(line, end="", flush=True)
        if found := re.search(r"http://[^\s\"']+/api/zarr/[0-9a-f]+/r\d+", line):
            url = found.group()
            break
    # The app must not stop because nobody reads it.
    threading.Thread(target=app.stdout.read, daemon=True).start()
    code = read(url, folder) if url else 1
    if not url:
        print("demo: landfall ended, or was ended after "
              f"{PATIENCE} s, before a dataset was served", file=sys.stderr)
    killer.cancel()
    app.send_signal(signal.SIGTERM)
    app.wait(timeout=20)
    return code


def read(url: str, folder: str | None) -> int:
    """Opens the served dataset; for the demo series also compares it with the files."""
    show = f"import xarray as xr; print(xr.open_zarr({url!r}))"
    code = subprocess.run([sys.executable, "-c", show], check=False).returncode
    if folder or code:
        return code
    command = [sys.executable, str(HERE / "read_with_xarray.py"), "served", url, *map(str, SERIES)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
