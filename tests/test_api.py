"""The JSON API over a real store, in this process: writing, what it refuses, what it counts, who may ask."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx2
import pytest
from tests.strategies import at

from tachograph.call import COLUMNS, from_dict, to_json
from tachograph.flow import Busy
from tachograph.health import Health
from tachograph.store import Store, StoreError, open_store
from tachograph.testing import generated_day
from tachograph.web import endpoints, openapi
from tachograph.web.api import Parts, application

NOW = datetime(2026, 11, 3, tzinfo=UTC)
CALLS = list(generated_day(date(2026, 11, 1), 50))
LINES = "\n".join(map(to_json, CALLS))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path_factory.mktemp('api')}") as opened:
        yield opened


@pytest.fixture
def parts(store: Store) -> Parts:
    return Parts(store, lambda call: {"call_id": call.call_id}, Health(), lambda: NOW)


def ask(
    parts: Parts,
    method: str,
    path: str,
    host: str = "127.0.0.1",
    peer: str = "127.0.0.1",
    raise_app_exceptions: bool = True,
    **more: Any,
) -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(
            app=application(parts), client=(peer, 1), raise_app_exceptions=raise_app_exceptions
        )
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def test_calls_are_written_once_and_counted(parts: Parts) -> None:
    first = ask(parts, "POST", "/api/v1/calls", content=LINES, headers={"idempotency-key": "a"})
    again = ask(parts, "POST", "/api/v1/calls", content=LINES, headers={"idempotency-key": "b"})
    assert first.json() == {"accepted": 50, "stored": 50, "deduplicated": 0}
    assert again.json() == {"accepted": 50, "stored": 0, "deduplicated": 50}
    health = ask(parts, "GET", "/api/v1/health").json()
    assert health["store"]["calls"] == 50
    assert (health["doors"], health["lag_seconds"]) == ({}, 0)
    counters = health["counters"]
    assert counters["items_accepted_total"]["api"] == 100
    assert counters["items_accepted_total"]["api"] == (
        counters["items_stored_total"] + counters["items_deduplicated_total"]
    )
    one = ask(parts, "GET", f"/api/v1/calls/{CALLS[0].call_id}").json()
    assert from_dict(one["call"]) == CALLS[0]
    assert one["explanation"] == {"call_id": CALLS[0].call_id}
    assert one["sightings"] == []


def test_a_call_is_shown_with_its_usage_and_its_other_sightings(parts: Parts) -> None:
    usage = '{"prompt_tokens":3,"odd":NaN,"details":{"cached_tokens":1}}'
    counted, *others = (at(i, call_id=f"{i + 1:032x}", usage_raw=usage, same_as=f"{1:032x}") for i in range(3))
    counted.same_as = None
    parts.data.write([counted, *others], "sightings")
    shown = {call.call_id: ask(parts, "GET", f"/api/v1/calls/{call.call_id}").json() for call in (counted, *others)}
    assert shown[counted.call_id]["usage_raw"] == {"prompt_tokens": 3, "odd": None, "details": {"cached_tokens": 1}}
    assert {name: [other["call_id"][-1] for other in value["sightings"]] for name, value in shown.items()} == {
        counted.call_id: ["2", "3"],
        others[0].call_id: ["1", "3"],
        others[1].call_id: ["1", "2"],
    }


def test_a_call_that_does_not_say_when_it_was_received_was_received_now(parts: Parts) -> None:
    lines = '{"call_id":"%s","started_at":"2026-10-01T00:00:00Z"}' % ("ab" * 16)
    ask(parts, "POST", "/api/v1/calls", content=lines, headers={"idempotency-key": "received"})
    found = parts.data.call("ab" * 16)
    assert found is not None and found.received_at == NOW


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/calls?limt=3", "unknown parameter 'limt': did you mean 'limit'?"),
        ("/api/v1/calls?xyz=3", "unknown parameter 'xyz': there are after, limit, since, until, where"),
        ("/api/v1/health?x=3", "unknown parameter 'x': this path takes none"),
        ("/api/v1/calls?limit=3&limit=4", "parameter 'limit' is given 2 times: give it once"),
        ("/api/v1/calls?limit=%D9%A3", "give a number from 1 to 1000"),
        ("/api/v1/calls?where=team=a&where=team=b", "filter 'team' is given twice: write team=A,B"),
        ("/api/v1/calls?since=999999w", "is outside the calendar"),
        ("/api/v1/calls?after=2026-11-01,xyz", "give the `next_after` of the page before"),
        ("/api/v1/ask?step=0s", "'0s' is no duration"),
        ("/api/v1/calls/xyz", "'xyz' is no call id"),
    ],
)
def test_what_makes_no_sense_is_named(parts: Parts, path: str, message: str) -> None:
    answer = ask(parts, "GET", path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "bad_request")
    assert message in answer.json()["error"]["message"]


def test_other_methods_and_paths_are_not_there(parts: Parts) -> None:
    answer = ask(parts, "DELETE", "/api/v1/calls")
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD", "POST"})
    for path in ("/api/v1/calls/", "/api/v1", "/api/v1/ledger", "/metrics"):  # this process has no ledger, no metrics
        assert ask(parts, "GET", path).json()["error"]["type"] == "not_found"
    assert (ask(parts, "HEAD", "/api/v1/health").status_code, ask(parts, "HEAD", "/api/v1/health").text) == (200, "")


def test_what_the_process_has_is_shown(parts: Parts) -> None:
    ledger = {"accepted": {"api": 1}, "stored": 1, "deduplicated": 0, "refused": {}, "ignored": {}, "in_flight": 0}
    told: list[str | None] = []

    def metrics(accept: str | None) -> tuple[bytes, str]:
        told.append(accept)
        return b"up 1\n", "text/plain; version=0.0.4"

    parts = dataclasses.replace(
        parts, ledger=lambda: ledger, metrics=metrics, doors=lambda: {"otlp_http": "127.0.0.1:4318"}
    )
    parts.health.set("store_lag_seconds", 1.5)
    assert ask(parts, "GET", "/api/v1/ledger").json() == ledger
    page = ask(parts, "GET", "/metrics", headers={"accept": "application/openmetrics-text"})
    assert (page.text, page.headers["content-type"], told) == (
        "up 1\n",
        "text/plain; version=0.0.4",
        ["application/openmetrics-text"],
    )
    health = ask(parts, "GET", "/api/v1/health").json()
    assert (health["doors"], health["lag_seconds"]) == ({"otlp_http": "127.0.0.1:4318"}, 1.5)


def test_the_description_is_of_what_is_served(parts: Parts) -> None:
    page = ask(parts, "GET", "/api/v1/openapi.json").json()
    assert {
        "/api/v1/ask",
        "/api/v1/calls",
        "/api/v1/calls/stream",
        "/api/v1/calls/{call_id}",
        "/api/v1/connect",
        "/api/v1/health",
        "/api/v1/openapi.json",
        "/api/v1/pulse",
        "/api/v1/session",
        "/api/v1/vocabulary",
    } == set(page["paths"])
    call = page["components"]["schemas"]["Call"]
    assert list(call["properties"]) == [column.name for column in COLUMNS] == call["required"]
    assert call["properties"]["model"]["type"] == ["string", "null"]
    assert page["security"] == [{}, {"key": []}]
    beyond = dataclasses.replace(parts, listen_host="0.0.0.0")
    assert openapi.document(endpoints.present(beyond), "0.0.0.0")["security"] == [{"key": []}]


def test_a_fault_of_ours_is_told_as_one(parts: Parts) -> None:
    class Broken:
        def stats(self) -> None:
            raise StoreError("the store at x is damaged: restore it")

        def call(self, _call_id: str) -> None:
            raise ZeroDivisionError

    broken = dataclasses.replace(parts, data=Broken())  # type: ignore[arg-type]
    answer = ask(broken, "GET", "/api/v1/health")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "store_error")
    answer = ask(broken, "GET", "/api/v1/calls/x", raise_app_exceptions=False)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "internal")


def test_only_this_machine_is_answered_on_loopback(parts: Parts) -> None:
    assert ask(parts, "GET", "/api/v1/health", peer="10.0.0.7").status_code == 403
    assert ask(parts, "GET", "/api/v1/health", peer="::1").status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "message"),
    [
        ("{}", {}, "header Idempotency-Key is missing"),
        (to_json(CALLS[0]) + "\n{broken", {"idempotency-key": "c"}, "line 2: "),
        ('{"provider": 5}', {"idempotency-key": "c"}, "line 1: provider: '5' is not text"),
        ("[1]", {"idempotency-key": "c"}, "line 1: "),
        ('{"chunks": 1e400}', {"idempotency-key": "c"}, "line 1: "),
        ("[" * 100_000, {"idempotency-key": "c"}, "line 1: "),
        ("\n \n", {"idempotency-key": "c"}, "the body is empty"),
        ("{}", {"idempotency-key": "c" * 201}, "longer than 200 characters"),
        ("{}", {"idempotency-key": "c d"}, "has blanks or characters beyond ASCII"),
        ("{}", {"idempotency-key": b"\xfc"}, "has blanks or characters beyond ASCII"),
        ("{}", {"idempotency-key": "c", "content-encoding": "gzip"}, "send plain JSON lines"),
    ],
)
def test_a_bad_batch_is_refused_whole(parts: Parts, content: str, headers: dict[str, str], message: str) -> None:
    answer = ask(parts, "POST", "/api/v1/calls", content=content, headers=headers)
    assert answer.status_code == (415 if "content-encoding" in headers else 400)
    assert message in answer.json()["error"]["message"]
    assert sum(parts.health.snapshot()["api_requests_refused_total"].values()) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(("host", "origin"), [("evil.example", None), ("127.0.0.1", "https://evil.example")])
def test_no_foreign_page_may_ask(parts: Parts, host: str, origin: str | None) -> None:
    answer = ask(parts, "GET", "/api/v1/health", host=host, headers={"origin": origin} if origin else {})
    assert answer.status_code == 403
    assert ask(parts, "GET", "/api/v1/health", headers={"origin": "http://localhost:5173"}).status_code == 200


def test_busy_says_when_to_try_again(parts: Parts) -> None:
    class Full:
        def stats(self) -> None:
            raise Busy("no space left: free some", 7)

    answer = ask(Parts(Full(), parts.explain, Health(), parts.now), "GET", "/api/v1/health")  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.json() == {"error": {"type": "busy", "message": "no space left: free some"}}


def test_pages_follow_one_another(parts: Parts) -> None:
    ask(parts, "POST", "/api/v1/calls", content=LINES, headers={"idempotency-key": "a"})
    seen: list[str] = []
    path = "/api/v1/calls?since=2026-11-01&limit=20"
    while path:
        page = ask(parts, "GET", path).json()
        seen += [call["call_id"] for call in page["calls"]]
        following = page["next_after"]
        path = f"/api/v1/calls?since=2026-11-01&limit=20&after={following}" if following else ""
    assert sorted(seen) == sorted(call.call_id for call in CALLS)
    assert json.dumps(seen) == json.dumps(
        [call.call_id for call in sorted(CALLS, key=lambda call: (call.started_at, call.call_id), reverse=True)]
    )
