"""What a tap keeps of a JSON body that it must not keep: by member name, how much of the value matters here.

In: nothing. Out: names by kind, for a tap that has no formats: it keeps the shape of a body, of these members what
their kind says, and of all others nothing. Whoever reads what is left reads the same Call.
What it must never know: which API uses which name, how a tap works.

A name that a format begins to read belongs here too: `tests/capture/gateway` reads every recorded answer both ways.
"""

from __future__ import annotations

from tachograph.wire import headers, limits, marks

# Their texts are ids, models, verdicts: kept as they are. Numbers under these names are dropped (ids of tokens).
WORDS = (
    *("id", "request_id", "response_id", "responseId", "call_id", "toolUseId", "invokedModelId", "conversation"),
    *(
        "model",
        "modelVersion",
        "modelVersionId",
        "model_id",
        "provider",
        "system_fingerprint",
        "object",
        "type",
        "task",
    ),
    *("event_type", "stop_type", "stopReason", "stop_reason", "done_reason", "completionReason", "reason", "status"),
    *("service_tier", "serviceTier", "speed", "latency", "inference_geo", "modality", "execution"),
    *("amazon-bedrock-guardrailAction",),
)
# Words that some servers write as numbers.
WORDS_OR_NUMBERS = ("finish_reason", "finishReason", "blockReason")
NUMBERS = (
    *("index", "output_index", "contentBlockIndex", "status_code", "http_code", "originalStatusCode", "count"),
    *("duration", "billableCharacterCount", "token_count", "totalTokens", "tokenCount", "cached_tokens"),
    *("input_token_count", "generated_token_count", "prompt_token_count", "generation_token_count"),
    *("inputTextTokenCount", "totalOutputTextTokenCount", "eval_count", "prompt_eval_count"),
    *("prompt_eval_cached_count", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration"),
    *("generated_tokens", "input_length", "tokens_evaluated", "tokens_predicted", "tokens_cached"),
)
# Moments: the first of an answer stands for all, since who sees the answer has a clock.
MOMENTS = ("created", "created_at", "createTime")
# Objects of counts, kept with everything inside but free text.
COUNTED = (
    *("usage", "usageMetadata", "billed_units", "timings", "time_info", "perf_metrics", "usage_breakdown"),
    *("usage_info", "svg_usage", "tool_usage", "metrics", "tokenMetadata", "amazon-bedrock-invocationMetrics"),
)
# Objects whose numbers count, and whose other members may be text.
MEASURED = ("details", "meta", "meta_info", "statistics", "tokens")
# Lists of which only the length matters.
LISTS = ("webSearchQueries", "prefill", "images", "artifacts")
# Of these only whether they are empty.
PRESENCE = (
    *("text", "refusal", "reasoning_content", "reasoning", "reasoning_details", "thinking", "redactedContent"),
    *("partial_json", "completion", "generation", "outputText", "generated_text", "arguments", "input", "name"),
    *("tool_plan", "tool_call_delta", "value", "summary", "thought", "inlineData", "fileData", "executableCode"),
    *("codeExecutionResult", "output_ids", "custom_id", "native_finish_reason", "image", "audio", "pages"),
    *("embedding", "embeddingsByType", "textEmbedding", "imageEmbedding", "videoEmbeddings", "b64_json"),
    *("bytesBase64Encoded", "gcsUri", "raiFilteredReason", "document_annotation", "kv_transfer_params"),
    *("response_type", "generation_id", "done", "stop", "is_finished", "special", "stopped_eos", "stopped_limit"),
    *("stopped_word", "encrypted_content"),
)
# What holds such members.
HOLDERS = (
    *("choices", "delta", "content", "parts", "tool_calls", "function", "function_call", "functionCall"),
    *("candidates", "groundingMetadata", "promptFeedback", "item", "response", "output", "outputs", "results"),
    *("result", "generations", "completions", "predictions", "embeddings", "data", "metadata", "start", "toolUse"),
    *("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop"),
    *("reasoningContent", "reasoningText", "content_block", "to", "step", "steps", "interaction", "action", "tools"),
    *("incomplete_details", "status_details", "finish_details", "performanceConfig", "trace", "promptRouter"),
    *("x_groq", "token"),
)
# By this a line of a file of results is told: each is a call of its own, and none stands for another.
RESULT = "custom_id"
# A whole answer within an answer.
BODIES = ("body",)
# Texts that may quote the prompt: of them only the phrases of `MESSAGE_PHRASES`.
MESSAGES = ("message",)
# What says why something failed; and the ends of names that do.
FAILURES = ("error", "errors", "innererror", "detail")
FAILURE_ENDINGS = ("Exception", "Error")
# Words inside of failures and at the top, where servers write flat ones; elsewhere the same names are content.
FAILURE_WORDS = ("code", "error_code", "error_type", "__type", "retryDelay")
FAILURE_HOLDERS = ("details", "metadata")
# What `errors` looks for in messages, spelled out in lower case; "^" at the start of a message only.
MESSAGE_PHRASES = (
    *("context size", "context length", "context window", "maximum context", "prompt is too long"),
    *("input is too long", "too many tokens", "input tokens exceed", "exceeded your current quota"),
    *("insufficient balance", "credit balance", "^model not exist", "rate limit", "too many requests", "overloaded"),
    *("over capacity", "at capacity", "content management policy", "content filter", "usage policy"),
    *("usage policies", "safety system", "api key", "api_key", "api-key", "unauthorized", "authentication"),
)

# Of a request. The length of a text that is billed by its characters matters.
ASKED_WORDS = (
    *("id", "model", "model_id", "agent", "user", "safety_identifier", "user_id", "conversation", "conversation_id"),
    *("search_context_size", "search_type"),
)
ASKED_NUMBERS = (
    *("max_completion_tokens", "max_output_tokens", "max_tokens", "max_tokens_to_sample", "max_gen_len", "maxTokens"),
    *("max_new_tokens", "maxTokenCount", "maxOutputTokens", "n_predict", "num_predict", "temperature"),
)
ASKED_PRESENCE = ("stream", "include_usage", "messages", "prompt", "inputText", "input_ids")
ASKED_LENGTHS = ("input", "text")
ASKED_HOLDERS = (
    *("stream_options", "web_search_options", "generationConfig", "generation_config", "inferenceConfig"),
    *("textGenerationConfig", "parameters", "sampling_params", "options"),
)
ASKED_METADATA = ("metadata",)  # of which only who is asking is kept
ASKED_IN_QUERY = ("model", "deployment", "intent")

ASKED_HEADERS = (
    *("user-agent", "traceparent", "amz-sdk-request", "amz-sdk-invocation-id"),
    *("idempotency-key", "x-idempotency-key", "x-stainless-retry-count"),
)
ANSWERED_HEADERS = tuple(
    dict.fromkeys(
        (
            *("content-type", "content-encoding", "date", "server-timing", "x-amzn-errortype"),
            *("retry-after", "retry-after-ms", "x-ms-served-model", "x-ms-is-spilled-over", "x-inference-provider"),
            *headers.REQUEST_IDS,
            *(name for name, _ in (*headers.SERVER_TIMES, *headers.QUEUE_TIMES)),
            *headers.COUNTS,
            *headers.TIERS,
            *(name for fields in (limits.COUNTS, limits.RESETS) for names in fields.values() for name in names),
            *(name for name, _, _ in marks.HEADERS),
        )
    )
)
