"""A server that answers at once and keeps its connections, and the requests that every transport sends to it.

What it answers hangs on the model that is asked for: a stream in chunks or until the end, a document, an error, a
refusal of what was added to the request. Whoever asks for usage gets it as OpenAI sends it.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.capture.sdk.scripted import CHAT, USAGE, WHOLE, event

ERROR = b'{"error": {"message": "no such model", "code": "invalid_value"}}'
REFUSAL = b'{"error": {"message": "unknown: stream_options"}}'
NULL: dict[str, Any] = {"usage": None}
# model -> whether it is asked for a stream
MODELS = {
    "document": False,
    "chunks": True,
    "until the end": True,
    "broken": True,
    "error": True,
    "error in chunks": True,
    "refuses": True,
    "refuses in chunks": True,
}


def events(*, counted: bool) -> tuple[bytes, ...]:
    """A stream of OpenAI's; counted: as whoever asked for the usage gets it."""
    more = NULL if counted else {}
    said: tuple[dict[str, Any], ...] = ({"content": "Hi"}, {"content": "."}, {})
    told = [event(choices=[{"index": 0, "delta": delta}], **more) for delta in said]
    return (*told, *([event(usage=USAGE)] if counted else []), b"data: [DONE]\n\n")


def visible(body: bytes) -> bytes:
    """Without what only those see who asked for usage."""
    kept = [part for part in body.split(b"\n\n") if not (b'"choices": []' in part and b'"usage": {' in part)]
    return re.sub(rb', *"usage": *null', b"", b"\n\n".join(kept))


def asked(model: str) -> bytes:
    """The body of a request to one of `MODELS`."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 9}
    return json.dumps(body | ({"stream": True} if MODELS[model] else {})).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model, counted = request["model"], "stream_options" in request
        if "error" in model or ("refuses" in model and counted):
            self._say(400, REFUSAL if "refuses" in model else ERROR, chunked="chunks" in model)
        elif model == "document":
            self._say(200, WHOLE, chunked=False)
        else:
            self._stream(model, events(counted=counted))

    def _begin(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def _say(self, status: int, body: bytes, *, chunked: bool) -> None:
        length = ("transfer-encoding", "chunked") if chunked else ("content-length", str(len(body)))
        self._begin(status, ("content-type", "application/json"), length)
        self.wfile.write(_chunk(body[:9]) + _chunk(body[9:]) + b"0\r\n\r\n" if chunked else body)

    def _stream(self, model: str, told: tuple[bytes, ...]) -> None:
        kind = ("content-type", "text/event-stream")
        if model == "until the end":
            self._begin(200, kind, ("connection", "close"))
            for each in told:
                self.wfile.write(each)
            return
        self._begin(200, kind, ("transfer-encoding", "chunked"))
        for each in told[:1] if model == "broken" else told:
            self.wfile.write(_chunk(each[:30]) + _chunk(each[30:]))
        if model == "broken":
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\nx-trailer: 1\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Somebody left."""


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


@contextlib.contextmanager
def answering() -> Iterator[str]:
    """The address of chat completions."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}{CHAT}"
        server.shutdown()
        thread.join(5)
