"""Records LiteLLM: its callback `otel` (old and new), or OpenInference's instrumentation of it."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OTEL_EXPORTER": "otlp_http",
    "OTEL_ENDPOINT": os.environ["GOLDEN_RECORDER"],
    "OTEL_SERVICE_NAME": "golden",
    "LITELLM_OTEL_INTEGRATION_ENABLE_METRICS": "true",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_REGION_NAME": "us-east-1",
}

import drive
import litellm
from opentelemetry import trace

CALLBACKS_SECONDS = 0.5  # its callbacks run after the answer, and nothing waits for them
LOOP = asyncio.new_event_loop()  # the new callback hears of asynchronous calls only
GPT = {"model": "openai/" + drive.GPT, "api_base": f"{drive.PROVIDER}/v1", "api_key": "none", "num_retries": 0}
CLAUDE = {"model": "anthropic/" + drive.CLAUDE, "api_base": drive.PROVIDER, "api_key": "none", "max_tokens": 256}
BEDROCK = {"model": "bedrock/" + drive.BEDROCK, "aws_bedrock_runtime_endpoint": drive.PROVIDER, "max_tokens": 256}


def ask(client: dict[str, Any], scenario: str, **more: Any) -> None:
    async def asked() -> None:
        answer = await litellm.acompletion(**client, messages=drive.user(scenario), max_retries=0, **more)
        if more.get("stream"):
            [chunk async for chunk in answer]

    LOOP.run_until_complete(asked())


def embed() -> None:
    client = GPT | {"model": "openai/" + drive.EMBEDDER}
    LOOP.run_until_complete(litellm.aembedding(**client, input=[drive.QUESTION + "plain"]))


def main(name: str) -> None:
    if name.startswith("openinference"):
        flush_all = drive.telemetry()
        from openinference.instrumentation.litellm import LiteLLMInstrumentor

        LiteLLMInstrumentor().instrument()
    else:
        litellm.callbacks = ["otel"]

        def flush_all() -> None:
            for callback in [trace.get_tracer_provider(), *litellm.callbacks, *litellm.success_callback]:
                provider: Any = getattr(callback, "tracer_provider", None) or getattr(
                    callback, "_tracer_provider", callback
                )
                getattr(provider, "force_flush", lambda: None)()

    def flush() -> None:
        LOOP.run_until_complete(asyncio.sleep(CALLBACKS_SECONDS))
        flush_all()

    counted = {"stream": True, "stream_options": {"include_usage": True}}
    drive.record(
        [
            ("openai", lambda: ask(GPT, "plain")),
            ("openai_cached", lambda: ask(GPT, "cached")),
            ("openai_reasoning", lambda: ask(GPT, "reasoning")),
            ("openai_stream_cached", lambda: ask(GPT, "cached", **counted)),
            ("openai_stream_uncounted", lambda: ask(GPT, "cached", stream=True)),
            ("anthropic_cache_write", lambda: ask(CLAUDE, "cache_write")),
            ("anthropic_stream_cached", lambda: ask(CLAUDE, "cached", **counted)),
            ("bedrock_cache_write", lambda: ask(BEDROCK, "cache_write")),
            ("embeddings", embed),
            ("error_rate_limited", lambda: ask(GPT, "rate_limited")),
        ],
        flush,
    )


if __name__ == "__main__":
    main(sys.argv[1])
