"""Signing in with a browser: the cookie, the proof that changes need, and everything that ends a session."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.web.serving import NOW, parts_over, serving

from tachograph.access import Keys, issue, revoke
from tachograph.store import Store
from tachograph.web.failures import ADDRESSES_MAX, FAILURES_MAX, Failures
from tachograph.web.parts import Parts
from tachograph.web.sessions import SESSION, Sessions

PATH = "/api/v1/session"


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Browser:
    """Keeps the cookie that it was given, and sends it with everything."""

    def __init__(self, address: str) -> None:
        self.host, self.cookie = urllib.parse.urlsplit(address).netloc, ""

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=20)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        told |= {"cookie": self.cookie} if self.cookie else {}
        told |= {"content-type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, told)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if set_cookie := answer.headers["set-cookie"]:
            self.cookie = set_cookie.partition(";")[0]
        return Answer(answer.status, json.loads(text) if text else None, answer.headers)

    def sign_in(self, token: str) -> Answer:
        return self.send("POST", PATH, {"token": token})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> Keys:
    return Keys(tmp_path / "tachograph.keys", clock)


@pytest.fixture
def parts(store: Store, keys: Keys, clock: Clock) -> Parts:
    made = parts_over(store, listen_host="0.0.0.0", keys=keys)
    object.__setattr__(made, "now", clock)
    return made


@pytest.fixture
def browser(parts: Parts) -> Iterator[Browser]:
    with serving(parts) as address:
        yield Browser(address)


def test_a_token_becomes_a_cookie(browser: Browser, keys: Keys) -> None:
    nobody = {"role": None, "name": "", "teams": [], "csrf": None, "login": True}
    assert browser.send("GET", PATH).body == nobody
    assert browser.send("GET", "/api/v1/ask").status == 401
    token = issue(keys.file, "Ada", ["edit"], NOW, teams=["growth"])
    answer = browser.sign_in(token)
    assert (answer.status, answer.body | {"csrf": ""}) == (
        200,
        {"role": "editor", "name": "Ada", "teams": ["growth"], "csrf": "", "login": False},
    )
    told = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict", f"Max-Age={12 * 3600}"} <= {w.strip() for w in told.split(";")}
    assert "Secure" not in told and "Domain" not in told and token not in told
    assert len(browser.cookie.partition("=")[2]) == 43  # 256 bits
    assert browser.send("GET", PATH).body == answer.body
    assert browser.send("GET", "/api/v1/ask").status == 200
    assert browser.send("GET", "/api/v1/ask").headers["cache-control"] == "no-store"


def test_where_there_is_tls_the_cookie_never_travels_without(parts: Parts, keys: Keys) -> None:
    object.__setattr__(parts, "tls", True)
    with serving(parts) as address:
        told = Browser(address).sign_in(keys.grant("a", ["read"])).headers["set-cookie"]
    assert told.startswith("__Host-tachograph=") and "; Secure" in told


def test_a_change_needs_the_proof_that_only_our_page_knows(browser: Browser, keys: Keys) -> None:
    csrf = browser.sign_in(keys.grant("Ada", ["edit"])).body["csrf"]
    said = {"text": "deployed"}
    for wrong in ({}, {"x_tachograph_csrf": "x"}, {"x_tachograph_csrf": csrf + "x"}):
        answer = browser.send("POST", "/api/v1/annotations", said, **wrong)
        assert (answer.status, answer.body["error"]["type"]) == (403, "no_proof")
    answer = browser.send("POST", "/api/v1/annotations", said, x_tachograph_csrf=csrf)
    assert (answer.status, answer.body["by"]) == (201, "Ada")
    assert browser.send("DELETE", PATH).status == 403
    token = keys.grant("ci", ["edit"])
    browser.cookie = ""
    answer = browser.send("POST", "/api/v1/annotations", said, authorization=f"Bearer {token}")
    assert (answer.status, answer.body["by"]) == (201, "ci")  # a token is no cookie: nobody makes a browser send it


def test_another_session_is_no_proof(browser: Browser, keys: Keys) -> None:
    token = keys.grant("Ada", ["edit"])
    first = browser.sign_in(token).body["csrf"]
    browser.cookie = ""
    assert browser.sign_in(token).body["csrf"] != first
    assert browser.send("POST", "/api/v1/annotations", {"text": "x"}, x_tachograph_csrf=first).status == 403


def test_a_page_of_somebody_else_can_neither_sign_in_nor_out(browser: Browser, keys: Keys) -> None:
    token = keys.grant("Ada", ["read"])
    for method in ("POST", "DELETE"):
        answer = browser.send(method, PATH, {"token": token}, origin="https://evil.example")
        assert (answer.status, answer.body["error"]["type"]) == (403, "foreign_origin")


def test_signing_out_ends_it(browser: Browser, keys: Keys) -> None:
    csrf = browser.sign_in(keys.grant("Ada", ["read"])).body["csrf"]
    kept = browser.cookie
    assert browser.send("DELETE", PATH, x_tachograph_csrf=csrf).status == 204
    browser.cookie = kept  # of somebody who kept it
    assert browser.send("GET", "/api/v1/ask").status == 401
    assert browser.send("DELETE", PATH).status == 204


def test_a_key_that_is_revoked_or_expires_ends_its_sessions(browser: Browser, keys: Keys, clock: Clock) -> None:
    token = issue(keys.file, "Ada", ["read"], NOW)
    browser.sign_in(token)
    assert browser.send("GET", "/api/v1/ask").status == 200
    revoke(keys.file, token.split("_")[1])
    assert browser.send("GET", "/api/v1/ask").status == 401
    assert browser.send("GET", PATH).body["role"] is None
    browser.sign_in(issue(keys.file, "Bob", ["read"], NOW, NOW + timedelta(hours=1)))
    assert browser.send("GET", "/api/v1/ask").status == 200
    clock.now += timedelta(hours=1)
    assert browser.send("GET", "/api/v1/ask").status == 401


def test_a_session_ends_after_half_a_day(browser: Browser, keys: Keys, clock: Clock) -> None:
    browser.sign_in(keys.grant("Ada", ["read"]))
    clock.now += SESSION - timedelta(seconds=1)
    assert browser.send("GET", "/api/v1/ask").status == 200
    clock.now += timedelta(seconds=1)
    assert browser.send("GET", "/api/v1/ask").status == 401


@pytest.mark.parametrize("path", ["/api/v1/pulse", "/api/v1/calls/stream"])
def test_a_stream_ends_with_the_key_that_opened_it(parts: Parts, keys: Keys, path: str) -> None:
    parts.live.heartbeat_seconds = 0.1
    token = issue(keys.file, "Ada", ["read"], NOW)
    with serving(parts) as address:
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=20)
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.readline().startswith(b":")
        revoke(keys.file, token.split("_")[1])
        assert answer.read().count(b"heartbeat") < 20  # it ends, within a heartbeat or two
        connection.close()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (
            {"token": "tg_a_b"},
            401,
            "this is no token of a valid key: `tachograph key add NAME --scope read` prints one",
        ),
        ({"token": ""}, 401, "this is no token"),
        ({}, 401, "this is no token"),
        ({"token": 3}, 400, "token is 3: give text in quotes"),
        ({"tokn": "x"}, 400, "unknown member 'tokn': known are token"),
        (["token"], 400, "the body is no JSON object"),
        ({"token": "x" * 20_000}, 413, "body over 16384 bytes"),
    ],
)
def test_what_is_no_token_signs_nobody_in(browser: Browser, body: Any, status: int, message: str) -> None:
    answer = browser.send("POST", PATH, body)
    assert (answer.status, browser.cookie) == (status, "")
    assert message in answer.body["error"]["message"]


def test_a_form_of_somebody_elses_page_is_not_read(browser: Browser) -> None:
    answer = browser.send("POST", PATH, content_type="text/plain")
    assert (answer.status, answer.body["error"]["type"]) == (415, "content_type")


def test_a_key_that_shows_nothing_signs_nobody_in(browser: Browser, keys: Keys) -> None:
    answer = browser.sign_in(keys.grant("collector", ["ingest"]))
    assert (answer.status, browser.cookie) == (403, "")


def test_who_guesses_must_wait_and_is_counted(browser: Browser, parts: Parts, keys: Keys, clock: Clock) -> None:
    for _ in range(FAILURES_MAX):
        assert browser.sign_in("tg_a_b").status == 401
    answer = browser.sign_in(keys.grant("Ada", ["read"]))
    assert (answer.status, answer.headers["retry-after"]) == (429, "60")
    assert parts.health.snapshot()["logins_failed_total"] == {"wrong": FAILURES_MAX, "limited": 1}
    clock.now += timedelta(seconds=60)
    assert browser.sign_in(keys.grant("Ada", ["read"])).status == 200


def test_one_address_does_not_shut_out_another() -> None:
    failures = Failures()
    for second in range(FAILURES_MAX):
        failures.add("10.0.0.1", float(second))
    assert failures.wait_seconds("10.0.0.1", 30.0) == 30
    assert failures.wait_seconds("10.0.0.2", 30.0) == 0
    for number in range(ADDRESSES_MAX):
        failures.add(f"10.1.0.{number}", 30.0)
    assert failures.wait_seconds("10.0.0.1", 30.0) == 0  # forgotten: what is kept is bounded


def test_of_too_many_sessions_the_oldest_ends() -> None:
    sessions = Sessions(sessions_max=3)
    cookies = [sessions.begin("key", NOW)[0] for _ in range(4)]
    assert [sessions.find(cookie, NOW) is not None for cookie in cookies] == [False, True, True, True]


def test_on_this_machine_everybody_is_in_already(store: Store, keys: Keys) -> None:
    with serving(parts_over(store, keys=keys)) as address:
        browser = Browser(address)
        open_to_all = {"role": "admin", "name": "this machine", "teams": [], "csrf": None, "login": False}
        assert browser.send("GET", PATH).body == open_to_all
        assert browser.send("POST", "/api/v1/annotations", {"text": "x"}).status == 201
        told = browser.sign_in(keys.grant("Ada", ["read"], ["growth"])).body  # who signs in is who they say
        assert (told["role"], told["teams"]) == ("viewer", ["growth"])
        assert browser.send("GET", "/api/v1/health").status == 403
