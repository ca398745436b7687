"""Content encodings, undone piece by piece: gzip, deflate, br, zstd.

In: a `content-encoding` header and bytes in pieces of any size. Out: plain bytes, told to `tell` in pieces of about
`PIECE_BYTES_MAX`, so that a small piece may unfold to gigabytes and nothing grows. Never raises: what cannot be read
is dropped and a flag says why. A body that is plain text whatever its header says (proxies and recordings do that) is
passed through. Of a damaged body all pieces before the damaged one are read. `br` and `zstd` need a package
(`pip install 'tachograph[decode]'`).
What it must never know: what is inside.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, cast

PIECE_BYTES_MAX = 64 * 1024
WINDOW_BYTES_MAX = 8 * 1024 * 1024  # RFC 9659: more is not allowed for zstd as a content encoding
TEXT_BYTES = 16  # so many printable bytes at the start, and it is text: 1 compressed body in 10^6 would begin so
EMPTY_ZSTD_BYTES = 13  # the longest frame that holds nothing

Tell = Callable[[bytes], None]


class Damaged(Exception):
    """The bytes are not of the encoding."""


class Decoder:
    """Undoes one `content-encoding` header; a stack of encodings ("gzip, br") is undone from the right."""

    def __init__(self, content_encoding: str, tell: Tell) -> None:
        self.flags: set[str] = set()
        self._steps: list[_Guarded] = []
        for word in content_encoding.lower().split(","):
            word = word.strip()
            if word not in ("", "identity"):
                step = _Guarded(word, tell, self.flags)
                self._steps.insert(0, step)
                tell = step.feed

    def feed(self, data: bytes) -> None:
        """A piece as it travelled."""
        self._steps[0].feed(data)

    def finish(self) -> None:
        """Nothing more comes."""
        for step in self._steps:
            step.finish()


def encoded(content_encoding: str) -> bool:
    """Whether the header names any encoding at all."""
    return any(word.strip().lower() not in ("", "identity") for word in content_encoding.split(","))


class _Guarded:
    """One encoding: looks at the first bytes, then undoes it, passes plain text through, or drops what is lost."""

    def __init__(self, word: str, tell: Tell, flags: set[str]) -> None:
        self._word, self._tell, self._flags = word, tell, flags
        self._head = bytearray()
        self._step: _Zlib | _Brotli | _Zstd | None = None
        self._plain = self._lost = False

    def feed(self, data: bytes) -> None:
        if self._step is not None:
            self._undo(data)
        elif self._plain:
            self._tell(data)
        elif not self._lost:
            self._head += data
            if len(self._head) >= TEXT_BYTES:
                self._begin()

    def finish(self) -> None:
        if self._head:
            self._begin()
        if self._step is not None and not self._lost and not self._step.finish():
            self._flags.add("body_damaged")

    def _begin(self) -> None:
        head = bytes(self._head)
        self._head.clear()
        if _is_text(head):
            self._plain = True
            self._flags.add("encoding_mismatch")
            self._tell(head)
            return
        try:
            self._step = _step(self._word, head, self._tell)
        except ImportError:
            self._lose("encoding_unsupported")
        except KeyError:
            self._lose("encoding_unknown")
        else:
            self._undo(head)

    def _undo(self, data: bytes) -> None:
        if self._lost or self._step is None:
            return
        try:
            self._step.feed(data)
        except Damaged:
            self._lose("body_damaged")

    def _lose(self, flag: str) -> None:
        self._flags.add(flag)
        self._lost = True


def _is_text(head: bytes) -> bool:
    """Whether JSON, server-sent events or a page begin here.

    `br` and raw deflate have no magic number, and a `[` alone may well begin a brotli stream: so one looks further.
    """
    head = head[:TEXT_BYTES].removeprefix(b"\xef\xbb\xbf")
    return head[:1] in _TEXT_STARTS and not head.translate(None, _PRINTABLE)


_TEXT_STARTS = tuple(bytes([byte]) for byte in b' \t\r\n[{"<:deir')
_PRINTABLE = bytes((*b"\t\r\n", *range(0x20, 0x7F)))


def _step(word: str, head: bytes, tell: Tell) -> _Zlib | _Brotli | _Zstd:
    """The decoder of an encoding. ImportError where its package is missing, KeyError where nobody knows it."""
    if word in ("gzip", "x-gzip"):
        return _Zlib(31, tell)
    if word == "deflate":  # zlib by the RFC, raw by habit
        is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
        return _Zlib(15 if is_zlib else -15, tell)
    if word == "br":
        return _Brotli(tell)
    if word == "zstd":
        return _Zstd(tell)
    raise KeyError(word)


class _Zlib:
    """gzip members may follow one another, with zeros between and after them; other encodings end once."""

    def __init__(self, wbits: int, tell: Tell) -> None:
        self._wbits, self._tell = wbits, tell
        self._current: Any = zlib.decompressobj(wbits)
        self._begun = False

    def feed(self, data: bytes) -> None:
        while data:
            if not self._begun:
                data = data.lstrip(b"\0") if self._current is None else data
                if not data:
                    return
                if self._current is None:
                    if self._wbits != 31:
                        raise Damaged("bytes after the end")
                    self._current = zlib.decompressobj(self._wbits)
                self._begun = True
            data = self._member(data)

    def _member(self, data: bytes) -> bytes:
        """Undo one member; the bytes after its end."""
        while True:
            try:
                plain = self._current.decompress(data, PIECE_BYTES_MAX)
            except zlib.error as error:
                raise Damaged(str(error)) from error
            if plain:
                self._tell(plain)
            if self._current.eof:
                rest: bytes = self._current.unused_data
                self._current, self._begun = None, False
                return rest
            data = self._current.unconsumed_tail
            if not data and len(plain) < PIECE_BYTES_MAX:
                return b""

    def finish(self) -> bool:
        """Whether the end was reached."""
        return not self._begun


class _Brotli:
    def __init__(self, tell: Tell) -> None:
        import brotli  # optional extra

        self._tell, self._error = tell, brotli.error
        self._current = brotli.Decompressor()

    def feed(self, data: bytes) -> None:
        try:
            while True:
                plain = self._current.process(data, output_buffer_limit=PIECE_BYTES_MAX)
                if plain:
                    self._tell(plain)
                pending = len(plain) >= PIECE_BYTES_MAX or not self._current.can_accept_more_data()
                if not pending or self._current.is_finished():
                    return
                data = b""
        except self._error as error:
            raise Damaged(str(error)) from error

    def finish(self) -> bool:
        """Whether the end was reached."""
        return bool(self._current.is_finished())


class _Zstd:
    """zstandard gives its output to a writer as it goes: the one way of it that is bounded."""

    def __init__(self, tell: Tell) -> None:
        import zstandard  # optional extra

        self._fed = 0
        self._told = _Told(tell)
        self._error = zstandard.ZstdError
        context = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
        self._writer = context.stream_writer(cast("Any", self._told), write_size=PIECE_BYTES_MAX)

    def feed(self, data: bytes) -> None:
        self._fed += len(data)
        try:
            self._writer.write(data)
        except self._error as error:
            raise Damaged(str(error)) from error

    def finish(self) -> bool:
        """Whether anything came: of the end zstandard does not say, but the text that it held will."""
        return self._told.any or self._fed <= EMPTY_ZSTD_BYTES


class _Told:
    """The `write` that zstandard asks for."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.any = False

    def write(self, data: bytes) -> int:
        """A plain piece."""
        self.any = True
        self._tell(bytes(data))
        return len(data)
