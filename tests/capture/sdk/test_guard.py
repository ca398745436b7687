"""The one guard."""

from __future__ import annotations

import logging
import threading

import pytest

from tachograph.capture.sdk.guard import PLACES_MAX, Guard

SECRET = "sk-secret prompt of the user"


def fail(kind: type[BaseException] = ValueError) -> int:
    raise kind(SECRET)


def test_what_works_passes() -> None:
    guard = Guard()
    assert guard(int, "7") == 7 and guard.or_else(0, int, "7") == 7
    assert not guard.failures


def test_what_fails_is_counted_and_told_once_and_not_what_it_said(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    assert [guard(fail) for _ in range(3)] == [None] * 3
    assert guard.or_else(5, fail, KeyError) == 5
    assert guard.failures == {"ValueError in fail": 3, "KeyError in fail": 1}
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    told = caplog.text
    assert "test_guard.py" in told and "in fail" in told and "report this" in told
    assert SECRET not in told


@pytest.mark.parametrize("kind", (KeyboardInterrupt, SystemExit, GeneratorExit))
def test_what_is_the_callers_passes(kind: type[BaseException]) -> None:
    guard = Guard()
    with pytest.raises(kind):
        guard(fail, kind)
    with pytest.raises(kind):
        guard.or_else(0, fail, kind)
    assert not guard.failures


def test_strict_lets_failures_through() -> None:
    for call in (Guard(strict=True), lambda *given: Guard(strict=True).or_else(0, *given)):
        with pytest.raises(ValueError, match=SECRET):
            call(fail)


def test_a_logger_that_fails_is_no_failure_of_the_caller() -> None:
    def refuse(_: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of the host")

    guard, logger = Guard(), logging.getLogger("tachograph.sdk")
    logger.addFilter(refuse)
    try:
        assert guard(fail) is None
    finally:
        logger.removeFilter(refuse)
    assert guard.failures == {"ValueError in fail": 1}


def test_places_are_bounded() -> None:
    guard = Guard()
    logging.getLogger("tachograph.sdk").disabled = True
    try:
        for number in range(PLACES_MAX + 50):
            guard(fail, type(f"Error{number}", (Exception,), {}))
        guard(fail, type("Error7", (Exception,), {}))
    finally:
        logging.getLogger("tachograph.sdk").disabled = False
    assert len(guard.failures) == PLACES_MAX + 1
    assert guard.failures["other"] == 50 and guard.failures["Error7 in fail"] == 2


def test_threads_lose_no_count(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    threads = [threading.Thread(target=lambda: [guard(fail) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.failures == {"ValueError in fail": 4000}


def test_it_may_fail_inside_itself() -> None:
    """A finalizer may run while a failure is being counted, and fail too."""
    guard = Guard()
    with guard._lock:
        assert guard(fail) is None
    assert guard.failures == {"ValueError in fail": 1}
