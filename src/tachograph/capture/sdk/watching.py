"""One attempt at a model, watched from the request to its end, however it ends: the Call of it.

In: what a transport sees, as it sees it: request, status and headers, pieces of the body, the end or the failure. Out:
a Call with ids and with who was asking, once. Where somebody reads later (`defer`), pieces are kept until then: reading
many answers in one go costs half of reading each between two waits for the network, and the caller waits for none of
it. What is kept has a bound; past it, and where somebody asks to know at once, pieces are read as they pass.
What it must never know: which client library it is, where Calls go, a price (it is told who prices).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tachograph import wire
from tachograph.call import EPOCH, MICROSECOND, Call
from tachograph.capture.sdk.attribution import attributed, cause_of, identified, tell
from tachograph.capture.sdk.baggage import trace_of
from tachograph.capture.sdk.context import Scope, current
from tachograph.capture.sdk.credential import CREDENTIALS, credential_of
from tachograph.capture.sdk.ending import end_of
from tachograph.capture.sdk.hiding import Hidden
from tachograph.capture.sdk.operations import Answers, Operations, key_of, tried_again
from tachograph.capture.sdk.recognise import Recogniser, is_fetched
from tachograph.capture.sdk.usage import Deployments, is_refusal
from tachograph.forks import follow_forks
from tachograph.version import VERSION
from tachograph.wire import kept

Deliver = Callable[[Sequence[Call]], None]
Defer = Callable[["Watch"], None]
Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]  # names in lower case; or what tells them later
KEPT_BYTES_MAX = 256 * 1024  # of one attempt, request and answer; more is read as it passes
PIECE_BYTES = 160  # what keeping one more piece weighs, beside its bytes
UNREAD_BYTES_MAX = 32 * 1024 * 1024  # of all attempts that have ended and are not read yet
# What is read of the headers of a request; a transport need not keep others.
ASKED_HEADERS = frozenset((*kept.ASKED_HEADERS, *CREDENTIALS, "content-type", "content-length"))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_TRIED_AGAIN = frozenset((wire.End.TIMEOUT, wire.End.NETWORK, wire.End.PROTOCOL))


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
        defer: Defer | None = None,
        price: Callable[[Call], None] | None = None,
        include_usage: bool = False,
        scope_of: Callable[[], Scope] = current,
    ) -> None:
        """deliver: takes finished calls, from any thread, and never waits; also from a finalizer, which may run inside
        `deliver` itself: no lock that is not reentrant. defer: takes attempts that have ended, to call `calls` on them
        once, from any thread; the same holds for it. price: writes what a call cost, where the process asks to know at
        once; the same holds for it. include_usage: ask for the usage of streams where the caller did not. scope_of: who
        is asking.
        """
        self.deliver, self.defer, self.price, self.scope_of = deliver, defer, price, scope_of
        self.unread = Unread()
        self.recogniser = recogniser or Recogniser()
        self.circumstances = circumstances or Circumstances()
        self.operations, self.answers = Operations(), Answers()
        self.deployments = Deployments() if include_usage else None
        self.hashed = lru_cache(maxsize=4096)(self._hashed)

    def begin(
        self,
        transport: str,
        method: str,
        url: str,
        headers: Headers,
        body: bytes = b"",
        members: Mapping[str, Any] | None = None,
    ) -> Watch | None:
        """A request that is about to be sent; None where it is no call to a model.

        transport: name of the client package. method: in capitals. body: empty where it is not known before it is sent.
        members: of a form, its plain fields.
        """
        known, provider = self.recogniser.recognise(method, url, body, members)
        if not known:
            return None
        return Watch(self, transport, wire.Request(url, method, {}, body, members), headers, provider)

    def _hashed(self, text: str) -> str:
        return hmac.new(self.circumstances.secret, text.encode(), hashlib.sha256).hexdigest()[:16]


class Unread:
    """How many bytes of attempts wait to be read. Finalizers count too, also in the middle of counting."""

    def __init__(self) -> None:
        self.renew()
        follow_forks(self.renew)

    def room(self, held_bytes: int) -> bool:
        """Whether so much more may wait; if so it is counted."""
        with self._lock:
            if self._held_bytes + held_bytes > UNREAD_BYTES_MAX:
                return False
            self._held_bytes += held_bytes
            return True

    def read(self, held_bytes: int) -> None:
        """So much has been read."""
        with self._lock:
            self._held_bytes -= held_bytes

    def renew(self) -> None:
        """A forked child reads what it saw itself."""
        self._lock, self._held_bytes = threading.RLock(), 0


class Watch:
    """One attempt: `answered` once, `piece` for each piece of the body, then one of `complete`, `failed`, `closed`,
    from whatever thread; whatever is told after that is not heard. What fails in here makes it deaf: half a record is
    none.

    A transport that can change what it sends and hands on does more, and only where `asks` is true: then `request.body`
    is not the caller's, but one that asks for the usage of the stream (`include_usage`):

    * send `request.body`, with its own `content-length`, and with `accept-encoding: identity`;
    * where the answer's status is in `usage.REFUSALS`, read its body, up to `usage.REFUSAL_BYTES_MAX`: where
      `refused(body)`, send the request again as the caller made it, with this same watch; else hand the body on as it
      is;
    * hand on what `pass_on(piece)` returns in place of each piece (nothing where that is empty), and `rest()` at the
      end, before `complete`. `held` are the bytes that have not been handed on: where `pass_on` fails, `held + piece`
      is what the caller gets.

    `pass_on` and `rest` may be called always; where nothing is hidden they return what came.

    In place of `piece` a transport may keep a piece itself, in three lines and without a call: as long as `open` is not
    empty and `left` is above zero, `moments.append(time.perf_counter_ns())`, `pieces.append(data)` and `left` less
    `len(data) + PIECE_BYTES`. Once it is not above zero, `piece` reads what was kept.

    `answered` is the moment of the headers, unless the transport has set `late`: it learnt of them some time after.
    """

    __slots__ = (
        "_attempt",
        "_began_ns",
        "_body",
        "_cause",
        "_end",
        "_ended_ns",
        "_headers",
        "_headers_ns",
        "_hidden",
        "_observer",
        "_operation_id",
        "_provider",
        "_reader",
        "_redirected",
        "_scope",
        "_started_ns",
        "_status",
        "_thread",
        "_told",
        "_transport",
        "asks",
        "held",
        "late",
        "left",
        "moments",
        "open",
        "pieces",
        "request",
        "waiting_bytes",
    )

    def __init__(
        self, observer: Observer, transport: str, request: wire.Request, headers: Headers, provider: str | None
    ) -> None:
        self._observer, self._transport, self.request, self._provider = observer, transport, request, provider
        self._told: Headers | None = headers  # of the request; looked at by whoever reads, as a rule
        self._scope: Scope = observer.scope_of()
        self._cause = cause_of(self._scope)
        self._thread = threading.get_ident()
        self._reader: wire.Reader | None = None
        self._hidden: Hidden | None = None
        self._status: int | None = None
        self._headers: Headers = {}
        self._headers_ns: int | None = None  # when they came
        self.late = False
        self.pieces: list[bytes] = []  # that are not read yet
        self.moments: list[int] = []  # when each came, in nanoseconds
        at_once = observer.defer is None or observer.price is not None or self._scope.totals  # somebody asks to know
        self.left = 0 if at_once else KEPT_BYTES_MAX - len(request.body)
        self.waiting_bytes = 0
        self._ended_ns, self._end = 0, wire.End.COMPLETE
        self._redirected = False
        self.held = b""
        self.open = [True]  # whoever pops it ends it: two threads may try
        self._body = request.body  # the caller's
        self.asks = False  # a plain attribute, as `held`: what is read outside the guard cannot fail
        self._operation_id, self._attempt = "", 0
        if observer.deployments is not None:
            changed = observer.deployments.asking(request.url, request.body, provider)
            if changed is not None:
                request.body, self.asks = changed, True
        self._started_ns, self._began_ns = time.time_ns(), time.perf_counter_ns()
        if observer.operations.waits:
            at_seconds = self._began_ns / 1e9
            self._operation_id, self._attempt = observer.operations.begin(self._asked(), self._key, at_seconds)

    @property
    def done(self) -> bool:
        """Whether it has ended: nothing more is heard."""
        return not self.open

    @property
    def hides(self) -> bool:
        """Whether what is handed on differs from what comes; known once it has been `answered`."""
        return self._hidden is not None

    def refused(self, body: bytes) -> bool:
        """The answer to what we asked is an error. True: because of what we asked; the caller's own is sent next, here
        and from now on.
        """
        if not (self.asks and is_refusal(body)):
            return False
        self.asks, self.request.body = False, self._body
        assert self._observer.deployments is not None
        self._observer.deployments.refused(self.request.url, self._body)
        return True

    def answered(self, status: int, headers: Headers) -> None:
        """Status and headers have come."""
        try:
            now_ns = time.perf_counter_ns()
            self._status, self._headers = status, headers
            self._headers_ns = None if self.late else now_ns
            if status >= 400 and tried_again(status):  # by its head: clients try again before they let go of it
                self._failed_at(now_ns)
            self._redirected = status in _REDIRECTS and "location" in _seen(headers)
            if self.left <= 0:
                self._reader = self._read()
            if self.asks and status == 200 and _is_plain_stream(_seen(headers)):
                self._hidden = Hidden()
        except BaseException:
            self.open.clear()
            raise

    def piece(self, data: bytes) -> None:
        """A piece of the body, as it travelled."""
        now_ns, reader = time.perf_counter_ns(), self._reader
        if not self.open:
            return
        if reader is None:
            self.moments.append(now_ns)
            self.pieces.append(data)
            self.left -= len(data) + PIECE_BYTES
            if self.left > 0:
                return
        try:
            if reader is None:
                self._reader = self._read()
            else:
                reader.feed(data, (now_ns - self._began_ns) // 1000)
        except BaseException:
            self.open.clear()
            raise

    def pass_on(self, data: bytes) -> bytes:
        """`piece`, and what the caller gets of it."""
        hidden = self._hidden
        try:
            self.piece(data)
            if hidden is None:
                return data
            visible = hidden.feed(data)
            self.held = hidden.held
            return visible
        except BaseException:
            self._hidden = None
            raise

    def rest(self) -> bytes:
        """What the caller gets at the end of the body."""
        hidden, self._hidden, self.held = self._hidden, None, b""
        return b"" if hidden is None else hidden.rest()

    def complete(self) -> None:
        """The body has come to its end."""
        self._ended(wire.End.COMPLETE)

    def failed(self, failure: BaseException) -> None:
        """The transport raised, or the caller was stopped while it waited."""
        self._ended(end_of(failure))

    def closed(self) -> None:
        """The caller let go of the answer; nothing to tell where it had come whole."""
        self._ended(wire.End.CLIENT_GONE)

    def calls(self) -> list[Call]:
        """The Calls of an attempt that has ended: read once, by whom it was handed to."""
        reader, self._reader = self._reader or self._read(), None
        found = reader.close((self._ended_ns - self._began_ns) // 1000, self._end)
        found = list(filter(self._counts, found))
        if found:
            self._complete(found)
        if len(found) > 1:  # results of a batch: one answer, and not attempts of one request
            for call in found:
                call.operation_id, call.attempt = None, 0
        return found

    @property
    def unread(self) -> Unread:
        """Where `waiting_bytes` are counted."""
        return self._observer.unread

    def _read(self) -> wire.Reader:
        """A reader that has read what was kept."""
        self._asked()
        began_ns, headers_ns = self._began_ns, self._headers_ns
        self._headers = headers = _seen(self._headers)
        reader = wire.Reader(
            self.request,
            wire.FORMATS,
            status=self._status,
            headers=headers,
            provider=self._provider,
            started_at=EPOCH + self._started_ns // 1000 * MICROSECOND,
            headers_us=None if headers_ns is None else (headers_ns - began_ns) // 1000,
        )
        pieces, moments, self.pieces, self.moments = self.pieces, self.moments, [], []
        reader.feed_all(pieces, [(at_ns - began_ns) // 1000 for at_ns in moments])
        return reader

    def _asked(self) -> Mapping[str, str]:
        """The headers of the request."""
        if self._told is not None:
            self.request.headers, self._told = _seen(self._told), None
        return self.request.headers

    @property
    def _key(self) -> Hashable:
        """What makes another request the same question."""
        length = None if self._body else self._asked().get("content-length")
        return key_of(self.request.url, self._body, length, self._thread)

    def _operation(self) -> tuple[str, int]:
        """The request that this belongs to, and which attempt of it it is: the first, unless one was waited for."""
        if not self._operation_id:
            self._operation_id, self._attempt = self._observer.operations.first(self._asked()), 0
        return self._operation_id, self._attempt

    def _failed_at(self, at_ns: int) -> None:
        """This will perhaps be tried again."""
        self._observer.operations.failed(self._key, *self._operation(), at_ns / 1e9)

    def _ended(self, end: wire.End) -> None:
        try:
            self.open.pop()  # first: what fails below must not be tried again by whoever closes
        except IndexError:
            return
        self._ended_ns, self._end = time.perf_counter_ns(), end
        if end in _TRIED_AGAIN:
            self._failed_at(self._ended_ns)
        if self._reader is None and self.left > 0 and self._observer.defer is not None:
            kept_bytes = len(self.request.body) + sum(map(len, self.pieces)) + PIECE_BYTES * len(self.pieces)
            if kept_bytes < KEPT_BYTES_MAX and self._observer.unread.room(kept_bytes):
                self.waiting_bytes = kept_bytes
                self._observer.defer(self)
                return
        tell(self.calls(), self._scope, self._observer)

    def _counts(self, call: Call) -> bool:
        """Whether this is an attempt at a model. Not one: the way to another URL, which is the next request and counts;
        a look whether an answer is ready; an answer that was told already.
        """
        if self._redirected:
            return False
        answers, fetched = self._observer.answers, is_fetched(self.request.method, self.request.url)
        if not fetched:
            if call.usage_source == "reported" and call.api == "openai.responses":  # these alone can be fetched again
                answers.first(call.response_id)
            return True
        if call.status is None or call.status >= 400 or "pending" in call.flags:
            return False
        if call.response_id is None and call.usage_source == "missing" and call.error_type is None:
            return False  # a file without results
        return answers.first(call.response_id or call.request_id)

    def _complete(self, calls: Sequence[Call]) -> None:
        """Ids, who asked, and what recorded it."""
        operation_id, attempt = self._operation()
        source, secret = f"sdk {VERSION} {self._transport}", self._observer.circumstances.secret
        credential = credential_of(self.request.url, self.request.headers) if secret else None
        cause, told = self._cause, _seen(self._headers).get("traceparent")
        if not cause[0] and len(calls) > 1:  # results of a batch share their trace
            cause = os.urandom(16).hex(), cause[1]
        for call in calls:
            call.source, call.vantage = source, "client"
            call.operation_id = operation_id
            if attempt > call.attempt:
                call.attempt = attempt
            call.received_at = call.started_at + round((call.duration_ms or 0) * 1000) * MICROSECOND
            attributed(call, self._scope, self._observer)
            if credential:
                call.api_key_id = self._observer.hashed(credential)
            identified(call, cause, trace_of(told) if told else None)


def _seen(headers: Headers) -> Mapping[str, str]:
    return headers() if callable(headers) else headers


def _is_plain_stream(headers: Mapping[str, str]) -> bool:
    """Whether the answer is server-sent events that can be read as they are; what is packed is left alone."""
    packed = headers.get("content-encoding", "identity").lower() not in ("", "identity")
    return not packed and "event-stream" in headers.get("content-type", "").lower()
