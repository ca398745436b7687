"""OpenTelemetry GenAI, generations 0 to 3: what the official instrumentations and most others emit.

Source: semantic-conventions up to v1.41, semantic-conventions-genai, opentelemetry-util-genai 1.3b0. The tables of
other vocabularies take over from here what they share with it.
What it must never know: SQL.
"""

from __future__ import annotations

from tachograph.dialects.facts import EVERY, Dialect

# Input includes what was cached, output includes reasoning; each detail is a subset.
FIELDS: dict[str, tuple[str, ...]] = {
    "operation": ("gen_ai.operation.name",),
    "event": ("event.name",),
    "method": ("rpc.method",),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "request_model": ("gen_ai.request.model",),
    "response_model": ("gen_ai.response.model",),
    "response_id": ("gen_ai.response.id",),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cache_read": ("gen_ai.usage.cache_read.input_tokens",),
    "cache_write": ("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    "reasoning": ("gen_ai.usage.reasoning.output_tokens",),
    "audio_input": ("gen_ai.usage.audio.input_tokens",),
    "audio_output": ("gen_ai.usage.audio.output_tokens",),
    "image_input": ("gen_ai.usage.image.input_tokens",),
    "image_output": ("gen_ai.usage.image.output_tokens",),
    "ttft_s": ("gen_ai.response.time_to_first_chunk",),
    "stream": ("gen_ai.request.stream",),
    "finish": ("gen_ai.response.finish_reasons", "anthropic.message.stop_reason"),
    "error": ("error.type",),
    "status": ("http.response.status_code", "http.status_code"),
    "service_tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "anthropic.response.service_tier",
    ),
    "request_id": ("anthropic.request.id", "aws.request_id"),
    "attempt": ("http.request.resend_count",),
    # No convention has the two lifetimes of a cache entry; Anthropic's own SDK states them.
    "cache_write_5m": ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",),
    "cache_write_1h": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "user_id": ("user.id", "enduser.id"),
    "conversation_id": ("gen_ai.conversation.id", "session.id"),
    "prompt_name": ("gen_ai.prompt.name",),
    "prompt_version": ("gen_ai.prompt.version",),
    "max_output_tokens": ("gen_ai.request.max_tokens",),
    "temperature": ("gen_ai.request.temperature",),
}

OPERATIONS: dict[str, str] = {
    "chat": "chat",
    "text_completion": "text_completion",
    "generate_content": "generate_content",
    "embeddings": "embeddings",
    "embedding": "embeddings",
    "rerank": "rerank",
    "image_generation": "image",
    "image": "image",
    "speech": "speech",
    "transcription": "transcription",
    "translation": "transcription",
    "tokenize": "count_tokens",
}
# Their usage, where they carry any, is the sum of the calls below them.
ROLLUPS = frozenset({"invoke_agent", "invoke_workflow", "create_agent", "plan"})

TAGS = ("tachograph.tags.",)

OTEL = Dialect(
    name="otel",
    fields=FIELDS,
    operations=OPERATIONS,
    rollups=ROLLUPS,
    scopes=("opentelemetry.instrumentation.", "opentelemetry.util.genai", "com.anthropic.sdk"),
    # The Bedrock instrumentations report the raw inputTokens, against the convention (genai-bedrock 1.3b0, botocore).
    beside_scopes=("opentelemetry.instrumentation.genai.bedrock", "opentelemetry.instrumentation.botocore"),
)

# Fields of Call that the conventions have no word for.
_STATED = (
    *("schema", "call_id", "vantage", "vendor", "api", "model", "outcome", "error_code", "tool_calls"),
    *("headers_ms", "chunks", "itl_mean_ms", "itl_p99_ms", "itl_max_ms", "itl_buckets", "tpot_ms"),
    *("server_ms", "queue_ms"),
    *("retry_after_ms", "ratelimit_limit_requests", "ratelimit_remaining_requests", "ratelimit_reset_requests_ms"),
    *("ratelimit_limit_tokens", "ratelimit_remaining_tokens", "ratelimit_reset_tokens_ms"),
    *("usage_source", "usage_basis", "usage_raw", "cost_usd", "cost_source", "price_id", "price_status"),
    *("price_context", "source", "flags"),
)
_STATED_COUNTS = ("input_uncached", "cache_write_other", "output_visible", "total_tokens")

# What our own SDK and gateway emit: the newest generation, and what the conventions have no word for.
TACHOGRAPH = Dialect(
    name="tachograph",
    fields={
        **FIELDS,
        "request_id": ("tachograph.request_id", *FIELDS["request_id"]),
        "operation_id": ("tachograph.operation_id",),
        "attempt": ("tachograph.attempt", *FIELDS["attempt"]),
        "cache_write_5m": ("tachograph.usage.cache_write_5m", *FIELDS["cache_write_5m"]),
        "cache_write_1h": ("tachograph.usage.cache_write_1h", *FIELDS["cache_write_1h"]),
        "team": ("tachograph.team",),
        "project": ("tachograph.project",),
        "feature": ("tachograph.feature",),
        "customer": ("tachograph.customer",),
        "user_id": ("tachograph.user_id", "user.id"),
        "experiment": ("tachograph.experiment",),
        "arm": ("tachograph.arm",),
        "prompt_hash": ("tachograph.prompt_hash",),
        "api_key_id": ("tachograph.api_key_id",),
        "speed": ("tachograph.speed",),
        "service_tier": ("tachograph.service_tier", *FIELDS["service_tier"]),
        **{name: (f"tachograph.{name}",) for name in _STATED},
        **{name: (f"tachograph.usage.{name}",) for name in _STATED_COUNTS},
    },
    operations={**OPERATIONS, **{word: word for word in ("realtime", "count_tokens", "other")}},
    rollups=ROLLUPS,
    scopes=("tachograph",),
    tags=TAGS,
    states=True,
)

ENVOY_AI_GATEWAY = Dialect(
    name="envoy_ai_gateway",
    fields=FIELDS,
    operations=OPERATIONS,
    rollups=ROLLUPS,
    resource=(("service.name", "ai-gateway"),),
    vantage="gateway",
)

SPRING_AI = Dialect(
    name="spring_ai",
    fields={
        **FIELDS,
        "total_tokens": ("gen_ai.usage.total_tokens",),
        "conversation_id": ("spring.ai.chat.client.conversation.id", "gen_ai.conversation.id"),
        "error": ("error.type", "exception", "error"),
    },
    operations={**OPERATIONS, "embedding": "embeddings"},
    rollups=ROLLUPS | {"framework"},
    scopes=("org.springframework.boot",),
    markers=("spring.ai.kind", "spring.ai.model.request.tool.names", "spring.ai.chat.client.conversation.id"),
    beside=("anthropic",),
    vantage="framework",
)

SEMANTIC_KERNEL = Dialect(
    name="semantic_kernel",
    fields={
        **FIELDS,
        "input_tokens": (*FIELDS["input_tokens"], "gen_ai.response.prompt_tokens"),
        "output_tokens": (*FIELDS["output_tokens"], "gen_ai.response.completion_tokens"),
        "finish": ("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason"),
    },
    # The connectors' spans name the operation of Semantic Kernel's own method.
    operations={
        **OPERATIONS,
        "chat.completions": "chat",
        "chat.streaming_completions": "chat",
        "text.completions": "text_completion",
        "text.streaming_completions": "text_completion",
    },
    rollups=ROLLUPS,
    scopes=("semantic_kernel", "Microsoft.SemanticKernel"),
    beside=("anthropic",),
    vantage="framework",
)

AGENT_FRAMEWORK = Dialect(
    name="agent_framework",
    fields=FIELDS,
    operations=OPERATIONS,
    rollups=ROLLUPS,
    scopes=("agent_framework", "Experimental.Microsoft.Extensions.AI", "Microsoft.Agents.AI"),
    beside=("anthropic",),
    vantage="framework",
)

# The engines name neither provider nor operation, and keep the names of generation 0.
_ENGINE_FIELDS: dict[str, tuple[str, ...]] = {
    **FIELDS,
    "cache_read": ("gen_ai.usage.cached_tokens",),
    "ttft_s": ("gen_ai.latency.time_to_first_token",),
    "queue_s": ("gen_ai.latency.time_in_queue",),
    "server_s": ("gen_ai.latency.e2e",),
    "request_id": ("gen_ai.request.id",),
}
SGLANG = Dialect(
    name="sglang",
    fields=_ENGINE_FIELDS,
    operations={},
    unnamed="chat",
    scopes=("sglang",),
    vantage="server",
    provider="sglang",
)
VLLM = Dialect(
    name="vllm",
    fields=_ENGINE_FIELDS,
    operations={},
    unnamed="chat",
    markers=("gen_ai.latency.e2e", "gen_ai.latency.time_to_first_token", "gen_ai.latency.time_in_queue"),
    scopes=("vllm",),
    vantage="server",
    provider="vllm",
)

CLAUDE_CODE = Dialect(
    name="claude_code",
    fields={
        "event": ("event.name",),
        "request_model": ("model",),
        "input_tokens": ("input_tokens",),
        "output_tokens": ("output_tokens",),
        "cache_read": ("cache_read_tokens",),
        "cache_write": ("cache_creation_tokens",),
        "duration_ms": ("duration_ms",),
        "request_id": ("request_id",),
        "operation_id": ("client_request_id",),
        "status": ("status_code",),
        "attempt": ("attempt",),
        "speed": ("speed",),
        "user_id": ("user.id",),
        "conversation_id": ("session.id",),
    },
    operations={
        "claude_code.api_request": "chat",
        "claude_code.api_error": "chat",
        "api_request": "chat",
        "api_error": "chat",
    },
    rollups=frozenset(),
    scopes=("com.anthropic.claude_code",),
    resource=(("service.name", "claude-code"),),
    beside=EVERY,
    provider="anthropic",
    own=True,
)
