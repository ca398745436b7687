"""The demo as a user starts it, shortened: everything that happens in it can be found, and every call counts once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.capture.gateway.envoys import binary
from tests.ports import free_ports

from tachograph.testing import day

# The gateway draws who goes to the canary: in half the time, one day in two hundred and fifty sends it nobody.
MINUTES = "0.6"
OVER_SECONDS_MAX = 60.0


class Demo:
    """A demo whose day is over and that serves on."""

    def __init__(self, folder: Path) -> None:
        listen, http, grpc, gateway = (f"127.0.0.1:{port}" for port in free_ports(4))
        doors = ("--listen", listen, "--otlp-http", http, "--otlp-grpc", grpc, "--gateway", gateway)
        command = [sys.executable, "-m", "tachograph", "demo", "--minutes", MINUTES, "--store", str(folder), *doors]
        self.api, self.lines = f"http://{listen}", []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def play(self) -> None:
        until = time.monotonic() + OVER_SECONDS_MAX
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "the day is over" in line:
                return
            assert time.monotonic() < until, self.lines
        raise AssertionError(f"ended with {self.process.wait()}: {self.lines}")

    def ask(self, measures: str, by: str, *where: str) -> list[dict[str, Any]]:
        query = [("measure", measures), ("by", by), ("since", "15m"), *(("where", each) for each in where)]
        with urllib.request.urlopen(f"{self.api}/api/v1/ask?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            rows: list[dict[str, Any]] = json.loads(answer.read())["rows"]
        return [row for row in rows if row.get("source") != "demo"]

    def stop(self) -> int:
        assert self.process.stdout is not None
        with self.process.stdout:
            self.process.send_signal(signal.SIGINT)
            try:
                return self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                return self.process.wait()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    binary()
    demo = Demo(tmp_path_factory.mktemp("demo") / "store")
    try:
        demo.play()
        yield demo
    finally:
        assert demo.stop() == 0


@pytest.mark.long
def test_every_call_that_was_made_is_stored_once(played: Demo) -> None:
    said = next(line for line in played.lines if "calls made" in line)
    made, stored = (int(word.replace(",", "")) for word in re.findall(r"([\d,]+) (?:calls made|stored)", said))
    assert made == stored > 300 and "none twice" in said and "seen by SDK and gateway" in said
    assert played.lines[0].startswith(f"open {played.api}")
    assert any("incident at anthropic" in line for line in played.lines)


@pytest.mark.long
def test_all_three_doors_were_used(played: Demo) -> None:
    sources = {row["source"].split()[0]: row["source"] for row in played.ask("calls", "source")}
    apis = {row["api"] for row in played.ask("calls", "source,api")}
    assert {"sdk", "gateway", "otlp"} <= set(sources) and {"otlp.otel", "otlp.openinference"} <= apis


@pytest.mark.long
def test_the_canary_and_the_new_version_are_there(played: Demo) -> None:
    arms = {row["arm"]: row["calls"] for row in played.ask("calls", "source,arm", f"experiment={day.EXPERIMENT}")}
    versions = {r["response_model"] for r in played.ask("calls", "source,response_model", f"request_model={day.ALIAS}")}
    assert set(arms) == {"now", "mini"} and {day.BEFORE, day.AFTER} <= versions


@pytest.mark.long
def test_the_jump_of_costs_the_incident_and_the_clients_that_left_are_there(played: Demo) -> None:
    teams = played.ask("calls,input_tokens", "source,team", f"team={day.JUMP_TEAM}")
    before = played.ask("calls,input_tokens", "team", f"team={day.JUMP_TEAM}", "source=demo")[0]
    now = sum(row["input_tokens"] for row in teams) / sum(row["calls"] for row in teams)
    assert now > 1.8 * before["input_tokens"] / before["calls"]
    failed = played.ask("calls", "source,provider", "error_type=provider_overloaded")
    assert {row["provider"] for row in failed} == {"anthropic"}
    assert played.ask("calls", "source,outcome", "outcome=aborted")


@pytest.mark.long
def test_what_has_no_price_and_what_nobody_is_known_for_are_there(played: Demo) -> None:
    unpriced = played.ask("calls", "source,request_model", "price_status=unpriced_model")
    assert {row["request_model"] for row in unpriced} == {day.UNPRICED}
    assert {row["provider"] for row in played.ask("calls", "source,provider", "team=")} >= {"groq"}
    with urllib.request.urlopen(f"{played.api}/api/v1/annotations?since=15m", timeout=30) as answer:
        (noted,) = json.loads(answer.read())["annotations"]
    assert (noted["kind"], noted["service"]) == ("deployment", day.JUMP_SERVICE)
