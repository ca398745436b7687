"""aiohttp's client, and what stands on it: aiobotocore, httpx-aiohttp and with it openai[aiohttp].

An attempt is one `BaseConnector.connect`, one `ClientRequest.send`, one `ClientResponse.start`: redirects and retries
inside aiohttp are attempts of their own. The body is watched as it arrives at the response's `StreamReader`, which
becomes one of a class of ours, made from its own: so it matters not how, or whether, the caller reads it. It has been
unpacked by then, unless the caller wanted it packed. WebSockets pass untouched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import aiohttp_usage as usage
from tachograph.capture.sdk.watching import Observer, Watch

PACKAGES = ("aiohttp",)
_TAP = "_tachograph"
_PLAIN = "_tachograph_plain"  # of a connection: bodies come unpacked
_UNPACKED = frozenset(("gzip", "deflate", "br", "zstd"))
_FIELD = re.compile(r'(?<!file)name="([^"]{1,64})"')


def patch(package: ModuleType, patches: Patches) -> None:
    """Wrap aiohttp."""
    guard, response = patches.guard, package.ClientResponse
    patches.wrap(package.ClientSession, "_request", usage.requests(package, patches, _headers))
    patches.wrap(package.BaseConnector, "connect", _connects(patches))
    for name in ("send", "_send"):  # it is the one or the other
        patches.wrap(package.ClientRequest, name, _sends(guard))
    patches.wrap(response, "start", _starts(guard, _watching(guard)))
    patches.wrap(package.client_proto.ResponseHandler, "set_response_params", _tells_of_packing(guard))
    for name in ("close", "release"):
        patches.wrap(response, name, _leaves(guard))


class _Tap:
    """Goes from the request to its response. Where either is dropped on the way, that is the end of the attempt."""

    __slots__ = ("_guard", "watch")

    def __init__(self, watch: Watch, guard: Guard) -> None:
        self.watch: Watch | None = watch
        self._guard = guard

    def __del__(self) -> None:
        if self.watch is not None:
            self._guard(self.watch.closed)


def _forget(response: Any) -> None:
    """Another goes on with the watch."""
    _taken(response).watch = None


def _taken(owner: Any) -> Any:
    """What waits at a request, a response or a connection; it is found once."""
    return vars(owner).pop(_TAP, None)


# the request


def _connects(patches: Patches) -> Callable[[Any], Any]:
    guard = patches.guard

    def make(original: Any) -> Any:
        async def connect(connector: Any, request: Any, *others: Any, **named: Any) -> Any:
            watch = guard(_begin, patches.observer, request, guard) if patches.active else None
            if watch is None:
                return await original(connector, request, *others, **named)
            try:
                return await original(connector, request, *others, **named)
            except BaseException as failure:
                guard(_failed, watch, failure, request)
                raise

        return connect

    return make


def _begin(observer: Observer, request: Any, guard: Guard) -> Watch | None:
    headers = _lowered(request.headers)
    if "upgrade" in headers:
        return None
    body = request.body
    watch = usage.resumed()
    if watch is None:
        watch = observer.begin("aiohttp", request.method, str(request.url), headers, _sent(body), _form(body))
    if watch is not None:
        if watch.asks:
            usage.ask(request, watch)
        setattr(request, _TAP, _Tap(watch, guard))
    return watch


def _sent(body: Any) -> bytes:
    """The body where it is there as a whole; what is read while it is sent may be read only once."""
    value = getattr(body, "_value", body)
    if hasattr(value, "getvalue"):  # a file in memory
        value = value.getvalue()
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else b""


def _form(body: Any) -> Mapping[str, Any] | None:
    """The plain fields of a multipart form; None for other bodies."""
    parts = getattr(body, "_parts", None)
    if not isinstance(parts, list):
        return None
    fields = {}
    for part, *_ in parts:
        disposition = part.headers.get("content-disposition", "")
        name = _FIELD.search(disposition)
        if name is not None and "filename" not in disposition:
            fields[name[1]] = _sent(part).decode("utf-8", "replace")
    return fields


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _sends(guard: Guard) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        async def send(request: Any, *arguments: Any, **named: Any) -> Any:
            tap = guard(_taken, request)
            if tap is None:
                return await original(request, *arguments, **named)
            try:
                response = await original(request, *arguments, **named)
            except BaseException as failure:
                guard(_failed, tap.watch, failure, request)
                raise
            guard(setattr, response, _TAP, tap)
            return response

        return send

    return make


# the answer


def _starts(guard: Guard, answered: Callable[[Any, Watch], None]) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        async def start(response: Any, *arguments: Any, **named: Any) -> Any:
            tap = getattr(response, _TAP, None)
            if tap is None:
                return await original(response, *arguments, **named)
            try:
                started = await original(response, *arguments, **named)
            except BaseException as failure:
                guard(_failed, tap.watch, failure, response)
                raise
            if guard(usage.may_refuse, response, tap.watch):
                guard(_forget, response)
            else:
                guard(answered, response, tap.watch)
            return started

        return start

    return make


def _tells_of_packing(guard: Guard) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        def set_response_params(protocol: Any, *arguments: Any, **named: Any) -> Any:
            guard(setattr, protocol, _PLAIN, bool(named.get("auto_decompress", True)))
            return original(protocol, *arguments, **named)

        return set_response_params

    return make


def _leaves(guard: Guard) -> Callable[[Any], Any]:
    """The caller lets go of the response; its body is told so as if it had failed, so this must come before."""

    def make(original: Any) -> Any:
        def leave(response: Any, *arguments: Any, **named: Any) -> Any:
            tap = guard(_taken, response)
            if tap is not None:
                guard(_left, response, tap.watch)
            return original(response, *arguments, **named)

        return leave

    return make


def _left(response: Any, watch: Watch) -> None:
    if _expired(response):
        watch.failed(TimeoutError())
    else:
        watch.closed()


# the body


def _headers(response: Any) -> dict[str, str]:
    """Those of the body as it is watched."""
    headers = _lowered(response.headers)
    if headers.get("content-encoding", "").lower() in _UNPACKED and getattr(response._protocol, _PLAIN, True):
        del headers["content-encoding"]
    return headers


def _watching(guard: Guard) -> Callable[[Any, Watch], None]:
    kinds: dict[Any, type] = {}  # one: a class of ours for each class of theirs

    def answered(response: Any, watch: Watch) -> None:
        protocol, content = response._protocol, response.content
        watch.answered(response.status, _headers(response))
        begun = getattr(content, "_buffer", ())  # what came with the headers; an empty body has none
        if watch.asks and begun:
            usage.hide_in(content, watch, guard)
        else:
            for piece in begun:
                watch.piece(bytes(piece))
        if content.is_eof():
            watch.complete()
        elif content.exception() is not None:
            watch.failed(_named(content.exception()))
        else:
            kind = type(content)
            if kind not in kinds:
                kinds[kind] = _tapped(guard, kind)
            setattr(protocol, _TAP, watch)  # the reader itself has no room for it
            content.__class__ = kinds[kind]

    return answered


def _tapped(guard: Guard, kind: Any) -> type:
    """`kind`, which is `aiohttp.StreamReader`, with all that it is fed told."""

    class Tapped(kind):  # type: ignore[misc]
        __slots__ = ()

        def feed_data(self, data: Any, *others: Any, **named: Any) -> Any:
            watch = getattr(self._protocol, _TAP, None)
            if watch is None:
                return kind.feed_data(self, data, *others, **named)
            if not watch.asks:
                guard(watch.piece, bytes(data))
                return kind.feed_data(self, data, *others, **named)
            visible = guard.or_else(watch.held + data, watch.pass_on, bytes(data))
            return kind.feed_data(self, visible, len(visible)) if visible else False

        def feed_eof(self) -> Any:
            watch = self._protocol.__dict__.pop(_TAP, None)
            if watch is not None:
                rest = guard.or_else(watch.held, watch.rest) if watch.asks else b""
                if rest:
                    kind.feed_data(self, rest, len(rest))
                guard(watch.complete)
            return kind.feed_eof(self)

        def set_exception(self, failure: Any, *others: Any, **named: Any) -> Any:
            guard(_broken, self, failure)
            return kind.set_exception(self, failure, *others, **named)

    Tapped.__name__, Tapped.__qualname__, Tapped.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Tapped


def _broken(content: Any, failure: Any) -> None:
    watch = _taken(content._protocol)
    if watch is not None:
        watch.failed(_named(failure() if isinstance(failure, type) else failure))


# failures


class ProtocolError(Exception):
    """What came was no HTTP."""


def _failed(watch: Watch, failure: BaseException, timed: Any) -> None:
    """timed: the request or the response, which know the time that the caller gave the whole of it."""
    watch.failed(TimeoutError() if _expired(timed) else _named(failure))


def _expired(timed: Any) -> bool:
    timer = getattr(timed, "_timer", None) or getattr(timed, "timer", None)
    return getattr(timer, "_cancelled", False) is True


def _named(failure: BaseException) -> BaseException:
    """The failure, or one that says better what happened where aiohttp's name does not."""
    names = {kind.__name__ for kind in type(failure).__mro__}
    if names & {"ClientResponseError", "HttpProcessingError"}:
        return ProtocolError(str(failure))
    return failure
