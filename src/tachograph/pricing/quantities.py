"""What a Call used -> how much of each priced part.

In: the token parts of a Call (or of one inner call of it) and its counted units. Out: quantities under the words of
`rows.RATES`, disjoint. None: nothing was reported.
What it must never know: a rate in dollars, a model's name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any

from tachograph.call import INPUT_PARTS, MODALITY_PARTS, OUTPUT_PARTS, Call
from tachograph.pricing.context import count

Quantity = int | Decimal

# Counted units that are charged under another word than their key.
_COUNTED = {
    "web_searches": "web_search",
    "storage_searches": "storage_search",
    "search_units": "search_unit",
    "pages": "page",
    "annotated_pages": "annotated_page",
    "images": "image",
    "characters": "character",
    "text_messages": "text_message",
    "citation_tokens": "citation",
}
_SUBSETS = ("audio_cache_read", "image_cache_read", "video_input", "video_output", "cache_write_12h")
# (subset of the input, the word of its cached tokens)
_INPUT_MEDIA = (("audio_input", "audio_cache_read"), ("image_input", "image_cache_read"), ("video_input", ""))
_OUTPUT_MEDIA = ("audio_output", "image_output", "video_output")
_NONE = Decimal(0)
_PARTS = (*INPUT_PARTS, *OUTPUT_PARTS, *MODALITY_PARTS)
_counts = attrgetter(*_PARTS)
_MEDIA = frozenset((*_SUBSETS, *MODALITY_PARTS))
# Shortest audio that is billed, in seconds.
_SECONDS_MIN = {"groq": 10}


def of_call(call: Call, counted: Mapping[str, Decimal]) -> dict[str, Quantity] | None:
    """The token parts of a Call and its counted units, subsets still inside their parts."""
    parts: dict[str, Quantity] = {
        part: value for part, value in zip(_PARTS, _counts(call), strict=True) if value is not None
    }
    if "billed_input" in counted or "billed_output" in counted:
        parts = {
            "input_uncached": int(counted.get("billed_input", 0)),
            "output_visible": int(counted.get("billed_output", 0)),
        }
    if counted:
        parts.update({key: int(counted[key]) for key in _SUBSETS if key in counted})
        parts.update(of_counted(call.provider, counted))
    return parts or None


def of_counted(provider: str, counted: Mapping[str, Decimal]) -> dict[str, Quantity]:
    """The units that are billed beside tokens."""
    found = {_COUNTED[key]: _plain(number) for key, number in counted.items() if key in _COUNTED}
    if "input_seconds" in counted or "output_seconds" in counted:
        seconds = counted.get("input_seconds", _NONE) + counted.get("output_seconds", _NONE)
        found["audio_hour"] = max(seconds, Decimal(_SECONDS_MIN.get(provider, 0))) / 3600
    return found


def _plain(number: Decimal) -> Quantity:
    whole = int(number)
    return whole if whole == number else number


def of_iteration(entry: Mapping[str, Any]) -> dict[str, Quantity]:
    """The token parts of one entry of `iterations`; what is no count is not there."""
    found: dict[str, Quantity] = {}
    for part in _PARTS:
        number = count(entry.get(part))
        if number is not None:
            found[part] = int(number)
    return found


def input_tokens(parts: Mapping[str, Quantity]) -> int:
    """All input, by which the threshold of a rate is chosen."""
    return sum(int(parts.get(part, 0)) for part in INPUT_PARTS)


def disjoint(parts: Mapping[str, Quantity], rated: Collection[str]) -> dict[str, Quantity]:
    """Subsets taken out of their part where they have a rate of their own, and dropped where they have none.

    Cached audio is taken out of `cache_read` first; audio that the uncached input cannot hold was cached, too. A subset
    never takes more than its part holds, so that the sum stays what was reported.
    """
    left = dict(parts)
    if not _MEDIA & parts.keys():
        return {name: value for name, value in left.items() if value}
    stated = {name: left.pop(name, 0) for name in (*_SUBSETS, *MODALITY_PARTS)}
    if left.get("audio_hour") and "audio_hour" in rated and stated["audio_input"]:
        _take(left, "input_uncached", stated["audio_input"])  # billed by the hour instead
        stated["audio_input"] = stated["audio_cache_read"] = 0
    if "cache_write_12h" in rated:
        _move(left, "cache_write_other", "cache_write_12h", stated["cache_write_12h"])
    for whole, cached in _INPUT_MEDIA:
        uncached = max(0, stated[whole] - stated.get(cached, 0))
        moved = _move(left, "input_uncached", whole, uncached) if whole in rated else uncached
        if cached in rated:
            _move(left, "cache_read", cached, stated[cached] + uncached - moved)
    for name in _OUTPUT_MEDIA:
        if name in rated:
            _move(left, "output_visible", name, stated[name])
    return {name: value for name, value in left.items() if value}


def _move(left: dict[str, Quantity], source: str, target: str, wanted: Quantity) -> Quantity:
    taken = _take(left, source, wanted)
    if taken:
        left[target] = taken
    return taken


def _take(left: dict[str, Quantity], source: str, wanted: Quantity) -> Quantity:
    taken = min(left.get(source, 0), wanted)
    if taken:
        left[source] = left[source] - taken
    return taken
