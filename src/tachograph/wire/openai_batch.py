"""Results of OpenAI's batch API, and of those who copied it (Azure, Groq, Mistral, Together).

In: a file of JSON lines, each `{custom_id, response: {status_code, request_id, body}, error}`, read through
`.../files/{id}/content`. Out: `found.parts`, one Found a line, each read by the format that its body shows; nothing in
the body says that it was a batch, so `price_context.processing` does. Other files under that path give one empty Call.
Source: providers.md A2.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import errors
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, mapping, name
from tachograph.wire.openai_shapes import shape
from tachograph.wire.tokens import Tokens

_PATH = re.compile(r"/files/[^/]+/content$")


def event(found: Found, event_name: str, value: Any) -> bool:
    """A line."""
    found.terminal = True
    line = mapping(value)
    response = mapping(line.get("response"))
    failed = mapping(line.get("error"))
    if not response and not (failed and "custom_id" in line):
        return False
    part = Found(price_context={"processing": "batch"}, operation="other")
    status = count(response.get("status_code"))
    body = mapping(response.get("body"))
    if failed or (status is not None and status >= 400):
        errors.note(part, body if status is not None and status >= 400 else {"error": failed}, status, {})
    form = shape(body)
    if form is not None:
        form.event(part, "", body)
        part.tokens, part.operation = form.tokens(part), form.operation
    part.request_id = name(response.get("request_id")) or part.request_id
    found.parts.append(part)
    return False


def matches(asked: Asked) -> bool:
    """By path: the content of any file; a file of something else has no line that is a result."""
    return bool(_PATH.search(asked.path))


def request(_found: Found, _asked: Asked) -> None:
    """A download asks for no model."""


def tokens(_found: Found) -> Tokens | None:
    """None: what was used stands in the parts."""
    return None


BATCH = Format("openai.batch", "other", matches, request, event, tokens, lines=True)
