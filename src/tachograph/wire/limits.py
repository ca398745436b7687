"""Rate-limit and retry headers of every provider -> plain figures.

In: response headers, among them the moment of the answer. Out: what is allowed, what is left, when it starts anew, how
long to wait. Spellings differ by provider (providers.md A13): durations as `120ms`, `6m0s`, `4.32s` or plain seconds
(Azure), moments as RFC 3339 (Anthropic); of several windows the shortest is taken, for it is the one that bites first.
What it must never know: bodies, prices, a clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tachograph.wire.found import Found, count, number

WAIT_MS_MAX = 366 * 86400 * 1000  # a longer wait is no wait

# field of Call -> headers that may state it; the first that is there wins.
COUNTS: Mapping[str, tuple[str, ...]] = {
    f"ratelimit_{word}_{what}": (
        f"x-ratelimit-{word}-{what}",
        f"anthropic-ratelimit-{what}-{word}",
        f"anthropic-ratelimit-input-{what}-{word}",
        f"x-ratelimit-{word}-{what}-minute",
        f"x-ratelimit-{word}-{'req' if what == 'requests' else what}-minute",
        f"x-ratelimit-{word}-{what}-hour",
        f"x-ratelimit-{word}-{what}-day",
    )
    for word in ("limit", "remaining")
    for what in ("requests", "tokens")
}
RESETS: Mapping[str, tuple[str, ...]] = {
    f"ratelimit_reset_{what}_ms": (
        f"x-ratelimit-reset-{what}",
        f"anthropic-ratelimit-{what}-reset",
        f"anthropic-ratelimit-input-{what}-reset",
        f"x-ratelimit-reset-{what}-minute",
        f"x-ratelimit-reset-{what}-day",
    )
    for what in ("requests", "tokens")
}
# header -> (field, whether it says when something starts anew); and its place among the headers of its field.
_FIELDS = {
    header: (field, fields is RESETS)
    for fields in (COUNTS, RESETS)
    for field, candidates in fields.items()
    for header in candidates
}
_RANKS = {header: at for at, header in enumerate(_FIELDS)}
_UNITS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_DURATION = re.compile(rf"(?:{_PIECE.pattern})+")


def read_limits(found: Found, headers: Mapping[str, str], there: tuple[str, ...]) -> None:
    """Write what the headers say about limits into `found.limits`, under the names of Call. there: see `stating`."""
    known: set[str] = set()
    for header in there:
        field, resets = _FIELDS[header]
        if field in known:
            continue
        value = _stated_ms(headers[header], headers) if resets else count(headers[header])
        if resets or value is not None:
            known.add(field)
        if value is not None:
            found.limits[field] = value
    if "retry-after" in headers or "retry-after-ms" in headers:
        retry = number(headers.get("retry-after-ms"))
        retry = _stated_ms(headers.get("retry-after", ""), headers) if retry is None else _within(retry)
        if retry is not None:
            found.limits["retry_after_ms"] = retry


def stating(names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these headers say something about limits, the first word on each first."""
    return tuple(sorted((header for header in names if header in _FIELDS), key=_RANKS.__getitem__))


def _stated_ms(text: str, headers: Mapping[str, str]) -> float | None:
    """`wait_ms`, from the moment of the answer on, which is only looked up where it matters."""
    wait = wait_ms(text)
    return wait_ms(text, _moment(headers.get("date", ""))) if wait is None and text else wait


def wait_ms(text: str, answered: datetime | None = None) -> float | None:
    """Milliseconds that `6m0s`, `120ms`, `34s`, plain seconds, or a moment (from `answered` on) mean; None: nothing."""
    text = text.strip()[:64]
    if not text:
        return None
    if _DURATION.fullmatch(text):
        return _within(sum(float(amount) * _UNITS[unit] for amount, unit in _PIECE.findall(text)))
    seconds = number(text)
    if seconds is not None:
        return _within(seconds * 1000)
    moment = _moment(text)
    if moment is None or answered is None:
        return None
    return _within(max(0.0, (moment - answered).total_seconds() * 1000))


def _within(milliseconds: float) -> float | None:
    return round(milliseconds, 3) if 0 <= milliseconds <= WAIT_MS_MAX else None


def _moment(text: str) -> datetime | None:
    """RFC 3339 or an HTTP date."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
