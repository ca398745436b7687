"""One attempt at a model, watched from the request to its end, however it ends: the Call of it.

In: what a transport sees, as it sees it: request, status and headers, pieces of the body, the end or the failure. Out:
a Call with ids and with who was asking, told to `deliver` at the end, once. Pieces are read as they pass and not kept.
What it must never know: which client library it is, where Calls go, a price (it is told who prices).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from tachograph import wire
from tachograph.call import Call, derive_id
from tachograph.capture.sdk.context import Scope, current
from tachograph.capture.sdk.operations import Operations, key_of, tried_again
from tachograph.capture.sdk.recognise import Recogniser
from tachograph.version import VERSION

Deliver = Callable[[Sequence[Call]], None]
_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What holds for all calls of this process.

    attribution: defaults by field of Call. secret: keyed hashes of users (if `hash_user`) and credentials are made with
    it; empty: credentials leave no trace and users are told as they are.
    """

    attribution: Mapping[str, str] = field(default_factory=dict)
    secret: bytes = b""
    hash_user: bool = False


class Observer:
    """What transports tell. One for the process, shared by all threads."""

    def __init__(
        self,
        deliver: Deliver,
        recogniser: Recogniser | None = None,
        circumstances: Circumstances | None = None,
        *,
        price: Callable[[Call], None] | None = None,
    ) -> None:
        """deliver: takes finished calls, from any thread, and never waits. price: writes what a call cost, where the
        process asks to know at once.
        """
        self.deliver, self.price = deliver, price
        self.recogniser = recogniser or Recogniser()
        self.circumstances = circumstances or Circumstances()
        self.operations = Operations()
        self.hashed = lru_cache(maxsize=4096)(self._hashed)

    def begin(
        self,
        transport: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        members: Mapping[str, Any] | None = None,
    ) -> Watch | None:
        """A request that is about to be sent; None where it is no call to a model.

        transport: name of the client package. headers: names in lower case. members: of a form, its plain fields.
        """
        known, provider = self.recogniser.recognise(method, url, body)
        if not known:
            return None
        return Watch(self, transport, wire.Request(url, method, headers, body, members), provider)

    def _hashed(self, text: str) -> str:
        return hmac.new(self.circumstances.secret, text.encode(), hashlib.sha256).hexdigest()[:16]


class Watch:
    """One attempt. `answered` once, `piece` for each piece of the body, then one of `complete`, `failed`, `closed`;
    whatever is told after that is not heard.
    """

    __slots__ = (
        "_attempt",
        "_began_ns",
        "_cause",
        "_key",
        "_observer",
        "_operation_id",
        "_provider",
        "_reader",
        "_scope",
        "_source",
        "_started_at",
        "_status",
        "done",
        "request",
    )

    def __init__(self, observer: Observer, transport: str, request: wire.Request, provider: str | None) -> None:
        self._observer, self.request, self._provider = observer, request, provider
        self._source = f"sdk {VERSION} {transport}"
        self._scope: Scope = current()
        self._cause = _cause(self._scope)
        self._key = key_of(request.url, request.body)
        self._reader: wire.Reader | None = None
        self._status: int | None = None
        self.done = False
        self._started_at, self._began_ns = datetime.now(UTC), time.perf_counter_ns()
        self._operation_id, self._attempt = observer.operations.begin(request.headers, self._key, self._began_ns / 1e9)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Status and headers have come."""
        self._status = status
        self._reader = self._read(status, headers)

    def piece(self, data: bytes) -> None:
        """A piece of the body, as it travelled."""
        if self._reader is not None and not self.done:
            self._reader.feed(data, (time.perf_counter_ns() - self._began_ns) // 1000)

    def complete(self) -> None:
        """The body has come to its end."""
        self._end(wire.End.COMPLETE)

    def failed(self, failure: BaseException) -> None:
        """The transport raised, or the caller was stopped while it waited."""
        self._end(end_of(failure))

    def closed(self) -> None:
        """The caller let go of the answer; nothing to tell where it had come whole."""
        self._end(wire.End.CLIENT_GONE)

    def _read(self, status: int | None, headers: Mapping[str, str]) -> wire.Reader:
        return wire.Reader(
            self.request,
            wire.FORMATS,
            status=status,
            headers=headers,
            provider=self._provider,
            started_at=self._started_at,
        )

    def _end(self, end: wire.End) -> None:
        if self.done:
            return
        self.done = True  # first: what fails below must not be tried again by whoever closes
        now_ns = time.perf_counter_ns()
        reader = self._reader or self._read(None, {})
        calls = reader.close((now_ns - self._began_ns) // 1000, end)
        self._reader = None
        if tried_again(self._status) and end is not wire.End.CLIENT_GONE:
            self._observer.operations.failed(self._key, self._operation_id, self._attempt, now_ns / 1e9)
        for call in calls:
            self._complete(call)
        if self._observer.price is not None:
            for call in calls:
                self._observer.price(call)
        for totals in self._scope.totals:
            for call in calls:
                totals.add(call)
        self._observer.deliver(calls)

    def _complete(self, call: Call) -> None:
        """Ids, who asked, and what recorded it."""
        scope, circumstances = self._scope, self._observer.circumstances
        call.source, call.vantage = self._source, "client"
        call.operation_id, call.attempt = self._operation_id, max(call.attempt, self._attempt)
        call.received_at = self._started_at + timedelta(milliseconds=call.duration_ms or 0)
        for name, value in circumstances.attribution.items():
            setattr(call, name, value)
        for name, value in scope.values.items():
            setattr(call, name, value)
        if scope.tags:
            call.tags = dict(scope.tags)
        if circumstances.secret:
            call.api_key_id = self._credential()
            if circumstances.hash_user and call.user_id:
                call.user_id = self._observer.hashed(call.user_id)
        if not call.trace_id:  # the request had no `traceparent` of its own
            call.trace_id, call.parent_span_id = self._cause
        call.span_id = os.urandom(8).hex()
        call.call_id = derive_id(call.started_at, bytes.fromhex(call.trace_id + call.span_id))

    def _credential(self) -> str | None:
        for name in _CREDENTIALS:
            value = self.request.headers.get(name)
            if value:
                return self._observer.hashed(value.removeprefix("Bearer "))
        return None


def _cause(scope: Scope) -> tuple[str, str | None]:
    """(trace, span above): of the span that OpenTelemetry has open, else of the scope, else a new trace."""
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is not None:
        span = opentelemetry.get_current_span().get_span_context()
        if span.is_valid:
            return f"{span.trace_id:032x}", f"{span.span_id:016x}"
    return scope.trace_id or os.urandom(16).hex(), scope.span_id


# Names of exceptions, of whatever client: no client need be there for us to know them.
_TIMEOUTS = frozenset(("TimeoutException", "TimeoutError", "Timeout", "ReadTimeoutError", "ConnectTimeoutError"))
_BROKEN = frozenset(("ProtocolError", "DecodingError", "ContentDecodingError", "InvalidChunkLength", "DecodeError"))
_GONE = (GeneratorExit, KeyboardInterrupt, SystemExit)
_CUT = ("incomplete", "disconnected", "closed", "reset", "aborted", "not enough data")


def end_of(failure: BaseException) -> wire.End:
    """How an attempt ended that raised this."""
    names = {kind.__name__ for kind in type(failure).__mro__}
    if isinstance(failure, _GONE) or "CancelledError" in names:
        return wire.End.CLIENT_GONE
    if names & _TIMEOUTS or any(name.endswith("Timeout") for name in names):
        return wire.End.TIMEOUT
    if names & _BROKEN and not any(word in str(failure).lower() for word in _CUT):
        return wire.End.PROTOCOL
    return wire.End.NETWORK
