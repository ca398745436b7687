"""Vercel AI SDK: the older `ai.*` spans, and v7's on the GenAI conventions.

Source: vercel/ai packages/otel. The outer span of an operation repeats the usage of its steps; only the `do*` spans are
calls. Times of the older one are milliseconds.
What it must never know: SQL.
"""

from __future__ import annotations

from tachograph.dialects.facts import Dialect
from tachograph.dialects.otel import FIELDS, OPERATIONS, ROLLUPS

VERCEL_LEGACY = Dialect(
    name="vercel_legacy",
    fields={
        **FIELDS,
        "operation": ("ai.operationId", "operation.name"),
        "provider": ("ai.model.provider", "gen_ai.provider.name", "gen_ai.system"),
        "request_model": ("ai.model.id", "gen_ai.request.model"),
        "response_model": ("ai.response.model", "gen_ai.response.model"),
        "response_id": ("ai.response.id", "gen_ai.response.id"),
        "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", *FIELDS["input_tokens"]),
        "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens", *FIELDS["output_tokens"]),
        "embedding_tokens": ("ai.usage.tokens",),
        "total_tokens": ("ai.usage.totalTokens",),
        "cache_read": (
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
            *FIELDS["cache_read"],
        ),
        "cache_write": ("ai.usage.inputTokenDetails.cacheWriteTokens", *FIELDS["cache_write"]),
        "reasoning": (
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
            *FIELDS["reasoning"],
        ),
        "ttft_ms": ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"),
        "finish": ("ai.response.finishReason", "gen_ai.response.finish_reasons"),
        "provider_json": ("ai.response.providerMetadata",),
        "feature": ("ai.telemetry.functionId", "resource.name"),
        "user_id": ("ai.telemetry.metadata.userId", "user.id"),
        "conversation_id": ("ai.telemetry.metadata.sessionId", "session.id"),
    },
    operations={
        "ai.generatetext.dogenerate": "chat",
        "ai.streamtext.dostream": "chat",
        "ai.generateobject.dogenerate": "chat",
        "ai.streamobject.dostream": "chat",
        "ai.embed.doembed": "embeddings",
        "ai.embedmany.doembed": "embeddings",
        "ai.rerank.dorerank": "rerank",
        "ai.generateimage.dogenerate": "image",
        "ai.generatespeech.dogenerate": "speech",
        "ai.transcribe.dogenerate": "transcription",
    },
    rollups=frozenset(
        {
            "ai.generatetext",
            "ai.streamtext",
            "ai.generateobject",
            "ai.streamobject",
            "ai.embed",
            "ai.embedmany",
            "ai.rerank",
        }
    ),
    scopes=("ai",),
    markers=("ai.operationId",),
    tags=("ai.telemetry.metadata.",),
    # Up to v5 it handed on what the provider said; later versions show by their details that they add it up.
    beside_without_details=("anthropic", "aws.bedrock"),
    first_token_events=("ai.stream.firstChunk",),
    vantage="framework",
)

VERCEL = Dialect(
    name="vercel",
    fields={
        **FIELDS,
        "ttft_s": ("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk"),
        "itl_mean_s": ("gen_ai.client.operation.time_per_output_chunk",),
        "reasoning": ("ai.usage.outputTokenDetails.reasoningTokens", *FIELDS["reasoning"]),
        "feature": ("ai.telemetry.functionId",),
    },
    operations=OPERATIONS,
    rollups=ROLLUPS | {"agent_step"},
    scopes=("gen_ai",),
    markers=("gen_ai.client.operation.duration",),
    tags=("ai.settings.runtimeContext.", "ai.settings.context."),
    vantage="framework",
)
