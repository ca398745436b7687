"""The scope goes with the work: threads, executors, processes, tasks; and everything can be put back."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from tests.capture.sdk.faults import raising

from tachograph.call import Call
from tachograph.capture.sdk import context as context_module
from tachograph.capture.sdk import threads
from tachograph.capture.sdk.context import NOBODY, Inside, Scope, carried, context, current, entered, left
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.watching import Observer


def team() -> str | None:
    return current().values.get("team")


def said() -> tuple[dict[str, str], dict[str, str], str | None]:
    scope = current()
    return dict(scope.values), dict(scope.tags), scope.trace_id


@pytest.fixture
def followed() -> Iterator[Patches]:
    patches = Patches(Observer(lambda calls: None), Guard(strict=True))
    threads.patch(patches)
    yield patches
    patches.undo()


class Kept:
    def add(self, call: Call) -> None:
        pass


def in_thread(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


def test_without_patches_a_thread_knows_nobody() -> None:
    seen: list[str | None] = []
    with context(team="a"):
        in_thread(threading.Thread(target=lambda: seen.append(team())))
    assert seen == [None]


@pytest.mark.usefixtures("followed")
def test_into_a_thread() -> None:
    seen: list[Any] = []
    with context(team="a"):
        thread = threading.Thread(target=lambda x, y: seen.append((x, y, team())), args=(1,), kwargs={"y": 2})
        in_thread(thread)
    in_thread(threading.Thread(target=lambda: seen.append(team())))
    assert seen == [(1, 2, "a"), None]
    assert "run" not in vars(thread)


@pytest.mark.usefixtures("followed")
def test_into_threads_of_ones_own_kind_and_timers() -> None:
    seen: list[str | None] = []

    class Own(threading.Thread):
        def run(self) -> None:
            seen.append(team())

    with context(team="a"):
        in_thread(Own())
        in_thread(threading.Timer(0, lambda: seen.append(team())))
        replaced = threading.Thread()
        replaced.run = lambda: seen.append(team())  # type: ignore[method-assign]
        in_thread(replaced)
        with pytest.raises(RuntimeError, match="only be started once"):
            replaced.start()
    assert seen == ["a", "a", "a"]


@pytest.mark.usefixtures("followed")
def test_a_thread_keeps_what_counts_the_calls() -> None:
    totals = Kept()
    seen: list[Scope] = []
    token = entered(Scope(totals=(totals,)))
    in_thread(threading.Thread(target=lambda: seen.append(carried())))
    left(token)
    assert seen[0].totals == (totals,)


@pytest.mark.usefixtures("followed")
def test_into_an_executor_and_never_into_the_next_work_of_its_thread() -> None:
    with ThreadPoolExecutor(1) as executor:
        with context(team="a"):
            assert executor.submit(team).result() == "a"  # the worker starts here
            assert list(executor.map(lambda number: (number, team()), range(3))) == [(0, "a"), (1, "a"), (2, "a")]
            assert team() == "a"
        assert executor.submit(team).result() is None
        assert executor.submit(carried).result() is NOBODY
        with context(team="b"):
            assert executor.submit(team).result() == "b"
            with pytest.raises(ZeroDivisionError):
                executor.submit(lambda: 1 // 0).result()
        assert executor.submit(carried).result() is NOBODY


@pytest.mark.usefixtures("followed")
def test_arguments_reach_the_work_whatever_their_names() -> None:
    def work(*arguments: int, **named: int) -> tuple[tuple[int, ...], dict[str, int]]:
        return arguments, named

    with ThreadPoolExecutor(1) as executor, context(team="a"):
        assert executor.submit(work, 1, 2, self=3, work=4, scope=5).result() == (
            (1, 2),
            {"self": 3, "work": 4, "scope": 5},
        )


@pytest.mark.usefixtures("followed")
def test_into_what_a_loop_runs_elsewhere() -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        with context(team="a"):
            seen = [await loop.run_in_executor(None, team), await asyncio.to_thread(team)]
            with ThreadPoolExecutor(1) as executor:
                seen.append(await loop.run_in_executor(executor, team))
        return [*seen, await loop.run_in_executor(None, carried)]

    assert asyncio.run(main()) == ["a", "a", "a", NOBODY]


def test_tasks_follow_by_themselves() -> None:
    async def main() -> list[str | None]:
        with context(team="a"):
            task = asyncio.create_task(asyncio.to_thread(team))
        async with asyncio.TaskGroup() as group:
            with context(team="b"):
                other = group.create_task(asyncio.to_thread(team))
        return [await task, other.result(), team()]

    assert asyncio.run(main()) == ["a", "b", None]


@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_into_another_process_goes_what_baggage_can_say(method: str) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as executor:
        token = entered(Scope(trace_id=trace, totals=(Kept(),)))
        with context(team="a", tags={"x": "é"}):
            assert executor.submit(said).result() == ({"team": "a"}, {"x": "é"}, trace)
        left(token)
        assert executor.submit(said).result() == ({}, {}, None)


def test_everything_is_put_back() -> None:
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    patches = Patches(Observer(lambda calls: None), Guard(strict=True))
    threads.patch(patches)
    assert threading.Thread.start is not start
    patches.undo()
    assert threading.Thread.start is start
    assert ThreadPoolExecutor.submit is submit


def test_a_fault_of_ours_does_not_reach_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(threads, "_take_along", broken)
    guard = Guard()
    patches = Patches(Observer(lambda calls: None), guard)
    threads.patch(patches)
    seen: list[str] = []
    with context(team="a"):
        in_thread(threading.Thread(target=lambda: seen.append("ran")))
    patches.undo()
    assert seen == ["ran"]
    assert sum(guard.failures.values()) == 1


@pytest.mark.parametrize(
    "broken",
    (
        *(context_module.carried, context_module.entered, context_module.left, Inside.__init__),
        *(threads._take_along, threads._begun, threads._inside_ours, threads._told),
    ),
)
def test_what_fails_in_us_does_not_keep_the_work_from_running(broken: Any) -> None:
    guard, seen = Guard(), []
    patches = Patches(Observer(lambda calls: None), guard)
    threads.patch(patches)
    try:
        with context(team="a"), ThreadPoolExecutor(1) as executor, raising(broken):
            in_thread(threading.Thread(target=lambda: seen.append(1)))
            assert executor.submit(lambda: seen.append(2)).result() is None
            module = types.SimpleNamespace(
                ProcessPoolExecutor=type("Pool", (), {"submit": lambda _pool, *given: given})
            )
            threads._processes(module, patches)
            assert module.ProcessPoolExecutor().submit(print, 3)[-2:] == (print, 3)
    finally:
        patches.undo()
    assert seen == [1, 2] and guard.failures
