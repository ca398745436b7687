"""Who hosts: host name -> `gen_ai.provider.name`.

OpenTelemetry's vocabulary where it has a word, else the provider's own name in its spelling style.
What it must never know: the meaning of any body.
"""

from __future__ import annotations

import functools

# (suffix of the host, provider); the first match wins.
HOSTS: tuple[tuple[str, str], ...] = (
    ("openai.azure.com", "azure.ai.openai"),
    ("cognitiveservices.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("models.ai.azure.com", "azure.ai.inference"),
    ("models.inference.ai.azure.com", "azure.ai.inference"),
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("rep.googleapis.com", "gcp.vertex_ai"),
    ("api.mistral.ai", "mistral_ai"),
    ("codestral.mistral.ai", "mistral_ai"),
    ("cohere.com", "cohere"),
    ("cohere.ai", "cohere"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x_ai"),
    ("together.xyz", "together"),
    ("together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("openrouter.ai", "openrouter"),
    ("api.perplexity.ai", "perplexity"),
    ("ollama.com", "ollama"),
    ("api.cerebras.ai", "cerebras"),
    ("baseten.co", "baseten"),
    ("huggingface.co", "huggingface"),
    ("huggingface.cloud", "huggingface"),
    ("aliyuncs.com", "alibaba"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.moonshot.cn", "moonshot_ai"),
    ("api.z.ai", "zai"),
    ("bigmodel.cn", "zai"),
    ("api.voyageai.com", "voyageai"),
    ("api.writer.com", "writer"),
    ("xiaomimimo.com", "xiaomi"),
    ("crusoecloud.com", "crusoe"),
    ("heroku.com", "heroku"),
    ("snowflakecomputing.com", "snowflake"),
    ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
    ("api.sambanova.ai", "sambanova"),
    ("api.novita.ai", "novita"),
    ("deepinfra.com", "deepinfra"),
    ("api.hyperbolic.xyz", "hyperbolic"),
    ("api.studio.nebius.com", "nebius"),
    ("nebius.com", "nebius"),
    ("api.minimax.io", "minimax"),
    ("api.minimaxi.com", "minimax"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("api.cloudflare.com", "cloudflare"),
    ("databricks.com", "databricks"),
    ("models.github.ai", "github"),
    ("api.githubcopilot.com", "github"),
    ("api.replicate.com", "replicate"),
    ("pollinations.ai", "pollinations"),
)

# Spellings by which routes, recordings and settings name a provider -> our word.
ALIASES: dict[str, str] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock-mantle": "aws.bedrock",
    "vertex": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "moonshot": "moonshot_ai",
    "moonshotai": "moonshot_ai",
    "llamacpp": "llama_cpp",
    "llama.cpp": "llama_cpp",
    "lmstudio": "lm_studio",
    "voyage": "voyageai",
    "z.ai": "zai",
    "dashscope": "alibaba",
    "togetherai": "together",
    "fireworks-ai": "fireworks",
}

_PORTS: dict[str, str] = {":11434": "ollama"}


def provider(host: str, url: str, told: str | None) -> str:
    """The provider of an exchange: as the door was told, else by host, else `unknown`.

    A well-known host outranks nothing that was told: a route's own word is the operator's word.
    """
    if told:
        return ALIASES.get(told.lower(), told.lower())
    word = _by_host(host)
    if word is not None:
        return word
    if host.endswith((".amazonaws.com", ".api.aws", ".amazonaws.com.cn")) and "bedrock" in host:
        return "aws.bedrock"
    for port, word in _PORTS.items():
        if host and f"{host}{port}/" in url + "/":
            return word
    return "unknown"


@functools.lru_cache(maxsize=1024)  # a process calls few hosts, and often
def _by_host(host: str) -> str | None:
    return next((word for suffix, word in HOSTS if host == suffix or host.endswith(("." + suffix, "-" + suffix))), None)
