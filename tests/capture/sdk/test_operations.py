"""Attempts of one request share an operation; equal requests that are none do not."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest

from tachograph.capture.sdk.operations import (
    AGAIN_SECONDS_MAX,
    ANSWERS_MAX,
    WAITING_MAX,
    Answers,
    Operations,
    key_of,
    tried_again,
)

URL = "https://api.openai.com/v1/chat/completions"


def test_the_next_equal_request_after_a_failure_is_the_next_attempt() -> None:
    operations, key = Operations(), key_of(URL, b"{}")
    first = operations.begin({}, key, 0.0)
    operations.failed(key, *first, 1.0)
    second = operations.begin({}, key, 2.0)
    operations.failed(key, *second, 3.0)
    third = operations.begin({}, key, 4.0)
    assert [second, third] == [(first[0], 1), (first[0], 2)]
    assert operations.begin({}, key, 5.0) != third  # that one did not fail


def test_not_much_later_and_not_another_request() -> None:
    operations, key = Operations(), key_of(URL, b"{}")
    first = operations.begin({}, key, 0.0)
    operations.failed(key, *first, 0.0)
    assert operations.begin({}, key_of(URL, b"[]"), 1.0)[1] == 0
    assert operations.begin({}, key_of(URL + "/", b"{}"), 1.0)[1] == 0
    assert operations.begin({}, key, AGAIN_SECONDS_MAX + 1)[1] == 0


def test_a_library_that_counts_is_believed() -> None:
    """Two equal requests at once: what says that it is a first attempt is one."""
    operations, key = Operations(), key_of(URL, b"{}")
    counted = [{"x-stainless-retry-count": str(count)} for count in range(3)]
    one = operations.begin(counted[0], key, 0.0)
    operations.failed(key, *one, 0.0)
    other = operations.begin(counted[0], key, 0.1)
    assert other[0] != one[0] and other[1] == 0
    operations.failed(key, *other, 0.2)
    assert operations.begin(counted[1], key, 0.3) == (one[0], 1)
    operations.failed(key, one[0], 1, 0.4)
    assert operations.begin(counted[2], key, 0.5) == (one[0], 2)
    assert operations.begin(counted[1], key, 0.6) == (other[0], 1)


@pytest.mark.parametrize("name", ("amz-sdk-invocation-id", "idempotency-key", "x-idempotency-key"))
def test_a_library_that_names_the_request_is_believed(name: str) -> None:
    operations = Operations()
    named = {name: "secret-name-of-the-request"}
    one = operations.begin(named, key_of(URL, b"1"), 0.0)
    operations.failed(key_of(URL, b"1"), *one, 0.0)
    two = operations.begin(named, key_of(URL, b"2"), 500.0 - 400.0)
    assert (one[1], two) == (0, (one[0], 1))
    assert "secret" not in one[0]


def test_other_threads_ask_their_own() -> None:
    operations, key = Operations(), key_of(URL, b"{}")
    operations.failed(key, *operations.begin({}, key, 0.0), 0.0)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(operations.begin({}, key_of(URL, b"{}"), 0.1)[1]))
    thread.start()
    thread.join()
    assert found == [0]


def test_ids_never_repeat_also_from_many_threads() -> None:
    operations = Operations()
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.extend(operations.begin({}, n, 0.0)[0] for n in range(500)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 4000


def test_what_waits_is_bounded() -> None:
    operations = Operations()
    for number in range(3 * WAITING_MAX):
        operations.failed(number, f"{operations._prefix}{number}", 0, 0.0)
        operations.failed("one", f"{operations._prefix}{number}", 0, 0.0)
    assert len(operations._waiting) <= WAITING_MAX
    assert sum(map(len, operations._waiting.values())) <= 2 * WAITING_MAX
    assert operations.begin({}, 0, 1.0)[1] == 0
    assert operations.begin({}, 3 * WAITING_MAX - 1, 1.0)[1] == 1


def test_large_bodies_are_told_apart_by_length_and_ends() -> None:
    body = b"x" * 100_000
    assert key_of(URL, body) == key_of(URL, b"x" * 100_000)
    assert (
        len({key_of(URL, body), key_of(URL, body + b"x"), key_of(URL, body[:-1] + b"y"), key_of(URL, b"y" + body)}) == 4
    )
    assert key_of(URL, b"", "17") != key_of(URL, b"", "18")


def test_which_answers_are_tried_again() -> None:
    assert [
        status for status in (None, 200, 400, 401, 404, 408, 409, 422, 429, 500, 503, 529) if tried_again(status)
    ] == [*(None, 408, 409, 429, 500, 503, 529)]


def test_an_answer_counts_once() -> None:
    answers = Answers()
    assert [answers.first(name) for name in ("a", "b", "a", None, None)] == [True, True, False, True, True]
    for number in range(ANSWERS_MAX):
        answers.first(str(number))
    assert answers.first("a")  # long ago


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_gives_other_ids_and_is_not_held_up() -> None:
    operations = Operations()
    receiving, sending = os.pipe()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with operations._lock:  # the child does not have the thread that would let go of it
            held.set()
            done.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    child = os.fork()
    if child == 0:
        operations.failed("key", "x", 0, 0.0)
        os.write(sending, operations.begin({}, "other", 0.0)[0].encode())
        os._exit(0)
    done.set()
    thread.join()
    os.waitpid(child, 0)
    os.close(sending)
    theirs = os.read(receiving, 100).decode()
    os.close(receiving)
    assert theirs and theirs.partition("-")[0] != operations.begin({}, "other", 0.0)[0].partition("-")[0]


def test_the_hook_at_forks_keeps_nothing_alive() -> None:
    weak = weakref.ref(Operations())
    gc.collect()
    assert weak() is None
