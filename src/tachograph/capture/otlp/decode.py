"""Content encodings of requests, undone within a limit.

In: bytes as they travelled, the name of their encoding. Out: the plain bytes. A body that cannot be read whole is
Refused in one line; one that unfolds to more than its limit is refused when it gets there, and nothing beyond it is
ever allocated.
What it must never know: what is inside, HTTP, gRPC.
"""

from __future__ import annotations

from collections.abc import Callable

from tachograph.flow import Refused
from tachograph.wire.encoding import Decoder

ENCODINGS = ("gzip", "x-gzip", "deflate", "zstd", "br", "identity", "")
SLICE_BYTES = 64 * 1024  # a decoder copies what it has not read yet at every piece that it writes
_ZSTD_MAGIC, _SKIPPABLE_MAGIC = 0xFD2FB528, 0x184D2A50


def check_encoding(encoding: str) -> None:
    """Refused where a content encoding is none that we read."""
    for word in encoding.split(","):
        if word.strip().lower() not in ENCODINGS:
            known = ", ".join(ENCODINGS[:-1])
            raise Refused("encoding", f"content-encoding {word.strip()[:40]!r} is not read: use one of {known}")


def unfolded(body: bytes, encoding: str, grow: Callable[[int], None]) -> bytes:
    """The plain bytes of `body`. grow: told how many there are so far; raises where they are too many."""
    pieces: list[bytes] = []
    size = 0

    def tell(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        grow(size)
        pieces.append(piece)

    decoder = Decoder(encoding, tell)
    for start in range(0, len(body), SLICE_BYTES):
        decoder.feed(body[start : start + SLICE_BYTES])
    decoder.finish()
    if decoder.flags or (_is_zstd(encoding) and not _zstd_ends(body)):
        raise Refused("damaged", f"the body is not whole {encoding[:40]}: check the sender's compression")
    return b"".join(pieces)


def _is_zstd(encoding: str) -> bool:
    return encoding.rsplit(",", maxsplit=1)[-1].strip().lower() == "zstd"


def _zstd_ends(body: bytes) -> bool:
    """Whether the last frame of a zstd body is whole (RFC 8878).

    The library does not say: of a body that was cut between two blocks it gives the first ones, and where the cut falls
    between two spans that is a valid request with fewer spans.
    """
    place = 0
    while place < len(body):
        magic = int.from_bytes(body[place : place + 4], "little")
        if magic & ~0xF == _SKIPPABLE_MAGIC:
            place += 8 + int.from_bytes(body[place + 4 : place + 8], "little")
        elif magic == _ZSTD_MAGIC:
            place = _zstd_frame_end(body, place + 4)
        else:
            return False
    return place == len(body)


def _zstd_frame_end(body: bytes, place: int) -> int:
    """Where the frame ends whose header begins at `place`; beyond the end of the body where it is cut."""
    beyond = len(body) + 1
    if place >= len(body):
        return beyond
    descriptor = body[place]
    single, size_flag = descriptor >> 5 & 1, descriptor >> 6
    place += 1 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + ((1 if single else 0), 2, 4, 8)[size_flag]
    last = False
    while not last:
        if place + 3 > len(body):
            return beyond
        header = int.from_bytes(body[place : place + 3], "little")
        last = bool(header & 1)
        place += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)  # a run is one byte, whatever its length
    return place + (4 if descriptor >> 2 & 1 else 0)
