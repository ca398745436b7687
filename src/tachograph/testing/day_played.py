"""What befalls the requests of the day: errors, who answers, how fast, how much room is left.

In: a request of the plan, which attempt it is. Out: `Played`, what the simulated provider is told. Drawn from the
request itself, so that the same attempt meets the same in every run.
What it must never know: a clock, a socket.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from tachograph.testing.day import (
    AFTER,
    ALIAS,
    BEFORE,
    INCIDENT,
    MODELS,
    SEED,
    SPIKE,
    VERSION_HOUR,
    Request,
    marked,
    requests,
)
from tachograph.testing.provider_truth import SCENARIOS, Asked, Played, Scenario

PIECES = 5  # that a stream has each time it says its text
_TOKENS = 50  # of the output: so many make the text longer by itself
_REPEATS_MAX = 8
_FIRST_SECONDS_MAX, _TEXT_SECONDS_MAX = 2.0, 2.0
_FAILS = (("server_error", 0.006), ("bad_request", 0.006), ("rate_limited", 0.004), ("stream_cut", 0.004))
# provider -> how it spells its limits, requests and tokens it allows
_LIMITS = {
    "openai": ("x-ratelimit-{part}-{what}", 600, 900_000),
    "mistral_ai": ("x-ratelimit-{part}-{what}", 300, 500_000),
    "groq": ("x-ratelimit-{part}-{what}", 200, 120_000),
    "anthropic": ("anthropic-ratelimit-{what}-{part}", 400, 600_000),
}


def answering(count: int, seed: int = SEED) -> Callable[[Asked], Played | None]:
    """What the simulated provider asks about each request of a day of so many."""
    day = requests(count, seed)

    def play(asked: Asked) -> Played | None:
        known = marked(asked.text)
        if known is None or known[0] >= count:
            return None
        return played(day[known[0]], known[1], str(asked.body.get("model") or ""))

    return play


def played(request: Request, attempt: int, model: str = "", *, eventful: bool = True) -> Played:
    """What an attempt meets. model: what is asked for in place of the request's own, where a gateway changed that."""
    chance = random.Random(f"{request.number}/{attempt}/{eventful}")
    name = model if model in MODELS else request.traffic.model
    slow = _slowness(request, name, eventful)
    repeats = max(2, min(_REPEATS_MAX, request.truth.output_tokens // _TOKENS))
    first = min(_FIRST_SECONDS_MAX, chance.lognormvariate(math.log(MODELS[name].first_ms * slow), 0.35) / 1000)
    middle = min(MODELS[name].gap_ms * slow / 1000, _TEXT_SECONDS_MAX / (repeats * PIECES))
    gaps = [middle * chance.lognormvariate(0, 0.45) for _ in range(repeats * PIECES)]
    scenario = _scenario(chance, request, attempt, eventful)
    whole = first + sum(gaps) if scenario.status == 200 else first
    return Played(
        scenario=scenario,
        version=(AFTER if eventful and request.hour >= VERSION_HOUR else BEFORE) if name == ALIAS else None,
        repeats=repeats,
        seconds=(first, *gaps) if request.streamed else (whole,),
        headers=_headroom(chance, request, scenario, eventful),
    )


def _slowness(request: Request, name: str, eventful: bool) -> float:
    """The busy hours are slower, an incident much slower, and so is the new version."""
    slow = 1 + 0.5 * math.exp(-((request.hour - 14.5) ** 2) / 8)
    if eventful and MODELS[name].provider == "anthropic" and INCIDENT[0] <= request.hour < INCIDENT[1]:
        slow *= 2.6
    return slow * (1.3 if eventful and name == ALIAS and request.hour >= VERSION_HOUR else 1.0)


def _scenario(chance: random.Random, request: Request, attempt: int, eventful: bool) -> Scenario:
    failure = _failure(chance, request, attempt) if eventful else None
    if failure is None:
        failure = next((name for name, share in _FAILS if chance.random() < share), None)
    told = SCENARIOS[failure or "plain"]
    if told.status != 200:
        return replace(told, retry_after_seconds=1 if told.status == 429 else None)
    breaks = told.breaks if request.streamed else None
    return Scenario("day", request.truth, finish=request.finish, breaks=breaks)


def _failure(chance: random.Random, request: Request, attempt: int) -> str | None:
    """What an event does to an attempt."""
    provider = request.model.provider
    if provider == "anthropic" and INCIDENT[0] <= request.hour < INCIDENT[1]:
        return "overloaded" if chance.random() < 0.65 else None
    if provider == "openai" and SPIKE[0] <= request.hour < SPIKE[1]:
        return "rate_limited" if chance.random() < (0.35 if attempt == 0 else 0.1) else None
    return None


def _headroom(
    chance: random.Random, request: Request, scenario: Scenario, eventful: bool
) -> tuple[tuple[str, str], ...]:
    """How much the provider says is left: little when much is asked, nothing with a 429."""
    if request.model.provider not in _LIMITS:
        return ()
    spelled, requests_max, tokens_max = _LIMITS[request.model.provider]
    busy = 0.25 + 0.45 * math.exp(-((request.hour - 13) ** 2) / 30)
    busy += 0.25 if eventful and SPIKE[0] <= request.hour < SPIKE[1] else 0.0
    left = 0.0 if scenario.status == 429 else max(0.02, 1 - busy * chance.uniform(0.8, 1.1))
    said = []
    for what, most in (("requests", requests_max), ("tokens", tokens_max)):
        said.append((spelled.format(part="limit", what=what), str(most)))
        said.append((spelled.format(part="remaining", what=what), str(round(most * left))))
        if request.model.provider != "anthropic":  # who says a moment, which is a clock's
            said.append((spelled.format(part="reset", what=what), f"{round(60 * (1 - left), 1)}s"))
    return tuple(said)
