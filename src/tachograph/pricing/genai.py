"""The bundled price list of genai-prices -> rows, matchers, fallbacks.

In: the library's Python objects (MIT licence; no network). Out: a `Table` in our words. Dated conditions, hours of the
day, thresholds and variants by request context become flat rows, one per price that was ever in force.
What it must never know: a Call, an override. The library is imported inside `bundled` only: it costs half a second.

Where we read the list differently from the library, and why:
* Hours of the day belong to the revision that precedes them in the list; the library applies them to all of the past.
* A model without any rate is free only where the list says so; else it has no price here (the library charges 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time
from itertools import combinations
from typing import Any, NamedTuple

from tachograph.pricing.amendments import AMENDMENTS, DERIVED, MODELS, MULTIPLIERS
from tachograph.pricing.rows import Clause, Matcher, PriceRow, Rate, Table, Tiered

# Their provider -> our words, where they differ.
_WORDS: dict[str, tuple[str, ...]] = {
    "azure": ("azure.ai.openai",),
    "aws": ("aws.bedrock",),
    "google": ("gcp.gemini", "gcp.vertex_ai"),
    "mistral": ("mistral_ai",),
    "x-ai": ("x_ai",),
    "moonshotai": ("moonshot_ai",),
    "github-copilot": ("github",),
}
_ROUTED = "huggingface_"

# Whose prices hold where a provider has none of its own for a name, beyond what the list says.
_FALLBACKS: dict[str, tuple[str, ...]] = {
    "gcp.gen_ai": ("gcp.gemini", "anthropic"),
    "azure.ai.inference": ("azure.ai.openai", "openai", "anthropic", "deepseek", "x_ai", "moonshot_ai"),
}

# OpenRouter charges what these vendors' own lists say; names are `vendor/model`.
_VENDORS: dict[tuple[str, str], str] = {
    ("openrouter", "anthropic"): "anthropic",
    ("openrouter", "cohere"): "cohere",
    ("openrouter", "google"): "gcp.gemini",
    ("openrouter", "mistralai"): "mistral_ai",
    ("openrouter", "openai"): "openai",
    ("openrouter", "perplexity"): "perplexity",
    ("openrouter", "x-ai"): "x_ai",
}

_RATES: dict[str, str] = {
    "input_mtok": "input_uncached",
    "output_mtok": "output_visible",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "output_reasoning",
    "output_citation_mtok": "citation",
    "input_audio_mtok": "audio_input",
    "cache_audio_read_mtok": "audio_cache_read",
    "output_audio_mtok": "audio_output",
    "input_image_mtok": "image_input",
    "cache_image_read_mtok": "image_cache_read",
    "output_image_mtok": "image_output",
    "input_video_mtok": "video_input",
    "output_video_mtok": "video_output",
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "storage_search",
    "requests_kcount": "request",
    "input_text_messages_kcount": "text_message",
    "input_document_kpages": "page",
    "input_annotated_document_kpages": "annotated_page",
    "input_mchars": "character",
    "audio_hours": "audio_hour",
    "input_audio_hours": "audio_hour",
}

_DEFAULT = {"service_tier": "default"}

# Words by which the list says that a model without rates costs nothing.
_FREE_WORDS = (":free", "-exp", "free of charge", "included in the subscription", "gemma-3")

Context = tuple[tuple[str, str], ...]
Rates = dict[str, Rate]


class _Revision(NamedTuple):
    """The prices from a day on, and those of certain hours."""

    valid_from: date | None
    rates: Rates
    windows: list[tuple[tuple[time, time], Rates]]


class _Variant(NamedTuple):
    """What other context changes in the rates, from a day on."""

    context: Context
    valid_from: date | None
    rates: Rates


def bundled() -> Table:
    """The list that is installed, with our amendments. Takes about 0.3 s of CPU besides the import of the library."""
    from genai_prices.data import providers

    return flatten(providers)


def flatten(providers: Sequence[Any]) -> Table:
    """The providers of the library as a Table."""
    rows: list[PriceRow] = []
    matchers: dict[str, list[Matcher]] = {}
    fallbacks = dict(_FALLBACKS)
    for provider in providers:
        required: Context = ()
        words = _WORDS.get(provider.id, (provider.id,))
        if provider.id.startswith(_ROUTED):
            words, required = ("huggingface",), (("route", provider.id.removeprefix(_ROUTED)),)
        for word in words:
            own = matchers.setdefault(word, [])
            for model in provider.models:
                own.append(Matcher(_clause(model.match), model.id, required))
                rows.extend(_rows(word, model, required))
            if provider.fallback_model_providers:
                fallbacks[word] = tuple(_WORDS.get(name, (name,))[0] for name in provider.fallback_model_providers)
    for row, names in MODELS:
        rows.append(row)
        matchers.setdefault(row.provider, []).append(Matcher(("or", *(("equals", name) for name in names)), row.model))
    return Table(
        rows=tuple(rows),
        matchers={word: tuple(own) for word, own in matchers.items()},
        fallbacks=fallbacks,
        vendors=_VENDORS,
        multipliers=MULTIPLIERS,
        derived=DERIVED,
    )


def _rows(provider: str, model: Any, required: Context) -> Iterator[PriceRow]:
    revisions = _revisions(model.prices)
    if not any(revision.rates for revision in revisions):
        if _is_free(provider, model):
            yield PriceRow(provider, model.id, {}, context=required, origin="genai-prices", free=True)
        return
    variants = _variants(provider, model)
    for context in _contexts(variants):
        words = tuple(sorted({**dict(required), **dict(context)}.items()))
        for valid_from, window, rates in _timeline(revisions, variants, context):
            yield PriceRow(provider, model.id, rates, valid_from, window, words, origin="genai-prices")


def _is_free(provider: str, model: Any) -> bool:
    said = f"{model.id} {model.description} {model.price_comments}".lower()
    return provider != "gcp.vertex_ai" and any(word in said for word in _FREE_WORDS)


def _revisions(prices: Any) -> list[_Revision]:
    if not isinstance(prices, list):
        return [_Revision(None, _rates(prices), [])]
    found: list[_Revision] = []
    for item in prices:
        begin = getattr(item.constraint, "start_time", None)
        if begin is not None and found:
            end = item.constraint.end_time
            window = (begin.replace(tzinfo=None), end.replace(tzinfo=None))
            found[-1].windows.append((window, _rates(item.prices)))
        else:
            # the first of a list holds for all of the past, whatever day it names
            day = getattr(item.constraint, "start_date", None) if found else None
            found.append(_Revision(day, _rates(item.prices), []))
    return found


def _variants(provider: str, model: Any) -> list[_Variant]:
    found = [
        _Variant(_words(item.when), getattr(item.constraint, "start_date", None), _rates(item.prices))
        for item in model.price_variants or ()
        if item.when != _DEFAULT  # an empty one of other words says that the standard price holds for them, too
    ]
    amended = AMENDMENTS.get((provider, model.id), ())
    return found + [_Variant(context, None, dict(rates)) for context, rates in amended]


def _words(when: dict[str, str]) -> Context:
    return tuple(sorted((key, value.lower()) for key, value in when.items()))


def _contexts(variants: Iterable[_Variant]) -> list[Context]:
    """No context, each context of a variant, and each two that may be given together."""
    single = list(dict.fromkeys(variant.context for variant in variants))
    both = [
        tuple(sorted(first + second))
        for first, second in combinations(single, 2)
        if not {key for key, _ in first} & {key for key, _ in second}
    ]
    return [(), *single, *both]


def _timeline(
    revisions: list[_Revision], variants: list[_Variant], context: Context
) -> Iterator[tuple[date | None, tuple[time, time] | None, Rates]]:
    """The prices of one context as they followed each other; a day that changes nothing is left out."""
    fitting = [variant for variant in variants if set(variant.context) <= set(context)]
    begin = _begin(fitting)
    days = {_day(item.valid_from) for item in revisions} | {_day(item.valid_from) for item in fitting}
    last: Any = None
    for day in [begin, *sorted(day for day in days if day > begin)]:
        revision = [item for item in revisions if _day(item.valid_from) <= day][-1]
        changes: Rates = {}
        for variant in fitting:
            if _day(variant.valid_from) <= day:
                changes = {**variant.rates, **changes}  # the first that is in force wins
        prices: list[tuple[tuple[time, time] | None, Rates]] = [(None, {**revision.rates, **changes})]
        prices.extend((window, {**rates, **changes}) for window, rates in revision.windows)
        if prices != last:
            last = prices
            for window, rates in prices:
                yield (None if day == date.min else day), window, rates


def _begin(fitting: list[_Variant]) -> date:
    """The first day on which all parts of the context have a price."""
    first: dict[Context, date] = {}
    for variant in fitting:
        first[variant.context] = min(first.get(variant.context, date.max), _day(variant.valid_from))
    return max(first.values(), default=date.min)


def _day(day: date | None) -> date:
    return day or date.min


def _rates(prices: Any) -> Rates:
    found: Rates = {}
    for key, value in vars(prices).items():
        name = _RATES.get(key)
        if name is not None and value is not None:
            found[name] = _rate(value)
    return found


def _rate(value: Any) -> Rate:
    steps = getattr(value, "tiers", None)
    if steps is None:
        return value  # type: ignore[no-any-return]
    return Tiered(value.base, tuple((step.start, step.price) for step in steps))


_LEAVES = (("equals", "equals"), ("starts_with", "starts"), ("ends_with", "ends"), ("contains", "contains"))


def _clause(match: Any) -> Clause:
    for attribute, word in _LEAVES:
        if hasattr(match, attribute):
            return (word, getattr(match, attribute).lower())
    if hasattr(match, "regex"):
        return ("regex", match.regex)
    word, inner = ("or", match.or_) if hasattr(match, "or_") else ("and", match.and_)
    return (word, *(_clause(clause) for clause in inner))
