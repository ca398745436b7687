"""Records the LiteLLM proxy with its callback `otel`: asked over plain HTTP, and by a client that is traced itself."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drive

EXPORT_MS, START_SECONDS_MAX = 200, 90
ANSWERED_SECONDS = 1.5  # its callbacks run after the answer, and its spans are exported after these


def configuration() -> str:
    """JSON is YAML."""
    openai = {"api_base": f"{drive.PROVIDER}/v1", "api_key": "none"}
    claude = {"api_base": drive.PROVIDER, "api_key": "none"}
    models = [
        {"model_name": "gpt", "litellm_params": {"model": "openai/" + drive.GPT} | openai},
        {"model_name": "claude", "litellm_params": {"model": "anthropic/" + drive.CLAUDE} | claude},
    ]
    settings = {"callbacks": ["otel"], "num_retries": 0}
    return json.dumps(
        {"model_list": models, "litellm_settings": settings, "general_settings": {"master_key": "sk-none"}}
    )


@contextlib.contextmanager
def proxy() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    exported = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OTEL_EXPORTER": "otlp_http",
        "OTEL_ENDPOINT": drive.RECORDER,
        "OTEL_SERVICE_NAME": "gateway",
        "OTEL_BSP_SCHEDULE_DELAY": str(EXPORT_MS),
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "proxy.yaml"
        file.write_text(configuration(), "utf-8")
        command = [str(Path(sys.executable).with_name("litellm")), "--config", str(file), "--host", "127.0.0.1"]
        running = subprocess.Popen(
            [*command, "--port", str(port)], env=os.environ | exported, cwd=folder, stdout=subprocess.DEVNULL
        )
        try:
            _wait(port)
            yield port
        finally:
            running.terminate()
            running.wait(20)


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/health/liveliness")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.3)
    raise TimeoutError("the proxy did not start")


def main(name: str) -> None:
    flush_client = drive.telemetry({"service.name": "application"})
    with proxy() as port:

        def ask(model: str, scenario: str, **more: Any) -> None:
            body = {"model": model, "messages": drive.user(scenario), "user": "user-7"} | more
            headers = {"authorization": "Bearer sk-none", "content-type": "application/json"}
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            connection.getresponse().read()
            connection.close()

        def flush() -> None:
            time.sleep(ANSWERED_SECONDS)
            flush_client()

        counted = {"stream": True, "stream_options": {"include_usage": True}}
        drive.record(
            [
                ("openai", lambda: ask("gpt", "plain")),
                ("openai_cached", lambda: ask("gpt", "cached", metadata={"tags": ["blue"]})),
                ("openai_stream_cached", lambda: ask("gpt", "cached", **counted)),
                ("anthropic_cache_write", lambda: ask("claude", "cache_write")),
                ("anthropic_stream_cached", lambda: ask("claude", "cached", **counted)),
                ("error_rate_limited", lambda: ask("gpt", "rate_limited")),
                ("seen_by_the_client_too", lambda: traced(port)),
            ],
            flush,
        )


def traced(port: int) -> None:
    """The application has a span around the call, its client one within, and hands its trace to the proxy."""
    import openai
    from opentelemetry import propagate, trace
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-none", max_retries=0)
    with trace.get_tracer("application").start_as_current_span("answer"):
        headers: dict[str, str] = {}
        propagate.inject(headers)
        client.chat.completions.create(model="gpt", messages=drive.user("cached"), extra_headers=headers)


if __name__ == "__main__":
    main(sys.argv[1])
