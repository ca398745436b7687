"""One run of Envoy: a folder with its configuration, its log, its admin socket, and the process that stands in it.

In: a folder with a number, rendered files, the command. Out: whether it lives and is ready, its death, what it says.
What it must never know: what the files say, when to start or to end one.

The folder is how a run is found again by whoever comes after us: the process whose number the launcher wrote there is
the one only if that folder is where it stands. Two runs never share a log: both would write into it while one drains.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tachograph.capture.gateway import launching
from tachograph.capture.gateway.admin import Admin
from tachograph.flow import Busy, Refused

BOOTSTRAP = "envoy.json"
CHAIN = "chain.json"
_BEGIN_SECONDS_MAX = 10.0
END_SECONDS_MAX = 10.0
_LISTENERS = ("total_listeners_active", "lds.update_rejected")
_COUNTS = r"^(http\..*downstream_rq_active|filesystem\.write_failed)$"
_SAID_BYTES_MAX = 64 << 10
_SAID_CHARS_MAX = 300
_SECRET = re.compile(r"(?i)(bearer\s+|(?:api[-_]?key|authorization|token|secret|password)\W{1,4})[^\s\"',;]+|\bsk-\S+")
_EXPECTED = (
    "caught ENVOY_SIGTERM",
    "due to child startup",
    "terminating parent process",
    "falling back to regular",
    "ENVOY_SIGUSR1",
)
_SHARED = "/dev/shm/envoy_shared_memory_{}0"


@dataclass(frozen=True, slots=True)
class Chain:
    """Which Envoys follow one another by hot restart: those of one `base_id`, by `epoch`. binary: the program."""

    base_id: int
    epoch: int
    binary: str


class Run:
    """A folder and its process, which may be gone or never have begun."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.number = int(folder.name)
        self.admin = Admin(self.folder)
        told = self.folder / launching.STDERR
        self._said = told.stat().st_size if told.exists() else 0  # what it said before was said to others

    def place(self, files: Mapping[str, str]) -> bool:
        """Put the files into the folder, each whole or not at all: Envoy looks for files that are moved there. Whether
        one was another than before.
        """
        changed = {name: text for name, text in files.items() if self.file(name) != text}
        for name, text in changed.items():
            path, beside = self.folder / name, self.folder / f".{name}.new"
            beside.touch(0o600)  # there may be keys in it
            beside.write_text(text)
            beside.replace(path)
        return bool(changed)

    def file(self, name: str) -> str | None:
        """What a file of the folder holds; None where it is not there."""
        try:
            return (self.folder / name).read_text()
        except (OSError, UnicodeDecodeError):
            return None

    @property
    def chain(self) -> Chain | None:
        """As it was begun; None where nobody knows."""
        with suppress(ValueError, TypeError):
            return Chain(**json.loads(self.file(CHAIN) or ""))
        return None

    def begin(self, chain: Chain, arguments: list[str], file_bytes_max: int) -> None:
        """Start the process. Refused where it is not there after a while."""
        self.place({CHAIN: json.dumps(asdict(chain))})
        launcher = [sys.executable, "-I", "-S", launching.__file__, str(self.folder), str(file_bytes_max)]
        try:
            subprocess.run(
                [*launcher, chain.binary, *arguments], check=True, timeout=_BEGIN_SECONDS_MAX, stdin=subprocess.DEVNULL
            )
        except subprocess.SubprocessError as error:
            raise Refused("envoy", f"{chain.binary} could not be started in {self.folder}: {error}") from error
        until = time.monotonic() + _BEGIN_SECONDS_MAX
        while self.file(launching.PID) is None:
            if time.monotonic() > until:
                raise Refused("envoy", f"{chain.binary} could not be started in {self.folder}")
            time.sleep(0.005)

    @property
    def pid(self) -> int | None:
        """The number of its process; None where that is gone."""
        told = self.file(launching.PID) or ""
        with suppress(OSError):
            if told.strip().isdecimal() and Path(f"/proc/{told.strip()}/cwd").readlink() == self.folder:
                return int(told)
        return None

    def alive(self) -> bool:
        """Whether its process is there."""
        return self.pid is not None

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            return self.admin.get("/ready").startswith("LIVE")
        except Busy:
            return False

    def drains(self) -> bool:
        """Whether it says that it takes nothing new."""
        try:
            self.admin.get("/ready")
        except Busy as busy:
            return "DRAINING" in str(busy)
        return False

    def counts(self) -> tuple[int, int]:
        """(requests of clients under way, writes of its log that failed). Busy where it does not say."""
        found = self.admin.numbers(_COUNTS)
        failed = found.pop("filesystem.write_failed", 0)
        return sum(count for name, count in found.items() if not name.startswith("http.admin.")), failed

    def is_active(self) -> bool:
        """Whether requests are, or may be, under way in it: one that was replaced does not say."""
        try:
            return self.counts()[0] > 0
        except Busy:
            return self.alive()

    def listeners(self) -> tuple[int, int]:
        """How many it has, and how often it refused to take some: without any it would still say that it is ready."""
        try:
            found = self.admin.numbers(f"^listener_manager\\.({'|'.join(_LISTENERS)})$")
        except Busy:
            return 0, 0
        active, rejected = (found.get(f"listener_manager.{name}", 0) for name in _LISTENERS)
        return active, rejected

    def drain(self) -> None:
        """Nothing new, and answers say that their connection ends with them. One that was replaced knows it already."""
        with suppress(Busy):
            self.admin.post("/healthcheck/fail")
            self.admin.post("/drain_listeners")

    def end(self) -> None:
        """End the process, which writes down what it still holds; one that does not end is killed."""
        self.tell(signal.SIGTERM)
        if not self.await_end(END_SECONDS_MAX):
            self.tell(signal.SIGKILL)
            self.await_end(END_SECONDS_MAX)

    def await_end(self, seconds: float) -> bool:
        """Whether it has ended within so long."""
        pid = self.pid
        if pid is None:
            return True
        try:
            watched = os.pidfd_open(pid)
        except OSError:
            return True
        try:
            looking = select.poll()
            looking.register(watched, select.POLLIN)
            ended = bool(looking.poll(seconds * 1000))
        finally:
            os.close(watched)
        if ended:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # where we are the first process of a container, it is ours to bury
        return ended

    def tell(self, word: signal.Signals) -> None:
        """Send its process a signal."""
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, word)

    def said(self) -> list[str]:
        """The lines it has said since the last time, without what may be a secret."""
        path = self.folder / launching.STDERR
        with suppress(OSError), path.open("rb+") as file:
            file.seek(self._said)
            text = file.read(_SAID_BYTES_MAX)
            whole = text[: text.rfind(b"\n") + 1] or (text if len(text) == _SAID_BYTES_MAX or not self.alive() else b"")
            self._said += len(whole)
            if self._said > _SAID_BYTES_MAX and len(whole) == len(text):
                file.truncate(0)  # it appends: what comes stands at the beginning again
                self._said = 0
            return shown(whole.decode("utf-8", "replace"))
        return []

    def remove(self) -> None:
        """Away with a folder whose process is gone."""
        shutil.rmtree(self.folder, ignore_errors=True)


def runs(folder: Path) -> list[Run]:
    """All runs in the gateway's folder, oldest first."""
    return sorted((Run(path) for path in folder.iterdir() if path.name.isdecimal()), key=lambda run: run.number)


def forget_chain(folder: Path, base_id: int) -> None:
    """Remove what a chain of Envoys shared, once the last is gone: a piece of memory, the sockets they spoke over."""
    Path(_SHARED.format(base_id)).unlink(missing_ok=True)
    for socket in folder.glob(f"hot_*_{base_id}?"):
        socket.unlink(missing_ok=True)


def shown(said: str) -> list[str]:
    """The lines of what Envoy says that a person should see, bounded, without what may be a secret."""
    lines = [line for line in said.splitlines() if line.strip() and not any(word in line for word in _EXPECTED)]
    return [_SECRET.sub(lambda found: (found[1] or "") + "***", line)[:_SAID_CHARS_MAX] for line in lines]


def why(lines: Sequence[str]) -> str:
    """What says most of why it ended: its first error, in one line; errors may go over several."""
    places = [place for place, line in enumerate(lines) if "[error]" in line or "[critical]" in line]
    if not places:
        return lines[-1] if lines else "it says nothing"
    said = [lines[places[0]].rpartition("] ")[2]]
    for line in lines[places[0] + 1 :]:
        if line.startswith("["):
            break
        said.append(line)
    return " ".join(" ".join(said).split())[:_SAID_CHARS_MAX]
