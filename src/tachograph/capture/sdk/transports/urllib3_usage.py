"""urllib3 where the usage of a stream is asked for (`include_usage`): another body is sent, and its extra chunk hidden.

The chunk is taken out below `http.client`, in what it reads from: `Sieve` undoes the framing, sifts, and frames again,
so that every way of reading finds what the provider would have sent to somebody who did not ask. Where that fails, what
is left of the body is handed on as it came. Without the setting nothing here is reached.
"""

from __future__ import annotations

import io
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
    """Whether an error is about what we asked. Of other errors what was read is put back.

    response: urllib3's of version 2, or `http.client`'s.
    """
    preloaded = getattr(response, "_body", None)
    if preloaded is not None:
        return watch.refused(preloaded)
    below = response if hasattr(response, "begin") else response._fp
    chunked, length = below.chunked, below.length
    if length is not None and length > REFUSAL_BYTES_MAX:
        return False
    body = below.read()
    if watch.refused(body):
        return True
    framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    below.fp = io.BytesIO(framed + b"0\r\n\r\n" if chunked else body)
    below.chunk_left, below.length = None, None if chunked else len(body)
    return False


def hide(response: Any, watch: Watch, guard: Guard) -> bool:
    """Have the extra chunk of `http.client`'s response taken out; whether that is done."""
    if not watch.hides or response.length is not None:
        return False
    sieve = Sieve(watch, guard, chunked=bool(response.chunked))
    response.fp = io.BufferedReader(Sifted(response.fp, sieve, guard))
    return True


class Sifted(io.RawIOBase):
    """What a response reads from, through a buffered reader, without the extra chunk. For everything else it is the
    file that it stands for.
    """

    def __init__(self, file: Any, sieve: Sieve, guard: Guard) -> None:
        self._file, self._sieve, self._guard = file, sieve, guard
        self._ready = b""

    def readinto(self, buffer: Any) -> int:
        """What is there, or what comes next."""
        sieve, data = self._sieve, b" "
        while data and not self._ready:
            data = self._file.read1(PIECE_BYTES)
            sieve.unread += data
            if not (sieve.through or self._guard.or_else(False, sieve.sift, data)):
                self._guard(sieve.give_up)
                sieve.through = True
            if sieve.through:
                sieve.visible += sieve.unread
                sieve.unread.clear()
            self._ready = bytes(sieve.visible)
            sieve.visible.clear()
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        finally:
            super().close()

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(self.__dict__.get("_file"), "raw", None), name)


class Sieve:
    """Sifts a body as it comes. unread: what has come and was not understood yet. visible: what the caller gets.
    through: the body is at its end, or is no body: what is unread is not for us.
    """

    def __init__(self, watch: Watch, guard: Guard, *, chunked: bool) -> None:
        self.unread, self.visible = bytearray(), bytearray()
        self._watch, self._guard, self._chunked = watch, guard, chunked
        self._left = 0  # of the chunk that is being read
        self._due = False  # the end of a chunk
        self.through = False

    def sift(self, data: bytes) -> bool:
        """Make `visible` what can be of `unread`. data: what came now; empty where nothing more will."""
        if not self._chunked:
            self._piece(len(self.unread))
        while self.unread and not self.through and self._step():
            pass
        if not (data or self.through):
            self._end()
        return True

    def give_up(self) -> None:
        """From here on all is handed on as it comes; `sift` has failed."""
        held = b"" if self.through else self._watch.held
        if self._chunked:
            held = b"%x\r\n%b\r\n" % (len(held), held) if held else b""
            held += b"%x\r\n" % self._left if self._left else b""
        if self._due:  # we have written the end of that chunk already
            self.unread[:] = self.unread.lstrip(b"\r\n")
        self.visible += held

    def _step(self) -> bool:
        """A piece of a chunk, or the line before one; whether that has come."""
        if self._left:
            self._piece(min(self._left, len(self.unread)))
            return True
        end = self.unread.find(b"\n") + 1
        if not end and len(self.unread) < LINE_BYTES_MAX:
            return False
        if self._due:
            self._due = False
            del self.unread[:end]
            return True
        self._left = _size(bytes(self.unread[:end]))
        if self._left:
            del self.unread[:end]
        else:
            self._end()
        return True

    def _piece(self, count: int) -> None:
        data, watch = bytes(self.unread[:count]), self._watch
        visible = self._guard.or_else(watch.held + data, watch.pass_on, data)
        del self.unread[:count]
        if self._chunked:
            self._left -= count
            self._due = not self._left
            self.visible += b"%x\r\n%b\r\n" % (len(visible), visible) if visible else b""
        else:
            self.visible += visible

    def _end(self) -> None:
        """The body is at its end, or broken; what says so is unread, and the caller's client is to read it."""
        rest = self._guard.or_else(self._watch.held, self._watch.rest)
        self.through = True
        self.visible += b"%x\r\n%b\r\n" % (len(rest), rest) if rest and self._chunked else rest


def _size(line: bytes | bytearray) -> int:
    """Of the chunk that begins; 0: none does."""
    try:
        return max(int(line.partition(b";")[0], 16), 0)
    except ValueError:
        return 0
