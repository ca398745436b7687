"""One answer for all who ask the same at once, and never the answer of another team, nor an old one after a pulse."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from tests.web.serving import NOW, serving

from tachograph.access import Keys
from tachograph.health import Health
from tachograph.series import Row, Series
from tachograph.web.beat import Beat
from tachograph.web.parts import Parts
from tachograph.web.sharing import KEPT_BYTES_MAX, Sharing


class Slow:
    """A store that takes its time, counts who asks, and answers with the teams that it was asked for."""

    def __init__(self, seconds: float = 0.3) -> None:
        self.seconds, self.asked = seconds, 0
        self._lock = threading.Lock()

    def ask(
        self,
        measures: Sequence[str],
        by: Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        **_more: Any,
    ) -> Series:
        with self._lock:
            self.asked += 1
        time.sleep(self.seconds)
        told = ",".join((where or {}).get("team", ["all"]))
        return Series(("calls",), ("calls",), ("team",), since, until, None, "calls", (Row((told,), None, (1,)),))


def get(address: str, token: str = "", query: str = "measure=calls") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    connection.request("GET", f"/api/v1/ask?{query}", headers={"authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def parts(data: Any, **more: Any) -> Parts:
    return Parts(data, lambda _call: {}, Health(), lambda: NOW, **more)


def test_ten_browsers_cost_as_much_as_one() -> None:
    slow = Slow()
    with serving(parts(slow)) as address, ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: get(address), range(10)))
        assert [status for status, _ in answers] == [200] * 10
        assert slow.asked == 1
        get(address, query="measure=calls&limit=3")  # another question
        assert slow.asked == 2
        time.sleep(1.2)
        get(address)
        assert slow.asked == 3


def test_teams_are_never_mixed(tmp_path: Path) -> None:
    slow, keys = Slow(), Keys(tmp_path / "keys", lambda: NOW)
    teams = [("growth",), ("search",), ("growth", "search"), ()]
    tokens = [keys.grant("x", ["read"], named) for named in teams for _ in range(3)]
    with serving(parts(slow, keys=keys, listen_host="0.0.0.0")) as address, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda token: get(address, token), tokens))
    told = [body["rows"][0]["team"] for _, body in answers]
    assert told == [",".join(named) or "all" for named in teams for _ in range(3)]
    assert slow.asked == len(teams)


def test_who_asks_after_a_pulse_sees_what_it_was_about() -> None:
    """An answer that was begun before is not given to them, were it a moment old."""

    async def run() -> list[str]:
        beat, told = Beat(seconds=0.0), []
        sharing, stored = Sharing(beat), "nothing"

        async def compute() -> Response:
            seen = stored
            await asyncio.sleep(0.05)
            return Response(seen)

        async def ask() -> None:
            told.append(bytes((await sharing.answer("question", compute)).body).decode())

        with beat.listening() as ear:
            first = asyncio.create_task(ask())
            await asyncio.sleep(0.01)
            stored = "a call"
            beat.stored()
            await asyncio.gather(ask(), first)  # nobody was told yet: one answer
            assert await ear.wait(5) == {"stored"}
            await ask()
            await ask()
        return told

    answers = asyncio.run(run())
    assert answers[-2:] == ["a call", "a call"]


def test_a_failure_is_told_to_those_who_wait_and_not_kept() -> None:
    async def run() -> tuple[list[Any], int]:
        sharing, begun = Sharing(Beat()), 0

        async def compute() -> Response:
            nonlocal begun
            begun += 1
            await asyncio.sleep(0.02)
            raise ValueError("no")

        waiting = [sharing.answer("question", compute) for _ in range(3)]
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(ValueError, match="no"):
            await sharing.answer("question", compute)
        return failures, begun

    failures, begun = asyncio.run(run())
    assert (list(map(str, failures)), begun) == (["no"] * 3, 2)


def test_who_gives_up_does_so_alone_and_what_is_large_is_not_kept() -> None:
    async def run() -> tuple[int, int]:
        sharing, begun = Sharing(Beat()), 0

        async def compute() -> Response:
            nonlocal begun
            begun += 1
            await asyncio.sleep(0.05)
            return Response(b"x" * (KEPT_BYTES_MAX + 1))

        impatient = asyncio.create_task(sharing.answer("question", compute))
        patient = asyncio.create_task(sharing.answer("question", compute))
        await asyncio.sleep(0.01)
        impatient.cancel()
        size = len((await patient).body)
        await sharing.answer("question", compute)
        return size, begun

    assert asyncio.run(run()) == (KEPT_BYTES_MAX + 1, 2)
