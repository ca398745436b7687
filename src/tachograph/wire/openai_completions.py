"""Legacy text completions, at OpenAI and at every server that kept them.

In: `POST .../completions` that are no chat: chunks or a whole answer with `choices[].text`; Mistral's
fill-in-the-middle answers with `choices[].message`, Writer's streams hold bare `value`s. Out: Found. llama.cpp serves
its own shape under the same path (`native_engines`).
Source: providers.md A0, A2.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire import native_engines, openai_chat
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, mapping
from tachograph.wire.repeats import Varying
from tachograph.wire.tokens import Tokens


def event(found: Found, event_name: str, value: Any) -> bool:
    """A chunk or a whole completion; a llama.cpp answer is told by its own members."""
    if native_engines.is_llamacpp(value):
        return native_engines.llamacpp_event(found, event_name, value)
    body = mapping(value)
    if isinstance(body.get("value"), str) and "choices" not in body:  # Writer's streams: no usage, no end
        found.terminal = True
        found.visible_pieces += bool(body["value"])
        return bool(body["value"])
    return openai_chat.event(found, event_name, value)


def tokens(found: Found) -> Tokens | None:
    """The parts, of whichever of the two shapes came."""
    return native_engines.llamacpp_tokens(found) if "llamacpp" in found.usage_copies else openai_chat.tokens(found)


def matches(asked: Asked) -> bool:
    """By path: `/completions`, not `/chat/completions`."""
    return asked.path.endswith("/completions") and not openai_chat.matches(asked)


COMPLETIONS = Format(
    *("openai.completions", "text_completion", matches, openai_chat.request, event, tokens),
    varying=Varying("choices.text", "obfuscation"),
)
