"""Cloudflare Workers AI, run by the name of the model.

In: `POST .../ai/run/{model}`, and `.../workers-ai/{model}` at its gateway: `{result: {response, tool_calls, usage},
success, errors}` whole; streamed, the members of `result` in pieces, the usage in the last one, then `[DONE]`. It says
neither its model nor why it ended. Models that answer in OpenAI's shape are read by that shape. Out: Found.
What it must never know: prices, framing.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import marks, openai_chat, openai_shapes
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, mapping, name

_PATH = re.compile(r"/(?:ai/run|workers-ai)/(.+)$")


def event(found: Found, event_name: str, value: Any) -> bool:
    """A piece of a stream, or the whole answer in its envelope: read as a choice of a chat."""
    body = mapping(value)
    inner = mapping(body.get("result")) or body
    if value == "[DONE]" or found.shape or not ("response" in inner or "tool_calls" in inner):
        return bool(value) and openai_shapes.event(found, event_name, value)
    found.operation = found.operation or "text_completion"
    found.terminal = found.terminal or "result" in body
    answer = {"content": inner.get("response"), "tool_calls": inner.get("tool_calls")}
    return openai_chat.event(found, event_name, {"choices": [{"delta": answer}], "usage": inner.get("usage")})


def matches(asked: Asked) -> bool:
    """By path, whatever the host."""
    return bool(_PATH.search(asked.path))


def request(found: Found, asked: Asked) -> None:
    """The model stands in the path; whether it is a chat the messages say."""
    openai_shapes.request(found, asked)
    in_path = _PATH.search(asked.path)
    found.request_model = name(in_path.group(1)) if in_path else found.request_model
    if "messages" in asked.members:
        found.operation = "chat"
    if found.provider == marks.UNKNOWN:
        found.provider = "cloudflare"


RUN = Format("cloudflare.run", "other", matches, request, event, openai_shapes.tokens)
