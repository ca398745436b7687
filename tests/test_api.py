"""The JSON API over a real store, in this process: writing, what it refuses, what it counts, who may ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx2
import pytest

from tachograph.call import from_dict, to_json
from tachograph.flow import Busy
from tachograph.health import Health
from tachograph.store import Store, open_store
from tachograph.testing import generated_day
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


def ask(parts: Parts, method: str, path: str, host: str = "127.0.0.1", **more: Any) -> httpx2.Response:
    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=application(parts))
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
    counters = health["counters"]
    assert counters["calls_accepted_total"]["api"] == 100
    assert counters["calls_accepted_total"]["api"] == (
        counters["calls_stored_total"] + counters["calls_deduplicated_total"]
    )
    one = ask(parts, "GET", f"/api/v1/calls/{CALLS[0].call_id}").json()
    assert from_dict(one["call"]) == CALLS[0]
    assert one["explanation"] == {"call_id": CALLS[0].call_id}


@pytest.mark.parametrize(
    ("content", "headers", "message"),
    [
        ("{}", {}, "header Idempotency-Key is missing"),
        (to_json(CALLS[0]) + "\n{broken", {"idempotency-key": "c"}, "line 2: "),
        ('{"provider": 5}', {"idempotency-key": "c"}, "line 1: provider: '5' is not text"),
        ("[1]", {"idempotency-key": "c"}, "line 1: "),
    ],
)
def test_a_bad_batch_is_refused_whole(parts: Parts, content: str, headers: dict[str, str], message: str) -> None:
    answer = ask(parts, "POST", "/api/v1/calls", content=content, headers=headers)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert sum(parts.health.snapshot()["calls_refused_total"].values()) == 1  # type: ignore[union-attr]


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
