"""OpenInference (Arize).

Source: openinference-semantic-conventions 0.1.42 and its instrumentations. Older Converse spans of its Bedrock
instrumentation hold the raw inputTokens; the total beside them, which is the provider's, tells. 0.1.61 adds them up.
What it must never know: SQL.
"""

from __future__ import annotations

from tachograph.dialects.facts import Dialect

OPENINFERENCE = Dialect(
    name="openinference",
    fields={
        "operation": ("openinference.span.kind",),
        "host": ("llm.provider",),
        "vendor": ("llm.system",),
        "request_model": ("llm.request.model_name",),
        "response_model": ("llm.response.model_name",),
        "response_id": ("output.value#id",),
        "any_model": ("llm.model_name", "embedding.model_name", "reranker.model_name"),
        "input_tokens": ("llm.token_count.prompt",),
        "output_tokens": ("llm.token_count.completion",),
        "total_tokens": ("llm.token_count.total",),
        "cache_read": ("llm.token_count.prompt_details.cache_read",),
        "cache_write": ("llm.token_count.prompt_details.cache_write",),
        "reasoning": ("llm.token_count.completion_details.reasoning",),
        "audio_input": ("llm.token_count.prompt_details.audio",),
        "audio_output": ("llm.token_count.completion_details.audio",),
        "finish": ("llm.finish_reason",),
        "user_id": ("user.id",),
        "conversation_id": ("session.id",),
        "tag_list": ("tag.tags",),
        "metadata_json": ("metadata",),
        "invocation_json": ("llm.invocation_parameters",),
        "prompt_name": ("llm.prompt_template.name",),
        "prompt_version": ("llm.prompt_template.version",),
    },
    operations={"llm": "chat", "embedding": "embeddings", "reranker": "rerank"},
    rollups=frozenset({"agent", "chain"}),
    scopes=("openinference.",),
    markers=("openinference.span.kind",),
    first_token_events=("First Token Stream Event",),
)
