#!/usr/bin/env python3
"""Landfall beside kerchunk and VirtualiZarr over HTTP: rounds, requests, bytes and seconds of a cold read, one run.

    remote.py LANDFALL [--latency-ms 20] [--keep FOLDER] [--only day,appended] [--no-peers]

Makes its files (`remote_files.py`), serves them from this machine by a server that waits before each answer, and runs each program
anew for each file, as it starts on a command line or in a function. A round is a link in the longest chain of requests of which
each was sent after the one before had been answered; it is the server that counts. Seconds are those of the whole process and, in
brackets, those between its first request and the last answer, which leaves out what the start of an interpreter costs.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import remote_files

KERCHUNK = """
import json, sys, fsspec, kerchunk.hdf
url, out = sys.argv[1:]
with fsspec.open(url) as f:
    json.dump(kerchunk.hdf.SingleHdf5ToZarr(f, url, error="raise").translate(), open(out, "w"))
"""
VIRTUALIZARR = """
import sys, virtualizarr as vz, virtualizarr.parsers as vp
from obstore.store import HTTPStore
from obspec_utils.registry import ObjectStoreRegistry
url, out = sys.argv[1:]
base = url.rsplit("/", 1)[0]
registry = ObjectStoreRegistry({base: HTTPStore.from_url(base, client_options={"allow_http": True})})
data = vz.open_virtual_dataset(url, parser=vp.HDFParser(), registry=registry, loadable_variables=["time", "lat", "lon"])
data.vz.to_kerchunk(out, format="json")
"""


class Server:
    """A folder over HTTP/1.1 with ranges; every answer waits, and is noted with its times."""

    def __init__(self, folder: Path, latency: float):
        self.folder, self.latency, self.seen = folder, latency, []
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.run(ready)), daemon=True).start()
        ready.wait()

    async def run(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=256)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self.answer((await reader.readuntil(b"\r\n\r\n")).decode("latin1"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(self, request: str, writer: asyncio.StreamWriter) -> None:
        sent, (method, target, _) = time.perf_counter(), request.split("\r\n")[0].split()
        await asyncio.sleep(self.latency)
        status, headers, body = self.part(target, request)
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        if method == "HEAD":
            body = b""
        writer.write(head.encode() + body)
        await writer.drain()
        self.seen.append((sent, time.perf_counter(), len(body)))

    def part(self, target: str, request: str) -> tuple[str, str, bytes]:
        path = self.folder / target.lstrip("/")
        if not path.is_file():
            return "404 Not Found", "", b""
        size, wanted = path.stat().st_size, None
        for line in request.split("\r\n"):
            if line.lower().startswith("range: bytes="):
                wanted = line.split("=", 1)[1]
        headers = f'ETag: "{size:x}"\r\nAccept-Ranges: bytes\r\n'
        if wanted is None:
            return "200 OK", headers, path.read_bytes()
        first, last = wanted.split("-")
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        with path.open("rb") as file:
            file.seek(start)
            body = file.read(end - start)
        return "206 Partial Content", headers + f"Content-Range: bytes {start}-{end - 1}/{size}\r\n", body

    def counted(self) -> dict:
        """What was seen since the last time this was asked."""
        seen, self.seen = self.seen, []
        rounds, last = 0, 0.0
        for sent, answered, _ in sorted(seen, key=lambda one: one[1]):
            if sent >= last:
                rounds, last = rounds + 1, answered
        span = max(one[1] for one in seen) - min(one[0] for one in seen) if seen else 0
        return {"rounds": rounds, "requests": len(seen), "bytes": sum(one[2] for one in seen), "span": span}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("landfall")
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--keep", type=Path, help="folder for the files, kept for the next run")
    parser.add_argument("--only", help="names of files, comma-separated")
    parser.add_argument("--no-peers", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = remote_files.make(folder, args.only.split(",") if args.only else None)
        server = Server(folder, args.latency_ms / 1000)
        for title, path in files.items():
            print(f"\n{title}, {path.stat().st_size / 1e6:.1f} MB, {args.latency_ms:g} ms")
            out = f"{temporary}/out.json"
            for name, argv in programs(args, f"http://127.0.0.1:{server.port}/{path.name}", out).items():
                report(name, argv, out, server)
    return 0


def programs(args: argparse.Namespace, url: str, out: str) -> dict[str, list[str]]:
    ours = {"landfall": [args.landfall, "virtualize", url, "-o", out]}
    peers = {"kerchunk": KERCHUNK, "virtualizarr": VIRTUALIZARR}
    return ours if args.no_peers else {**ours, **{name: [sys.executable, "-c", code, url, out] for name, code in peers.items()}}


def report(name: str, argv: list[str], out: str, server: Server) -> None:
    start = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    wall, cost = time.perf_counter() - start, server.counted()
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [""])[-1]
        print(f"  {name:<14} failed: {reason[:110]}")
        return
    chunks = sum(isinstance(one, list) for one in json.load(open(out))["refs"].values())
    print(f"  {name:<14} {cost['rounds']:5} rounds {cost['requests']:6} requests {cost['bytes'] / 1e6:8.2f} MB "
          f"{wall:7.2f} s ({cost['span']:6.2f} s)  {chunks:6} chunks")


if __name__ == "__main__":
    sys.exit(main())
