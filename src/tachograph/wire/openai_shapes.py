"""Which format a body shows by itself, whatever path it came from; and the format of last resort.

In: JSON values. Out: one of the OpenAI family's formats by members that only it has, or nothing. `UNKNOWN` matches
every request: it lends itself the format whose shape it sees, else books a plain `usage` object and calls the operation
`other`.
Source: providers.md A0 ("any OpenAI-compatible server"), A2.
What it must never know: a path, a host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, mapping, name
from tachograph.wire.native_engines import LLAMACPP, SGLANG, TGI, is_llamacpp
from tachograph.wire.openai_audio import TRANSCRIPTION
from tachograph.wire.openai_chat import CHAT
from tachograph.wire.openai_completions import COMPLETIONS
from tachograph.wire.openai_embeddings import EMBEDDINGS
from tachograph.wire.openai_images import IMAGES
from tachograph.wire.openai_responses import RESPONSES
from tachograph.wire.openai_usage import chat_tokens, request_facts, take_usage
from tachograph.wire.tokens import Tokens

_SHAPES: Mapping[str, Format] = {
    form.name: form for form in (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS, IMAGES, TRANSCRIPTION, SGLANG, TGI, LLAMACPP)
}
_COUNTS = ("prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens")
_MODEL_PATH = re.compile(r"/ai/run/(.+)$|/serving-endpoints/([^/]+)/invocations$")  # Cloudflare, Databricks
# Objects that repeat what other answers have reported: booking them would count it twice.
_REPORTS = ("batch", "list", "page", "thread", "bucket", "organization", "fine_tuning", "eval")


def shape(body: dict[str, Any]) -> Format | None:
    """The format of a body, or None."""
    if isinstance(body.get("choices"), list):
        return _of_choices([mapping(choice) for choice in body["choices"]])
    kind = name(body.get("type")) or ""
    if kind.startswith("response.") or body.get("object") in ("response", "response.compaction"):
        return RESPONSES
    if isinstance(body.get("data"), list):
        return _of_data(mapping(next(iter(body["data"]), None)))
    if "meta_info" in body:
        return SGLANG
    if "generated_text" in body and ("details" in body or "token" in body):
        return TGI
    if is_llamacpp(body):
        return LLAMACPP
    heard = mapping(body.get("usage")).get("type") in ("tokens", "duration") or body.get("task") == "transcribe"
    return TRANSCRIPTION if isinstance(body.get("text"), str) and heard else None


def _of_choices(choices: list[dict[str, Any]]) -> Format:
    plain = bool(choices) and all("text" in choice and "delta" not in choice for choice in choices)
    return COMPLETIONS if plain and not any("message" in choice for choice in choices) else CHAT


def _of_data(first: dict[str, Any]) -> Format | None:
    if first.get("object") == "embedding" or "embedding" in first:
        return EMBEDDINGS
    return IMAGES if "b64_json" in first else None


def event(found: Found, event_name: str, value: Any) -> bool:
    """An event of whatever it is: of the first shape that was seen, else of none."""
    form = _SHAPES.get(found.shape or "")
    if isinstance(value, list) and value and shape(mapping(value[0])) is TGI:
        value = value[0]  # TGI asked at `/`
    body = mapping(value)
    if form is None:
        body = body if shape(body) else mapping(body.get("result")) or body  # Cloudflare wraps its answers
        form = shape(body)
    if form is None:
        return _shapeless(found, body)
    if found.shape is None:
        found.shape, found.operation, found.terminal = form.name, form.operation, False
        found.flags.discard("format_unknown")
    return form.event(found, event_name, body if isinstance(value, dict) else value)


def _shapeless(found: Found, body: dict[str, Any]) -> bool:
    found.terminal = True  # what ends such a stream is not known: its end is no failure
    found.response_model = name(body.get("model")) or found.response_model
    usage = mapping(body.get("usage"))
    kind = str(body.get("object") or "")
    if any(count(usage.get(key)) is not None for key in _COUNTS) and not kind.startswith(_REPORTS):
        take_usage(found, usage)
    elif body and found.error_type is None:
        found.flags.add("format_unknown")
    return False


def tokens(found: Found) -> Tokens | None:
    """As the shape has it."""
    form = _SHAPES.get(found.shape or "")
    if form is not None:
        return form.tokens(found)
    return chat_tokens(found) if found.usage else None


def matches(_asked: Asked) -> bool:
    """Everything: the last of the list."""
    return True


def request(found: Found, asked: Asked) -> None:
    """What most requests call by the same names; some servers have the model in the path."""
    request_facts(found, asked)
    in_path = _MODEL_PATH.search(asked.path)
    if found.request_model is None and in_path:
        found.request_model = name(in_path.group(1) or in_path.group(2))


UNKNOWN = Format("unknown", "other", matches, request, event, tokens, varying=CHAT.varying)
