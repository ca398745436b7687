"""What a reader has understood of one answer so far.

The one mutable record of this room: a wire format writes into it event by event, `reader` turns it into a Call at
the end. Its words are ours; the provider's words live in the format modules.
What it must never know: bytes, framing, prices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from tachograph.wire.tokens import Tokens

NAME_CHARS_MAX = 256
MEMBERS_MAX = 512
DEPTH_MAX = 8
COUNT_MAX = 10**12
USAGE_MEMBERS_MAX = 128  # of one object in a usage object
USAGE_KEY_CHARS_MAX = 64
_ENUM = re.compile(r"[\w.:/@-]{1,64}")


@dataclass(slots=True)
class Found:
    """Everything unknown is None. Formats assign; `last non-null wins` is the `keep` function below.

    usage: the provider's usage object as finally merged. usage_copies: further objects of the same call that the
    tokens function may need (e.g. `timings`), by name.
    terminal: the event that ends a stream of this format has come. contents: there was a content event.
    visible_pieces, reasoning_pieces: content events, where one is close to one token: the estimate of a stream whose
    usage never came. sequence: number of the newest event, where events are numbered. shape: the format that the body
    showed by itself, where neither the path nor the door told it.
    iterations: inner calls that are priced apart: maps of our token part names plus `model`, `type`.
    """

    provider: str = "unknown"
    vendor: str | None = None
    operation: str | None = None
    # asked
    request_model: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    stream_asked: bool | None = None
    user_id: str | None = None
    conversation_id: str | None = None
    # answered
    response_model: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    service_tier: str | None = None
    created_at: datetime | None = None
    finish: str | None = None
    finish_reason: str | None = None
    terminal: bool = False
    contents: bool = False
    reasoning_seen: bool = False
    visible_pieces: int = 0
    reasoning_pieces: int = 0
    sequence: int | None = None
    shape: str | None = None
    tool_ids: set[str] = field(default_factory=set)
    tool_calls: int | None = None
    # counted
    usage: dict[str, Any] | None = None
    usage_copies: dict[str, Any] = field(default_factory=dict)
    tokens: Tokens | None = None
    iterations: list[dict[str, Any]] = field(default_factory=list)
    cost_usd: Decimal | None = None
    server_ms: float | None = None
    queue_ms: float | None = None
    price_context: dict[str, str] = field(default_factory=dict)
    # failed
    error_type: str | None = None
    error_code: str | None = None
    # allowed: rate limits and the wait asked for, under the names of Call
    limits: dict[str, int | float] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    # an answer that holds the answers of many calls (batch results): one Found each
    parts: list[Found] = field(default_factory=list)


def name(value: Any) -> str | None:
    """`value` where it is a non-empty string, cut to a sane length; else None. For ids, models, tiers."""
    if isinstance(value, str) and value:
        cut = value[:NAME_CHARS_MAX]
        return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()  # half a surrogate cannot be stored
    return None


def mapping(value: Any) -> dict[str, Any]:
    """`value` where it is an object, else an empty one: so that a path may be walked without asking at each step."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """`value` where it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def count(value: Any) -> int | None:
    """A token count: integers, floats that are whole enough (Cohere), digits in text (headers). Else None.

    Negative values and absurd ones (over 10^12) are no counts.
    """
    if value is None:
        return None
    if type(value) is int:  # nearly always; a bool is of another type
        return value if 0 <= value <= COUNT_MAX else None
    if isinstance(value, str):
        if len(value) < 16 and value.isdecimal():  # what nearly all headers hold
            return count(int(value))
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= COUNT_MAX:
        return None
    return round(value)


def number(value: Any) -> float | None:
    """A finite number, also written as text. Else None."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if abs(found) < 1e15 else None


def money(value: Any) -> Decimal | None:
    """A stated amount in US dollars; None where it is no amount."""
    if number(value) is None:
        return None
    amount = Decimal(str(value))
    return amount if 0 <= amount < 10**8 else None


def merged(old: dict[str, Any] | None, new: Any, depth: int = 0) -> dict[str, Any] | None:
    """`new` over `old`, field by field: the last non-null value wins, nested objects likewise. Never adds.

    A stream may send ever new members: no more than `MEMBERS_MAX` are kept.
    """
    if not isinstance(new, dict) or not new:
        return old
    if not old:
        return dict(new)
    out = dict(old)
    for key, value in new.items():
        if key not in out and len(out) >= MEMBERS_MAX:
            continue
        if value is None:
            out.setdefault(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict) and depth < DEPTH_MAX:
            out[key] = merged(out[key], value, depth + 1)
        else:
            out[key] = value
    return out


def countable(usage: Any, depth: int = 0) -> Any:
    """`usage` with numbers, nulls and enumeration words only: free text is content and never leaves the room."""
    if isinstance(usage, dict):
        if depth >= DEPTH_MAX:
            return _DROP
        kept = {}
        for key, value in islice(usage.items(), USAGE_MEMBERS_MAX):
            if value is not None and not (type(value) is int and 0 <= value <= COUNT_MAX):  # what nearly all are
                value = countable(value, depth + 1)
            kept[str(key)[:USAGE_KEY_CHARS_MAX]] = value
        return {key: value for key, value in kept.items() if value is not _DROP}
    if isinstance(usage, list):
        return [value for value in (countable(item, depth + 1) for item in usage[:64]) if value is not _DROP]
    if isinstance(usage, str):
        return usage if _ENUM.fullmatch(usage) else _DROP
    if isinstance(usage, (int, float)) and not abs(usage) <= 10**18:  # nor Infinity, which JSON cannot write
        return _DROP
    return usage


_DROP = object()
