"""Events that repeat each other, one right after the other in a buffer: known in a few steps, however many they are.

In: what surrounds the texts of an event, a buffer that begins with it. Out: how many such events follow, where each
ends, which numbers they bear.
Why this is exact: the buffer is cut at the bytes that end an event, then each event must begin as the others do, and
all that is left must be texts, none of which can hold the quote that ends it, or a line's end.
What it must never know: what an event means.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from itertools import accumulate, takewhile
from operator import itemgetter

# The inside of a JSON string that is not empty; what it is cut at can only be the quote that closes it.
TEXT = r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))++'
NUMBER = r"(?:0|[1-9][0-9]{0,11}+)"
HOLES_MAX = 4
_MARKS = (b"\x01", b"\x02", b"\x03")  # in place of the bytes between two holes of an event; no text holds one
_MARKED = re.compile(b"[" + b"".join(_MARKS) + b"]")


def run(data: bytes, at: int, start: bytes, gaps: Sequence[tuple[str, bytes]]) -> tuple[list[int], list[int]]:
    """(where each event ends, the numbers: none where the frame has none).

    data: begins with `start`, and is at `at` of something longer, in which the ends are told. gaps: what fits each hole
    (TEXT or NUMBER) and the bytes after it, none of which holds a line's end but the last.
    """
    *inner, (_, last) = gaps
    insides = _insides(data, start, last)
    rows = b"\n".join(insides) + b"\n"
    if not insides or (inner and _MARKED.search(rows)):
        return [], []
    for (_, after), mark in zip(inner, _MARKS, strict=False):
        rows = rows.replace(after, mark)
    whole, row = _patterns(tuple([kind for kind, _ in gaps]))
    known = whole.match(rows)
    assert known is not None
    count = rows.count(b"\n", 0, known.end())
    around = len(start) + len(last)
    ends = list(accumulate([around + len(inside) for inside in insides[:count]], initial=at))
    return ends[1:], [] if row is None else [int(number) for number in row.findall(rows, 0, known.end())]


def _insides(data: bytes, start: bytes, last: bytes) -> list[bytes]:
    """What stands between the first bytes of an event and its last, event by event, as far as they are alike."""
    parts = data.split(last)[:-1]
    inside = itemgetter(slice(len(start), None))
    insides = list(map(inside, parts))
    if data.startswith(start + (last + start).join(insides) + last) and b"\n" not in b"".join(insides):
        return insides
    alike = takewhile(lambda part: part.startswith(start) and b"\n" not in inside(part), parts)
    return list(map(inside, alike))


@functools.lru_cache(maxsize=32)
def _patterns(kinds: tuple[str, ...]) -> tuple[re.Pattern[bytes], re.Pattern[bytes] | None]:
    """Rows of such holes; one row, of which the number is taken."""
    holes = [f"({kind})" if kind == NUMBER else kind for kind in kinds]
    row = "".join(hole + mark.decode() for hole, mark in zip(holes, (*_MARKS[: len(kinds) - 1], b"\n"), strict=True))
    whole = re.compile(f"(?:{row})*+".encode())
    return whole, re.compile(row.encode()) if NUMBER in kinds else None
