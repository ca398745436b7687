"""The API beyond loopback: TLS and keys on real sockets, who may ask what, and the other end in `remote`."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.web.serving import CALLS, NOW, parts_over, serving

from tachograph.access import SCOPES, Keys, Tls, issue, revoke
from tachograph.call import to_json
from tachograph.flow import Busy, Refused
from tachograph.remote import Remote
from tachograph.store import Store
from tachograph.web.endpoints import ENDPOINTS


class Certificates(NamedTuple):
    folder: Path

    def made(self, name: str, signed_by: str = "") -> Path:
        """A certificate `name`.pem with its key `name`.key, signed by itself or by another one of these."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        if not certificate.exists():
            words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            words += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", f"/CN={name}"]
            words += ["-addext", "subjectAltName=IP:127.0.0.1"]
            if signed_by:
                words += ["-CA", str(self.made(signed_by)), "-CAkey", str(self.folder / f"{signed_by}.key")]
                words += ["-addext", "basicConstraints=critical,CA:FALSE"]
            subprocess.run(words, check=True, capture_output=True)
        return certificate

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make certificates with")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "tachograph.keys", lambda: NOW)


def ask(address: str, path: str, trusted: ssl.SSLContext | None = None, method: str = "GET", **headers: str) -> Any:
    kind = http.client.HTTPSConnection if address.startswith("https") else http.client.HTTPConnection
    more: dict[str, Any] = {"context": trusted} if trusted else {}
    connection = kind(address.partition("//")[2], timeout=20, **more)
    body = to_json(CALLS[0]) if method == "POST" else None
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers
    finally:
        connection.close()


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def test_tls_and_a_token_on_a_real_socket(store: Store, keys: Keys, certificates: Certificates) -> None:
    token = issue(keys.file, "reader", ["read"], NOW)
    tls = Tls(certificates.made("server"), certificates.key("server"))
    with serving(parts_over(store, listen_host="0.0.0.0", keys=keys), tls, bind="0.0.0.0") as address:
        trusted = trusting(tls.certificate)
        status, body, headers = ask(address, "/api/v1/health", trusted)
        assert (status, body["error"]["type"], headers["www-authenticate"]) == (
            401,
            "unauthenticated",
            'Bearer realm="tachograph"',
        )
        assert ask(address, "/api/v1/health", trusted, authorization=f"Bearer {token}")[0] == 200
        status, body, _ = ask(
            address, "/api/v1/calls", trusted, "POST", authorization=f"Bearer {token}", idempotency_key="x"
        )
        assert (status, body["error"]["type"]) == (403, "forbidden")
        assert "lacks the scope 'ingest'" in body["error"]["message"]
        revoke(keys.file, token.split("_", 2)[1])
        assert ask(address, "/api/v1/health", trusted, authorization=f"Bearer {token}")[0] == 401
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(address, "/api/v1/health", ssl.create_default_context())
        with pytest.raises((http.client.BadStatusLine, ConnectionError)):
            ask(address.replace("https", "http"), "/api/v1/health")
        old = trusting(tls.certificate)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert ask(address, "/api/v1/health", old)[0] == 401


def test_a_client_needs_a_certificate_where_that_is_asked(store: Store, certificates: Certificates) -> None:
    tls = Tls(certificates.made("server"), certificates.key("server"), certificates.made("authority"))
    with serving(parts_over(store), tls) as address:
        known, stranger, nobody = (trusting(tls.certificate) for _ in range(3))
        known.load_cert_chain(certificates.made("client", "authority"), certificates.key("client"))
        stranger.load_cert_chain(certificates.made("other"), certificates.key("other"))
        assert ask(address, "/api/v1/health", known)[0] == 200
        for context in (stranger, nobody):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                ask(address, "/api/v1/health", context)


@pytest.fixture
def open_to_others(store: Store, keys: Keys) -> Iterator[tuple[str, Keys]]:
    with serving(parts_over(store, listen_host="0.0.0.0", keys=keys)) as address:
        yield address, keys


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_path_asks_for_its_scope(open_to_others: tuple[str, Keys], endpoint: Any) -> None:
    address, keys = open_to_others
    path = re.sub("{.*}", CALLS[0].call_id, endpoint.path) + "?unknown=parameter"

    def status(**headers: str) -> int:
        return int(ask(address, path, method=endpoint.method, idempotency_key="s", **headers)[0])

    statuses = {scope: status(authorization=f"Bearer {keys.grant(scope, [scope])}") for scope in SCOPES}
    # 400: let in as far as the parameter that nobody knows
    opens = {"": SCOPES, "read": ("read", "edit", "admin")}.get(endpoint.scope, (endpoint.scope, "admin"))
    assert statuses == {scope: 400 if scope in opens else 403 for scope in SCOPES}
    assert status() == (401 if endpoint.scope else 400)
    assert status(authorization="Bearer tg_a_b") == 401


def test_a_page_of_another_host_may_not_ask(open_to_others: tuple[str, Keys]) -> None:
    address, keys = open_to_others
    bearer = f"Bearer {keys.grant('page', ['read'])}"
    host = address.removeprefix("http://")
    for origin, status in ((address, 200), ("https://evil.example", 403), ("null", 403), (f"http://{host}0", 403)):
        assert ask(address, "/api/v1/health", authorization=bearer, origin=origin)[0] == status


def test_on_loopback_a_shown_token_must_be_valid(store: Store, keys: Keys) -> None:
    with serving(parts_over(store, keys=keys)) as address:
        assert ask(address, "/api/v1/health")[0] == 200
        assert ask(address, "/api/v1/health", authorization="Bearer nonsense")[0] == 401
        bearer = f"Bearer {keys.grant('page', ['read'])}"
        assert ask(address, "/api/v1/health", authorization=bearer)[0] == 200


def test_the_other_end_shows_its_token_and_trusts_one_certificate(
    store: Store, keys: Keys, certificates: Certificates
) -> None:
    tls = Tls(certificates.made("server", "authority"), certificates.key("server"))
    with serving(parts_over(store, listen_host="0.0.0.0", keys=keys), tls) as address:
        remote = Remote(address.replace("127.0.0.1", "localhost"), keys.grant("commands", ["admin"]), tls.certificate)
        assert remote.stats().calls == store.stats().calls
        assert remote.call(CALLS[0].call_id) == CALLS[0]
        assert remote.sightings(CALLS[0].call_id) == []
        assert remote.write([], "nothing") == 0
        assert remote.write(CALLS, "again") == 0
        assert remote.ledger()["accepted"] == {"api": len(CALLS)}
        day = {"since": NOW - timedelta(days=2), "until": NOW}
        assert remote.ask(["calls"], ["provider"], **day) == store.ask(["calls"], ["provider"], **day)
        with pytest.raises(Refused, match="no valid key"):
            Remote(address, "tg_a_b", tls.certificate).stats()
        with pytest.raises(Busy, match="certificate"):
            Remote(address, "", certificates.made("other")).stats()
        with pytest.raises(Refused, match="check `tls_certificate`"):
            Remote(address, "", certificates.folder / "none.pem")
