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

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter, is_
from typing import Any

from tachograph.wire.found import Found
from tachograph.wire.runs import HOLES_MAX, NUMBER, TEXT, run
from tachograph.wire.timing import Timing

FRAMES_MAX = 8  # answers that are streamed side by side, each with a frame of its own
FRAME_BYTES_MAX = 4096
NESTING_MAX = 64
TRIALS_MAX = 8  # frames kept in a row that no event repeated: then this stream does not repeat itself
BEGINNING_BYTES = 40
BEGINNINGS_MAX = 32
WINDOW_BYTES_MAX = 64 * 1024  # so much is looked at in one go for events of one frame; less where they take turns
WINDOW_BYTES_MIN = 1024

_SEQUENCE = "sequence_number"

Hole = Callable[[bytes, int], re.Match[bytes] | None]
Paths = list[tuple[str, ...]]
_text: Hole = re.compile(TEXT.encode()).match
_number: Hole = re.compile(NUMBER.encode()).match

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
        number = rf'|"{_SEQUENCE}"\s*:\s*({NUMBER})(?=\s*[,}}])' if numbered else ""
        self._holes = re.compile(rf'(?<=[{{,\s])(?:"({names})"\s*:\s*"({TEXT})"{number})'.encode())

    def frame(self, name: str, text: bytes, value: Any) -> Frame | None:
        """What surrounds the texts of an event; None where it holds none, or where one stands in another place."""
        if len(text) > FRAME_BYTES_MAX or not isinstance(value, dict):
            return None
        kinds: list[Hole] = []
        names, pieces, at = set(), [], 0
        for hole in self._holes.finditer(text):
            start, end = hole.span(hole.lastindex or 0)
            kinds.append(_text if hole.lastindex == 2 else _number)
            names.add(hole[1])
            pieces.append(text[at:start])
            at = end
        if _text not in kinds:
            return None
        pieces.append(text[at:])
        frame = Frame(name, pieces[0], tuple(zip(kinds, pieces[1:], strict=True)), numbered=_number in kinds)
        paths = [path for path in self._paths if path[-1].encode() in names]
        return frame if self._surrounds(pieces, kinds, value, paths) else None

    def _surrounds(self, pieces: list[bytes], kinds: list[Hole], value: dict[str, Any], paths: Paths) -> bool:
        """Whether the holes are the texts at our places, and no others.

        Where no name is written with a backslash, the expression has found every text at these places, and maybe more:
        so it is enough to count them.
        """
        around = b"".join(pieces)
        if b"\\" in around or around.count(b"{") + around.count(b"[") > NESTING_MAX:
            return False
        numbers = kinds.count(_number)
        counted = type(value.get(_SEQUENCE)) is int
        if self._numbered and (numbers != int(counted) or (_SEQUENCE in value) != counted):
            return False
        texts = [text for path in paths for text in _at(path, value) if isinstance(text, str) and text]
        return len(texts) == len(kinds) - numbers


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

    name: of the event; None: the frame surrounds a whole event with its lines.
    gaps: (what fits the hole, the bytes after it) for each hole in turn.
    """

    name: str | None
    start: bytes
    gaps: tuple[tuple[Hole, bytes], ...]
    numbered: bool
    content: bool = False
    visible: int = 0
    reasoning: int = 0

    @property
    def kinds(self) -> list[tuple[str, bytes]]:
        """What fits each hole, for `run`, and the bytes after it."""
        return [(NUMBER if fits is _number else TEXT, after) for fits, after in self.gaps]

    def within(self, before: bytes, after: bytes) -> Frame:
        """The same frame with the bytes around that the framing adds."""
        kind, end = self.gaps[-1]
        gaps = (*self.gaps[:-1], (kind, end + after))
        return Frame(None, before + self.start, gaps, self.numbered, self.content, self.visible, self.reasoning)


Event = Callable[[str, Any, int | None], bool]


class Repeats:
    """The frames of one stream.

    event: reads one event the long way; whether it was content. around: what the framing puts around an event of a
    name, where a piece of the stream may be known as a whole; set by whoever chooses the framing.
    """

    def __init__(self, varying: Varying, found: Found, timing: Timing, event: Event) -> None:
        self.around: Callable[[str], tuple[bytes, bytes]] | None = None
        self._varying, self._found, self._timing, self._event = varying, found, timing, event
        self._frames: list[Frame] = []
        self._pieces: list[Frame] = []  # the same, as they come over the wire
        self._beginnings: set[bytes] = set()
        self._trials_left = TRIALS_MAX
        self._window_bytes = WINDOW_BYTES_MAX

    @property
    def awaits(self) -> bool:
        """Whether there is anything that pieces may repeat."""
        return bool(self._pieces)

    def run(self, data: bytes, at: int, ends: Sequence[int], moments: Sequence[int | None]) -> int:
        """Read the events that repeat one frame from `at` on, where an event begins; where they end.

        ends: where the pieces of `data` end. moments: when each of them came.
        """
        for frame in self._pieces:
            if data.startswith(frame.start, at) and len(frame.gaps) <= HOLES_MAX:
                window = data[at : at + self._window_bytes]
                found, numbers = run(window, at, frame.start, frame.kinds)
                found = found[: self._following(numbers)] if frame.numbered else found
                if found:
                    self._resize(found[-1] - at, len(window))
                    self._repeated(frame, found, ends, moments)
                    return found[-1]
        return at

    def _following(self, numbers: Sequence[int]) -> int:
        """How many events from the first on are numbered after the newest one, each after the one before."""
        newest = self._found.sequence
        before = [-1 if newest is None else newest, *numbers]
        count = next((at for at, (one, next_one) in enumerate(pairwise(before)) if next_one <= one), len(numbers))
        if count:
            self._found.sequence = numbers[count - 1]
        return count

    def _repeated(self, frame: Frame, found: list[int], ends: Sequence[int], moments: Sequence[int | None]) -> None:
        """Count events of one frame, which end at these places, each at the moment of the piece that ended it."""
        self._found.visible_pieces += frame.visible * len(found)
        self._found.reasoning_pieces += frame.reasoning * len(found)
        self._trials_left = TRIALS_MAX
        if frame.content:
            first = bisect_left(ends, found[0])
            if ends[first : first + len(found)] == found:  # a piece an event, as nearly all servers write
                self._timing.all_content(moments[first : first + len(found)])
            else:
                self._timing.all_content([moments[bisect_left(ends, end)] for end in found])

    def _resize(self, read_bytes: int, window_bytes: int) -> None:
        """Events that take turns with others are looked for in less."""
        if read_bytes * 4 < window_bytes:
            self._window_bytes = max(WINDOW_BYTES_MIN, window_bytes // 2)
        else:
            self._window_bytes = min(WINDOW_BYTES_MAX, self._window_bytes * 2)

    def known(self, name: str | None, text: bytes, at_us: int | None) -> bool:
        """Whether an event repeats an earlier one; it is read then. name: None where `text` is the whole piece."""
        for frame in self._pieces if name is None else self._frames:
            if frame.name != name or not text.startswith(frame.start):
                continue
            at, number = len(frame.start), None
            for kind, after in frame.gaps:
                hole = kind(text, at)
                if hole is None or not text.startswith(after, at := hole.end()):
                    break
                at += len(after)
                if kind is _number:
                    number = int(hole.group())
            else:
                if at == len(text) and (number is None or self._follows(number)):
                    self._found.visible_pieces += frame.visible
                    self._found.reasoning_pieces += frame.reasoning
                    if frame.content:
                        self._timing.content(at_us)
                    self._trials_left = TRIALS_MAX
                    return True
        return False

    def read(self, name: str, text: bytes | None, value: Any, at_us: int | None) -> None:
        """Read an event the long way. text: as it came; None where it was too long to hold."""
        found = self._found
        if text is None or not self._trials_left or found.terminal or not self._begun(text):  # few come after the end
            self._frames, self._pieces = [], []
            self._event(name, value, at_us)
            return
        before, number = _standing(found), found.sequence
        visible, reasoning = found.visible_pieces, found.reasoning_pieces
        content = self._event(name, value, at_us)
        if found.terminal or not _unchanged(before, _standing(found)):
            self._frames, self._pieces = [], []
            return
        frame = self._varying.frame(name, text, value)
        if frame is not None and frame.numbered == (found.sequence != number):
            frame.content = content
            frame.visible, frame.reasoning = found.visible_pieces - visible, found.reasoning_pieces - reasoning
            self._keep(frame, text)

    def _begun(self, text: bytes) -> bool:
        """Whether another event began like this one: else it is one of a kind, and not worth the comparing."""
        beginning = text[:BEGINNING_BYTES]
        if beginning in self._beginnings:
            return True
        if len(self._beginnings) >= BEGINNINGS_MAX:
            self._beginnings.clear()
        self._beginnings.add(beginning)
        return False

    def _keep(self, frame: Frame, text: bytes) -> None:
        self._trials_left -= 1
        self._frames = [frame, *self._frames[: FRAMES_MAX - 1]]
        if self.around is not None and b"\n" not in text and b"\r" not in text:
            self._pieces = [frame.within(*self.around(frame.name or "")), *self._pieces[: FRAMES_MAX - 1]]

    def _follows(self, number: int) -> bool:
        """Whether an event is numbered after the newest one, which it then is; not where it may have been seen."""
        newest = self._found.sequence
        if newest is not None and number <= newest:
            return False
        self._found.sequence = number
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
