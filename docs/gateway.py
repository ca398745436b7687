"""The page of the gateway: its paths, its file, who may ask.

In: the tables of known providers and of the keys of `gateway.toml`. Out: the lines of `docs/gateway.md`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from tachograph.capture.gateway.settings import (
    ARM_KEYS,
    EXPERIMENT_KEYS,
    GATEWAY_KEYS,
    ROUTE_KEYS,
    ArmSettings,
    ExperimentSettings,
    GatewaySettings,
    Key,
    RouteSettings,
)
from tachograph.wire.routes import ASKED, UPSTREAMS

EXAMPLE = """\
[[route]]                              # a server of one's own
prefix = "/vllm"
url = "http://10.0.0.5:8000"
provider = "vllm"

[[route]]                              # a known prefix, told more
prefix = "/openai"
require = ["team"]                     # without x-tachograph-team: 400
retries = 2                            # each attempt is a Call

[[route]]
prefix = "/bedrock"
sign = true
places = ["us-east-1", "eu-central-1"]

[[experiment]]
name = "cheaper"
route = "/openai"
sticky_by = "user"
arms = [
  { name = "now", weight = 90 },
  { name = "mini", weight = 10, model = "gpt-5-mini" },
  { name = "own", shadow = true, weight = 5, url = "http://10.0.0.5:8000", provider = "vllm", model = "llama-3.3-70b" },
]
"""

CLIENTS = (
    ("openai", "`OpenAI(base_url=GATEWAY + '/openai/v1')`"),
    ("Azure", "`AzureOpenAI(azure_endpoint=GATEWAY + '/azure/RESOURCE')`"),
    ("anthropic", "`Anthropic(base_url=GATEWAY + '/anthropic')`"),
    ("google-genai", "`Client(http_options={'base_url': GATEWAY + '/gemini'})`; Vertex: `GATEWAY + '/vertex'`"),
    ("boto3", "`client('bedrock-runtime', endpoint_url=GATEWAY + '/bedrock/REGION')`"),
    ("mistralai", "`Mistral(server_url=GATEWAY + '/mistral')`"),
    ("cohere", "`ClientV2(base_url=GATEWAY + '/cohere')`"),
    ("groq", "`Groq(base_url=GATEWAY + '/groq')`"),
    ("together", "`Together(base_url=GATEWAY + '/together/v1')`"),
    ("ollama", "`Client(host=GATEWAY + '/ollama')`"),
    ("huggingface_hub", "`InferenceClient(base_url=GATEWAY + '/huggingface/v1')`"),
    ("xAI, DeepSeek, Fireworks, OpenRouter, ...", "`OpenAI(base_url=...)`: the provider's own URL, its host replaced"),
)


def gateway_page() -> Iterator[str]:
    """The whole page."""
    yield from ("# Gateway", "")
    yield "An Envoy between clients and models, for every language and every client that can change a base URL."
    yield "`tachograph gateway` starts it, and `tachograph up` does so too; the setting `gateway` says where."
    yield ""
    yield "One rule: the gateway and the prefix stand in place of the provider's scheme and host. What follows, headers"
    yield "and bodies are the provider's own."
    yield from ("", "| client | told |", "|---|---|")
    yield from (f"| {name} | {told} |" for name, told in CLIENTS)
    yield from _prefixes()
    yield from _places()
    yield from _keys()
    yield from _file()
    yield from _experiments()
    yield from _who()


def _prefixes() -> Iterator[str]:
    yield from ("", "## Prefixes", "")
    yield "`usage`: a stream is asked for its usage where the client did not (`include_usage`)."
    yield from ("", "| prefix | goes to | provider | key | usage |", "|---|---|---|---|---|")
    for upstream in UPSTREAMS:
        place = f"/{{{upstream.place}}}" if upstream.place and not upstream.found else ""
        asked = "asked for" if upstream.provider in ASKED else ""
        prefix = f"`{upstream.prefix}{place}`"
        yield f"| {prefix} | `{upstream.url}` | `{upstream.provider}` | `{upstream.key_header}` | {asked} |"


def _places() -> Iterator[str]:
    yield ""
    yield "A resource or a region is the next part of the path. Vertex AI's location is found where its API has it"
    yield "(`/projects/P/locations/LOCATION/`). No place can hold a dot, so no request leaves its row's domain."
    yield "Any other path is answered with 404: the gateway is no open proxy."


def _keys() -> Iterator[str]:
    yield from ("", "## Keys", "")
    yield "The client's key is passed on. With `key_file` the gateway's is sent in its place: Envoy reads it from the"
    yield "mounted file and reads it again when the file is replaced by renaming (as Kubernetes does); it stands in no"
    yield "configuration and no log. Azure resources must then be listed in `places`, else a caller could have the key"
    yield "sent to a resource of his own."
    yield ""
    yield "Bedrock: a Bedrock API key (`AWS_BEARER_TOKEN_BEDROCK`) passes. A signature (SigV4) covers the host that the"
    yield "client sees, so behind any proxy it is void, and the gateway says so with 400. With `sign = true` it signs"
    yield "itself, with credentials of its own, found where the AWS SDKs look or in `credentials_file`; the client may"
    yield "send any signature or none."


def _file() -> Iterator[str]:
    yield from ("", "## gateway.toml", "")
    yield "Read again when it changes: routes and weights take effect without a restart, and streams run on. A mistake"
    yield "is one line that names the key and the nearest known one, and what was in force stays in force."
    yield from ("", "```toml", *EXAMPLE.splitlines(), "```")
    yield from _table("The file", GATEWAY_KEYS, GatewaySettings)
    yield from _table("[[route]]", ROUTE_KEYS, RouteSettings)
    yield from _table("[[experiment]]", EXPERIMENT_KEYS, ExperimentSettings)
    yield from _table("arms", ARM_KEYS, ArmSettings)


def _table(title: str, keys: Mapping[str, Key], fields: type) -> Iterator[str]:
    defaults = {field.name: field.default for field in dataclasses.fields(fields)}
    yield from ("", f"### {title}", "", "| key | default | meaning |", "|---|---|---|")
    for name, key in keys.items():
        default = defaults.get(name, dataclasses.MISSING)
        plain = default in ("", (), None, dataclasses.MISSING)
        yield f"| `{name}`{'*' if key.required else ''} | {'' if plain else f'`{default!r}`'} | {key.meaning} |"


def _experiments() -> Iterator[str]:
    yield from ("", "## Experiments", "")
    yield "Requests are split by weight. With `sticky_by` the header `x-tachograph-user` or `x-tachograph-conversation`"
    yield "(or what other gateways' clients send in its place) keeps whoever asks with one arm, also when weights"
    yield "change: only as many move as must. A request without it is drawn, as all are without `sticky_by`."
    yield "An arm may ask another model, or another server; there the caller's key is not sent, only that of the arm's"
    yield "`key_file`."
    yield "WebSockets are not split."
    yield ""
    yield "A shadow gets a copy of `weight` percent of the requests. Its answer is discarded and holds nobody up,"
    yield "and it is a Call of its own with its arm's name. Only a route with one URL can have one."


def _who() -> Iterator[str]:
    yield from ("", "## Who may ask", "")
    yield "On loopback everybody on this machine, by the names `localhost`, `127.0.0.1`, `[::1]` and those in `hosts`;"
    yield "pages of other hosts are refused. Beyond it a key: `tachograph key add NAME --scope gateway` prints it once."
    yield "It is sent in `x-tachograph-key`, or where the provider's key would be, where the gateway has that itself."
    yield "Only hashes are kept; Envoy compares them in constant time, also while our own process is down. With"
    yield "`tls_certificate` and `tls_key` the gateway speaks TLS; with `tls_client_ca` a certificate of that authority"
    yield "is needed, and no key. `/tachograph/health` answers anybody."
    yield ""
    yield "Envoy's administration is a socket in the gateway's folder that only its owner can open. Headers that would"
    yield "tell Envoy what to do (`x-envoy-*`) are taken off."
