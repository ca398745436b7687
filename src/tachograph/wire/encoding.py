"""Content encodings, undone piece by piece: gzip, deflate, br, zstd.

`br` and `zstd` need a package (`pip install 'tachograph[decode]'`); without it the body stays unread and the call
is flagged, nothing raises. A stack of encodings ("gzip, br") is undone from the right.
What it must never know: what is inside.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

PIECE_BYTES_MAX = 1024 * 1024  # a small compressed piece may unfold to gigabytes: it is unfolded by the megabyte


class Undecodable(Exception):
    """The encoding is unknown, its package is missing, or the bytes are not of it."""


class Decoder:
    """Undoes one `content-encoding` header. `feed` yields pieces of at most about PIECE_BYTES_MAX."""

    def __init__(self, content_encoding: str) -> None:
        words = [word.strip().lower() for word in content_encoding.split(",")]
        self._steps = [_STEPS[word]() for word in reversed(words) if word not in ("", "identity")]

    def feed(self, data: bytes) -> list[bytes]:
        """The plain bytes of this piece. Undecodable where they cannot be had."""
        pieces = [data]
        for step in self._steps:
            pieces = [plain for piece in pieces for plain in step(piece)]
        return pieces


def supported(content_encoding: str) -> bool:
    """Whether every encoding in the header has a known name."""
    words = [word.strip().lower() for word in content_encoding.split(",")]
    return all(word in _STEPS or word in ("", "identity") for word in words)


def _gzip() -> Callable[[bytes], list[bytes]]:
    return _zlib_step(lambda: zlib.decompressobj(wbits=31))


def _deflate() -> Callable[[bytes], list[bytes]]:
    """`deflate` is zlib by the RFC and raw by habit: the first bytes decide."""
    step: Callable[[bytes], list[bytes]] | None = None
    head = b""

    def feed(data: bytes) -> list[bytes]:
        nonlocal step, head
        if step is not None:
            return step(data)
        head += data
        if len(head) < 2:
            return []
        is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
        step = _zlib_step(lambda: zlib.decompressobj(wbits=15 if is_zlib else -15))
        return step(head)

    return feed


def _zlib_step(new: Callable[[], Any]) -> Callable[[bytes], list[bytes]]:
    current = new()

    def feed(data: bytes) -> list[bytes]:
        nonlocal current
        out: list[bytes] = []
        try:
            while data:
                out.append(current.decompress(data, PIECE_BYTES_MAX))
                data = current.unconsumed_tail
                if current.eof:  # gzip members may follow one another; zero padding may follow the last
                    data = current.unused_data.lstrip(b"\0")
                    current = new()
        except zlib.error as error:
            raise Undecodable(str(error)) from error
        return out

    return feed


def _brotli() -> Callable[[bytes], list[bytes]]:
    try:
        import brotli  # type: ignore[import-untyped,unused-ignore]  # optional extra
    except ImportError as error:
        raise Undecodable("the package brotli is missing") from error
    current = brotli.Decompressor()

    def feed(data: bytes) -> list[bytes]:
        try:
            return [current.process(data)]
        except brotli.error as error:
            raise Undecodable(str(error)) from error

    return feed


def _zstd() -> Callable[[bytes], list[bytes]]:
    try:
        import zstandard  # optional extra
    except ImportError as error:
        raise Undecodable("the package zstandard is missing") from error
    current = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def feed(data: bytes) -> list[bytes]:
        try:
            return [current.decompress(data)]
        except zstandard.ZstdError as error:
            raise Undecodable(str(error)) from error

    return feed


_STEPS: dict[str, Callable[[], Callable[[bytes], list[bytes]]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
