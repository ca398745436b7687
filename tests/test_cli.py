"""The commands as a user runs them: what they print, what they say about bad input, and their exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.ports import free_port

from tachograph import cli
from tachograph.call import from_dict
from tachograph.show import _money
from tachograph.store import open_store

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT / "examples" / "recordings"
CACHED = RECORDINGS / "openai-chat-cached.json"


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TACHOGRAPH_")]:
        monkeypatch.delenv(name)

    def call(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["tachograph", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


def test_read_prints_one_priced_call_per_line(run: Any) -> None:
    ran = run("read", CACHED, RECORDINGS / "anthropic-stream-cache.json")
    assert ran.code == 0, ran.err
    openai, anthropic = ran.lines
    assert openai["file"] == str(CACHED)
    assert [openai[name] for name in ("input_uncached", "cache_read", "output_visible", "output_reasoning")] == [
        262,
        2048,
        20,
        128,
    ]
    # 262 x 0.25 + 2048 x 0.025 + 148 x 2 dollars per million tokens
    assert Decimal(openai["cost_usd"]) == Decimal("0.0004127")
    assert openai["price_id"] and openai["started_at"] == "2026-10-19T08:12:31.000000Z"
    assert (anthropic["cache_write_5m"], anthropic["cache_write_1h"], anthropic["output_tokens"]) == (200, 1000, 517)
    for line in ran.lines:
        line.pop("file")
        from_dict(line)  # every line is a Call under the names of the record


def test_read_goes_on_after_a_file_that_is_none(run: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    ran = run("read", tmp_path / "bad.json", CACHED, tmp_path / "none.json", tmp_path / "list.json")
    assert ran.code == 2
    assert [line["file"] for line in ran.lines] == [str(CACHED)]
    assert [line.split(":")[1].strip() for line in ran.err.splitlines()] == [
        str(tmp_path / name) for name in ("bad.json", "none.json", "list.json")
    ]


def test_read_prices_as_of_another_day(run: Any) -> None:
    (today,) = run("read", CACHED).lines
    (early,) = run("read", "--at", "2025-01-01", CACHED).lines
    assert early["started_at"] == today["started_at"]
    ran = run("read", "--at", "someday", CACHED)
    assert ran.code == 2
    assert ran.err == (
        "tachograph: 'someday' is no time: write now, today, 30d (ago), 2026-11-23 or 2026-11-23T10:00:00Z\n"
    )


def test_reading_twice_gives_the_same_ids(run: Any) -> None:
    first, second = (run("read", RECORDINGS).lines for _ in range(2))
    assert len(first) == len(list(RECORDINGS.glob("*.json")))
    assert [call["call_id"] for call in first] == [call["call_id"] for call in second]
    assert len({call["call_id"] for call in first}) == len(first)


def test_summary_needs_no_server(run: Any, tmp_path: Path) -> None:
    calls = tmp_path / "calls.jsonl"
    calls.write_text(run("read", RECORDINGS).out)
    value = run("summary", calls, "--json").lines[0]
    assert value["calls"] == len(list(RECORDINGS.glob("*.json")))
    assert value["errors"] == 1
    assert value["unpriced_models"] == [{"provider": "vllm", "model": "acme/support-7b", "calls": 1}]
    shown = run("summary", calls)
    assert shown.code == 0
    for word in ("cost", "latency per 1,000 tokens", "p95", "claude-sonnet-4-5", "acme/support-7b", "2026-10-19"):
        assert word in shown.out


def test_summary_reports_bad_lines_by_number(run: Any, tmp_path: Path) -> None:
    calls = tmp_path / "calls.jsonl"
    calls.write_text(run("read", CACHED).out + "broken\n" + '{"provider": 1}\n')
    ran = run("summary", calls, "--json")
    assert ran.code == 2
    assert json.loads(ran.out)["calls"] == 1
    assert re.findall(r":(\d+): ", ran.err) == ["2", "3"]


def test_import_ask_and_explain(run: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ran = run("import", RECORDINGS, "--store", store, "--json")
    assert ran.code == 0, ran.err
    count = len(list(RECORDINGS.glob("*.json")))
    assert json.loads(ran.out) == {
        "files": count,
        "accepted": count,
        "stored": count,
        "deduplicated": 0,
        "refused": 0,
        "skipped_lines": 0,
        "errors": [],
    }
    again = json.loads(run("import", RECORDINGS, "--store", store, "--json").out)
    assert (again["stored"], again["deduplicated"]) == (0, count)

    window = ("--since", "2026-10-01", "--until", "2026-11-01", "--store", store)
    answer = json.loads(run("ask", "calls,cost_usd", "--by", "provider", *window, "--json").out)
    assert answer["table"]
    by_provider = {row["provider"]: row for row in answer["rows"]}
    assert by_provider["openai"]["calls"] == 3
    assert by_provider["vllm"]["cost_usd"] is None
    table = run("ask", "calls", "--by", "model", "--where", "provider=anthropic", *window)
    assert "claude-sonnet-4-5" in table.out and "gpt" not in table.out

    (call,) = run("read", CACHED).lines
    explained = run("explain", call["call_id"], "--store", store)
    assert explained.code == 0, explained.err
    assert call["price_id"] in explained.out
    assert "2,048" in explained.out or "2048" in explained.out
    value = json.loads(run("explain", call["call_id"], "--store", store, "--json").out)
    assert Decimal(value["explanation"]["cost_usd"]) == Decimal("0.0004127")


def test_explain_looks_into_files_too(run: Any, tmp_path: Path) -> None:
    calls = tmp_path / "calls.jsonl"
    calls.write_text(run("read", RECORDINGS / "openrouter-stated-cost.json").out)
    call_id = json.loads(calls.read_text())["call_id"]
    ran = run("explain", call_id, "--file", calls)
    assert ran.code == 0
    assert "0.0045" in ran.out
    ran = run("explain", "0" * 32, "--file", calls)
    assert (ran.code, ran.err) == (2, f"tachograph: no call {'0' * 32} in {calls}\n")


def test_import_of_a_trace_with_bad_lines(run: Any, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46.68,374,44\nx,1,1\n")
    ran = run("import", trace, "--mapping", "azure-llm", "--store", tmp_path / "store", "--json")
    assert ran.code == 2
    assert json.loads(ran.out)["stored"] == 1
    assert f"{trace}:3: " in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ask", "cots_usd"], "unknown measure 'cots_usd': did you mean 'cost_usd'?"),
        (["ask", "calls", "--by", "modle"], "unknown dimension 'modle': did you mean 'model'?"),
        (["ask", "calls", "--since", "soon"], "'soon' is no time"),
        (["ask", "calls", "--step", "5x"], "'5x' is no duration"),
        (["ask", "calls", "--where", "model"], "filter 'model': write NAME=VALUE"),
        (["import", "nowhere"], "nowhere: no such file or folder"),
        (["import", str(CACHED), "--mapping", "unknown"], "no such mapping file"),
        (["summary", "nowhere.jsonl"], "nowhere.jsonl: No such file or directory"),
        (["ask", "calls", "--config", "none.toml"], "none.toml: No such file or directory"),
        (["explain", "xyz"], "'xyz' is no call id"),
        (["read"], "Missing argument"),
        (["reed"], "reed"),
        (["up", "--listen", "0.0.0.0:80"], "holds no valid key: `tachograph key add NAME --scope ingest` makes one"),
        (["read", str(CACHED), "--prices", "none.toml"], "none.toml: No such file or directory"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run: Any, words: list[str], message: str) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""


def test_a_price_file_wins_and_a_wrong_one_is_named(run: Any, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[pricee]]\nprovider = "openai"\n')
    ran = run("read", CACHED, "--prices", prices)
    assert ran.code == 2
    assert "pricee" in ran.err and ran.err.count("\n") == 1


def test_doctor(run: Any, tmp_path: Path) -> None:
    ran = run("doctor", "--store", tmp_path / "store", "--json")
    rows = json.loads(ran.out)
    assert {row["check"] for row in rows} >= {"Python", "chdb", "prices", "disk", "store"}
    assert ran.code == (0 if all(row["ok"] for row in rows) else 2)


def test_somebody_says_what_happened(run: Any, tmp_path: Path) -> None:
    said = ("annotate", "search 1.4 deployed", "--service", "search", "--at", "2026-06-01T12:00:00Z", "--store", "data")
    ran = run(*said, "--kind", "deployment")
    assert (ran.code, ran.out) == (0, "deployment at 2026-06-01T12:00:00Z: search 1.4 deployed\n")
    june = datetime(2026, 6, 1, tzinfo=UTC)
    with open_store(f"chdb://{tmp_path / 'data'}") as store:
        (found,) = store.annotations(since=june, until=june + timedelta(days=1))
    assert (found.kind, found.text, found.service) == ("deployment", "search 1.4 deployed", "search")
    ran = run(*said, "--kind", "release")
    assert ran.code == 2
    assert "release" in ran.err and ran.err.count("\n") == 1


def test_a_folder_that_cannot_be_used_is_named(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("ask", "calls", "--store", tmp_path / "file" / "store")
    assert ran.code == 2
    assert str(tmp_path / "file") in ran.err and ran.err.count("\n") == 1


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """`tachograph up` in its own process: (address, store)."""
    store, port = tmp_path / "store", free_port()
    words = ["up", "--store", str(store), "--listen", f"127.0.0.1:{port}", "--gateway", "", "--with", str(RECORDINGS)]
    with (tmp_path / "up.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "tachograph", *words], cwd=tmp_path, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    urllib.request.urlopen(address + "/api/v1/health", timeout=5).read()
                    break
                except OSError:
                    assert process.poll() is None, (tmp_path / "up.log").read_text()
                    time.sleep(0.1)
            yield address, store
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def get(url: str) -> Any:
    return json.loads(urllib.request.urlopen(url, timeout=30).read())


def test_up_serves_and_other_commands_ask_it(run: Any, running: tuple[str, Path], tmp_path: Path) -> None:
    address, store = running
    count = len(list(RECORDINGS.glob("*.json")))
    assert get(address + "/api/v1/health")["store"]["calls"] == count
    answer = get(address + "/api/v1/ask?measure=calls&by=provider&since=2026-10-01")
    assert sum(row["calls"] for row in answer["rows"]) == count
    page = get(address + "/api/v1/calls?since=2026-10-01&limit=4")
    following = get(address + f"/api/v1/calls?since=2026-10-01&limit=100&after={page['next_after']}")
    assert len(page["calls"]) == 4
    assert len({call["call_id"] for call in page["calls"] + following["calls"]}) == count
    one = get(address + "/api/v1/calls/" + page["calls"][0]["call_id"])
    assert one["call"] == page["calls"][0]
    assert one["explanation"]["price_status"] == page["calls"][0]["price_status"]

    # the store belongs to the running process: other commands go through it
    asked = json.loads(run("ask", "calls", "--since", "2026-10-01", "--store", store, "--json").out)
    assert asked["rows"] == [{"calls": count}]
    again = json.loads(run("import", RECORDINGS, "--store", store, "--json").out)
    assert (again["accepted"], again["stored"]) == (count, 0)
    assert run("doctor", "--store", store).code == 0
    assert run("explain", page["calls"][0]["call_id"], "--store", store).code == 0


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/v1/ask?measure=nonsense", 400, "unknown measure 'nonsense'"),
        ("/api/v1/ask?mesure=calls", 400, "unknown parameter 'mesure'"),
        ("/api/v1/calls?limit=5000", 400, "limit is '5000': give a number from 1 to 1000"),
        ("/api/v1/calls/00000000000000000000000000000000", 404, "no call 0"),
        ("/api/v2", 404, "is not part of the API"),
    ],
)
def test_the_api_names_what_is_wrong(running: tuple[str, Path], path: str, status: int, message: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as failure:
        get(running[0] + path)
    with failure.value as answer:
        assert answer.code == status
        assert message in json.loads(answer.read())["error"]["message"]


def test_a_summary_prices_what_nobody_has_priced(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    call = {"provider": "openai", "request_model": "gpt-5-mini", "started_at": "2026-11-25T21:00:00Z"}
    counted = {"input_uncached": 1_000_000, "output_visible": 0, "usage_source": "reported"}
    file.write_text(json.dumps(call | counted) + "\n", "utf-8")
    (value,) = run("summary", file, "--json").lines
    assert value["cost_usd"] == "0.2500000000"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ("0", "0.000000"), ("0.00000046", "0.00000046"), ("0.02", "0.020000"), ("1234.5", "1,234.50")],
)
def test_little_is_not_nothing(value: str | None, shown: str) -> None:
    assert _money(value) == shown
