"""Runs inside the environment of an instrumentation package: client libraries against the simulated provider.

In: GOLDEN_PROVIDER and GOLDEN_RECORDER in the environment, and a function that switches an instrumentation on.
Out: OTLP to the recorder, case by case. Every client is made after the instrumentation is on. An error that a case asks
for is caught and forgotten: it is the telemetry's to tell.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

PROVIDER = os.environ["GOLDEN_PROVIDER"]
RECORDER = os.environ["GOLDEN_RECORDER"]
QUESTION = "What is six times seven? scenario:"
GPT, EMBEDDER, CLAUDE = "gpt-5-mini", "text-embedding-3-small", "claude-sonnet-4-5"
BEDROCK = "anthropic.claude-sonnet-4-5-20250929-v1:0"
GEMINI, MISTRAL, COMMAND, LLAMA = "gemini-2.5-flash", "mistral-large-latest", "command-a-03-2025", "llama3.2"
GROQ = "llama-3.3-70b-versatile"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

Case = tuple[str, Callable[[], Any]]


def user(scenario: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": QUESTION + scenario}]


def mark(path: str) -> None:
    connection = http.client.HTTPConnection(RECORDER.removeprefix("http://"))  # what nobody instruments
    connection.request("POST", f"/{path}")
    connection.getresponse().read()
    connection.close()


def record(cases: Iterable[Case], flush: Callable[[], Any]) -> None:
    """Run each case between its marks; what is exported between them is the case's."""
    for name, run in cases:
        mark(f"case/{name}")
        if name.startswith("error"):
            with contextlib.suppress(Exception):
                run()
        else:
            run()
        flush()
        mark("case")


def telemetry(resource: dict[str, str] | None = None) -> Callable[[], None]:
    """The three signals of the OpenTelemetry SDK, exported over HTTP; returns their flush."""
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    described = Resource.create({"service.name": "golden", **(resource or {})})
    spans = TracerProvider(resource=described)
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{RECORDER}/v1/traces")))
    logs = LoggerProvider(resource=described)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{RECORDER}/v1/logs")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{RECORDER}/v1/metrics"), 3_600_000)
    meters = MeterProvider([reader], resource=described)
    trace.set_tracer_provider(spans)
    _logs.set_logger_provider(logs)
    metrics.set_meter_provider(meters)

    def flush() -> None:
        spans.force_flush()
        logs.force_flush()
        meters.force_flush()

    return flush


def openai_client() -> Any:
    import openai

    return openai.OpenAI(base_url=f"{PROVIDER}/v1", api_key="none", max_retries=0)


def openai_chat(client: Any, scenario: str, **more: Any) -> None:
    answer = client.chat.completions.create(model=GPT, messages=user(scenario), **more)
    if more.get("stream"):
        list(answer)


def openai_responses(client: Any, scenario: str, **more: Any) -> None:
    answer = client.responses.create(model=GPT, input=QUESTION + scenario, **more)
    if more.get("stream"):
        list(answer)


def openai_cases() -> list[Case]:
    """Chat completions, responses and embeddings of the `openai` library."""
    client = openai_client()
    counted = {"stream": True, "stream_options": {"include_usage": True}}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}
    return [
        ("chat", lambda: openai_chat(client, "plain")),
        ("chat_cached", lambda: openai_chat(client, "cached")),
        ("chat_cache_write", lambda: openai_chat(client, "cache_write")),
        ("chat_reasoning", lambda: openai_chat(client, "reasoning")),
        ("chat_tools", lambda: openai_chat(client, "tools", tools=[tool])),
        ("chat_stream", lambda: openai_chat(client, "plain", **counted)),
        ("chat_stream_cached", lambda: openai_chat(client, "cached", **counted)),
        ("chat_stream_uncounted", lambda: openai_chat(client, "cached", stream=True)),
        ("responses", lambda: openai_responses(client, "plain")),
        ("responses_everything", lambda: openai_responses(client, "everything")),
        ("responses_stream", lambda: openai_responses(client, "plain", stream=True)),
        ("responses_stream_cached", lambda: openai_responses(client, "cached", stream=True)),
        ("embeddings", lambda: client.embeddings.create(model=EMBEDDER, input=QUESTION + "plain")),
        ("retried", lambda: openai_chat(client.with_options(max_retries=1), "rate_limited_once")),
        ("error_rate_limited", lambda: openai_chat(client, "rate_limited")),
        ("error_server", lambda: openai_chat(client, "server_error", **counted)),
    ]


def anthropic_client() -> Any:
    import anthropic

    return anthropic.Anthropic(base_url=PROVIDER, api_key="none", max_retries=0)


def anthropic_messages(client: Any, scenario: str, **more: Any) -> None:
    answer = client.messages.create(model=CLAUDE, max_tokens=256, messages=user(scenario), **more)
    if more.get("stream"):
        list(answer)


def anthropic_helper(client: Any, scenario: str) -> None:
    with client.messages.stream(model=CLAUDE, max_tokens=256, messages=user(scenario)) as stream:
        list(stream.text_stream)
        stream.get_final_message()


def anthropic_cases() -> list[Case]:
    """Messages of the `anthropic` library."""
    client = anthropic_client()
    tool = {"name": "get_weather", "input_schema": CITY}
    return [
        ("messages", lambda: anthropic_messages(client, "plain")),
        ("messages_cached", lambda: anthropic_messages(client, "cached")),
        ("messages_cache_write", lambda: anthropic_messages(client, "cache_write")),
        ("messages_everything", lambda: anthropic_messages(client, "everything")),
        ("messages_tools", lambda: anthropic_messages(client, "tools", tools=[tool])),
        ("messages_stream", lambda: anthropic_messages(client, "plain", stream=True)),
        ("messages_stream_cached", lambda: anthropic_messages(client, "cached", stream=True)),
        ("messages_stream_cache_write", lambda: anthropic_messages(client, "cache_write", stream=True)),
        ("messages_stream_helper", lambda: anthropic_helper(client, "cached")),
        ("retried", lambda: anthropic_messages(client.with_options(max_retries=1), "rate_limited_once")),
        ("error_rate_limited", lambda: anthropic_messages(client, "rate_limited")),
        ("error_bad_request", lambda: anthropic_messages(client, "bad_request")),
    ]


def bedrock_client() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "bedrock-runtime",
        endpoint_url=PROVIDER,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )


def converse(client: Any, scenario: str, stream: bool = False, **more: Any) -> None:
    content = [{"role": "user", "content": [{"text": QUESTION + scenario}]}]
    call = client.converse_stream if stream else client.converse
    answer = call(modelId=BEDROCK, messages=content, inferenceConfig={"maxTokens": 256}, **more)
    if stream:
        list(answer["stream"])


def invoke(client: Any, scenario: str, stream: bool = False) -> None:
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 256, "messages": user(scenario)}
    call = client.invoke_model_with_response_stream if stream else client.invoke_model
    answer = call(modelId=BEDROCK, body=json.dumps(body), contentType="application/json")
    list(answer["body"]) if stream else answer["body"].read()


def bedrock_cases() -> list[Case]:
    """Converse and InvokeModel of `boto3`."""
    client = bedrock_client()
    specification = {"toolSpec": {"name": "get_weather", "inputSchema": {"json": CITY}}}
    return [
        ("converse", lambda: converse(client, "plain")),
        ("converse_cached", lambda: converse(client, "cached")),
        ("converse_cache_write", lambda: converse(client, "cache_write")),
        ("converse_tools", lambda: converse(client, "tools", toolConfig={"tools": [specification]})),
        ("converse_stream", lambda: converse(client, "plain", True)),
        ("converse_stream_cached", lambda: converse(client, "cached", True)),
        ("invoke", lambda: invoke(client, "plain")),
        ("invoke_cache_write", lambda: invoke(client, "cache_write")),
        ("invoke_stream", lambda: invoke(client, "plain", True)),
        ("invoke_stream_cached", lambda: invoke(client, "cached", True)),
        ("error_rate_limited", lambda: converse(client, "rate_limited")),
    ]


def google_generate(client: Any, scenario: str, stream: bool = False, **more: Any) -> None:
    call = client.models.generate_content_stream if stream else client.models.generate_content
    answer = call(model=GEMINI, contents=QUESTION + scenario, **more)
    if stream:
        list(answer)


def google_cases() -> list[Case]:
    """`google-genai`."""
    from google import genai

    client = genai.Client(api_key="none", http_options={"base_url": PROVIDER})
    tools = {"tools": [{"function_declarations": [{"name": "get_weather", "parameters": CITY}]}]}
    embedded = {"model": "gemini-embedding-001", "contents": QUESTION + "plain"}
    return [
        ("generate", lambda: google_generate(client, "plain")),
        ("generate_cached", lambda: google_generate(client, "cached")),
        ("generate_everything", lambda: google_generate(client, "everything")),
        ("generate_tools", lambda: google_generate(client, "tools", config=tools)),
        ("generate_stream", lambda: google_generate(client, "plain", True)),
        ("generate_stream_everything", lambda: google_generate(client, "everything", True)),
        ("embeddings", lambda: client.models.embed_content(**embedded)),
        ("error_rate_limited", lambda: google_generate(client, "rate_limited")),
    ]


def mistral_chat(client: Any, scenario: str, stream: bool = False) -> None:
    call = client.chat.stream if stream else client.chat.complete
    answer = call(model=MISTRAL, messages=user(scenario))
    if stream:
        list(answer)


def mistral_cases() -> list[Case]:
    """`mistralai`."""
    try:
        from mistralai.client import Mistral
    except ImportError:
        from mistralai import Mistral

    client = Mistral(api_key="none", server_url=f"{PROVIDER}/mistral")
    return [
        ("chat", lambda: mistral_chat(client, "plain")),
        ("chat_cached", lambda: mistral_chat(client, "cached")),
        ("chat_stream", lambda: mistral_chat(client, "plain", True)),
        ("chat_stream_cached", lambda: mistral_chat(client, "cached", True)),
        ("error_bad_request", lambda: mistral_chat(client, "bad_request")),
    ]


def groq_cases() -> list[Case]:
    """`groq`."""
    import groq

    client = groq.Groq(api_key="none", base_url=f"{PROVIDER}/groq", max_retries=0)

    def chat(scenario: str, stream: bool = False) -> None:
        answer = client.chat.completions.create(model=GROQ, messages=user(scenario), stream=stream)
        if stream:
            list(answer)

    return [
        ("chat", lambda: chat("plain")),
        ("chat_cached", lambda: chat("cached")),
        ("chat_stream", lambda: chat("plain", True)),
        ("chat_stream_cached", lambda: chat("cached", True)),
        ("error_rate_limited", lambda: chat("rate_limited")),
    ]


def cohere_cases() -> list[Case]:
    """`cohere`, version 2 of its API."""
    import cohere

    client = cohere.ClientV2(api_key="none", base_url=PROVIDER)

    def chat(scenario: str) -> None:
        client.chat(model=COMMAND, messages=user(scenario), request_options={"max_retries": 0})

    def stream(scenario: str) -> None:
        list(client.chat_stream(model=COMMAND, messages=user(scenario)))

    return [
        ("chat", lambda: chat("plain")),
        ("chat_stream", lambda: stream("plain")),
        ("error_bad_request", lambda: chat("bad_request")),
    ]


def ollama_cases() -> list[Case]:
    """`ollama`."""
    import ollama

    client = ollama.Client(host=PROVIDER)

    def chat(scenario: str, stream: bool = False) -> None:
        answer = client.chat(model=LLAMA, messages=user(scenario), stream=stream)
        if stream:
            list(answer)

    return [
        ("chat", lambda: chat("plain")),
        ("chat_stream", lambda: chat("plain", True)),
        ("error_server", lambda: chat("server_error")),
    ]


def langchain_cases() -> list[Case]:
    """LangChain with the clients of OpenAI and Anthropic below it, alone and in a chain."""
    from langchain_anthropic import ChatAnthropic
    from langchain_core.output_parsers import StrOutputParser
    from langchain_openai import ChatOpenAI

    gpt = ChatOpenAI(model=GPT, base_url=f"{PROVIDER}/v1", api_key="none", max_retries=0, stream_usage=True)
    claude = ChatAnthropic(model=CLAUDE, base_url=PROVIDER, api_key="none", max_retries=0, max_tokens=256)
    return [
        ("openai", lambda: gpt.invoke(QUESTION + "plain")),
        ("openai_cached", lambda: gpt.invoke(QUESTION + "cached")),
        ("openai_stream_cached", lambda: list(gpt.stream(QUESTION + "cached"))),
        ("openai_chain", lambda: (gpt | StrOutputParser()).invoke(QUESTION + "reasoning")),
        ("anthropic_cache_write", lambda: claude.invoke(QUESTION + "cache_write")),
        ("anthropic_stream_cached", lambda: list(claude.stream(QUESTION + "cached"))),
        ("error_rate_limited", lambda: gpt.invoke(QUESTION + "rate_limited")),
    ]
