"""The pulse: that something is new, soon, seldom, and to all at once."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.web.serving import parts_over, serving
from tests.web.test_stream import fresh, post

from tachograph.flow import Busy
from tachograph.store import Store
from tachograph.web.beat import PULSE_SECONDS, Beat
from tachograph.web.live import Live


class Reader:
    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        self._connection.request("GET", "/api/v1/pulse")
        self.answer = self._connection.getresponse()

    def event(self) -> str:
        """The next event; a heartbeat is one too."""
        name = ""
        while line := self.answer.readline().decode():
            if line.startswith((": heartbeat", "event: ")):
                name = line.strip().removeprefix("event: ")
            if line == "\n" and name:
                return name
        raise EOFError

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


@contextlib.contextmanager
def listening(address: str) -> Iterator[Reader]:
    reader = Reader(address)
    try:
        assert (reader.answer.status, reader.answer.readline()) == (200, b": that something is new\n")
        yield reader
    finally:
        reader.close()


def test_a_stored_call_is_told_of_within_half_a_second(store: Store) -> None:
    with serving(parts_over(store)) as address, listening(address) as reader:
        assert reader.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert post(address, fresh(3, 11), "pulse-1")["stored"] == 3
        began = time.monotonic()
        assert reader.event() == "stored"
        assert time.monotonic() - began < 0.5
        assert post(address, fresh(3, 11), "pulse-2")["stored"] == 0  # no news, so the next event is the other one
        annotation = json.dumps({"text": "deployed"})
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        connection.request("POST", "/api/v1/annotations", annotation, {"content-type": "application/json"})
        assert connection.getresponse().status == 201
        connection.close()
        assert reader.event() == "annotated"


def test_much_is_told_of_seldom_and_the_last_is_not_forgotten(store: Store) -> None:
    parts = parts_over(store)
    with serving(parts) as address, listening(address) as reader, listening(address) as other:
        began = time.monotonic()

        def act() -> None:
            while time.monotonic() - began < 1.6:
                parts.live.publish(())
                time.sleep(0.001)

        thread = threading.Thread(target=act)
        thread.start()
        moments = []
        while not moments or moments[-1] < 1.6:
            assert reader.event() == "stored"
            moments.append(time.monotonic() - began)
        thread.join()
        gaps = [after - before for before, after in itertools.pairwise(moments)]
        assert 3 <= len(moments) <= 6 and min(gaps) > PULSE_SECONDS * 0.8
        assert parts.live.beat.told == parts.live.beat.count  # the last was told of as well
        for _ in moments:
            assert other.event() == "stored"


def test_nothing_is_told_where_nothing_happens_but_that_we_are_there(store: Store) -> None:
    with serving(parts_over(store, live=Live(heartbeat_seconds=0.1))) as address, listening(address) as reader:
        assert [reader.event() for _ in range(3)] == [": heartbeat"] * 3


def test_a_server_stops_although_screens_are_open(store: Store) -> None:
    with contextlib.ExitStack() as readers:
        with serving(parts_over(store)) as address:
            reader = readers.enter_context(listening(address))
            began = time.monotonic()
        assert time.monotonic() - began < 5
        with pytest.raises(EOFError):
            while True:
                reader.event()


def test_too_many_screens_are_busy_and_one_that_closes_makes_room() -> None:
    async def run() -> None:
        beat = Beat(listeners_max=2)
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(beat.listening())
            with pytest.raises(Busy, match="2 screens are open"), beat.listening():
                pass
        with beat.listening():
            pass
        beat.close()
        with pytest.raises(Busy), beat.listening():
            pass

    asyncio.run(run())


def test_a_pulse_costs_no_look_at_what_was_stored() -> None:
    class Untouchable:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

    async def run() -> set[str]:
        live = Live()
        with live.beat.listening() as ear:
            live.publish(Untouchable())  # type: ignore[arg-type]
            return await ear.wait(5)

    assert asyncio.run(run()) == {"stored"}
