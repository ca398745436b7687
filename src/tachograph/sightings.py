"""Which sightings are of one call, and which of them counts.

In: what several saw (an SDK, a gateway, a framework, an engine), and which span is below which. Out: for every
sighting the one that it is another sighting of, or None where it counts itself.
What it must never know: where sightings are kept, in which order they came: the answer does not depend on it.

Of one call are: the same span; a model call and the model call that it was made through (its nearest below, over
spans that are none); answers with the same response id, seen at the same time. Where several attempts were made
through one, it is the one that answered; the others are calls of their own. Two that name different answers are never
one. Of the sightings of a call the one that knows most counts: tokens, then a price, then details, then who was
asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tachograph.call import VANTAGES

DEPTH_MAX = 64  # spans between two sightings
SKEW_US = 60_000_000  # clocks of two machines differ by less; only ids that cannot repeat are believed over it
LONG_ID = 20  # characters from which an id of an answer is unique: shorter ones of engines begin anew

_ONE_KIND = {"text_completion": "chat", "generate_content": "chat", "other": "chat"}


@dataclass(frozen=True, slots=True)
class Sighting:
    """One row. Times in microseconds since 1970. parts: token parts that it knows. attributed: names of who asked.

    same_as: what it was linked to so far. stored: it is in the store already.
    """

    call_id: bytes
    trace_id: bytes | None
    span_id: bytes | None
    parent_span_id: bytes | None
    response_id: str | None
    operation: str
    vantage: str
    source: str
    outcome: str
    started_us: int
    ended_us: int
    parts: int
    priced: bool
    attributed: int
    same_as: bytes | None = None
    stored: bool = False

    def rank(self) -> tuple[int, ...]:
        """How much it knows; the first that differs decides."""
        return (int(self.parts > 0), int(self.priced), self.parts, self.attributed, -VANTAGES.index(self.vantage))


Links = Mapping[tuple[bytes, bytes], bytes]  # (trace id, span id) -> parent span id, of all spans


def resolve(sightings: Sequence[Sighting], links: Links) -> dict[bytes, bytes | None]:
    """call_id -> the call_id of the sighting that counts instead; None where it counts itself."""
    groups = _Groups(sightings)
    _join_spans(sightings, links, groups)
    _join_answers(sightings, groups)
    found: dict[bytes, bytes | None] = {}
    for members in groups.members():
        best = max(members, key=lambda sighting: (sighting.rank(), sighting.call_id))
        found |= {member.call_id: None if member is best else best.call_id for member in members}
    return found


class _Groups:
    """Disjoint sets of sightings."""

    def __init__(self, sightings: Sequence[Sighting]) -> None:
        self._sightings = {sighting.call_id: sighting for sighting in sightings}
        self._of = {call_id: call_id for call_id in self._sightings}

    def root(self, call_id: bytes) -> bytes:
        while self._of[call_id] != call_id:
            call_id = self._of[call_id]
        return call_id

    def join(self, one: Sighting, other: Sighting) -> None:
        low, high = sorted((self.root(one.call_id), self.root(other.call_id)))
        self._of[high] = low

    def members(self) -> list[list[Sighting]]:
        found: dict[bytes, list[Sighting]] = {}
        for call_id, sighting in self._sightings.items():
            found.setdefault(self.root(call_id), []).append(sighting)
        return list(found.values())


def _join_spans(sightings: Sequence[Sighting], links: Links, groups: _Groups) -> None:
    """The same span, and a call with the one that it was made through."""
    by_span: dict[tuple[bytes, bytes], Sighting] = {}
    for sighting in sorted(sightings, key=lambda one: one.call_id):
        if sighting.trace_id is not None and sighting.span_id is not None:
            first = by_span.setdefault((sighting.trace_id, sighting.span_id), sighting)
            groups.join(first, sighting)
    below: dict[bytes, list[Sighting]] = {}
    for sighting in by_span.values():
        above = _above(sighting, by_span, links)
        if above is not None and _compatible(above, sighting):
            below.setdefault(above.call_id, []).append(sighting)
    for sighting in by_span.values():
        through = below.get(sighting.call_id)
        if through:
            groups.join(sighting, max(through, key=lambda one: _answered(sighting, one)))


def _above(sighting: Sighting, by_span: Mapping[tuple[bytes, bytes], Sighting], links: Links) -> Sighting | None:
    """The nearest sighting above, over spans that are none."""
    trace, parent = sighting.trace_id, sighting.parent_span_id
    for _ in range(DEPTH_MAX):
        if trace is None or parent is None or parent == sighting.span_id:
            return None
        found = by_span.get((trace, parent))
        if found is not None:
            return found
        parent = links.get((trace, parent))
    return None


def _compatible(one: Sighting, other: Sighting) -> bool:
    if one.response_id and other.response_id and one.response_id != other.response_id:
        return False
    return _kind(one) == _kind(other)


def _kind(sighting: Sighting) -> str:
    return _ONE_KIND.get(sighting.operation, sighting.operation)


def _answered(above: Sighting, below: Sighting) -> tuple[bool, bool, int, bytes]:
    """Of several attempts below a call: the one with its answer, else the last that went well."""
    same = above.response_id is not None and above.response_id == below.response_id
    return same, below.outcome == above.outcome, below.ended_us, below.call_id


def _join_answers(sightings: Sequence[Sighting], groups: _Groups) -> None:
    """Sightings of one answer at one time."""
    by_answer: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        if sighting.response_id:
            by_answer.setdefault(sighting.response_id, []).append(sighting)
    for answer, seen in by_answer.items():
        seen.sort(key=lambda one: (one.started_us, one.call_id))
        for place, one in enumerate(seen):
            for other in seen[place + 1 :]:
                # The same emitter, twice and apart: an answer out of a cache, which is another call.
                skew = SKEW_US if len(answer) >= LONG_ID and one.source != other.source else 0
                if _kind(one) == _kind(other) and other.started_us <= one.ended_us + skew:
                    groups.join(one, other)
