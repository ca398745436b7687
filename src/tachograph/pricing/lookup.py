"""Which row holds: provider, names, day and conditions -> the row, its hours, its multipliers.

In: a Table once; then questions. Out: `Found`, or the canonical name alone where no price is in force.
What it must never know: a Call, token counts, how an amount is computed.

Order of precedence: an alias; then the responded name, then the requested one (on Bedrock the other way round: only the
requested profile says the region, and regional profiles cost more). Among rows: contract over amortised over list, own
over a fallback's, more matching words of context over fewer, later over earlier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from typing import NamedTuple

from tachograph.pricing.names import matches, pattern, spellings
from tachograph.pricing.rows import Derived, Matcher, Multiplier, PriceRow, Table

Words = Mapping[str, str]
MATCHES_MAX = 20_000

_SOURCES = {"list": 0, "amortised": 1, "contract": 2}
_REQUESTED_FIRST = frozenset(("aws.bedrock",))
# Names whose price a router does not take from the vendor: its own variants, and open weights that others serve.
_NOT_PASSED = re.compile(r":|^claude.*-fast$|^gpt-oss|^gemma")
# Conditions that always move the price: without a row or a multiplier for them the list price is only a guess.
_PRICED_WORDS = ("service_tier", "processing", "speed", "latency", "inference_geo")


class Holding(NamedTuple):
    """One row with what is to be applied to it. flags: words for the charge."""

    row: PriceRow
    multipliers: tuple[Multiplier, ...]
    derived: tuple[Derived, ...]
    flags: tuple[str, ...]


class Found(NamedTuple):
    """The canonical name; what holds for the day, and in certain hours. Neither: no price is in force."""

    model: str | None
    day: Holding | None
    hours: tuple[tuple[PriceRow, Holding], ...] = ()

    def at(self, moment: time) -> Holding | None:
        """What holds at a time of the day, UTC."""
        for row, holding in self.hours:
            if row.covers(moment):
                return holding
        return self.day


class _Pattern(NamedTuple):
    providers: tuple[re.Pattern[str], ...]
    models: tuple[re.Pattern[str], ...]
    requested: tuple[re.Pattern[str], ...]


class Lookup:
    """The index over a Table. Immutable but for a bounded memory of which clauses know which name."""

    def __init__(self, table: Table) -> None:
        self._rows: dict[tuple[str, str], list[PriceRow]] = {}
        for row in table.rows:
            self._rows.setdefault((row.provider, row.model), []).append(row)
        self._listed, self._overriding = table.matchers, table.overriding
        self._fallbacks, self._vendors = table.fallbacks, table.vendors
        self._routers = frozenset(router for router, _ in table.vendors)
        self._aliases = {(provider, name.lower()): model for (provider, name), model in table.aliases.items()}
        self._multipliers = [(item, _patterns(item)) for item in table.multipliers]
        self._derived = [(item, _patterns(item)) for item in table.derived]
        self._known: dict[tuple[str, str], tuple[Matcher, ...]] = {}

    def find(self, provider: str, requested: str | None, responded: str | None, day: date, words: Words) -> Found:
        """What a Call of that provider and those names is priced by. day: UTC. words: `context.conditions`."""
        canonical: str | None = None
        for name in self._names(provider, requested, responded):
            for spelling in spellings(provider, name):
                for model, rows in self._targets(provider, spelling, day, words):
                    canonical = canonical or model
                    best, hours = choose(rows, provider, day, words)
                    if best is None and not hours:
                        continue
                    names = (model.lower(), (requested or "").lower(), (responded or "").lower())
                    found = tuple((row, self._hold(row, provider, names, day, words)) for row in hours)
                    whole = None if best is None else self._hold(best, provider, names, day, words)
                    return Found(model, whole, found)
        return Found(canonical, None)

    def _names(self, provider: str, requested: str | None, responded: str | None) -> Iterator[str]:
        both = (requested, responded) if provider in _REQUESTED_FIRST else (responded, requested)
        given = [name for name in both if name]
        for name in given:
            for holder in (provider, None):
                alias = self._aliases.get((holder, name.lower()))
                if alias is not None:
                    yield alias
        yield from given[:1] if provider in self._routers and _other_vendor(given) else given

    def _targets(self, provider: str, spelling: str, day: date, words: Words) -> Iterator[tuple[str, list[PriceRow]]]:
        """(canonical name, candidate rows): the provider's own, then those of its fallbacks."""
        for model in self._models(provider, spelling, words):
            own = self._rows.get((provider, model), [])
            yield model, self._with_history(own, provider, spelling, day, words)
        for model, listed in self._foreign(provider, spelling, words):
            yield model, listed + self._rows.get((provider, model), [])

    def _foreign(self, provider: str, spelling: str, words: Words) -> Iterator[tuple[str, list[PriceRow]]]:
        """(canonical name, list rows) of those whose prices hold where the provider has none, without gifts."""
        for holder, name in self._holders(provider, spelling):
            for model in self._models(holder, name, words):
                rows = self._rows.get((holder, model), [])
                yield model, [row for row in rows if row.source == "list" and not row.free]

    def _holders(self, provider: str, spelling: str) -> Iterator[tuple[str, str]]:
        vendor, _, name = spelling.partition("/")
        holder = self._vendors.get((provider, vendor))
        if holder is not None and not _NOT_PASSED.search(name):
            yield holder, name
        for holder in self._fallbacks.get(provider, ()):
            yield holder, spelling

    def _with_history(
        self, own: list[PriceRow], provider: str, spelling: str, day: date, words: Words
    ) -> list[PriceRow]:
        """A router's rows; before its first dated one the vendor's, as the undated one is only the oldest known."""
        dated = [row.valid_from for row in own if row.valid_from is not None and row.source == "list"]
        if provider not in self._routers or not dated or day >= min(dated):
            return own
        listed = next((rows for _, rows in self._foreign(provider, spelling, words) if rows), None)
        return own if listed is None else [row for row in own if row.source != "list"] + listed

    def _models(self, provider: str, spelling: str, words: Words) -> Iterator[str]:
        for item in self._overriding.get(provider, ()):
            if matches(item.clause, spelling):
                yield item.model
        known = self._known.get((provider, spelling))
        if known is None:
            if len(self._known) >= MATCHES_MAX:
                self._known.clear()
            known = tuple(item for item in self._listed.get(provider, ()) if matches(item.clause, spelling))
            self._known[provider, spelling] = known
        for item in known:
            if all(words.get(key) == value for key, value in item.required):
                yield item.model
                return

    def _hold(self, row: PriceRow, provider: str, names: tuple[str, str, str], day: date, words: Words) -> Holding:
        if row.source == "amortised":
            return Holding(row, (), (), ())
        made_for = {key for key, _ in row.context}
        chosen: dict[str, Multiplier] = {}
        for item, patterns in self._multipliers:
            if item.name not in chosen and _applies(item, made_for, day, words) and _fits(patterns, provider, names):
                chosen[item.name] = item
        derived = tuple(item for item, patterns in self._derived if _fits(patterns, provider, names))
        handled = made_for | {key for item in chosen.values() for key, _ in item.when}
        guessed = any(key in words and key not in handled for key in _PRICED_WORDS)
        return Holding(row, tuple(chosen.values()), derived, ("tier_price_unknown",) if guessed else ())


def _other_vendor(given: Sequence[str]) -> bool:
    """Whether a router answered with a model of another vendor than was asked: then the asked one has no say."""
    return len({name.lower().partition("/")[0] for name in given if "/" in name}) > 1


def choose(rows: Iterable[PriceRow], provider: str, day: date, words: Words) -> tuple[PriceRow | None, list[PriceRow]]:
    """(the row of the day, rows of certain hours that outrank or accompany it)."""
    ranked = [
        (_rank(row, provider), row)
        for row in rows
        if (row.valid_from is None or row.valid_from <= day)
        and all(words.get(key) == value for key, value in row.context)
    ]
    whole = max((item for item in ranked if item[1].window is None), key=lambda item: item[0], default=None)
    hours = [item for item in ranked if item[1].window is not None and (whole is None or item[0] >= whole[0])]
    hours.sort(key=lambda item: item[0], reverse=True)
    return (whole[1] if whole else None), [row for _, row in hours]


def _rank(row: PriceRow, provider: str) -> tuple[int, bool, int, date]:
    return _SOURCES[row.source], row.provider == provider, len(row.context), row.valid_from or date.min


def _applies(item: Multiplier, made_for: set[str], day: date, words: Words) -> bool:
    if item.valid_from is not None and day < item.valid_from:
        return False
    if any(key in made_for for key, _ in item.when):
        return False
    return all(key in words and value in ("*", words[key]) for key, value in item.when)


def _patterns(item: Multiplier | Derived) -> _Pattern:
    requested = item.requested if isinstance(item, Multiplier) else ()
    compiled = [tuple(pattern(text) for text in texts) for texts in (item.providers, item.models, requested)]
    return _Pattern(*compiled)


def _fits(patterns: _Pattern, provider: str, names: tuple[str, str, str]) -> bool:
    return (
        _any(patterns.providers, (provider,)) and _any(patterns.models, names) and _any(patterns.requested, (names[1],))
    )


def _any(patterns: tuple[re.Pattern[str], ...], texts: tuple[str, ...]) -> bool:
    return not patterns or any(item.match(text) for item in patterns for text in texts if text)
