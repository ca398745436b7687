"""Collectors of OTLP, each started on loopback with its own folder: ours, and those that we are measured against.

In: the name of one, an empty folder. Out: where it takes requests, its process, and how many spans it has stored.
Phoenix and MLflow are installed from the pinned lists beside this file into environments of their own below
benchmarks/.data; they store in SQLite, as their documentation starts them, and their stored spans are counted there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = HERE.parent / ".data"
START_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 30.0
INSTALL_SECONDS_MAX = 900.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever the proxy


class CannotStart(Exception):
    """Why one cannot be measured, in one line."""


@dataclass(frozen=True, slots=True)
class Collector:
    """A running one. stored: how many spans it has for good, asked from outside where that is possible."""

    name: str
    pid: int
    url: str
    stored: Callable[[], int]
    api: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def tachograph(folder: Path, **more: str) -> contextlib.AbstractContextManager[Collector]:
    """`tachograph up` with its settings as they are shipped, but for `more`."""
    api, door, grpc = (f"127.0.0.1:{free_port()}" for _ in range(3))
    settings = {
        "TACHOGRAPH_STORE": str(folder / "data"),
        "TACHOGRAPH_LISTEN": api,
        "TACHOGRAPH_OTLP_HTTP": door,
        "TACHOGRAPH_OTLP_GRPC": grpc,
        "TACHOGRAPH_GATEWAY": "",
        **more,
    }
    command = [sys.executable, "-m", "tachograph", "up"]
    return _running(
        "tachograph",
        command,
        folder,
        settings,
        url=f"http://{door}/v1/traces",
        ready=f"http://{api}/api/v1/health",
        stored=lambda: asked(f"http://{api}/api/v1/health")["store"]["calls"],
        api=f"http://{api}/api/v1",
    )


def phoenix(folder: Path) -> contextlib.AbstractContextManager[Collector]:
    """Arize Phoenix. It answers before it has stored, so its stored spans are what counts."""
    python, port = installed("phoenix"), free_port()
    settings = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    command = [str(python.parent / "phoenix"), "serve"]
    at = f"http://127.0.0.1:{port}"
    return _running(
        "Phoenix " + version(python, "arize-phoenix"),
        command,
        folder,
        settings,
        url=at + "/v1/traces",
        ready=at + "/healthz",
        stored=lambda: counted(folder / "phoenix.db"),
    )


def mlflow(folder: Path) -> contextlib.AbstractContextManager[Collector]:
    """The MLflow tracking server with one worker; spans go to its default experiment."""
    python, port = installed("mlflow"), free_port()
    command = [str(python.parent / "mlflow"), "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder)]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    at = f"http://127.0.0.1:{port}"
    return _running(
        "MLflow " + version(python, "mlflow"),
        command,
        folder,
        settings,
        url=at + "/v1/traces",
        ready=at + "/health",
        stored=lambda: counted(folder / "mlflow.db"),
        headers={"x-mlflow-experiment-id": "0"},
    )


def loop(folder: Path) -> contextlib.AbstractContextManager[Collector]:
    """What one would write first: a Python loop over the spans, its rows into chDB. No price, no deduplication."""
    at = f"127.0.0.1:{free_port()}"
    return _running(
        "Python row loop",
        [sys.executable, "-m", "benchmarks.peers.row_loop", at, str(folder / "data")],
        folder,
        {"PYTHONPATH": str(ROOT)},
        url=f"http://{at}/v1/traces",
        ready=f"http://{at}/stored",
        stored=lambda: asked(f"http://{at}/stored")["stored"],
    )


PEERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Collector]]] = {
    "phoenix": phoenix,
    "mlflow": mlflow,
    "loop": loop,
}


def installed(name: str) -> Path:
    """The Python of an environment that holds the pinned list of that name, made where it is not there."""
    pinned, place = HERE / f"{name}.txt", DATA / f"peer-{name}"
    python, ready = place / "bin" / "python", place / "installed.txt"
    if ready.exists() and ready.read_text() == pinned.read_text():
        return python
    uv = ROOT / ".uv" / "bin" / "uv"
    if not uv.exists():
        raise CannotStart(f"{name}: cannot be installed: {uv.relative_to(ROOT)} is not there: run make test")
    print(f"installing {name} into {place.relative_to(ROOT)}", file=sys.stderr)
    for command in (
        [str(uv), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(place)],
        [str(uv), "pip", "install", "--quiet", "--python", str(python), "--requirement", str(pinned)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False)
        if done.returncode:
            raise CannotStart(f"{name}: cannot be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    ready.write_text(pinned.read_text())
    return python


def version(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def _running(
    name: str,
    command: list[str],
    folder: Path,
    settings: dict[str, str],
    *,
    ready: str,
    url: str,
    stored: Callable[[], int],
    api: str = "",
    headers: dict[str, str] | None = None,
) -> Iterator[Collector]:
    with started(name, command, folder, settings, ready) as pid:
        yield Collector(name, pid, url, stored, api, headers or {})


@contextlib.contextmanager
def started(name: str, command: list[str], folder: Path, settings: dict[str, str], ready: str) -> Iterator[int]:
    """Started, waited for, and stopped with everything below it; its process id. What it says goes to `log` in its
    folder.
    """
    log = folder / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(name, process, ready, log)
        yield process.pid
    finally:
        _stop(process)


def _wait(name: str, process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with DIRECT.open(ready, timeout=5):
                return
        except urllib.error.HTTPError as answer:  # a proxy has no page of its own
            if answer.code == 404:
                return
        except OSError:
            pass
        time.sleep(0.2)
    said = log.read_text("utf-8", "replace").strip().splitlines()
    how = (
        f"ended with {process.returncode}" if process.returncode is not None else f"not up in {START_SECONDS_MAX:.0f} s"
    )
    raise CannotStart(f"{name}: {how}: {said[-1][:200] if said else 'it said nothing'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for what in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, what)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS_MAX)
            return


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def asked(url: str) -> Any:
    """The JSON of a GET."""
    with DIRECT.open(url, timeout=60) as answer:
        return json.load(answer)


def counted(file: Path) -> int:
    """The rows of the table `spans` of an SQLite file that another process writes."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)) as connection:
        return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])
