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
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from tachograph import wire
from tachograph.call import Call
from tachograph.capture.sdk.attribution import attributed, cause_of, identified, tell
from tachograph.capture.sdk.context import Scope, current
from tachograph.capture.sdk.credential import credential_of
from tachograph.capture.sdk.ending import end_of
from tachograph.capture.sdk.hiding import Hidden
from tachograph.capture.sdk.operations import Answers, Operations, key_of, tried_again
from tachograph.capture.sdk.recognise import Recogniser, is_fetched
from tachograph.capture.sdk.usage import Deployments, is_refusal
from tachograph.forks import follow_forks
from tachograph.version import VERSION

Deliver = Callable[[Sequence[Call]], None]
Defer = Callable[["Watch"], None]
KEPT_BYTES_MAX = 256 * 1024  # of one attempt, request and answer; more is read as it passes
PIECE_BYTES = 160  # what keeping one more piece weighs, beside its bytes
UNREAD_BYTES_MAX = 32 * 1024 * 1024  # of all attempts that have ended and are not read yet
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
        headers: Mapping[str, str],
        body: bytes = b"",
        members: Mapping[str, Any] | None = None,
    ) -> Watch | None:
        """A request that is about to be sent; None where it is no call to a model.

        transport: name of the client package. method: in capitals. headers: names in lower case. body: empty where it
        is not known before it is sent. members: of a form, its plain fields.
        """
        known, provider = self.recogniser.recognise(method, url, body, members)
        if not known:
            return None
        return Watch(self, transport, wire.Request(url, method, headers, body, members), provider)

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
    """

    __slots__ = (
        "_attempt",
        "_began_ns",
        "_body",
        "_cause",
        "_end",
        "_ended_ns",
        "_headers",
        "_hidden",
        "_kept",
        "_kept_bytes",
        "_key",
        "_observer",
        "_open",
        "_operation_id",
        "_provider",
        "_reader",
        "_redirected",
        "_scope",
        "_source",
        "_started_at",
        "_status",
        "asks",
        "held",
        "request",
        "waiting_bytes",
    )

    def __init__(self, observer: Observer, transport: str, request: wire.Request, provider: str | None) -> None:
        self._observer, self.request, self._provider = observer, request, provider
        self._source = f"sdk {VERSION} {transport}"
        self._scope: Scope = observer.scope_of()
        self._cause = cause_of(self._scope)
        self._key = key_of(request.url, request.body, request.headers.get("content-length"))
        self._reader: wire.Reader | None = None
        self._hidden: Hidden | None = None
        self._status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._kept: list[tuple[int, bytes]] = []  # pieces that are not read yet, with their moments
        self._kept_bytes = len(request.body) if self._read_later(observer) else KEPT_BYTES_MAX
        self.waiting_bytes = 0
        self._ended_ns, self._end = 0, wire.End.COMPLETE
        self._redirected = False
        self.held = b""
        self._open = [True]  # whoever pops it ends it: two threads may try
        self._body = request.body  # the caller's
        self.asks = False  # a plain attribute, as `held`: what is read outside the guard cannot fail
        if observer.deployments is not None:
            changed = observer.deployments.asking(request.url, request.body, provider)
            if changed is not None:
                request.body, self.asks = changed, True
        self._started_at, self._began_ns = datetime.now(UTC), time.perf_counter_ns()
        self._operation_id, self._attempt = observer.operations.begin(request.headers, self._key, self._began_ns / 1e9)

    @property
    def done(self) -> bool:
        """Whether it has ended: nothing more is heard."""
        return not self._open

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

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Status and headers have come."""
        try:
            self._status, self._headers = status, headers
            if tried_again(status):  # known by its head: clients try again before they have let go of what they refuse
                self._failed_at(time.perf_counter_ns())
            self._redirected = status in _REDIRECTS and "location" in headers
            if self._kept_bytes >= KEPT_BYTES_MAX:
                self._reader = self._read()
            if self.asks and status == 200 and _is_plain_stream(headers):
                self._hidden = Hidden()
        except BaseException:
            self._open.clear()
            raise

    def piece(self, data: bytes) -> None:
        """A piece of the body, as it travelled."""
        now_ns, reader = time.perf_counter_ns(), self._reader
        if not self._open:
            return
        if reader is None:
            self._kept.append((now_ns, data))
            self._kept_bytes += len(data) + PIECE_BYTES
            if self._kept_bytes < KEPT_BYTES_MAX:
                return
        try:
            if reader is None:
                self._reader = self._read()
            else:
                reader.feed(data, (now_ns - self._began_ns) // 1000)
        except BaseException:
            self._open.clear()
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
        found = [call for call in found if self._counts(call)]
        for call in found:
            self._complete(call)
        if len(found) > 1:  # results of a batch: one answer, and not attempts of one request
            for call in found:
                call.operation_id, call.attempt = None, 0
        return found

    @property
    def unread(self) -> Unread:
        """Where `waiting_bytes` are counted."""
        return self._observer.unread

    def _read_later(self, observer: Observer) -> bool:
        """Nobody asks to know at once."""
        return observer.defer is not None and observer.price is None and not self._scope.totals

    def _read(self) -> wire.Reader:
        """A reader that has read what was kept."""
        reader = wire.Reader(
            self.request,
            wire.FORMATS,
            status=self._status,
            headers=self._headers,
            provider=self._provider,
            started_at=self._started_at,
        )
        kept, self._kept = self._kept, []
        for at_ns, data in kept:
            reader.feed(data, (at_ns - self._began_ns) // 1000)
        return reader

    def _failed_at(self, at_ns: int) -> None:
        """This will perhaps be tried again."""
        self._observer.operations.failed(self._key, self._operation_id, self._attempt, at_ns / 1e9)

    def _ended(self, end: wire.End) -> None:
        try:
            self._open.pop()  # first: what fails below must not be tried again by whoever closes
        except IndexError:
            return
        self._ended_ns, self._end = time.perf_counter_ns(), end
        if end in _TRIED_AGAIN:
            self._failed_at(self._ended_ns)
        later = self._reader is None and self._kept_bytes < KEPT_BYTES_MAX
        if later and self._observer.defer is not None and self._observer.unread.room(self._kept_bytes):
            self.waiting_bytes = self._kept_bytes
            self._observer.defer(self)
        else:
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

    def _complete(self, call: Call) -> None:
        """Ids, who asked, and what recorded it."""
        call.source, call.vantage = self._source, "client"
        call.operation_id, call.attempt = self._operation_id, max(call.attempt, self._attempt)
        call.received_at = self._started_at + timedelta(milliseconds=call.duration_ms or 0)
        attributed(call, self._scope, self._observer)
        if self._observer.circumstances.secret:
            credential = credential_of(self.request.url, self.request.headers)
            call.api_key_id = self._observer.hashed(credential) if credential else None
        identified(call, self._cause)


def _is_plain_stream(headers: Mapping[str, str]) -> bool:
    """Whether the answer is server-sent events that can be read as they are; what is packed is left alone."""
    packed = headers.get("content-encoding", "identity").lower() not in ("", "identity")
    return not packed and "event-stream" in headers.get("content-type", "").lower()
