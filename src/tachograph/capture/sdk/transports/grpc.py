"""gRPC, sync and async, where a client library of a provider speaks it (xai-sdk).

Calls of a method that `wire.xai_grpc` lists are watched: each message where it is turned from bytes into an object of
the caller's, by a deserializer of ours around the caller's, and the end by a callback of gRPC's own. The caller gets
gRPC's own objects. No watch holds a call alive: a stream that is dropped is cancelled as it always was. An attempt that
gRPC itself makes again (its retry policy) cannot be told from the first.
What it must never know: the name of a member of a message.
"""

from __future__ import annotations

import copy
import json
import math
import re
import weakref
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.watching import Observer, Watch
from tachograph.wire.xai_grpc import METHODS

PACKAGES = ("grpc._channel", "grpc.aio._call")
TEXT_CHARS_MAX = 256  # of a text in a message: names are shorter, and of all else it is enough that it is there
ITEMS_MAX = 256
DEPTH_MAX = 8

# gRPC's codes from 1 on, as HTTP statuses: as grpc-gateway and Google's APIs map them.
_STATUSES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
# UNAVAILABLE is also what gRPC says of itself, when it cannot reach anybody.
_UNREACHED = re.compile(r"(?i)connect|socket|recvmsg|sendmsg|tcp|dns|resol|handshake|goaway|broken pipe|stream removed")


def patch(package: ModuleType, patches: Patches) -> None:
    """Wrap the sync or the async half."""
    if package.__name__ == PACKAGES[1]:
        patches.wrap(package.UnaryUnaryCall, "__init__", _made_async(patches, streamed=False))
        patches.wrap(package.UnaryStreamCall, "__init__", _made_async(patches, streamed=True))
        return
    patches.wrap(package._UnaryUnaryMultiCallable, "__call__", _blocking(patches))
    patches.wrap(package._UnaryUnaryMultiCallable, "with_call", _blocking(patches))
    patches.wrap(package._UnaryUnaryMultiCallable, "future", _started(patches, streamed=False))
    for name in ("_UnaryStreamMultiCallable", "_SingleThreadedUnaryStreamMultiCallable"):
        if hasattr(package, name):
            patches.wrap(getattr(package, name), "__call__", _started(patches, streamed=True))


class _Rpc:
    """One call: what is told of it. It is also the deserializer of its answers, and where it is dropped the call ends.

    An async call that asks for one message hears of its end before that message is read.
    """

    __slots__ = ("_deserialize", "_guard", "_over", "_streamed", "answered", "watch")

    def __init__(self, watch: Watch, guard: Guard, deserialize: Callable[[bytes], Any], *, streamed: bool) -> None:
        self.watch, self._guard, self._deserialize, self._streamed = watch, guard, deserialize, streamed
        self.answered = self._over = False

    def __del__(self) -> None:
        self._guard(self.watch.closed)

    def __call__(self, data: bytes) -> Any:
        message = self._deserialize(data)
        self._guard(self._message, message)
        return message

    def _message(self, message: Any) -> None:
        self._tell(200, plain(message))
        if self._over:
            self.watch.complete()

    def _tell(self, status: int, value: Mapping[str, Any]) -> None:
        if not self.answered:
            self.answered = True
            kind = "application/x-ndjson" if self._streamed and status == 200 else "application/json"
            self.watch.late = True  # this is a message: when the headers came gRPC does not tell
            self.watch.answered(status, {"content-type": kind})
        self.watch.piece(json.dumps(value, separators=(",", ":")).encode() + b"\n")

    def ended(self, code: str, details: str) -> None:
        """code: gRPC's word; details: its sentence."""
        if code == "OK":
            self._over = True
            if self.answered or self._streamed:
                self.watch.complete()
        elif code == "CANCELLED":
            self.watch.closed()
        elif code == "DEADLINE_EXCEEDED":
            self.watch.failed(TimeoutError())
        elif code == "UNAVAILABLE" and _UNREACHED.search(details):
            self.watch.failed(ConnectionError())
        else:
            self._tell(_STATUSES.get(code, 500), {"error": {"code": code}})
            self.watch.complete()

    def raised(self, failure: BaseException) -> None:
        """What the caller gets in place of an answer."""
        code = getattr(failure, "code", None)
        if callable(code) and code() is not None:
            self.ended(code().name, str(failure.details()))  # type: ignore[attr-defined]
        else:
            self.watch.failed(failure)


def _begin(
    observer: Observer, guard: Guard, call: Any, request: Any, metadata: Any, deserialize: Any, streamed: bool
) -> _Rpc | None:
    """call: has the method, and perhaps the target."""
    method = _text(call._method)
    if method not in METHODS or deserialize is None or not hasattr(request, "ListFields"):
        return None
    target = _text(getattr(call, "_target", b"")).rpartition("/")[2] or "unknown"
    headers = {name.lower(): value for name, value in metadata or () if isinstance(value, str)}
    members = plain(request, inner=False) | {"stream": streamed}
    url = f"https://{target}{method}"
    watch = observer.begin("grpc", "POST", url, headers, request.SerializeToString(), members)
    return None if watch is None else _Rpc(watch, guard, deserialize, streamed=streamed)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


# sync


def _watched(patches: Patches, call: Any, request: Any, named: Mapping[str, Any], others: Any, streamed: bool) -> Any:
    """(the call with a deserializer of ours, what is told); nothing where it is no call to a model."""
    metadata = named.get("metadata", others[1] if len(others) > 1 else None)
    rpc = _begin(patches.observer, patches.guard, call, request, metadata, call._response_deserializer, streamed)
    if rpc is None:
        return None
    ours = copy.copy(call)
    ours._response_deserializer = rpc
    return ours, rpc


def _blocking(patches: Patches) -> Callable[[Any], Any]:
    guard = patches.guard

    def make(original: Any) -> Any:
        def ask(call: Any, request: Any, *others: Any, **named: Any) -> Any:
            watched = guard(_watched, patches, call, request, named, others, False) if patches.active else None
            if watched is None:
                return original(call, request, *others, **named)
            ours, rpc = watched
            try:
                answer = original(ours, request, *others, **named)
            except BaseException as failure:
                guard(rpc.raised, failure)
                raise
            guard(rpc.ended, "OK", "")
            return answer

        return ask

    return make


def _started(patches: Patches, *, streamed: bool) -> Callable[[Any], Any]:
    guard = patches.guard

    def make(original: Any) -> Any:
        def start(call: Any, request: Any, *others: Any, **named: Any) -> Any:
            watched = guard(_watched, patches, call, request, named, others, streamed) if patches.active else None
            if watched is None:
                return original(call, request, *others, **named)
            ours, rpc = watched
            try:
                running = original(ours, request, *others, **named)
            except BaseException as failure:
                guard(rpc.raised, failure)
                raise
            guard(_follow, guard, running, rpc)
            return running

        return start

    return make


def _follow(guard: Guard, running: Any, rpc: _Rpc) -> None:
    """Have the end told. gRPC keeps the callback until then, so it must not keep the call."""
    reference = weakref.ref(running)

    def end() -> None:
        guard(_end, reference(), rpc)

    if not running.add_callback(end):
        end()  # it has ended already


def _end(running: Any, rpc: _Rpc) -> None:
    if running is None:  # dropped, and thereby cancelled
        rpc.watch.closed()
    else:
        rpc.ended(running.code().name, str(running.details()))


# async


def _made_async(patches: Patches, *, streamed: bool) -> Callable[[Any], Any]:
    """A call is made where an attempt begins, below all interceptors."""
    guard = patches.guard

    def make(original: Any) -> Any:
        def construct(call: Any, *arguments: Any, **named: Any) -> None:
            begun = guard(_begin_async, patches, call, arguments, streamed) if patches.active else None
            if begun is None:
                original(call, *arguments, **named)
                return
            arguments, rpc = begun
            try:
                original(call, *arguments, **named)
            except BaseException as failure:
                guard(rpc.raised, failure)
                raise
            guard(_follow_async, guard, call, rpc)

        return construct

    return make


# Where the arguments of a call stand.
_REQUEST, _METADATA, _METHOD, _DESERIALIZE = 0, 2, 6, 8


class _Named:
    """A method without a target: an async channel does not say where it leads."""

    def __init__(self, method: Any) -> None:
        self._method = method


def _begin_async(patches: Patches, call: Any, arguments: tuple[Any, ...], streamed: bool) -> Any:
    request, metadata, deserialize = (arguments[at] for at in (_REQUEST, _METADATA, _DESERIALIZE))
    named = _Named(arguments[_METHOD])
    rpc = _begin(patches.observer, patches.guard, named, request, metadata, deserialize, streamed)
    if rpc is None:
        return None
    return (*arguments[:_DESERIALIZE], rpc, *arguments[_DESERIALIZE + 1 :]), rpc


def _follow_async(guard: Guard, call: Any, rpc: _Rpc) -> None:
    reference = weakref.ref(call)
    call._cython_call.add_done_callback(lambda: guard(_end_async, reference(), rpc))


def _end_async(call: Any, rpc: _Rpc) -> None:
    if call is None:
        rpc.watch.closed()
        return
    status = _at_once(call._cython_call.status())
    code = _CODES.get(status.code(), "UNKNOWN")
    rpc.ended(code, str(status.details()))


_CODES = dict(enumerate(("OK", *_STATUSES)))


def _at_once(coroutine: Any) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    raise RuntimeError("the status of a call that has ended was not there")


# messages


def plain(message: Any, *, inner: bool = True, depth: int = 0) -> dict[str, Any]:
    """A message as a plain object: enumerations by name, moments in seconds, texts cut, zeros left out.

    inner: with the messages inside; without, an empty one stands for each.
    """
    return {
        field.name: _value(field, value, inner, depth)
        for field, value in message.ListFields()
        if depth < DEPTH_MAX and not hasattr(value, "items")  # maps hold what callers name themselves
    }


def _value(field: Any, value: Any, inner: bool, depth: int) -> Any:
    if isinstance(value, (str, bool)):
        return value[:TEXT_CHARS_MAX] if isinstance(value, str) else value
    if isinstance(value, (int, float)):
        return _number(field, value)
    if isinstance(value, bytes):
        return ""
    if hasattr(value, "ListFields"):
        if value.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
            return value.seconds
        return plain(value, depth=depth + 1) if inner else {}
    return [_value(field, item, inner, depth) for item in value[:ITEMS_MAX]] if inner else []


def _number(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    return value if math.isfinite(value) else None
