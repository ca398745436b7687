"""Middleware for ASGI: who is asking, per-request totals, the response header; Starlette, FastAPI, a plain application
and a real server. The calls are real: httpx2 against the simulated provider.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Annotated, Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from tachograph.call import Call
from tachograph.capture.sdk import threads
from tachograph.capture.sdk.asgi import TachographMiddleware
from tachograph.capture.sdk.asking import Asking, Header, Path, Query
from tachograph.capture.sdk.baggage import asking
from tachograph.capture.sdk.context import NOBODY, attribute, carried, context, current
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.totals import Totals
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


def client(*routes: Any, app: Any = None, **told: Any) -> TestClient:
    served = app or Starlette(routes=list(routes), middleware=[Middleware(TachographMiddleware, **told)])
    return TestClient(served)


def test_words_are_constants_headers_paths_queries_and_functions(ask: Any, calls: list[Call]) -> None:
    async def endpoint(request: Request) -> Response:
        await asyncio.to_thread(ask)
        return JSONResponse(request.state.tachograph.as_dict()["calls"])

    answer = client(
        Route("/customers/{customer_id}/ask", endpoint),
        team="search",
        customer=Path("customer_id"),
        user=Header("X-User"),
        conversation=Query("chat"),
        feature=lambda request: request.path_params["customer_id"] + request.method + request.path,
        tags={"tier": Header("x-tier"), "constant": 1, "absent": Query("absent")},
    ).get("/customers/acme/ask?chat=c%201", headers={"x-user": "u", "x-tier": "gold"})
    assert answer.json() == 1
    [call] = calls
    assert (call.team, call.customer, call.user_id, call.conversation_id) == ("search", "acme", "u", "c 1")
    assert call.feature == "acmeGET/customers/acme/ask"
    assert call.tags == {"tier": "gold", "constant": "1"}
    assert carried() is NOBODY


def test_inside_it_context_wins_and_outside_it_yields(ask: Any, calls: list[Call]) -> None:
    async def endpoint(_: Request) -> Response:
        with context(team="inner", tags={"a": "inner"}):
            await asyncio.to_thread(ask)
        return Response()

    told = client(Route("/", endpoint), team="middleware", tags={"a": "middleware", "b": "middleware"})

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        with context(team="outer", feature="outer", tags={"b": "outer", "c": "outer"}):
            await told.app(scope, receive, send)

    TestClient(outer).get("/")
    assert (calls[0].team, calls[0].feature) == ("inner", "outer")
    assert calls[0].tags == {"a": "inner", "b": "middleware", "c": "outer"}


def test_totals_and_the_response_header(ask: Any) -> None:
    seen: list[Totals] = []

    async def endpoint(request: Request) -> Response:
        seen.append(request.state.tachograph)
        await asyncio.gather(asyncio.to_thread(ask), run_in_threadpool(ask))
        return Response("x", headers={"x-own": "stays"})

    answer = client(Route("/", endpoint), header="X-Tachograph-Usage").get("/")
    truth = seen[0].as_dict()
    assert (truth["calls"], truth["errors"], truth["unpriced"], truth["uncounted"]) == (2, 0, 0, 0)
    assert truth["total_tokens"] == truth["input_tokens"] + truth["output_tokens"] > 0
    assert truth["cost_usd"] == Decimal("0.002")
    assert answer.headers["x-own"] == "stays"
    assert answer.headers["x-tachograph-usage"] == (
        f"calls=2, input_tokens={truth['input_tokens']}, output_tokens={truth['output_tokens']}, cost_usd=0.002"
    )


def test_without_calls_nothing_is_invented() -> None:
    async def endpoint(request: Request) -> Response:
        assert request.state.tachograph.cost_usd is None
        return Response()

    answer = client(Route("/", endpoint), header="x-tachograph-usage").get("/")
    assert answer.headers["x-tachograph-usage"] == "calls=0, input_tokens=0, output_tokens=0"


def test_each_request_has_its_own_totals(ask: Any) -> None:
    async def endpoint(request: Request) -> Response:
        for _ in range(int(request.query_params["calls"])):
            await asyncio.to_thread(ask)
            await asyncio.sleep(0)
        return JSONResponse(request.state.tachograph.calls)

    app = client(Route("/", endpoint)).app

    async def main() -> list[int]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app") as http:
            answers = await asyncio.gather(*(http.get("/", params={"calls": number % 4}) for number in range(12)))
            return [answer.json() for answer in answers]

    assert asyncio.run(main()) == [number % 4 for number in range(12)]


def test_streams_and_background_tasks_are_inside(ask: Any, calls: list[Call]) -> None:
    seen: list[Totals] = []

    async def endpoint(request: Request) -> Response:
        seen.append(request.state.tachograph)

        async def pieces() -> AsyncIterator[bytes]:
            await asyncio.to_thread(ask)
            yield b"a"
            await asyncio.to_thread(ask)
            yield b"b"

        return StreamingResponse(pieces(), background=BackgroundTask(ask))

    def plain(_: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            ask()
            yield b"c"

        ask()
        return StreamingResponse(pieces())

    told = client(Route("/", endpoint), Route("/sync", plain), team="t", header="x-tachograph-usage")
    answer = told.get("/")
    assert (answer.text, answer.headers["x-tachograph-usage"][:7]) == ("ab", "calls=0")
    assert seen[0].calls == 3
    answer = told.get("/sync")
    assert (answer.text, answer.headers["x-tachograph-usage"][:7]) == ("c", "calls=1")
    assert [call.team for call in calls] == ["t"] * 5


def test_workers_that_one_request_has_started_serve_the_next_in_its_own_scope(
    ask: Any, calls: list[Call], patches: Patches
) -> None:
    threads.patch(patches)

    def endpoint(request: Request) -> Response:  # in a worker thread, started in the first request
        ask()
        with ThreadPoolExecutor(1) as executor:
            executor.submit(ask).result()
        return JSONResponse(request.state.tachograph.calls)

    with client(Route("/{customer}", endpoint), customer=Path("customer")) as told:
        assert [told.get(f"/{name}").json() for name in ("a", "b", "c")] == [2, 2, 2]
    assert [call.customer for call in calls] == ["a", "a", "b", "b", "c", "c"]


def test_websockets(ask: Any, calls: list[Call]) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.to_thread(ask)
        await websocket.send_json(websocket.state.tachograph.calls)
        await websocket.close()

    told = client(WebSocketRoute("/{customer}", endpoint), customer=Path("customer"), header="x-tachograph-usage")
    with told.websocket_connect("/acme") as socket:
        assert socket.receive_json() == 1
    assert calls[0].customer == "acme"


def test_strangers_do_not_choose_who_pays(ask: Any, calls: list[Call]) -> None:
    said = {
        "x-tachograph-team": "headers",
        "x-tachograph-user": "headers",
        "baggage": "tachograph.team=baggage,tachograph.feature=baggage,tachograph.tags.a=b",
    }

    async def endpoint(_: Request) -> Response:
        await asyncio.to_thread(ask)
        return Response()

    def seen(**told: Any) -> tuple[str, str, str | None, dict[str, str]]:
        client(Route("/", endpoint), team="own", **told).get("/", headers=said)
        call = calls.pop()
        return call.team, call.feature, call.user_id, call.tags

    assert seen() == ("own", "", None, {})
    assert seen(trust_headers=True) == ("headers", "", "headers", {})
    assert seen(trust_headers=["user"]) == ("own", "", "headers", {})
    assert seen(trust_baggage=True) == ("baggage", "baggage", None, {"a": "b"})
    assert seen(trust_headers=True, trust_baggage=True) == ("headers", "baggage", "headers", {"a": "b"})


def test_nor_by_way_of_opentelemetry() -> None:
    propagate = pytest.importorskip("opentelemetry.baggage.propagation").W3CBaggagePropagator()
    attached = pytest.importorskip("opentelemetry.context")
    seen = []

    async def endpoint(request: Request) -> Response:
        token = attached.attach(propagate.extract(dict(request.headers)))  # as its middleware does
        seen.append(dict(asking().values))
        attached.detach(token)
        return Response()

    for trust in (False, True):
        client(Route("/", endpoint), trust_baggage=trust).get("/", headers={"baggage": "tachograph.team=evil"})
    assert seen == [{}, {"team": "evil"}]


def test_traceparent_is_the_cause_of_the_calls(ask: Any, calls: list[Call]) -> None:
    async def endpoint(_: Request) -> Response:
        await asyncio.to_thread(ask)
        return Response()

    told = client(Route("/", endpoint))
    told.get("/", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    told.get("/", headers={"traceparent": "nonsense"})
    assert (calls[0].trace_id, calls[0].parent_span_id) == (TRACE, SPAN)
    assert calls[1].trace_id not in (None, TRACE)
    assert calls[1].parent_span_id is None


def test_attribute_says_more_from_anywhere(ask: Any, calls: list[Call]) -> None:
    class Authenticates(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            assert attribute(customer="from the key")
            answer: Response = await call_next(request)
            return answer

    def endpoint(_: Request) -> Response:  # in a thread, with a copy of the context
        assert attribute(feature="f", tags={"b": 2})
        ask()
        return Response()

    async def other(_: Request) -> Response:
        await run_in_threadpool(attribute, feature="g")
        await asyncio.to_thread(ask)
        return Response()

    told = TestClient(
        Starlette(
            routes=[Route("/", endpoint), Route("/other", other)],
            middleware=[
                Middleware(TachographMiddleware, customer=Header("x-customer"), team="t", tags={"a": 1}),
                Middleware(Authenticates),
            ],
        )
    )
    told.get("/", headers={"x-customer": "not this"})
    told.get("/other")
    assert [(call.team, call.customer, call.feature) for call in calls] == [
        ("t", "from the key", "f"),
        ("t", "from the key", "g"),
    ]
    assert [call.tags for call in calls] == [{"a": "1", "b": "2"}, {"a": "1"}]


def test_one_inside_another(ask: Any, calls: list[Call]) -> None:
    inner_totals: list[Totals] = []

    async def endpoint(request: Request) -> Response:
        inner_totals.append(request.state.tachograph)
        await asyncio.to_thread(ask)
        return Response()

    inner = TachographMiddleware(Starlette(routes=[Route("/x", endpoint)]), feature="inner", team="inner")
    told = client(Mount("/{customer}", app=inner), team="outer", customer=Path("customer"), header="x-tachograph-usage")
    answer = told.get("/acme/x")
    assert (calls[0].team, calls[0].feature, calls[0].customer) == ("inner", "inner", "acme")
    assert answer.headers["x-tachograph-usage"].startswith("calls=1,")
    assert inner_totals[0].calls == 1


def test_the_scope_ends_with_the_request_also_when_it_fails(ask: Any, calls: list[Call]) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(ask)
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await TachographMiddleware(broken, team="t")({"type": "http"}, None, None)  # type: ignore[arg-type]
        assert carried() is NOBODY

    asyncio.run(main())
    assert calls[0].team == "t"


def test_a_plain_application_and_the_bare_minimum_of_a_scope() -> None:
    sent: list[Any] = []
    seen: list[Any] = []

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        seen.append((dict(current().values), scope.get("state")))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x"})

    async def send(message: Any) -> None:
        sent.append(message)

    told = TachographMiddleware(plain, customer=Path("none"), user=Header("none"), team="t", header="X-Used")
    told.guard.strict = True
    asyncio.run(told({"type": "lifespan"}, None, send))  # type: ignore[arg-type]
    asyncio.run(told({"type": "http"}, None, send))  # type: ignore[arg-type]
    assert seen[0] == ({}, None)
    assert seen[1][0] == {"team": "t"}
    assert isinstance(seen[1][1]["tachograph"], Totals)
    assert sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"x-used", b"calls=0, input_tokens=0, output_tokens=0")],
        },
        {"type": "http.response.body", "body": b"x"},
    ]


def test_without_a_header_nothing_stands_between_the_application_and_the_server() -> None:
    given: list[Any] = []

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        given.extend([receive, send])

    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    asyncio.run(TachographMiddleware(plain)({"type": "http"}, receive, send))
    assert given == [receive, send]


def test_faults_of_ours_and_of_a_words_function_do_not_reach_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endpoint(_: Request) -> Response:
        return JSONResponse(dict(current().values))

    app = Starlette(routes=[Route("/", endpoint)])
    told = TachographMiddleware(app, team="t", user=lambda request: 1 // 0, header="x-tachograph-usage")
    assert TestClient(told).get("/").json() == {"team": "t"}
    assert sum(told.guard.failures.values()) == 1

    def broken(*_: Any) -> Any:
        raise RuntimeError("ours")

    for name in ("scope", "said", "__init__"):
        with monkeypatch.context() as patched:
            patched.setattr(f"tachograph.capture.sdk.asking.Served.{name}", broken)
            if name != "said":
                assert TestClient(told).get("/").json() == {}
    with monkeypatch.context() as patched:
        patched.setattr(Totals, "__str__", broken)
        assert TestClient(told).get("/").json() == {"team": "t"}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"custmer": "x"}, "TachographMiddleware.. has no word 'custmer': did you mean 'customer'"),
        ({"trust_headers": ["custom"]}, "trust_headers has 'custom': known are team"),
        ({"tags": 3}, "tags is int: give a dict"),
    ],
)
def test_what_cannot_be_told_is_said_at_once(told: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        TachographMiddleware(None, **told)  # type: ignore[arg-type]


def test_async_functions_are_refused() -> None:
    async def who(asking: Asking) -> str:
        return asking.path

    with pytest.raises(TypeError, match="user is an async function"):
        TachographMiddleware(None, user=who)  # type: ignore[arg-type]


# a real server


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn serves the application")
    running: list[tuple[Any, threading.Thread]] = []

    def start(app: Any) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread))
        until = time.monotonic() + 10
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


def test_behind_a_real_server(serve: Callable[[Any], str], ask: Any, calls: list[Call]) -> None:
    async def endpoint(request: Request) -> Response:
        await asyncio.to_thread(ask)
        return JSONResponse({"calls": request.state.tachograph.calls, "of": dict(current().values)})

    url = serve(
        TachographMiddleware(
            Starlette(routes=[Route("/{customer}", endpoint)]), customer=Path("customer"), header="x-tachograph-usage"
        )
    )
    with httpx2.Client() as http:  # one connection, request after request
        for name in ("a", "b"):
            answer = http.get(f"{url}/{name}")
            assert answer.json() == {"calls": 1, "of": {"customer": name}}
            assert answer.headers["x-tachograph-usage"].startswith("calls=1, input_tokens=")
    assert [call.customer for call in calls] == ["a", "b"]


# FastAPI


def with_fastapi() -> Any:
    fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed")
    import tachograph.fastapi as ours

    return fastapi, ours


def test_fastapi_usage_in_async_and_sync_endpoints(ask: Any) -> None:
    fastapi, ours = with_fastapi()
    app = fastapi.FastAPI()
    app.add_middleware(ours.TachographMiddleware, header="x-tachograph-usage")
    used = Annotated[Totals, fastapi.Depends(ours.usage)]

    async def asynchronous(total: used) -> int:  # type: ignore[valid-type]
        await asyncio.to_thread(ask)
        return total.calls  # type: ignore[attr-defined,no-any-return]

    def sync(total: used) -> int:  # type: ignore[valid-type]
        ask()
        ask()
        return total.calls  # type: ignore[attr-defined,no-any-return]

    for path, endpoint in (("/async", asynchronous), ("/sync", sync)):
        endpoint.__annotations__ = {"total": used, "return": int}
        app.get(path)(endpoint)
    told = TestClient(app)
    assert told.get("/async").json() == 1
    answer = told.get("/sync")
    assert (answer.json(), answer.headers["x-tachograph-usage"][:8]) == (2, "calls=2,")
    assert told.get("/openapi.json").json()["paths"]["/sync"]["get"].get("parameters", []) == []


def test_fastapi_attribution_reaches_async_and_sync_endpoints(ask: Any, calls: list[Call]) -> None:
    fastapi, ours = with_fastapi()
    solved: list[str] = []

    def user_id(request: Any) -> str:  # sync: in a thread of its own
        solved.append("user")
        return str(request.headers["x-user"])

    user_id.__annotations__ = {"request": fastapi.Request}

    async def tier() -> str:
        return "gold"

    told = ours.Attribution(
        customer=ours.Path("customer_id"),
        user=fastapi.Depends(user_id),
        feature="search",
        conversation=lambda request: request.query["chat"],
        tags={"tier": fastapi.Depends(tier), "one": 1},
    )
    router = fastapi.APIRouter(dependencies=[fastapi.Depends(told)])

    @router.get("/{customer_id}/async")
    async def asynchronous() -> None:
        await asyncio.to_thread(ask)

    @router.get("/{customer_id}/sync")
    def sync() -> None:
        ask()

    app = fastapi.FastAPI()
    app.include_router(router, prefix="/customers")
    app.add_middleware(ours.TachographMiddleware, customer="by default", team="t")
    for path in ("async", "sync"):
        answer = TestClient(app).get(f"/customers/acme/{path}?chat=c", headers={"x-user": "u"})
        assert answer.status_code == 200
        call = calls.pop()
        assert (call.customer, call.user_id, call.feature, call.team) == ("acme", "u", "search", "t")
        assert (call.conversation_id, call.tags) == ("c", {"tier": "gold", "one": "1"})
    assert solved == ["user", "user"]


def test_fastapi_path_parameters_from_the_middleware(ask: Any, calls: list[Call]) -> None:
    fastapi, ours = with_fastapi()
    router = fastapi.APIRouter()

    @router.get("/{customer_id}")
    def sync(customer_id: int) -> int:
        ask()
        return customer_id

    app = fastapi.FastAPI()
    app.include_router(router, prefix="/customers")
    app.add_middleware(ours.TachographMiddleware, customer=ours.Path("customer_id"))
    assert TestClient(app).get("/customers/7").json() == 7
    assert calls[0].customer == "7"


def test_fastapi_dependencies_that_yield_and_attribute_from_a_sync_one(ask: Any, calls: list[Call]) -> None:
    fastapi, ours = with_fastapi()

    def who() -> Iterator[None]:
        ours.attribute(customer="acme")
        yield
        ask()

    app = fastapi.FastAPI()
    app.add_middleware(ours.TachographMiddleware)

    @app.get("/", dependencies=[fastapi.Depends(who)])
    async def endpoint() -> None:
        await asyncio.to_thread(ask)

    assert TestClient(app).get("/").status_code == 200
    assert [call.customer for call in calls] == ["acme", "acme"]


def test_fastapi_without_the_middleware_says_so() -> None:
    fastapi, ours = with_fastapi()
    app = fastapi.FastAPI()

    @app.get("/", dependencies=[fastapi.Depends(ours.usage)])
    async def endpoint() -> None: ...

    with pytest.raises(RuntimeError, match=r"app\.add_middleware\(TachographMiddleware\)"):
        TestClient(app).get("/")
    with pytest.raises(TypeError, match="did you mean 'customer'"):
        ours.Attribution(custmer="x")


def test_the_header_is_read_back() -> None:
    totals = Totals()
    totals.add(Call(input_tokens=3, output_tokens=4, usage_source="reported", cost_usd=Decimal("0.0000000100")))
    totals.add(Call(outcome="error"))
    said = dict(part.split("=") for part in str(totals).split(", "))
    assert said == {
        "calls": "2",
        "input_tokens": "3",
        "output_tokens": "4",
        "cost_usd": "0.00000001",
        "uncounted": "1",
        "unpriced": "1",
    }
    assert json.dumps(totals.as_dict(), default=str)
    assert repr(totals).startswith("<Totals calls=2")


def test_totals_count_from_many_threads() -> None:
    totals = Totals()
    call = Call(
        input_tokens=2,
        output_tokens=1,
        total_tokens=3,
        cache_read=1,
        output_reasoning=1,
        usage_source="reported",
        cost_usd=Decimal("0.001"),
    )

    def work() -> None:
        for _ in range(500):
            totals.add(call)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert totals.as_dict() == {
        "calls": 4000,
        "errors": 0,
        "input_tokens": 8000,
        "output_tokens": 4000,
        "total_tokens": 12000,
        "cache_read": 4000,
        "reasoning": 4000,
        "cost_usd": Decimal(4),
        "uncounted": 0,
        "unpriced": 0,
    }


def test_a_call_that_ends_while_totals_are_added_up_does_not_wait() -> None:
    totals = Totals()
    adding = threading.Thread(target=lambda: [totals.add(Call()) for _ in range(200)], daemon=True)
    with totals._lock:  # as in a finalizer that runs in the middle of adding up
        adding.start()
        adding.join(5)
        assert not adding.is_alive()
    assert totals.calls == 200
    with pytest.raises(AttributeError, match="Totals has no 'tokens': it has calls,"):
        _ = totals.tokens
