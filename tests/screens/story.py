"""Two days of calls with a story in them, the same every time: what the journeys look for.

The second day: an incident at one provider from 09:00 to 09:40, another version behind one alias from 12:00 on, and a
team whose new feature sends prompts twenty times as long from 15:00 on. Some calls have no price, some no team.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from tachograph.call import Call
from tachograph.testing import generated_day

DAY = date(2026, 11, 1)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)
RANGE = "since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z"
CALLS_A_DAY = 4000
INCIDENT = (SINCE + timedelta(hours=9), SINCE + timedelta(hours=9, minutes=40))
CHANGED_AT = SINCE + timedelta(hours=12)
ALIAS, BEFORE, AFTER = "gpt-5", "gpt-5-2025-08-07", "gpt-5-2026-10-30"
JUMPED_AT = SINCE + timedelta(hours=15)
TEAM, FEATURE, TIMES = "growth", "newsletter", 20
UNPRICED = "acme/support-7b"


def calls() -> Iterator[Call]:
    """In the order of their time."""
    chance = random.Random(11)
    for day in (DAY - timedelta(days=1), DAY):
        for call in generated_day(day, CALLS_A_DAY, seed=day.toordinal()):
            call.tags = {}
            _told(call, chance)
            yield call


def _told(call: Call, chance: random.Random) -> None:
    if INCIDENT[0] <= call.started_at < INCIDENT[1] and call.provider == "anthropic":
        call.outcome, call.error_type, call.status = "error", "provider_overloaded", 529
    if call.request_model == ALIAS and call.response_model is not None:
        call.response_model = AFTER if call.started_at >= CHANGED_AT else BEFORE
    if call.team == TEAM and call.started_at >= JUMPED_AT:
        call.feature = FEATURE
        _lengthened(call)
    if call.provider == "openai":
        call.ratelimit_limit_tokens = 2_000_000
        call.ratelimit_remaining_tokens = chance.randrange(100_000, 1_900_000)
        call.ratelimit_limit_requests = 10_000
        call.ratelimit_remaining_requests = chance.randrange(500, 9_500)


def _lengthened(call: Call) -> None:
    """A prompt so many times as long; it is priced when it is imported."""
    if call.input_uncached is not None and call.input_tokens is not None and call.total_tokens is not None:
        more = call.input_uncached * (TIMES - 1)
        call.input_uncached += more
        call.input_tokens += more
        call.total_tokens += more
