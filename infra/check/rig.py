"""The app's own log lines for the conditions that alerts are about: a handler over folders is driven as the host drives it.

Each scenario is lines as the host would take them from the handler's output. Times and numbers that would take minutes to come
about are set afterwards, where a scenario says so; names and words are the app's.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from repository import ROOT

SERIES = sorted((ROOT / "tests/fixtures/cmip6").glob("*.nc"))
PATIENCE = 30


class Handler:
    """A running `landfall serve` over the folders of a rig."""

    def __init__(self, program, folder, **settings):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.output = folder / f"log-{self.port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LANDFALL_")}
        environment = {
            **kept,
            "FUNCTIONS_CUSTOMHANDLER_PORT": str(self.port),
            "LANDFALL_BRONZE_DIR": str(folder / "bronze"),
            "LANDFALL_SILVER_DIR": str(folder / "silver"),
            "LANDFALL_DATABASE": str(folder / "landfall.db"),
            "LANDFALL_LEASE": "PT1S",
            "LANDFALL_STUCK_AFTER": "PT0S",
            **settings,
        }
        with self.output.open("w") as output:
            self.process = subprocess.Popen([program, "serve"], env=environment, stdout=output, stderr=subprocess.DEVNULL)
        self.wait_for('"message":')

    def lines(self):
        return [line for line in self.output.read_text().splitlines() if line]

    def wait_for(self, text):
        end = time.monotonic() + PATIENCE
        while not any(text in line for line in self.lines()):
            if time.monotonic() > end or self.process.poll() not in (None, 0):
                raise RuntimeError(f"the app never said {text}: {self.lines()[-3:]}")
            time.sleep(0.02)

    def send(self, path, body, method="POST"):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)


class Rig:
    """Folders and a ledger that handlers come and go over."""

    def __init__(self, program):
        self.program, self.handlers, self.sequence = program, [], 0
        self.folder = Path(tempfile.mkdtemp(prefix="landfall-infra-"))
        for name in ("bronze", "silver"):
            (self.folder / name).mkdir()

    def start(self, **settings):
        self.handlers.append(Handler(self.program, self.folder, **settings))
        return self.handlers[-1]

    def lines(self):
        return [line for handler in self.handlers for line in handler.lines()]

    def ledger(self, statement):
        with contextlib.closing(sqlite3.connect(self.folder / "landfall.db", timeout=PATIENCE)) as database:
            found = database.execute(statement).fetchall()
            database.commit()
            return found

    def put(self, name, content):
        target = self.folder / "bronze" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)

    def land(self, name, content):
        """Puts a file and delivers its event."""
        self.put(name, content)
        self.announce(name)

    def announce(self, name):
        self.sequence += 1
        stat = (self.folder / "bronze" / name).stat()
        event = {
            "id": str(self.sequence),
            "eventType": "Microsoft.Storage.BlobCreated",
            "topic": "/subscriptions/S/resourceGroups/R/providers/Microsoft.Storage/storageAccounts/local",
            "subject": f"/blobServices/default/containers/bronze/blobs/{name}",
            "data": {"api": "PutBlob", "contentLength": stat.st_size},
        }
        self.handlers[-1].send("/BlobEvent", {"Data": {"event": event}})

    def submit(self, dataset, count):
        options = {"expected": {"count": count}}
        body = {"dataset_id": dataset, "resource_id": "r", "source_url": f"abfs://bronze/{dataset}/", "processing_options": options}
        answer = self.handlers[-1].send("/api/platform/submit", body)
        assert answer["success"], answer
        return answer["release_id"]

    def message(self, dataset):
        """The message that has the series of a dataset combined."""
        release = "SELECT release_id FROM app_asset_releases JOIN app_assets USING (asset_id) WHERE dataset_id = "
        [(group, generation)] = self.ledger(f"SELECT id, generation FROM landfall_source_group WHERE release_id = ({release}'{dataset}')")
        return {"Data": {"msg": {"group_id": group, "generation": generation}}}

    def series(self, dataset, files):
        """Declares and lands a series; what is left is its combine."""
        release = self.submit(dataset, len(files))
        for number, file in enumerate(files):
            self.land(f"{dataset}/{number}.nc", file.read_bytes())
        return release

    def combine(self, dataset):
        return self.handlers[-1].send("/CombineDue", self.message(dataset))

    def end(self):
        for handler in self.handlers:
            handler.stop()
        shutil.rmtree(self.folder)


def healthy(rig):
    rig.start()
    rig.series("healthy", SERIES)
    rig.combine("healthy")


def rejected(rig):
    rig.start()
    rig.land("bad/0.nc", b"not a NetCDF file, whatever its name says")


def blocked(rig):
    rig.start()
    rig.series("twice", [SERIES[0], SERIES[0]])
    rig.combine("twice")


def over_budget(rig):
    rig.start(LANDFALL_MEMORY_MB="1")
    rig.series("large", SERIES)
    rig.combine("large")


def superseded(rig):
    rig.start()
    rig.series("moved", SERIES)
    rig.put("moved/1.nc", SERIES[1].read_bytes() + b"\0")
    rig.combine("moved")


def source_changed(rig):
    handler = rig.start()
    release = rig.series("approved", SERIES)
    rig.combine("approved")
    answer = handler.send("/api/platform/approve", {"release_id": release, "reviewer": "r@example.org", "clearance_state": "ouo"})
    assert answer["success"], answer
    rig.land("approved/1.nc", SERIES[1].read_bytes() + b"\0")


def poison(rig):
    handler = rig.start()
    rig.series("poisoned", SERIES)
    handler.send("/ReferencePoison", {"Data": {"msg": {"blob_url": "abfs://bronze/poisoned/1.nc"}}})
    handler.send("/CombinePoison", rig.message("poisoned"))


def refused(rig):
    handler = rig.start()
    handler.send("/BlobEvent", {"Data": {"event": {"eventType": "Microsoft.Storage.BlobCreated"}}})
    handler.send("/ReferenceDue", {"Data": {"msg": {"blob": "a.nc"}}})


def unread(rig, minutes):
    """A file that landed so long ago and was never read; Sweep finds it."""
    handler = rig.start()
    rig.land("late/0.nc", SERIES[0].read_bytes())
    landed = (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    rig.ledger(f"UPDATE landfall_source_file SET state = 'landed', landed_at = '{landed}', updated_at = '{landed}'")
    handler.send("/Sweep", {"Data": {"timer": {}}})


def stuck(rig):
    unread(rig, 31)


def resting(rig):
    unread(rig, 29)


def waiting(rig):
    """A series that is due and that nobody combines, found by seven sweeps."""
    handler = rig.start()
    rig.series("due", SERIES)
    for _ in range(7):
        handler.send("/Sweep", {"Data": {"timer": {}}})


def unanswered(handler, message):
    """Sends a message to a handler that ends before it answers."""
    with contextlib.suppress(OSError):
        handler.send("/CombineDue", message)


def killed(rig):
    """The handler is killed while it combines, and its successor combines from the start."""
    handler = rig.start(LANDFALL_PAUSE_AT="mid-combine", LANDFALL_PAUSE_FILE=str(rig.folder / "paused"))
    rig.series("killed", SERIES)
    asked = threading.Thread(target=unanswered, args=(handler, rig.message("killed")))
    asked.start()
    end = time.monotonic() + PATIENCE
    while not (rig.folder / "paused").exists() and time.monotonic() < end:
        time.sleep(0.02)
    handler.kill()
    asked.join()
    time.sleep(1.1)
    rig.start()
    rig.combine("killed")


def not_ready(rig):
    rig.start(LANDFALL_QUIET_PERIOD="ten minutes")


SCENARIOS = (
    healthy, rejected, blocked, over_budget, superseded, source_changed, poison, refused, stuck, resting, waiting, killed, not_ready,
)  # fmt: skip


def play(program):
    """The log lines of every scenario, by its name."""
    found = {}
    for scenario in SCENARIOS:
        rig = Rig(program)
        try:
            scenario(rig)
            found[scenario.__name__] = rig.lines()
        finally:
            rig.end()
    return found
