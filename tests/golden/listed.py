"""The packages whose telemetry is recorded.

A row says: where it is installed, which script runs it with which settings, and what a reader of its recordings must
know.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Environment -> how it is built.
GROUPS = {
    "shared": "uv",
    "older": "uv",
    "past": "uv",
    "openai-v2": "uv",
    "litellm": "uv",
    "litellm-proxy": "uv",
    "openlit": "uv",
    "microsoft": "uv",
    "node": "node",
    "spring": "maven",
}


# Those that install in seconds; they are recorded anew in each run of the long tests.
QUICK_GROUPS = ("shared", "older", "past", "node")


@dataclass(frozen=True, kw_only=True)
class Package:
    """One instrumentation package. distribution: whose version is written into the recordings."""

    name: str
    distribution: str
    group: str = "shared"
    script: str = "python.py"
    environment: dict[str, str] = field(default_factory=dict)
    halves: bool = False


PACKAGES = (
    Package(name="genai-openai", distribution="opentelemetry-instrumentation-genai-openai"),
    Package(
        name="genai-openai-event",
        distribution="opentelemetry-instrumentation-genai-openai",
        environment={
            "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
        },
    ),
    Package(
        name="openai-v2-latest",
        distribution="opentelemetry-instrumentation-openai-v2",
        group="openai-v2",
        environment={"OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental"},
    ),
    Package(name="genai-anthropic", distribution="opentelemetry-instrumentation-genai-anthropic"),
    Package(name="genai-bedrock", distribution="opentelemetry-instrumentation-genai-bedrock"),
    Package(name="genai-langchain", distribution="opentelemetry-instrumentation-genai-langchain"),
    Package(name="google-genai", distribution="opentelemetry-instrumentation-google-genai", group="older"),
    Package(name="openai-v2", distribution="opentelemetry-instrumentation-openai-v2", group="openai-v2"),
    Package(name="botocore", distribution="opentelemetry-instrumentation-botocore"),
    Package(name="anthropic-sdk", distribution="anthropic"),
    Package(name="openllmetry-openai", distribution="opentelemetry-instrumentation-openai"),
    Package(name="openllmetry-anthropic", distribution="opentelemetry-instrumentation-anthropic"),
    Package(name="openllmetry-bedrock", distribution="opentelemetry-instrumentation-bedrock"),
    Package(name="openllmetry-google", distribution="opentelemetry-instrumentation-google-generativeai"),
    Package(name="openllmetry-langchain", distribution="opentelemetry-instrumentation-langchain"),
    Package(name="openllmetry-mistralai", distribution="opentelemetry-instrumentation-mistralai", group="older"),
    Package(name="openllmetry-cohere", distribution="opentelemetry-instrumentation-cohere", group="older"),
    Package(name="openllmetry-ollama", distribution="opentelemetry-instrumentation-ollama"),
    Package(name="openllmetry-groq", distribution="opentelemetry-instrumentation-groq"),
    Package(name="openinference-openai", distribution="openinference-instrumentation-openai"),
    Package(name="openinference-anthropic", distribution="openinference-instrumentation-anthropic"),
    Package(name="openinference-bedrock", distribution="openinference-instrumentation-bedrock"),
    Package(name="openinference-google-genai", distribution="openinference-instrumentation-google-genai"),
    Package(name="openinference-langchain", distribution="openinference-instrumentation-langchain"),
    Package(name="openinference-mistralai", distribution="openinference-instrumentation-mistralai"),
    Package(name="openinference-groq", distribution="openinference-instrumentation-groq"),
    Package(name="pydantic-ai", distribution="pydantic-ai-slim", script="pydantic_ai_agent.py"),
    Package(name="logfire-openai", distribution="logfire", script="logfire_clients.py", halves=True),
    Package(name="logfire-anthropic", distribution="logfire", script="logfire_clients.py", halves=True),
    Package(name="langfuse", distribution="langfuse", script="langfuse_sdk.py"),
    Package(name="litellm", distribution="litellm", group="litellm", script="litellm_callback.py"),
    Package(
        name="litellm-v2",
        distribution="litellm",
        group="litellm",
        script="litellm_callback.py",
        environment={"LITELLM_OTEL_V2": "true"},
    ),
    Package(name="litellm-proxy", distribution="litellm", group="litellm-proxy", script="litellm_proxy.py"),
    Package(
        name="litellm-proxy-v2",
        distribution="litellm",
        group="litellm-proxy",
        script="litellm_proxy.py",
        environment={"LITELLM_OTEL_V2": "true"},
    ),
    Package(
        name="openinference-litellm",
        distribution="openinference-instrumentation-litellm",
        group="litellm",
        script="litellm_callback.py",
    ),
    Package(
        name="openlit-openai",
        distribution="openlit",
        group="openlit",
        script="openlit_all.py",
    ),
    Package(name="openlit-anthropic", distribution="openlit", group="openlit", script="openlit_all.py"),
    Package(name="agent-framework", distribution="agent-framework-core", group="microsoft", script="agents.py"),
    Package(name="semantic-kernel", distribution="semantic-kernel", group="microsoft", script="kernel.py"),
    Package(name="vercel-ai-4", distribution="ai4", group="node"),
    Package(name="vercel-ai-5", distribution="ai5", group="node"),
    Package(name="vercel-ai-6", distribution="ai6", group="node"),
    Package(name="vercel-ai-7", distribution="ai7", group="node"),
    Package(name="vercel-ai-7-legacy", distribution="ai7", group="node"),
    Package(name="spring-ai", distribution="org.springframework.ai:spring-ai-bom", group="spring"),
    # Of one or two years ago: their users have not gone.
    Package(name="past-openllmetry-openai", distribution="opentelemetry-instrumentation-openai", group="past"),
    Package(name="past-openllmetry-anthropic", distribution="opentelemetry-instrumentation-anthropic", group="past"),
    Package(name="past-openllmetry-bedrock", distribution="opentelemetry-instrumentation-bedrock", group="past"),
    Package(name="past-openinference-openai", distribution="openinference-instrumentation-openai", group="past"),
    Package(name="past-openinference-anthropic", distribution="openinference-instrumentation-anthropic", group="past"),
    Package(name="past-openai-v2", distribution="opentelemetry-instrumentation-openai-v2", group="past"),
    Package(name="past-langfuse", distribution="langfuse", group="past", script="langfuse_sdk.py"),
    Package(name="past-pydantic-ai", distribution="pydantic-ai-slim", group="past", script="pydantic_ai_agent.py"),
)
