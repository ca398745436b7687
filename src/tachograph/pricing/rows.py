"""What a price is: a dated row of rates for one model of one provider in one context.

In: nothing. Out: `PriceRow`, `Tiered`, `Table` and the list of rates with their units. Every other file of this room
makes rows or reads them.
What it must never know: where rows come from, a Call, how a charge is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import NamedTuple

MILLION, THOUSAND, ONE = 10**6, 10**3, 1


@dataclass(frozen=True, slots=True)
class Unit:
    """What a rate is a price of: US dollars per `per` of `noun`. `scales`: general multipliers apply to it."""

    noun: str
    per: int
    scales: bool = True


# Every rate that a row may have. The first block are the disjoint token parts; the words are those of Call.
RATES: dict[str, Unit] = {
    "input_uncached": Unit("tokens", MILLION),
    "cache_read": Unit("tokens", MILLION),
    "cache_write_5m": Unit("tokens", MILLION),
    "cache_write_1h": Unit("tokens", MILLION),
    "cache_write_12h": Unit("tokens", MILLION),
    "cache_write_other": Unit("tokens", MILLION),
    "output_visible": Unit("tokens", MILLION),
    "output_reasoning": Unit("tokens", MILLION),
    "audio_input": Unit("tokens", MILLION),
    "audio_cache_read": Unit("tokens", MILLION),
    "audio_output": Unit("tokens", MILLION),
    "image_input": Unit("tokens", MILLION),
    "image_cache_read": Unit("tokens", MILLION),
    "image_output": Unit("tokens", MILLION),
    "video_input": Unit("tokens", MILLION),
    "video_output": Unit("tokens", MILLION),
    "citation": Unit("tokens", MILLION),
    "request": Unit("requests", THOUSAND, scales=False),
    "web_search": Unit("searches", THOUSAND, scales=False),
    "storage_search": Unit("searches", THOUSAND, scales=False),
    "search_unit": Unit("search units", THOUSAND),
    "page": Unit("pages", THOUSAND),
    "annotated_page": Unit("pages", THOUSAND),
    "text_message": Unit("messages", THOUSAND),
    "character": Unit("characters", MILLION),
    "image": Unit("images", ONE),
    "audio_hour": Unit("hours", ONE),
}


@dataclass(frozen=True, slots=True)
class Tiered:
    """A rate that depends on the size of the request: `steps` are (threshold, rate), ascending.

    The whole request is charged at the rate of the highest threshold that its total input tokens exceed.
    """

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...]

    def at(self, input_tokens: int) -> Decimal:
        """The rate of a request of that many input tokens."""
        rate = self.base
        for threshold, step in self.steps:
            if input_tokens > threshold:
                rate = step
        return rate


Rate = Decimal | Tiered


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One price. Rates are US dollars per the unit that `RATES` states; a rate that is absent is not known.

    provider: our word (gen_ai.provider.name). model: canonical name.
    valid_from: first UTC day; None: since ever. The latest row that has begun holds.
    window: hours of the day in UTC, [from, to), may wrap midnight; None: the whole day, less the windows of other rows.
    context: the condition words (see `context.conditions`) that all must be given; more words win over fewer.
    source: `list`, `contract` or `amortised`, the word that becomes `cost_source`. origin: where the figures are from.
    free: the provider charges nothing; such a row has no rates.
    """

    provider: str
    model: str
    rates: Mapping[str, Rate]
    valid_from: date | None = None
    window: tuple[time, time] | None = None
    context: tuple[tuple[str, str], ...] = ()
    source: str = "list"
    origin: str = ""
    free: bool = False

    @property
    def price_id(self) -> str:
        """`<provider>/<model>@<first day or start>[+HH:MM-HH:MM][+word=value...][+contract|+amortised]`."""
        parts = [f"{self.provider}/{self.model}@{self.valid_from or 'start'}"]
        if self.window is not None:
            parts.append(f"{self.window[0]:%H:%M}-{self.window[1]:%H:%M}")
        parts.extend(f"{key}={value}" for key, value in self.context)
        if self.source != "list":
            parts.append(self.source)
        return "+".join(parts)

    def covers(self, moment: time) -> bool:
        """Whether the hours of the row hold a time of the day."""
        if self.window is None:
            return True
        begin, end = self.window
        if begin <= end:
            return begin <= moment < end
        return moment >= begin or moment < end


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A factor on the rates of a row, where the list has no row for that condition.

    providers, models, requested: patterns with `*`; empty means all. models is compared with the canonical name and
    with both names of the Call; requested with the requested name only (a deployment or profile).
    when: condition words; the value `*` stands for any. valid_from: first UTC day.
    rates: the names it applies to; empty: all but fees of requests and searches. It is not used on a row whose context
    names the condition (that row already holds the price), nor on amortised rows.
    """

    name: str
    factor: Decimal
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    requested: tuple[str, ...] = ()
    when: tuple[tuple[str, str], ...] = ()
    valid_from: date | None = None
    rates: tuple[str, ...] = ()
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Derived:
    """A rate that a row lacks, as a factor of its input rate: cache lifetimes."""

    rate: str
    factor: Decimal
    models: tuple[str, ...]
    providers: tuple[str, ...] = ()
    origin: str = ""


# A match clause: ("equals", text), ("starts", text), ("ends", text), ("contains", text), ("regex", text),
# ("or", clause, ...), ("and", clause, ...). Texts are in lower case, except of regex.
Clause = tuple[object, ...]


class Matcher(NamedTuple):
    """A name that the clause knows is this model, where all words of `required` are given."""

    clause: Clause
    model: str
    required: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Everything a book is built from.

    matchers: per provider, in the order of trial; the first that knows a name decides. overriding: those of overrides;
    each that knows a name is tried before the others. fallbacks: providers whose prices hold where one has none of its
    own. vendors: of a router that passes prices through, (router, vendor in a name) -> the provider whose prices hold.
    aliases: (provider or None for all, name) -> model.
    """

    rows: tuple[PriceRow, ...]
    matchers: Mapping[str, tuple[Matcher, ...]] = field(default_factory=dict)
    overriding: Mapping[str, tuple[Matcher, ...]] = field(default_factory=dict)
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vendors: Mapping[tuple[str, str], str] = field(default_factory=dict)
    multipliers: tuple[Multiplier, ...] = ()
    derived: tuple[Derived, ...] = ()
    aliases: Mapping[tuple[str | None, str], str] = field(default_factory=dict)
