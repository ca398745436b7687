"""OpenLLMetry (Traceloop), all versions that are met.

Source: openllmetry packages/opentelemetry-semantic-conventions-ai; its instrumentations share the scope names of the
official ones, so that only its attributes tell it apart.
What it must never know: SQL.
"""

from __future__ import annotations

from tachograph.dialects.facts import Dialect
from tachograph.dialects.otel import FIELDS, OPERATIONS, ROLLUPS

OPENLLMETRY = Dialect(
    name="openllmetry",
    fields={
        **FIELDS,
        "operation": ("gen_ai.operation.name", "llm.request.type"),
        "input_tokens": (*FIELDS["input_tokens"], "llm.usage.prompt_tokens"),
        "output_tokens": (*FIELDS["output_tokens"], "llm.usage.completion_tokens"),
        "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
        "cache_read": (*FIELDS["cache_read"], "gen_ai.usage.cache_read_input_tokens"),
        "cache_write": (*FIELDS["cache_write"], "gen_ai.usage.cache_creation_input_tokens"),
        "reasoning": (*FIELDS["reasoning"], "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"),
        "stream": ("gen_ai.is_streaming", "llm.is_streaming", "gen_ai.request.stream"),
        "finish": (
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "llm.response.finish_reason",
            "llm.response.stop_reason",
            "gen_ai.completion.0.finish_reason",
        ),
        "user_id": ("traceloop.association.properties.user_id", "user.id", "gen_ai.user", "llm.user"),
        "conversation_id": ("gen_ai.conversation.id", "traceloop.association.properties.session_id", "session.id"),
    },
    operations={**OPERATIONS, "completion": "text_completion", "embedding": "embeddings", "rerank": "rerank"},
    rollups=ROLLUPS,
    markers=(
        "gen_ai.is_streaming",
        "llm.is_streaming",
        "llm.request.type",
        "llm.usage.total_tokens",
        "gen_ai.usage.total_tokens",
        "gen_ai.prompt.0.role",
        "gen_ai.completion.0.role",
        "gen_ai.completion.0.finish_reason",
        "traceloop.workflow.name",
        "traceloop.entity.name",
        "traceloop.entity.path",
        "traceloop.span.kind",
        "traceloop.association.properties.user_id",
        "traceloop.association.properties.session_id",
    ),
    hosts=(("opentelemetry.instrumentation.bedrock", "aws.bedrock"),),
    beside_scopes=("opentelemetry.instrumentation.bedrock",),
    reasoning_beside_scopes=(
        "opentelemetry.instrumentation.google_generativeai",
        "opentelemetry.instrumentation.vertexai",
    ),
    tags=("traceloop.association.properties.",),
    first_token_events=("gen_ai.content.completion.chunk", "llm.content.completion.chunk"),
)
