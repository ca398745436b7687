"""httpx and httpx2, sync and async: `HTTPTransport.handle_request`, through which every request of a client goes.

openai >= 3, anthropic >= 1, google-genai, mistralai and huggingface_hub use httpx2; groq, together, cohere and older
clients httpx. The two have one shape. The body is watched where it comes off the connection: still encoded, piece by
piece. Transports of other kinds (mocks, ASGI apps) send nothing to anybody and are not watched.
"""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping
from types import ModuleType
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.usage import REFUSAL_BYTES_MAX, REFUSALS
from tachograph.capture.sdk.watching import ASKED_HEADERS, PIECE_BYTES, Observer, Watch

PACKAGES = ("httpx", "httpx2")


def patch(package: ModuleType, patches: Patches) -> None:
    """Wrap one of the two packages."""
    patches.wrap(package.HTTPTransport, "handle_request", functools.partial(_sync, package, patches))
    patches.wrap(package.AsyncHTTPTransport, "handle_async_request", functools.partial(_asynchronous, package, patches))


def _sync(package: ModuleType, patches: Patches, original: Any) -> Any:
    observer, guard, name = patches.observer, patches.guard, package.__name__
    watched = _of_package(WatchedStream, package.SyncByteStream)
    replayed = _of_package(ReplayedStream, package.SyncByteStream)

    def handle_request(transport: Any, request: Any) -> Any:
        watch = guard(_begin, observer, name, request) if patches.active else None
        if watch is None:
            return original(transport, request)
        try:
            sent = request
            if watch.asks:
                sent = guard.or_else(request, _sent, package, request, watch)
                watch.asks = sent is not request
            response = original(transport, sent)
            if watch.asks and response.status_code in REFUSALS:
                early = replayed(response.stream)
                if guard.or_else(True, watch.refused, early.read()):
                    watch.asks = False
                    early.close()
                    response = original(transport, request)
                else:
                    response.stream, watch.late = early, True
        except BaseException as failure:
            guard(watch.failed, failure)
            raise
        guard(_attach, watch, response, watched, guard)
        return response

    return handle_request


def _asynchronous(package: ModuleType, patches: Patches, original: Any) -> Any:
    observer, guard, name = patches.observer, patches.guard, package.__name__
    watched = _of_package(WatchedAsyncStream, package.AsyncByteStream)
    replayed = _of_package(ReplayedAsyncStream, package.AsyncByteStream)

    async def handle_async_request(transport: Any, request: Any) -> Any:
        watch = guard(_begin, observer, name, request) if patches.active else None
        if watch is None:
            return await original(transport, request)
        try:
            sent = request
            if watch.asks:
                sent = guard.or_else(request, _sent, package, request, watch)
                watch.asks = sent is not request
            response = await original(transport, sent)
            if watch.asks and response.status_code in REFUSALS:
                early = replayed(response.stream)
                if guard.or_else(True, watch.refused, await early.read()):
                    watch.asks = False
                    await early.aclose()
                    response = await original(transport, request)
                else:
                    response.stream, watch.late = early, True
        except BaseException as failure:
            guard(watch.failed, failure)
            raise
        guard(_attach, watch, response, watched, guard)
        return response

    return handle_async_request


@functools.lru_cache(maxsize=16)  # the interpreter makes its shortcuts by class: one that is new has none
def _of_package(body: type, kind: type) -> Any:
    """httpx wants bodies to be of its own classes."""
    return type(body.__name__, (body, kind), {})


def _begin(observer: Observer, name: str, request: Any) -> Watch | None:
    headers = functools.partial(_lowered, _items(request.headers))
    content = getattr(request, "_content", None)
    if type(content) is bytes and content:
        return observer.begin(name, request.method, _url(request.url), headers, content)
    stream = request.stream
    return observer.begin(name, request.method, _url(request.url), headers, _content(stream), _form(stream))


def _url(url: Any) -> str:
    """As text, which the packages make anew each time; of one with a query or a name, which may hold a key, they do."""
    parts = getattr(url, "_uri_reference", None)
    return str(url) if parts is None or parts.query or parts.userinfo else _written(parts)


@functools.lru_cache(maxsize=1024)  # a process asks few addresses, and often
def _written(parts: Hashable) -> str:
    return str(parts)


def _content(stream: Any) -> bytes:
    """The body of a request that was made from another (a redirect) and has only the stream of that: the one of all
    bytes (`ByteStream`). Of any other stream nothing, for it may be read only once.
    """
    content = getattr(stream, "_stream", b"")
    return content if isinstance(content, bytes) else b""


def _form(stream: Any) -> Mapping[str, Any] | None:
    """The plain fields of a multipart form (transcriptions say their model in one); None for other bodies."""
    fields = getattr(stream, "fields", None)
    if fields is None:
        return None
    return {
        field.name: _text(field.value) for field in fields if isinstance(getattr(field, "value", None), (str, bytes))
    }


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _items(headers: Any) -> list[tuple[bytes, bytes, bytes]]:
    """(name as written, in lower case, value) of each: a list of its own, for the caller may change the headers."""
    kept = getattr(headers, "_list", None)  # `raw` makes them anew
    return list(kept) if type(kept) is list else [(name, name.lower(), value) for name, value in headers.raw]


def _lowered(items: list[tuple[bytes, bytes, bytes]]) -> dict[str, str]:
    """Of a request: what is read of its headers."""
    return {name: items[at][2].decode("latin-1") for name, at in _places(tuple([name for _, name, _ in items]))}


@functools.lru_cache(maxsize=256)  # a client sends the same headers, time and again
def _places(names: tuple[bytes, ...]) -> list[tuple[str, int]]:
    """Which of these headers are read, and where they are."""
    return [(word, at) for at, name in enumerate(names) if (word := _word(name)) in ASKED_HEADERS]


def _lowered_headers(headers: Any) -> dict[str, str]:
    """Of an answer: nobody changes them, so they are looked at when they are needed."""
    return {_word(name): value.decode("latin-1") for _, name, value in _items(headers)}


@functools.lru_cache(maxsize=1024)  # a process sees few names of headers, and often
def _word(name: bytes) -> str:
    return name.decode("latin-1")


def _sent(package: ModuleType, request: Any, watch: Watch) -> Any:
    """The request with what we ask for more: a copy, the caller's own stays as it was."""
    body = watch.request.body
    replaced = (b"content-length", b"accept-encoding")
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in replaced]
    headers += [(b"Content-Length", str(len(body)).encode()), (b"Accept-Encoding", b"identity")]
    return package.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)


def _attach(watch: Watch, response: Any, stream: Any, guard: Guard) -> None:
    watch.answered(response.status_code, functools.partial(_lowered_headers, response.headers))
    response.stream = stream(response.stream, watch, guard)


class _Watched:
    """A body that tells the watch what passes; for everything else it is the one that it stands for."""

    def __init__(self, stream: Any, watch: Watch, guard: Guard) -> None:
        self._stream, self._watch, self._guard = stream, watch, guard

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_stream"), name)

    def __del__(self) -> None:
        if self._watch.open:
            self._guard(self._watch.closed)


class WatchedStream(_Watched):
    """A body that is iterated."""

    def __iter__(self) -> Iterator[bytes]:
        watch, guard, now_ns = self._watch, self._guard, time.perf_counter_ns
        opened, left, keep, stamp = watch.open, watch.left, watch.pieces.append, watch.moments.append
        try:
            if watch.asks:
                yield from self._hiding()
            else:
                for piece in self._stream:
                    if left > 0 and opened:  # most pieces: see `Watch`
                        stamp(now_ns())
                        keep(piece)
                        left -= len(piece) + PIECE_BYTES
                    else:
                        watch.left = left
                        guard(watch.piece, piece)
                    yield piece
        except BaseException as failure:
            if opened:  # not where the body was closed before: then its iterator is let go of
                guard(watch.failed, failure)
            raise
        guard(watch.complete)

    def _hiding(self) -> Iterator[bytes]:
        watch, guard = self._watch, self._guard
        for piece in self._stream:
            visible = guard.or_else(watch.held + piece, watch.pass_on, piece)
            if visible:
                yield visible
        rest = guard.or_else(watch.held, watch.rest)
        if rest:
            yield rest

    def close(self) -> None:
        """Close the body; the caller wants no more of it."""
        try:
            self._stream.close()
        finally:
            if self._watch.open:
                self._guard(self._watch.closed)


class WatchedAsyncStream(_Watched):
    """The same for a body that is awaited."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        watch, guard, now_ns = self._watch, self._guard, time.perf_counter_ns
        opened, left, keep, stamp = watch.open, watch.left, watch.pieces.append, watch.moments.append
        try:
            if watch.asks:
                async for piece in self._stream:
                    visible = guard.or_else(watch.held + piece, watch.pass_on, piece)
                    if visible:
                        yield visible
                rest = guard.or_else(watch.held, watch.rest)
                if rest:
                    yield rest
            else:
                async for piece in self._stream:
                    if left > 0 and opened:
                        stamp(now_ns())
                        keep(piece)
                        left -= len(piece) + PIECE_BYTES
                    else:
                        watch.left = left
                        guard(watch.piece, piece)
                    yield piece
        except BaseException as failure:
            if opened:  # not where the body was closed before: then its iterator is let go of
                guard(watch.failed, failure)
            raise
        guard(watch.complete)

    async def aclose(self) -> None:
        """Close the body; the caller wants no more of it."""
        try:
            await self._stream.aclose()
        finally:
            if self._watch.open:
                self._guard(self._watch.closed)


class ReplayedStream:
    """A body of which the beginning was read, and is handed on all the same: its pieces, then what it raised."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._iterator = stream, iter(stream)
        self._pieces: list[bytes] = []
        self._failure: Exception | None = None

    def read(self) -> bytes:
        """The beginning: all of it, of a body of sane length."""
        try:
            for piece in self._iterator:
                self._pieces.append(piece)
                if sum(map(len, self._pieces)) > REFUSAL_BYTES_MAX:
                    break
        except Exception as failure:
            self._failure = failure
        return b"".join(self._pieces)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._failure is not None:
            raise self._failure
        yield from self._iterator

    def close(self) -> None:
        """Close the body."""
        self._stream.close()


class ReplayedAsyncStream:
    """The same for a body that is awaited."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._iterator = stream, aiter(stream)
        self._pieces: list[bytes] = []
        self._failure: Exception | None = None

    async def read(self) -> bytes:
        """The beginning: all of it, of a body of sane length."""
        try:
            async for piece in self._iterator:
                self._pieces.append(piece)
                if sum(map(len, self._pieces)) > REFUSAL_BYTES_MAX:
                    break
        except Exception as failure:
            self._failure = failure
        return b"".join(self._pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._failure is not None:
            raise self._failure
        async for piece in self._iterator:
            yield piece

    async def aclose(self) -> None:
        """Close the body."""
        await self._stream.aclose()
