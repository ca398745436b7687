"""Every query of the dashboards on ClickHouse, asked of a real server over HTTP; figures are those of `ask`."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.deploy.expanding import Json, View, dashboards, panels

from tachograph.annotation import Annotation
from tachograph.call import Call
from tachograph.store import Store, open_store
from tachograph.store.rollups import QUANTILE_ERROR
from tachograph.testing import generated_day

pytestmark = pytest.mark.long

ALL = dashboards("clickhouse")
PANELS = [(f"{name}: {panel['title']}", panel) for name, one in ALL.items() for panel in panels(one)]
SINCE, DAYS = datetime(2026, 6, 1, tzinfo=UTC), 5
UNTIL, DAY = SINCE + timedelta(days=DAYS), timedelta(days=1)
NASTY = "it's (a, team)"
CHOSEN = {"provider": ["openai", "anthropic"], "model": ["gpt-5", "(none)"], "team": [NASTY, "search", "(none)"]}
CHOSEN |= {"environment": ["production", "(none)"], "outcome": ["ok", "error"]}
SERIES, TABLE = 0, 1
# What the plugin makes a time, a name or a figure of.
TIME = re.compile(r"DateTime(64)?\(.*\)")
NAME = re.compile(r"(LowCardinality\()?(Nullable\()?(Fixed)?String.*")
FIGURE = re.compile(r"(Nullable\()?(Float64|U?Int(8|16|32|64))\)?")


def traffic() -> list[Call]:
    """Five days; some calls without a price, without a team, with a team of a difficult name, and a new version."""
    found = [call for day in range(DAYS) for call in generated_day(date(2026, 6, 1 + day), 1200, seed=day)]
    for index, call in enumerate(found):
        call.model = call.request_model if index % 11 else None
        call.price_status = "priced" if index % 7 else "unpriced_model"
        call.cost_source = "list" if index % 7 else None
        call.cost_usd = Decimal(1 + index % 97) / 1000 if index % 7 else None
        call.team = NASTY if call.team == "growth" else call.team
        call.feature, call.customer = ("chat", "acme") if index % 3 else ("", "")
        call.environment = "production" if index % 5 else ""
        if call.request_model == "gpt-5" and call.started_at >= SINCE + 2 * DAY:
            call.response_model = "gpt-5-2026-06-03"
    return found


@dataclass(frozen=True)
class Answer:
    columns: dict[str, str]  # name -> type
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Server:
    address: str
    store: Store

    def answer(self, view: View, text: str) -> Answer:
        """As the plugin asks: over HTTP, with no database of its own chosen."""
        body = f"{view.sql(text)}\nFORMAT JSON".encode()
        settings = "readonly=1&output_format_json_quote_64bit_integers=0"
        request = urllib.request.Request(f"{self.address}/?database=default&{settings}", body)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                told = json.loads(answer.read())
        except urllib.error.HTTPError as failed:
            raise AssertionError(f"{failed.read().decode()[:600]}\n{body.decode()}") from None
        return Answer({one["name"]: one["type"] for one in told["meta"]}, told["data"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from tests.servers.clickhouse import serve

    found = traffic()
    with serve(tmp_path_factory.mktemp("server")) as address, open_store(address) as store:
        for first in range(0, len(found), 1000):
            store.write(found[first : first + 1000], f"calls {first}")
        again = found[100]
        again.same_as, again.call_id = again.call_id, "f" * 32  # another sighting of one of them: counted nowhere
        store.write([again], "again")
        store.annotate(Annotation("a" * 32, SINCE + DAY, "deployment", "version 7", "answers", "production", "ci"))
        store.annotate(Annotation("b" * 32, SINCE + DAY, "note", "mistaken", "", "", "me"))
        store.forget("b" * 32)
        yield Server(address, store)


def view(days: int = DAYS, step_seconds: int = 3600, chosen: bool = False) -> View:
    """The range ends with its last second: Grafana's ranges hold their end, ours do not."""
    until = int((SINCE + days * DAY).timestamp()) - 1
    return View(int(SINCE.timestamp()), until, step_seconds, CHOSEN if chosen else {})


@pytest.mark.parametrize("panel", [each[1] for each in PANELS], ids=[each[0] for each in PANELS])
def test_every_query_has_the_columns_that_its_panel_needs(server: Server, panel: Json) -> None:
    (target,) = panel["targets"]
    for seen in (view(), view(1, 300), view(chosen=True), view(1, 300, chosen=True)):
        found = server.answer(seen, target["rawSql"])
        assert found.rows
        kinds = list(found.columns.values())
        if target["format"] == SERIES:
            assert next(iter(found.columns)) == "time" and TIME.fullmatch(kinds[0])
            times = [row["time"] for row in found.rows]
            assert times == sorted(times)  # or the plugin makes no series of it
            assert all(NAME.fullmatch(kind) or FIGURE.fullmatch(kind) for kind in kinds[1:])
            named = re.findall(
                r"\$\{__field\.labels\.([\w ]+)\}", panel["fieldConfig"]["defaults"].get("displayName", "")
            )
            assert {name for name in found.columns if NAME.fullmatch(found.columns[name])} == set(named)
        assert all(any(form.fullmatch(kind) for form in (TIME, NAME, FIGURE)) for kind in kinds), found.columns
        shaped = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
        assert shaped <= set(found.columns)


def row(server: Server, name: str, title: str, seen: View) -> dict[str, Any]:
    (panel,) = (one for one in panels(ALL[f"clickhouse/{name}"]) if one["title"] == title)
    (found,) = server.answer(seen, panel["targets"][0]["rawSql"]).rows
    return found


def rows(server: Server, name: str, title: str, seen: View) -> list[dict[str, Any]]:
    (panel,) = (one for one in panels(ALL[f"clickhouse/{name}"]) if one["title"] == title)
    return server.answer(seen, panel["targets"][0]["rawSql"]).rows


def asked(server: Server, measures: dict[str, str], days: int, **question: Any) -> list[dict[str, Any]]:
    until = SINCE + timedelta(days=days)
    names = list(measures.values())
    found = server.store.ask(names, since=SINCE, until=until, **question)
    back = {measure: column for column, measure in measures.items()}
    return [{back.get(key, key): value for key, value in record.items()} for record in found.records()]


TRAFFIC = {"Cost": "cost_usd", "Calls": "calls", "Tokens": "total_tokens"}
QUALITY = {"p50": "duration_p50_ms", "p95": "duration_p95_ms", "p99": "duration_p99_ms", "Error rate": "error_rate"}
QUALITY |= {"p95 to the first content": "ttft_p95_ms", "Gap p95": "itl_p95_ms"}
KNOWN = {"From a cache": "cache_hit_rate", "Unpriced": "unpriced_share", "Without a team": "unattributed_share"}


@pytest.mark.parametrize("days", [1, DAYS])
@pytest.mark.parametrize(
    ("title", "measures"), [("Traffic", TRAFFIC), ("Quality", QUALITY), ("Cache, and what is not known", KNOWN)]
)
def test_totals_are_what_ask_answers(server: Server, title: str, measures: dict[str, str], days: int) -> None:
    """One day is read from the minutes, five from the hours."""
    told = row(server, "overview", title, view(days))
    (truth,) = asked(server, measures, days)
    assert {name: told[name] for name in measures} == pytest.approx(truth, rel=1e-9)


def test_versions_are_what_ask_answers(server: Server) -> None:
    measures = {"Calls": "calls", "Cost": "cost_usd", "p95": "duration_p95_ms", "Tokens": "total_tokens"}
    told = {
        (one["Provider"], one["Request model"], one["Version"]): {name: one[name] for name in measures}
        for one in rows(server, "overview", "Versions", view())
    }
    truth = asked(server, measures, DAYS, by=["provider", "request_model", "response_model"])
    assert len(told) == len(truth)
    for one in truth:
        version = one["response_model"] or f"{one['request_model']} (version not stated)"
        found = told[one["provider"], one["request_model"], version]
        assert found.pop("p95") == pytest.approx(one["p95"], rel=QUANTILE_ERROR)  # `ask` may read a roll-up, we do not
        assert found == pytest.approx({name: one[name] for name in found}, rel=1e-9)


def test_the_chargeback_is_what_ask_answers_and_adds_up(server: Server) -> None:
    by = ["team", "project", "feature", "customer"]
    told = {
        tuple(one[name.capitalize()] for name in by): (one["Cost"], one["Calls"])
        for one in rows(server, "teams", "Chargeback", view())
    }
    for one in asked(server, TRAFFIC, DAYS, by=by):
        found = told.pop(tuple(one[name] or "(none)" for name in by))
        assert found == pytest.approx((one["Cost"], one["Calls"]))
    assert told == {}
    days = rows(server, "teams", "Teams and projects", view())
    (whole,) = asked(server, TRAFFIC, DAYS)
    assert sum(one["Cost"] for one in days) == pytest.approx(whole["Cost"])
    assert sum(one["Calls"] for one in days) == whole["Calls"] == DAYS * 1200


@pytest.mark.parametrize(("days", "step"), [(1, 300), (DAYS, 3600), (DAYS, 86400)])
def test_a_course_adds_up_to_what_ask_answers(server: Server, days: int, step: int) -> None:
    parts = rows(server, "overview", "Tokens a minute by part", view(days, step))
    truth = asked(server, {"Tokens": "total_tokens"}, days, step=timedelta(seconds=step))
    assert len(parts) == len(truth)
    for one, exact in zip(parts, truth, strict=True):
        tokens = sum(value or 0 for name, value in one.items() if name != "time") * step / 60
        assert tokens == pytest.approx(exact["Tokens"] or 0)
    hourly = rows(server, "overview", "Cost an hour by version", view(days, step))
    (whole,) = asked(server, {"Cost": "cost_usd"}, days)
    assert sum(one["Cost an hour"] or 0 for one in hourly) * step / 3600 == pytest.approx(whole["Cost"])


def test_choices_narrow_the_figures(server: Server) -> None:
    where = {"provider": CHOSEN["provider"], "model": ["gpt-5", None], "environment": ["production", ""]}
    (truth,) = asked(server, TRAFFIC, DAYS, where=where)
    told = row(server, "overview", "Traffic", view(chosen=True))
    assert {name: told[name] for name in TRAFFIC} == pytest.approx(truth)
    (truth,) = asked(server, TRAFFIC, DAYS, where={**where, "team": [NASTY, "search", ""]})
    told = row(server, "teams", "Traffic", view(chosen=True))
    assert {name: told[name] for name in TRAFFIC} == pytest.approx(truth)
    assert 0 < truth["Calls"] < DAYS * 1200


def test_the_lists_of_calls_lead_to_them(server: Server) -> None:
    slowest = rows(server, "calls", "Slowest", view())
    costly = rows(server, "calls", "Most expensive", view())
    assert len(slowest) == len(costly) == 100
    assert [one["Latency"] for one in slowest] == sorted((one["Latency"] for one in slowest), reverse=True)
    assert [one["Cost"] for one in costly] == sorted((one["Cost"] for one in costly), reverse=True)
    found = server.store.call(slowest[0]["Call"])
    assert found is not None and found.duration_ms == slowest[0]["Latency"]
    failed = rows(server, "calls", "Failed", view())
    assert failed and all(one["Outcome"] != "ok" for one in failed)


@pytest.mark.parametrize("name", sorted(ALL))
def test_choices_and_notes(server: Server, name: str) -> None:
    for variable in ALL[name]["templating"]["list"]:
        if variable["type"] == "query":
            found = server.answer(view(), variable["query"]["rawSql"])
            assert list(found.columns) == ["value"]
            values = [one["value"] for one in found.rows]
            assert all(values) and len(set(values)) == len(values)
            assert {*values} & {*CHOSEN[variable["name"]]}
    written, changed = (note for note in ALL[name]["annotations"]["list"] if "target" in note)
    notes = server.answer(view(), written["target"]["rawSql"])
    assert [(one["text"], one["tags"]) for one in notes.rows] == [("version 7", "deployment")]
    changes = server.answer(view(), changed["target"]["rawSql"])
    assert [one["text"] for one in changes.rows] == ["openai: gpt-5 is answered by gpt-5-2026-06-03"]
    for found in (notes, changes):
        assert TIME.fullmatch(found.columns["time"]) and NAME.fullmatch(found.columns["text"])
