"""Calls that wait on disk while an outlet is away: bounded, in order, found again by the next process.

In: batches of Calls. Out: the same, first in, first out. Each process writes its own file, `<path>.<pid>-<n>.jsonl`,
and holds a lock on it as long as it lives; a file that nobody holds was left by a process that is gone, and whoever
comes next takes it over. All files under one path together stay below the bound.
What it must never know: where calls go.

How far a file was read is remembered in memory alone: where a process dies while it drains, the next one sends some
calls twice, which count once by their id. Where the system has no `fcntl`, nothing is taken over.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tachograph.call import Call, from_dict, to_json

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_CHUNK_BYTES = 1 << 20
_FLAGS = os.O_RDWR | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Batch:
    """calls: the next in order. damaged: lines between them that could not be read."""

    token: str
    calls: list[Call]
    damaged: int


@dataclass(slots=True)
class _File:
    """handle: holds the lock and is appended to. reader: reads from `position` on."""

    path: Path
    handle: int
    reader: BinaryIO
    calls: int = 0
    position: int = 0

    def close(self) -> None:
        self.reader.close()
        os.close(self.handle)


class Spill:
    """One thread at a time. failure: why the last `append` took nothing."""

    def __init__(self, path: str | os.PathLike[str], bytes_max: int) -> None:
        self._path, self._bytes_max = Path(path), bytes_max
        self._files: list[_File] = []  # in the order in which they are read; our own is the last
        self._own: _File | None = None
        self._left = 0
        self._ahead = (0, 0)  # calls and bytes of the batch that `first` gave
        self.failure = ""

    @property
    def calls(self) -> int:
        """How many lie here, those that were taken over included; after `close`, those that stayed."""
        return self._left + sum(file.calls for file in self._files)

    def append(self, calls: Sequence[Call]) -> bool:
        """Whether all of them lie on disk; else none does."""
        data = "".join([to_json(call) + "\n" for call in calls]).encode("utf-8", "replace")
        try:
            if sum(path.stat().st_size for path in self._siblings()) + len(data) > self._bytes_max:
                self.failure = f"{self._path}: over {self._bytes_max} bytes: raise the bound or bring the outlet back"
                return False
            own = self._own or self._open()
            append(own.handle, data)
        except OSError as error:
            self.failure = f"{self._path}: {error.strerror}: calls cannot be kept there"
            return False
        own.calls += len(calls)
        return True

    def first(self, calls_max: int) -> Batch | None:
        """The next batch, which stays until `done`. None: nothing lies here."""
        while self._files:
            file = self._files[0]
            try:
                lines = _next_lines(file, calls_max)
            except OSError:  # nothing of it can be read any more
                self._ahead = file.calls, 0
                return Batch(file.path.name, [], file.calls)
            if lines:
                self._ahead = len(lines), sum(map(len, lines))
                read = [call for line in lines if (call := _read(line)) is not None]
                return Batch(f"{file.path.name}:{file.position}", read, len(lines) - len(read))
            self._finish(file)
        return None

    def done(self) -> None:
        """The batch that `first` gave is out, or given up."""
        file, (calls, octets) = self._files[0], self._ahead
        file.calls -= calls
        file.position += octets
        self._ahead = 0, 0
        if file.calls <= 0:
            self._finish(file)

    def adopt(self) -> int:
        """Take over what processes that are gone have left; how many calls."""
        if fcntl is None:
            return 0
        found = [file for path in self._siblings() if (file := self._claim(path)) is not None]
        kept = [file for file in found if file.calls]
        for file in found:
            if not file.calls:
                self._remove(file)
        self._files[:0] = kept
        return sum(file.calls for file in kept)

    def close(self) -> None:
        """Let go of the files; those that hold calls stay for the next process."""
        self._left = self.calls
        for file in self._files:
            file.close()
        self._files, self._own = [], None

    def forked(self) -> None:
        """In a child: the files are the parent's. The lock is shared, so it is closed here and not released."""
        self.close()
        self._left, self._ahead = 0, (0, 0)

    def _open(self) -> _File:
        """A file of our own, locked before anybody else can take it for a leftover."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            # Never the same name again: a batch is called after its file and its place therein.
            path = self._path.with_name(f"{self._path.name}.{os.getpid()}-{secrets.token_hex(4)}.jsonl")
            handle = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            file = _File(path, handle, path.open("rb"))
            if _locked(file):
                self._own = file
                self._files.append(file)
                return file
            file.close()

    def _finish(self, file: _File) -> None:
        self._files.remove(file)
        if file is self._own:
            self._own = None
        self._remove(file)

    def _remove(self, file: _File) -> None:
        """Removed before the lock is let go, so that nobody takes over what is done."""
        with suppress(OSError):
            file.path.unlink()
        file.close()

    def _claim(self, path: Path) -> _File | None:
        if any(file.path == path for file in self._files):
            return None
        try:
            file = _File(path, os.open(path, _FLAGS), path.open("rb"))
        except OSError:
            return None
        if not _locked(file):
            file.close()
            return None
        file.calls = _lines(file.reader)
        return file

    def _siblings(self) -> list[Path]:
        """Every file under the path, the oldest first."""
        found = []
        for path in self._path.parent.glob(f"{self._path.name}.*-*.jsonl"):
            with suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found)]


def append(handle: int, data: bytes) -> None:
    """All of it behind what is there, or nothing. OSError where it does not fit."""
    size = os.fstat(handle).st_size
    try:
        if os.write(handle, data) < len(data):  # a full disk takes what fits and complains the next time
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(handle, size)
        raise


def _locked(file: _File) -> bool:
    """Whether it is ours now, and still the file of that name."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file.path.stat().st_ino == os.fstat(file.handle).st_ino
    except OSError:
        return False


def _next_lines(file: _File, calls_max: int) -> list[bytes]:
    file.reader.seek(file.position)
    return [line for _ in range(min(calls_max, file.calls)) if (line := file.reader.readline())]


def _lines(file: BinaryIO) -> int:
    """How many lines there are; one that breaks off counts, for it will be told as damaged."""
    count, last = 0, b"\n"
    for chunk in _chunks(file):
        count, last = count + chunk.count(b"\n"), chunk[-1:]
    return count + (last != b"\n")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _read(line: bytes) -> Call | None:
    try:
        return from_dict(json.loads(line))
    except (ValueError, RecursionError, AttributeError, TypeError):
        return None
