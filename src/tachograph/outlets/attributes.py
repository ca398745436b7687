"""One mapping of a Call to the attributes of a span: the newest `gen_ai.*` conventions, and `tachograph.*` for what
they have no word for. Both outlets that write spans use it; the table `TACHOGRAPH` of `dialects` reads it back.

In: a Call. Out: attribute names and values. What is not known is left out: a span that carries `tachograph.schema`
states a Call whole, so what is absent there is unknown, and nothing is guessed by whoever reads it.
What it must never know: how spans travel.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from tachograph.call import Call, Kind, whole

SCHEMA = "tachograph.schema"
SCHEMA_VERSION = 1
TAG = "tachograph.tags."
CALL_ID = "tachograph.call_id"
CACHE_CREATION = "gen_ai.usage.cache_creation.input_tokens"
SERVICE, ENVIRONMENT, REGION = "service.name", "deployment.environment.name", "cloud.region"


class Form(StrEnum):
    """How a field's value becomes the value of an attribute."""

    WORD = "word"  # text of few distinct values
    TEXT = "text"
    COUNT = "count"
    NUMBER = "number"
    SECONDS = "seconds"  # milliseconds as seconds
    FLAG = "flag"
    ONE = "one"  # a list of the one word
    WORDS = "words"
    JSON = "json"
    MONEY = "money"


VALUES: Mapping[Form, Callable[[Any], Any]] = {
    Form.WORD: str,
    Form.TEXT: str,
    Form.COUNT: int,
    Form.NUMBER: float,
    Form.SECONDS: lambda value: value / 1000,
    Form.FLAG: bool,
    Form.ONE: lambda value: [value],
    Form.WORDS: list,
    Form.JSON: json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode,
    Form.MONEY: float,  # exact to ten decimals below 90,000 dollars
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """default: the value that is not written."""

    field: str
    name: str
    form: Form
    default: Any


# Fields whose names the conventions have.
_CONVENTIONS = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "request_model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "finish_reason": "gen_ai.response.finish_reasons",
    "ttft_ms": "gen_ai.response.time_to_first_chunk",
    "streamed": "gen_ai.request.stream",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "output_reasoning": "gen_ai.usage.reasoning.output_tokens",
    "audio_input": "gen_ai.usage.audio.input_tokens",
    "audio_output": "gen_ai.usage.audio.output_tokens",
    "image_input": "gen_ai.usage.image.input_tokens",
    "image_output": "gen_ai.usage.image.output_tokens",
    "conversation_id": "gen_ai.conversation.id",
    "prompt_name": "gen_ai.prompt.name",
    "prompt_version": "gen_ai.prompt.version",
    "user_id": "user.id",
    "error_type": "error.type",
    "status": "http.response.status_code",
}
_USAGE = ("input_uncached", "cache_write_5m", "cache_write_1h", "cache_write_other", "output_visible", "total_tokens")
# What the span itself, its resource or its tags say, and what the collector decides.
_ELSEWHERE = frozenset(
    {"call_id", "trace_id", "span_id", "parent_span_id", "same_as", "started_at", "received_at", "duration_ms"}
    | {"service", "environment", "region", "tags"}
)
_ALWAYS = frozenset({"operation", "provider"})
_FORMS: Mapping[Kind, Form] = {
    Kind.WORD: Form.WORD,
    Kind.TEXT: Form.TEXT,
    Kind.JSON: Form.TEXT,
    Kind.COUNT: Form.COUNT,
    Kind.SMALL: Form.COUNT,
    Kind.MS: Form.NUMBER,
    Kind.NUMBER: Form.NUMBER,
    Kind.FLAG: Form.FLAG,
    Kind.COUNTS: Form.JSON,
    Kind.MAP: Form.JSON,
    Kind.WORDS: Form.WORDS,
    Kind.MONEY: Form.MONEY,
}
_OTHER_FORMS = {"ttft_ms": Form.SECONDS, "finish_reason": Form.ONE}


def _attributes() -> tuple[Attribute, ...]:
    nothing, found = Call(), []
    for field in dataclasses.fields(Call):
        if field.name in _ELSEWHERE:
            continue
        own = f"tachograph.usage.{field.name}" if field.name in _USAGE else f"tachograph.{field.name}"
        form = _OTHER_FORMS.get(field.name) or _FORMS[field.metadata["kind"]]
        default = None if field.name in _ALWAYS else getattr(nothing, field.name)
        found.append(Attribute(field.name, _CONVENTIONS.get(field.name, own), form, default))
    return tuple(found)


ATTRIBUTES: tuple[Attribute, ...] = _attributes()
values_of: Callable[[Call], tuple[Any, ...]] = attrgetter(*(attribute.field for attribute in ATTRIBUTES))


def attributes(call: Call) -> dict[str, Any]:
    """Every attribute of a call, with values that OpenTelemetry's API takes."""
    found = {
        attribute.name: VALUES[attribute.form](value)
        for attribute, value in zip(ATTRIBUTES, values_of(call), strict=True)
        if value is not None and value != "" and value != attribute.default
    }
    found.update(more(call))
    return found


def more(call: Call) -> dict[str, Any]:
    """What no single field says: the schema, all that was written to caches, tags."""
    found: dict[str, Any] = {SCHEMA: SCHEMA_VERSION}
    written = whole((call.cache_write_5m, call.cache_write_1h, call.cache_write_other))
    if written is not None:
        found[CACHE_CREATION] = written
    for name, value in call.tags.items():
        found[TAG + name] = value
    return found


def resource(call: Call) -> dict[str, str]:
    """What the call's resource says; nothing that is not known."""
    said = {SERVICE: call.service, ENVIRONMENT: call.environment, REGION: call.region}
    return {name: value for name, value in said.items() if value}


def name_of(call: Call) -> str:
    """The span's name by the conventions: `chat gpt-4o`."""
    model = call.request_model or call.response_model
    return f"{call.operation} {model}" if model else call.operation


def failed(call: Call) -> bool:
    """Whether the span's status is an error: a client that left made none."""
    return call.outcome in ("error", "truncated")
