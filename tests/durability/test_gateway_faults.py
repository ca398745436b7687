"""The collector is away, the disk of the log is full, Envoy is replaced: requests go on, what was flushed is stored."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.capture.gateway.envoys import binary, end_all, plain, standing_in
from tests.durability import truth
from tests.durability.asking import Askers, Witness, counted, routes, trace_of
from tests.durability.process import Up, command, summed
from tests.ports import free_port

from tachograph.capture.gateway.process import Proxy, ProxyLimits
from tachograph.health import Health
from tachograph.store import open_store
from tachograph.testing.provider import Provider

pytestmark = pytest.mark.long


@pytest.fixture
def provider() -> Iterator[Provider]:
    binary()
    with Provider(gap_seconds=0.004) as made:
        yield made


class Sidecar:
    """`tachograph gateway` as a process of its own."""

    def __init__(self, folder: Path, provider: str, collector: int) -> None:
        self.port = free_port()
        self.folder, self.log = folder / "gateway", folder / "sidecar.log"
        self.words = [
            *(sys.executable, "-m", "tachograph", "gateway", "--listen", f"127.0.0.1:{self.port}"),
            *("--file", str(routes(folder, provider)), "--folder", str(self.folder)),
            *("--to", f"http://127.0.0.1:{collector}"),
        ]
        self.process: subprocess.Popen[str] | None = None

    def start(self, **more: str) -> None:
        environment = {**os.environ, "COLUMNS": "300", **more}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        assert self.process.stdout is not None
        assert "gateway on" in self.process.stdout.readline(), self.log.read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self) -> str:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.log.read_text()
        return said

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        end_all(self.folder)


def test_a_collector_that_is_away_for_a_while_gets_everything_once(tmp_path: Path, provider: Provider) -> None:
    collector = Up(str(tmp_path / "data"), log=tmp_path / "log")
    sidecar = Sidecar(tmp_path, provider.url, collector.otlp_http)
    askers = Askers(sidecar.port, pause_seconds=0.01)
    witness = Witness(sidecar.folder, tmp_path / "witness")
    try:
        sidecar.start()  # before its collector
        askers.start()
        time.sleep(1.5)
        collector.start()
        for kill in ("collector", "sidecar", "both"):
            time.sleep(1.5)
            if kill != "sidecar":
                collector.kill()
            time.sleep(1.5)
            if kill != "collector":
                sidecar.kill()
                time.sleep(0.5)
                sidecar.start()
            if kill != "sidecar":
                collector.start()
        time.sleep(1.5)
        askers.stop()
        until = time.monotonic() + 60
        while collector.rows() < len(askers.answered):
            assert time.monotonic() < until, sidecar.log.read_text()
            time.sleep(0.2)
        assert "balanced" in sidecar.stop()
        assert collector.stop()[0] == 0
    finally:
        askers.stop()
        witness.stop()
        collector.end()
        sidecar.end()
    assert askers.failed == []
    _compared(tmp_path / "data", witness, askers)


def _compared(store: Path, witness: Witness, askers: Askers) -> None:
    """What was written is stored, once, and nothing else; as many as were answered."""
    written = counted(trace_of(line) for line in witness.lines())
    with open_store(f"chdb://{store}") as opened:
        stored = counted(call.trace_id for call in truth.calls_of(opened))
    assert stored == counted(one.trace for one in askers.answered)
    assert written == stored
    print(f"\n{len(askers.answered)} answered, {sum(stored.values())} stored")  # noqa: T201


def test_every_kind_of_change_of_the_settings_costs_no_request_and_no_call(tmp_path: Path, provider: Provider) -> None:
    """A route more, which Envoy reads by itself; more memory, for which it is replaced; again and again, under load."""
    collector = Up(str(tmp_path / "data"), log=tmp_path / "log")
    sidecar = Sidecar(tmp_path, provider.url, collector.otlp_http)
    askers, file = Askers(sidecar.port, pause_seconds=0.01), tmp_path / "gateway.toml"
    witness = Witness(sidecar.folder, tmp_path / "witness")
    text = file.read_text()
    try:
        collector.start()
        sidecar.start(TACHOGRAPH_GATEWAY_DRAIN_SECONDS="3")
        askers.start()
        for number in range(1, 7):
            time.sleep(2.5)
            more = f'\n[[route]]\nprefix = "/other{number}"\nurl = "{provider.url}"\n'
            file.write_text(f"memory_bytes_max = {2**30 + number // 2}\n{text}{more}")
        time.sleep(3.0)
        until = time.monotonic() + 20
        while len(standing_in(sidecar.folder)) > 1:
            assert time.monotonic() < until
            time.sleep(0.1)
        askers.stop()
        assert "balanced" in sidecar.stop()
        assert collector.stop()[0] == 0
    finally:
        askers.stop()
        witness.stop()
        collector.end()
        sidecar.end()
    counters = json.loads((sidecar.folder / "counters.json").read_text())
    assert counters["gateway_restarts_total"] == {"changed": 3}, sidecar.log.read_text()
    assert askers.failed == []
    _compared(tmp_path / "data", witness, askers)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_costs_lines_which_is_told_and_never_a_request(
    tmp_path: Path, provider: Provider, small_disk: Path
) -> None:
    port = free_port()
    more = {
        "TACHOGRAPH_GATEWAY_FILE": str(routes(tmp_path, provider.url)),
        "TACHOGRAPH_GATEWAY_FOLDER": str(small_disk),
    }
    up = Up(str(tmp_path / "data"), gateway=f"127.0.0.1:{port}", more=more, log=tmp_path / "log")
    askers, again = Askers(port, pause_seconds=0.02), Askers(port, pause_seconds=0.02, seed=1)
    witness = Witness(small_disk, small_disk / "witness")
    try:
        up.start()
        askers.start(3)
        time.sleep(1.0)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (65536, 4096, 512, 64, 1):
                while _written(file, size):
                    pass
            until = time.monotonic() + 20
            while not up.page()["tachograph_gateway_log_writes_failed"]:
                assert time.monotonic() < until
                while _written(file, 64):  # what rotation and removal gave back
                    pass
                time.sleep(0.2)
        filler.unlink()
        time.sleep(0.5)
        again.start(3)
        time.sleep(1.5)
        askers.stop()
        again.stop()
        time.sleep(1.0)
        page = up.page()
        assert up.stop()[0] == 0
    finally:
        askers.stop()
        again.stop()
        witness.stop()
        up.end()
        end_all(small_disk)
    assert askers.failed == again.failed == []
    written = counted(trace_of(line) for line in witness.lines())
    with open_store(f"chdb://{tmp_path / 'data'}") as store:
        stored = counted(call.trace_id for call in truth.calls_of(store))
    assert set(stored.values()) == {1}
    assert stored.keys() <= {one.trace for one in (*askers.answered, *again.answered)}
    assert written.keys() <= stored.keys()
    assert {one.trace for one in again.answered} <= stored.keys()
    assert command("ledger", store=str(tmp_path / "data"))["balanced"]
    lost = len(askers.answered) + len(again.answered) - len(stored)
    failed = summed(page, "tachograph_gateway_log_writes_failed")
    print(f"\n{len(askers.answered)} answered, {lost} lost to the full disk, in {failed:.0f} writes")  # noqa: T201


def _written(file: object, size: int) -> bool:
    try:
        return bool(file.write(b"x" * size))  # type: ignore[attr-defined]
    except OSError:
        return False


class Watched:
    """An Envoy with a plain configuration that is looked after; another `version` makes it be replaced."""

    def __init__(self, folder: Path, provider: Provider, drain_seconds: int) -> None:
        self.port = free_port()
        upstream = int(provider.url.rpartition(":")[2])
        self.folder, self.health, self.version = folder, Health(), "0"
        self.proxy = Proxy(
            folder,
            binary(),
            f"127.0.0.1:{self.port}",
            lambda _run: plain(self.port, upstream, more=self.version, prefix="/double"),
            lambda: self.version,
            self.health,
            ProxyLimits(workers=2, drain_seconds_max=drain_seconds, stop_seconds_max=2.0),
        )
        self.askers, self._stopping = Askers(self.port), threading.Event()
        self._thread = threading.Thread(target=self.proxy.watch, args=(self._stopping,))

    def __enter__(self) -> Watched:
        self.proxy.start()
        self._thread.start()
        self.askers.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self.askers.stop()
        self._stopping.set()
        self._thread.join()
        self.proxy.stop()
        self.proxy.leave()
        end_all(self.folder)

    def replace(self) -> int:
        """By other settings; the process that served until now, which drains."""
        before, self.version = self.proxy.pid, str(int(self.version) + 1)
        self.until(lambda: self.proxy.pid not in (None, before))
        assert before is not None
        return before

    def until(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not true():
            assert time.monotonic() < until
            time.sleep(0.02)


def test_envoy_is_replaced_under_load_without_a_failed_request(tmp_path: Path, provider: Provider) -> None:
    with Watched(tmp_path / "gateway", provider, drain_seconds=2) as watched:
        for _ in range(4):
            time.sleep(0.5)
            watched.replace()
            watched.until(lambda: len(standing_in(watched.folder)) == 1)  # the one before has ended too
    assert watched.health.snapshot()["gateway_restarts_total"] == {"changed": 4}
    assert watched.askers.failed == []
    print(f"\n{len(watched.askers.answered)} requests over 4 hot restarts, none failed")  # noqa: T201


def test_an_envoy_that_is_killed_while_it_drains_takes_only_its_own_requests_along(
    tmp_path: Path, provider: Provider
) -> None:
    """The one that took over would fall as well when it calls it: it is replaced before."""
    with Watched(tmp_path / "gateway", provider, drain_seconds=4) as watched:
        time.sleep(0.5)
        draining = watched.replace()
        took_over = watched.proxy.pid
        os.kill(draining, signal.SIGKILL)
        killed = time.monotonic()
        watched.until(lambda: watched.proxy.pid not in (None, took_over))
        watched.until(lambda: len(standing_in(watched.folder)) == 1)
        time.sleep(1.0)
    late = [one for one in watched.askers.failed if one.at > killed + 0.5]
    print(f"\n{len(watched.askers.failed)} of {len(watched.askers.asked)} requests failed")  # noqa: T201
    assert late == []
