"""A server that says exactly the bytes it was told to, in any framing and with any end: what a real one does not do
when asked.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

CHAT = "/v1/chat/completions"
RESET = b"<reset>"  # instead of a piece: the connection is reset
PAUSE = b"<pause>"  # nothing is said for a quarter of a second
PAUSE_SECONDS = 0.25


def asked(scenario: str = "plain", *, stream: bool = False) -> dict[str, Any]:
    """A chat request; a streamed one asks for its counts."""
    body: dict[str, Any] = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"scenario:{scenario}"}]}
    return body | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-5-mini-2025-08-07",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()


def event(**members: Any) -> bytes:
    """One event of a stream of chat completions."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-5-mini-2025-08-07", "choices": []}
    return b"data: " + json.dumps(head | members).encode() + b"\n\n"


EVENTS = (
    event(choices=[{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}]),
    event(choices=[{"index": 0, "delta": {"content": "."}, "finish_reason": None}]),
    event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    event(usage=USAGE),
    b"data: [DONE]\n\n",
)


def head(kind: str, *others: str, status: str = "200 OK") -> bytes:
    """Status line and headers."""
    return "\r\n".join((f"HTTP/1.1 {status}", f"content-type: {kind}", *others, "", "")).encode()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x;extension=1\r\n%b\r\n" % (len(data), data)


SSE, JSON = "text/event-stream", "application/json"
PACKED = gzip.compress(b"".join(EVENTS))
END = b"0\r\nx-trailer: 1\r\nx-other: 2\r\n\r\n"

# name -> what the server says after a request; streams first.
FRAMINGS: dict[str, tuple[bytes, ...]] = {
    "chunked with trailers": (head(SSE, "transfer-encoding: chunked"), *map(chunk, EVENTS), END),
    "chunked, split anywhere": (
        head(SSE, "transfer-encoding: chunked"),
        *(chunk(b"".join(EVENTS))[at : at + 7] for at in range(0, len(chunk(b"".join(EVENTS))), 7)),
        END,
    ),
    "until the connection closes": (head(SSE, "connection: close"), *EVENTS),
    "of a stated length": (head(SSE, f"content-length: {len(b''.join(EVENTS))}"), *EVENTS),
    "gzip in chunks": (
        head(SSE, "transfer-encoding: chunked", "content-encoding: gzip"),
        chunk(PACKED[:40]),
        chunk(PACKED[40:42]),
        chunk(PACKED[42:]),
        END,
    ),
    "gzip of a stated length": (
        head(SSE, "content-encoding: gzip", f"content-length: {len(PACKED)}"),
        PACKED[:50],
        PACKED[50:],
    ),
    "one document": (head(JSON, f"content-length: {len(WHOLE)}"), WHOLE),
    "one document in chunks": (head(JSON, "transfer-encoding: chunked"), chunk(WHOLE[:20]), chunk(WHOLE[20:]), END),
}
# name -> (what the server says, the error_type that it must be called).
BROKEN: dict[str, tuple[tuple[bytes, ...], str]] = {
    "closed between chunks": ((head(SSE, "transfer-encoding: chunked"), chunk(EVENTS[0])), "network"),
    "closed inside a chunk": ((head(SSE, "transfer-encoding: chunked"), chunk(EVENTS[0])[:-30]), "network"),
    "reset between chunks": ((head(SSE, "transfer-encoding: chunked"), chunk(EVENTS[0]), PAUSE, RESET), "network"),
    "closed before its length": ((head(SSE, "content-length: 9999"), *EVENTS[:2]), "network"),
    "reset before its length": ((head(SSE, "content-length: 9999"), EVENTS[0], PAUSE, RESET), "network"),
    "reset before the answer": ((RESET,), "network"),
    "closed before the answer": ((), "network"),
}


class Scripted:
    """Answers one request on each connection with `pieces`, then closes it; many at a time. asked: the requests as they
    came. answer: what is said to a request, where that hangs on the request.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.asked: list[bytes] = []
        self.answer: Callable[[bytes], Sequence[bytes]] = lambda _: pieces
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            self.asked.append(_request(connection))
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in self.answer(self.asked[-1]):
            if piece is RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            if piece is PAUSE:
                time.sleep(PAUSE_SECONDS)
                continue
            connection.sendall(piece)
            time.sleep(0.002)  # so that pieces are not joined on their way


@contextlib.contextmanager
def scripted(pieces: Sequence[bytes]) -> Iterator[Scripted]:
    server = Scripted(pieces)
    try:
        yield server
    finally:
        server.close()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head_bytes, _, body = data.partition(b"\r\n\r\n")
    lines = head_bytes.lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head_bytes + b"\r\n\r\n" + body
