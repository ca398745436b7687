"""Bedrock Converse and ConverseStream.

In: `POST /model/{id}/converse` and `/converse-stream`: one document, or AWS frames whose names are the events;
recordings and proxies rebuild the frames as `{"messageStop": {...}}`. Out: Found. The model stands in the path alone,
the input excludes what was cached, the last event is `metadata`; a failure in mid-stream is a frame and the status
stays 200.
Source: providers.md A5.
What it must never know: prices, framing.
"""

from __future__ import annotations

import re
from typing import Any

from tachograph.wire import errors, marks
from tachograph.wire import tokens as arithmetic
from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, name, number
from tachograph.wire.repeats import Varying
from tachograph.wire.tokens import Tokens

_PATH = re.compile(r"/model/(.+)/(converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)$")
_UNSAID = "-"  # recordings that kept no URL
_REGIONAL = re.compile(r"^(us|eu|apac|jp|au|ca|sa|us-gov|global)\.")
# First word of a model id -> who made the model.
_VENDORS = {
    "ai21": "ai21",
    "amazon": "amazon",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "google": "google",
    "luma": "luma",
    "meta": "meta",
    "minimax": "minimax",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "moonshotai": "moonshot_ai",
    "nvidia": "nvidia",
    "openai": "openai",
    "qwen": "alibaba",
    "stability": "stability",
    "twelvelabs": "twelvelabs",
    "writer": "writer",
    "zai": "zai",
}
EVENTS = (
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
)
_FAILURE = re.compile(r"^[a-z]\w*(Exception|Error)$")
SERVER_TOOL = "server_tool_use"


def event(found: Found, event_name: str, value: Any) -> bool:
    """A frame of a stream, or the whole answer."""
    body = mapping(value)
    if failure(found, event_name, body):
        return False
    if event_name in EVENTS:
        return _event(found, event_name, body)
    kinds = [kind for kind in EVENTS if kind in body]
    if kinds:
        contents = [_event(found, kind, mapping(body[kind])) for kind in kinds]
        return any(contents)
    return _whole(found, body)


def failure(found: Found, event_name: str, body: dict[str, Any]) -> bool:
    """A frame that is an exception; rebuilt from frames it is a member of that name."""
    kind, _, code = event_name.partition(":")
    inner = body
    if kind not in ("exception", "error"):
        code = next((key for key in body if _FAILURE.match(key) and isinstance(body[key], dict)), "")
        inner = mapping(body.get(code))
        if not code:
            return False
    if found.error_type is None:
        status = count(inner.get("originalStatusCode"))
        found.error_type = errors.classify([code] if code else [], name(inner.get("message")) or "", status)
        found.error_code = name(code)
    return True


def _event(found: Found, kind: str, body: dict[str, Any]) -> bool:
    if kind == "contentBlockStart":
        return _tool(
            found, mapping(mapping(body.get("start")).get("toolUse")), f"{count(body.get('contentBlockIndex'))}"
        )
    if kind == "contentBlockDelta":
        return _piece(found, mapping(body.get("delta")))
    if kind == "messageStop":
        _stopped(found, body)
    elif kind == "metadata":
        facts(found, body)
        found.terminal = True
    return False


def _piece(found: Found, delta: dict[str, Any]) -> bool:
    reasoning = mapping(delta.get("reasoningContent"))
    if reasoning:
        found.reasoning_seen = True
    thought = reasoning.get("text") or reasoning.get("redactedContent") or mapping(reasoning.get("reasoningText"))
    return bool(delta.get("text") or thought or mapping(delta.get("toolUse")).get("input") or delta.get("image"))


def _tool(found: Found, tool: dict[str, Any], index: str) -> bool:
    """A tool that the server runs itself (`nova_code_interpreter`) is no call of the caller's."""
    if tool and tool.get("type") != SERVER_TOOL:
        found.tool_ids.add(name(tool.get("toolUseId")) or index)
    return bool(tool)


def _whole(found: Found, body: dict[str, Any]) -> bool:
    content = False
    blocks = items(mapping(mapping(body.get("output")).get("message")).get("content"))
    for index, block in enumerate(map(mapping, blocks)):
        used = _tool(found, mapping(block.get("toolUse")), str(index))
        content = _piece(found, block) or used or content
    _stopped(found, body)
    facts(found, body)
    if body:
        found.terminal = True
    return content


def _stopped(found: Found, holder: dict[str, Any]) -> None:
    reason = name(holder.get("stopReason"))
    if reason:
        finished(found, reason)


def facts(found: Found, body: dict[str, Any]) -> None:
    """Usage, latency, tier and routing: of the `metadata` event, or of the whole answer."""
    found.usage = merged(found.usage, body.get("usage"))
    latency = number(mapping(body.get("metrics")).get("latencyMs"))
    if latency is not None and latency >= 0:
        found.server_ms = round(latency, 3)
    tier = body.get("serviceTier")
    found.service_tier = name(mapping(tier).get("type")) or name(tier) or found.service_tier
    speed = name(mapping(body.get("performanceConfig")).get("latency"))
    if speed:
        found.price_context["latency"] = speed
    routed = mapping(mapping(body.get("trace")).get("promptRouter")).get("invokedModelId")
    found.response_model = name(routed) or found.response_model


def tokens(found: Found) -> Tokens | None:
    """The parts. The wire repeats the cached counts under a second name: one of the two is taken."""
    return parts(found.usage) if found.usage else None


def parts(usage: dict[str, Any]) -> Tokens:
    """The parts of a usage object in Bedrock's names."""
    read = _either(usage, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _either(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    short, long, other = _by_lifetime(items(usage.get("cacheDetails")), written)
    return arithmetic.exclusive(
        input_tokens=_either(usage, "inputTokens", "inputTokenCount"),
        output_tokens=_either(usage, "outputTokens", "outputTokenCount"),
        cache_read=read,
        cache_write_5m=short,
        cache_write_1h=long,
        cache_write_other=other,
        reasoning=_either(usage, "reasoningTokens", "reasoningTokenCount"),
    )


def _either(usage: dict[str, Any], one: str, other: str) -> int | None:
    found = count(usage.get(one))
    return count(usage.get(other)) if found is None else found


def _by_lifetime(details: list[Any], written: int | None) -> tuple[int | None, int | None, int | None]:
    """(5 minutes, 1 hour, other) of what was written; five minutes is Bedrock's own default."""
    if not details:
        return written, None, None
    sums: dict[str, int] = {}
    for detail in map(mapping, details):
        lifetime = str(detail.get("ttl") or "5m").lower()
        sums[lifetime] = sums.get(lifetime, 0) + (count(detail.get("inputTokens")) or 0)
    long = sums.pop("1h", None)
    short = sums.pop("5m", 0)
    other = sum(sums.values()) if sums else None
    if written is not None and short + (long or 0) + (other or 0) != written:
        return max(0, written - (long or 0) - (other or 0)), long, other
    return short, long, other


# the request


def model(asked: Asked) -> str | None:
    """The model of the path, verbatim: an id, a profile, or an ARN."""
    found = _PATH.search(asked.path)
    return name(found.group(1)) if found and found.group(1) != _UNSAID else None


def verb(asked: Asked) -> str:
    """What the path asks of the model."""
    found = _PATH.search(asked.path)
    return found.group(2) if found else ""


def vendor(model_id: str | None) -> str | None:
    """Who made a model, by its id; an ARN of the customer's own says nothing."""
    last = (model_id or "").rpartition("/")[2]
    return _VENDORS.get(_REGIONAL.sub("", last).partition(".")[0])


def request(found: Found, asked: Asked) -> None:
    """Model from the path, limits from the body. Behind whatever host: nobody else speaks it."""
    if found.provider == marks.UNKNOWN:
        found.provider = "aws.bedrock"
    found.request_model = model(asked)
    found.vendor = vendor(found.request_model)
    config = mapping(asked.members.get("inferenceConfig"))
    found.max_output_tokens = count(config.get("maxTokens"))
    found.temperature = number(config.get("temperature"))


def _counted(found: Found, event_name: str, value: Any) -> bool:
    found.terminal = True  # what was counted was not generated: nothing to book
    return False


def _no_tokens(found: Found) -> Tokens | None:
    return None


_DELTAS = ("delta.text", "delta.reasoningContent.text", "delta.toolUse.input")
VARYING = Varying("p", *_DELTAS, *("contentBlockDelta." + path for path in _DELTAS))
CONVERSE = Format(
    "bedrock.converse",
    "chat",
    lambda asked: verb(asked) in ("converse", "converse-stream"),
    request,
    event,
    tokens,
    varying=VARYING,
)
COUNT_TOKENS = Format(
    "bedrock.count_tokens", "count_tokens", lambda asked: verb(asked) == "count-tokens", request, _counted, _no_tokens
)
