"""Experiments through a real Envoy: shares, stickiness, changed weights under running streams, shadows."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxying import Behind, Proxy, eventually

from tachograph.capture.gateway.attribution import attributed
from tachograph.capture.gateway.experiments import STICKY_HEADERS, arm_of, shares
from tachograph.capture.gateway.settings import SHARES


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(any))
def test_shares_are_a_whole_and_as_the_weights_say(weights: list[int]) -> None:
    parts = shares(weights)
    assert sum(parts) == SHARES
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part / SHARES - weight / sum(weights)) <= 1 / SHARES
        assert part >= 0


def test_equal_ratios_are_equal_shares() -> None:
    assert shares([9, 1]) == shares([90, 10]) == [9000, 1000]


def test_names_of_clusters_say_which_arm() -> None:
    assert arm_of("arm.cheaper.mini") == ("cheaper", "mini")
    assert arm_of("arm.cheaper.mini.us-east-1") == ("cheaper", "mini")
    assert arm_of("providers") is None


def test_who_stays_is_who_the_call_says_asked() -> None:
    for word, field in (("user", "user_id"), ("conversation", "conversation_id")):
        assert [attributed({header: "x"}, {})[0] for header in STICKY_HEADERS[word]] == [{field: "x"}] * 3


class Slow:
    """A stream that goes on until it is told to end."""

    def __init__(self) -> None:
        self.end = threading.Event()

    def do(self, handler: BaseHTTPRequestHandler, _: bytes) -> bool:
        if not handler.path.endswith("/stream"):
            return False
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for number in range(2000):
            piece = f"data: {number}\n\n".encode()
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            handler.wfile.flush()
            if self.end.wait(0.01):
                break
        handler.wfile.write(b"0\r\n\r\n")
        return True


@pytest.fixture(scope="module")
def slow() -> Slow:
    return Slow()


@pytest.fixture(scope="module")
def old(slow: Slow) -> Iterator[Behind]:
    server = Behind(do=slow.do)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def new(slow: Slow) -> Iterator[Behind]:
    server = Behind(do=slow.do)
    yield server
    server.stop()


def told(old: Behind, new: Behind, now: int = 75, mini: int = 25, shadow: int = 0) -> dict[str, Any]:
    arms = [{"name": "now", "weight": now}, {"name": "mini", "weight": mini, "model": "gpt-5-mini"}]
    sticky = [
        {"name": "now", "weight": now},
        {"name": "other", "weight": mini, "url": new.url + "/v9", "provider": "vllm"},
    ]
    copied = {"name": "copied", "url": new.url + "/base", "shadow": True, "weight": shadow, "model": "m2"}
    return {
        "route": [
            {"prefix": "/drawn", "url": old.url + "/own"},
            {"prefix": "/sticky", "url": old.url},
            {"prefix": "/other-sticky", "url": old.url},
            {"prefix": "/watched", "url": old.url},
            {"prefix": "/retried", "url": old.url, "retries": 1},
        ],
        "experiment": [
            {"name": "cheaper", "route": "/drawn", "arms": arms},
            {"name": "moved", "route": "/sticky", "arms": sticky, "sticky_by": "user"},
            {"name": "again", "route": "/other-sticky", "arms": arms, "sticky_by": "conversation"},
            {"name": "shadowed", "route": "/watched", "arms": [{"name": "now", "weight": 1}, copied]},
            {"name": "retrying", "route": "/retried", "arms": arms, "sticky_by": "user"},
        ],
    }


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, old: Behind, new: Behind) -> Iterator[Proxy]:
    running = Proxy(tmp_path_factory.mktemp("experiments"), told(old, new, shadow=100))
    yield running
    running.stop()


def variants(proxy: Proxy, prefix: str, asked: int, headers: Any = lambda number: {}) -> list[str]:
    """The variant that each of so many requests met."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    found = []
    for number in range(asked):
        connection.request("POST", f"{prefix}/v1/x", b"{}", headers(number))
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        found.append(body.decode().partition('"x-variant": "')[2].partition('"')[0])
    connection.close()
    return found


def test_requests_are_split_by_weight(proxy: Proxy) -> None:
    met = Counter(variants(proxy, "/drawn", 800))
    assert set(met) == {"asking//cheaper/now/", "asking/gpt-5-mini/cheaper/mini/"}
    assert 140 < met["asking/gpt-5-mini/cheaper/mini/"] < 260  # 200 +- 12 would be one deviation


def test_who_asks_stays_with_an_arm(proxy: Proxy) -> None:
    users = [f"user-{number}" for number in range(200)]
    first = variants(proxy, "/sticky", 200, lambda number: {"x-tachograph-user": users[number]})
    for header in ("x-tachograph-user", "helicone-user-id"):
        assert variants(proxy, "/sticky", 200, lambda number, h=header: {h: users[number]}) == first
    assert 25 < sum("/other/" in variant for variant in first) < 75
    spread = Counter(variants(proxy, "/sticky", 200))
    assert len(spread) == 2  # whoever does not say who he is is drawn


def test_conversations_stay_with_an_arm(proxy: Proxy) -> None:
    named = [f"user-{number}" for number in range(200)]
    first = variants(proxy, "/other-sticky", 200, lambda number: {"x-tachograph-conversation": named[number]})
    assert variants(proxy, "/other-sticky", 200, lambda number: {"helicone-session-id": named[number]}) == first


def test_another_experiment_draws_anew(proxy: Proxy) -> None:
    """Else the users of one arm would all meet the same arm of the next."""
    users = [f"user-{number}" for number in range(300)]
    one = variants(proxy, "/sticky", 300, lambda number: {"x-tachograph-user": users[number]})
    two = variants(proxy, "/retried", 300, lambda number: {"x-tachograph-user": users[number]})
    both = sum("/other/" in a and "/mini/" in b for a, b in zip(one, two, strict=True))
    assert both < 45  # 300 / 16 = 19 if independent, 75 if the same


def test_an_arm_elsewhere(proxy: Proxy, new: Behind) -> None:
    """Its own host and path; the caller's key is not for it."""
    new.seen.clear()
    sent = {"authorization": "Bearer mine"}
    for number in range(40):
        proxy.ask("/sticky/v1/x?a=b", headers={**sent, "x-tachograph-user": f"u{number}"})
    assert new.seen
    for got in new.seen:
        assert got["path"] == "/v9/v1/x?a=b"
        assert got["headers"]["host"] == f"127.0.0.1:{new.port}"
        assert "authorization" not in got["headers"]


def test_arms_keep_the_path_of_their_route(proxy: Proxy, old: Behind) -> None:
    assert proxy.ask("/drawn/v1/x").echo["path"] == "/own/v1/x"


def test_the_log_says_which_arm(proxy: Proxy) -> None:
    _, line = proxy.logged("/drawn/v1/x")
    assert line["route"] == "drawn"
    assert arm_of(line["cluster"]) in (("cheaper", "now"), ("cheaper", "mini"))


def test_a_shadow_gets_a_copy_and_its_own_line(proxy: Proxy, new: Behind) -> None:
    new.seen.clear()
    sent = {"authorization": "Bearer mine", "x-request-id": "6f1f7b2c-0000-4000-8000-000000000002"}
    got = proxy.ask("/watched/v1/x?a=b", b'{"model": "m1"}', headers=sent).echo
    assert got["headers"]["x-variant"] == "asking//shadowed/now/"
    (copy,) = eventually(lambda: new.seen, "the copy")
    assert (copy["path"], copy["body"]) == ("/base/v1/x?a=b", '{"model": "m1"}')
    assert copy["headers"]["x-variant"] == "asking/m2/shadowed/copied/"
    assert copy["headers"]["host"] == f"127.0.0.1:{new.port}"
    assert "authorization" not in copy["headers"]
    lines = proxy.lines_of(sent["x-request-id"], 2)
    assert {arm_of(line["cluster"]) for line in lines} == {("shadowed", "now"), ("shadowed", "copied")}
    assert [line["status"] for line in lines] == [200, 200]
    assert {line["route"] for line in lines} == {"watched"}


def test_a_slow_shadow_holds_nobody_up(proxy: Proxy, slow: Slow) -> None:
    slow.end.set()
    try:
        assert proxy.ask("/watched/v1/stream").status == 200
    finally:
        slow.end.clear()


@contextlib.contextmanager
def streaming(proxy: Proxy) -> Iterator[http.client.HTTPResponse]:
    """A stream that has begun."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)) as connection:
        connection.request("POST", "/drawn/v1/stream", b"{}")
        with connection.getresponse() as answer:
            assert answer.readline() == b"data: 0\n"
            yield answer


@pytest.fixture
def changing(proxy: Proxy, old: Behind, new: Behind, slow: Slow) -> Iterator[Slow]:
    """Leaves the proxy as it found it."""
    slow.end.clear()
    yield slow
    slow.end.set()
    proxy.change(told(old, new, shadow=100))
    eventually(lambda: proxy.ask("/drawn/v1/x").status == 200, "the routes are back")
    slow.end.clear()


def test_weights_change_while_a_stream_runs(proxy: Proxy, old: Behind, new: Behind, changing: Slow) -> None:
    users = [f"user-{number}" for number in range(200)]

    def met() -> list[str]:
        return variants(proxy, "/sticky", 200, lambda number: {"x-tachograph-user": users[number]})

    before, listeners = met(), proxy.stats("lds.update_success")
    with streaming(proxy) as answer:
        proxy.change(told(old, new, now=50, mini=50, shadow=100))
        after = eventually(lambda: now if (now := met()) != before else None, "moved")
        after = met()
        time.sleep(0.1)
        changing.end.set()
        rest = answer.read().decode()
    moved = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert all("/now/" in a and "/other/" in b for a, b in moved)  # only as many as must
    assert 25 < len(moved) < 75
    numbers = [int(line[6:]) for line in rest.splitlines() if line]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 10
    assert proxy.stats("lds.update_success") == listeners


def test_a_route_that_goes_lets_its_streams_end(proxy: Proxy, changing: Slow) -> None:
    with streaming(proxy) as answer:
        proxy.change({})
        eventually(lambda: proxy.ask("/drawn/v1/x").status == 404, "the route is gone")
        time.sleep(0.1)
        changing.end.set()
        rest = answer.read().decode().split()
    assert len(rest) > 10
    assert proxy.rejected() == []
