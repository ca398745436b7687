"""Google's `usageMetadata`: what its counts mean, and how those of a stream are merged.

In: the usage objects of generateContent, embeddings, interactions and the Live API. Out: Tokens. Counts that are zero
are absent; the thoughts stand beside the candidates, the tokens of tools beside the prompt, cached ones lie within
it. Enumerations come as words or, from gRPC proxies, as numbers. Source: providers.md A0, A4.
What it must never know: candidates, parts, framing.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire import tokens as arithmetic
from tachograph.wire.found import Found, count, items, mapping, merged, name
from tachograph.wire.openai_usage import is_reasoning
from tachograph.wire.tokens import Tokens

_MODALITIES = {0: "UNSPECIFIED", 1: "TEXT", 2: "IMAGE", 3: "VIDEO", 4: "AUDIO", 5: "DOCUMENT"}
_TRAFFIC = {
    0: "TRAFFIC_TYPE_UNSPECIFIED",
    1: "ON_DEMAND",
    2: "PROVISIONED_THROUGHPUT",
    3: "ON_DEMAND_PRIORITY",
    4: "ON_DEMAND_FLEX",
}
_COUNTS = (
    "promptTokenCount",
    "candidatesTokenCount",
    "responseTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "cachedContentTokenCount",
    "totalTokenCount",
)
_OUTPUTS = ("candidatesTokenCount", "responseTokenCount")


def word(value: Any, words: dict[int, str]) -> str | None:
    """An enumeration, given as its word or as its number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return words.get(value, str(value))
    return name(value)


def keep_usage(found: Found, value: Any) -> None:
    """The usage of one more event: the last one that counts replaces what came before it, as a whole.

    Built-in tools reset the counts between hops and the last event holds the sum, so neither the largest nor the
    sum of all is right. Where the last one leaves out a member and its own total says so, the earlier one stays.
    """
    usage = mapping(value)
    traffic = word(usage.get("trafficType"), _TRAFFIC)
    if traffic:
        found.price_context["traffic_type"] = traffic
    found.service_tier = name(usage.get("serviceTier")) or found.service_tier
    if not any(count(usage.get(member)) is not None for member in _COUNTS):
        found.usage = found.usage or (dict(usage) or None)
        return
    earlier = found.usage or {}
    both = {**earlier, **usage}
    found.usage = both if not _sums_up(usage) and _sums_up(both) else dict(usage)
    if earlier.get("promptTokenCount") == usage.get("promptTokenCount"):
        for member in ("cachedContentTokenCount", "cacheTokensDetails"):
            if member in earlier:
                found.usage.setdefault(member, earlier[member])
    subsets(found, found.usage)


def _sums_up(usage: dict[str, Any]) -> bool:
    total = count(usage.get("totalTokenCount"))
    return total is None or total == _prompt(usage) + _output(usage) + (count(usage.get("thoughtsTokenCount")) or 0)


def _prompt(usage: dict[str, Any]) -> int:
    return (count(usage.get("promptTokenCount")) or 0) + (count(usage.get("toolUsePromptTokenCount")) or 0)


def _output(usage: dict[str, Any]) -> int:
    return max(count(usage.get(member)) or 0 for member in _OUTPUTS)


def subsets(found: Found, usage: dict[str, Any]) -> None:
    """Tokens within the parts that have a price of their own and no part of their own."""
    cached = (usage.get("cacheTokensDetails"),)
    subsets = {
        "video_input": modality(_asked(usage), "VIDEO"),
        "audio_cache_read": modality(cached, "AUDIO"),
        "image_cache_read": modality(cached, "IMAGE"),
    }
    for key, tokens in subsets.items():
        if tokens:
            found.price_context[key] = str(tokens)
        else:
            found.price_context.pop(key, None)


def _asked(usage: dict[str, Any]) -> tuple[Any, ...]:
    return usage.get("promptTokensDetails"), usage.get("toolUsePromptTokensDetails")


def content_tokens(found: Found) -> Tokens | None:
    """The parts of a generated answer. None where no event counted anything."""
    usage = found.usage or {}
    tokens = counted(found, usage)
    if tokens is not None and found.contents and not found.terminal:  # it broke off: what it counts is not the end
        found.flags.add("usage_partial")
        if not _output(usage):
            tokens.output_visible = tokens.output_reasoning = None
    return tokens


def counted(found: Found, usage: dict[str, Any]) -> Tokens | None:
    """The parts of one usage object."""
    if not any(count(usage.get(member)) is not None for member in _COUNTS):
        return None
    thoughts = count(usage.get("thoughtsTokenCount")) or 0
    answered = (usage.get("candidatesTokensDetails"), usage.get("responseTokensDetails"))
    if count(usage.get("promptTokenCount")) is None:
        return _promptless(usage, thoughts)
    return arithmetic.inclusive(
        input_tokens=_prompt(usage),
        output_tokens=_output(usage) + thoughts,
        total_tokens=None if thoughts else count(usage.get("totalTokenCount")),
        cache_read=count(usage.get("cachedContentTokenCount")) or 0,
        reasoning=thoughts,
        audio_input=modality(_asked(usage), "AUDIO"),
        image_input=modality(_asked(usage), "IMAGE"),
        audio_output=modality(answered, "AUDIO"),
        image_output=modality(answered, "IMAGE"),
        reasoning_model=is_reasoning(found),
    )


def _promptless(usage: dict[str, Any], thoughts: int) -> Tokens:
    """The parts where the prompt went uncounted (files that Google fetches): what the total leaves, or unknown."""
    answered = (usage.get("candidatesTokensDetails"), usage.get("responseTokensDetails"))
    asked = (count(usage.get("totalTokenCount")) or 0) - _output(usage) - thoughts
    tokens = arithmetic.inclusive(
        input_tokens=asked if asked > 0 else None,
        output_tokens=_output(usage) + thoughts,
        cache_read=count(usage.get("cachedContentTokenCount")),
        reasoning=thoughts,
        audio_output=modality(answered, "AUDIO"),
        image_output=modality(answered, "IMAGE"),
    )
    tokens.flags.add("gap_booked" if asked > 0 else "usage_partial")
    return tokens


def modality(details: tuple[Any, ...], kind: str) -> int | None:
    """The tokens of one modality in lists of `{modality, tokenCount}`; 0 where a list leaves it out."""
    lists = [items(entries) for entries in details if items(entries)]
    if not lists:
        return None
    entries = [mapping(entry) for listed in lists for entry in listed]
    return sum(
        count(entry.get("tokenCount", entry.get("tokens"))) or 0
        for entry in entries
        if (word(entry.get("modality"), _MODALITIES) or "").upper() == kind
    )


def added(usage: dict[str, Any], turn: dict[str, Any]) -> dict[str, Any]:
    """The usage of one more turn of a conversation over a socket; here, and only here, counts add up."""
    out = dict(usage)
    for key, value in turn.items():
        if key.endswith("TokenCount"):
            out[key] = (count(out.get(key)) or 0) + (count(value) or 0)
        elif isinstance(value, list):
            out[key] = _added_details(items(out.get(key)), value)
        else:
            out[key] = value
    return out


def _added_details(old: list[Any], new: list[Any]) -> list[Any]:
    kinds = [word(mapping(entry).get("modality"), _MODALITIES) for entry in (*old, *new)]
    return [
        {"modality": kind, "tokenCount": modality((old, new), kind.upper())} for kind in dict.fromkeys(kinds) if kind
    ]


def embedding_tokens(found: Found) -> Tokens | None:
    """The input of an embedding."""
    asked = count((found.usage or {}).get("promptTokenCount"))
    if asked is None:
        asked = count((found.usage or {}).get("totalTokenCount"))
    if asked is None:
        return None
    usage = found.usage or {}
    details = (usage.get("promptTokensDetails"), usage.get("promptTokenDetails"))  # sic: both spellings exist
    return Tokens(input_uncached=asked, audio_input=modality(details, "AUDIO"), image_input=modality(details, "IMAGE"))


_INTERACTION_NAMES = {
    "total_input_tokens": "promptTokenCount",
    "total_tool_use_tokens": "toolUsePromptTokenCount",
    "total_output_tokens": "candidatesTokenCount",
    "total_thought_tokens": "thoughtsTokenCount",
    "total_reasoning_tokens": "thoughtsTokenCount",
    "total_cached_tokens": "cachedContentTokenCount",
    "total_tokens": "totalTokenCount",
    "input_tokens_by_modality": "promptTokensDetails",
    "tool_use_tokens_by_modality": "toolUsePromptTokensDetails",
    "output_tokens_by_modality": "candidatesTokensDetails",
    "cached_tokens_by_modality": "cacheTokensDetails",
}


def respelled(usage: dict[str, Any]) -> dict[str, Any]:
    """The usage of an interaction under the names of `usageMetadata`."""
    return {ours: usage[theirs] for theirs, ours in _INTERACTION_NAMES.items() if usage.get(theirs) is not None}


def keep_interaction_usage(found: Found, value: Any) -> None:
    """The usage of one more event of an interaction: the last non-null wins, field by field."""
    found.usage = merged(found.usage, value)
    if found.usage:
        subsets(found, respelled(found.usage))


def interaction_tokens(found: Found) -> Tokens | None:
    """The parts of an interaction: `total_*` names, thoughts and tools beside."""
    return counted(found, respelled(found.usage or {}))
