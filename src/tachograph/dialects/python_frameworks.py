"""Python's own: pydantic-ai, Logfire and OpenLIT.

Source: pydantic_ai_slim, logfire llm_providers, openlit 1.45.0. pydantic-ai repeats cached tokens in its details: they
are read where the conventions' names are missing, and never added.
What it must never know: SQL.
"""

from __future__ import annotations

from tachograph.dialects.facts import Dialect
from tachograph.dialects.otel import FIELDS, OPERATIONS, ROLLUPS

PYDANTIC_AI = Dialect(
    name="pydantic_ai",
    fields={
        **FIELDS,
        "reasoning": (*FIELDS["reasoning"], "gen_ai.usage.details.reasoning_tokens"),
        "cache_read": (
            *FIELDS["cache_read"],
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.details.cache_read_input_tokens",
            "gen_ai.usage.details.cached_tokens",
        ),
        "cache_write": (
            *FIELDS["cache_write"],
            "gen_ai.usage.details.cache_write_tokens",
            "gen_ai.usage.details.cache_creation_input_tokens",
        ),
        "cache_write_5m": (
            *FIELDS["cache_write_5m"],
            "gen_ai.usage.details.cache_write_5m_tokens",
            "gen_ai.usage.details.ephemeral_5m_input_tokens",
        ),
        "cache_write_1h": (
            *FIELDS["cache_write_1h"],
            "gen_ai.usage.details.cache_write_1h_tokens",
            "gen_ai.usage.details.ephemeral_1h_input_tokens",
        ),
        "audio_input": (*FIELDS["audio_input"], "gen_ai.usage.details.input_audio_tokens"),
        "audio_output": (*FIELDS["audio_output"], "gen_ai.usage.details.output_audio_tokens"),
        "ttft_s": (*FIELDS["ttft_s"], "gen_ai.client.operation.time_to_first_chunk"),
    },
    operations=OPERATIONS,
    rollups=ROLLUPS,
    scopes=("pydantic-ai",),
    markers=("operation.cost", "gen_ai.aggregated_usage.input_tokens"),
    vantage="framework",
)

LOGFIRE = Dialect(
    name="logfire",
    fields={**FIELDS, "raw_usage_json": ("gen_ai.usage.raw",), "duration_s": ("duration",)},
    operations=OPERATIONS,
    rollups=ROLLUPS,
    unnamed="chat",
    halves=True,
    scopes=("logfire.",),
    markers=("gen_ai.usage.raw",),
)

OPENLIT = Dialect(
    name="openlit",
    fields={
        **FIELDS,
        "cache_read": (*FIELDS["cache_read"], "gen_ai.usage.prompt_tokens_details.cached_tokens"),
        "cache_write": (*FIELDS["cache_write"], "gen_ai.usage.prompt_tokens_details.cache_creation_tokens"),
        "reasoning": (
            *FIELDS["reasoning"],
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
        ),
        "audio_output": (*FIELDS["audio_output"], "gen_ai.usage.completion_tokens_details.audio_tokens"),
        "ttft_s": ("gen_ai.server.time_to_first_token", *FIELDS["ttft_s"]),
        "itl_mean_s": ("gen_ai.server.time_per_output_token",),
        "user_id": ("gen_ai.user.id", "gen_ai.request.user", "user.id"),
        "conversation_id": ("gen_ai.conversation.id", "gen_ai.session.id", "gen_ai.agent.session_id"),
    },
    operations={**OPERATIONS, "audio": "speech"},
    rollups=ROLLUPS | {"framework", "agent", "workflow"},
    scopes=("openlit",),
    resource=(("telemetry.sdk.name", "openlit"),),
    markers=("gen_ai.sdk.version", "gen_ai.usage.cost"),
    beside=("anthropic",),
    within_scopes=("openlit.instrumentation.langchain",),
)
