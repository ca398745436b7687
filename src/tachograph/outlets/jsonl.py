"""An outlet into a file of JSON lines, which rotates by size and which several processes may share.

In: Calls. Out: one line of `call.to_json` each, a batch in one write: `calls.jsonl`, the one before it `calls.1.jsonl`,
and so on. `tachograph summary` and `tachograph import` read them.
What it must never know: what a call says.

A batch is in the file whole or not at all: what was cut short by a full disk, or by a process that ended in the
middle, is taken back. Writers lock the file while they write or rotate it; where the system has no `fcntl`, one
process may write it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tachograph.call import Call, to_json
from tachograph.flow import Busy, Refused
from tachograph.outlets.spill import append

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR)
_FULL_SECONDS = 10.0
_TAIL_BYTES = 64 * 1024
_BEGINS = b'{"call_id":'


class JsonLines:
    """Appends to `path`. bytes_max: of one file. files_max: how many files there are, the current one included.
    fsync: a batch is on the disk when `write` returns, not merely in the hands of the system.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, bytes_max: int = 64 << 20, files_max: int = 5, fsync: bool = False
    ) -> None:
        self._path, self._bytes_max, self._files_max, self._fsync = Path(path), bytes_max, files_max, fsync
        self._handle, self._process = -1, 0

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Append the calls. Busy where the disk is full, Refused where the file cannot be written at all."""
        data = ("\n".join(map(to_json, calls)) + "\n").encode("utf-8", "replace") if calls else b""
        try:
            self._enter(len(data))
            try:
                append(self._handle, data)
                if self._fsync:
                    os.fsync(self._handle)
            finally:
                _lock(self._handle, held=False)
        except OSError as error:
            self.close()
            raise _failure(self._path, error) from error
        return len(calls)

    def close(self) -> None:
        """Close the file; the next `write` opens it again."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _enter(self, octets: int) -> None:
        """The current file open and locked, with room for so many bytes."""
        if self._process != os.getpid():  # a lock that was taken before a fork is the parent's too
            self.close()
        while True:
            if self._handle < 0:
                self._open()
            _lock(self._handle, held=True)
            if not self._is_current():  # another process has rotated it
                self.close()
                continue
            size = os.fstat(self._handle).st_size
            if not size or size + octets <= self._bytes_max:
                return
            self._rotate()
            self.close()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self._process = os.getpid()
        _lock(self._handle, held=True)
        _mend(self._handle)

    def _is_current(self) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(self._handle)
        except FileNotFoundError:
            return False
        return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev)

    def _rotate(self) -> None:
        """Every file takes the next number; the last one goes. The current one goes last: until then nobody else can
        open a new one.
        """
        names = [self._path, *(self._numbered(number) for number in range(1, self._files_max))]
        if len(names) == 1:
            self._path.unlink()
            return
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            with suppress(FileNotFoundError):
                newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}.{number}{self._path.suffix}")


def _lock(handle: int, *, held: bool) -> None:
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX if held else fcntl.LOCK_UN)


def _mend(handle: int) -> None:
    """Take back a line that breaks off, if it is one of ours; end any other."""
    size = os.fstat(handle).st_size
    at = max(0, size - _TAIL_BYTES)
    os.lseek(handle, at, os.SEEK_SET)
    tail = os.read(handle, size - at)
    if not tail or tail.endswith(b"\n"):
        return
    begun = tail.rfind(b"\n") + 1
    if tail[begun:].startswith(_BEGINS[: len(tail) - begun]):
        os.ftruncate(handle, at + begun)
    else:
        os.write(handle, b"\n")


def _failure(path: Path, error: OSError) -> Busy | Refused:
    said = f"{path}: {error.strerror or error}"
    if error.errno in _FULL:
        return Busy(f"{said}: nothing of the batch was written: make room on the disk", _FULL_SECONDS)
    return Refused("unwritable", f"{said}: calls cannot be written there: choose another path or its permissions")
