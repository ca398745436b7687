"""`tachograph up` as a process of its own: started, asked, killed.

In: a data folder. Out: a process whose ports stay the same over restarts, what its API says, its page for Prometheus.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import free_ports

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
LEDGER = ("accepted", "stored", "deduplicated", "refused", "ignored")


@dataclass
class Up:
    """One service on one store. store: a folder or an address. gateway: the address of its gateway, '' for none.
    more: environment beyond our own.
    """

    store: str
    gateway: str = ""
    more: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=lambda: free_ports(3))
    process: subprocess.Popen[str] | None = None
    log: Path | None = None
    began: float = 0.0

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def otlp_http(self) -> int:
        return self.ports[1]

    @property
    def otlp_grpc(self) -> str:
        return f"127.0.0.1:{self.ports[2]}"

    def command(self, *more: str) -> list[str]:
        listen, http, grpc = (f"127.0.0.1:{port}" for port in self.ports)
        doors = ("--listen", listen, "--otlp-http", http, "--otlp-grpc", grpc, "--gateway", self.gateway)
        return [sys.executable, "-m", "tachograph", "up", "--store", self.store, *doors, *more]

    def begin(self, *more: str) -> subprocess.Popen[str]:
        """Start the process and do not wait until it is up."""
        said = self.log.open("a") if self.log else subprocess.DEVNULL
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            self.command(*more),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, "COLUMNS": "300", **self.more},
        )
        if not isinstance(said, int):
            said.close()
        return self.process

    def await_up(self) -> float:
        """Wait until every door is open; the seconds since the start."""
        assert self.process is not None
        too_long = threading.Timer(START_SECONDS_MAX, self.process.kill)
        too_long.start()
        try:
            self._await_doors()
        finally:
            too_long.cancel()
        self._await_api()
        return time.monotonic() - self.began

    def _await_doors(self) -> None:
        """Wait until it has said of the last door that it is open."""
        assert self.process is not None and self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            assert not self.gateway or "no gateway" not in line, f"{line} {self._told()}"
            if ("gateway on" if self.gateway else "OTLP/gRPC on") in line:
                return
        raise AssertionError(f"ended with {self.process.wait()}: {''.join(lines)} {self._told()}")

    def _await_api(self) -> None:
        """The doors open first."""
        while time.monotonic() < self.began + START_SECONDS_MAX:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.ports[0])):
                    return
            time.sleep(0.01)
        raise AssertionError(f"no API after {START_SECONDS_MAX} s: {self._told()}")

    def start(self, *more: str) -> float:
        self.begin(*more)
        return self.await_up()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._close()

    def stop(self) -> tuple[int, float]:
        """SIGTERM; the exit code and how long it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS_MAX)
        self._close()
        return code, time.monotonic() - began

    def end(self) -> None:
        """At the end of a test, however it ended."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self._close()

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.api + path, timeout=30) as answer:
            return bytes(answer.read())

    def post(self, path: str, body: bytes, **headers: str) -> Any:
        request = urllib.request.Request(self.api + path, body, {"content-type": "application/json", **headers})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def rows(self) -> int:
        """Rows of the raw table, sightings of the same call included."""
        store = json.loads(self.get("/api/v1/health"))["store"]
        return int(store["calls"] + store["repeated_sightings"])

    def ledger(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.get("/api/v1/ledger"))
        return value

    def page(self) -> dict[str, float]:
        """Every sample of /metrics by name and labels."""
        return samples(self.get("/metrics").decode())

    def _close(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def _told(self) -> str:
        return self.log.read_text() if self.log else ""


def samples(page: str) -> dict[str, float]:
    lines = [line.split(" # ")[0] for line in page.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def counters(page: dict[str, float]) -> dict[str, float]:
    """Those samples that only ever grow."""
    gauges = ("tachograph_items_in_flight", "tachograph_store_lag_seconds", "process_", "python_")
    return {name: value for name, value in page.items() if not name.startswith(gauges)}


def summed(page: dict[str, float], name: str) -> float:
    """All samples of that name, whatever their labels."""
    return sum(value for sample, value in page.items() if sample.partition("{")[0] == name)


def ledger_of_page(page: dict[str, float]) -> dict[str, float]:
    return {name: summed(page, f"tachograph_items_{name}_total") for name in LEDGER}


def totals(ledger: dict[str, Any]) -> dict[str, float]:
    """The ledger without its labels."""
    values = {name: ledger[name] for name in LEDGER}
    return {name: sum(value.values()) if isinstance(value, dict) else value for name, value in values.items()}


def command(*words: str, store: str) -> Any:
    """What a command of `tachograph` prints as JSON."""
    ran = subprocess.run(
        [sys.executable, "-m", "tachograph", *words, "--store", store, "--json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def said(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(words), check=False, capture_output=True, text=True, timeout=60)
