"""The whole gateway in one process: a real Envoy before the simulated provider, its log, a store."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.capture.gateway.envoys import binary, end_all, standing_in
from tests.durability.asking import PATH, routes
from tests.ports import free_port

from tachograph import gateway
from tachograph.call import Call
from tachograph.config import Settings, SettingsError
from tachograph.flow import Refused
from tachograph.gateway import Gateway, tapping, where_it_can
from tachograph.gating import Kept
from tachograph.health import Health
from tachograph.keeping import Keeping
from tachograph.pricing import price_book
from tachograph.prometheus import Metrics
from tachograph.store import open_store
from tachograph.testing.provider import Provider

SINCE = datetime.now(UTC) - timedelta(minutes=1)


class Whole:
    def __init__(self, folder: Path, provider: Provider, keeping: Keeping, health: Health) -> None:
        self.port = free_port()
        self.folder, self.keeping, self.health = folder / "gateway", keeping, health
        self.settings = Settings(
            store=str(folder / "none"),
            gateway=f"127.0.0.1:{self.port}",
            gateway_file=str(routes(folder, provider.url)),
            gateway_folder=str(self.folder),
            gateway_workers=1,
            gateway_stop_seconds=2,
        )
        self.place = Kept(keeping, price_book(), health, {}, lambda: datetime.now(UTC), lambda _new: None)

    def made(self) -> Gateway:
        return Gateway(self.settings, tapping(), self.place, self.health)

    def ask(self, path: str = PATH, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}]}
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def visible(self, count: int) -> float:
        """How long it takes until so many calls are there."""
        began = time.monotonic()
        while self.keeping.stats().calls < count:
            assert time.monotonic() < began + 10, self.health.snapshot()
            time.sleep(0.005)
        return time.monotonic() - began

    def calls(self) -> list[Call]:
        return self.keeping.calls(since=SINCE, until=SINCE + timedelta(hours=1))


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    binary()
    health = Health()
    with Provider() as provider, open_store(f"chdb://{tmp_path / 'store'}") as store:
        made = Whole(tmp_path, provider, Keeping(store, Metrics(health), health, lambda: datetime.now(UTC)), health)
        yield made
        end_all(made.folder)


def test_a_call_is_visible_at_once_and_the_file_is_read_again_when_it_changes(
    whole: Whole, caplog: pytest.LogCaptureFixture
) -> None:
    with whole.made() as running:
        assert running.line.startswith(f"gateway on 127.0.0.1:{whole.port} (Envoy ") and "/double" in running.line
        assert whole.ask(**{"x-tachograph-team": "one", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}) == 200
        whole.visible(1)
        (call,) = whole.calls()
        assert (call.trace_id, call.parent_span_id) == ("a" * 32, "b" * 16)
        assert (call.vantage, call.team, call.outcome, call.provider) == ("gateway", "one", "ok", "openai")
        assert call.input_tokens and call.output_tokens and call.cost_usd and call.duration_ms
        assert gateway.state(whole.settings)[-1][2].startswith(f"serves on 127.0.0.1:{whole.port}, process ")
        assert whole.ask("/other/v1/chat/completions") == 404
        file = Path(whole.settings.gateway_file)
        file.write_text(file.read_text().replace("/double", "/other"))
        until = time.monotonic() + 10
        while whole.ask("/other/v1/chat/completions") != 200:
            assert time.monotonic() < until
            time.sleep(0.1)
        file.write_text("rout = 1")  # a mistake: told, and the settings stay as they are
        waits = [whole.visible(2)]
        for count in range(3, 7):
            whole.ask("/other/v1/chat/completions")
            waits.append(whole.visible(count))
        assert sorted(waits)[2] < 1.0  # in the middle: the machine has other things to do too
        until = time.monotonic() + 10
        while "unknown key 'rout'" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert whole.ask("/other/v1/chat/completions") == 200
        whole.visible(7)
    assert standing_in(whole.folder) == []
    assert [path.name for path in whole.folder.iterdir()] == ["lock"]
    counts = whole.health.ledger()
    assert counts["balanced"] and counts["stored"] == 7


def test_without_an_envoy_one_line_says_how_to_get_one(tmp_path: Path) -> None:
    def made() -> Gateway:
        raise Refused("no_envoy", "there is no Envoy: do this")

    with where_it_can(made) as (serves, line):
        assert (serves, line) == (False, "no gateway: there is no Envoy: do this")


def test_what_a_gateway_that_runs_alone_has_counted_is_kept_and_shown(whole: Whole) -> None:
    whole.folder.mkdir()
    health = Health()
    gateway.recall(whole.settings, health)  # nothing is there yet
    health.change(("items_accepted_total", 5, "gateway"), ("items_stored_total", 5, ""))
    health.add("gateway_lines_lost_total", 3, "log_full")
    gateway.remember(whole.settings, health)
    again = Health()
    gateway.recall(whole.settings, again)
    assert again.ledger() == health.ledger()
    assert gateway.state(whole.settings)[-1][2].endswith("; 5 calls sent, 3 lines lost for want of room")


def test_a_folder_that_cannot_be_written_is_told(whole: Whole) -> None:
    whole.folder.write_text("a file")
    with where_it_can(whole.made) as (serves, line):
        assert not serves and "set `gateway_folder` to one that can be written" in line


def test_what_is_not_an_envoy_is_told(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path), gateway_envoy="/bin/true")
    ((fine, what, how),) = gateway.state(settings)
    assert fine and what == "gateway" and "/bin/true: it does not say which version of Envoy it is: pip" in how


def test_a_mistake_in_the_file_is_raised_and_doctor_shows_it(whole: Whole) -> None:
    Path(whole.settings.gateway_file).write_text("rout = 1")
    with pytest.raises(SettingsError, match="unknown key 'rout'"), where_it_can(whole.made):
        pass
    assert gateway.state(whole.settings)[-1][:2] == (False, "gateway")
    assert standing_in(whole.folder) == []
