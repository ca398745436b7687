"""What a process and all below it used: CPU seconds and memory, as the kernel counts them.

In: a process id. Out: CPU seconds (user and system, ended children too), resident bytes now and over time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MB = 1e6


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and everything below it, the ended children of each included."""
    fields = (_stat(each) for each in tree(pid))
    return sum(sum(map(int, found[11:15])) for found in fields if found) / TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and everything below it; shared pages count in each."""
    return sum(int(found[21]) for found in map(_stat, tree(pid)) if found) * PAGE_BYTES


def tree(pid: int) -> Iterator[int]:
    """The process and everything below it."""
    yield pid
    try:
        listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return
    for child in " ".join(listed).split():
        yield from tree(int(child))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, or none where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


class Memory:
    """Samples the resident memory of a process once a second until stopped."""

    def __init__(self, pid: int, every_seconds: float = 1.0) -> None:
        self.samples: list[tuple[float, int]] = []
        self._pid, self._every = pid, every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more samples."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self.samples.append((time.monotonic(), resident_bytes(self._pid)))

    def peak_mb(self) -> float:
        """The most of all samples."""
        return max((size for _, size in self.samples), default=0) / MB

    def slope_mb_per_minute(self, skipped_share: float = 0.0) -> float | None:
        """Of the straight line through the samples after the first `skipped_share` of them; None of fewer than ten."""
        kept = self.samples[int(len(self.samples) * skipped_share) :]
        if len(kept) < 10:
            return None
        seconds, sizes = np.array(kept).T
        return float(np.polyfit((seconds - seconds[0]) / 60, sizes / MB, 1)[0])
