"""Image generation, editing and variation in OpenAI's shape.

In: whole answers, or streams of `image_generation.*` and `image_edit.*` events. GPT image models state tokens, of which
those of the output are of images where no details say otherwise; older ones state nothing and are billed apiece, so the
images are counted. SVG authoring is a second model beside (`svg_usage`). No answer names its model. Out: Found.
Source: providers.md A0, A2.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, name
from tachograph.wire.openai_chat import identity
from tachograph.wire.openai_usage import (
    chat_tokens,
    created,
    details,
    iteration,
    request_facts,
    take_usage,
    unit,
    usage_tokens,
)
from tachograph.wire.tokens import Tokens

_PATH = re.compile(r"/images/(generations|edits|variations)$")


def event(found: Found, event_name: str, value: Any) -> bool:
    """A whole answer, or an event: partial images are content, the completed one has the usage."""
    if value == "[DONE]":
        found.terminal = True
        return False
    body = mapping(value)
    kind = name(body.get("type")) or event_name
    identity(found, body)
    found.created_at = found.created_at or created(body.get("created_at"))
    take_usage(found, body.get("usage"))
    svg = merged(mapping(found.usage_copies.get("svg_usage")), body.get("svg_usage"))
    if svg:
        found.usage_copies["svg_usage"] = svg
    pieces = len(items(body.get("data")))
    if kind.endswith(".completed"):
        found.terminal = True
        pieces = (count(found.price_context.get("images")) or 0) + 1
    unit(found, "images", pieces)
    return kind.endswith((".completed", ".partial_image"))


def tokens(found: Found) -> Tokens | None:
    """The parts of the image model; of the SVG model as an inner call."""
    if not found.usage or not any(count(value) is not None for key, value in found.usage.items() if "tokens" in key):
        return Tokens() if found.usage else None
    found.price_context.pop("images", None)  # billed by tokens
    whole = chat_tokens(found)
    if whole is not None and whole.image_output is None and not details(found.usage, "output_tokens_details"):
        whole.image_output = whole.output_tokens
    svg = mapping(found.usage_copies.get("svg_usage"))
    if whole is not None and count(svg.get("total_tokens")):
        inner = {**svg, "output_tokens_details": {"reasoning_tokens": svg.get("reasoning_tokens")}}
        found.iterations = [iteration(whole), iteration(usage_tokens(inner), name(svg.get("model")))]
    return whole


def matches(asked: Asked) -> bool:
    """By path, whatever the host."""
    return bool(_PATH.search(asked.path))


IMAGES = Format("openai.images", "image", matches, request_facts, event, tokens)
