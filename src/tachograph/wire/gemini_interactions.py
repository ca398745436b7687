"""Gemini's interactions API: JSON and server-sent events.

In: `POST .../interactions`, and `GET .../interactions/{id}` that polls one. Out: Found. An interaction has steps
(earlier: outputs); its status says how it ended, its usage has names of its own (`total_*`). Source: providers.md A0,
A4.
What it must never know: prices, framing.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, name, number
from tachograph.wire.gemini import moment
from tachograph.wire.gemini_usage import interaction_tokens, keep_interaction_usage

_PATH = re.compile(r"/v1\w*/(?:.*/)?interactions(?:/[^/:]+)?$")
_ENDED = {
    "completed": "completed",
    "requires_action": "tool_calls",
    "incomplete": "length",
    "failed": "failed",
    "cancelled": "cancelled",
}
_CONTENT = ("text", "data", "arguments", "thought", "summary", "content", "result")


def event(found: Found, event_name: str, value: Any) -> bool:
    """An event of a stream, or a whole interaction."""
    body = mapping(value)
    kind = name(body.get("event_type")) or ""
    if not kind:
        return _interaction(found, body, whole=True)
    if "interaction" in body:
        _interaction(
            found, mapping(body["interaction"]), whole=kind in ("interaction.completed", "interaction.complete")
        )
    if kind in ("step.start", "content.start"):
        return _step(found, mapping(body.get("step")) or mapping(body.get("content")), f"{count(body.get('index'))}")
    if kind in ("step.delta", "content.delta"):
        delta = mapping(body.get("delta"))
        if delta.get("type") == "function_call":
            _step(found, delta, f"{count(body.get('index'))}")
        return "signature" not in str(delta.get("type")) and any(bool(delta.get(member)) for member in _CONTENT)
    return False


def _interaction(found: Found, interaction: dict[str, Any], whole: bool) -> bool:
    found.response_id = name(interaction.get("id")) or found.response_id
    found.response_model = name(interaction.get("model")) or found.response_model
    found.service_tier = name(interaction.get("service_tier")) or found.service_tier
    found.created_at = moment(interaction.get("created")) or found.created_at
    keep_interaction_usage(found, interaction.get("usage"))
    _searches(found, mapping(interaction.get("usage")))
    status = name(interaction.get("status"))
    if status in _ENDED:
        finished(found, _ENDED[status])
        found.terminal = True
    if status == "failed" and found.error_type is None:
        found.error_type, found.error_code = "provider_error", status
    content = False
    for position, step in enumerate(items(interaction.get("steps")) or items(interaction.get("outputs"))):
        content = _step(found, mapping(step), str(position)) or content
    return content and whole


def _step(found: Found, step: dict[str, Any], index: str) -> bool:
    kind = step.get("type")
    if kind == "function_call":
        found.tool_ids.add(name(step.get("id")) or index)
        return True
    if kind == "thought":
        found.reasoning_seen = True
    return any(bool(step.get(member)) for member in _CONTENT)


def _searches(found: Found, usage: dict[str, Any]) -> None:
    """`grounding_tool_count`: a number, or one per tool; only searches are billed apiece."""
    stated = usage.get("grounding_tool_count")
    total = count(stated)
    if total is None:
        entries = [mapping(entry) for entry in items(stated)]
        total = sum(count(entry.get("count")) or 0 for entry in entries if "search" in str(entry.get("type", "search")))
    if total:
        found.price_context["web_searches"] = str(total)


def matches(asked: Asked) -> bool:
    """By path."""
    return bool(_PATH.search(asked.path))


def request(found: Found, asked: Asked) -> None:
    """A model or an agent, and limits."""
    members = asked.members
    config = mapping(members.get("generation_config")) or mapping(members.get("generationConfig"))
    found.request_model = name(members.get("model")) or name(members.get("agent"))
    found.max_output_tokens = count(config.get("max_output_tokens"))
    found.temperature = number(config.get("temperature"))


INTERACTIONS = Format("gemini.interactions", "generate_content", matches, request, event, interaction_tokens)
