"""urllib3 where the usage of a stream is asked for (`include_usage`): another body is sent, and its extra chunk hidden.

The chunk is taken out below `http.client`, in what it reads from: `Sifted` undoes the framing, sifts, and frames again,
so that every way of reading finds what the provider would have sent to somebody who did not ask. Without the setting
nothing here is reached.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.usage import REFUSAL_BYTES_MAX, REFUSALS
from tachograph.capture.sdk.watching import Watch

PIECE_BYTES = 64 * 1024
LINE_BYTES_MAX = 64 * 1024


def asking(pool: Any, named: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """The arguments of a request that asks; the caller's own stay as they are. Through a proxy nobody is asked: a
    tunnel that the server has closed cannot be opened again from here.
    """
    if not watch.asks or getattr(pool, "proxy", None) is not None:
        watch.asks = False
        return named
    body = watch.request.body
    replaced = ("content-length", "accept-encoding")
    headers = {name: value for name, value in (named.get("headers") or {}).items() if _lower(name) not in replaced}
    headers |= {"Content-Length": str(len(body)), "Accept-Encoding": "identity"}
    return {**named, "body": body, "headers": headers}


def _lower(name: Any) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower()


def waits(response: Any, watch: Watch) -> bool:
    """Whether an answer is an error that is looked at before it is told."""
    return watch.asks and response.status in REFUSALS


def refused(response: Any, watch: Watch) -> bool:
    """Whether the answer is an error about what we asked. Of other errors what was read is put back.

    response: urllib3's of version 2, or `http.client`'s.
    """
    if not waits(response, watch):
        return False
    preloaded = getattr(response, "_body", None)
    if preloaded is not None:
        return watch.refused(preloaded)
    below = response if hasattr(response, "begin") else response._fp
    chunked, length = below.chunked, below.length
    if length is not None and length > REFUSAL_BYTES_MAX:
        return False
    body, again = below.read(), False
    try:
        again = watch.refused(body)
    finally:
        if not again:
            below.fp = io.BytesIO(_framed(body) + b"0\r\n\r\n" if chunked else body)
            below.chunk_left, below.length = None, None if chunked else len(body)
    return again


def hide(response: Any, watch: Watch, guard: Guard) -> bool:
    """Have the extra chunk of `http.client`'s response taken out; whether that is done."""
    packed = (response.headers.get("content-encoding") or "identity").lower() != "identity"
    stream = "event-stream" in (response.headers.get("content-type") or "").lower()
    if not watch.asks or response.status != 200 or packed or not stream or response.length is not None:
        return False
    response.fp = Sifted(response.fp, watch, guard, chunked=bool(response.chunked))
    return True


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


class Sifted:
    """What a response reads from, without the extra chunk. For everything else it is the file that it stands for."""

    def __init__(self, file: Any, watch: Watch, guard: Guard, *, chunked: bool) -> None:
        self._file, self._watch, self._guard = file, watch, guard
        self._frame: Callable[[bytes], bytes] = _framed if chunked else bytes
        self._chunked = chunked
        self._left = 0  # of the chunk that is being read
        self._due = False  # the end of a chunk
        self._ready = bytearray()
        self._through = False  # the body is at its end, or is no body: what comes is not ours to read

    def read(self, count: int | None = -1) -> bytes:
        """As a buffered file does."""
        wanted = -1 if count is None else count
        while (wanted < 0 or len(self._ready) < wanted) and self._more():
            pass
        return self._take(len(self._ready) if wanted < 0 else wanted)

    def read1(self, count: int = -1) -> bytes:
        """What is there, or what comes next."""
        while count and not self._ready and self._more():
            pass
        return self._take(len(self._ready) if count < 0 else count)

    def readinto(self, buffer: Any) -> int:
        """As a buffered file does."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self, limit: int = -1) -> bytes:
        """As a buffered file does."""
        while b"\n" not in self._ready and (limit < 0 or len(self._ready) < limit) and self._more():
            pass
        end = self._ready.find(b"\n") + 1 or len(self._ready)
        return self._take(end if limit < 0 else min(end, limit))

    def peek(self, count: int = 0) -> bytes:
        """What is there, or what comes next; it stays."""
        while not self._ready and self._more():
            pass
        return bytes(self._ready)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_file"], name)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken

    def _more(self) -> bool:
        """Read a piece; whether there may be another."""
        if self._through:
            data = self._file.read1(PIECE_BYTES)
            self._ready += data
            return bool(data)
        if self._chunked and not self._left and not self._begin():
            return True
        data = self._file.read1(min(self._left, PIECE_BYTES) if self._chunked else PIECE_BYTES)
        if not data:
            self._end(b"")
            return True
        if self._chunked:
            self._left -= len(data)
            self._due = not self._left
        watch = self._watch
        self._ready += self._frame(self._guard.or_else(watch.held + data, watch.pass_on, data))
        return True

    def _begin(self) -> bool:
        """The line before a chunk; whether a chunk follows."""
        if self._due:
            self._due = False
            self._file.readline(LINE_BYTES_MAX)
        line = self._file.readline(LINE_BYTES_MAX)
        try:
            self._left = int(line.partition(b";")[0], 16)
        except ValueError:
            self._left = 0
        if self._left <= 0:
            self._end(line)
        return self._left > 0

    def _end(self, line: bytes) -> None:
        """The body is at its end, or broken; `line` is what says so, and the caller's client is to read it."""
        whole = not self._chunked or line.strip()[:1] == b"0"
        rest = self._guard.or_else(self._watch.held, self._watch.rest)
        self._through = True
        self._ready += (self._frame(rest) if whole else b"") + line
