"""The member names that carry counts, names and verdicts: what survives when a JSON value is too large to keep.

In: nothing. Out: two sets of names for `sieve`. A member of such a name is kept down to the third level wherever
it stands, however full its value already is.
What it must never know: which API uses which name.
"""

from __future__ import annotations

# Kept with everything inside: objects of numbers and words.
WHOLE = frozenset(
    (
        "amazon-bedrock-invocationMetrics",
        "billed_units",
        "cost",
        "error",
        "errors",
        "meta",
        "meta_info",
        "metrics",
        "perf_metrics",
        "promptFeedback",
        "statistics",
        "svg_usage",
        "time_info",
        "timings",
        "tool_usage",
        "usage",
        "usageMetadata",
        "usage_breakdown",
        "usage_info",
        "x_groq",
    )
)

# Kept themselves; inside them the same rules hold again.
KEPT = WHOLE | frozenset(
    (
        "body",
        "candidates",
        "choices",
        "code",
        "created",
        "created_at",
        "custom_id",
        "data",
        "delta",
        "details",
        "done",
        "done_reason",
        "eval_count",
        "eval_duration",
        "finishReason",
        "finish_reason",
        "generation_token_count",
        "id",
        "incomplete_details",
        "inputTextTokenCount",
        "interaction",
        "load_duration",
        "message",
        "metadata",
        "model",
        "modelVersion",
        "object",
        "outcome",
        "output",
        "predictions",
        "promptTokenCount",
        "prompt_eval_count",
        "prompt_eval_duration",
        "prompt_token_count",
        "provider",
        "response",
        "responseId",
        "result",
        "results",
        "serviceTier",
        "service_tier",
        "status",
        "status_code",
        "stopReason",
        "stop_reason",
        "stop_type",
        "tokenCount",
        "tokens_cached",
        "tokens_evaluated",
        "tokens_predicted",
        "total_duration",
        "total_tokens",
        "type",
    )
)
