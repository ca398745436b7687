"""A real Prometheus that scrapes a page of ours over HTTP, three times a second."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.prometheus.tools import program

from tachograph.prometheus import Metrics

SCRAPE_SECONDS = 0.3
READY_SECONDS_MAX = 30.0


@dataclass
class Target:
    """What is scraped: `metrics` may be replaced, as at a restart. kinds: the content types that were answered."""

    metrics: Metrics
    port: int = 0
    scrapes: int = 0
    kinds: set[str] = field(default_factory=set)

    def answer(self, accept: str | None) -> tuple[bytes, str]:
        body, kind = self.metrics.exposition(accept)
        self.scrapes += 1
        self.kinds.add(kind.partition(";")[0])
        return body, kind


@dataclass
class Prometheus:
    """The HTTP API of the running Prometheus."""

    address: str
    target: Target

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Labels without job, instance and name -> value."""
        found: list[Any] = []

        def asked() -> bool:  # a scrape that failed on a busy machine hides every series until the next
            found[:] = self._get("query", query=expression)["result"]
            return bool(found)

        _wait(asked)
        return {
            tuple(sorted((k, v) for k, v in one["metric"].items() if k not in ("job", "instance", "__name__"))): float(
                one["value"][1]
            )
            for one in found
        }

    def value(self, expression: str) -> float:
        (value,) = self.query(expression).values()
        return value

    def increase(self, selector: str, since: float) -> tuple[float, float]:
        """(what increase() says of one series from `since` to now, by how much it may have stretched it at most).

        increase() takes the first and the last sample of its window and stretches their difference to the window.
        """
        now = time.time()
        width_ms = math.ceil((now - since) * 1000)
        window = f"{width_ms}ms"
        (series,) = self._get("query", query=f"{selector}[{window}]", time=str(now))["result"]
        (told,) = self._get("query", query=f"increase({selector}[{window}])", time=str(now))["result"]
        first, last = series["values"][0][0], series["values"][-1][0]
        return float(told["value"][1]), width_ms / 1000 / (last - first)

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        found = self._get("query_exemplars", query=expression, start=str(time.time() - 3600), end=str(time.time() + 60))
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def scraped_anew(self, scrapes: int = 3) -> None:
        """Wait until what is on the page now has been scraped."""
        wanted = self.target.scrapes + scrapes
        _wait(lambda: self.target.scrapes >= wanted)

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]


@contextlib.contextmanager
def scraping(metrics: Metrics, folder: Path, rules: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """Serve the page, and run a Prometheus that scrapes it and follows the rules; ready once it has."""
    binary = program("prometheus")
    with _serving(Target(metrics)) as target:
        address = f"127.0.0.1:{free_port()}"
        config = folder / "prometheus.yml"
        pace = f"{SCRAPE_SECONDS * 1000:.0f}ms"
        config.write_text(
            f"rule_files: {json.dumps([str(path) for path in rules])}\n"
            f"scrape_configs: [{{job_name: tachograph, scrape_interval: {pace}, scrape_timeout: {pace}, "
            f"static_configs: [{{targets: ['127.0.0.1:{target.port}']}}]}}]"
        )
        arguments = [
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]
        log = folder / "prometheus.log"
        with log.open("wb") as said, subprocess.Popen([binary, *arguments], stdout=said, stderr=said) as process:
            try:
                _wait(lambda: target.scrapes >= 2, lambda: process.poll() is None, log.read_text)
                yield Prometheus(f"http://{address}", target)
            finally:
                process.kill()


@contextlib.contextmanager
def _serving(target: Target) -> Iterator[Target]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = target.answer(self.headers.get("accept"))
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        target.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield target
        finally:
            server.shutdown()
            thread.join()


def _wait(
    done: Callable[[], bool], alive: Callable[[], bool] = lambda: True, said: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not done():
        assert alive(), f"Prometheus ended: {said()}"
        assert time.monotonic() < deadline, f"nothing was scraped in {READY_SECONDS_MAX} s: {said()}"
        time.sleep(0.05)
