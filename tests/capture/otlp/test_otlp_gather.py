"""Gathering: what becomes one batch, what everybody in it is told, and what a failure of the store does to them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest
from tests.capture.otlp.intake import RecordingIntake, busy, logs, run, traces

from tachograph.capture.otlp import Taken
from tachograph.capture.otlp.gather import Gatherer
from tachograph.capture.otlp.limits import DoorLimits
from tachograph.flow import Busy, Refused

LIMITS = DoorLimits(gather_seconds=0.05, batch_bytes_max=1000, batch_requests_max=5, stop_seconds_max=1.0)
SMALL = traces("a")


def test_what_comes_together_is_stored_together() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        async with Gatherer(intake, LIMITS) as gatherer:
            begun = asyncio.get_running_loop().time()
            got = await asyncio.gather(*(gatherer.submit("traces", SMALL) for _ in range(3)))
            assert got == [Taken(1)] * 3
            assert [len(bodies) for _, bodies in intake.batches] == [3]
            assert 0.04 < asyncio.get_running_loop().time() - begun < 1

    run(test())


def test_signals_are_not_mixed_and_the_oldest_goes_first() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        async with Gatherer(intake, LIMITS) as gatherer:
            mixed = [("logs", logs("a")), ("traces", SMALL), ("logs", logs("b"))]
            await asyncio.gather(*(gatherer.submit(signal, body) for signal, body in mixed))
            assert intake.batches == [("logs", [logs("a"), logs("b")]), ("traces", [SMALL])]

    run(test())


def test_a_full_batch_does_not_wait() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        patient = dataclasses.replace(LIMITS, gather_seconds=30.0)
        async with Gatherer(intake, patient) as gatherer:
            await asyncio.gather(*(gatherer.submit("traces", SMALL) for _ in range(10)))  # by requests
            large = [traces("b" * 700)] * 3 + [traces("c" * 5000)]  # by bytes, and one that is too large for any batch
            await asyncio.gather(*(gatherer.submit("traces", body) for body in large))
            assert [len(bodies) for _, bodies in intake.batches] == [5, 5, 1, 1, 1, 1]

    run(test())


def test_while_one_batch_is_stored_the_next_gathers() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        intake.gate.clear()
        async with Gatherer(intake, LIMITS) as gatherer:
            first = asyncio.create_task(gatherer.submit("traces", SMALL))
            while not intake.attempts:
                await asyncio.sleep(0.01)
            rest = [asyncio.create_task(gatherer.submit("traces", SMALL)) for _ in range(4)]
            await asyncio.sleep(0.2)  # four times as long as a batch gathers
            assert intake.attempts == 1
            intake.gate.set()
            await asyncio.gather(first, *rest)
            assert [len(bodies) for _, bodies in intake.batches] == [1, 4]

    run(test())


def test_who_came_while_a_batch_took_long_waits_longer_for_others_and_who_sends_alone_does_not() -> None:
    async def test() -> None:
        intake, clock = RecordingIntake(), asyncio.get_running_loop().time
        intake.gate.clear()
        async with Gatherer(intake, dataclasses.replace(LIMITS, gather_seconds=0.3)) as gatherer:
            first = asyncio.create_task(gatherer.submit("traces", SMALL))
            await asyncio.sleep(0.9)
            begun = clock()
            second = asyncio.create_task(gatherer.submit("traces", SMALL))
            await asyncio.sleep(0.01)
            intake.gate.set()
            await asyncio.gather(first, second)
            assert 0.89 < clock() - begun < 2.0
            intake.gate.clear()
            third = asyncio.create_task(gatherer.submit("traces", SMALL))
            await asyncio.sleep(0.9)
            intake.gate.set()
            await third
            begun = clock()
            await gatherer.submit("traces", SMALL)
            assert 0.29 < clock() - begun < 0.89

    run(test())


def test_busy_reaches_everybody_and_nothing_is_stored() -> None:
    async def test() -> None:
        intake = RecordingIntake(busy(1, 7))
        async with Gatherer(intake, LIMITS) as gatherer:
            got = await asyncio.gather(*(gatherer.submit("traces", SMALL) for _ in range(3)), return_exceptions=True)
            assert [(type(each), str(each), each.after_seconds) for each in got if isinstance(each, Busy)] == [
                (Busy, "the store is full", 7)
            ] * 3
            assert intake.bodies == []
            assert await gatherer.submit("traces", SMALL) == Taken(1)

    run(test())


def test_a_bug_is_logged_once_and_never_told_as_success(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        intake = RecordingIntake([ZeroDivisionError("a bug")])
        async with Gatherer(intake, LIMITS) as gatherer:
            got = await asyncio.gather(*(gatherer.submit("traces", SMALL) for _ in range(3)), return_exceptions=True)
            assert [type(each) for each in got] == [Busy] * 3
            assert "a bug" not in str(got[0])
            assert await gatherer.submit("traces", SMALL) == Taken(1)

    with caplog.at_level(logging.ERROR):
        run(test())
    assert len(caplog.records) == 1
    assert "a bug" in caplog.text


def test_an_intake_that_forgets_an_answer_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    class Forgetful(RecordingIntake):
        def take(self, signal: str, bodies: object) -> list[Taken | Refused]:
            return [Taken(1)]

    async def test() -> None:
        async with Gatherer(Forgetful(), LIMITS) as gatherer:
            got = await asyncio.gather(*(gatherer.submit("traces", SMALL) for _ in range(2)), return_exceptions=True)
            assert [type(each) for each in got] == [Busy] * 2

    run(test())
    assert "1 outcomes for 2 requests" in caplog.text


def test_a_refusal_is_its_senders_alone() -> None:
    async def test() -> None:
        async with Gatherer(RecordingIntake(), LIMITS) as gatherer:
            sent = [gatherer.submit("traces", body) for body in (SMALL, b"\xff", SMALL)]
            got = await asyncio.gather(*sent, return_exceptions=True)
            assert [type(each) for each in got] == [Taken, Refused, Taken]

    run(test())


def test_who_has_gone_is_not_stored_and_leaves_room() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        patient = dataclasses.replace(LIMITS, gather_seconds=1.0)
        async with Gatherer(intake, patient) as gatherer:
            sent = [asyncio.create_task(gatherer.submit("traces", traces(name))) for name in "abcd"]
            await asyncio.sleep(0.01)
            sent[1].cancel()
            await asyncio.sleep(0.01)
            late = asyncio.create_task(gatherer.submit("traces", traces("e")))  # the fourth of five: no batch is full
            await asyncio.sleep(0.05)
            assert intake.attempts == 0
            assert await asyncio.gather(sent[0], sent[2], sent[3], late) == [Taken(1)] * 4
            assert intake.span_names() == ["a", "c", "d", "e"]

    run(test())


def test_a_stop_stores_what_waits_and_takes_nothing_more() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        patient = dataclasses.replace(LIMITS, gather_seconds=30.0)
        gatherer = Gatherer(intake, patient)
        async with gatherer:
            waiting = [asyncio.create_task(gatherer.submit(*each)) for each in [("traces", SMALL), ("logs", logs("a"))]]
            await asyncio.sleep(0.01)
        assert await asyncio.gather(*waiting) == [Taken(1)] * 2
        with pytest.raises(Busy):
            await gatherer.submit("traces", SMALL)

    run(test())


def test_a_store_that_hangs_does_not_hold_up_the_end_and_nobody_is_told_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        intake = RecordingIntake()
        intake.gate.clear()
        hurried = dataclasses.replace(LIMITS, stop_seconds_max=0.1)
        async with Gatherer(intake, hurried) as gatherer:
            waiting = asyncio.create_task(gatherer.submit("traces", SMALL))
            while not intake.attempts:
                await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()
        intake.gate.set()

    run(test())
    assert "nobody was told success" in caplog.text
