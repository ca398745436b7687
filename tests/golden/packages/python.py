"""Records one Python instrumentation package: `python python.py <name>`, inside its environment.

In: the name of a row of `PACKAGES`. Out: OTLP to the recorder (see `drive`).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import drive

# name -> (module of the instrumentor, its class, the cases that it is driven through)
PACKAGES: dict[str, tuple[str, str, Callable[[], list[drive.Case]]]] = {
    "genai-openai": ("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor", drive.openai_cases),
    "genai-anthropic": (
        "opentelemetry.instrumentation.genai.anthropic",
        "AnthropicInstrumentor",
        drive.anthropic_cases,
    ),
    "anthropic-sdk": ("", "", drive.anthropic_cases),  # it traces itself
    "genai-bedrock": ("opentelemetry.instrumentation.genai.bedrock", "BedrockInstrumentor", drive.bedrock_cases),
    "genai-langchain": (
        "opentelemetry.instrumentation.genai.langchain",
        "LangChainInstrumentor",
        drive.langchain_cases,
    ),
    "google-genai": (
        "opentelemetry.instrumentation.google_genai",
        "GoogleGenAiSdkInstrumentor",
        drive.google_cases,
    ),
    "openai-v2": ("opentelemetry.instrumentation.openai_v2", "OpenAIInstrumentor", drive.openai_cases),
    "botocore": ("opentelemetry.instrumentation.botocore", "BotocoreInstrumentor", drive.bedrock_cases),
    "openllmetry-openai": ("opentelemetry.instrumentation.openai", "OpenAIInstrumentor", drive.openai_cases),
    "openllmetry-anthropic": (
        "opentelemetry.instrumentation.anthropic",
        "AnthropicInstrumentor",
        drive.anthropic_cases,
    ),
    "openllmetry-bedrock": ("opentelemetry.instrumentation.bedrock", "BedrockInstrumentor", drive.bedrock_cases),
    "openllmetry-google": (
        "opentelemetry.instrumentation.google_generativeai",
        "GoogleGenerativeAiInstrumentor",
        drive.google_cases,
    ),
    "openllmetry-langchain": (
        "opentelemetry.instrumentation.langchain",
        "LangchainInstrumentor",
        drive.langchain_cases,
    ),
    "openllmetry-mistralai": (
        "opentelemetry.instrumentation.mistralai",
        "MistralAiInstrumentor",
        drive.mistral_cases,
    ),
    "openllmetry-cohere": ("opentelemetry.instrumentation.cohere", "CohereInstrumentor", drive.cohere_cases),
    "openllmetry-ollama": ("opentelemetry.instrumentation.ollama", "OllamaInstrumentor", drive.ollama_cases),
    "openllmetry-groq": ("opentelemetry.instrumentation.groq", "GroqInstrumentor", drive.groq_cases),
    "openinference-openai": ("openinference.instrumentation.openai", "OpenAIInstrumentor", drive.openai_cases),
    "openinference-anthropic": (
        "openinference.instrumentation.anthropic",
        "AnthropicInstrumentor",
        drive.anthropic_cases,
    ),
    "openinference-bedrock": ("openinference.instrumentation.bedrock", "BedrockInstrumentor", drive.bedrock_cases),
    "openinference-google-genai": (
        "openinference.instrumentation.google_genai",
        "GoogleGenAIInstrumentor",
        drive.google_cases,
    ),
    "openinference-langchain": (
        "openinference.instrumentation.langchain",
        "LangChainInstrumentor",
        drive.langchain_cases,
    ),
    "openinference-mistralai": (
        "openinference.instrumentation.mistralai",
        "MistralAIInstrumentor",
        drive.mistral_cases,
    ),
    "openinference-groq": ("openinference.instrumentation.groq", "GroqInstrumentor", drive.groq_cases),
}


def main(name: str) -> None:
    """Switch the instrumentation on and run its cases."""
    module, instrumentor, cases = PACKAGES[name.removeprefix("past-").removesuffix("-event").removesuffix("-latest")]
    flush = drive.telemetry()
    if module:
        getattr(importlib.import_module(module), instrumentor)().instrument()
    drive.record(cases(), flush)


if __name__ == "__main__":
    main(sys.argv[1])
