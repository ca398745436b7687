"""Where providers are: path prefix -> URL, provider, the header that carries a key, and whether usage is asked for.

In: nothing. Out: `UPSTREAMS`, what a gateway may send requests to without being told, and `ASKED`.
What it must never know: a proxy, a socket, the meaning of any body.

One rule for all: a client that is told a base URL of a provider is told the gateway and the prefix in place of the
scheme and the host. Whatever follows stays as the provider has it, so every client library keeps its own habits.
"""

from __future__ import annotations

from dataclasses import dataclass

# Who counts a stream only where the request asks for it. `unknown` is a server of OpenAI's kind on a host that nobody
# knows; one that refuses is not asked again.
ASKED = frozenset(
    ("openai", "azure.ai.openai", "vllm", "sglang", "ollama", "tgi", "alibaba", "huggingface", "x_ai", "unknown")
)

# What may stand in the name of a host. No dot can, so a host never leaves the domain that its row names.
PLACES: dict[str, str] = {
    "resource": "[A-Za-z0-9][A-Za-z0-9-]*",
    "region": "[a-z]{2}(?:-[a-z]+){1,2}-[0-9]{1,2}",
    "location": "[a-z]+-[a-z]+[0-9]{1,2}",
    "continent": "us|eu",
    "zone": "[a-z]{2}-[a-z]+",
}


@dataclass(frozen=True, slots=True)
class Upstream:
    """One prefix. place: a key of PLACES that stands in `url` in braces, and that the path says after the prefix.

    found: a pattern of what follows the prefix, with the place in braces, where the path has it further back; then it
    stays in the path. Of rows with one prefix the first that fits is taken.
    """

    prefix: str
    url: str
    provider: str
    key_header: str = "authorization"
    place: str = ""
    found: str = ""


_VERTEX = "/[^/?]+/projects/[^/?]+/locations/"

UPSTREAMS: tuple[Upstream, ...] = (
    Upstream("/openai", "https://api.openai.com", "openai"),
    Upstream("/anthropic", "https://api.anthropic.com", "anthropic", "x-api-key"),
    Upstream("/azure", "https://{resource}.openai.azure.com", "azure.ai.openai", "api-key", "resource"),
    Upstream("/azure-ai", "https://{resource}.services.ai.azure.com", "azure.ai.inference", "api-key", "resource"),
    Upstream(
        "/azure-cognitive", "https://{resource}.cognitiveservices.azure.com", "azure.ai.openai", "api-key", "resource"
    ),
    Upstream("/gemini", "https://generativelanguage.googleapis.com", "gcp.gemini", "x-goog-api-key"),
    Upstream(
        "/vertex",
        "https://{location}-aiplatform.googleapis.com",
        "gcp.vertex_ai",
        place="location",
        found=_VERTEX + "{location}",
    ),
    Upstream(
        "/vertex",
        "https://aiplatform.{continent}.rep.googleapis.com",
        "gcp.vertex_ai",
        place="continent",
        found=_VERTEX + "{continent}",
    ),
    Upstream("/vertex", "https://aiplatform.googleapis.com", "gcp.vertex_ai"),
    Upstream("/bedrock", "https://bedrock-runtime.{region}.amazonaws.com", "aws.bedrock", place="region"),
    Upstream("/bedrock-mantle", "https://bedrock-mantle.{region}.api.aws", "aws.bedrock", place="region"),
    Upstream("/mistral", "https://api.mistral.ai", "mistral_ai"),
    Upstream("/codestral", "https://codestral.mistral.ai", "mistral_ai"),
    Upstream("/cohere", "https://api.cohere.com", "cohere"),
    Upstream("/xai", "https://api.x.ai", "x_ai"),
    Upstream("/deepseek", "https://api.deepseek.com", "deepseek"),
    Upstream("/groq", "https://api.groq.com", "groq"),
    Upstream("/together", "https://api.together.xyz", "together"),
    Upstream("/fireworks", "https://api.fireworks.ai", "fireworks"),
    Upstream("/openrouter", "https://openrouter.ai", "openrouter"),
    Upstream("/ollama", "http://127.0.0.1:11434", "ollama"),
    Upstream("/ollama-cloud", "https://ollama.com", "ollama"),
    Upstream("/perplexity", "https://api.perplexity.ai", "perplexity"),
    Upstream("/cerebras", "https://api.cerebras.ai", "cerebras"),
    Upstream("/huggingface", "https://router.huggingface.co", "huggingface"),
    Upstream("/nvidia", "https://integrate.api.nvidia.com", "nvidia"),
    Upstream("/sambanova", "https://api.sambanova.ai", "sambanova"),
    Upstream("/deepinfra", "https://api.deepinfra.com", "deepinfra"),
    Upstream("/novita", "https://api.novita.ai", "novita"),
    Upstream("/hyperbolic", "https://api.hyperbolic.xyz", "hyperbolic"),
    Upstream("/nebius", "https://api.studio.nebius.com", "nebius"),
    Upstream("/baseten", "https://inference.baseten.co", "baseten"),
    Upstream("/moonshot", "https://api.moonshot.ai", "moonshot_ai"),
    Upstream("/zai", "https://api.z.ai", "zai"),
    Upstream("/zhipu", "https://open.bigmodel.cn", "zai"),
    Upstream("/alibaba", "https://dashscope.aliyuncs.com", "alibaba"),
    Upstream("/alibaba-intl", "https://dashscope-intl.aliyuncs.com", "alibaba"),
    Upstream("/minimax", "https://api.minimax.io", "minimax"),
    Upstream("/voyage", "https://api.voyageai.com", "voyageai"),
    Upstream("/writer", "https://api.writer.com", "writer"),
    Upstream("/github", "https://models.github.ai", "github"),
    Upstream("/cloudflare", "https://api.cloudflare.com", "cloudflare"),
    Upstream("/replicate", "https://api.replicate.com", "replicate"),
    Upstream("/watsonx", "https://{zone}.ml.cloud.ibm.com", "ibm.watsonx.ai", place="zone"),
)
