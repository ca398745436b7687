"""What a recording must be read as: the provider's truth, as far as the telemetry states it at all.

In: a recorded case: its spans, and what the provider really served. Out: the object of `<case>.expected.json`.
The truth comes from the provider; whether a span states a fact is found by looking for the true value under keys that
name such a fact in any vocabulary. No reader of the product is asked.

A fact of `calls` is the truth where every sighting of the call states it, and null where none does. `some_sightings`
has the facts that only some of them state. Where telemetry states something else than the truth, the fact is what it
states and `truth` says what really was (one sighting), or `untrue` says what the odd sighting states (several).
`only_in_text`: told by the words of a message alone; a reader may leave it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from recorder import Case

from tachograph.testing.provider import Served

HALVES = (
    "Two spans, in traces of their own unless the program has one around both, tell of the one call: the first has no "
    "counts and no id, the second (`streaming response from`, logfire.span_type log) has them."
)

# Fact -> keys that name it. A key of JSON inside an attribute is `attribute#path.of.members`.
KEYS = {
    "request_model": r"request\.model(_name)?$|llm\.model_name$|embedding\.model_name$|ai\.model\.id$"
    r"|invocation_parameters#model$|observation\.model\.name$|aws\.bedrock\.model",
    "response_model": r"response\.model(_name)?$|llm\.model_name$|embedding\.model_name$|observation\.model\.name$",
    "response_id": r"response\.id$|gen_ai\.request\.id$",
    "input_tokens": r"usage\.(input|prompt)_?[tT]okens$|token_count\.prompt$|ai\.usage\.tokens$"
    r"|usage_details#(input|prompt_tokens|input_tokens)$",
    "output_tokens": r"usage\.(output|completion)_?[tT]okens$|token_count\.completion$"
    r"|usage_details#(output|completion_tokens|output_tokens)$",
    "cache_read": r"cache_?[rR]ead(?!.*(write|creation))|cached_?[tT]okens|cached(Input|Prompt)Tokens|cached_content",
    "cache_write": r"cache_?([wW]rite|[cC]reation)(?!.*ephemeral)(?!.*_[51][mh])",
    "output_reasoning": r"reasoning|thinking_tokens|thoughts",
    "streamed": r"is_streaming$|request\.stream(ing)?$|invocation_parameters#stream$",
    "status": r"^http\.(response\.)?status_code$|error\.code$",
}
_KEYS = {fact: re.compile(pattern) for fact, pattern in KEYS.items()}
_LIFETIME = re.compile(r"cache_creation_(5m|1h)$")
_TOTAL = re.compile(r"total_?[tT]okens$|token_count\.total$|usage_details#total$")
_NESTED = re.compile(r"invocation_parameters$|usage_details$|usage\.raw$|providerMetadata$")
_ROLL_UPS = {
    "invoke_agent",
    "invoke_workflow",
    "execute_tool",
    "execute_task",
    "create_agent",
    "agent_step",
    "framework",
}
_MESSAGE = "exception.message"
_FAILURES = re.compile(r"^error\.(type|code)$|status_code$|provider\.error\.code$")
_WORDS = {
    "rate_limited": r"429|[Rr]ate_?[Ll]imit|Throttling",
    "provider_error": r"\b500\b|InternalServerError|InternalServerException|server_error",
    "client_bad_request": r"\b400\b|BadRequest|invalid_request",
}
_OUTCOMES = {429: "rate_limited", 500: "provider_error", 400: "client_bad_request", 503: "provider_overloaded"}


def expected(case: Case, halves: bool = False) -> dict[str, Any]:
    """The object of `<case>.expected.json`. halves: the spans of a case are parts of one sighting."""
    spans = [span for span in _spans(case.messages["traces"]) if is_call(span)]
    note = ""
    if halves and len(spans) > 1:
        facts = {
            key: value for span in sorted(spans, key=lambda span: span["end"]) for key, value in span["facts"].items()
        }
        spans = [spans[-1] | {"facts": facts}]
        note = HALVES
    served = [one for one in case.served if not (one.scenario.once and one.status != 200)]  # the client tried again
    pairs = list(_matched(served, spans))
    calls = [_call(served, sightings) for served, sightings in pairs]
    kept = [(call, truth(served)) for call, (served, _) in zip(calls, pairs, strict=True) if call]
    silent = sorted({fact for call, true in kept for fact in true if call.get(fact, 0) is None and true[fact]})
    notes = [note, f"Not stated: {', '.join(silent)}." if silent else ""]
    guessed = any(true["input_tokens"] is None and call.get("input_tokens") for call, true in kept)
    notes.append("The provider did not count: the package estimates, and says so nowhere." if guessed else "")
    notes.append("No span tells of the call." if len(kept) < len(calls) else "")
    return {"calls": [call for call, _ in kept], "note": " ".join(filter(None, notes))}


def is_call(span: dict[str, Any]) -> bool:
    """Whether a span tells of one attempt at a model, and not of what a program did around it."""
    facts = span["facts"]
    operation = str(facts.get("gen_ai.operation.name", ""))
    kind = facts.get("openinference.span.kind")
    if kind is not None:
        return kind in ("LLM", "EMBEDDING")
    if "langfuse.observation.type" in facts:
        return facts["langfuse.observation.type"] in ("generation", "embedding")
    if operation in _ROLL_UPS or "traceloop.span.kind" in facts:
        return False
    if "ai.operationId" in facts:
        return ".do" in str(facts["ai.operationId"])
    if facts["#scope"] in ("litellm", "fastapi"):  # its spans of routing and parsing name the model too
        return "gen_ai.operation.name" in facts
    return any(key in facts for key in ("gen_ai.request.model", "gen_ai.system", "gen_ai.provider.name"))


def _call(served: Served, sightings: list[dict[str, Any]]) -> dict[str, Any]:
    if not sightings:
        return {}
    call: dict[str, Any] = {"provider": served.provider} | _operation(served, sightings)
    some: dict[str, Any] = {}
    untrue: dict[str, Any] = {}
    text: dict[str, Any] = {}
    real: dict[str, Any] = {}
    for fact, true in truth(served).items():
        stated = [states(span["facts"], fact, true, served) for span in sightings]
        if fact in ("streamed", "status") and all(value is None for value in stated):
            continue  # not stated; nothing is expected of a reader
        if fact == "response_model" and true is None and set(stated) <= {call["request_model"]}:
            continue  # one name for both: it stands for what was asked
        if true is None and set(stated) == {0}:
            continue  # zero where there was nothing to count: neither asked for nor forbidden
        if all(value == true for value in stated):
            call[fact] = true
        elif len(set(map(str, stated))) == 1:
            call[fact] = stated[0]
            if stated[0] is not None:
                real[fact] = true
        else:
            some |= {fact: true} if true in stated else {}
            untrue |= next(({fact: value} for value in stated if value not in (None, true)), {})
            call |= {} if true in stated else {fact: next(value for value in stated if value is not None)}
    call["outcome"] = "ok" if served.status == 200 else "error"
    if served.status != 200:
        word = _OUTCOMES[served.status]
        told = {how_told(span, _WORDS[word]) for span in sightings}
        call |= {"error_type": word} if told == {"fact"} else {"error_type": None} if told == {""} else {}
        some |= {"error_type": word} if "fact" in told and len(told) > 1 else {}
        text |= {"error_type": word} if "text" in told and "fact" not in told else {}
    call["sightings"] = len(sightings)
    extra = {"some_sightings": some, "untrue": untrue, "truth": real, "only_in_text": text}
    return call | {name: facts for name, facts in extra.items() if facts}


def how_told(span: dict[str, Any], words: str) -> str:
    """Whether the kind of a failure stands in a fact of the span, only in the text of its message, or nowhere."""
    facts = [str(value) for key, value in span["facts"].items() if _FAILURES.search(key)]
    if re.search(words, " ".join([*facts, *span["failures"]])):
        return "fact"
    return "text" if re.search(words, span["said"]) else ""


def truth(served: Served) -> dict[str, Any]:
    """The facts as they really were; no counts where the answer had none."""
    true = served.scenario.truth
    counted = served.counted
    embeds = served.api == "embeddings"
    return {
        "request_model": served.request_model,
        "response_model": served.response_model,
        "response_id": served.response_id,
        "streamed": served.streamed,
        "input_tokens": true.input_tokens if counted else None,
        "cache_read": true.cache_read if counted else None,
        "cache_write": true.cache_write if counted and served.provider != "gcp.gemini" else None,
        "output_tokens": true.output_tokens if counted and not embeds else None,
        "output_reasoning": true.output_reasoning if counted and not embeds else None,
        "status": served.status,
    }


def states(facts: dict[str, Any], fact: str, true: Any, served: Served) -> Any:
    """What a span states for a fact: the truth if that can be had from it, else what stands there, else None."""
    values = [
        value for key, value in facts.items() if _KEYS[fact].search(key) and "cost" not in key and value != "none"
    ]
    if fact in ("streamed", "status"):
        return _flag(facts, fact, values, true)
    counts = fact not in ("request_model", "response_model", "response_id")
    if fact == "cache_write" and not values:
        lifetimes = [_number(value) for key, value in facts.items() if _LIFETIME.search(key)]
        values = [sum(filter(None, lifetimes))] if lifetimes else []
    if counts:
        values = [number for value in values if (number := _number(value)) is not None]
    if not values or (true is None and counts and not any(values)):
        return None
    if true in values:
        return true
    if fact == "input_tokens" and served.scenario.truth.input_uncached in values:
        parts = [
            states(facts, part, getattr(served.scenario.truth, part), served) for part in ("cache_read", "cache_write")
        ]
        real = [served.scenario.truth.cache_read, served.scenario.truth.cache_write]
        if all(part == want or not want for part, want in zip(parts, real, strict=True)):
            return true
    if fact == "output_tokens" and served.scenario.truth.output_visible in values:
        totals = [_number(value) for key, value in facts.items() if _TOTAL.search(key)]
        if served.scenario.truth.total_tokens in totals:
            return true
    return values[0]


def _flag(facts: dict[str, Any], fact: str, values: list[Any], true: Any) -> Any:
    if fact == "status":
        return next((number for value in values if (number := _number(value)) is not None), None)
    flags = [str(value).lower() == "true" for value in values]
    if flags:
        return any(flags)
    whole = ("opentelemetry.instrumentation.genai", "com.anthropic.sdk", "opentelemetry.instrumentation.google_genai")
    scope = str(facts["#scope"])
    if scope.startswith(whole):
        return False  # these say it only where it is true
    if "doStream" in str(facts.get("ai.operationId", "")) or "Stream" in str(facts.get("rpc.method", "")):
        return True
    if "ai.operationId" in facts or "rpc.method" in facts:
        return False
    return None


def _operation(served: Served, sightings: list[dict[str, Any]]) -> dict[str, str]:
    if served.api == "embeddings":
        return {"operation": "embeddings"}
    if any(span["facts"].get("llm.request.type") == "completion" for span in sightings):
        return {}  # an old word for two things
    said = {str(span["facts"].get("gen_ai.operation.name")) for span in sightings}
    return {"operation": "generate_content" if said == {"generate_content"} else "chat"}


def _matched(served: list[Served], spans: list[dict[str, Any]]) -> Iterator[tuple[Served, list[dict[str, Any]]]]:
    """The sightings of each request: by its id, the rest by their order."""
    if len(served) == 1:
        yield served[0], spans
        return
    each = max(1, len(spans) // max(1, len(served)))
    ordered = sorted(spans, key=lambda span: span["end"])
    for index, request in enumerate(served):
        same = [
            span for span in spans if request.response_id and request.response_id in map(str, span["facts"].values())
        ]
        yield request, same or ordered[index * each : (index + 1) * each]


def _spans(messages: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for message in messages:
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    facts = dict(flat(span.attributes)) | {"#scope": scope.scope.name}
                    events = [dict(flat(event.attributes)) for event in span.events]
                    yield {
                        "facts": facts,
                        "failures": [str(event.get("exception.type", "")) for event in events],
                        "said": " ".join([span.status.message, *(str(event.get(_MESSAGE)) for event in events)]),
                        "end": span.end_time_unix_nano,
                    }


def flat(attributes: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Attributes as plain values; the members of JSON that holds facts, not content, one by one."""
    for attribute in attributes:
        value = plain(attribute.value)
        yield attribute.key, value
        if isinstance(value, str) and _NESTED.search(attribute.key):
            yield from _members(attribute.key + "#", _json(value))


def plain(value: Any) -> Any:
    """An AnyValue as a Python value."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: plain(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind)


def _members(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _members(f"{path}{'' if path.endswith('#') else '.'}{key}", member)
    else:
        yield path, value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _number(value: Any) -> int | None:
    try:
        return int(float(value))
    except (TypeError, ValueError):
        return None
