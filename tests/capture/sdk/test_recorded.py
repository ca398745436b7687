"""The same exchange seen in the user's process gives the Call that `wire.read` gives: every recording is answered by a
proxy on this machine, byte for byte, in chunks of random sizes, to httpx2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.wire.exchanges import ROOT, body, paths, recorded, with_body

from tachograph import wire
from tachograph.call import Call, to_dict
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.recognise import Recogniser
from tachograph.wire import Exchange

# What only the door knows: ids, stamps, latency, vantage, source; and what a reader without a clock says of that.
BY_THE_DOOR = {
    *("call_id", "trace_id", "span_id", "parent_span_id", "operation_id", "started_at", "received_at"),
    *("duration_ms", "headers_ms", "ttft_ms", "itl_mean_ms", "itl_p99_ms", "itl_max_ms", "itl_buckets", "tpot_ms"),
    "source",
}
CLOCKLESS = {"started_at_missing", "buffered_stream", "clock_skew"}
FRAMING = {"content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade"}


def asks(exchange: Exchange) -> bool:
    """Whether it can be asked again: it has a URL, a body that was kept, and was no WebSocket."""
    request = exchange.request
    return request.method == "POST" and request.members is None and exchange.messages is None and "://" in request.url


CASES = tuple(path for path in paths() if asks(recorded(path)))


def facts(call: Call) -> dict[str, Any]:
    told = {name: value for name, value in to_dict(call).items() if name not in BY_THE_DOOR}
    return told | {"flags": sorted(set(call.flags) - CLOCKLESS)}


class Proxy:
    """Answers whatever it is asked with the recording that is set."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.random = random.Random(4)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                _swallow(connection)
                assert self.exchange is not None
                connection.sendall(_head(self.exchange))
                for piece in self._cut(body(self.exchange)):
                    connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                connection.sendall(b"0\r\n\r\n")

    def _cut(self, data: bytes) -> Iterator[bytes]:
        largest = self.random.choice((5, 100, 3000, 100_000))
        while data:
            size = self.random.randint(max(1, largest // 50), largest)
            yield data[:size]
            data = data[size:]


def _swallow(connection: socket.socket) -> None:
    stream = connection.makefile("rb")
    length = 0
    while (line := stream.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    stream.read(length)


def _head(exchange: Exchange) -> bytes:
    lines = [f"HTTP/1.1 {exchange.status} Recorded"]
    lines += [f"{name}: {value}" for name, value in _plain(exchange.headers).items()]
    return "\r\n".join((*lines, "transfer-encoding: chunked", "connection: close", "", "")).encode("latin-1", "replace")


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value.replace("\r", " ").replace("\n", " ") for name, value in headers.items() if name not in FRAMING}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    running = Proxy()
    yield running
    running.close()


def name(path: Path) -> str:
    return str(path.relative_to(ROOT.parent))


@pytest.mark.parametrize("path", CASES, ids=name)
def test_a_recorded_exchange(path: Path, proxy: Proxy, patches: Patches, calls: list[Call]) -> None:
    exchange = recorded(path)
    exchange = dataclasses.replace(exchange, headers=_plain(exchange.headers))
    asked = exchange.request
    patches.observer.recogniser = Recogniser({urlsplit(asked.url).netloc: exchange.provider or ""})
    proxy.exchange = exchange
    with httpx2.Client(proxy=proxy.url, verify=False, timeout=10) as client:
        url = "http://" + asked.url.partition("://")[2]
        with client.stream("POST", url, content=asked.body, headers=_plain(asked.headers)) as response:
            assert b"".join(response.iter_raw()) == body(exchange)
    expected = wire.read(with_body(exchange, [body(exchange)] if body(exchange) else []))
    assert [facts(call) for call in calls] == [facts(call) for call in expected]


def test_there_are_recordings() -> None:
    assert len(CASES) > 250
