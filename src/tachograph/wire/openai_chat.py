"""OpenAI chat completions and everyone who speaks them.

In: `POST .../chat/completions` at OpenAI, Azure, Mistral, DeepSeek, Groq, xAI, Together, Fireworks, OpenRouter,
Perplexity, Ollama /v1, vLLM, SGLang, llama.cpp, TGI, Cerebras, Baseten, Hugging Face, Alibaba, Moonshot, Z.ai, Gemini's
compatible endpoint, and servers unknown to us. Out: Found. The differences between these servers are members
that only one of them sends (`x_groq`, `timings`, `cost_in_usd_ticks`, ...): each is read wherever it appears, so that a proxy
in between changes nothing. Source: providers.md A0, A2, A6 to A11.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tachograph.wire.finish import finished
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, money, name, number
from tachograph.wire.openai_usage import chat_tokens, created, request_facts

TICKS_PER_USD = Decimal(10**10)  # xAI `cost_in_usd_ticks`


def event(found: Found, event_name: str, value: Any) -> bool:
    """A chunk of a stream, or a whole completion: both have `choices`, one with `delta`, one with `message`."""
    if value == "[DONE]":
        found.terminal = True
        return False
    body = mapping(value)
    found.response_model = name(body.get("model")) or found.response_model
    found.response_id = name(body.get("id")) or found.response_id
    found.service_tier = name(body.get("service_tier")) or found.service_tier
    found.created_at = created(body.get("created")) or found.created_at
    _usage(found, body)
    content = False
    for choice in items(body.get("choices")):
        content = _choice(found, mapping(choice)) or content
    if body.get("object") == "chat.completion.done":  # Perplexity's last chunk, in place of [DONE]
        found.terminal = True
    return content


def _choice(found: Found, choice: dict[str, Any]) -> bool:
    finish = name(choice.get("finish_reason"))
    if finish:
        finished(found, finish)
        found.terminal = True  # the answer is whole; Perplexity and many proxies never send [DONE]
    message = mapping(choice.get("delta")) or mapping(choice.get("message"))
    index = count(choice.get("index")) or 0
    for position, call in enumerate(items(message.get("tool_calls"))):
        call = mapping(call)
        number_of_call = count(call.get("index"))
        found.tool_ids.add(f"{index}/{position if number_of_call is None else number_of_call}")
    if message.get("function_call"):
        found.tool_ids.add(f"{index}/function")
    reasoning = bool(message.get("reasoning_content") or message.get("reasoning") or message.get("reasoning_details"))
    found.reasoning_seen = found.reasoning_seen or reasoning
    return reasoning or any(
        message.get(member) for member in ("content", "refusal", "tool_calls", "function_call", "audio", "images")
    )


def _usage(found: Found, body: dict[str, Any]) -> None:
    groq = mapping(body.get("x_groq"))
    found.usage = merged(found.usage, groq.get("usage"))  # the same counts as `usage`, where both come
    found.usage = merged(found.usage, body.get("usage"))
    for member in ("timings", "time_info", "perf_metrics"):
        if mapping(body.get(member)):
            found.usage_copies[member] = mapping(body[member])
    usage = mapping(body.get("usage"))
    ticks = count(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        found.cost_usd = Decimal(ticks) / TICKS_PER_USD
    stated = usage.get("cost")
    stated = mapping(stated).get("total_cost") if isinstance(stated, dict) else stated
    if money(stated) is not None:
        found.cost_usd = money(stated)
        if usage.get("is_byok") is True:  # `cost` is then only the router's fee
            upstream = money(mapping(usage.get("cost_details")).get("upstream_inference_cost"))
            found.cost_usd = None if upstream is None else (found.cost_usd or 0) + upstream
    _times(found, usage, body)


def _times(found: Found, usage: dict[str, Any], body: dict[str, Any]) -> None:
    total, queue = number(usage.get("total_time")), number(usage.get("queue_time"))
    info = mapping(body.get("time_info"))
    total = number(info.get("total_time")) if total is None else total
    queue = number(info.get("queue_time")) if queue is None else queue
    timings = mapping(body.get("timings"))
    prompt_ms, predicted_ms = number(timings.get("prompt_ms")), number(timings.get("predicted_ms"))
    if total is not None:
        found.server_ms = round(total * 1000, 3)
    elif prompt_ms is not None and predicted_ms is not None:
        found.server_ms = round(prompt_ms + predicted_ms, 3)
    if queue is not None:
        found.queue_ms = round(queue * 1000, 3)


def matches(asked: Asked) -> bool:
    """By path, whatever the host."""
    return asked.path.endswith("/chat/completions")


def request(found: Found, asked: Asked) -> None:
    """Model and limits from the body; Azure's deployment from the path."""
    request_facts(found, asked)


CHAT = Format("openai.chat", "chat", matches, request, event, chat_tokens)
