"""A real OpenTelemetry Collector for the long tests: OTLP in, a batch, OTLP out to us.

In: where it shall send. Out: the address of a collector that lives as long as the `with` block. It is built once from
`otelcol/` into `.servers/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ports import free_port

SOURCE = Path(__file__).parent / "otelcol"
CACHE = Path(__file__).parents[2] / ".servers"
_BUILD_SECONDS, _START_SECONDS, _STOP_SECONDS = 900, 30, 20

CONFIGURATION = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}
processors:
  batch: {{send_batch_size: 20, send_batch_max_size: 20, timeout: 50ms}}
exporters:
  {exporter}:
    endpoint: {endpoint}
    tls: {{insecure: true}}
    compression: {compression}
    headers: {{authorization: "Bearer secret"}}
    retry_on_failure: {{initial_interval: 50ms, max_interval: 1s, randomization_factor: 0}}
    sending_queue: {{num_consumers: 4}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  pipelines:
    traces: &pipeline {{receivers: [otlp], processors: [batch], exporters: [{exporter}]}}
    logs: *pipeline
    metrics: *pipeline
"""


def program() -> Path:
    """The collector, built if this version of it is not there; skips the test where it cannot be."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed, so the collector cannot be built")
    text = b"".join((SOURCE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    built = CACHE / f"otelcol-{hashlib.sha256(text).hexdigest()[:12]}"
    if not built.exists():
        CACHE.mkdir(exist_ok=True)
        draft = built.with_suffix(".new")
        command = [
            "go",
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-mod=readonly",
            "-ldflags=-s -w",
            "-o",
            str(draft),
            ".",
        ]
        subprocess.run(command, cwd=SOURCE, check=True, timeout=_BUILD_SECONDS)
        draft.rename(built)
    return built


@contextlib.asynccontextmanager
async def collecting(folder: Path, exporter: str, endpoint: str, compression: str) -> AsyncIterator[str]:
    """The address of a collector's HTTP receiver; at the end it is told to stop, and it sends what it has before."""
    port = free_port()
    configuration = folder / "collector.yaml"
    configuration.write_text(
        CONFIGURATION.format(port=port, exporter=exporter, endpoint=endpoint, compression=compression)
    )
    log = folder / "collector.log"
    with log.open("wb") as output:
        process = subprocess.Popen([program(), f"--config=file:{configuration}"], stdout=output, stderr=output)
    try:
        await asyncio.to_thread(_await, process, port, log)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert await asyncio.to_thread(process.wait, _STOP_SECONDS) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the collector did not start: {log.read_text(errors='replace')[-2000:]}")
