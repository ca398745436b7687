"""Attribute names -> small numbers, so that integers are compared.

In: the tables. Out: `Numbering`: an index for every attribute name that is looked for, a number for each that means
something, and for every fact the numbers under which it may be found, in order of precedence. Names that never compete
share a number.
What it must never know: bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tachograph.dialects.facts import NUMBERS, TOKEN_COUNTS, WORDS, Dialect

OPERATION = "operation"
ID_OF_ANSWER = "#id"  # behind the name of an attribute: it holds a whole answer, which begins with its id
UNMARKED = 255
DETAILS = "ai.usage.inputTokenDetails."  # names below it tell that the details of the input are told
# What the resource says -> its attributes; the first name that is there wins.
RESOURCE: Mapping[str, tuple[str, ...]] = {
    "service": ("service.name",),
    "environment": ("deployment.environment.name", "deployment.environment", "langfuse.environment"),
    "region": ("cloud.region",),
    "team": ("tachograph.team", "team"),
    "project": ("tachograph.project", "project", "service.namespace"),
    "customer": ("tachograph.customer",),
    "telemetry": ("telemetry.sdk.name",),
}


@dataclass(frozen=True, slots=True)
class Numbering:
    """keys: attribute name -> number. places: fact -> numbers, the first that is there wins. own_places: (dialect,
    fact) -> numbers that count in that dialect alone. token_counts: the last number of a token count: they come first.
    words_from: the first number of a fact that is a word. answers: the names of texts of whole answers, of which the id
    alone is taken. markers: attribute name -> the first vocabulary of the list that it marks. tags: beginnings of names
    of tags. first_token_events: span events that mark the first content.
    """

    keys: Mapping[str, int]
    places: Mapping[str, tuple[int, ...]]
    own_places: Mapping[tuple[str, str], tuple[int, ...]]
    token_counts: int
    words_from: int
    answers: tuple[str, ...]
    markers: Mapping[str, int]
    tags: tuple[str, ...]
    first_token_events: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """All names, each at its index less one, those first that have a number. Behind them is the index of tags."""
        return [*self.keys, *(name for name in self.markers if name not in self.keys)]

    def by_index(self, of: Mapping[str, int], otherwise: int) -> Any:
        """An array that holds for every index what `of` says of the name there."""
        return np.array([otherwise, *(of.get(name, otherwise) for name in self.names), otherwise], np.int32)


def numbering(dialects: Sequence[Dialect]) -> Numbering:
    """The numbers. ValueError where one attribute name stands for two facts."""
    keys: dict[str, int] = {}
    facts_of: dict[str, str] = {}
    places: dict[str, tuple[int, ...]] = {}
    own: dict[tuple[str, str], tuple[int, ...]] = {}
    following, words_from, token_counts = 1, 0, 0
    for facts in (NUMBERS, WORDS):
        words_from = following
        for fact in facts:
            ranks = {} if fact == OPERATION else _ranks(fact, dialects)
            for key in ranks:
                if facts_of.setdefault(key, fact) != fact:
                    raise ValueError(f"{key} is both {facts_of[key]} and {fact}: name it once")
            # What an answer is to be searched for shares its number with nothing that is taken as it stands.
            shared = {key: (rank, key.endswith(ID_OF_ANSWER)) for key, rank in ranks.items()}
            used = sorted(set(shared.values()))
            numbers = {rank: following + place for place, rank in enumerate(used)}
            keys.update({key: numbers[rank] for key, rank in shared.items()})
            places[fact] = tuple(numbers[rank] for rank in used)
            following += len(used)
            following = _number_own(fact, dialects, keys, own, following)
            if fact == TOKEN_COUNTS[-1]:
                token_counts = following - 1
    answers = tuple(key.removesuffix(ID_OF_ANSWER) for key in keys if key.endswith(ID_OF_ANSWER))
    named = {key.removesuffix(ID_OF_ANSWER): number for key, number in keys.items()}
    markers = {key: index for index, dialect in reversed(list(enumerate(dialects))) for key in dialect.markers}
    tags = tuple(sorted({prefix for dialect in dialects for prefix in dialect.tags}))
    events = tuple(sorted({name for dialect in dialects for name in dialect.first_token_events}))
    return Numbering(named, places, own, token_counts, words_from, answers, markers, tags, events)


def _number_own(
    fact: str,
    dialects: Sequence[Dialect],
    keys: dict[str, int],
    own: dict[tuple[str, str], tuple[int, ...]],
    following: int,
) -> int:
    """Names that count in their dialect alone: all of a dialect of common words, and what each calls its operation."""
    for dialect in dialects:
        if (dialect.own or fact == OPERATION) and fact in dialect.fields:
            for key in dialect.fields[fact]:
                if key not in keys:
                    keys[key] = following
                    following += 1
            own[dialect.name, fact] = tuple(keys[key] for key in dialect.fields[fact])
    return following


def _ranks(fact: str, dialects: Sequence[Dialect]) -> dict[str, int]:
    """Attribute name -> its place among the names of the fact: behind all that any table puts before it."""
    lists = [dialect.fields[fact] for dialect in dialects if fact in dialect.fields and not dialect.own]
    ranks = {key: 0 for names in lists for key in names}
    for _ in range(len(ranks) + 1):
        changed = False
        for names in lists:
            for before, behind in pairwise(names):
                if ranks[behind] <= ranks[before]:
                    ranks[behind], changed = ranks[before] + 1, True
        if not changed:
            return ranks
    raise ValueError(f"the tables disagree about the order of the names of {fact}")
