"""The OTLP/HTTP door: POST /v1/traces, /v1/logs, /v1/metrics.

In: HTTP as ASGI, bodies in protobuf or JSON, plain or compressed. Out: the specification's answers, in the content type
of the request: 200 with the response message once everything is durable, 400 with a google.rpc.Status for what can
never be taken, 503 with Retry-After where the sender shall come again.
What it must never know: gRPC, how a body is stored, what is inside it.
A page of a foreign site cannot write through a visitor's browser: the two content types need that site's permission
to be asked for, which we never give, and a request that names a foreign origin is refused.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from google.protobuf import json_format
from google.protobuf.message import Message

from tachograph.capture.otlp import Taken, answers, gate
from tachograph.capture.otlp.decode import check_encoding, unfolded
from tachograph.capture.otlp.gather import Gatherer
from tachograph.capture.otlp.limits import DoorLimits, Held, check_size
from tachograph.capture.otlp.transcode import Transcoder
from tachograph.flow import Busy, Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATHS = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
PROTOBUF, JSON = b"application/x-protobuf", b"application/json"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# What is not 400, by the reason of the refusal.
STATUSES = {
    "unauthenticated": 401,
    "forbidden": 403,
    "foreign_origin": 403,
    "path": 404,
    "method": 405,
    "too_slow": 408,
    "too_large": 413,
    "content_type": 415,
    "encoding": 415,
}
# The code of google.rpc.Status, by HTTP status: the names of the gRPC codes are in its specification.
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 503: 14}
MORE_HEADERS = {
    401: (b"www-authenticate", b"Bearer"),
    405: (b"allow", b"POST"),
    408: (b"connection", b"close"),
}
_EMPTY = {PROTOBUF: b"", JSON: b"{}"}


class _GoneError(Exception):
    """The sender has closed the connection: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_seconds: int | None = None


class HttpDoor:
    """The ASGI application. reading: a thread in which bodies are unfolded, so that others are answered meanwhile."""

    def __init__(
        self,
        gatherer: Gatherer,
        gatekeeper: gate.Gatekeeper,
        count: gate.Count,
        limits: DoorLimits,
        reading: Executor,
    ) -> None:
        self._gatherer, self._gatekeeper, self._count = gatherer, gatekeeper, count
        self._limits, self._reading = limits, reading
        self._transcode = Transcoder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        try:
            answer = await self._answer(scope, headers, kind, receive)
        except _GoneError:
            return
        answered = JSON if kind not in (PROTOBUF, JSON) else kind
        await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer, answered)})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], kind: bytes, receive: Receive) -> _Answer:
        try:
            signal = self._admitted(scope, headers, kind)
            taken = await self._taken(signal, headers, kind, receive)
            return _Answer(200, _success(signal, taken, kind))
        except Refused as refused:
            self._count(gate.REFUSED, 1, refused.reason)
            return _failure(STATUSES.get(refused.reason, 400), str(refused), kind)
        except Busy as busy:
            self._count(gate.REFUSED, 1, "busy")
            return _failure(503, str(busy), kind, busy.after_seconds)

    def _admitted(self, scope: Scope, headers: dict[bytes, bytes], kind: bytes) -> str:
        """The signal of a request that may send its body. Refused otherwise, before a byte of it is read."""
        signal = PATHS.get(scope["path"])
        if signal is None:
            raise Refused("path", f"{scope['path'][:80]} is not part of OTLP: send to {', '.join(PATHS)}")
        if scope["method"] != "POST":
            raise Refused("method", f"{scope['method']} is not part of OTLP: use POST")
        self._count(gate.REQUESTS, 1, "http")
        if (urlsplit(headers.get(b"origin", b"http://localhost")).hostname or b"").decode("latin-1") not in LOOPBACK:
            raise Refused("foreign_origin", "pages of other sites may not send: send from a server")
        verdict = self._gatekeeper(gate.shown(headers.get(b"authorization"), headers.get(b"x-tachograph-key")))
        if verdict != "ok":
            raise Refused(verdict, gate.FORBIDDEN if verdict == "forbidden" else gate.UNAUTHENTICATED)
        if kind not in (PROTOBUF, JSON):
            raise Refused("content_type", f"content-type {_text(kind)!r} is not OTLP: use {_text(PROTOBUF)}")
        check_encoding(_text(headers.get(b"content-encoding", b"")))
        return signal

    async def _taken(self, signal: str, headers: dict[bytes, bytes], kind: bytes, receive: Receive) -> Taken:
        """Read, unfold and hand over. Raises Refused, Busy or _GoneError."""
        encoding = _text(headers.get(b"content-encoding", b""))
        plain = encoding.lower() in ("", "identity")
        whole_max = self._limits.json_bytes_max if kind == JSON else self._limits.body_bytes_max
        travelled_max = whole_max if plain else self._limits.compressed_bytes_max
        with self._gatherer.held.request() as held:
            check_size(_declared(headers), travelled_max)
            body = await self._received(receive, held, travelled_max)
            self._count(gate.BYTES, len(body), "http")
            if not plain or kind == JSON:
                work = functools.partial(self._read, signal, body, "" if plain else encoding, kind == JSON, held)
                body = await asyncio.get_running_loop().run_in_executor(self._reading, work)
            return await self._gatherer.submit(signal, body)

    async def _received(self, receive: Receive, held: Held, size_max: int) -> bytes:
        """The body as it travelled."""
        pieces: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._limits.request_seconds_max):
                while more:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise _GoneError
                    piece, more = event.get("body", b""), event.get("more_body", False)
                    size += len(piece)
                    check_size(size, size_max)
                    held.resize(size)
                    pieces.append(piece)
        except TimeoutError as error:
            seconds = self._limits.request_seconds_max
            raise Refused("too_slow", f"the body did not arrive within {seconds:g} s: send smaller batches") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read(self, signal: str, body: bytes, encoding: str, is_json: bool, held: Held) -> bytes:
        """A body that is not plain protobuf, as such. Runs in a thread of its own."""
        travelled = len(body)
        size_max = self._limits.json_bytes_max if is_json else self._limits.body_bytes_max

        def grow(size: int) -> None:
            check_size(size, size_max)
            held.resize(travelled + size)

        if encoding:
            body = unfolded(body, encoding, grow)
        if is_json:
            body = self._transcode(signal, body)
        held.resize(len(body))
        return body


def _declared(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"")
    return int(length) if length.isdigit() else 0


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip()[:80]


def _success(signal: str, taken: Taken, kind: bytes) -> bytes:
    if answers.is_plain(taken):
        return _EMPTY[kind]
    return _written(answers.response(signal, taken), kind)


def _failure(status: int, message: str, kind: bytes, after_seconds: float | None = None) -> _Answer:
    body = _written(answers.status(CODES[status], message), kind)
    return _Answer(status, body, None if after_seconds is None else max(1, math.ceil(after_seconds)))


def _written(message: Message, kind: bytes) -> bytes:
    if kind == PROTOBUF:
        return bytes(message.SerializeToString())
    return str(json_format.MessageToJson(message, indent=None)).encode()


def _headers(answer: _Answer, kind: bytes) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", kind), (b"content-length", str(len(answer.body)).encode())]
    if answer.retry_seconds is not None:
        headers.append((b"retry-after", str(answer.retry_seconds).encode()))
    if answer.status in MORE_HEADERS:
        headers.append(MORE_HEADERS[answer.status])
    return headers
