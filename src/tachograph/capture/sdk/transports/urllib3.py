"""urllib3 1.26 and 2, and all that stands on it: requests, and botocore with its signed requests to Bedrock.

Every attempt goes through `HTTPConnectionPool._make_request`, also each one that urllib3's own `Retry` makes. The body
is watched where it comes off the connection, in the response of `http.client` below: still encoded, its framing undone,
whichever way the caller reads it. That response becomes one of a class of ours, made from its own, before anything is
read. Bodies in chunks urllib3 reads past it; there its two methods for one chunk are wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import urllib3_usage as usage
from tachograph.capture.sdk.usage import REFUSALS
from tachograph.capture.sdk.watching import Observer, Watch

PACKAGES = ("urllib3",)
_TAP = "_tachograph"
_PORTS = {"http": 80, "https": 443}


def patch(package: ModuleType, patches: Patches) -> None:
    """Wrap urllib3."""
    tap = _tapping(patches.guard)
    response = package.response.HTTPResponse
    patches.wrap(package.connectionpool.HTTPConnectionPool, "_make_request", _attempts(patches, tap))
    patches.wrap(package.connection.HTTPConnection, "getresponse", _answers(patches.guard, tap))  # of version 2 only
    patches.wrap(response, "_update_chunk_length", _sizes(patches.guard))
    patches.wrap(response, "_handle_chunk", _takes(patches.guard))


class _Tap:
    """What a response knows of us. reading: its headers or a chunk: that it is closed now is not the caller's doing.
    waiting: whether it counts will be seen. hiding: what it reads from tells the pieces.
    """

    __slots__ = ("hiding", "reading", "waiting", "watch")

    def __init__(self, watch: Watch) -> None:
        self.watch, self.reading = watch, True
        self.hiding = self.waiting = False


Tapping = Callable[[Any, Watch], None]


# the request


def _attempts(patches: Patches, tap: Tapping) -> Callable[[Any], Any]:
    guard = patches.guard

    def make(original: Any) -> Any:
        def _make_request(pool: Any, connection: Any, method: str, url: str, *others: Any, **named: Any) -> Any:
            watch = guard(_begin, patches.observer, pool, method, url, named) if patches.active else None
            if watch is None:
                return original(pool, connection, method, url, *others, **named)
            guard(setattr, connection, _TAP, watch)
            try:
                sent = guard.or_else(named, usage.asking, pool, named, watch)
                watch.asks = sent is not named
                response = original(pool, connection, method, url, *others, **sent)
                if watch.asks and response.status in REFUSALS:
                    if guard.or_else(True, usage.refused, response, watch):
                        watch.asks = False
                        connection.close()  # so that nothing is left on it, whatever was read of the error
                        guard(setattr, connection, _TAP, watch)
                        response = original(pool, connection, method, url, *others, **named)
                    else:
                        watch.late = True
                        guard(_seen, response)
            except BaseException as failure:
                guard(_fell, watch, failure)
                raise
            finally:
                unheard = guard(_taken, connection)
            if unheard is not None:
                guard(_answered_here, response, watch, tap, guard)
            return response

        return _make_request

    return make


def _begin(observer: Observer, pool: Any, method: str, url: str, named: Mapping[str, Any]) -> Watch | None:
    name = "botocore" if type(pool).__module__.startswith("botocore.") else "urllib3"
    return observer.begin(name, method, _url(pool, url), _lowered(named.get("headers")), _sent(named.get("body")))


def _url(pool: Any, url: str) -> str:
    """The whole address; a proxy is asked for it whole already."""
    if not url.startswith("/"):
        return url
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    port = "" if pool.port in (None, _PORTS.get(pool.scheme)) else f":{pool.port}"
    return f"{pool.scheme}://{host}{port}{url}"


def _sent(body: Any) -> bytes:
    """The body where it is there as a whole; what is read while it is sent may be read only once."""
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    return bytes(body) if isinstance(body, (bytes, bytearray, memoryview)) else b""


def _lowered(headers: Any) -> dict[str, str]:
    return {_text(name).lower(): _text(value) for name, value in headers.items()} if headers else {}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


# the answer


def _seen(response: Any) -> None:
    """An error was not about what we asked. Of version 1 it is told with all others."""
    below: Any = getattr(response, "_fp", None)
    body: bytes | None = getattr(response, "_body", None)
    if not hasattr(below, _TAP):
        return
    if body is None:
        _begun(below)
        return
    below._tachograph.waiting = False
    below._tachograph.watch.answered(below.status, _lowered(below.headers))
    below._tachograph.watch.piece(body)
    below._tachograph.watch.complete()


def _taken(connection: Any) -> Watch | None:
    """The watch that waits at this connection for its answer; it is found once."""
    watch: Watch | None = vars(connection).pop(_TAP, None)
    return watch


def _answers(guard: Guard, tap: Tapping) -> Callable[[Any], Any]:
    """Version 2 makes its response, and may read all of it, before anybody sees it: so the one below is tapped as soon
    as it is made.
    """

    def make(original: Any) -> Any:
        def getresponse(connection: Any, *arguments: Any, **named: Any) -> Any:
            watch = guard(_taken, connection)
            if watch is None:
                return original(connection, *arguments, **named)
            put = guard(_put, connection, watch, tap, guard)
            try:
                return original(connection, *arguments, **named)
            finally:
                guard(_taken_back, connection, put)

        return getresponse

    return make


def _put(connection: Any, watch: Watch, tap: Tapping, guard: Guard) -> tuple[Any, Any]:
    """Have the connection make tapped responses. (what it had of its own, ours)"""
    kind = connection.response_class

    def tapped(*arguments: Any, **named: Any) -> Any:
        response = kind(*arguments, **named)
        guard(tap, response, watch)
        return response

    own = vars(connection).get("response_class")
    connection.response_class = tapped
    return own, tapped


def _taken_back(connection: Any, put: tuple[Any, Any] | None) -> None:
    if put is None or vars(connection).get("response_class") is not put[1]:
        return  # a connection that was closed meanwhile may have put back its own
    if put[0] is None:
        del connection.response_class
    else:
        connection.response_class = put[0]


def _answered_here(response: Any, watch: Watch, tap: Tapping, guard: Guard) -> None:
    """The answer of version 1, whose body is still to come; or one that others have put in its place."""
    if hasattr(response, "begin"):
        tap(response, watch)
        _begun(response, guard)
        return
    data = vars(response).get("_data")  # HTTP/2, which is read as a whole
    watch.late = True
    watch.answered(response.status, _lowered(response.headers))
    if isinstance(data, bytes):
        watch.piece(data)
        watch.complete()
    watch.closed()


# the body


def _tapping(guard: Guard) -> Tapping:
    kinds: dict[Any, type] = {}  # one or two: a class of ours for each class of theirs

    def tap(response: Any, watch: Watch) -> None:
        kind = type(response)
        if kind not in kinds:
            kinds[kind] = _tapped(guard, kind)
        setattr(response, _TAP, _Tap(watch))
        response.__class__ = kinds[kind]

    return tap


def _tapped(guard: Guard, kind: Any) -> type:
    """`kind`, which is `http.client.HTTPResponse` or made from it, with all that it reads told."""

    def told(response: Any, read: Any, *amount: Any) -> Any:
        try:
            data = read(response, *amount)
        except BaseException as failure:
            guard(_failed, response, failure)
            raise
        guard(_read, response, data)
        return data

    class Tapped(kind):  # type: ignore[misc]
        def begin(self) -> None:
            kind.begin(self)
            guard(_begun, self, guard, True)

        def read(self, *amount: Any) -> Any:
            return told(self, kind.read, *amount)

        def read1(self, *amount: Any) -> Any:
            return told(self, kind.read1, *amount)

        def readinto(self, buffer: Any) -> Any:
            try:
                count = kind.readinto(self, buffer)
            except BaseException as failure:
                guard(_failed, self, failure)
                raise
            guard(_filled, self, buffer, count)
            return count

        def close(self) -> None:
            try:
                kind.close(self)
            finally:
                guard(_closed, self)

    Tapped.__name__, Tapped.__qualname__, Tapped.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Tapped


def _begun(response: Any, guard: Guard | None = None, may_wait: bool = False) -> None:
    """guard: where what comes may be sifted. may_wait: an error may be about what we asked, which is seen later."""
    tap = response._tachograph
    tap.waiting = tap.reading = may_wait and usage.waits(response, tap.watch)
    if tap.waiting:
        return
    tap.watch.answered(response.status, _lowered(response.headers))
    if response.length == 0:
        tap.watch.complete()
    elif guard is not None and tap.watch.hides:
        tap.hiding = usage.hide(response, tap.watch, guard)


def _read(response: Any, data: bytes) -> None:
    tap = response._tachograph
    if tap.waiting:
        return
    watch = tap.watch
    if data and not tap.hiding:
        watch.piece(data)
    if response.length == 0 or (response.fp is None and response.length is None):
        watch.complete()
    elif response.fp is None:
        watch.failed(EOFError("the connection was closed before the end of the body"))


def _filled(response: Any, buffer: Any, count: int) -> None:
    _read(response, bytes(memoryview(buffer)[:count]))


def _failed(response: Any, failure: BaseException) -> None:
    tap = response._tachograph
    if tap.waiting:
        return
    partial = getattr(failure, "partial", None)
    if isinstance(partial, bytes) and partial and not tap.hiding:
        tap.watch.piece(partial)
    _fell(tap.watch, failure)


def _closed(response: Any) -> None:
    if not response._tachograph.reading:
        response._tachograph.watch.closed()


def _sizes(guard: Guard) -> Callable[[Any], Any]:
    """The size of the next chunk, which urllib3 reads from the connection itself; 0 is the end of the body."""

    def make(original: Any) -> Any:
        def _update_chunk_length(response: Any) -> Any:
            tap = getattr(getattr(response, "_fp", None), _TAP, None)
            if tap is None:
                return original(response)
            tap.reading = True
            try:
                result = original(response)
            except BaseException as failure:
                guard(_failed, response._fp, failure)
                raise
            finally:
                tap.reading = False
            if response.chunk_left == 0:
                guard(tap.watch.complete)
            return result

        return _update_chunk_length

    return make


def _takes(guard: Guard) -> Callable[[Any], Any]:
    """A chunk, or as much of it as was wanted."""

    def make(original: Any) -> Any:
        def _handle_chunk(response: Any, amount: Any) -> Any:
            tap = getattr(getattr(response, "_fp", None), _TAP, None)
            if tap is None:
                return original(response, amount)
            try:
                data = original(response, amount)
            except BaseException as failure:
                guard(_failed, response._fp, failure)
                raise
            if not tap.hiding:
                guard(tap.watch.piece, data)
            return data

        return _handle_chunk

    return make


# failures


def _fell(watch: Watch, failure: BaseException) -> None:
    watch.failed(_named(failure))


def _named(failure: BaseException) -> BaseException:
    """The failure, or one that says better what happened where urllib3's name misleads."""
    names = {kind.__name__ for kind in type(failure).__mro__}
    if "NewConnectionError" in names:  # a kind of ConnectTimeoutError, though nobody waited
        return ConnectionError(str(failure))
    if "InvalidChunkLength" in names and not getattr(failure, "length", b""):
        return EOFError("the connection was closed where a chunk was due")
    if "ProtocolError" in names and "prematurely" in str(failure):
        return EOFError(str(failure))
    return failure
