"""Follows the log that one Envoy writes, and forgets what has been stored.

In: a folder with `calls.jsonl`, to which one process appends, and whether that process lives. Out: whole lines, in the
order they were written; `done` moves the position past them once they are stored. What cannot be a line is counted.
What it must never know: what a line says, where calls go.

Why no line is lost and none counts twice: the position moves after the rows, never before, so that a crash between the
two has lines read again; and the id of a call is made of its line alone (start, trace, span), so that the store knows
it. Two tables of the store could not move in one step either. The position is a file beside the log, so that both go
together; where the machine stops it may be older than the rows, which is the same as a crash.

A file has a number. To rotate, it is renamed to `calls.<number>.jsonl` and Envoy is told to open its log anew, which it
does by closing the old file first: once there is a `calls.jsonl` again, or Envoy is gone, the old file is complete.
When all of it is stored, it is removed.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

LOG = "calls.jsonl"
POSITION = "position.json"
TOO_LONG, CUT_OFF = "line_too_long", "line_cut_off"
_NUMBERED = re.compile(r"calls\.(\d+)\.jsonl")


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Bounds. rotate_bytes: a file that has grown to it is rotated. log_bytes_max: what the files of a log may take;
    past it the oldest is given up, read or not.
    """

    line_bytes_max: int = 1 << 20
    batch_lines_max: int = 2_000
    batch_bytes_max: int = 4 << 20
    rotate_bytes: int = 16 << 20
    log_bytes_max: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Position:
    """A place: which file, how many bytes of it are done with. skipping: it is inside a line that is too long."""

    number: int = 1
    offset: int = 0
    inode: int = 0
    skipping: bool = False


@dataclass(slots=True)
class Batch:
    """Lines without their ends, what was skipped by reason, and the position after them."""

    end: Position
    lines: list[bytes] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    bytes: int = 0


class Log:
    """The log of one Envoy. One thread uses it.

    alive: whether its writer still lives. told: hears a line when something is odd.
    """

    def __init__(self, folder: Path, limits: LogLimits, alive: Callable[[], bool], told: Callable[[str], None]) -> None:
        self.folder, self._limits, self._alive, self._told = folder, limits, alive, told
        self._position = _stored(folder / POSITION)
        self._file: BinaryIO | None = None
        for number, path in _numbered(folder):
            if number < self._position.number:  # a crash came before it was removed
                path.unlink()

    def read(self) -> Batch:
        """What can be read now, within the limits of a batch; without lines where there is nothing new."""
        self._put_aside_what_is_left()
        batch = Batch(self._position)
        while len(batch.lines) < self._limits.batch_lines_max and batch.bytes < self._limits.batch_bytes_max:
            complete = self._complete(batch.end.number)  # before it is read to its end
            if not self._read_some(batch) and not (complete and self._go_on(batch)):
                break
        return batch

    def done(self, batch: Batch) -> None:
        """All of the batch is taken care of: it is never read again."""
        if batch.end != self._position:
            self._move(batch.end)

    @property
    def finished(self) -> bool:
        """Whether the writer is gone and everything is taken care of."""
        return not self._alive() and not self._sizes()

    @property
    def unread_bytes(self) -> int:
        """What has been written and is not taken care of."""
        return max(0, sum(self._sizes().values()) - self._position.offset)

    @property
    def reopening(self) -> bool:
        """Whether the file was put aside and Envoy has not opened a new one: it must be told, perhaps again."""
        return bool(self._numbers()) and not self._active.exists() and self._alive()

    def rotate(self) -> None:
        """Put the file aside that is being written, where it has grown enough."""
        with suppress(FileNotFoundError):
            if self._active.stat().st_size >= self._limits.rotate_bytes:
                self._put_aside()

    def give_up(self) -> int:
        """Remove the oldest files while there are more bytes than allowed; how many lines were lost with them."""
        lost = 0
        while len(sizes := self._sizes()) > 1 and sum(sizes.values()) > self._limits.log_bytes_max:
            oldest = next(iter(sizes))
            if not self._complete(oldest):
                break
            lost += _count_lines(self._aside(oldest), self._position.offset if oldest == self._position.number else 0)
            self._move(Position(oldest + 1))
        return lost

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # the files

    @property
    def _active(self) -> Path:
        return self.folder / LOG

    def _aside(self, number: int) -> Path:
        return self.folder / f"calls.{number}.jsonl"

    def _numbers(self) -> list[int]:
        """Numbers of the files that were put aside and are not read."""
        return sorted(number for number, _ in _numbered(self.folder) if number >= self._position.number)

    def _active_number(self) -> int:
        """The number that `calls.jsonl` will get."""
        return max([self._position.number - 1, *self._numbers()]) + 1

    def _sizes(self) -> dict[int, int]:
        """Number -> bytes, oldest first."""
        found = {}
        for number in [*self._numbers(), self._active_number()]:
            with suppress(FileNotFoundError):
                found[number] = (self._aside(number) if self._aside(number).exists() else self._active).stat().st_size
        return found

    def _put_aside(self) -> None:
        self._active.rename(self._aside(self._active_number()))

    def _put_aside_what_is_left(self) -> None:
        """By a writer that is gone."""
        if not self._alive() and self._active.exists():
            self._put_aside()

    def _complete(self, number: int) -> bool:
        """Whether nothing more will be written into that file."""
        if not self._aside(number).exists():
            return any(later > number for later in self._numbers())
        return self._active.exists() or not self._alive()

    def _move(self, position: Position) -> None:
        """The position is kept before what lies behind it goes: a crash between the two only leaves a file."""
        behind = [number for number in self._numbers() if number < position.number]
        self._position = position
        try:
            _store(self.folder / POSITION, position)
        except OSError as error:  # a restart would read again what is known: that counts once
            self._told(f"{self.folder / POSITION}: {error.strerror}: the position is not kept")
        if behind:
            self.close()
        for number in behind:
            self._aside(number).unlink(missing_ok=True)

    def _go_on(self, batch: Batch) -> bool:
        """To the file after one that is complete, which may end in half a line. False: there is none."""
        end, later = batch.end, [number for number in self._numbers() if number > batch.end.number]
        if end.skipping:
            batch.skipped[TOO_LONG] += 1
        elif self._file is not None and os.fstat(self._file.fileno()).st_size > end.offset:
            batch.skipped[CUT_OFF] += 1
        there = self._aside(end.number).exists()
        batch.end = Position(end.number + 1 if there else min(later))
        return bool(later) or self._active.exists()

    def _opened(self, batch: Batch) -> BinaryIO | None:
        """The file at the batch's position; None where there is none."""
        number = batch.end.number
        path = self._aside(number)
        if not path.exists() and number == self._active_number():
            path = self._active
        try:
            found = path.stat()
            if self._file is None or os.fstat(self._file.fileno()).st_ino != found.st_ino:
                self.close()
                self._file = path.open("rb")
        except FileNotFoundError:
            self.close()
            return None
        batch.end = self._checked(batch.end, path, found)
        return self._file

    def _checked(self, place: Position, path: Path, found: os.stat_result) -> Position:
        """A file that is another one or shorter is read from its beginning: what is known of it counts once."""
        shorter = found.st_size < place.offset
        if place.offset and (shorter or place.inode != found.st_ino):
            self._told(f"{path}: {'shorter' if shorter else 'another file'} than before: read from its beginning")
            return Position(place.number, 0, found.st_ino)
        return replace(place, inode=found.st_ino)

    # the lines

    def _read_some(self, batch: Batch) -> bool:
        """Lines of the file at the position; whether any, or some of a line that is too long."""
        file = self._opened(batch)
        if file is None:
            return False
        file.seek(batch.end.offset)
        chunk = file.read(self._limits.line_bytes_max + 1)
        if batch.end.skipping:
            return self._skip(batch, chunk)
        until = chunk.rfind(b"\n") + 1
        if not until:
            if len(chunk) <= self._limits.line_bytes_max:
                return False
            batch.end = replace(batch.end, offset=batch.end.offset + len(chunk), skipping=True)
            return True
        lines = chunk[: until - 1].split(b"\n", self._limits.batch_lines_max - len(batch.lines))
        if len(lines) > self._limits.batch_lines_max - len(batch.lines):
            until -= len(lines.pop()) + 1
        batch.lines += [line for line in lines if line]
        batch.bytes += until
        batch.end = replace(batch.end, offset=batch.end.offset + until)
        return True

    def _skip(self, batch: Batch, chunk: bytes) -> bool:
        """The rest of a line that is too long, in memory a piece at a time."""
        until = chunk.find(b"\n") + 1
        batch.skipped[TOO_LONG] += bool(until)
        batch.end = replace(batch.end, offset=batch.end.offset + (until or len(chunk)), skipping=not until)
        return bool(chunk)


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    found = ((_NUMBERED.fullmatch(path.name), path) for path in folder.iterdir())
    return [(int(match[1]), path) for match, path in found if match]


def _stored(path: Path) -> Position:
    """The position that was kept; the beginning where none was, or where what was kept is damaged."""
    try:
        return Position(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Position()


def _store(path: Path, position: Position) -> None:
    """Whole or not at all."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(position)))
    beside.replace(path)


def _count_lines(path: Path, start: int) -> int:
    found = 0
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(1 << 20):
            found += chunk.count(b"\n")
    return found
