"""Who gets in, and that there is no way out but to the configured upstreams."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lupa.luajit21
import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxying import Authority, Behind, Certificate, Proxy, eventually, scripted

from tachograph.access import Key, Tls
from tachograph.capture.gateway import envoy, security, settings
from tachograph.capture.gateway.security import SCOPE, Access, gate_source, system_ca
from tachograph.config import SettingsError

NOW = datetime.now(UTC)


def key(token: str, *scopes: str, expires: datetime | None = None) -> Key:
    return Key(token[:6], "name", scopes, NOW, hashlib.sha256(token.encode()).hexdigest(), expires)


GOOD, BETTER, OLD, READER = (f"tg_{word}_{'x' * 43}" for word in ("good00", "better", "old000", "reader"))
KEYS = (
    key(GOOD, SCOPE),
    key(BETTER, "admin"),
    key(OLD, SCOPE, expires=NOW - timedelta(days=1)),
    key(READER, "read"),
)


@given(st.binary(max_size=200))
def test_the_gate_hashes_as_everybody_does(text: bytes) -> None:
    assert SHA256(text) == hashlib.sha256(text).hexdigest().encode()


def _hasher() -> object:
    lua = lupa.luajit21.LuaRuntime(encoding=None)
    return lua.execute(gate_source([]).encode() + b"\nreturn sha256")


SHA256 = _hasher()


def test_only_hashes_are_told_to_envoy() -> None:
    source = gate_source(KEYS)
    assert GOOD not in source
    assert hashlib.sha256(GOOD.encode()).hexdigest() in source


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    server = Behind()
    yield server
    server.stop()


def told(behind: Behind, folder: Path) -> dict[str, object]:
    (folder / "key").write_text("of-the-gateway")
    return {
        "connections_max": 50,
        "request_seconds": 2,
        "hosts": ["gateway.internal"],
        "route": [
            {"prefix": "/own", "url": behind.url},
            {"prefix": "/keyed", "url": behind.url, "key_file": str(folder / "key")},
        ],
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, behind: Behind) -> Iterator[Proxy]:
    """On loopback."""
    folder = tmp_path_factory.mktemp("home")
    running = Proxy(folder / "envoy", told(behind, folder))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def abroad(tmp_path_factory: pytest.TempPathFactory, behind: Behind) -> Iterator[Proxy]:
    """On all addresses, with keys."""
    folder = tmp_path_factory.mktemp("abroad")
    running = Proxy(folder / "envoy", told(behind, folder), listen="0.0.0.0:0", access=Access(keys=KEYS))
    yield running
    running.stop()


# --- at home


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:4100", "[::1]:4100", "gateway.internal"])
def test_hosts_of_this_machine(home: Proxy, host: str) -> None:
    assert home.ask("/own/v1/x", headers={"host": host}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"])
def test_names_that_others_point_at_us(home: Proxy, host: str) -> None:
    assert home.ask("/own/v1/x", headers={"host": host}).status == 421


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost.evil.example", "null", "http://localhost@evil"]
)
def test_pages_of_others_may_not_ask(home: Proxy, behind: Behind, origin: str) -> None:
    behind.seen.clear()
    assert home.ask("/keyed/v1/x", headers={"origin": origin}).status == 403
    assert behind.seen == []


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://gateway.internal"])
def test_pages_of_this_machine_may(home: Proxy, origin: str) -> None:
    assert home.ask("/own/v1/x", headers={"origin": origin}).status == 200


HOSTILE = (
    "GET http://HOST/own/v1/x HTTP/1.1",
    "GET http://HOST/v1/x HTTP/1.1",
    "GET //HOST/own/v1/x HTTP/1.1",
    "GET /@HOST/v1/x HTTP/1.1",
    "GET /own/../../HOST/v1/x HTTP/1.1",
    "GET /own/%2e%2e/%2e%2e/HOST HTTP/1.1",
    "GET /own/..%2f..%2fHOST/v1/x HTTP/1.1",
    "GET /own/..%5c..%5cHOST HTTP/1.1",
    "GET /own@HOST/v1/x HTTP/1.1",
    "GET /own:80@HOST/v1/x HTTP/1.1",
    "GET /azure/HOST/openai/v1/models HTTP/1.1",
    "GET /azure/x@HOST/openai/v1/models HTTP/1.1",
    "GET /azure/x%40HOST/openai/v1/models HTTP/1.1",
    "GET /azure/HOST%2f/openai/v1/models HTTP/1.1",
    "GET /azure/x?@HOST/openai/v1/models HTTP/1.1",
    "GET /azure/HOST#/openai/v1/models HTTP/1.1",
    "GET /bedrock/HOST/model/m/converse HTTP/1.1",
    "GET /bedrock/us-east-1.HOST/model/m/converse HTTP/1.1",
    "GET /vertex/v1/projects/p/locations/HOST/publishers/x HTTP/1.1",
    "GET /vertex/v1/projects/p/locations/HOST%2f/publishers/x HTTP/1.1",
    "GET HOST HTTP/1.1",
    "GET * HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "CONNECT HOST HTTP/1.1",
    "CONNECT HOST:443 HTTP/1.1",
    "GET \\\\HOST\\own HTTP/1.1",
)


@pytest.mark.parametrize("line", HOSTILE)
@pytest.mark.parametrize(
    "headers", [["host: localhost"], ["host: HOST"], ["host: localhost", "x-forwarded-host: HOST"]]
)
def test_no_path_leads_elsewhere(home: Proxy, behind: Behind, stranger: Behind, line: str, headers: list[str]) -> None:
    """`stranger` is a server of this machine that is no upstream: nothing may ever reach it, nor name it upwards."""
    behind.seen.clear()
    where = f"127.0.0.1:{stranger.port}"
    extra = ["connection: close", f"x-envoy-original-dst-host: {where}", f":authority: {where}"][:2]
    sent = "\r\n".join([line, *headers, *extra, "", ""]).replace("HOST", where)
    status = home.raw(sent.encode()).status
    assert stranger.seen == []
    assert {got["headers"]["host"] for got in behind.seen} <= {f"127.0.0.1:{behind.port}"}
    assert status >= 400 or (status == 200 and behind.seen), status


@pytest.fixture(scope="module")
def stranger() -> Iterator[Behind]:
    server = Behind()
    yield server
    server.stop()


def test_two_hosts_are_one_too_many(home: Proxy) -> None:
    sent = b"GET /own/v1/x HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n"
    assert home.raw(sent).status == 421


def test_lengths_that_contradict_are_refused(home: Proxy, behind: Behind) -> None:
    """Else a second request could be smuggled in the body of the first."""
    behind.seen.clear()
    head = "POST /own/v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n"
    said = home.raw((head + "0\r\n\r\nGET /own/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n").encode())
    assert said.status == 400
    assert behind.seen == []


def test_a_header_bomb_is_refused(home: Proxy, behind: Behind) -> None:
    behind.seen.clear()
    many = "".join(f"x-{number}: y\r\n" for number in range(1000))
    large = f"x: {'y' * 100_000}\r\n"
    for bomb in (many, large):
        said = home.raw(f"GET /own/v1/x HTTP/1.1\r\nhost: localhost\r\n{bomb}\r\n".encode())
        assert said.status == 431
    assert behind.seen == []
    assert home.ask("/own/v1/x").status == 200


def test_a_body_that_never_ends_is_given_up(home: Proxy) -> None:
    """Slow loris: `request_seconds`."""
    with socket.create_connection(("127.0.0.1", home.port), timeout=10) as reached:
        before = time.monotonic()
        reached.sendall(b"POST /own/v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nx")
        said = reached.recv(1000)
        assert 1.5 < time.monotonic() - before < 5
        assert said.startswith(b"HTTP/1.1 408")


@pytest.mark.long
def test_headers_that_never_end_are_given_up(home: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", home.port), timeout=30) as reached:
        reached.sendall(b"GET /own/v1/x HTTP/1.1\r\nhost: localhost\r\n")
        before = time.monotonic()
        said = b"."
        while said:
            try:
                reached.sendall(b"x: y\r\n")
                reached.settimeout(0.5)
                said = reached.recv(1000)
                assert not said or said.startswith(b"HTTP/1.1 408")
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - before < 2 * envoy.HEADERS_SECONDS_MAX


def test_connections_are_bounded(home: Proxy) -> None:
    opened = [socket.create_connection(("127.0.0.1", home.port)) for _ in range(60)]
    try:
        refused = "downstream_global_cx_overflow"
        eventually(lambda: sum(home.stats(refused).values()) >= 10, "some are closed")
    finally:
        for connection in opened:
            connection.close()
    eventually(lambda: closes_well(home), "others get in again")


def closes_well(proxy: Proxy) -> bool:
    try:
        return proxy.ask("/own/v1/x").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_the_admin_listens_on_a_file_alone(home: Proxy) -> None:
    opened = [line.split() for line in Path(f"/proc/{home.process.pid}/net/tcp").read_text().splitlines()[1:]]
    ours = {link for link in map(_target, Path(f"/proc/{home.process.pid}/fd").iterdir()) if link.startswith("socket:")}
    listening = {int(row[1].split(":")[1], 16) for row in opened if row[3] == "0A" and f"socket:[{row[9]}]" in ours}
    assert listening == {home.port}


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


# --- abroad


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-tachograph-key": GOOD},
        {"x-tachograph-key": f"Bearer {GOOD}"},
        bearer(GOOD),
        {"x-api-key": BETTER},
        {"api-key": GOOD},
    ],
)
def test_a_key_opens(abroad: Proxy, headers: dict[str, str]) -> None:
    got = abroad.ask("/own/v1/x", headers={"host": "anything.example", **headers}).echo["headers"]
    assert not {"x-tachograph-key", "authorization", "x-api-key", "api-key"} & set(got)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-tachograph-key": GOOD[:-1]},
        {"x-tachograph-key": GOOD + "x"},
        {"x-tachograph-key": "x" * 5000},
        {"x-tachograph-key": OLD},
        {"x-tachograph-key": READER},
        {"x-tachograph-key": ""},
        bearer("sk-provider"),
        bearer(OLD),
        {"x-tachograph-key": "x", "authorization": "Bearer x"},
    ],
)
def test_nothing_else_does(abroad: Proxy, behind: Behind, headers: dict[str, str]) -> None:
    behind.seen.clear()
    answer = abroad.ask("/keyed/v1/x", headers=headers)
    assert answer.status == 401
    assert b"tachograph key add" in answer.body
    assert behind.seen == []


def test_the_providers_key_passes_beside_ours(abroad: Proxy) -> None:
    got = abroad.ask("/own/v1/x", headers={"x-tachograph-key": GOOD, **bearer("sk-mine")}).echo["headers"]
    assert got["authorization"] == "Bearer sk-mine"
    got = abroad.ask("/keyed/v1/x", headers=bearer(GOOD)).echo["headers"]
    assert got["authorization"] == "Bearer of-the-gateway"


def test_health_needs_no_key(abroad: Proxy) -> None:
    assert abroad.ask("/tachograph/health", method="GET").status == 200


def test_no_token_is_kept(abroad: Proxy) -> None:
    abroad.ask("/own/v1/x", headers={"x-tachograph-key": GOOD})
    abroad.lines(1)
    written = "".join(path.read_text() for path in abroad.folder.iterdir() if path.is_file())
    assert GOOD not in written + abroad.admin("/config_dump")


def test_a_key_that_was_revoked_opens_nothing(tmp_path: Path, behind: Behind) -> None:
    running = Proxy(tmp_path / "envoy", told(behind, tmp_path), listen="0.0.0.0:0", access=Access(keys=KEYS))
    try:
        assert running.ask("/own/v1/x", headers=bearer(GOOD)).status == 200
        running._access = Access(keys=KEYS[1:])
        running.change(told(behind, tmp_path))
        eventually(lambda: running.ask("/own/v1/x", headers=bearer(GOOD)).status == 401, "revoked")
        assert running.ask("/own/v1/x", headers=bearer(BETTER)).status == 200
        assert running.stats("lds.update_success")["listener_manager.lds.update_success"] == 1
    finally:
        running.stop()


def test_nobody_opens_it_to_all() -> None:
    place = envoy.Place(listen="0.0.0.0:1", ca=system_ca())
    tap = scripted()
    for keys in ((), (KEYS[3],)):
        with pytest.raises(SettingsError, match="no key opens it"):
            envoy.rendered(settings.parsed({}), place, Access(keys=keys), tap)


def test_mutual_tls(tmp_path: Path, behind: Behind) -> None:
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path / "others", "others")
    pair, friend, stranger = ours.issue("gateway"), ours.issue("friend"), others.issue("stranger")
    access = Access(tls=Tls(pair.certificate, pair.key, ours.ca))
    running = Proxy(tmp_path / "envoy", told(behind, tmp_path), listen="0.0.0.0:0", access=access)
    try:
        assert asked(running, ours.ca, friend) == 200
        for shown in (None, stranger):
            with pytest.raises((OSError, http.client.HTTPException)):
                asked(running, ours.ca, shown)
    finally:
        running.stop()


def test_a_new_certificate_is_shown(tmp_path: Path, behind: Behind) -> None:
    first, second = Authority(tmp_path / "first", "first"), Authority(tmp_path / "second", "second")
    (tmp_path / "shown").mkdir()
    shown = [tmp_path / "shown" / name for name in ("tls.pem", "tls.key")]
    show(shown, first.issue("gateway"))
    running = Proxy(tmp_path / "envoy", told(behind, tmp_path), access=Access(tls=Tls(*shown)))
    try:
        assert asked(running, first.ca, None) == 200
        show(shown, second.issue("gateway"))
        eventually(lambda: is_trusted(running, second.ca), "the new certificate")
        assert not is_trusted(running, first.ca)
    finally:
        running.stop()


def show(shown: list[Path], pair: Certificate) -> None:
    for target, source in zip(reversed(shown), (pair.key, pair.certificate), strict=True):
        draft = target.with_name("draft")
        draft.write_bytes(source.read_bytes())
        draft.replace(target)


def is_trusted(proxy: Proxy, ca: Path) -> bool:
    try:
        return asked(proxy, ca, None) == 200
    except ssl.SSLError:
        return False


def asked(proxy: Proxy, ca: Path, shown: object) -> int:
    context = ssl.create_default_context(cafile=str(ca))
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)  # type: ignore[attr-defined]
    with closing(http.client.HTTPSConnection("localhost", proxy.port, context=context, timeout=5)) as connection:
        connection.request("POST", "/own/v1/x", b"{}")
        return connection.getresponse().status


def test_the_authorities_of_this_machine_are_found() -> None:
    assert "BEGIN CERTIFICATE" in Path(system_ca()).read_text("utf-8", "replace")


def test_without_authorities_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "_BUNDLES", ())
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with pytest.raises(SettingsError, match="install ca-certificates"):
        system_ca()


HOLDING = "function envoy_on_request(handle) handle:body() end"


@pytest.mark.long
def test_a_flood_of_large_bodies_is_ended_and_ends_nothing(tmp_path: Path, behind: Behind) -> None:
    """Far more than `memory_bytes_max` is sent, and never to its end, to a tap that holds bodies."""
    limit = 128 * 1024 * 1024
    bounded = {**told(behind, tmp_path), "memory_bytes_max": limit, "request_seconds": 60}
    running = Proxy(tmp_path / "envoy", bounded, tap=scripted(lambda _: HOLDING))
    opened = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(40)]
    try:
        with ThreadPoolExecutor(8) as pool:
            sent = list(pool.map(pour, opened))
        held = resident_bytes(running.process.pid)
        assert sum(sent) > limit
        assert held < 5 * limit, held >> 20  # it would be 997 MB; what comes within a tenth of a second is on top
        for connection in opened:
            connection.close()
        eventually(lambda: closes_well(running), "it serves others")
        assert running.process.poll() is None
    finally:
        for connection in opened:
            connection.close()
        running.stop()


def pour(connection: socket.socket) -> int:
    """How much of a body without an end was taken."""
    sent = 0
    with contextlib.suppress(OSError):
        connection.settimeout(2)
        connection.sendall(b"POST /own/v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 30000000\r\n\r\n")
        for _ in range(24):
            connection.sendall(b"x" * 1_000_000)
            sent += 1_000_000
    return sent


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
