"""Bedrock InvokeModel: every maker's own body, in one envelope.

In: `POST /model/{id}/invoke` and `/invoke-with-response-stream`: a document, or AWS frames whose `chunk` holds a piece
of the maker's own stream. Out: Found, read by the format that the body shows. Up to three sources count the same call:
the body, `amazon-bedrock-invocationMetrics` in the last chunk, and the headers `x-amzn-bedrock-*-token-count`: the
first that counts is taken, none is added. Source: providers.md A5.
What it must never know: prices, framing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tachograph.wire import anthropic, bedrock, cohere, openai_chat
from tachograph.wire import tokens as arithmetic
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, name, number
from tachograph.wire.repeats import Varying
from tachograph.wire.tokens import Tokens

METRICS, HEADERS = "amazon-bedrock-invocationMetrics", "headers"

_ANTHROPIC, _NOVA, _COHERE, _OPENAI, _OTHER = "anthropic", "nova", "cohere", "openai", "other"
_COHERE_MEMBERS = ("event_type", "is_finished", "generations", "response_id", "generation_id", "results")
_LLAMA, _TITAN = ("prompt_token_count", "generation_token_count"), ("inputTextTokenCount", "totalOutputTextTokenCount")
_HEADER_COUNTS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}


def event(found: Found, event_name: str, value: Any) -> bool:
    """A chunk of a stream, or the whole body."""
    body = mapping(value)
    if bedrock.failure(found, event_name, body):
        return False
    metrics = mapping(body.get(METRICS))
    if metrics:
        found.usage_copies[METRICS] = metrics
        latency = number(metrics.get("invocationLatency"))
        found.server_ms = found.server_ms if latency is None or latency < 0 else round(latency, 3)
    content = _native(found, event_name, body)
    if body.get("amazon-bedrock-guardrailAction") == "INTERVENED":
        finished(found, "guardrail_intervened")
    found.terminal = found.terminal or bool(metrics)
    return content


def _native(found: Found, event_name: str, body: dict[str, Any]) -> bool:
    kind = _shape(body)
    if kind == _ANTHROPIC:
        legacy = "completion" in body
        return (anthropic.complete_event if legacy else anthropic.event)(found, event_name, body)
    if kind == _NOVA:
        return bedrock.event(found, "", body)
    if kind == _OPENAI:
        return _chat(found, body)
    if kind == _COHERE:
        return (cohere.unit_event if "embeddings" in body or found.operation == "rerank" else cohere.event)(
            found, "", body
        )
    return _other(found, body)


def _shape(body: dict[str, Any]) -> str:
    """Whose body it is, by members that only theirs has."""
    if name(body.get("type")) or "completion" in body:
        return _ANTHROPIC
    if any(kind in body for kind in bedrock.EVENTS) or "message" in mapping(body.get("output")):
        return _NOVA
    if isinstance(body.get("choices"), list):
        return _OPENAI
    if "results" in body and "outputText" in mapping(next(iter(items(body["results"])), None)):
        return _OTHER
    if any(member in body for member in _COHERE_MEMBERS) or ("embeddings" in body and "response_type" in body):
        return _COHERE
    return _OTHER


def _chat(found: Found, body: dict[str, Any]) -> bool:
    """Jamba, DeepSeek, Mistral, imported models: OpenAI's shape, some with `stop_reason` for `finish_reason`."""
    content = openai_chat.event(found, "", body)
    for choice in map(mapping, items(body.get("choices"))):
        reason = name(choice.get("stop_reason"))
        if reason and not choice.get("finish_reason"):
            finished(found, reason)
            found.terminal = True
        content = content or bool(choice.get("text"))
    return content


def _other(found: Found, body: dict[str, Any]) -> bool:
    """Llama, Titan, Mistral's old texts, Jurassic, embeddings, images."""
    for member in (*_LLAMA, *_TITAN):  # cumulative in a stream: the last one counts
        if count(body.get(member)) is not None:
            found.usage = merged(found.usage, {member: body[member]})
    content = False
    for answer in (body, *map(mapping, items(body.get("results")) + items(body.get("outputs")))):
        content = _text(found, answer) or content
    for completion in map(mapping, items(body.get("completions"))):
        _stopped(found, mapping(completion.get("finishReason")).get("reason"))
        content = True
    written = [count(mapping(result).get("tokenCount")) for result in items(body.get("results"))]
    if any(tokens is not None for tokens in written):
        found.usage = merged(found.usage, {"tokenCount": sum(tokens or 0 for tokens in written)})
    images = items(body.get("images")) or items(body.get("artifacts"))
    if images:
        found.operation = "image"
        found.price_context["images"] = str(len(images))
    if "embedding" in body or "embeddings" in body or "embeddingsByType" in body:
        found.operation = "embeddings"
    return content or bool(images)


def _text(found: Found, answer: dict[str, Any]) -> bool:
    for member in ("stop_reason", "completionReason"):
        _stopped(found, answer.get(member))
    return bool(answer.get("generation") or answer.get("outputText") or answer.get("text"))


def _stopped(found: Found, reason: Any) -> None:
    word = name(reason)
    if word:
        finished(found, word)
        found.terminal = True


def tokens(found: Found) -> Tokens | None:
    """From the body, else from the metrics of the last chunk, else from the headers."""
    counted = _of_body(found)
    if counted is not None and counted.input_tokens is not None and counted.output_tokens is not None:
        return counted
    for copy in (METRICS, HEADERS):
        stated = mapping(found.usage_copies.get(copy))
        if stated:
            return _completed(counted, bedrock.parts(_words(stated)))
    return counted


def _words(stated: dict[str, Any]) -> dict[str, Any]:
    """Header names as the members that they repeat."""
    return {_HEADER_COUNTS.get(key, key): value for key, value in stated.items()}


def _completed(body: Tokens | None, stated: Tokens) -> Tokens:
    """What the body left out; an input that the body did count keeps its split."""
    if body is not None and body.input_tokens is not None:
        body.output_visible = stated.output_visible if body.output_tokens is None else body.output_visible
        return body
    return stated


# Whose usage it is, by its own names.
_BY_MEMBERS: tuple[tuple[tuple[str, ...], Callable[[Found], Tokens | None]], ...] = (
    (("inputTokens", "outputTokens"), bedrock.tokens),
    (("prompt_tokens", "completion_tokens"), openai_chat.tokens),
    (("billed_units", "tokens"), cohere.unit_tokens),
    (("input_tokens", "output_tokens"), anthropic.tokens),
)


def _of_body(found: Found) -> Tokens | None:
    usage = found.usage or {}
    if not usage:
        return None
    for members, counted in _BY_MEMBERS:
        if any(member in usage for member in members):
            return counted(found)
    written = [count(usage.get(member)) for member in ("generation_token_count", "totalOutputTextTokenCount")]
    visible = next((tokens for tokens in written if tokens is not None), count(usage.get("tokenCount")))
    asked = [count(usage.get(member)) for member in ("prompt_token_count", "inputTextTokenCount")]
    return arithmetic.exclusive(
        input_tokens=next((tokens for tokens in asked if tokens is not None), None), output_tokens=visible
    )


def request(found: Found, asked: Asked) -> None:
    """Model from the path; limits in whichever words the maker has; what kind of answer is due."""
    bedrock.request(found, asked)
    members = asked.members
    config = mapping(members.get("inferenceConfig")) or mapping(members.get("textGenerationConfig"))
    for holder in (members, config):
        for limit in (
            "max_tokens",
            "max_tokens_to_sample",
            "max_gen_len",
            "maxTokens",
            "max_new_tokens",
            "maxTokenCount",
        ):
            if found.max_output_tokens is None:
                found.max_output_tokens = count(holder.get(limit))
        if found.temperature is None:
            found.temperature = number(holder.get("temperature"))
    found.operation = _operation(found.request_model or "", members)


def _operation(model: str, members: Any) -> str | None:
    if "embed" in model:
        return "embeddings"
    if "rerank" in model:
        return "rerank"
    if "canvas" in model or "image" in model or model.startswith("stability."):
        return "image"
    if "messages" not in members and ("prompt" in members or "inputText" in members):
        return "text_completion"
    return None


INVOKE = Format(
    "bedrock.invoke",
    "chat",
    lambda asked: bedrock.verb(asked) in ("invoke", "invoke-with-response-stream"),
    request,
    event,
    tokens,
    varying=Varying(*anthropic.DELTAS, "contentBlockDelta.delta.text", "choices.delta.content", "generation"),
)
