"""A day of a company's model traffic, as a plan: who asks what and when, and what happens meanwhile.

In: how many requests, a seed. Out: `requests`, in the order of the day; `EVENTS`. The same seed gives the same day in
every process, so that those who ask and the one who answers agree without speaking.
What it must never know: a clock, a socket. An hour is an hour of the day that is played, however fast.
"""

from __future__ import annotations

import functools
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tachograph.testing.provider_truth import Truth

SEED = 7
ALIAS, BEFORE, AFTER = "mistral-large-latest", "mistral-large-2411", "mistral-large-2512"
EXPERIMENT, CANARY_MODEL, CANARY_PERCENT = "cheaper-drafts", "gpt-5-mini", 20
UNPRICED = "acme/support-7b"
JUMP_TEAM, JUMP_SERVICE, JUMP_TIMES = "growth", "campaigns", 8
SPIKE, INCIDENT = (9.0, 9.75), (11.0, 12.5)
CANARY_HOUR, VERSION_HOUR, JUMP_HOUR = 13.0, 15.0, 17.0
ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Event:
    """What happens at an hour. service: whose new version was rolled out, where that is what happens."""

    hour: float
    text: str
    service: str = ""


EVENTS: tuple[Event, ...] = (
    Event(0.0, "night"),
    Event(7.0, "people come to work"),
    Event(SPIKE[0], "spike: openai answers 429 to many"),
    Event(SPIKE[1], "the spike is over"),
    Event(INCIDENT[0], "incident at anthropic: overloaded and slow"),
    Event(INCIDENT[1], "anthropic has recovered"),
    Event(CANARY_HOUR, f"canary: {CANARY_PERCENT} % of gpt-5 goes to {CANARY_MODEL}"),
    Event(VERSION_HOUR, f"{ALIAS} is answered by {AFTER}"),
    Event(JUMP_HOUR, f"{JUMP_TEAM} rolls out: prompts {JUMP_TIMES}x", JUMP_SERVICE),
    Event(20.0, "evening"),
)


@dataclass(frozen=True, slots=True)
class Model:
    """One model. first_ms, gap_ms: medians to the first piece and between pieces. reasoning: share of the output."""

    provider: str
    api: str
    first_ms: float
    gap_ms: float
    reasoning: float = 0.0


MODELS: Mapping[str, Model] = {
    "gpt-5": Model("openai", "chat", 420, 34, 0.5),
    "gpt-5-mini": Model("openai", "responses", 210, 17, 0.4),
    "text-embedding-3-small": Model("openai", "embeddings", 60, 0),
    "claude-sonnet-4-5": Model("anthropic", "messages", 340, 30),
    "claude-haiku-4-5": Model("anthropic", "messages", 170, 15),
    "gemini-2.5-flash": Model("gcp.gemini", "generate_content", 190, 13, 0.2),
    "us.amazon.nova-lite-v1:0": Model("aws.bedrock", "converse", 240, 18),
    ALIAS: Model("mistral_ai", "chat", 180, 20),
    UNPRICED: Model("vllm", "chat", 90, 24),
    "llama-3.3-70b-versatile": Model("groq", "chat", 110, 6),
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """One row of what a company asks. door: sdk, gateway, both (a client with the SDK that goes through the gateway),
    openinference, otel. who: team, project, feature. share: of all requests. Tokens are medians; the rest are shares.
    """

    door: str
    service: str
    who: tuple[str, str, str]
    model: str
    share: float
    input_tokens: int
    output_tokens: int
    streamed: float
    cached: float
    tools: float = 0.0


_NOBODY = ("", "", "")
TRAFFIC: tuple[Traffic, ...] = (
    Traffic(
        "sdk", "assistant-api", ("support", "assistant", "answer"), "claude-sonnet-4-5", 18, 5200, 320, 0.8, 0.7, 0.1
    ),
    Traffic("sdk", "assistant-api", ("support", "assistant", "summarise"), "claude-haiku-4-5", 9, 2400, 160, 0.1, 0.3),
    Traffic("sdk", "assistant-api", ("support", "assistant", "classify"), "gpt-5-mini", 9, 1300, 90, 0.2, 0.4),
    Traffic("sdk", "search-api", ("search", "retrieval", "rewrite"), ALIAS, 10, 700, 120, 0.4, 0.0),
    Traffic("sdk", "search-api", ("search", "retrieval", "embed"), "text-embedding-3-small", 9, 420, 0, 0.0, 0.0),
    Traffic("sdk", "reports", ("platform", "reports", "digest"), "us.amazon.nova-lite-v1:0", 5, 1900, 240, 0.3, 0.0),
    Traffic("gateway", JUMP_SERVICE, (JUMP_TEAM, "campaigns", "draft"), "gpt-5", 11, 1800, 420, 0.7, 0.2),
    Traffic("both", "agents", ("platform", "agents", "code"), "gpt-5", 8, 3600, 380, 0.8, 0.6, 0.3),
    Traffic("gateway", "agents", ("platform", "agents", "review"), "claude-sonnet-4-5", 5, 4200, 300, 0.6, 0.5),
    Traffic("gateway", "assistant-api", ("support", "assistant", "triage"), UNPRICED, 5, 900, 70, 0.5, 0.0),
    Traffic("gateway", "scripts", _NOBODY, "llama-3.3-70b-versatile", 4, 800, 140, 0.0, 0.0),
    Traffic("otel", "search-api", ("search", "retrieval", "rank"), "gemini-2.5-flash", 8, 2600, 110, 0.3, 0.3),
    Traffic(
        "openinference", "notebooks", ("platform", "research", "explore"), "gemini-2.5-flash", 5, 2100, 260, 0.4, 0.0
    ),
)

# How much is asked in each hour; the night is not silent, so that every minute of the day has something to show.
_HOURS = (6, 5, 4, 4, 4, 5, 7, 10, 14, 18, 20, 19, 17, 18, 20, 20, 19, 17, 14, 12, 11, 10, 9, 7)
_SPIKE_TIMES = 1.8
_PARTS = 4  # of an hour: so fine is the shape
_LEAVES = 0.05  # of the streams: the client goes before the end
_MARK = re.compile(r"demo-(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody wants, and what is true of the answer. leaves: the client goes before the end of the stream."""

    number: int
    hour: float
    traffic: Traffic
    streamed: bool
    truth: Truth
    finish: str
    leaves: bool
    customer: str
    user: str
    conversation: str

    @property
    def model(self) -> Model:
        """Of which model it wants something."""
        return MODELS[self.traffic.model]

    def mark(self, attempt: int) -> str:
        """What its text says, so that the provider knows it again."""
        return f"demo-{self.number}-{attempt}"


def marked(text: str) -> tuple[int, int] | None:
    """(number of the request, attempt) as the text of a request says; None where it is none of the day's."""
    found = _MARK.search(text)
    return (int(found[1]), int(found[2])) if found else None


@functools.lru_cache(maxsize=4)
def requests(count: int, seed: int = SEED, *, eventful: bool = True) -> tuple[Request, ...]:
    """The day, in its order. Not eventful: a day as any other, without the spike and the longer prompts."""
    chance = random.Random(f"{seed}/{count}/{eventful}")
    weights = [_weight(part / _PARTS, eventful) for part in range(24 * _PARTS)]
    parts = chance.choices(range(24 * _PARTS), weights, k=count)
    hours = sorted((part + chance.random()) / _PARTS for part in parts)
    return tuple(_request(chance, number, hour, eventful) for number, hour in enumerate(hours))


def event(hour: float) -> Event:
    """What happens at an hour: the last that began."""
    return [each for each in EVENTS if each.hour <= max(0.0, hour)][-1]


def _weight(hour: float, eventful: bool) -> float:
    here, there = _HOURS[int(hour)], _HOURS[(int(hour) + 1) % 24]
    return (here + (there - here) * (hour % 1)) * (_SPIKE_TIMES if eventful and SPIKE[0] <= hour < SPIKE[1] else 1.0)


def _request(chance: random.Random, number: int, hour: float, eventful: bool) -> Request:
    traffic = chance.choices(TRAFFIC, [row.share for row in TRAFFIC])[0]
    streamed = chance.random() < traffic.streamed
    tools = chance.random() < traffic.tools
    somebody = traffic.who != _NOBODY
    user = int(chance.paretovariate(0.9)) % 900
    return Request(
        number=number,
        hour=hour,
        traffic=traffic,
        streamed=streamed,
        truth=_truth(chance, traffic, eventful and traffic.service == JUMP_SERVICE and hour >= JUMP_HOUR),
        finish="tool_calls" if tools else "length" if chance.random() < 0.03 else "stop",
        leaves=streamed and chance.random() < _LEAVES and traffic.door in ("sdk", "gateway", "both"),
        customer=f"customer-{int(chance.paretovariate(1.1)) % 80:02d}" if somebody else "",
        user=f"user-{user:03d}" if somebody else "",
        conversation=f"conversation-{user:03d}-{int(hour)}" if somebody else "",
    )


def _truth(chance: random.Random, traffic: Traffic, longer: bool) -> Truth:
    whole = round(chance.lognormvariate(math.log(traffic.input_tokens), 0.5)) * (JUMP_TIMES if longer else 1)
    cached = round(whole * 0.8) if chance.random() < traffic.cached else 0
    output = max(2, round(chance.lognormvariate(math.log(traffic.output_tokens), 0.5))) if traffic.output_tokens else 0
    thought = round(output * MODELS[traffic.model].reasoning * chance.random())
    return Truth(
        input_uncached=max(1, whole - cached),
        cache_read=cached,
        output_visible=output - thought,
        output_reasoning=thought,
    )
