"""Two thousand streams that are opened and abandoned in each other transport leave nothing behind: no object, no
socket, no memory.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from tests.capture.sdk.scripted import asked
from tests.capture.sdk.test_leaks import STATUS, beginning, held, open_files, rss_bytes

from tachograph.call import Call
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import TRANSPORTS
from tachograph.capture.sdk.watching import Observer

STREAMS, WARMING, ROUNDS_MAX = 2000, 300, 3
RSS_BYTES_MAX = 8 * 1024 * 1024  # a watch that stayed would be about 5 KB a stream
SETTLE_SECONDS_MAX = 10.0
COLLECTED_EVERY = 40

pytestmark = [
    pytest.mark.skipif(not STATUS.exists(), reason="no /proc on this system"),
    # What is abandoned are connections, too: the caller's, and his to close.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
Abandon = Callable[[str, int], None]


def knotted(*found: object) -> None:
    """Have only the garbage collector find it."""
    knot: list[object] = list(found)
    knot.append(knot)


def in_turn(streams: int) -> Iterator[int]:
    """Collects between the turns, not within: urllib3 hands a connection back in a finalizer, under a lock that is not
    reentrant. A collection in the middle of its `_get_conn` stands still for ever, with us and without (urllib3 2.8).
    """
    gc.disable()
    try:
        for turn in range(streams):
            if turn % 100 == 99:
                gc.collect()
            yield turn
    finally:
        gc.enable()


def of_urllib3(url: str, streams: int) -> None:
    urllib3 = pytest.importorskip("urllib3", reason="urllib3 is not installed")
    with urllib3.PoolManager() as pool:
        for turn in in_turn(streams):
            response = pool.request("POST", url, json=asked(stream=True), preload_content=False, retries=False)
            pieces = response.stream(16)
            assert next(pieces)
            if turn % 3 == 0:
                response.close()
            elif turn % 3 == 1:
                knotted(response, pieces)


def of_requests(url: str, streams: int) -> None:
    requests = pytest.importorskip("requests", reason="requests is not installed")
    with requests.Session() as session:
        session.trust_env = False
        for turn in in_turn(streams):
            response = session.post(url, json=asked(stream=True), stream=True)
            pieces = response.iter_content(16)
            assert next(pieces)
            if turn % 3 == 0:
                response.close()
            elif turn % 3 == 1:
                knotted(response, pieces)


def of_aiohttp(url: str, streams: int) -> None:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def work() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            for turn in range(streams):
                response = await session.post(url, json=asked(stream=True))
                assert await response.content.readany()
                if turn % 3 == 0:
                    response.close()
                elif turn % 3 == 1:
                    knotted(response)
                del response
                await asyncio.sleep(0)  # the loop closes what nobody holds

    asyncio.run(work())


def of_grpc(address: str, streams: int) -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    from tests.capture.sdk.test_grpc import stream
    from tests.capture.sdk.xai_server import asked as wanted

    with grpc.insecure_channel(address) as channel:
        for turn in range(streams):
            if turn % COLLECTED_EVERY == 0:
                gc.collect()  # what only the collector finds keeps a thread of the server
            running = stream(channel)(wanted("slow"))
            assert next(running)
            if turn % 3 == 0:
                running.cancel()
            elif turn % 3 == 1:
                knotted(running)
            del running


@pytest.fixture
def outcomes() -> Iterator[Counter[tuple[str, str | None]]]:
    """What came of all calls, while all transports are patched."""
    found: Counter[tuple[str, str | None]] = Counter()

    def deliver(calls: Sequence[Call]) -> None:
        found.update((call.outcome, call.error_type) for call in calls)

    patches = Patches(Observer(deliver), Guard(strict=True))
    for package, patch in TRANSPORTS:
        patches.when_imported(package, patch)
    yield found
    patches.undo()


def leaves_nothing(abandon: Abandon, where: str, outcomes: Counter[Any]) -> None:
    abandon(where, WARMING)
    made = WARMING
    settle(outcomes, made)
    files, grown_bytes = open_files(), []
    # A leak grows every time; the memory of a process that has run other tests grows now and then.
    while not grown_bytes or (grown_bytes[-1] >= RSS_BYTES_MAX and len(grown_bytes) < ROUNDS_MAX):
        rss = rss_bytes()
        abandon(where, STREAMS)
        made += STREAMS
        settle(outcomes, made)
        grown_bytes.append(rss_bytes() - rss)
    assert held() == {}
    assert open_files() <= files + 4
    assert grown_bytes[-1] < RSS_BYTES_MAX, grown_bytes
    # A response that is dropped aiohttp itself keeps, until the server closes the connection.
    assert set(outcomes) <= {("aborted", "cancelled"), *([("error", "network")] if abandon is of_aiohttp else [])}
    assert sum(outcomes.values()) == made


def settle(outcomes: Counter[Any], count: int) -> None:
    """gRPC tells the end in a thread of its own."""
    until = time.monotonic() + SETTLE_SECONDS_MAX
    gc.collect()
    while sum(outcomes.values()) < count and time.monotonic() < until:
        time.sleep(0.01)
        gc.collect()


@pytest.mark.parametrize("abandon", (of_urllib3, of_requests, of_aiohttp))
def test_abandoned_streams(abandon: Abandon, outcomes: Counter[Any]) -> None:
    with beginning() as url:
        leaves_nothing(abandon, url, outcomes)


def test_abandoned_streams_of_grpc(outcomes: Counter[Any]) -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed")
    from tests.capture.sdk.xai_server import served

    server, address = served(2 * COLLECTED_EVERY)
    leaves_nothing(of_grpc, address, outcomes)
    server.stop(None).wait()
