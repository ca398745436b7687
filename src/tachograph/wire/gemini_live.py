"""Gemini's Live API: a conversation over a WebSocket.

In: messages of `BidiGenerateContent`, sent and received. Out: Found, one for the whole session. Each turn is billed
for itself, with all that the session holds as its prompt; so the last usage of a turn counts, and turns add up.
A live translation has no turns and no end: each of its usages counts what came since the one before.
Source: providers.md A1.1, A4.
What it must never know: prices, framing.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire import gemini
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name, number
from tachograph.wire.gemini_usage import added, counted, keep_usage, subsets
from tachograph.wire.tokens import Tokens

FINISHED_TURNS = "turns"
CONTINUOUS = "continuous"


def event(found: Found, event_name: str, value: Any) -> bool:
    """A message of either side."""
    message = mapping(value)
    if event_name == "sent":
        _setup(found, mapping(message.get("setup")))
        return False
    continuous = CONTINUOUS in found.usage_copies
    if "usageMetadata" in message:
        keep_usage(found, message["usageMetadata"])
        subsets(found, _all_turns(found))
    answer = mapping(message.get("serverContent"))
    content = gemini.parts(found, mapping(answer.get("modelTurn")).get("parts"))
    content = bool(mapping(answer.get("outputTranscription")).get("text")) or content
    calls = items(mapping(message.get("toolCall")).get("functionCalls"))
    if calls:
        found.tool_calls = (found.tool_calls or 0) + len(calls)
    if content:
        found.terminal = continuous
    if calls or answer.get("turnComplete"):
        found.terminal = True
    if continuous or answer.get("turnComplete"):
        _turn_over(found)
    return content or bool(calls)


def _setup(found: Found, setup: dict[str, Any]) -> None:
    config = mapping(setup.get("generationConfig")) or mapping(setup.get("generation_config"))
    found.request_model = name(setup.get("model")) or found.request_model
    if mapping(config.get("translationConfig")) or mapping(config.get("translation_config")):
        found.usage_copies[CONTINUOUS] = found.terminal = True
    if config:
        found.max_output_tokens = count(config.get("maxOutputTokens"))
        found.temperature = number(config.get("temperature"))


def _turn_over(found: Found) -> None:
    if found.usage:
        found.usage_copies[FINISHED_TURNS] = added(mapping(found.usage_copies.get(FINISHED_TURNS)), found.usage)
        found.usage = None


def tokens(found: Found) -> Tokens | None:
    """The parts of the session."""
    return counted(found, _all_turns(found))


def _all_turns(found: Found) -> dict[str, Any]:
    """The turns that are over and the one that is not."""
    return added(mapping(found.usage_copies.get(FINISHED_TURNS)), found.usage or {})


def matches(asked: Asked) -> bool:
    """By the name of the service in the path."""
    return asked.path.endswith(("BidiGenerateContent", "BidiGenerateContentConstrained"))


def request(found: Found, asked: Asked) -> None:
    """The first message says the model."""


LIVE = Format("gemini.live", "realtime", matches, request, event, tokens)
