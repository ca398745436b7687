"""What people write for a moment or a width of time -> datetime, timedelta.

In: `30d`, `24h`, `15m`, `now`, `today`, RFC 3339; the present is told. Out: UTC.
What it must never know: a clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_WIDTH = re.compile(r"(\d{1,6})([smhdw])")


def width(text: str) -> timedelta:
    """`90s`, `15m`, `24h`, `30d`, `4w`. ValueError says what is expected."""
    found = _WIDTH.fullmatch(text.strip().lower())
    if not found or int(found.group(1)) == 0:
        raise ValueError(f"{text!r} is no duration: write for example 60s, 15m, 24h, 30d or 4w")
    return int(found.group(1)) * _UNITS[found.group(2)]


def moment(text: str, now: datetime) -> datetime:
    """A moment: `now`, `today`, `30d` (that long ago), a date, or RFC 3339; without a zone it is UTC."""
    word = text.strip().lower()
    if word == "now":
        return now
    if word == "today":
        return datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    if _WIDTH.fullmatch(word):
        try:
            return now - width(word)
        except OverflowError:
            raise ValueError(f"{text!r} is outside the calendar: write a shorter time") from None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write now, today, 30d (ago), 2026-11-23 or 2026-11-23T10:00:00Z"
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
