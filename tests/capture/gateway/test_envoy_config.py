"""What Envoy is told, tried: TLS and HTTP/2 upstream, lookups, upgrades, signing, encodings, attempts, patience."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import brotli
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from proxying import Authority, Behind, Proxy, binary, scripted

from tachograph.access import Tls
from tachograph.capture.gateway import envoy, running, settings
from tachograph.capture.gateway.security import Access, system_ca
from tachograph.gateway import tapping

ENCODED = {
    "gzip": gzip.compress(b"of a provider"),
    "br": brotli.compress(b"of a provider"),
}
FULL = {
    "hosts": ["gateway.internal"],
    "route": [
        {"prefix": "/vllm", "url": "http://10.0.0.5:8000", "provider": "vllm", "retries": 2},
        {"prefix": "/secure", "url": "https://[::1]:8443/base", "ca": system_ca()},
        {"prefix": "/openai", "key_file": "/run/secrets/key", "require": ["team"], "retries": 1},
        {"prefix": "/azure", "key_file": "/run/secrets/key", "places": ["one", "two"]},
        {"prefix": "/bedrock", "sign": True, "places": ["us-east-1"], "credentials_file": "/run/secrets/aws"},
    ],
    "experiment": [
        {
            "name": "cheaper",
            "route": "/openai",
            "sticky_by": "user",
            "arms": [
                {"name": "now", "weight": 90},
                {"name": "mini", "weight": 10, "model": "gpt-5-mini"},
                {"name": "own", "url": "https://models.internal/v9", "provider": "vllm", "shadow": True, "weight": 5},
            ],
        },
        {
            "name": "azure",
            "route": "/azure",
            "arms": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2, "model": "m"}],
        },
        {"name": "bedrock", "route": "/bedrock", "arms": [{"name": "a", "weight": 1, "model": "m"}]},
    ],
}


@pytest.mark.parametrize("told", [{}, FULL], ids=["nothing told", "everything told"])
def test_envoy_takes_it(told: dict[str, object], tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "key").write_text("k")
    told = json.loads(json.dumps(told).replace("/run/secrets", str(tmp_path)))
    place = envoy.Place(listen="127.0.0.1:9399", ca=system_ca())
    tap = tapping().tap
    pair = authority.issue("shown")
    access = Access(tls=Tls(pair.certificate, pair.key, authority.ca)) if told else Access()
    done = envoy.rendered(settings.parsed(told), place, access, tap)
    assert done == envoy.rendered(settings.parsed(told), place, access, tap)
    secret = ["certificate.json", "client_ca.json"] if told else []
    shared = ["clusters.json", "inner.json", "routes.json", "listeners.json", running.BOOTSTRAP]
    assert list(done.files) == [*secret, *shared]
    (tmp_path / "whole.json").write_text(done.whole)
    words = ["--mode", "validate", "-c", "whole.json", "--disable-hot-restart"]
    said = subprocess.run([binary(), *words], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert said.returncode == 0, said.stderr[-2000:]
    assert "deprecated" not in said.stderr.lower()


def test_what_was_refused_for_our_addition_can_be_asked_again() -> None:
    """The tap sends it to the cluster `again` with the path that came in."""
    place = envoy.Place(listen="127.0.0.1:9399", ca=system_ca())
    done = envoy.rendered(settings.parsed({}), place, Access(), scripted())
    (inner,) = json.loads(done.files["inner.json"])["resources"]
    names = {route["name"] for host in inner["virtual_hosts"] for route in host["routes"]}
    assert names == {row.name for row in done.routes.rows if row.variant.include_usage}


def test_clusters_stay_until_the_next_start() -> None:
    place = envoy.Place(listen="127.0.0.1:9399", ca=system_ca())
    tap = scripted()
    before = envoy.rendered(
        settings.parsed({"route": [{"prefix": "/x", "url": "http://h:1"}]}), place, Access(), tap
    ).files[envoy.CLUSTERS]
    after = envoy.rendered(settings.parsed({}), place, Access(), tap, before).files[envoy.CLUSTERS]
    assert "route.x" in {cluster["name"] for cluster in json.loads(after)["resources"]}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def odd(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
    """Answers of servers that do not only echo."""
    name = handler.path.rsplit("/", 1)[-1]
    if name in ENCODED:
        handler.send_response(200)
        handler.send_header("content-encoding", name)
        handler.send_header("cache-control", "no-transform")
        handler.send_header("content-length", str(len(ENCODED[name])))
        handler.end_headers()
        handler.wfile.write(ENCODED[name])
    elif name == "fails":
        handler.send_response(503)
        handler.send_header("content-length", "4")
        handler.end_headers()
        handler.wfile.write(b"busy")
    elif name == "silent":
        time.sleep(3)
    elif handler.headers.get("upgrade") == "websocket":
        handler.send_response(101)
        handler.send_header("upgrade", "websocket")
        handler.send_header("connection", "Upgrade")
        handler.end_headers()
        handler.wfile.flush()
        while said := handler.connection.recv(100):
            handler.connection.sendall(said.upper())
        handler.close_connection = True
    else:
        return False
    return True


@pytest.fixture(scope="module")
def plain() -> Iterator[Behind]:
    server = Behind(do=odd)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[Behind]:
    """Answers for the public hosts, as `localhost` and below."""
    names = authority.issue("public", "DNS:localhost", "DNS:*.localhost", "DNS:*.azure.localhost", "IP:127.0.0.1")
    server = Behind(tls=names.server(("http/1.1",)), do=odd)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def other_names(authority: Authority) -> Iterator[Behind]:
    server = Behind(tls=authority.issue("elsewhere", "DNS:elsewhere.example").server())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def newer(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A server that offers HTTP/2 over TLS: another gateway."""
    pair = authority.issue("newer")
    running = Proxy(tmp_path_factory.mktemp("newer"), {}, access=Access(tls=Tls(pair.certificate, pair.key)))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def proxy(
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
    plain: Behind,
    secure: Behind,
    other_names: Behind,
    newer: Proxy,
) -> Iterator[Proxy]:
    """The public hosts are found on this machine."""
    port, folder = secure.port, tmp_path_factory.mktemp("proxy")
    credentials = folder / "aws"
    credentials.write_text("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = hidden-secret\n")
    told = {
        "ca": str(authority.ca),
        "idle_seconds": 60,
        "route": [
            {"prefix": "/plain", "url": plain.url},
            {"prefix": "/hasty", "url": plain.url, "idle_seconds": 1},
            {"prefix": "/again", "url": plain.url, "retries": 2, "provider": "groq"},
            {"prefix": "/address", "url": f"https://127.0.0.1:{port}"},
            {"prefix": "/name", "url": f"https://localhost:{port}"},
            {"prefix": "/others", "url": f"https://localhost:{other_names.port}"},
            {"prefix": "/distrusted", "url": f"https://localhost:{port}", "ca": system_ca()},
            {"prefix": "/newer", "url": f"https://localhost:{newer.port}"},
            {"prefix": "/bedrock", "sign": True, "places": ["eu-west-1"], "credentials_file": str(credentials)},
        ],
        "experiment": [
            {"name": "public", "route": "/azure-cognitive", "arms": [{"name": "a", "weight": 1, "model": "m"}]},
            {"name": "signed", "route": "/bedrock", "arms": [{"name": "a", "weight": 1}]},
        ],
    }

    def local(name: str, text: str) -> str:
        text = text.replace("api.openai.com", f"openai.localhost:{port}")
        text = text.replace(".cognitiveservices.azure.com", f".azure.localhost:{port}")
        text = text.replace("bedrock-runtime.eu-west-1.amazonaws.com", f"bedrock.localhost:{port}")
        return text.replace(".openai.azure.com", f".azure.localhost:{port}")

    running = Proxy(folder, told, altered=local)
    yield running
    running.stop()


def test_public_hosts_are_looked_up_and_verified(proxy: Proxy, secure: Behind) -> None:
    got = proxy.ask("/openai/v1/chat/completions", headers={"host": f"localhost:{proxy.port}"}).echo
    assert got["path"] == "/v1/chat/completions"
    assert got["headers"]["host"] == f"openai.localhost:{secure.port}"


def test_the_path_names_the_resource(proxy: Proxy, secure: Behind) -> None:
    answer, line = proxy.logged("/azure/acme/openai/deployments/d/chat/completions?api-version=1")
    got = answer.echo
    assert got["path"] == "/openai/deployments/d/chat/completions?api-version=1"
    assert got["headers"]["host"] == f"acme.azure.localhost:{secure.port}"
    assert (line["route"], line["cluster"]) == ("azure", "providers")


def test_an_arm_of_a_resource(proxy: Proxy, secure: Behind) -> None:
    answer, line = proxy.logged("/azure-cognitive/acme/openai/deployments/d/chat/completions")
    assert answer.echo["headers"]["host"] == f"acme.azure.localhost:{secure.port}"
    assert answer.echo["path"] == "/openai/deployments/d/chat/completions"
    assert answer.echo["headers"]["x-variant"] == "asking/m/public/a/"
    assert line["cluster"] == "arm.public.a"


def test_an_arm_that_is_signed(proxy: Proxy) -> None:
    answer, line = proxy.logged("/bedrock/eu-west-1/model/m/converse")
    assert signature(answer.echo) == answer.echo["headers"]["authorization"].rpartition("Signature=")[2]
    assert line["cluster"] == "arm.signed.a.eu-west-1"


@pytest.mark.parametrize("prefix", ["/address", "/name"])
def test_own_servers_are_verified(proxy: Proxy, prefix: str) -> None:
    assert proxy.ask(prefix + "/v1/x").echo["path"] == "/v1/x"


@pytest.mark.parametrize("prefix", ["/others", "/distrusted"])
def test_a_certificate_of_others_is_refused(proxy: Proxy, prefix: str, other_names: Behind) -> None:
    answer, line = proxy.logged(prefix + "/v1/x", headers={"authorization": "Bearer mine"})
    assert answer.status == 503
    assert "CERTIFICATE_VERIFY_FAILED" in line["failure"]
    assert other_names.seen == []


def test_http_2_where_it_is_offered(proxy: Proxy) -> None:
    answer, line = proxy.logged("/newer/tachograph/health", method="GET")
    assert (answer.body, line["protocol"]) == (b"ok\n", "HTTP/2")
    _, line = proxy.logged("/name/v1/x")
    assert line["protocol"] == "HTTP/1.1"


@pytest.mark.parametrize("prefix", ["/plain", "/name", "/openai", "/azure/acme", "/again"])
def test_websockets_pass(proxy: Proxy, prefix: str) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as reached:
        head = ["host: localhost", "connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13"]
        reached.sendall("\r\n".join([f"GET {prefix}/v1/realtime HTTP/1.1", *head, "", ""]).encode())
        said = b""
        while b"\r\n\r\n" not in said:
            said += reached.recv(1000)
        assert said.startswith(b"HTTP/1.1 101"), said
        for _ in range(3):
            reached.sendall(b"hello")
            assert reached.recv(100) == b"HELLO"


@pytest.mark.parametrize("name", sorted(ENCODED))
def test_answers_are_decompressed(proxy: Proxy, name: str) -> None:
    answer = proxy.ask("/plain/" + name)
    assert answer.body == b"of a provider"
    assert "content-encoding" not in answer.headers


def test_answers_look_as_the_providers(proxy: Proxy) -> None:
    headers = {name.lower() for name in proxy.ask("/plain/v1/x").headers}
    assert headers == {"server", "date", "content-type", "content-length"}


def test_a_stream_may_pause_as_long_as_its_route_says(proxy: Proxy) -> None:
    before = time.monotonic()
    assert proxy.ask("/hasty/silent").status == 504
    assert 0.9 < time.monotonic() - before < 2.9


def test_each_attempt_is_an_exchange(proxy: Proxy, plain: Behind) -> None:
    plain.seen.clear()
    sent = {"x-request-id": "6f1f7b2c-0000-4000-8000-000000000001", "authorization": "Bearer mine"}
    answer = proxy.ask("/again/fails", b"x" * 3_000_000, headers=sent)
    assert (answer.status, answer.body) == (503, b"busy")
    assert len(plain.seen) == 3
    assert {len(got["body"]) for got in plain.seen} == {3_000_000}
    assert {got["headers"]["x-request-id"] for got in plain.seen} == {sent["x-request-id"]}
    assert {got["headers"]["authorization"] for got in plain.seen} == {"Bearer mine"}
    assert not any("x-tachograph-hop" in got["headers"] for got in plain.seen)
    lines = proxy.lines_of(sent["x-request-id"], 3)
    assert [(line["route"], line["cluster"], line["status"]) for line in lines] == [("again", "route.again", 503)] * 3
    assert all(line["kept"] for line in lines)


def test_nobody_can_keep_a_request_out_of_the_log(proxy: Proxy) -> None:
    _, line = proxy.logged("/plain/v1/x", headers={"x-tachograph-hop": "1"})
    assert line["route"] == "plain"


def test_nobody_can_tell_envoy_what_to_do(proxy: Proxy, plain: Behind) -> None:
    plain.seen.clear()
    told = {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3", "x-envoy-upstream-rq-timeout-ms": "1"}
    assert proxy.ask("/plain/fails", headers={**told, "x-forwarded-for": "10.0.0.1"}).status == 503
    assert len(plain.seen) == 1
    assert not any(name.startswith("x-envoy") for name in plain.seen[0]["headers"])


@pytest.mark.parametrize("size", [2, 3_000_000])
def test_bedrock_is_signed_as_it_is_sent(proxy: Proxy, secure: Behind, size: int) -> None:
    """The client's own signature is for the gateway's host; AWS would refuse it."""
    sent = {
        "authorization": "AWS4-HMAC-SHA256 Credential=x",
        "x-amz-date": "20200101T000000Z",
        "x-amz-security-token": "t",
    }
    path = "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.anthropic.claude/converse"
    got = proxy.ask("/bedrock/eu-west-1" + path, b"x" * size, headers=sent).echo
    assert got["path"] == path
    assert got["headers"]["host"] == f"bedrock.localhost:{secure.port}"
    assert "x-amz-security-token" not in got["headers"]
    assert signature(got) == got["headers"]["authorization"].rpartition("Signature=")[2]
    assert "hidden-secret" not in proxy.admin("/config_dump") + proxy.said()


def signature(got: dict) -> str:
    """What AWS would compute, by botocore."""
    said = got["headers"]["authorization"]
    named = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    url = f"https://{got['headers']['host']}{got['path']}"
    headers = {name: got["headers"][name] for name in named}
    request = AWSRequest(got["method"], url, headers, got["body"].encode("latin-1"))
    request.context["timestamp"] = got["headers"]["x-amz-date"]
    signer = SigV4Auth(Credentials("AKIATEST", "hidden-secret"), "bedrock", "eu-west-1")
    canonical = signer.canonical_request(request)
    return signer.signature(signer.string_to_sign(request, canonical), request)


def test_no_key_is_needed_at_home_and_the_admin_is_the_owners(proxy: Proxy) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in proxy.folder.glob("*.sock")}
    assert modes == {"admin.sock": 0o600}
