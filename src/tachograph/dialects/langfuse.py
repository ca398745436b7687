"""Langfuse SDK (OpenTelemetry based).

Source: langfuse packages/shared/src/server/otel/attributes.ts and ingestion/types.ts. Its own counts are one JSON
text of disjoint buckets; where the keys have OpenAI's shape they are OpenAI's numbers, in which cached tokens are
included.
What it must never know: SQL.
"""

from __future__ import annotations

from tachograph.dialects.facts import Dialect

LANGFUSE = Dialect(
    name="langfuse",
    fields={
        "operation": ("langfuse.observation.type",),
        "any_model": ("langfuse.observation.model.name",),
        "usage_json": ("langfuse.observation.usage_details",),
        "invocation_json": ("langfuse.observation.model.parameters",),
        "first_token_at": ("langfuse.observation.completion_start_time",),
        "level": ("langfuse.observation.level",),
        "user_id": ("langfuse.user.id", "user.id"),
        "conversation_id": ("langfuse.session.id", "session.id"),
        "prompt_name": ("langfuse.observation.prompt.name",),
        "prompt_version": ("langfuse.observation.prompt.version",),
        "tag_list": ("langfuse.trace.tags",),
    },
    operations={"generation": "chat", "embedding": "embeddings"},
    rollups=frozenset({"agent", "chain"}),
    scopes=("langfuse-sdk",),
    markers=("langfuse.observation.type", "langfuse.observation.model.name", "langfuse.observation.usage_details"),
    tags=("langfuse.trace.metadata.", "langfuse.observation.metadata."),
)
