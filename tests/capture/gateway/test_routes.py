"""Which path leads where: pure, and through a real Envoy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxying import Behind, Proxy, eventually, scripted

from tachograph.capture.gateway.routes import Routes, routes
from tachograph.capture.gateway.settings import parsed
from tachograph.capture.sdk import usage
from tachograph.config import SettingsError
from tachograph.wire.providers import provider
from tachograph.wire.routes import ASKED, PLACES, UPSTREAMS

KNOWN = routes(parsed({}))


@pytest.mark.parametrize(
    ("path", "url", "whose"),
    [
        ("/openai/v1/chat/completions", "https://api.openai.com/v1/chat/completions", "openai"),
        ("/anthropic/v1/messages", "https://api.anthropic.com/v1/messages", "anthropic"),
        (
            "/azure/acme-prod/openai/deployments/gpt/chat/completions?api-version=2025-04-01-preview",
            "https://acme-prod.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2025-04-01-preview",
            "azure.ai.openai",
        ),
        (
            "/azure-ai/acme/models/chat/completions",
            "https://acme.services.ai.azure.com/models/chat/completions",
            "azure.ai.inference",
        ),
        (
            "/gemini/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            "gcp.gemini",
        ),
        (
            "/vertex/v1beta1/projects/p/locations/europe-west4/publishers/google/models/g:generateContent",
            "https://europe-west4-aiplatform.googleapis.com"
            "/v1beta1/projects/p/locations/europe-west4/publishers/google/models/g:generateContent",
            "gcp.vertex_ai",
        ),
        (
            "/vertex/v1/projects/p/locations/eu/publishers/anthropic/models/c:rawPredict",
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic/models/c:rawPredict",
            "gcp.vertex_ai",
        ),
        (
            "/vertex/v1/projects/p/locations/global/publishers/google/models/g:generateContent",
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/g:generateContent",
            "gcp.vertex_ai",
        ),
        (
            "/bedrock/us-gov-west-1/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
            "https://bedrock-runtime.us-gov-west-1.amazonaws.com/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse",
            "aws.bedrock",
        ),
        ("/groq/openai/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions", "groq"),
        ("/ollama/api/chat", "http://127.0.0.1:11434/api/chat", "ollama"),
        ("/watsonx/us-south/ml/v1/text/chat", "https://us-south.ml.cloud.ibm.com/ml/v1/text/chat", "ibm.watsonx.ai"),
    ],
)
def test_known_paths(path: str, url: str, whose: str) -> None:
    assert found(KNOWN, path) == (url, whose)


@pytest.mark.parametrize(
    "path",
    [
        "/openai",
        "/openaix/v1/models",
        "/azure/evil.example/openai/v1",
        "/azure/acme.openai.azure.com.evil.example/x",
        "/azure/a@evil.example/x",
        "/azure/a%2eevil/x",
        "/azure//x",
        "/azure/-a/x",
        "/bedrock/evil/model/x",
        "/bedrock/us-east-1.evil.example/model/x",
        "/bedrock/us-east-1",
        "/nobody/v1/models",
    ],
)
def test_paths_that_lead_nowhere(path: str) -> None:
    assert found(KNOWN, path) is None


def found(known: Routes, path: str) -> tuple[str, str] | None:
    name = path.split("/")[1]
    return known.behind(name, path)


def test_every_known_host_is_known_to_the_reader() -> None:
    """The reader would say the same provider without being told."""
    wrong = []
    for upstream in UPSTREAMS:
        url = re.sub("{.*}", "us-east-1", upstream.url)
        host = url.split("/")[2].split(":")[0]
        if provider(host, url + "/v1/chat", None) != upstream.provider:
            wrong.append(upstream.prefix)
    assert wrong == []


def test_no_place_has_a_dot() -> None:
    for name, pattern in PLACES.items():
        assert not re.fullmatch(pattern, "a.b"), name
        assert not re.fullmatch(pattern, "us-east-1/x"), name


def test_who_is_asked_for_usage() -> None:
    asked = {row.name for row in KNOWN.rows if row.variant.include_usage}
    assert {"openai", "azure", "ollama", "xai", "huggingface"} <= asked
    assert not asked & {"anthropic", "groq", "mistral", "bedrock", "gemini", "openrouter"}


def test_a_route_of_ones_own() -> None:
    known = routes(
        parsed({"route": [{"prefix": "/local", "url": "http://10.0.0.5:8000/base/", "provider": "llama.cpp"}]})
    )
    assert known.behind("local", "/local/v1/models?x=1") == ("http://10.0.0.5:8000/base/v1/models?x=1", "llama_cpp")


def test_a_known_prefix_may_lead_elsewhere() -> None:
    known = routes(parsed({"route": [{"prefix": "/openai", "url": "http://127.0.0.1:1"}]}))
    assert known.behind("openai", "/openai/v1/models") == ("http://127.0.0.1:1/v1/models", "unknown")
    assert len([row for row in known.rows if row.name == "openai"]) == 1


def test_arms_are_where_they_say() -> None:
    arms = [
        {"name": "now", "weight": 1, "model": "m"},
        {"name": "own", "weight": 1, "url": "http://h:1/base", "provider": "vLLM"},
        {"name": "seen", "shadow": True, "weight": 1, "url": "http://i:1/base", "provider": "tgi"},
    ]
    known = routes(parsed({"experiment": [{"name": "e", "route": "/openai", "arms": arms}]}))
    path = "/openai/v1/models?x=1"
    assert known.behind("openai", path, "arm.e.now") == ("https://api.openai.com/v1/models?x=1", "openai")
    assert known.behind("openai", path, "arm.e.own") == ("http://h:1/base/v1/models?x=1", "vllm")
    assert known.behind("openai", "/v1/models?x=1", "arm.e.seen") == ("http://i:1/base/v1/models?x=1", "tgi")
    assert known.behind("openai", path, "providers") == known.behind("openai", path)


def test_a_shadow_needs_one_url() -> None:
    told = {"name": "e", "route": "/azure", "arms": [{"name": "a", "weight": 1}, {"name": "b", "shadow": True}]}
    with pytest.raises(SettingsError, match="arm b: a shadow needs a route with one URL"):
        routes(parsed({"experiment": [told]}))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"prefix": "/azure", "key_file": "/k"}, "places is missing: list each resource"),
        ({"prefix": "/bedrock", "sign": True}, "places is missing: list each region"),
        ({"prefix": "/bedrock", "sign": True, "places": ["nowhere"]}, "'nowhere' is no region"),
        ({"prefix": "/openai", "sign": True}, "sign is for AWS"),
        ({"prefix": "/openai", "places": ["a"]}, "there is none in https://api.openai.com"),
        ({"prefix": "/opena"}, "did you mean /openai"),
        ({"prefix": "/x", "url": "http://h:1", "sign": True}, "sign and places are for known prefixes"),
    ],
)
def test_routes_that_cannot_be(told: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        routes(parsed({"route": [told]}))


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    server = Behind()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, behind: Behind) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "key").write_text("of-the-gateway")
    told = {
        "idle_seconds": 5,
        "route": [
            {"prefix": "/own", "url": behind.url, "provider": "vllm"},
            {"prefix": "/based", "url": behind.url + "/some/base"},
            {"prefix": "/named", "url": f"http://localhost:{behind.port}"},
            {"prefix": "/keyed", "url": behind.url, "key_file": str(folder / "key")},
            {"prefix": "/keyed-otherwise", "url": behind.url, "key_file": str(folder / "key"), "key_header": "api-key"},
            {"prefix": "/told", "url": behind.url, "require": ["team", "user"], "include_usage": False},
            {"prefix": "/nobody", "url": "http://127.0.0.1:9"},
        ],
    }
    running = Proxy(folder / "envoy", told)
    yield running
    running.stop()


def test_a_request_arrives_as_it_was_sent(proxy: Proxy, behind: Behind) -> None:
    sent = {"authorization": "Bearer mine", "x-stainless-retry-count": "1", "user-agent": "me"}
    got = proxy.ask("/own/v1/chat/completions?a=b%20c", b'{"model":"m"}', headers=sent).echo
    assert got["path"] == "/v1/chat/completions?a=b%20c"
    assert got["body"] == '{"model":"m"}'
    assert got["headers"].items() >= sent.items()
    assert got["headers"]["host"] == f"127.0.0.1:{behind.port}"
    added = set(got["headers"]) - set(sent)
    assert added == {"host", "content-type", "content-length", "x-request-id", "x-variant", "accept-encoding"}


def test_paths_keep_their_escapes(proxy: Proxy) -> None:
    arn = "/own/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x%3A0/converse"
    assert proxy.ask(arn).echo["path"] == arn.removeprefix("/own")


def test_a_base_is_put_before_the_path(proxy: Proxy) -> None:
    assert proxy.ask("/based/v1/x").echo["path"] == "/some/base/v1/x"


def test_a_name_is_looked_up(proxy: Proxy, behind: Behind) -> None:
    got = proxy.ask("/named/v1/x").echo
    assert (got["path"], got["headers"]["host"]) == ("/v1/x", f"localhost:{behind.port}")


def test_the_gateways_key_takes_the_callers_place(proxy: Proxy) -> None:
    callers = {"authorization": "Bearer mine", "x-api-key": "mine", "api-key": "mine"}
    got = proxy.ask("/keyed/v1/x", headers=callers).echo["headers"]
    assert got["authorization"] == "Bearer of-the-gateway"
    assert not {"x-api-key", "api-key"} & set(got)
    got = proxy.ask("/keyed-otherwise/v1/x", headers=callers).echo["headers"]
    assert got["api-key"] == "of-the-gateway"
    assert not {"x-api-key", "authorization"} & set(got)
    configured = "".join(path.read_text() for path in proxy.folder.glob("*.json")) + proxy.admin("/config_dump")
    assert "of-the-gateway" not in configured + proxy.log.read_text() + proxy.said()


def test_a_new_key_is_taken_up(proxy: Proxy) -> None:
    key = proxy.folder.parent / "key"
    proxy.ask("/keyed/v1/x")
    key.with_name("next").write_text("another")
    key.with_name("next").rename(key)
    try:
        taken = "Bearer another"
        eventually(lambda: proxy.ask("/keyed/v1/x").echo["headers"]["authorization"] == taken, taken)
    finally:
        key.with_name("next").write_text("of-the-gateway")
        key.with_name("next").rename(key)
        eventually(lambda: "of-the-gateway" in proxy.ask("/keyed/v1/x").echo["headers"]["authorization"], "back")


def test_a_key_mounted_by_kubernetes_is_taken_up(tmp_path: Path, behind: Behind) -> None:
    """There the file is a link by way of a folder's link, and that one is renamed over."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    mount(mounted, "1", "first")
    (mounted / "key").symlink_to("..data/key")
    told = {"route": [{"prefix": "/keyed", "url": behind.url, "key_file": str(mounted / "key")}]}
    running = Proxy(tmp_path / "envoy", told)
    try:
        assert running.ask("/keyed/v1/x").echo["headers"]["authorization"] == "Bearer first"
        mount(mounted, "2", "second")
        second = "Bearer second"
        eventually(lambda: running.ask("/keyed/v1/x").echo["headers"]["authorization"] == second, second)
    finally:
        running.stop()


def mount(folder: Path, version: str, key: str) -> None:
    (folder / f"..{version}").mkdir()
    (folder / f"..{version}" / "key").write_text(key)
    (folder / "..tmp").symlink_to(f"..{version}")
    (folder / "..tmp").rename(folder / "..data")


def test_routes_say_what_the_tap_does(proxy: Proxy) -> None:
    assert proxy.ask("/own/v1/x").echo["headers"]["x-variant"] == "asking////"
    assert proxy.ask("/told/v1/x").echo["headers"]["x-variant"] == "watching////team,user"


def test_a_path_of_nobody_says_what_to_do(proxy: Proxy) -> None:
    answer = proxy.ask("/nothing/v1/x")
    assert answer.status == 404
    assert b"no such route" in answer.body


def test_a_server_that_is_not_there(proxy: Proxy) -> None:
    assert proxy.ask("/nobody/v1/x").status == 503


def test_health_asks_nobody(proxy: Proxy) -> None:
    assert proxy.ask("/tachograph/health", method="GET").body == b"ok\n"


def test_bedrock_says_that_a_clients_signature_is_void(proxy: Proxy) -> None:
    signed = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/bedrock/aws4_request"}
    answer = proxy.ask("/bedrock/us-east-1/model/m/converse", headers=signed)
    assert answer.status == 400
    assert b"Bedrock API key" in answer.body


def test_the_log_says_where_it_went(proxy: Proxy) -> None:
    _, line = proxy.logged("/own/v1/x")
    assert (line["route"], line["cluster"], line["status"]) == ("own", "route.own", 200)


def test_a_tap_may_hold_a_body_of_20_mb(tmp_path: Path, behind: Behind) -> None:
    source = """function envoy_on_request(handle)
      local body = handle:body()
      body:setBytes("!" .. body:getBytes(1, body:length() - 1))
    end"""
    running = Proxy(tmp_path, {"route": [{"prefix": "/own", "url": behind.url}]}, tap=scripted(lambda _: source))
    try:
        assert len(running.ask("/own/v1/x", b"x" * 20_000_000).echo["body"]) == 20_000_000
        assert behind.seen[-1]["body"].startswith("!xx")
    finally:
        behind.seen.clear()
        running.stop()


def test_a_body_of_20_mb_passes(proxy: Proxy, behind: Behind) -> None:
    body = b"x" * 20_000_000
    assert len(proxy.ask("/own/v1/x", body).echo["body"]) == len(body)
    behind.seen.clear()


def test_gateway_and_sdk_ask_the_same_providers() -> None:
    assert ASKED == usage.ASKED
