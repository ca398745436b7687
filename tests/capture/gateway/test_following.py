"""The log is followed over rotation, half lines, damage, restarts and the end of its writer; nothing is read twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tachograph.capture.gateway.following import CUT_OFF, LOG, POSITION, TOO_LONG, Batch, Log, LogLimits

LIMITS = LogLimits(line_bytes_max=100, batch_lines_max=10, batch_bytes_max=1000, rotate_bytes=200, log_bytes_max=1000)


class Written:
    """A folder whose log a test writes as Envoy does, with a reader that may be started anew."""

    def __init__(self, folder: Path, limits: LogLimits = LIMITS) -> None:
        self.folder, self.limits, self.alive = folder, limits, True
        self.told: list[str] = []
        self.open()
        self.log = Log(folder, limits, lambda: self.alive, self.told.append)

    def open(self) -> None:
        self.file = (self.folder / LOG).open("ab", buffering=0)

    def restarted(self) -> Log:
        self.log.close()
        self.log = Log(self.folder, self.limits, lambda: self.alive, self.told.append)
        return self.log

    def write(self, text: str) -> None:
        self.file.write(text.encode())

    def reopen(self) -> None:
        """What Envoy does when it is told."""
        self.file.close()
        self.open()

    def die(self) -> None:
        self.file.close()
        self.alive = False

    def end(self) -> None:
        self.file.close()
        self.log.close()

    def taken(self) -> list[str]:
        """Everything there is, done with."""
        found: list[str] = []
        while True:
            batch = self.log.read()
            found += [line.decode() for line in batch.lines]
            self.log.done(batch)
            if not batch.lines and not batch.skipped:
                return found


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    made = Written(tmp_path)
    yield made
    made.end()


def test_only_whole_lines_are_read(written: Written) -> None:
    written.write("one\ntw")
    assert written.taken() == ["one"]
    written.write("o\n\nthree\n")
    assert written.taken() == ["two", "three"]
    assert written.log.unread_bytes == 0


def test_what_is_not_done_is_read_again_and_what_is_done_is_not(written: Written) -> None:
    written.write("one\ntwo\n")
    first = written.log.read()
    assert written.restarted().read().lines == first.lines == [b"one", b"two"]
    written.log.done(first)
    written.write("three\n")
    assert written.restarted().read().lines == [b"three"]


def test_a_batch_is_bounded_in_lines_and_bytes(written: Written) -> None:
    written.write("".join(f"{n}\n" for n in range(25)))
    assert [len(written.log.read().lines)] == [10]
    assert written.taken() == [str(n) for n in range(25)]
    written.write("".join("x" * 90 + "\n" for _ in range(40)))
    batch = written.log.read()
    assert len(batch.lines) == 10 and batch.bytes <= 1100
    assert len(written.taken()) == 40


def test_rotation_keeps_the_order_and_removes_what_is_done(written: Written) -> None:
    written.write("a" * 90 + "\n" + "b" * 90 + "\n")
    written.log.rotate()
    assert not written.log.reopening  # too small
    written.write("c" * 90 + "\n")
    assert written.taken()[0][0] == "a"
    written.log.rotate()
    assert written.log.reopening
    written.write("late\n")  # Envoy has not reopened it yet
    assert written.taken() == ["late"]
    written.write("later\n")
    written.reopen()
    written.write("new\n")
    assert not written.log.reopening
    assert written.taken() == ["later", "new"]
    assert sorted(path.name for path in written.folder.iterdir()) == [LOG, POSITION]


def test_a_line_that_comes_between_a_look_and_the_reopening_is_not_missed(written: Written) -> None:
    class Interrupted(Log):
        def _read_some(self, batch: Batch) -> bool:
            found = super()._read_some(batch)
            if not found and self.reopening:
                written.write("late\n")
                written.reopen()
            return found

    written.write("a" * 99 + "\n" + "b" * 99 + "\n" + "c\n")
    written.log.rotate()
    written.log.close()
    written.log = Interrupted(written.folder, LIMITS, lambda: True, written.told.append)
    assert [line[0] for line in written.taken()] == ["a", "b", "c", "l"]


def test_a_crash_between_renaming_and_reopening_loses_nothing(written: Written) -> None:
    written.write("a" * 99 + "\n" + "b" * 99 + "\n" + "c\n")
    written.log.rotate()
    written.restarted()
    assert written.log.reopening
    written.write("d\n")
    assert [line[0] for line in written.taken()] == ["a", "b", "c", "d"]
    written.reopen()
    written.write("e\n")
    assert written.taken() == ["e"]


def test_a_crash_between_moving_and_removing_leaves_nothing_behind(written: Written) -> None:
    written.write("a" * 99 + "\n" + "b" * 99 + "\n" + "c\n")
    written.log.rotate()
    written.reopen()
    kept = (written.folder / "calls.1.jsonl").read_bytes()
    assert len(written.taken()) == 3
    (written.folder / "calls.1.jsonl").write_bytes(kept)
    written.restarted()
    assert written.taken() == []
    assert not (written.folder / "calls.1.jsonl").exists()


def test_what_a_dead_writer_left_is_read_to_its_end_and_half_a_line_is_counted(written: Written) -> None:
    written.write("one\nhal")
    written.die()
    batch = written.log.read()
    assert (batch.lines, batch.skipped) == ([b"one"], Counter({CUT_OFF: 1}))
    assert not written.log.finished
    written.log.done(batch)
    assert written.log.finished
    assert written.restarted().finished
    assert written.taken() == []


def test_a_line_that_is_too_long_is_skipped_in_pieces_and_counted_once(written: Written) -> None:
    written.write("one\n" + "x" * 250)
    batch = written.log.read()
    written.log.done(batch)
    assert (batch.lines, batch.skipped) == ([b"one"], Counter())
    written.restarted()
    written.write("y" * 250 + "\ntwo\n")
    batch = written.log.read()
    assert (batch.lines, batch.skipped) == ([b"two"], Counter({TOO_LONG: 1}))
    written.log.done(batch)
    written.write("z" * 101 + "\n" + "w" * 100 + "\n")
    batch = written.log.read()
    assert (batch.lines, batch.skipped) == ([b"w" * 100], Counter({TOO_LONG: 1}))


def test_a_line_that_is_too_long_at_the_end_of_a_dead_writer_is_counted(written: Written) -> None:
    written.write("x" * 250)
    written.die()
    batch = written.log.read()
    assert (batch.lines, batch.skipped) == ([], Counter({TOO_LONG: 1}))
    written.log.done(batch)
    assert written.log.finished


def test_a_log_that_somebody_cut_short_is_read_from_its_beginning(written: Written) -> None:
    written.write("one\ntwo\n")
    assert written.taken() == ["one", "two"]
    (written.folder / LOG).write_text("new\n")
    assert written.taken() == ["new"]
    assert len(written.told) == 1 and "shorter" in written.told[0]


def test_a_log_that_somebody_replaced_is_read_from_its_beginning(written: Written) -> None:
    written.write("one\n")
    assert written.taken() == ["one"]
    (written.folder / LOG).rename(written.folder / "elsewhere")
    written.reopen()
    written.write("two\nthree\n")
    assert written.taken() == ["two", "three"]
    assert "another file" in written.told[0]


def test_a_damaged_position_means_from_the_beginning(written: Written) -> None:
    for damaged in ("", "{", "[]", '{"number": 1, "more": 2}'):
        (written.folder / POSITION).write_text(damaged)
        written.write("one\n")
        assert written.restarted().read().lines[0] == b"one"


def test_a_log_over_its_bound_gives_up_the_oldest_and_says_how_many_lines(written: Written) -> None:
    for letter in "abcdefgh":
        written.write((letter * 49 + "\n") * 5)
        written.log.rotate()
        written.reopen()
    written.log.done(written.log.read())  # two files of five lines
    assert written.log.unread_bytes == 6 * 250
    assert written.log.give_up() == 10
    assert written.log.give_up() == 0
    assert [line[0] for line in written.taken()] == list("eeeeefffffggggghhhhh")


STEPS = ("lines", "half", "read", "read and lose", "rotate", "reopen", "restart")


@settings(max_examples=150, deadline=None)
@given(some.lists(some.sampled_from(STEPS), max_size=60))
def test_every_line_is_read_once_whatever_the_order(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    written = Written(tmp_path_factory.mktemp("log"))
    text, got = "", []
    for number, step in enumerate(steps):
        if step in ("lines", "half"):
            more = f"{number} {'x' * 40}\n" * 4 if step == "lines" else f"{number} "
            written.write(more)
            text += more
        elif step.startswith("read"):
            batch = written.log.read()
            if step == "read":
                written.log.done(batch)
                got += [line.decode() for line in batch.lines]
        elif step == "rotate" and not written.log.reopening:
            written.log.rotate()
        elif step == "reopen" and written.log.reopening and text.endswith("\n"):
            written.reopen()
        elif step == "restart":
            written.restarted()
    written.die()
    got += written.taken()
    assert got == [line for line in text.split("\n")[:-1] if line]
    assert written.log.finished
    written.end()
