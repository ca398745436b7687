"""What people write for times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tachograph.when import moment, width

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("now", NOW),
        ("today", datetime(2026, 11, 23, tzinfo=UTC)),
        ("24h", NOW - timedelta(hours=24)),
        ("30d", NOW - timedelta(days=30)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("2026-11-01T10:00:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
    ],
)
def test_moments(text: str, found: datetime) -> None:
    assert moment(text, NOW) == found


@pytest.mark.parametrize("text", ["yesterdayish", "30", "5x", "2026-13-01", ""])
def test_what_is_no_moment_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: write now"):
        moment(text, NOW)


@pytest.mark.parametrize("text", ["0h", "h", "-1d", "1.5h"])
def test_what_is_no_width_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        width(text)


def test_a_time_before_the_calendar_is_named() -> None:
    with pytest.raises(ValueError, match="outside the calendar"):
        moment("999999w", NOW)
