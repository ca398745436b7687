"""What the simulated provider knows to be true: the scenarios and their token counts.

In: what a request says (`scenario:<name>` in its text, or the header `x-scenario`). Out: the `Scenario` that it asked
for, and ids that look like each vendor's and never repeat. Every count is another number, so that a reader that takes
one for the other cannot be right by chance.
What it must never know: a clock, a socket, how a vendor spells a count.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The tokens that one answered request used, in disjoint parts."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output_visible: int = 0
    output_reasoning: int = 0

    @property
    def cache_write(self) -> int:
        """Written to the cache, of either lifetime."""
        return self.cache_write_5m + self.cache_write_1h

    @property
    def input_tokens(self) -> int:
        """The whole input, cached parts included."""
        return self.input_uncached + self.cache_read + self.cache_write

    @property
    def output_tokens(self) -> int:
        """The whole output, reasoning included."""
        return self.output_visible + self.output_reasoning

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to a request.

    finish: why the answer ends: stop, length, tool_calls, content_filter. status: not 200 for an error before any
    byte of the answer. retry_after_seconds: said with such an error. once: the error befalls a first attempt only.
    breaks: how a stream fails after its start: `error` (an error event) or `cut` (the connection closes).
    """

    name: str
    truth: Truth
    finish: str = "stop"
    status: int = 200
    retry_after_seconds: int | None = None
    once: bool = False
    breaks: str | None = None


_PLAIN = Truth(input_uncached=23, output_visible=11)
_NOTHING = Truth()

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("plain", _PLAIN),
        Scenario("cached", Truth(input_uncached=41, cache_read=1152, output_visible=17)),
        Scenario(
            "cache_write",
            Truth(input_uncached=29, cache_read=64, cache_write_5m=512, cache_write_1h=256, output_visible=13),
        ),
        Scenario("reasoning", Truth(input_uncached=31, output_visible=19, output_reasoning=128)),
        Scenario(
            "everything",
            Truth(
                input_uncached=37,
                cache_read=2048,
                cache_write_5m=320,
                cache_write_1h=160,
                output_visible=43,
                output_reasoning=192,
            ),
        ),
        Scenario("tools", Truth(input_uncached=83, output_visible=27), finish="tool_calls"),
        Scenario("tools_done", Truth(input_uncached=131, output_visible=15)),
        Scenario("length", Truth(input_uncached=47, output_visible=96), finish="length"),
        Scenario("filtered", Truth(input_uncached=53, output_visible=2), finish="content_filter"),
        Scenario("rate_limited", _NOTHING, status=429, retry_after_seconds=2),
        Scenario("rate_limited_once", _PLAIN, status=429, retry_after_seconds=0, once=True),
        Scenario("server_error", _NOTHING, status=500),
        Scenario("overloaded", _NOTHING, status=503),
        Scenario("bad_request", _NOTHING, status=400),
        Scenario("bad_key", _NOTHING, status=401),
        Scenario("stream_error", _PLAIN, breaks="error"),
        Scenario("stream_cut", _PLAIN, breaks="cut"),
    )
}

TEXT_PIECES = ("The answer ", "is ", "forty", "-two", ".")
TEXT = "".join(TEXT_PIECES)
THOUGHT_PIECES = ("Six ", "times ", "seven.")
THOUGHT = "".join(THOUGHT_PIECES)
TOOL_NAME = "get_weather"
TOOL_ARGUMENTS_PIECES = ('{"city"', ': "Par', 'is"}')
TOOL_ARGUMENTS = "".join(TOOL_ARGUMENTS_PIECES)
REFUSAL = "The simulated provider was told to fail."  # says nothing of how: a reader must not find it here
MOMENT_SECONDS = 1_790_000_000  # every answer says that it was made at this moment

# A vendor answers an alias with the dated name behind it.
_DATED = {
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
}
_ASKED_FOR = re.compile(r"scenario[:=]\s?([a-z0-9_]+)")
_TOOL_RESULT = re.compile(
    r'"role":\s?"tool"|"type":\s?"(?:tool_result|function_call_output)"|"(?:functionResponse|function_response|toolResult)"'
)
_TICKET = re.compile(r"ticket:(\w+)")
_ATTEMPT = re.compile(r"attempt=(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a request meets where it does not say so itself.

    version: the name that answers; None: as the vendor has it. repeats: how often the text of a stream is said.
    seconds: how long each piece of the answer takes, the last for all that follow. headers: in place of the vendor's.
    """

    scenario: Scenario
    version: str | None = None
    repeats: int = 1
    seconds: tuple[float, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as the provider got it. number: how many came before it, plus one. headers: lower-case names.

    seen: its ticket (`ticket:<word>` in its text) came before. played: what it meets, where somebody else decides that.
    """

    number: int
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    seen: bool = False
    body: dict[str, Any] = field(default_factory=dict)
    played: Played | None = None

    @property
    def scenario(self) -> Scenario:
        """What it asks for; `plain` where it does not say; the request that brings a tool's result is `tools_done`."""
        if self.played is not None:
            return self.played.scenario
        named = _ASKED_FOR.search(self.headers.get("x-scenario", "") and f"scenario:{self.headers['x-scenario']}")
        found = named or _ASKED_FOR.search(self.text)
        name = found[1] if found else "plain"
        if name == "tools" and _TOOL_RESULT.search(self.text):
            name = "tools_done"
        return SCENARIOS.get(name, SCENARIOS["plain"])

    @property
    def repeated(self) -> bool:
        """Whether this is not the client's first attempt: it says so itself, or the ticket of its request was seen."""
        attempt = _ATTEMPT.search(self.headers.get("amz-sdk-request", ""))
        told = self.headers.get("x-stainless-retry-count", "0") != "0" or (attempt is not None and attempt[1] != "1")
        return told or self.seen

    @property
    def pieces(self) -> tuple[str, ...]:
        """The pieces in which a stream brings its text; a stream that breaks brings two."""
        whole = TEXT_PIECES * (self.played.repeats if self.played else 1)
        return whole[:2] if self.scenario.breaks else whole

    @property
    def model(self) -> str:
        """The name that the vendor answers with, for a model that stands in the body."""
        asked = str(self.body.get("model", ""))
        return (self.played.version if self.played else None) or dated(asked)

    @property
    def fails(self) -> bool:
        """Whether it is answered with its scenario's error status."""
        scenario = self.scenario
        return scenario.status != 200 and not (scenario.once and self.repeated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back. pieces: the body, in the pieces that are sent apart. cut: close without the end of the body.

    seconds: before each piece, the last for all that follow; none: as the provider was told.
    """

    pieces: tuple[bytes, ...]
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    streamed: bool = False
    cut: bool = False
    seconds: tuple[float, ...] = ()
    response_id: str | None = None
    response_model: str | None = None


def ticket(text: str) -> str | None:
    """The word by which a request is known again when it is asked again; None where it has none."""
    found = _TICKET.search(text)
    return found[1] if found else None


def dated(model: str) -> str:
    """The name that the vendor answers with."""
    return _DATED.get(model, model)


def digits(number: int, kind: str, length: int) -> str:
    """`length` hexadecimal digits that belong to this request and to no other."""
    return hashlib.sha256(f"{kind}/{number}".encode()).hexdigest()[:length]


def uuid(number: int, kind: str) -> str:
    """The same as a UUID."""
    text = digits(number, kind, 32)
    return "-".join((text[:8], text[8:12], "4" + text[13:16], "a" + text[17:20], text[20:]))
