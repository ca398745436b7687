"""A model server that answers at once with canned bytes: `python -m benchmarks.sdk_server`, which prints its port.

In: HTTP/1.1 on loopback, kept alive. Out: a chat completion; for a body with `"stream": true` its stream, each event a
chunk of its own and a write of its own, a moment apart; for any path outside `/v1` a document of the same size that is
no answer of a model. One thread a connection; it is a process of its own, so that its work is in nobody's figures.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

from benchmarks.wire import EVENTS, HEADERS, plain, stream

CHUNKS = 50
APART_SECONDS = 0.0001  # between two chunks: long enough that each is a read of its own, short enough not to be a wait


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    whole, head, pieces, other = answers()
    with connection, contextlib.suppress(ConnectionError):
        while (asked := _request(connection)) is not None:
            path, body = asked
            if not path.startswith(b"/v1/"):
                connection.sendall(other)
            elif b'"stream":true' in body.replace(b" ", b""):
                connection.sendall(head)
                for piece in pieces:
                    time.sleep(APART_SECONDS)
                    connection.sendall(piece)
            else:
                connection.sendall(whole)


def answers() -> tuple[bytes, bytes, list[bytes], bytes]:
    """A completion; the head of a stream and its pieces; a document that is no answer of a model."""
    body = b"".join(piece for _, piece in plain().chunks)
    other = json.dumps({"items": "x" * (len(body) - 14)}).encode()
    pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for _, piece in stream(CHUNKS).chunks]
    return (
        _head(HEADERS, f"content-length: {len(body)}") + body,
        _head(EVENTS, "transfer-encoding: chunked"),
        [*pieces, b"0\r\n\r\n"],
        _head(HEADERS, f"content-length: {len(other)}") + other,
    )


def _head(headers: dict[str, str], length: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers.items()), length]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _request(connection: socket.socket) -> tuple[bytes, bytes] | None:
    """(path, body) of the next request; None where the connection ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (more := connection.recv(65536))
        if not more:
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += (more := connection.recv(65536))
        if not more:
            return None
    return head.split(b" ", 2)[1], body


if __name__ == "__main__":
    main()
