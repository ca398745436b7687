"""Spans and log records of others -> Calls: one table of facts per vocabulary, and one reader that they are told to.

In: OTLP bytes of many requests. Out: columns of what the spans say, one row a span.
What it must never know: a price, HTTP, a clock, the store.
Why tables: a vocabulary is a list of names and a few rules; written as code, fifteen of them become thousands of lines
in which the same mistake is made fifteen times.
"""

from __future__ import annotations

from tachograph.dialects.facts import Dialect
from tachograph.dialects.langfuse import LANGFUSE
from tachograph.dialects.litellm import LITELLM
from tachograph.dialects.openinference import OPENINFERENCE
from tachograph.dialects.openllmetry import OPENLLMETRY
from tachograph.dialects.otel import (
    AGENT_FRAMEWORK,
    CLAUDE_CODE,
    ENVOY_AI_GATEWAY,
    OTEL,
    SEMANTIC_KERNEL,
    SGLANG,
    SPRING_AI,
    TACHOGRAPH,
    VLLM,
)
from tachograph.dialects.python_frameworks import LOGFIRE, OPENLIT, PYDANTIC_AI
from tachograph.dialects.vercel import VERCEL, VERCEL_LEGACY

# The first whose scope, resource or marker is there wins; the last takes what is left.
DIALECTS: tuple[Dialect, ...] = (
    TACHOGRAPH,
    OPENINFERENCE,
    LANGFUSE,
    LITELLM,
    VERCEL_LEGACY,
    VERCEL,
    LOGFIRE,
    PYDANTIC_AI,
    OPENLIT,
    SPRING_AI,
    SEMANTIC_KERNEL,
    AGENT_FRAMEWORK,
    SGLANG,
    VLLM,
    CLAUDE_CODE,
    ENVOY_AI_GATEWAY,
    OPENLLMETRY,
    OTEL,
)
