"""Clients of the gateway, and a witness of what its Envoy flushed that does not depend on our reader.

In: the gateway's port and folder. Out: which requests were answered, which lines were written, by trace id.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tachograph.capture.gateway import lines, sealing
from tachograph.flow import Refused

PATH = "/double/v1/chat/completions"


def routes(folder: Path, provider: str) -> Path:
    """A gateway's file with a route to the simulated provider."""
    file = folder / "gateway.toml"
    file.write_text(f'[[route]]\nprefix = "/double"\nurl = "{provider}"\nprovider = "openai"\n')
    return file


@dataclass
class Asked:
    """One request: its trace id, when its answer was whole, whether it was."""

    trace: str
    at: float
    answered: bool


@dataclass
class Askers:
    """Threads that ask, one request after the other over connections that stay open as long as they can."""

    port: int
    seed: int = 0
    streams: float = 0.3  # the share of requests that ask for a stream
    pause_seconds: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, threads: int = 6) -> None:
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def answered(self) -> list[Asked]:
        return [one for one in list(self.asked) if one.answered]

    @property
    def failed(self) -> list[Asked]:
        return [one for one in list(self.asked) if not one.answered]

    def _run(self, number: int) -> None:
        chance = random.Random(self.seed * 1000 + number)
        connection: http.client.HTTPConnection | None = None
        while not self._stopping.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            trace, answered = secrets.token_hex(16), False
            try:
                answered = self._ask(connection, trace, chance.random() < self.streams)
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
            self.asked.append(Asked(trace, time.monotonic(), answered))
            self._stopping.wait(self.pause_seconds if answered else 0.02)
        if connection is not None:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, trace: str, stream: bool) -> bool:
        body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}]}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        headers = {"content-type": "application/json", "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
        connection.request("POST", PATH, json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        self.statuses[answer.status] += 1
        return answer.status == 200


class Witness:
    """Keeps every file that an Envoy in the folder writes as its log, by a second name on the same disk."""

    def __init__(self, folder: Path, kept: Path) -> None:
        self._folder, self._kept = folder, kept
        kept.mkdir()
        self._gaps: list[tuple[float, float]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stood_still(self, since: float, until: float) -> float:
        """For how many seconds of that time it was not its turn, beyond what is usual of threads that share a core."""
        return sum(after - before for before, after in self._gaps if before < until and after > since)

    def _run(self) -> None:
        turn = time.monotonic()
        while not self._stopping.wait(0.01):
            before, turn = turn, time.monotonic()
            if turn - before > 0.1:
                self._gaps.append((before, turn))
            with contextlib.suppress(OSError):  # a folder that is removed meanwhile
                self.look()

    def look(self) -> None:
        for path in self._folder.glob("*/calls*.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                beside = self._kept / str(path.stat().st_ino)
                if not beside.exists():
                    with contextlib.suppress(FileExistsError):
                        os.link(path, beside)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.look()

    def lines(self) -> list[bytes]:
        """The whole lines that were written, of all files."""
        found: list[bytes] = []
        for path in self._kept.iterdir():
            found += path.read_bytes().split(b"\n")[:-1]
        return found


def counted(traces: Iterable[str | None]) -> Counter[str]:
    return Counter(trace for trace in traces if trace)


def trace_of(line: bytes) -> str | None:
    """The trace of a line that is whole."""
    try:
        return lines.seen(sealing.check(line), lambda *_: None).trace_id
    except Refused:
        return None
