"""Which sightings are of one call, and which of them counts.

In: what several saw (an SDK, a gateway, a framework, an engine), and which span is below which. Out: for every
sighting the one that it is another sighting of, or None where it counts itself.
What it must never know: where sightings are kept, in which order they came: the answer does not depend on it.

Of one call are: a span that two report; a model call and the model call that it was made through (its nearest below,
over spans that are none); answers with the same response id, seen by several at the same time; calls that know of no
answer and have the provider's same id of a request, seen from different places at the same time. Where several attempts
were made through one call, it is the one that answered; the others are calls of their own. Two that name different
answers are never one, also not by way of a third: what lies nearer to it has it. Of the sightings of a call the one
that knows most counts: tokens, then a price, then details, then who was asking and for which experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from operator import attrgetter
from typing import NamedTuple

from tachograph.call import VANTAGES

DEPTH_MAX = 64  # spans between two sightings
SKEW_US = 60_000_000  # clocks of two machines differ by less; only ids that cannot repeat are believed over it
LONG_ID = 20  # characters from which an id of an answer is unique: shorter ones of engines begin anew
SHARED_MAX = 64  # sightings that name one answer or one span: more, and the name tells nothing (a stand-in, a session)

_ONE_KIND = {"text_completion": "chat", "generate_content": "chat", "other": "chat"}


class Sighting(NamedTuple):
    """One row. Times in microseconds since 1970. parts: token parts that it knows.

    attributed: names of who asked, and of the experiment. request_id: the provider's. same_as: what it was
    linked to so far, which decides nothing.
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
    request_id: str | None = None
    same_as: bytes | None = None

    @property
    def request(self) -> str | None:
        """The provider's id of its request, where nothing better names what was answered."""
        return None if self.response_id else self.request_id

    def rank(self) -> tuple[int, ...]:
        """How much it knows; the first that differs decides."""
        vantage = VANTAGES.index(self.vantage) if self.vantage in VANTAGES else len(VANTAGES)
        return (int(self.parts > 0), int(self.priced), self.parts, self.attributed, -vantage)


Span = tuple[bytes, bytes]  # trace id, span id
Links = Mapping[Span, bytes]  # -> parent span id, of spans that are no calls


def resolve(sightings: Sequence[Sighting], links: Links) -> dict[bytes, bytes | None]:
    """call_id -> the call_id of the sighting that counts instead; None where it counts itself."""
    groups = _Groups(sightings)
    by_span = _by_span(sightings)
    for one, other in _same_spans(by_span):
        groups.join_strangers(one, other)
    _join_ways(sightings, by_span, links, groups)
    for one, other in (*_same_answers(sightings), *_same_requests(sightings)):
        groups.join_strangers(one, other)
    found: dict[bytes, bytes | None] = {}
    for members in groups.members():
        best = max(members, key=lambda sighting: (sighting.rank(), sighting.call_id))
        found |= {member.call_id: None if member is best else best.call_id for member in members}
    return found


class _Groups:
    """Disjoint sets of sightings. What a set says of itself: the answer, and who saw it."""

    def __init__(self, sightings: Sequence[Sighting]) -> None:
        self._sightings = {sighting.call_id: sighting for sighting in sightings}
        self._of = {call_id: call_id for call_id in self._sightings}
        self._answers = {call_id: sighting.response_id for call_id, sighting in self._sightings.items()}
        self._sources = {call_id: {sighting.source} for call_id, sighting in self._sightings.items()}

    def root(self, sighting: Sighting) -> bytes:
        call_id = sighting.call_id
        while self._of[call_id] != call_id:
            self._of[call_id] = self._of[self._of[call_id]]  # not in one statement: that assigns the new place first
            call_id = self._of[call_id]
        return call_id

    def answer(self, sighting: Sighting) -> str | None:
        """The answer of its set."""
        return self._answers[self.root(sighting)]

    def join(self, one: Sighting, other: Sighting) -> bool:
        """Make two sets one, unless they name different answers; whether they are one now."""
        low, high = sorted((self.root(one), self.root(other)))
        if low == high:
            return True
        first, second = self._answers[low], self._answers[high]
        if first and second and first != second:
            return False
        self._of[high] = low
        self._answers[low] = first or second
        self._sources[low] |= self._sources.pop(high)
        return True

    def join_strangers(self, one: Sighting, other: Sighting) -> bool:
        """The same for sets whose spans do not say that they are one. No emitter reports a call twice that way: an
        answer out of a cache has the id of the first, and is another call.
        """
        return self._sources[self.root(one)].isdisjoint(self._sources[self.root(other)]) and self.join(one, other)

    def members(self) -> list[list[Sighting]]:
        found: dict[bytes, list[Sighting]] = {}
        for sighting in self._sightings.values():
            found.setdefault(self.root(sighting), []).append(sighting)
        return list(found.values())


def _by_span(sightings: Sequence[Sighting]) -> dict[Span, list[Sighting]]:
    """The sightings of each span: mostly one. Log records name the span in which they were written: there are more."""
    found: dict[Span, list[Sighting]] = {}
    for sighting in sightings:
        if sighting.trace_id is not None and sighting.span_id is not None:
            found.setdefault((sighting.trace_id, sighting.span_id), []).append(sighting)
    return {span: sorted(seen, key=_id) for span, seen in found.items() if len(seen) <= SHARED_MAX}


def _same_spans(by_span: Mapping[Span, Sequence[Sighting]]) -> Iterable[tuple[Sighting, Sighting]]:
    """One span, reported by two, the likeliest first."""
    for seen in by_span.values():
        if len(seen) > 1:
            pairs = [pair for pair in combinations(seen, 2) if _alike(*pair) and _apart_us(*pair) <= SKEW_US]
            yield from sorted(pairs, key=_likely)


def _join_ways(
    sightings: Sequence[Sighting], by_span: Mapping[Span, Sequence[Sighting]], links: Links, groups: _Groups
) -> None:
    """A call with the one that it was made through. The inner ones first: who is nearer to an answer has it."""
    through: dict[bytes, list[Sighting]] = {}
    for sighting in sightings:
        above = _above(sighting, by_span, links)
        if above is not None:
            through.setdefault(above.call_id, []).append(sighting)
    callers = [sighting for sighting in sightings if sighting.call_id in through]
    for caller in sorted(callers, key=lambda one: (one.started_us, one.call_id), reverse=True):
        attempts = [one for one in through[caller.call_id] if not (caller.outcome == "ok" and _failed(one))]
        for attempt in sorted(attempts, key=lambda one: _answered(caller, one, groups), reverse=True):
            if groups.join(caller, attempt):
                break


def _above(sighting: Sighting, by_span: Mapping[Span, Sequence[Sighting]], links: Links) -> Sighting | None:
    """The sighting of the nearest call above that can be of the same call, over spans that are none."""
    trace, parent = sighting.trace_id, sighting.parent_span_id
    for _ in range(DEPTH_MAX):
        if trace is None or parent is None or parent == sighting.span_id:
            return None
        for one in by_span.get((trace, parent), ()):
            if _alike(one, sighting) and _apart_us(one, sighting) <= SKEW_US:
                return one
        # A span that is no call may have records of calls, made in it at other times: the way leads on.
        parent = links.get((trace, parent))
    return None


def _alike(one: Sighting, other: Sighting) -> bool:
    kinds = [_ONE_KIND.get(sighting.operation, sighting.operation) for sighting in (one, other)]
    return kinds[0] == kinds[1]


def _apart_us(one: Sighting, other: Sighting) -> int:
    """From the end of the one to the beginning of the other; 0 where they overlap."""
    return max(0, one.started_us - other.ended_us, other.started_us - one.ended_us)


def _failed(sighting: Sighting) -> bool:
    """It was given no answer at all: whoever was given one made another attempt."""
    return sighting.outcome == "error" and not sighting.response_id and not sighting.parts


def _answered(caller: Sighting, attempt: Sighting, groups: _Groups) -> tuple[bool, bool, int, bytes]:
    """Of several attempts of a caller: the one with its answer or its request, else the last that ended as it did."""
    answer = groups.answer(caller)
    same = answer is not None and answer == groups.answer(attempt)
    same = same or (caller.request is not None and caller.request == attempt.request)
    return same, attempt.outcome == caller.outcome, attempt.ended_us, attempt.call_id


def _same_answers(sightings: Sequence[Sighting]) -> Iterable[tuple[Sighting, Sighting]]:
    """One answer, seen by two at one time, the likeliest first."""
    for answer, seen in _by_word(sightings, attrgetter("response_id")):
        pairs = [pair for pair in combinations(seen, 2) if _alike(*pair) and _at_one_time(answer, *pair)]
        yield from sorted(pairs, key=_likely)


def _same_requests(sightings: Sequence[Sighting]) -> Iterable[tuple[Sighting, Sighting]]:
    """One request of which no answer is known, seen from two places at one time, the likeliest first.

    Each attempt has an id of its own. An id that comes twice from one place at one time is that of a client or of a
    proxy, which gives it to many: it is believed as little as one that is too short.
    """
    for request, seen in _by_word(sightings, attrgetter("request")):
        again = {one.call_id for one in seen for other in seen if one is not other and _from_one_place(one, other)}
        pairs = [
            (one, other)
            for one, other in combinations(seen, 2)
            if _alike(one, other)
            and _at_one_time(request, one, other)
            and (again.isdisjoint((one.call_id, other.call_id)) or _within(one, other))
        ]
        yield from sorted(pairs, key=_likely)


def _by_word(
    sightings: Sequence[Sighting], word: Callable[[Sighting], str | None]
) -> Iterable[tuple[str, list[Sighting]]]:
    """The sightings that have a word in common."""
    found: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        if named := word(sighting):
            found.setdefault(named, []).append(sighting)
    return ((named, sorted(seen, key=_id)) for named, seen in found.items() if 1 < len(seen) <= SHARED_MAX)


def _at_one_time(word: str, one: Sighting, other: Sighting) -> bool:
    if len(word) >= LONG_ID:
        return _apart_us(one, other) <= SKEW_US
    # It will come again in a moment.
    return _within(one, other)


def _from_one_place(one: Sighting, other: Sighting) -> bool:
    return one.vantage == other.vantage and _apart_us(one, other) <= SKEW_US


def _within(one: Sighting, other: Sighting) -> bool:
    """Whether one saw from elsewhere all that the other saw."""
    outer, inner = sorted((one, other), key=lambda sighting: (sighting.started_us, -sighting.ended_us))
    return one.vantage != other.vantage and outer.ended_us >= inner.ended_us


def _likely(pair: tuple[Sighting, Sighting]) -> tuple[int, int, bytes, bytes]:
    """The nearer in time, the likelier."""
    one, other = pair
    off = abs(one.started_us - other.started_us) + abs(one.ended_us - other.ended_us)
    return _apart_us(one, other), off, one.call_id, other.call_id


def _id(sighting: Sighting) -> bytes:
    return sighting.call_id
