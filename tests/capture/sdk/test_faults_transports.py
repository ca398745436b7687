"""Whatever function of ours fails, in whatever transport: the caller gets the provider's answer, and no exception.

Each way is a few requests of one client library, plain, streamed and read in several ways, answered, broken off, with
an error of the caller's own, and refused because of what we added. It is sent once without us, and then once for every
function of ours with that function raising. With `include_usage` what a stream counts may show, where hiding it failed;
a refusal of our addition may not.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from types import FunctionType
from typing import Any

import pytest
from tests.capture.sdk.answering import MODELS, answering, asked, events, visible
from tests.capture.sdk.faults import forget, functions, raising, traced
from tests.capture.sdk.scripted import chunk

from tachograph.call import Call
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.later import Later
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import TRANSPORTS
from tachograph.capture.sdk.transports.urllib3_usage import Sieve, Sifted
from tachograph.capture.sdk.watching import Circumstances, Observer
from tachograph.testing.provider import Provider

ROOMS = ("tachograph.capture.sdk", "tachograph.wire", "tachograph.call")
# The guard is what is tested. The others are not on the way of a request: what the caller itself calls, and may be told
# that it is wrong (its own tests make it fail), and what an application is given.
NOT_ON_THE_WAY = ("guard", "asgi", "wsgi", "threads", "settings", "recording")
FUNCTIONS = {
    name: function
    for name, function in functions(*ROOMS).items()
    if not name.startswith(tuple(f"tachograph.capture.sdk.{room}." for room in NOT_ON_THE_WAY))
}
Answers = list[tuple[Any, ...]]
Send = Callable[[str], Answers]


def told(ask: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    """The answer, or the kind of what is raised."""
    try:
        return ask()
    except ZeroDivisionError:
        raise  # a fault that was planted
    except Exception as failure:
        return (type(failure).__name__,)


# urllib3


def _filled(response: Any) -> bytes:
    buffer, data = bytearray(50), b""
    while count := response.readinto(buffer):
        data += buffer[:count]
    return data


def _drained(response: Any) -> bytes:
    response.drain_conn()
    return b""


URLLIB3_WAYS: tuple[Callable[[Any], bytes], ...] = (
    lambda response: response.read(),
    lambda response: b"".join(response.stream(17)),
    lambda response: b"".join(iter(lambda: response.read(13), b"")),
    b"".join,
    _filled,
    _drained,
    lambda response: response.read(5) + bytes(response.close() or b""),
    lambda response: next(response.stream(5)),  # and dropped
)


def of_urllib3(url: str, *, preload: bool = False) -> Answers:
    urllib3 = pytest.importorskip("urllib3", reason="urllib3 is not installed")
    headers = {"content-type": "application/json", "authorization": "Bearer none"}

    def ask(model: str, way: Callable[[Any], bytes]) -> tuple[Any, ...]:
        body = asked(model)
        response = pool.request("POST", url, body=body, headers=headers, retries=False, preload_content=preload)
        return response.status, response.data if preload else way(response)

    with urllib3.PoolManager() as pool:
        answers = []
        for at, model in enumerate(MODELS):
            for way in URLLIB3_WAYS[:1] if preload else URLLIB3_WAYS[at % 2 :: 2]:
                answers.append(told(partial(ask, model, way)))
        return answers


REQUESTS_WAYS: tuple[Callable[[Any], bytes], ...] = (
    lambda response: response.content,
    lambda response: b"".join(response.iter_content(None)),
    lambda response: b"\n".join(response.iter_lines()),
)


def of_requests(url: str) -> Answers:
    requests = pytest.importorskip("requests", reason="requests is not installed")

    def ask(model: str, way: Callable[[Any], bytes], stream: bool) -> tuple[Any, ...]:
        headers = {"content-type": "application/json"}
        with session.post(url, data=asked(model), headers=headers, stream=stream) as response:
            return response.status_code, way(response)

    with requests.Session() as session:
        session.trust_env = False
        return [
            told(partial(ask, model, way, stream))
            for model in MODELS
            for way, stream in zip(REQUESTS_WAYS, (False, True, True), strict=True)
        ]


# aiohttp


async def _items(items: Any) -> bytes:
    return b"".join([item async for item in items])


async def _first(response: Any) -> bytes:
    return bytes(await response.content.readexactly(5))


AIOHTTP_WAYS: tuple[Callable[[Any], Awaitable[bytes]], ...] = (
    lambda response: response.read(),
    lambda response: _items(response.content.iter_chunked(7)),
    lambda response: _items(response.content),
    _first,
)


def of_aiohttp(url: str, **settings: Any) -> Answers:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def ask(session: Any, model: str, way: Callable[[Any], Awaitable[bytes]]) -> tuple[Any, ...]:
        headers = {"content-type": "application/json"}
        try:
            async with session.post(url, data=asked(model), headers=headers) as response:
                return response.status, await way(response)
        except aiohttp.ClientError as failure:
            return type(failure).__name__, getattr(failure, "status", None)

    async def work() -> Answers:
        async with aiohttp.ClientSession(**settings) as session:
            return [await ask(session, model, way) for model in MODELS for way in AIOHTTP_WAYS]

    return asyncio.run(work())


# httpx


def of_httpx(url: str) -> Answers:
    httpx = pytest.importorskip("httpx2", reason="httpx2 is not installed")

    def ask(model: str) -> tuple[Any, ...]:
        response = client.post(url, content=asked(model), headers={"content-type": "application/json"})
        return response.status_code, response.content

    with httpx.Client(verify=False, trust_env=False) as client:
        return [told(partial(ask, model)) for model in MODELS]


# botocore


def of_botocore(url: str) -> Answers:
    pytest.importorskip("botocore", reason="botocore is not installed")
    from tests.capture.sdk.test_botocore import WAYS, bedrock

    if url not in BEDROCK:  # making a client takes longer than a round
        BEDROCK[url] = bedrock(url)
    client = BEDROCK[url]

    def ask(way: Callable[[Any, str], Any], scenario: str) -> tuple[Any, ...]:
        given = way(client, scenario)
        given = given["output"] if isinstance(given, dict) and "output" in given else given
        return type(given).__name__, len(given)

    return [told(partial(ask, way, word)) for way in WAYS.values() for word in ("plain", "bad_request")]


BEDROCK: dict[str, Any] = {}


# gRPC


def of_grpc(address: str) -> Answers:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    from tests.capture.sdk.test_grpc import get, stream
    from tests.capture.sdk.xai_server import asked as wanted

    def ask(work: Callable[[Any, str], Any], word: str) -> tuple[Any, ...]:
        return tuple(work(channel, word))

    def left(channel: Any, word: str) -> Any:
        running = stream(channel)(wanted(word))
        first = next(running)
        running.cancel()
        return [first.SerializeToString()]

    ways: tuple[Callable[[Any, str], Any], ...] = (
        lambda channel, word: [get(channel)(wanted(word)).SerializeToString()],
        lambda channel, word: [get(channel).with_call(wanted(word))[0].SerializeToString()],
        lambda channel, word: [get(channel).future(wanted(word)).result().SerializeToString()],
        lambda channel, word: [each.SerializeToString() for each in stream(channel)(wanted(word))],
        left,
    )
    with grpc.insecure_channel(address) as channel:
        return [told(partial(ask, way, word)) for way in ways for word in ("plain", "INVALID_ARGUMENT", "break")]


def of_grpc_aio(address: str) -> Answers:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    from tests.capture.sdk.test_grpc import get, stream
    from tests.capture.sdk.xai_server import asked as wanted

    async def ask(channel: Any, word: str, streamed: bool) -> tuple[Any, ...]:
        try:
            if streamed:
                return tuple([each.SerializeToString() async for each in stream(channel)(wanted(word))])
            return ((await get(channel)(wanted(word))).SerializeToString(),)
        except grpc.aio.AioRpcError as failure:
            return (failure.code().name,)

    async def work() -> Answers:
        async with grpc.aio.insecure_channel(address) as channel:
            words = ("plain", "INVALID_ARGUMENT", "break")
            return [await ask(channel, word, streamed) for word in words for streamed in (False, True)]

    return asyncio.run(work())


# rounds


class Rounds:
    """One way of asking, with one function raising in each round."""

    def __init__(self, send: Send, address: str, *, include_usage: bool, later: bool) -> None:
        self.send, self.address, self.include_usage, self.later = send, address, include_usage, later
        self.expected = send(address)

    def round(self, function: FunctionType | None, deliver: Callable[[Sequence[Call]], None]) -> list[str]:
        """What went wrong."""
        guard, waiting = Guard(strict=function is None), list[Later]()
        observer = Observer(
            deliver,
            None,
            Circumstances({"team": "search"}, b"secret", hash_user=True),
            defer=(lambda watch: waiting.append(Later(watch, guard))) if self.later else None,
            price=None if self.later else lambda call: None,
            include_usage=self.include_usage,
        )
        patches = Patches(observer, guard)
        for package, patch in TRANSPORTS:
            patches.when_imported(package, patch)
        try:
            with raising(function) if function is not None else contextlib.nullcontext():
                given = self.send(self.address)
                gc.collect(0)
                for each in waiting:
                    with contextlib.suppress(ZeroDivisionError):  # where it is read is the sender's to guard
                        each.calls()
                waiting.clear()
        except ZeroDivisionError:
            return ["the fault reached the caller"]
        finally:
            patches.undo()
        return self._differences(given, exact=function is None)

    def _differences(self, given: Answers, *, exact: bool) -> list[str]:
        wrong = []
        for at, (answer, expected) in enumerate(zip(given, self.expected, strict=True)):
            if answer != expected and (exact or not self._as_good(answer, expected)):
                wrong.append(f"answer {at}: {answer!r:.300} and not {expected!r:.300}")
        return wrong

    def _as_good(self, answer: tuple[Any, ...], expected: tuple[Any, ...]) -> bool:
        if not self.include_usage or not isinstance(answer[-1], bytes):
            return False
        return answer[:-1] == expected[:-1] and visible(answer[-1]) == visible(expected[-1])


@pytest.fixture(scope="module")
def addresses(one_provider: Provider) -> Iterator[dict[Send, str]]:
    """Where each way leads."""
    with answering() as url, contextlib.ExitStack() as stack:
        found = dict.fromkeys((of_urllib3, of_preloaded, of_requests, of_aiohttp, of_raising, of_httpx), url)
        found[of_botocore] = one_provider.url
        with contextlib.suppress(ImportError):
            from tests.capture.sdk.xai_server import served

            server, found[of_grpc] = served()
            found[of_grpc_aio] = found[of_grpc]
            stack.callback(lambda: server.stop(None).wait())
        yield found
        for client in BEDROCK.values():
            client.close()
        BEDROCK.clear()


def of_preloaded(url: str) -> Answers:
    return of_urllib3(url, preload=True)


def of_raising(url: str) -> Answers:
    return of_aiohttp(url, raise_for_status=True)


ASKING: tuple[Send, ...] = (of_urllib3, of_preloaded, of_requests, of_aiohttp, of_raising, of_httpx)
ALL: tuple[tuple[Send, bool], ...] = (
    *((send, True) for send in ASKING),
    (of_urllib3, False),
    (of_aiohttp, False),
    (of_botocore, False),
    (of_grpc, False),
    (of_grpc_aio, False),
)


def silent(_: Sequence[Call]) -> None:
    return None


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.CRITICAL, "tachograph.sdk")
    yield


def failing(_: Sequence[Call]) -> None:
    """What `deliver` is where it is to fail."""


def ran_in(rounds: Rounds) -> list[str]:
    """The functions that run in a round; nothing of it is seen."""
    with traced(FUNCTIONS) as ran:
        assert rounds.round(None, silent) == []
    return sorted(ran)


def wrong_in(rounds: Rounds, names: Sequence[str]) -> dict[str, list[str]]:
    found = {}
    for name in names:
        forget(*ROOMS)
        wrong = rounds.round(FUNCTIONS[name], silent)
        if wrong:
            found[name] = wrong
    return found


# A finalizer of half an object complains, and so does a connection that is dropped: it is the caller's.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Unverified"
)


def sample(names: Sequence[str]) -> list[str]:
    """Of the functions that run: those of the transports and of asking for usage, and some of the rest."""
    near = [name for name in names if ".transports." in name or ".usage." in name or "watching.Watch." in name]
    return near + [name for name in names if name not in near][::6]


@pytest.mark.parametrize(("send", "include_usage"), ALL)
def test_what_runs_fails_in_turn(addresses: dict[Send, str], send: Send, include_usage: bool) -> None:
    rounds = Rounds(send, addresses.get(send, ""), include_usage=include_usage, later=False)
    assert wrong_in(rounds, sample(ran_in(rounds))) == {}


@pytest.mark.parametrize(("send", "include_usage"), ALL)
def test_deliver_fails(addresses: dict[Send, str], send: Send, include_usage: bool) -> None:
    rounds = Rounds(send, addresses.get(send, ""), include_usage=include_usage, later=False)
    assert rounds.round(failing, failing) == []


@pytest.mark.long
@pytest.mark.parametrize("later", (False, True))
@pytest.mark.parametrize(("send", "include_usage"), ALL)
def test_everything_that_runs_fails_in_turn(
    addresses: dict[Send, str], send: Send, include_usage: bool, later: bool
) -> None:
    rounds = Rounds(send, addresses.get(send, ""), include_usage=include_usage, later=later)
    names = ran_in(rounds)
    assert len(names) > 60
    assert wrong_in(rounds, names) == {}


class Once:
    """Raises when it is asked for the `turn`th time."""

    def __init__(self, work: Callable[..., Any], turn: int) -> None:
        self.work, self.left = work, turn

    def __call__(self, *arguments: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise ZeroDivisionError
        return self.work(*arguments)


@pytest.mark.parametrize("name", ("sift", "_step", "_piece", "_end"))
@pytest.mark.parametrize("chunked", (True, False))
def test_a_filter_that_fails_in_the_middle_loses_nothing(name: str, chunked: bool) -> None:
    """Wherever a body is cut, and whenever the filter fails, what is read is the body that was sent."""
    told = events(counted=True)
    sent = b"".join(map(chunk, told)) + b"0\r\n\r\n" if chunked else b"".join(told)
    for cut, turn in itertools.product((1, 7, 64, 300), (1, 2, 3, 5, 8, 13, 40)):
        watch = Observer(silent, include_usage=True).begin("urllib3", "POST", URL, {}, asked("chunks"))
        assert watch is not None
        watch.answered(200, {"content-type": "text/event-stream"})
        sieve = Sieve(watch, Guard(), chunked=chunked)
        setattr(sieve, name, Once(getattr(sieve, name), turn))
        file = io.BufferedReader(Sifted(Cut(sent, cut), sieve, Guard()))
        body = b"".join(unframed(file)) if chunked else file.read()
        assert visible(body) == visible(b"".join(told)), (cut, turn)


URL = "https://api.openai.com/v1/chat/completions"


class Cut(io.BytesIO):
    """A file that gives so many bytes at once."""

    def __init__(self, data: bytes, count: int) -> None:
        super().__init__(data)
        self._count = count

    def read1(self, count: int | None = -1) -> bytes:
        return super().read1(self._count)


def unframed(file: Any) -> Iterator[bytes]:
    """The chunks of a body, as strict as a client is."""
    while size := int(file.readline().partition(b";")[0], 16):
        yield file.read(size)
        assert file.readline() == b"\r\n"
    assert file.readline() == b"\r\n"
