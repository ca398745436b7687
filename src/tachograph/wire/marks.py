"""Who answered, from marks that only one provider or engine leaves, where neither the host nor the door told.

In: the headers of an answer, the members of a chat body. Out: a provider, or nothing: a mark that two servers share is
no mark, and the provider then stays `unknown`. Source: providers.md A0, A6 to A10.
What it must never know: tokens, prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tachograph.wire.found import Found, count, items, mapping, name

UNKNOWN = "unknown"

# (header, beginning of its value in lower case, provider); routers stand before those whose headers they pass on.
HEADERS: tuple[tuple[str, str, str], ...] = (
    ("x-inference-provider", "", "huggingface"),
    ("x-powered-by", "huggingface", "huggingface"),
    ("x-generation-id", "gen-", "openrouter"),
    ("azureml-model-session", "", "azure.ai.openai"),
    ("x-groq-region", "", "groq"),
    ("x-ds-trace-id", "", "deepseek"),
    ("mistral-correlation-id", "", "mistral_ai"),
    ("x-baseten-request-id", "", "baseten"),
    ("fireworks-prompt-tokens", "", "fireworks"),
    ("fireworks-server-time-to-first-token", "", "fireworks"),
    ("server", "llama.cpp", "llama_cpp"),
    ("x-compute-characters", "", "tgi"),
)
# Members without which no body bears a mark.
_MARKING = frozenset(("x_groq", "timings", "time_info", "provider", "system_fingerprint", "kv_transfer_params"))
_FINGERPRINTS = (("fp_ollama", "ollama"), ("vllm-", "vllm"))


def by_headers(found: Found, headers: Mapping[str, str], known: Sequence[tuple[str, str, str]] = HEADERS) -> None:
    """Name the provider that sends such a header. known: those of `HEADERS` that are there."""
    if found.provider != UNKNOWN:
        return
    for header, beginning, provider in known:
        if header in headers and headers[header].lower().startswith(beginning):
            found.provider = provider
            return


def by_body(found: Found, body: dict[str, Any]) -> None:
    """Name the provider that writes such members into a chat or text completion."""
    if found.provider != UNKNOWN:
        return
    marked = not _MARKING.isdisjoint(body) or body.get("object") == "chat.completion.done"
    if marked or "usage" in body:
        found.provider = (_writer(body) if marked else _counter(body)) or UNKNOWN


def _counter(body: dict[str, Any]) -> str | None:
    return "x_ai" if "cost_in_usd_ticks" in mapping(body["usage"]) else None


def _writer(body: dict[str, Any]) -> str | None:
    if mapping(body.get("x_groq")):
        return "groq"
    if count(mapping(body.get("timings")).get("predicted_n")) is not None:
        return "llama_cpp"
    if mapping(body.get("time_info")):
        return "cerebras"
    if "usage" in body and (counter := _counter(body)):
        return counter
    if body.get("object") == "chat.completion.done":
        return "perplexity"
    if name(body.get("provider")) and any(
        "native_finish_reason" in mapping(item) for item in items(body.get("choices"))
    ):
        return "openrouter"
    fingerprint = name(body.get("system_fingerprint")) or ""
    for beginning, provider in _FINGERPRINTS:
        if fingerprint.startswith(beginning):
            return provider
    return "vllm" if "kv_transfer_params" in body else None
