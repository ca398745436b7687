"""Middleware for WSGI: who is asking, per-request totals, the response header, bodies made while they are sent;
plain applications, wsgiref's server, Flask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import httpx2
import pytest

from tachograph.call import Call
from tachograph.capture.sdk.asking import Header, Path, Query
from tachograph.capture.sdk.context import NOBODY, attribute, carried, context, current
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.totals import Totals
from tachograph.capture.sdk.wsgi import TachographWSGI
from tachograph.testing.provider import Provider

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def ask(provider: Provider, calls: list[Call], patches: Patches) -> Callable[[], Any]:
    """Makes one call to a model, priced at a millidollar."""

    def price(call: Call) -> None:
        call.cost_usd = Decimal("0.0010")

    patches.observer.price = price
    return lambda: httpx2.post(
        provider.url + "/v1/chat/completions", json={"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}
    ).raise_for_status()


class Answer:
    """What a server would have sent."""

    def __init__(self, app: Any, path: str = "/", headers: dict[str, str] | None = None, **environ: Any) -> None:
        path, _, query = path.partition("?")
        self.environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, **environ}
        setup_testing_defaults(self.environ)
        for name, value in (headers or {}).items():
            self.environ["HTTP_" + name.upper().replace("-", "_")] = value
        self.status, self.headers = "", {}
        self.iterable: Any = app(self.environ, self.start)

    def start(self, status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
        self.status, self.headers = status, dict(headers)
        return lambda piece: None

    def body(self) -> bytes:
        pieces = list(self.iterable)
        if hasattr(self.iterable, "close"):
            self.iterable.close()
        return b"".join(pieces)


def test_who_is_asking_totals_and_header(ask: Any, calls: list[Call]) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        ask()
        start_response("200 OK", [("content-type", "text/plain")])
        return [str(environ["tachograph.totals"].calls).encode()]

    told = TachographWSGI(
        app,
        team="t",
        customer=Header("X-Customer"),
        user=Query("user"),
        feature=lambda request: request.method + request.path + request.scope["PATH_INFO"],
        tags={"type": Header("content-type"), "none": Path("none")},
        header="x-tachograph-usage",
    )
    answer = Answer(told, "/a?user=u", {"x-customer": "c"}, SCRIPT_NAME="/app", CONTENT_TYPE="text/x")
    assert (answer.body(), answer.status, answer.headers["content-type"]) == (b"1", "200 OK", "text/plain")
    assert answer.headers["x-tachograph-usage"].startswith("calls=1, input_tokens=")
    assert answer.headers["x-tachograph-usage"].endswith(", cost_usd=0.001")
    [call] = calls
    assert (call.team, call.customer, call.user_id, call.feature) == ("t", "c", "u", "GET/app/a/a")
    assert call.tags == {"type": "text/x"}
    assert carried() is NOBODY


def test_a_streamed_body_is_made_inside_and_sent_outside(ask: Any, calls: list[Call]) -> None:
    ends = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            with context(feature="f"):
                ask()
                yield b"a"
                ask()
            yield b"b"
            ask()
        finally:
            ends.append(dict(current().values))

    answer = Answer(TachographWSGI(app, team="t", header="x-used"))
    pieces = []
    for piece in answer.iterable:
        pieces.append(piece)
        assert carried() is NOBODY
    answer.iterable.close()
    assert (pieces, answer.headers["x-used"][:7]) == ([b"a", b"b"], "calls=0")
    assert [(call.team, call.feature) for call in calls] == [("t", "f"), ("t", "f"), ("t", "")]
    assert answer.environ["tachograph.totals"].calls == 3
    assert ends == [{"team": "t"}]

    answer = Answer(TachographWSGI(app, team="left early"))
    next(iter(answer.iterable))
    answer.iterable.close()
    assert ends[1] == {"team": "left early"}


def test_bodies_whose_kind_servers_look_at_are_left_alone() -> None:
    body: list[Any] = [[b"x"]]

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return body[0]

    told = TachographWSGI(app)
    assert Answer(told).iterable is body[0]
    with open(__file__, "rb") as file:  # noqa: PTH123
        body[0] = FileWrapper(file)
        assert Answer(told, **{"wsgi.file_wrapper": FileWrapper}).iterable is body[0]
        assert Answer(told).iterable is not body[0]


def test_strangers_do_not_choose_who_pays(ask: Any, calls: list[Call]) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        ask()
        start_response("200 OK", [])
        return []

    said = {"x-tachograph-customer": "headers", "baggage": "tachograph.team=baggage"}
    said |= {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    for trust in (False, True):
        Answer(TachographWSGI(app, trust_headers=trust, trust_baggage=trust), headers=said).body()
    assert [(call.customer, call.team) for call in calls] == [("", ""), ("headers", "baggage")]
    assert {(call.trace_id, call.parent_span_id) for call in calls} == {(TRACE, SPAN)}


def test_failures_pass_and_ours_do_not_reach_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/broken":
            raise ZeroDivisionError
        start_response("200 OK", [])
        return [b"x"]

    told = TachographWSGI(app, header="x-used")
    with pytest.raises(ZeroDivisionError):
        Answer(told, "/broken")
    assert carried() is NOBODY

    def broken(*_: Any) -> Any:
        raise RuntimeError("ours")

    for name in ("scope", "__init__"):
        with monkeypatch.context() as patched:
            patched.setattr(f"tachograph.capture.sdk.asking.Served.{name}", broken)
            assert Answer(told).body() == b"x"
    with monkeypatch.context() as patched:
        patched.setattr(Totals, "__str__", broken)
        assert Answer(told).body() == b"x"
    assert sum(told.guard.failures.values()) == 3
    with pytest.raises(TypeError, match=r"TachographWSGI\(\) has no word 'teem': did you mean 'team'"):
        TachographWSGI(app, teem="x")


def test_behind_a_real_server_that_holds_to_the_specification(ask: Any, calls: list[Call]) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"before "
        ask()
        yield str(environ["tachograph.totals"].calls).encode()

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    told = TachographWSGI(validator(app), team=Query("team"), header="x-tachograph-usage")  # type: ignore[arg-type]
    with make_server("127.0.0.1", 0, validator(told), handler_class=Quiet) as server:  # type: ignore[arg-type]
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            answers = [httpx2.get(f"http://127.0.0.1:{server.server_port}/?team={name}") for name in ("a", "b")]
        finally:
            server.shutdown()
            serving.join()
    assert [answer.text for answer in answers] == ["before 1"] * 2
    assert answers[0].headers["x-tachograph-usage"] == "calls=0, input_tokens=0, output_tokens=0"
    assert [call.team for call in calls] == ["a", "b"]


def test_flask(ask: Any, calls: list[Call]) -> None:
    flask = pytest.importorskip("flask", reason="Flask is not installed")
    app = flask.Flask("test")

    @app.get("/customers/<customer_id>/ask")
    def endpoint(customer_id: str) -> Any:
        attribute(feature="said inside", tags={"id": customer_id})
        ask()
        return {"calls": flask.request.environ["tachograph.totals"].calls}

    @app.get("/customers/<customer_id>/stream")
    def stream(customer_id: str) -> Any:
        def pieces() -> Iterator[str]:
            ask()
            yield customer_id

        return flask.Response(pieces())

    app.wsgi_app = TachographWSGI(app.wsgi_app, customer=Path("customer_id"), header="x-tachograph-usage")
    client = app.test_client()
    answer = client.get("/customers/acme/ask")
    assert answer.json == {"calls": 1}
    assert answer.headers["x-tachograph-usage"].startswith("calls=1, ")
    assert client.get("/customers/other/stream").text == "other"
    assert [(call.customer, call.feature, call.tags) for call in calls] == [
        ("acme", "said inside", {"id": "acme"}),
        ("other", "", {}),
    ]
