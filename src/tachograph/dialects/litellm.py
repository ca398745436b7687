"""LiteLLM's OpenTelemetry callback, v1 and v2, as its proxy or its library emits it.

Source: litellm/integrations/otel (v2) and litellm/integrations/opentelemetry.py (v1, whose values are often strings).
LiteLLM adds cached tokens to the prompt tokens for every provider. The costs that it states are its own arithmetic and
are not taken over.
What it must never know: SQL.
"""

from __future__ import annotations

from tachograph.dialects.facts import Dialect
from tachograph.dialects.otel import FIELDS, OPERATIONS, ROLLUPS

_CALL_TYPES = {
    "completion": "chat",
    "chat_completion": "chat",
    "responses": "chat",
    "anthropic_messages": "chat",
    "generate_content": "generate_content",
    "generate_content_stream": "generate_content",
    "text_completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "rerank",
    "image_generation": "image",
    "image_edit": "image",
    "speech": "speech",
    "transcription": "transcription",
    "pass_through_endpoint": "other",
}

LITELLM = Dialect(
    name="litellm",
    fields={
        **FIELDS,
        "request_model": ("gen_ai.request.model", "litellm.provider.model"),
        "total_tokens": ("gen_ai.usage.total_tokens",),
        "stream": ("litellm.request.streaming", "llm.is_streaming", "gen_ai.request.stream"),
        "operation_id": ("litellm.call_id",),
        "status": (*FIELDS["status"], "litellm.provider.error.code", "error.code"),
        "team": ("litellm.team.alias", "litellm.metadata.user_api_key_team_alias", "metadata.user_api_key_team_alias"),
        "api_key_id": ("litellm.api_key.hash", "metadata.user_api_key_hash"),
        "user_id": (
            "litellm.end_user.id",
            "litellm.metadata.user_api_key_end_user_id",
            "litellm.metadata.user_api_key_user_id",
            "metadata.user_api_key_end_user_id",
            "metadata.user_api_key_user_id",
            "llm.user",
        ),
    },
    operations={
        **OPERATIONS,
        **_CALL_TYPES,
        **{f"a{word}": operation for word, operation in _CALL_TYPES.items()},
    },
    rollups=ROLLUPS,
    scopes=("litellm",),
    markers=("litellm.call_id", "litellm.call_type", "litellm.cost.total", "hidden_params", "gen_ai.cost.total_cost"),
    tags=("litellm.metadata.requester_metadata.", "metadata.requester_metadata."),
    vantage="gateway",
)
