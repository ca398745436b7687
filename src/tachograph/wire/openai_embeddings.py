"""Embeddings and rerankings in OpenAI's shape: `data` and `usage`.

In: `POST .../embeddings` at OpenAI, Azure, Mistral, Voyage, vLLM, Ollama /v1, Together, ...; `.../rerank` where it
answers in the same shape (Voyage, Jina). Voyage states a `total_tokens` only, which is then the input. Out: Found.
Source: providers.md A0.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, mapping
from tachograph.wire.openai_chat import identity
from tachograph.wire.openai_usage import chat_tokens, request_facts, take_usage
from tachograph.wire.tokens import Tokens

_RERANKERS = ("voyageai.com", "jina.ai")


def event(found: Found, event_name: str, value: Any) -> bool:
    """The whole answer."""
    body = mapping(value)
    identity(found, body)
    take_usage(found, body.get("usage"))
    return False


def tokens(found: Found) -> Tokens | None:
    """All input; an embedding has no output, whatever a server writes there."""
    if not found.usage:
        return None
    total = count(found.usage.get("total_tokens"))
    parts = chat_tokens(found)
    if parts is None or parts.input_tokens is not None:
        if parts is not None and not parts.output_tokens:
            parts.output_visible = parts.output_reasoning = None
        return parts
    return Tokens("inclusive", input_uncached=total)


def matches(asked: Asked) -> bool:
    """By path; Ollama's own `/api/embeddings` is another format."""
    return asked.path.endswith("embeddings") and asked.path != "/api/embeddings"


def rerank_matches(asked: Asked) -> bool:
    """By path and host: Cohere's shape is served under the same path."""
    return asked.path.endswith("/rerank") and asked.host.endswith(_RERANKERS)


EMBEDDINGS = Format("openai.embeddings", "embeddings", matches, request_facts, event, tokens)
RERANK = Format("openai.rerank", "rerank", rerank_matches, request_facts, event, tokens)
