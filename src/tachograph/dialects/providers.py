"""How spans spell who hosts a model -> our word.

In: nothing. Out: `PROVIDERS`, folded spellings in lower case. A vendor behind somebody's cloud is named in `VENDORS`.
Source: dialects.md section 2.3, seen in the sources of the emitters.
What it must never know: SQL.
"""

from __future__ import annotations

_FOLDED: dict[str, tuple[str, ...]] = {
    "openai": ("openai.chat", "openai.responses", "openai.completion", "openai.embedding", "text-completion-openai"),
    "azure.ai.openai": (
        "az.ai.openai",
        "azure",
        "azure.openai",
        "azure-openai",
        "azure_openai",
        "azure-openai.chat",
        "azure-openai.responses",
        "azure.chat",
        "azureopenai",
    ),
    "azure.ai.inference": ("az.ai.inference", "azure_ai", "azure_ai_inference"),
    "aws.bedrock": (
        "bedrock",
        "amazon-bedrock",
        "bedrock_converse",
        "bedrock_runtime",
        "aws",
        "amazon",
        "aws_bedrock",
        "aws.anthropic",
        "aws-bedrock",
    ),
    "anthropic": ("anthropic.messages", "claude"),
    "gcp.vertex_ai": (
        "vertex_ai",
        "vertexai",
        "google.vertex",
        "google-vertex",
        "google.vertex.chat",
        "gcp.anthropic",
        "google_vertexai",
        "vertex",
    ),
    "gcp.gemini": (
        "gemini",
        "google",
        "google.generative-ai",
        "google_genai",
        "gcp.gen_ai",
        "google-gla",
        "google_generative_ai",
        "google-genai",
        "google genai",
    ),
    "mistral_ai": ("mistral", "mistralai", "mistral.chat"),
    "x_ai": ("xai", "xai.chat", "xai.responses"),
    "cohere": ("cohere.chat", "cohere_chat"),
    "groq": ("groq.chat",),
    "deepseek": ("deepseek.chat",),
    "ibm.watsonx.ai": ("watsonx", "ibm.watson.ai", "ibm"),
    "moonshot_ai": ("moonshot", "moonshotai", "moonshotai.chat"),
    "vllm": ("hosted_vllm",),
    "together": ("together_ai", "togetherai", "togetherai.chat"),
    "fireworks": ("fireworks_ai", "fireworks-ai", "fireworks.chat"),
    "huggingface": ("hugging_face", "hf"),
    "openrouter": ("openrouter.chat",),
    "perplexity": ("perplexity.chat",),
    "cerebras": ("cerebras.chat",),
    "alibaba": ("dashscope",),
    "zai": ("z.ai", "zhipuai"),
    "ollama": ("ollama.chat", "ollama_chat"),
}

PROVIDERS: dict[str, str] = {spelling: word for word, spellings in _FOLDED.items() for spelling in spellings}

# Spellings that name the vendor together with the host.
VENDORS: dict[str, str] = {"aws.anthropic": "anthropic", "gcp.anthropic": "anthropic"}

# Who sells two lifetimes of a cache entry: where nobody says which, it is priced as the shorter one, and flagged.
LIFETIMES = ("anthropic", "aws.bedrock", "gcp.vertex_ai")

# Where a span does not say who hosts: beginnings of model names -> who makes them. Flagged `provider_assumed`.
MAKERS: dict[str, str] = {
    "gpt-": "openai",
    "chatgpt-": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "text-embedding-": "openai",
    "claude": "anthropic",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "command": "cohere",
    "grok": "x_ai",
    "deepseek": "deepseek",
}

# Words in the names of instrumentation scopes that stand above a client library.
FRAMEWORKS = (
    "langchain",
    "llama_index",
    "llamaindex",
    "crewai",
    "agents",
    "haystack",
    "dspy",
    "agno",
    "smolagents",
    "autogen",
    "google_adk",
    "instructor",
)
