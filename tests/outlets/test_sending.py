"""The sender: nothing waits for it, nothing is lost silently, and the counts are even whenever nothing moves."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.outlets.doubles import Scripted, numbered

from tachograph.call import Call
from tachograph.outlets.jsonl import JsonLines
from tachograph.outlets.sending import Sender

QUICK: dict[str, Any] = {"flush_seconds": 0.01, "random": lambda: 0.01, "exit_seconds_max": 2.0}


def balanced(sender: Sender) -> dict[str, Any]:
    counts = sender.counts
    assert counts["offered"] == counts["sent"] + sum(counts["dropped"].values()) + counts["waiting"] + counts["spilled"]
    return counts


def until(holds: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_everything_arrives_in_order_and_in_batches() -> None:
    outlet = Scripted()
    sender = Sender(outlet, name="test", batch_calls_max=100, **QUICK)
    calls = numbered(1000)
    for call in calls:
        assert sender.offer(call)
    assert sender.flush(5)
    assert outlet.taken == calls
    assert len(set(outlet.tokens)) == len(outlet.tokens) <= 30
    assert balanced(sender)["sent"] == 1000
    sender.close()


def test_nothing_runs_before_the_first_call() -> None:
    before = set(Path("/proc/self/task").iterdir())
    sender = Sender(Scripted(), name="test")
    assert set(Path("/proc/self/task").iterdir()) <= before
    assert sender.flush(0)
    sender.close()


def test_what_is_too_much_is_dropped_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    outlet = Scripted()
    outlet.gate.clear()
    now = [1000.0]
    sender = Sender(outlet, name="full", queue_calls_max=10, batch_calls_max=5, clock=lambda: now[0], **QUICK)
    taken = [sender.offer(call) for call in numbered(100)]
    assert 10 <= sum(taken) <= 15
    outlet.gate.set()
    until(lambda: not balanced(sender)["waiting"])
    assert balanced(sender)["dropped"] == {"queue_full": 100 - sum(taken)}
    until(lambda: len(caplog.records) == 1)
    outlet.refusing = True
    sender.offer(Call())
    sender.flush(1)
    time.sleep(0.05)
    assert len(caplog.records) == 1
    now[0] += 61
    sender.offer(Call())
    until(lambda: len(caplog.records) == 2)
    assert "outlet full dropped" in caplog.records[0].getMessage()
    assert "queue_full" in caplog.records[0].getMessage()
    assert "it makes no sense" in caplog.records[1].getMessage()
    sender.close()


def test_busy_is_tried_again_under_the_same_token_and_not_before_its_time() -> None:
    outlet = Scripted()
    outlet.away, outlet.after_seconds = True, 0.2
    sender = Sender(outlet, name="test", **QUICK)
    sender.offer(Call())
    until(lambda: outlet.tries == 1)
    time.sleep(0.1)
    assert outlet.tries == 1
    outlet.away = False
    until(lambda: len(outlet.taken) == 1)
    assert outlet.tries == 2
    assert len(set(outlet.tokens)) == 1
    assert balanced(sender)["retried"] == 1
    sender.close()


def test_refused_is_dropped_and_a_mistake_of_the_outlet_ends_nothing() -> None:
    outlet = Scripted()
    sender = Sender(outlet, name="test", **QUICK)
    outlet.refusing = True
    sender.offer(Call())
    assert sender.flush(5)
    outlet.refusing, write = False, outlet.write
    outlet.write = lambda *_: {}[0]  # type: ignore[method-assign, misc]
    sender.offer(Call())
    assert sender.flush(5)
    outlet.write = write  # type: ignore[method-assign]
    sender.offer(Call())
    assert sender.flush(5)
    assert balanced(sender) == {
        "offered": 3,
        "adopted": 0,
        "sent": 1,
        "dropped": {"malformed": 1, "failure": 1},
        "waiting": 0,
        "spilled": 0,
        "retried": 0,
    }
    sender.close()


def test_what_cannot_be_sent_takes_nobody_with_it(tmp_path: Path) -> None:
    sender = Sender(JsonLines(tmp_path / "calls.jsonl"), name="test", **QUICK)
    calls = numbered(20)
    calls[7].tags = {"a": object()}  # type: ignore[dict-item]
    for call in calls:
        sender.offer(call)
    assert sender.flush(5)
    counts = balanced(sender)
    assert (counts["sent"], counts["dropped"]) == (19, {"failure": 1})
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 19
    sender.close()


def test_an_outlet_that_is_away_is_said_to_be_once(caplog: pytest.LogCaptureFixture) -> None:
    outlet = Scripted()
    outlet.away = True
    sender = Sender(outlet, name="far", **QUICK)
    sender.offer(Call())
    until(lambda: outlet.tries > 6)
    assert [record.getMessage() for record in caplog.records] == ["outlet far is away, 1 calls wait: nobody is there"]
    outlet.away = False
    assert sender.flush(5)
    sender.close()


def test_eight_threads_offer_and_nothing_is_lost() -> None:
    outlet = Scripted()
    sender = Sender(outlet, name="test", queue_calls_max=100_000, **QUICK)

    def offer(thread: int) -> None:
        for call in numbered(2000, thread * 2000):
            sender.offer(call)

    threads = [threading.Thread(target=offer, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sender.flush(10)
    assert sorted(outlet.ids) == [call.call_id for call in numbered(16_000)]
    assert balanced(sender)["offered"] == 16_000
    sender.close()


def test_a_call_may_be_offered_from_a_finalizer_and_from_a_signal_handler() -> None:
    outlet = Scripted()
    sender = Sender(outlet, name="test", **QUICK)

    class Ends:
        def __init__(self) -> None:
            self.me = self  # a cycle: the collector of garbage runs whenever it likes

        def __del__(self) -> None:
            sender.offer(Call())

    before = signal.signal(signal.SIGALRM, lambda *_: sender.offer(Call()))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for _ in range(3000):
            Ends()
            sender.offer(Call())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    gc.collect()
    assert sender.flush(10)
    assert balanced(sender)["sent"] > 6000
    sender.close()


def test_what_waits_on_disk_leaves_in_order_when_the_outlet_is_back(tmp_path: Path) -> None:
    outlet = Scripted()
    outlet.away = True
    sender = Sender(outlet, name="test", spill=tmp_path / "calls", batch_calls_max=50, **QUICK)
    calls = numbered(500)
    for call in calls[:300]:
        sender.offer(call)
    until(lambda: balanced(sender)["spilled"] == 300)
    for call in calls[300:]:
        sender.offer(call)
    outlet.away = False
    assert sender.flush(10)
    assert outlet.ids == [call.call_id for call in calls]
    assert balanced(sender)["spilled"] == 0
    assert list(tmp_path.iterdir()) == []
    sender.close()


def test_the_disk_is_bounded_and_what_does_not_fit_waits(tmp_path: Path) -> None:
    outlet = Scripted()
    outlet.away = True
    spill = {"spill": tmp_path / "calls", "spill_bytes_max": 100_000}
    sender = Sender(outlet, name="test", batch_calls_max=10, queue_calls_max=50, **spill, **QUICK)  # type: ignore[arg-type]
    for call in numbered(1000):
        sender.offer(call)
        if int(call.call_id, 16) % 10 == 9:
            time.sleep(0.001)
    until(lambda: balanced(sender)["dropped"].get("queue_full", 0) > 0)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000
    outlet.away = False
    assert sender.flush(10)
    assert outlet.ids == sorted(outlet.ids)
    counts = balanced(sender)
    assert counts["sent"] + counts["dropped"]["queue_full"] == 1000
    sender.close()


def test_the_next_process_drains_what_one_that_was_killed_left_behind(tmp_path: Path) -> None:
    killed = f"""
        import os, signal, time
        from tests.outlets.doubles import Scripted, numbered
        from tachograph.outlets.sending import Sender
        outlet = Scripted()
        outlet.away = True
        sender = Sender(outlet, name="test", spill={str(tmp_path / "calls")!r}, flush_seconds=0.01)
        for call in numbered(1500):
            sender.offer(call)
        while sender.counts["spilled"] < 1500:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(killed).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    with left.open("a") as file:
        file.write('{"call_id":"00')  # as a machine that lost its power leaves it
    outlet = Scripted()
    sender = Sender(outlet, name="test", spill=tmp_path / "calls", **QUICK)
    sender.offer(numbered(1, 1500)[0])
    assert sender.flush(10)
    assert outlet.ids == [call.call_id for call in numbered(1501)]
    assert balanced(sender) == {
        "offered": 1502,
        "adopted": 1501,
        "sent": 1501,
        "dropped": {"spill_damaged": 1},
        "waiting": 0,
        "spilled": 0,
        "retried": 0,
    }
    assert list(tmp_path.iterdir()) == []
    sender.close()


def test_what_another_process_holds_is_not_taken_over(tmp_path: Path) -> None:
    away, outlet = Scripted(), Scripted()
    away.away, away.after_seconds = True, 60.0
    one = Sender(away, name="one", spill=tmp_path / "calls", **QUICK)
    one.offer(Call())
    until(lambda: one.counts["spilled"] == 1)
    other = Sender(outlet, name="other", spill=tmp_path / "calls", **QUICK)
    other.offer(Call())
    assert other.flush(5)
    assert balanced(other)["adopted"] == 0
    one.close()  # its call stays on disk
    assert balanced(one)["spilled"] == 1
    other.close()
    third = Sender(outlet, name="third", spill=tmp_path / "calls", **QUICK)
    third.offer(Call())
    assert third.flush(5)
    assert balanced(third)["adopted"] == 1
    third.close()


def run(script: str) -> subprocess.CompletedProcess[str]:
    folder = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    words = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=60, env=environment)


EXIT = """
    import sys, time
    from tests.outlets.doubles import Scripted, numbered
    from tachograph.outlets.sending import Sender
    class Printing(Scripted):
        def write(self, calls, token):
            if {hangs}:
                time.sleep(100)
            print(len(calls), flush=True)
            return len(calls)
    sender = Sender(Printing(), name="exit", flush_seconds=60, exit_seconds_max={seconds}{more})
    sender.offer(numbered(1)[0])
    time.sleep(0.2)
    for call in numbered(20):
        sender.offer(call)
"""


def test_at_exit_everything_is_sent() -> None:
    ran = run(EXIT.format(hangs=False, seconds=3, more=""))
    assert (ran.returncode, ran.stdout.split(), ran.stderr) == (0, ["1", "20"], "")


def test_a_hanging_outlet_delays_the_exit_no_longer_than_its_bound(tmp_path: Path) -> None:
    began = time.monotonic()
    ran = run(EXIT.format(hangs=True, seconds=0.5, more=f", spill={str(tmp_path / 'calls')!r}"))
    assert time.monotonic() - began < 5
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    (left,) = tmp_path.iterdir()
    assert len(left.read_text().splitlines()) == 21


def test_what_is_dropped_at_exit_is_said() -> None:
    ran = run(EXIT.format(hangs=True, seconds=0.5, more=""))
    assert ran.returncode == 0
    assert "outlet exit dropped 21 calls (in all: exit 21)" in ran.stderr


def test_a_child_starts_empty_with_a_thread_of_its_own_and_the_parent_keeps_its_calls(tmp_path: Path) -> None:
    script = f"""
        import os, sys, multiprocessing
        from tests.outlets.doubles import numbered
        from tachograph.outlets.jsonl import JsonLines
        from tachograph.outlets.sending import Sender
        sender = Sender(JsonLines({str(tmp_path / "calls.jsonl")!r}), name="fork", flush_seconds=60)
        sender.offer(numbered(1)[0])
        assert sender.flush(5)
        for call in numbered(3, 1):
            sender.offer(call)
        child = os.fork()
        if not child:
            assert sender.counts["offered"] == sender.counts["waiting"] == 0
            for call in numbered(2, 100):
                sender.offer(call)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        def work():
            sender.offer(numbered(1, 200)[0])
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        assert sender.counts["offered"] == 4
    """
    ran = run(script)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = (tmp_path / "calls.jsonl").read_text().splitlines()
    ids = [int(line[12:44], 16) for line in lines]
    assert sorted(ids) == [0, 1, 2, 3, 100, 101, 200]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(("away", "back", "refusing")), st.integers(0, 40)), max_size=8), st.booleans()
)
def test_the_counts_are_even_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, happens: list[tuple[str, int]], on_disk: bool
) -> None:
    outlet = Scripted()
    spill = tmp_path_factory.mktemp("spill") / "calls" if on_disk else None
    sender = Sender(
        outlet, name="test", spill=spill, queue_calls_max=50, batch_calls_max=7, spill_bytes_max=60_000, **QUICK
    )
    offered = 0
    for what, count in happens:
        outlet.away, outlet.refusing = what == "away", what == "refusing"
        for call in numbered(count):
            sender.offer(call)
        offered += count
        sender.flush(0.03)
    outlet.away = outlet.refusing = False
    assert sender.flush(5)
    counts = balanced(sender)
    assert counts["offered"] == offered
    assert counts["sent"] == len(outlet.taken)
    assert counts["waiting"] == counts["spilled"] == 0
    sender.close()
    sender.offer(Call())
    assert balanced(sender)["dropped"]["closed"] == 1
