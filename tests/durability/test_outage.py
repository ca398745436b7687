"""The store cannot take anything for a while: the doors say later, and the same process goes on when it can.

A disk that fills up, a file system that turns read-only, a ClickHouse server that dies and comes back.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.durability import truth
from tests.durability.process import Up, ledger_of_page, said, summed, totals
from tests.durability.sending import Senders
from tests.durability.traffic import Request, Traffic
from tests.ports import free_port
from tests.servers import clickhouse

from tachograph.store import Store, open_store

WAIT_SECONDS_MAX = 60.0
pytestmark = pytest.mark.long


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int = 160) -> Iterator[Path]:
    folder.mkdir()
    mounted = said(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)])
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class Load:
    """A service under load that never lets up."""

    def __init__(self, store: str, log: Path, seed: int) -> None:
        self.up = Up(store, log=log)
        self.traffic = Traffic(seed)
        self.senders = Senders(self.up, seed)
        self.made: list[Request] = []
        self.up.start()
        self.senders.start()
        self.senders.open.set()

    def acknowledged(self) -> int:
        return len(self.senders.acknowledged)

    def feed_until(self, done: object, least: int) -> None:
        """Load until `done` has grown by `least`."""
        assert callable(done)
        began, until = done(), time.monotonic() + WAIT_SECONDS_MAX
        while done() < began + least:
            assert time.monotonic() < until and not self.senders.wrong, (done(), self.senders.wrong)
            self._feed()
            time.sleep(0.02)

    def _feed(self) -> None:
        while len(self.senders.queue) < 8:
            wave = self.traffic.wave()
            self.made += wave
            self.senders.queue.extend(wave)

    def works(self) -> None:
        self.feed_until(self.acknowledged, 12)

    def is_refused(self) -> None:
        """Everybody is told to come again, by both doors, and nobody that something was taken."""
        self.feed_until(lambda: self.senders.busy, 12)
        before = self.acknowledged()
        self.feed_until(lambda: self.senders.busy, 6)
        assert self.acknowledged() == before

    def ends(self) -> None:
        """Everything that waited is taken by the same process."""
        assert self.up.process is not None and self.up.process.poll() is None
        self.senders.stop()
        assert self.senders.wrong == [] and self.senders.lost == 0
        assert len({id(request) for request in self.senders.acknowledged}) == len(self.made)
        page, ledger = self.up.page(), self.up.ledger()
        assert ledger["balanced"] and ledger["in_flight"] == 0 and ledger["refused"]["busy"] > 0
        assert totals(ledger) == ledger_of_page(page)
        assert self.up.stop()[0] == 0
        self.shown, self.stored = summed(page, "tachograph_calls_total"), ledger["stored"]

    def compares(self, store: Store) -> None:
        truth.assert_every_call_is_there_once(store, self.made)
        points = truth.assert_points_are_there_once(store, self.made)
        counted = truth.assert_linked_as_resolved(store, self.traffic.truth.links)
        assert counted == self.traffic.truth.calls
        truth.assert_rollups_equal_raw(store)
        rows = sum(len(request.calls) for request in self.made)
        assert self.stored == rows + points
        assert counted <= self.shown <= rows

    def abandon(self) -> None:
        self.up.end()
        self.senders.abandon()


def test_a_full_disk(tmp_path: Path) -> None:
    """Filled three times at another moment, emptied three times."""
    with small_disk(tmp_path / "disk") as disk:
        load = Load(str(disk / "data"), tmp_path / "log", 11)
        try:
            for _ in range(3):
                load.works()
                ballast = disk / "ballast"
                fill(ballast)
                load.is_refused()
                assert b"tachograph_items" in load.up.get("/metrics")
                ballast.unlink()
            load.works()
            load.ends()
        finally:
            load.abandon()
        with open_store(f"chdb://{disk / 'data'}") as store:
            load.compares(store)


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass


def test_a_folder_that_turns_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        data = disk / "data"
        load = Load(str(data), tmp_path / "log", 12)
        try:
            load.works()
            subprocess.run(["mount", "--bind", str(data), str(data)], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", str(data)], check=True)
            load.is_refused()
            subprocess.run(["umount", str(data)], check=True)
            load.works()
            load.ends()
        finally:
            load.abandon()
        with open_store(f"chdb://{data}") as store:
            load.compares(store)


class Server:
    """A ClickHouse server that may be killed and started again, on one folder and one port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.library = clickhouse.library()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        command = [sys.executable, clickhouse.__file__, str(self.library), str(self.folder), str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.address}/ping", timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text(errors="replace")[-2000:])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def test_a_server_that_dies_and_comes_back(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    server.start()
    try:
        load = Load(server.address, tmp_path / "log", 13)
        try:
            for _ in range(3):
                load.works()
                server.kill()
                load.is_refused()
                server.start()
            load.works()
            load.ends()
        finally:
            load.abandon()
        with open_store(server.address) as store:
            load.compares(store)
    finally:
        server.kill()
