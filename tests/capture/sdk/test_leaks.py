"""Ten thousand streams that are opened and abandoned leave nothing behind: no object, no socket, no memory."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import tracemalloc
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import pytest
from tests.capture.sdk.scripted import CHAT, EVENTS, SSE, asked, chunk, head

from tachograph.call import Call
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.later import Later
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import httpx as transport
from tachograph.capture.sdk.watching import Observer, Watch
from tachograph.wire import Reader

STREAMS = 10_000
RSS_BYTES_MAX = 12 * 1024 * 1024  # in all: a watch that stayed would be about 5 KB a stream
TRACED_BYTES_MAX = 300 * 1024  # per 1,000 streams
BEGINNING = head(SSE, "transfer-encoding: chunked") + chunk(EVENTS[0])
STATUS = Path("/proc/self/status")

pytestmark = [
    pytest.mark.skipif(not STATUS.exists(), reason="no /proc on this system"),
    # What is abandoned are connections, too: the caller's, and his to close.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextlib.contextmanager
def beginning() -> Iterator[str]:
    """A server that begins every answer and ends none."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    open_ones: deque[socket.socket] = deque()

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(BEGINNING)
            open_ones.append(connection)
            if len(open_ones) > 64:
                open_ones.popleft().close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}" + CHAT
    with contextlib.suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(5)
    for connection in open_ones:
        connection.close()


def abandon(client: httpx2.Client, request: httpx2.Request, turn: int) -> None:
    """Open a stream, read a piece, and let go of it in one of three ways."""
    response = client.send(request, stream=True)
    pieces = response.iter_raw()
    assert next(pieces)
    if turn % 3 == 0:
        response.close()
    elif turn % 3 == 1:
        knot: list[object] = [response, pieces]
        knot.append(knot)  # only the garbage collector finds it


async def abandon_all(url: str, streams: int) -> None:
    async with httpx2.AsyncClient() as client:
        request = client.build_request("POST", url, json=asked(stream=True))
        for turn in range(streams):
            response = await client.send(request, stream=True)
            pieces = response.aiter_raw()
            assert await anext(pieces)
            if turn % 2:
                await response.aclose()
            del pieces, response
            await asyncio.sleep(0)  # the loop closes what nobody holds


def rss_bytes() -> int:
    gc.collect()
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def held() -> Counter[str]:
    gc.collect()
    return Counter(type(found).__name__ for found in gc.get_objects() if isinstance(found, (Watch, Reader)))


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("later", (False, pytest.param(True, marks=pytest.mark.long)))
def test_ten_thousand_abandoned_streams(later: bool) -> None:
    outcomes: Counter[tuple[str, str | None]] = Counter()

    def deliver(calls: Sequence[Call]) -> None:
        outcomes.update((call.outcome, call.error_type) for call in calls)

    guard = Guard(strict=True)

    def defer(watch: Watch) -> None:
        """As a sender does, at once."""
        queue.append(Later(watch, guard))
        deliver(queue[0].calls())

    queue: deque[Later] = deque(maxlen=1)
    patches = Patches(Observer(deliver, defer=defer if later else None), guard)
    patches.when_imported("httpx2", transport.patch)
    try:
        with beginning() as url, httpx2.Client(timeout=10, limits=httpx2.Limits(max_connections=None)) as client:
            request = client.build_request("POST", url, json=asked(stream=True))
            for turn in range(600):
                abandon(client, request, turn)
            files, rss = open_files(), rss_bytes()
            for turn in range(STREAMS - 3600):
                abandon(client, request, turn)
            asyncio.run(abandon_all(url, 2000))
            grown = rss_bytes() - rss
            tracemalloc.start()
            asyncio.run(abandon_all(url, 100))
            before = _traced()
            for turn in range(700):
                abandon(client, request, turn)
            asyncio.run(abandon_all(url, 300))
            traced = _traced() - before
            tracemalloc.stop()
            queue.clear()
            assert held() == {}
            assert open_files() <= files + 4
    finally:
        tracemalloc.stop()
        patches.undo()
    assert outcomes == {("aborted", "cancelled"): STREAMS + 100}
    assert grown < RSS_BYTES_MAX
    assert traced < TRACED_BYTES_MAX


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
