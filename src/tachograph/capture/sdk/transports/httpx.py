"""httpx and httpx2, sync and async: `HTTPTransport.handle_request`, through which every request of a client goes.

openai >= 3, anthropic >= 1, google-genai, mistralai and huggingface_hub use httpx2; groq, together, cohere and older
clients httpx. The two have one shape. The body is watched where it comes off the connection: still encoded, piece by
piece.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from types import ModuleType
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.watching import Observer, Watch

PACKAGES = ("httpx", "httpx2")


def patch(package: ModuleType, patches: Patches) -> None:
    """Wrap one of the two packages."""
    observer, guard, name = patches.observer, patches.guard, package.__name__
    watched, watched_async = _streams(package, guard)

    def sync(original: Any) -> Any:
        def handle_request(transport: Any, request: Any) -> Any:
            watch = guard(_begin, observer, name, request) if patches.active else None
            if watch is None:
                return original(transport, request)
            try:
                response = original(transport, request)
            except BaseException as failure:
                guard(watch.failed, failure)
                raise
            guard(_attach, watch, response, watched)
            return response

        return handle_request

    def asynchronous(original: Any) -> Any:
        async def handle_async_request(transport: Any, request: Any) -> Any:
            watch = guard(_begin, observer, name, request) if patches.active else None
            if watch is None:
                return await original(transport, request)
            try:
                response = await original(transport, request)
            except BaseException as failure:
                guard(watch.failed, failure)
                raise
            guard(_attach, watch, response, watched_async)
            return response

        return handle_async_request

    patches.wrap(package.HTTPTransport, "handle_request", sync)
    patches.wrap(package.AsyncHTTPTransport, "handle_async_request", asynchronous)


def _begin(observer: Observer, name: str, request: Any) -> Watch | None:
    headers = _lowered(request.headers.raw)
    content = getattr(request, "_content", b"")  # absent while the body is a stream: then it may be read only once
    return observer.begin(name, request.method, str(request.url), headers, content, _form(request.stream))


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


def _lowered(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


def _attach(watch: Watch, response: Any, stream: Any) -> None:
    watch.answered(response.status_code, _lowered(response.headers.raw))
    response.stream = stream(response.stream, watch)


def _streams(package: ModuleType, guard: Guard) -> tuple[Any, Any]:
    """Bodies that tell the watch what passes. httpx wants them to be of its own classes."""

    class WatchedStream(package.SyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, stream: Any, watch: Watch) -> None:
            self._stream, self._watch = stream, watch

        def __iter__(self) -> Iterator[bytes]:
            watch = self._watch
            try:
                for piece in self._stream:
                    guard(watch.piece, piece)
                    yield piece
            except BaseException as failure:
                guard(watch.failed, failure)
                raise
            guard(watch.complete)

        def close(self) -> None:
            try:
                self._stream.close()
            finally:
                guard(self._watch.closed)

        def __del__(self) -> None:
            guard(self._watch.closed)

    class WatchedAsyncStream(package.AsyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(self, stream: Any, watch: Watch) -> None:
            self._stream, self._watch = stream, watch

        async def __aiter__(self) -> AsyncIterator[bytes]:
            watch = self._watch
            try:
                async for piece in self._stream:
                    guard(watch.piece, piece)
                    yield piece
            except BaseException as failure:
                guard(watch.failed, failure)
                raise
            guard(watch.complete)

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                guard(self._watch.closed)

        def __del__(self) -> None:
            guard(self._watch.closed)

    return WatchedStream, WatchedAsyncStream
