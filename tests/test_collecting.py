"""The collector's path: what came in is accounted for to the last item, whatever was wrong with it."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.store.seeing import assert_rolled
from tests.store.test_relinking import Failing

from tachograph.capture.otlp import Taken
from tachograph.collecting import Collector
from tachograph.dialects.reading import SpanReader
from tachograph.dialects.rules import SpanLimits
from tachograph.flow import Busy, Refused
from tachograph.health import Health
from tachograph.keeping import Keeping
from tachograph.pricing import PriceBook, price_book
from tachograph.prometheus import Metrics
from tachograph.store import Store
from tachograph.store.migration import Placement

EVER = {"since": datetime(2000, 1, 1, tzinfo=UTC), "until": datetime(2106, 1, 1, tzinfo=UTC)}
NS = 10**9
LATELY = int(datetime.now(UTC).timestamp()) - 1800  # one for all: a span that is sent again began when it began
ATTRIBUTES_MAX = 40
TRUNCATED = b"\n\x7f\n"


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return price_book()


class Bench:
    """A collector on a store of its own, and everything that it told others."""

    def __init__(self, folder: Path, book: PriceBook) -> None:
        self.engine = Failing(f"chdb://{folder}")
        self.store = Store(self.engine, Placement(None), {})
        self.health = Health()
        self.published: list[pa.RecordBatch] = []
        now = lambda: datetime.now(UTC)  # noqa: E731
        self.metrics = Metrics(self.health)
        keeping = Keeping(self.store, self.metrics, self.health, now)
        reader = SpanReader(SpanLimits(attributes_max=ATTRIBUTES_MAX))
        self.collector = Collector(reader, keeping, book, self.health, {}, now, self.published.append)
        self.sent = 0

    def take(self, signal: str, *bodies: bytes) -> Sequence[Taken | Refused]:
        """Take them; the ledger is even afterwards, and before anything else is taken."""
        try:
            answers = self.collector.take(signal, bodies)
            assert len(answers) == len(bodies)
            return answers
        finally:
            ledger = self.health.ledger()
            assert ledger["balanced"], ledger
            assert ledger["in_flight"] == 0

    def ledger(self) -> dict[str, int]:
        """The ledger without what is nothing, its parts as sums but for the reasons."""
        found = self.health.ledger()
        flat = {
            "accepted": sum(found["accepted"].values()),
            "stored": found["stored"],
            "deduplicated": found["deduplicated"],
            **{f"refused {reason}": count for reason, count in found["refused"].items()},
            **{f"ignored {reason}": count for reason, count in found["ignored"].items()},
        }
        return {name: count for name, count in flat.items() if count}

    def counted(self) -> tuple[int, int]:
        (row,) = self.store.ask(["calls", "total_tokens"], **EVER).rows
        return int(row.values[0] or 0), int(row.values[1] or 0)


@pytest.fixture
def bench(tmp_path: Path, book: PriceBook) -> Iterator[Bench]:
    bench = Bench(tmp_path, book)
    yield bench
    bench.store.close()


def said(**attributes: Any) -> list[KeyValue]:
    kinds = {str: "string_value", int: "int_value", bool: "bool_value", float: "double_value"}
    return [
        KeyValue(key=key.replace("__", "."), value=AnyValue(**{kinds[type(value)]: value}))
        for key, value in attributes.items()
    ]


def octets(name: str, width: int) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:width]


def span(name: str, start: float = 0.0, seconds: float = 1.0, **fields: Any) -> Span:
    """A chat in the trace `trace`, below the span `parent`; `attributes` are added to those of a chat."""
    trace, parent = fields.pop("trace", name), fields.pop("parent", None)
    begun = int((LATELY + start) * NS)
    chat = {"gen_ai__operation__name": "chat", "gen_ai__provider__name": "openai", "gen_ai__request__model": "gpt-4o"}
    tokens = {"gen_ai__usage__input_tokens": 100, "gen_ai__usage__output_tokens": 10}
    told = {
        "trace_id": octets(trace, 16),
        "span_id": octets(name, 8),
        "parent_span_id": octets(parent, 8) if parent else b"",
        "name": name,
        "start_time_unix_nano": begun,
        "end_time_unix_nano": begun + int(seconds * NS),
        "attributes": said(**{**chat, **tokens, **fields.pop("attributes", {})}),
    }
    return Span(**{**told, **fields})


def plain(name: str, parent: str | None = None, **fields: Any) -> Span:
    """A span that is no call."""
    found = span(name, parent=parent, **fields)
    del found.attributes[:]
    found.attributes.extend(said(http__request__method="POST"))
    return found


def body(*spans: Span, scope: str = "opentelemetry.instrumentation.openai_v2") -> bytes:
    request = ExportTraceServiceRequest()
    scoped = request.resource_spans.add().scope_spans.add()
    scoped.scope.name = scope
    scoped.spans.extend(spans)
    return request.SerializeToString()


def test_every_span_of_every_request_is_accounted_for(bench: Bench) -> None:
    many = said(**{f"a{place}": place for place in range(ATTRIBUTES_MAX + 1)})
    crowded = span("crowded")
    crowded.attributes.extend(many)
    answers = bench.take(
        "traces",
        body(span("one"), span("two"), plain("http", "one")),
        TRUNCATED,
        body(),
        b"",
        body(crowded, span("three"), span("short", trace_id=b"12"), span("none", span_id=b"")),
        b"\xff\xff\xff not protobuf",
        body(span("old", start_time_unix_nano=7), span("far", start_time_unix_nano=2**64 - 1)),
        body(span("agent", attributes={"gen_ai__operation__name": "invoke_agent"}), plain("lonely")),
    )
    refused = [place for place, answer in enumerate(answers) if isinstance(answer, Refused)]
    assert refused == [1, 5]
    assert all("breaks off or is damaged" in str(answers[place]) for place in refused)
    taken = {place: answer for place, answer in enumerate(answers) if isinstance(answer, Taken)}
    assert {place: (answer.items, answer.rejected) for place, answer in taken.items()} == {
        0: (3, 0),
        2: (0, 0),
        3: (0, 0),
        4: (4, 3),
        6: (2, 2),
        7: (2, 0),
    }
    assert "too many attributes" in taken[4].message
    assert "set start_time_unix_nano" in taken[6].message
    assert taken[0].message == taken[7].message == ""
    ledger = bench.ledger()
    assert ledger.pop("ignored not_a_model_call") + ledger.pop("ignored rollup") == 3
    assert ledger == {
        "accepted": 11,
        "stored": 3,
        "refused too_many_attributes": 1,
        "refused bad_ids": 2,
        "refused bad_time": 2,
    }
    assert bench.counted() == (3, 330)
    assert sum(batch.num_rows for batch in bench.published) == 3


def test_nothing_at_all(bench: Bench) -> None:
    for signal in ("traces", "logs", "metrics"):
        assert list(bench.take(signal)) == []
        (answer,) = bench.take(signal, b"")
        assert isinstance(answer, Taken)
        assert answer.items == 0
        (broken,) = bench.take(signal, TRUNCATED)
        assert isinstance(broken, Refused)
        assert [type(answer) for answer in bench.take(signal, TRUNCATED, TRUNCATED, b"")] == [Refused, Refused, Taken]
    assert bench.ledger() == {}
    assert bench.published == []


def test_too_much_in_one_request_is_refused_alone_and_too_much_together_is_stored(bench: Bench) -> None:
    bench.collector._reader = SpanReader(SpanLimits(entries_max=12))
    small = [body(*(span(f"{word}{place}") for place in range(7))) for word in "abc"]
    large = body(*(plain(f"large {place}") for place in range(12)))
    first, refused, *others = bench.take("traces", small[0], large, *small[1:])
    assert isinstance(refused, Refused) and refused.reason == "batch_too_large"
    assert [answer.rejected for answer in (first, *others) if isinstance(answer, Taken)] == [0, 0, 0]
    assert bench.ledger() == {"accepted": 21, "stored": 21}


def test_what_is_resent_is_deduplicated(bench: Bench) -> None:
    bodies = [body(span("one"), span("two")), body(span("three"))]
    bench.take("traces", *bodies)
    bench.take("traces", *bodies)
    bench.take("traces", body(span("one"), span("four"), span("four")), bodies[1])
    assert bench.ledger() == {"accepted": 10, "stored": 4, "deduplicated": 6}
    assert bench.counted() == (4, 440)
    assert sum(batch.num_rows for batch in bench.published) == 4


def test_one_call_over_many_requests_is_one_call(bench: Bench) -> None:
    """A framework, an SDK over HTTP, and a gateway tell of ten calls, one span a request, in any order."""
    chance = random.Random(3)
    bodies = []
    for number in range(10):
        below = {"trace": f"t{number}"}
        bodies += [
            body(span(f"f{number}", 0, 3, parent="agent", **below), scope="opentelemetry.instrumentation.langchain"),
            body(span(f"s{number}", 0.1, 2, parent=f"f{number}", **below)),
            body(plain(f"h{number}", f"s{number}", **below), scope="opentelemetry.instrumentation.httpx"),
            body(span(f"g{number}", 0.2, 1, parent=f"h{number}", **below), scope="ai-gateway"),
            body(plain("agent", "root", **below)),
        ]
    chance.shuffle(bodies)
    while bodies:
        some = [bodies.pop() for _ in range(min(len(bodies), chance.randrange(1, 7)))]
        bench.take("traces", *some)
    assert bench.counted() == (10, 1100)
    assert bench.ledger() == {"accepted": 50, "stored": 30, "ignored not_a_model_call": 20}
    assert bench.store.stats().repeated_sightings == 20
    assert_rolled(bench.store)


@pytest.mark.parametrize("order", [("sdk", "gateway"), ("gateway", "sdk")])
def test_a_call_is_counted_once_on_the_metrics_page_too(bench: Bench, order: tuple[str, str]) -> None:
    """Also where the sighting that comes second knows more, and is the one that counts from then on."""
    bodies = {
        "sdk": body(span("s", 0, 3, trace="t")),
        "gateway": body(span("g", 0.1, 2, parent="s", trace="t"), scope="x"),
    }
    for name in order:
        bench.take("traces", bodies[name])
    assert bench.counted()[0] == 1
    page, _ = bench.metrics.exposition()
    lines = [line for line in page.decode().splitlines() if line.startswith("tachograph_calls_total{")]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in lines) == 1


def test_a_busy_store_takes_nothing_and_says_so(bench: Bench) -> None:
    bodies = [body(span("one"), plain("http", "one")), body(span("two"))]
    for after in (False, True):
        bench.engine.arm(2, after=after, failure=Busy("no space left: free some"))  # 1: the links, 2: the calls
        with pytest.raises(Busy, match="no space left"):
            bench.take("traces", *bodies)
        bench.engine.arm(0, after=False, failure=None)
        if not after:
            assert bench.ledger() == {"accepted": 3, "refused busy": 3}
            assert bench.counted() == (0, 0)
    # The second time the rows were there, and only the answer was not: counted before anything else is.
    bench.take("traces", *bodies)
    ledger = bench.ledger()
    assert ledger.pop("refused busy") == 6
    assert ledger == {"accepted": 11, "stored": 2, "deduplicated": 2, "ignored not_a_model_call": 1}
    assert bench.counted() == (2, 220)
    assert_rolled(bench.store)


def test_an_error_of_the_engine_is_no_reason_to_lose_anything(bench: Bench) -> None:
    from tachograph.store import StoreError

    bench.engine.arm(1, after=False, failure=StoreError("the store would need more memory"))
    with pytest.raises(Busy, match="more memory"):
        bench.take("traces", body(span("one")))
    bench.engine.arm(0, after=False, failure=None)
    bench.engine.arm(1, after=False, failure=Busy("no space left"))
    with pytest.raises(Busy):
        bench.take("metrics", points())
    bench.engine.arm(0, after=False, failure=None)
    bench.take("traces", body(span("one")))
    bench.take("metrics", points())
    assert bench.ledger() == {"accepted": 6, "stored": 3, "refused busy": 3}


def points(*moments: int, value: int = 70, name: str = "gen_ai.client.token.usage", **labels: str) -> bytes:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add()
    metrics.resource.attributes.extend(said(service__name="shop"))
    metric = metrics.scope_metrics.add().metrics.add(name=name, unit="{token}")
    metric.histogram.aggregation_temporality = 1
    for moment in moments or (0, 60):
        point = metric.histogram.data_points.add(time_unix_nano=(LATELY + moment) * NS, sum=value, count=1)
        point.attributes.extend(said(**{"gen_ai__token__type": "input", **labels}))
    return request.SerializeToString()


def test_metrics_are_kept_apart_and_each_point_once(bench: Bench) -> None:
    bench.take("traces", body(span("one"), span("two")))
    answers = bench.take("metrics", points(), TRUNCATED, points(name="http.server.duration"), points(120), b"")
    assert [answer.items if isinstance(answer, Taken) else "refused" for answer in answers] == [2, "refused", 2, 1, 0]
    assert bench.ledger() == {"accepted": 7, "stored": 5, "ignored not_a_model_metric": 2}
    bench.take("metrics", points(), points(120), points(180))
    assert bench.ledger() == {"accepted": 11, "stored": 6, "deduplicated": 3, "ignored not_a_model_metric": 2}
    assert bench.counted() == (2, 220)
    assert bench.store.stats().calls == 2
    (row,) = bench.store.reported(**EVER)
    assert (row["service"], row["points"], row["value"]) == ("shop", 4, 280.0)
    assert len(bench.published) == 1
    assert_rolled(bench.store)


def test_a_point_of_no_time_does_not_keep_others_out(bench: Bench) -> None:
    request = ExportMetricsServiceRequest.FromString(points())
    (metric,) = request.resource_metrics[0].scope_metrics[0].metrics
    for odd in (0, 1, 2**64 - 1, 2**63):
        metric.histogram.data_points.add(time_unix_nano=odd, sum=1, count=2**64 - 1)
    bench.take("metrics", request.SerializeToString(), points(120))
    ledger = bench.ledger()
    assert ledger["accepted"] == 7
    assert ledger["stored"] >= 3


def test_records_of_logs_are_accounted_for(bench: Bench) -> None:
    request = ExportLogsServiceRequest()
    scoped = request.resource_logs.add().scope_logs.add()
    scoped.scope.name = "com.anthropic.claude_code.events"
    told = {"model": "claude-sonnet-4-5", "input_tokens": 100, "output_tokens": 10, "duration_ms": 900}
    moment = LATELY * NS
    for number in range(3):
        record = scoped.log_records.add(time_unix_nano=moment + number * NS, body=AnyValue(string_value="api"))
        record.attributes.extend(said(event__name="api_request", request_id=f"req {number}", **told))
    scoped.log_records.add(time_unix_nano=moment).attributes.extend(said(event__name="user_prompt"))
    whole = request.SerializeToString()
    (first,) = bench.take("logs", whole)
    answers = bench.take("logs", whole, TRUNCATED)
    assert isinstance(first, Taken)
    assert (first.items, first.rejected) == (4, 0)
    assert isinstance(answers[1], Refused)
    assert bench.ledger() == {"accepted": 8, "stored": 3, "deduplicated": 3, "ignored not_a_model_call": 2}
    assert bench.counted() == (3, 330)


def test_whatever_comes_the_ledger_is_even(bench: Bench) -> None:
    """Requests of everything, damaged here and there; the engine fails now and then."""
    chance = random.Random(11)
    failed = 0
    for _ in range(24):
        bodies = [anything(chance) for _ in range(chance.randrange(1, 6))]
        if chance.random() < 0.25:
            bench.engine.arm(chance.randrange(1, 4), after=chance.random() < 0.5, failure=Busy("no space left"))
        try:
            answers = bench.take("traces", *bodies)
        except Busy:
            failed += 1
            continue
        finally:
            bench.engine.arm(0, after=False, failure=None)
        for sent, answer in zip(bodies, answers, strict=True):
            if isinstance(answer, Taken):
                request = ExportTraceServiceRequest.FromString(sent)
                spans = [one for each in request.resource_spans for scope in each.scope_spans for one in scope.spans]
                assert answer.items == len(spans)
    assert failed > 2
    bench.take("traces", b"")
    stored = bench.store.stats()
    # What was stored although its sender was told otherwise is counted with the next write.
    bench.take("traces", body(span("last")))
    assert bench.ledger()["stored"] == stored.calls + stored.repeated_sightings + 1
    assert bench.store.repair() == {}
    assert_rolled(bench.store)


def anything(chance: random.Random) -> bytes:
    spans = []
    for _ in range(chance.randrange(5)):
        name = f"{chance.randrange(200)}"
        fields: dict[str, Any] = {"trace": f"t{int(name) % 40}", "parent": f"{int(name) // 2}"}
        if chance.random() < 0.1:
            fields |= chance.choice([{"trace_id": b""}, {"span_id": b"1234567890"}, {"start_time_unix_nano": 0}])
        made = plain if chance.random() < 0.3 else span
        spans.append(made(name, start=int(name) / 100, seconds=3, **fields))
    whole = body(*spans, scope=chance.choice(["openai", "langchain", "ai-gateway"]))
    return whole[: chance.randrange(len(whole) + 1)] if chance.random() < 0.2 else whole


@pytest.mark.long
def test_a_full_disk_loses_nothing_of_the_ledger(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        command = [sys.executable, "-m", "tests.test_collecting", str(tmp_path)]
        root = Path(__file__).parents[1]
        told = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True, timeout=300)
        assert told.stdout.splitlines() == ["busy: no space left", "then 300 of 300", "even"], told.stderr[-2000:]
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def fill(folder: Path) -> None:
    """Take requests on a disk that is full, then on one that has room again; say what became of them."""
    bench = Bench(folder / "data", price_book())
    bodies = [body(*(span(f"{request} {place}") for place in range(100))) for request in range(3)]
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 2**18):
                pass
        except OSError:
            pass
    try:
        bench.take("traces", *bodies)
        print("took it")  # noqa: T201
    except Busy as busy:
        print(f"busy: {str(busy).split(' for ')[0]}")  # noqa: T201
    ballast.unlink()
    bench.take("traces", *bodies)
    print(f"then {bench.counted()[0]} of {bench.ledger()['stored']}")  # noqa: T201
    assert_rolled(bench.store)
    print("even" if bench.health.ledger()["balanced"] else bench.ledger())  # noqa: T201
    bench.store.close()


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
