"""The short way through a stream: events that repeat an earlier one but for their text.

Most events of a stream bring a piece of text and nothing else that is new. In: the JSON text of each event before it is
decoded. Out: whether it did what an earlier event did; then that is done again, without decoding.

Why this is exact. A format says in which places a text matters only by being there (`Varying`). An event that was read
the long way and left `Found` as it was, but for the counters, would leave it so again; what surrounds its texts is kept
as a `Frame`. As long as nothing else changes `Found`, an event of the same frame with other texts, none of them empty,
counts the same pieces and changes nothing. Any event that does change `Found` ends all frames.
What it must never know: what an event means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter, is_
from typing import Any

from tachograph.wire.found import Found
from tachograph.wire.timing import Timing

FRAMES_MAX = 8  # answers that are streamed side by side, each with a frame of its own
FRAME_BYTES_MAX = 4096
NESTING_MAX = 64
TRIALS_MAX = 8  # frames kept in a row that no event repeated: then this stream does not repeat itself

# The inside of a JSON string that is not empty; what it is cut at can only be the quote that closes it.
_TEXT = r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))++'
_NUMBER = r"(?:0|[1-9][0-9]{0,11}+)"
_SEQUENCE, _MARK = "sequence_number", 10**13  # longer than any number that fits a hole

Hole = Callable[[bytes, int], re.Match[bytes] | None]
_text: Hole = re.compile(_TEXT.encode()).match
_number: Hole = re.compile(_NUMBER.encode()).match

# All that an event may change, but the counters: see `Frame`.
_words = attrgetter(
    *("provider", "vendor", "operation", "request_model", "response_model", "response_id", "request_id"),
    *("service_tier", "created_at", "finish", "finish_reason", "terminal", "reasoning_seen", "shape", "tool_calls"),
    *("cost_usd", "server_ms", "queue_ms", "error_type", "error_code", "user_id", "conversation_id", "stream_asked"),
    *("max_output_tokens", "temperature"),
)


class Varying:
    """Where the events of a format vary without saying more.

    paths: member names from the top, through arrays, of strings of which only matters whether they are empty.
    numbered: `sequence_number` counts the events; a number that was seen is for the format to judge.
    """

    def __init__(self, *paths: str, numbered: bool = False) -> None:
        self._paths = tuple(tuple(path.split(".")) for path in paths)
        self._numbered = numbered
        names = "|".join(sorted({path[-1] for path in self._paths}))
        number = rf'|"{_SEQUENCE}"\s*:\s*({_NUMBER})(?=\s*[,}}])' if numbered else ""
        self._holes = re.compile(rf'(?<=[{{,\s])(?:"({names})"\s*:\s*"({_TEXT})"{number})'.encode())

    def frame(self, name: str, text: bytes, value: Any) -> Frame | None:
        """What surrounds the texts of an event; None where it holds none, or where one stands in another place."""
        if len(text) > FRAME_BYTES_MAX or text.count(b"{") + text.count(b"[") > NESTING_MAX:
            return None
        kinds, pieces, at = [], [], 0
        names = set()
        for hole in self._holes.finditer(text):
            start, end = hole.span(hole.lastindex or 0)
            kinds.append(_text if hole.lastindex == 2 else _number)
            names.add(hole[1])
            pieces.append(text[at:start])
            at = end
        if not kinds or kinds.count(_number) > 1:
            return None
        gaps = tuple(zip(kinds, (*pieces[1:], text[at:]), strict=True))
        frame = Frame(name, pieces[0], gaps, numbered=_number in kinds)
        paths = [path for path in self._paths if path[-1].encode() in names]
        return frame if self._surrounds(frame, value, paths) else None

    def _surrounds(self, frame: Frame, value: Any, paths: list[tuple[str, ...]]) -> bool:
        """Whether every hole is a whole value at one of the paths: marks put into the holes turn up there alone."""
        marks, marked = [], frame.start
        for kind, after in frame.gaps:
            marks += [] if kind is _number else [f"text {len(marks)}"]
            marked += (b"%d" % _MARK if kind is _number else marks[-1].encode()) + after
        try:
            other = json.loads(marked.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return False
        if not isinstance(value, dict) or not isinstance(other, dict):
            return False
        if self._numbered and (_SEQUENCE in value, other.get(_SEQUENCE) == _MARK) != (frame.numbered, frame.numbered):
            return False
        was, now = ([found for path in paths for found in _at(path, top)] for top in (value, other))
        changed = [after for before, after in zip(was, now, strict=False) if before != after]
        return len(changed) == len(marks) and all(mark in changed for mark in marks)


def _at(path: tuple[str, ...], top: dict[str, Any]) -> list[Any]:
    """All values at `path`, arrays walked through."""
    found: list[Any] = [top]
    for member in path:
        holders = [item for holder in found for item in (holder if isinstance(holder, list) else (holder,))]
        found = [item[member] for item in holders if isinstance(item, dict) and member in item]
    return found


@dataclass(slots=True)
class Frame:
    """What surrounds the texts of an event, and what such an event does: it counts pieces, and may be content.

    gaps: (what fits the hole, the bytes after it) for each hole in turn.
    """

    name: str
    start: bytes
    gaps: tuple[tuple[Hole, bytes], ...]
    numbered: bool
    content: bool = False
    visible: int = 0
    reasoning: int = 0


Event = Callable[[str, Any, int | None], bool]


class Repeats:
    """The frames of one stream. event: reads one event the long way; whether it was content."""

    def __init__(self, varying: Varying, found: Found, timing: Timing, event: Event) -> None:
        self._varying, self._found, self._timing, self._event = varying, found, timing, event
        self._frames: list[Frame] = []
        self._trials_left = TRIALS_MAX

    def known(self, name: str, text: bytes, at_us: int | None) -> bool:
        """Whether an event repeats an earlier one; it is read then."""
        for frame in self._frames:
            if frame.name != name or not text.startswith(frame.start):
                continue
            at, number = len(frame.start), None
            for kind, after in frame.gaps:
                hole = kind(text, at)
                if hole is None or not text.startswith(after, hole.end()):
                    break
                at = hole.end() + len(after)
                if kind is _number:
                    number = int(hole.group())
            else:
                if at == len(text) and self._again(frame, number):
                    if frame.content:
                        self._timing.content(at_us)
                    return True
        return False

    def read(self, name: str, text: bytes | None, value: Any, at_us: int | None) -> None:
        """Read an event the long way. text: as it came; None where it was too long to hold."""
        found = self._found
        before, number = _standing(found), found.sequence
        visible, reasoning = found.visible_pieces, found.reasoning_pieces
        content = self._event(name, value, at_us)
        if not _unchanged(before, _standing(found)):
            self._frames.clear()
            return
        frame = self._varying.frame(name, text, value) if text is not None and self._trials_left else None
        if frame is not None and frame.numbered == (found.sequence != number):
            frame.content = content
            frame.visible, frame.reasoning = found.visible_pieces - visible, found.reasoning_pieces - reasoning
            self._trials_left -= 1
            self._frames.insert(0, frame)
            del self._frames[FRAMES_MAX:]

    def _again(self, frame: Frame, number: int | None) -> bool:
        """Do once more what events of this frame do; not where the event may have been seen already."""
        found = self._found
        if number is not None:
            if found.sequence is not None and number <= found.sequence:
                return False
            found.sequence = number
        self._trials_left = TRIALS_MAX
        found.visible_pieces += frame.visible
        found.reasoning_pieces += frame.reasoning
        return True


_Standing = tuple[tuple[Any, ...], list[Any], tuple[Any, ...]]


def _standing(found: Found) -> _Standing:
    """What is understood so far, but for the counters: words; objects that events replace; and what they add to."""
    replaced = [found.usage, found.tokens, found.iterations, *found.usage_copies.values()]
    added = (frozenset(found.tool_ids), frozenset(found.flags), dict(found.price_context), dict(found.limits))
    return _words(found), replaced, (*added, list(found.usage_copies), len(found.parts))


def _unchanged(before: _Standing, after: _Standing) -> bool:
    """Objects must be the same ones: 1 and 1.0 are equal and not written alike."""
    same = len(before[1]) == len(after[1]) and all(map(is_, before[1], after[1]))
    return same and before[0] == after[0] and before[2] == after[2]
