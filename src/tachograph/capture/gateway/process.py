"""Keeps one Envoy serving: adopts what is there, starts what is missing, replaces it without a failed request.

In: the gateway's folder, an Envoy, what renders its configuration. Out: an Envoy that serves; `runs`, whose logs are to
be followed; counters. Refused where it cannot be brought up.
What it must never know: what is in the configuration, what the log says.

The proxy must go on when we are killed. So nobody is above it (`launching`), and whoever comes next finds it by its
folder: the same configuration and binary, and it is kept as it is; another, and it is replaced by hot restart, in which
the old one hands its sockets over and lets its streams end. Where it is gone, another is started at once, then after
ever longer pauses. Told to stop, we have it end: no new connections, streams may finish within a bound.
"""

from __future__ import annotations

import fcntl
import logging
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from tachograph.capture.gateway.finding import Binary
from tachograph.capture.gateway.following import LOG as LOG_FILE
from tachograph.capture.gateway.running import BOOTSTRAP, END_SECONDS_MAX, Chain, Run, forget_chain, runs, shown, why
from tachograph.config import SettingsError
from tachograph.flow import Busy, Refused
from tachograph.health import Health

LOG = logging.getLogger("tachograph.gateway")
BASE_IDS = 1 << 27  # Envoy counts from ten times as much, and has 31 bits for it
_VALIDATE = ("--mode", "validate", "-c", BOOTSTRAP, "-l", "error", "--disable-hot-restart")
_CHECKED = "checked-"
_TICK_SECONDS = 0.25
_LOOK_SECONDS = 2.0
_START_SECONDS_MAX = 30.0
_BACKOFF_SECONDS, _BACKOFF_SECONDS_MAX = 0.5, 30.0
_PROVEN_SECONDS = 60.0  # it has lived so long: the next death is a first one
_SAID_LINES_MAX = 20  # a look


class Configuration(Protocol):
    """What Envoy is told. files: in the order in which they are to be replaced, BOOTSTRAP among them; the others it
    reads again. whole: all of it in one bootstrap, to be judged before it is used.
    """

    @property
    def files(self) -> Mapping[str, str]:
        """Text by file name."""
        ...

    @property
    def whole(self) -> str:
        """See above."""
        ...


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """Bounds. drain_seconds_max, stop_seconds_max: how long streams may go on in an Envoy that was replaced, that is to
    end. file_bytes_max: how large its log may grow while nobody is there to rotate it.
    """

    workers: int = 2
    drain_seconds_max: int = 600
    stop_seconds_max: float = 30.0
    file_bytes_max: int = 512 << 20
    flush_ms: int = 100


class Proxy:
    """See above. `watch` is for one thread; `runs` and `pid` are for any."""

    def __init__(
        self,
        folder: Path,
        binary: Binary,
        listen: str,
        render: Callable[[Run | None], Configuration],
        stamp: Callable[[], object],
        health: Health,
        limits: ProxyLimits,
    ) -> None:
        """listen: its `host:port`. render: the configuration for a run that goes on with it, or for a new one; asked
        again when `stamp` is another than before.
        """
        self._folder, self._binary, self._listen, self._render, self._stamp = folder, binary, listen, render, stamp
        self._health, self._limits = health, limits
        self.runs: tuple[Run, ...] = ()
        self._current: Run | None = None
        self._begun_at = self._again_at = self._look_at = 0.0
        self._deaths = 0
        self._draining: dict[Run, float] = {}
        self._handing: Run | None = None
        self._stamped: object = None
        self._lock: IO[str] | None = None
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process that serves; None where there is none at this moment."""
        current = self._current
        return current.pid if current else None

    def start(self) -> None:
        """Serve. Refused where another process of ours has the folder, or Envoy does not come up."""
        self._lock = _locked(self._folder)
        for left in self._folder.glob(f"{_CHECKED}*"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        self.runs = tuple(runs(self._folder))
        living = [run for run in self.runs if run.alive()]
        self._stamped = self._stamp()
        found = living[-1] if living and _serving(living[-1]) else None
        for run in living:
            if run is not found:
                self._let_go(run)
        if found is not None:
            self._serves(found)
            LOG.info("an Envoy serves already: process %s", found.pid)
            try:
                self._turn_to(found)
            except (Refused, SettingsError) as refused:  # its log must be followed all the same
                LOG.error("%s: it goes on with the settings that it has", refused)
            return
        configuration = self._checked(None)
        # One of ours that was killed is not found any more a moment before the kernel takes its port away.
        _check_free(self._listen, END_SECONDS_MAX if self.runs else 0.0)
        self._begin(configuration.files)

    def watch(self, stopping: threading.Event) -> None:
        """Look after it until `stopping`."""
        while not stopping.is_set():
            if self._current is not None:
                self._current.await_end(_TICK_SECONDS)
            else:
                stopping.wait(_TICK_SECONDS)
            try:
                self._tend()
            except (Busy, Refused, SettingsError, OSError) as failure:
                LOG.warning("gateway: %s", failure)
            except Exception:  # a mistake of ours must not leave Envoy without anybody who looks after it
                LOG.exception("gateway: report this")

    def stop(self) -> None:
        """Have every Envoy end: streams may finish within a bound. What they wrote can then be read to its end."""
        living = [run for run in reversed(self.runs) if run.alive()]
        for run in living:
            run.drain()
        until = time.monotonic() + self._limits.stop_seconds_max
        try:
            while time.monotonic() < until and any(run.is_active() for run in living):
                time.sleep(_TICK_SECONDS / 2)
        finally:  # also where somebody presses Ctrl-C again
            for run in living:  # the newest first: it ends the one it took over from, or falls over its absence
                run.end()
            self._current = None
            self._health.set("gateway_up", 0)

    def leave(self) -> None:
        """Let go of the folder, with Envoy as it is."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def reopen(self, run: Run) -> None:
        """Have it open its log anew; one that drains hears signals and nothing else."""
        run.tell(signal.SIGUSR1)

    def forget(self, run: Run) -> None:
        """A run that is gone, whose log is read to its end."""
        chain = run.chain
        run.remove()
        with self._turn:
            self.runs = tuple(each for each in self.runs if each is not run)
        if chain and not any(each.chain and each.chain.base_id == chain.base_id for each in self.runs):
            forget_chain(self._folder, chain.base_id)

    # in the watching thread

    def _tend(self) -> None:
        now = time.monotonic()
        for run in self.runs:
            for line in run.said()[:_SAID_LINES_MAX]:
                LOG.warning("Envoy %s: %s", run.number, line)
            if run is not self._current and run not in self._draining and run.alive():
                self._let_go(run)  # begun by one of ours that was killed before it knew
        if self._current is not None and not self._current.alive():
            self._died(now)
        if self._current is None and now >= self._again_at:
            self._revive(now)
        elif self._current is not None and now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._look(self._current)
            self._changed()
        self._end_drained(now)

    def _died(self, now: float) -> None:
        self._deaths = self._deaths + 1 if now - self._begun_at < _PROVEN_SECONDS else 1
        pause = 0.0 if self._deaths == 1 else min(_BACKOFF_SECONDS_MAX, _BACKOFF_SECONDS * 2 ** (self._deaths - 2))
        LOG.error("Envoy is gone: another is started%s", f" in {pause:g} s" if pause else "")
        self._current, self._again_at = None, now + pause
        self._health.set("gateway_up", 0)
        self._health.add("gateway_restarts_total", 1, "died")

    def _revive(self, now: float) -> None:
        try:
            self._begin(self._render(None).files)
        except Exception:
            self._deaths += 1
            self._again_at = now + min(_BACKOFF_SECONDS_MAX, _BACKOFF_SECONDS * 2**self._deaths)
            raise

    def _look(self, run: Run) -> None:
        requests, failed = run.counts()
        self._health.set("gateway_log_writes_failed", failed)
        self._health.set("gateway_requests_active", requests)

    def _changed(self) -> None:
        """Where the settings are others: files that Envoy watches are put in place; for the rest it is replaced."""
        stamp = self._stamp()
        if stamp == self._stamped or self._current is None:
            return
        self._stamped = stamp  # whatever comes of it: the same mistake is not told again
        self._turn_to(self._current)

    def _turn_to(self, run: Run) -> None:
        """Have the present settings in force."""
        configuration = self._checked(run)
        if not self._same(run, configuration.files):
            self._replace(run)
            LOG.info("Envoy was replaced for other settings")
        elif run.place(configuration.files):
            LOG.info("the gateway has other settings")

    def _end_drained(self, now: float) -> None:
        for run, until in list(self._draining.items()):
            if not run.alive():
                del self._draining[run]
                if self._handing is run and now < until - END_SECONDS_MAX:
                    self._begin_beside()
            elif now > until:
                run.end()

    # starting

    def _same(self, run: Run, files: Mapping[str, str]) -> bool:
        """Whether it can go on as it is: only files that it watches are others."""
        chain = run.chain
        return chain is not None and chain.binary == str(self._binary.path) and run.file(BOOTSTRAP) == files[BOOTSTRAP]

    def _begin(self, files: Mapping[str, str], chain: Chain | None = None) -> None:
        """Start one and wait until it serves."""
        number = 1 + max((run.number for run in runs(self._folder)), default=0)
        folder = self._folder / str(number)
        folder.mkdir(mode=0o700)
        run = Run(folder)
        run.place(files)
        chain = chain or Chain(secrets.randbelow(BASE_IDS), 0, str(self._binary.path))
        try:
            run.begin(chain, self._arguments(chain), self._limits.file_bytes_max)
            self._await_ready(run)
        except BaseException:
            run.end()
            if (run.folder / LOG_FILE).exists():
                self._add(run)
            else:
                run.remove()
            raise
        self._add(run)
        self._serves(run)

    def _add(self, run: Run) -> None:
        with self._turn:
            self.runs = (*self.runs, run)

    def _replace(self, before: Run) -> None:
        """By hot restart; where the two cannot speak, side by side: Envoys share their port."""
        files = self._checked(None).files
        chain = before.chain
        next_one = Chain(chain.base_id, chain.epoch + 1, str(self._binary.path)) if chain else None
        try:
            self._begin(files, next_one)
        except Refused as failure:
            LOG.warning("%s: another is started beside the one that serves", failure)
            self._begin(files)
        self._handing = before
        self._let_go(before)
        self._health.add("gateway_restarts_total", 1, "changed")

    def _checked(self, run: Run | None) -> Configuration:
        """The configuration. Refused where Envoy does not take it: one that serves is left alone."""
        configuration = self._render(run)
        with tempfile.TemporaryDirectory(prefix=_CHECKED, dir=self._folder) as place:
            path = Path(place) / BOOTSTRAP
            path.touch(0o600)
            path.write_text(configuration.whole)
            try:
                ran = subprocess.run(
                    [str(self._binary.path), *_VALIDATE],
                    cwd=place,
                    capture_output=True,
                    text=True,
                    timeout=_START_SECONDS_MAX,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise Refused("envoy", f"Envoy does not judge its configuration in {error.timeout:g} s") from error
        if ran.returncode:
            raise Refused("envoy", f"Envoy refuses the configuration: {why(shown(ran.stderr))}")
        return configuration

    def _begin_beside(self) -> None:
        """The one that handed over was killed before its time: the one that took over will fall when it calls it."""
        before, self._handing = self._current, None
        if before is not None:
            LOG.warning("an Envoy was killed while it drained: the one that took over from it is replaced")
            self._begin(self._render(None).files)
            self._let_go(before)

    def _arguments(self, chain: Chain) -> list[str]:
        drain = self._limits.drain_seconds_max
        told = {
            "-c": BOOTSTRAP,
            "--base-id": chain.base_id,
            "--restart-epoch": chain.epoch,
            "--socket-path": "../hot",
            "--socket-mode": 600,
            "--drain-time-s": drain,
            "--parent-shutdown-time-s": drain + 1,
            "--drain-strategy": "immediate",
            "--file-flush-interval-msec": self._limits.flush_ms,
            "--concurrency": self._limits.workers,
            "-l": "warning",
        }
        words = [str(word) for pair in told.items() for word in pair]
        # With the statistics of the one before it would fall as soon as that one does.
        return [*words, "--skip-hot-restart-parent-stats", "--skip-hot-restart-on-no-parent"]

    def _await_ready(self, run: Run) -> None:
        _await(lambda: not run.alive() or (run.ready() and any(run.listeners())), _START_SECONDS_MAX)
        taken, refused = run.listeners()
        if not taken or refused:
            raise Refused("envoy", f"Envoy does not come up: {why(run.said())}")

    def _serves(self, run: Run) -> None:
        self._current, self._begun_at = run, time.monotonic()
        self._health.set("gateway_up", 1)

    def _let_go(self, run: Run) -> None:
        """One that is not to serve any more: it takes nothing new, and ends when its time is over."""
        run.drain()
        self._draining[run] = time.monotonic() + self._limits.drain_seconds_max + END_SECONDS_MAX


def _locked(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("a")
    except OSError as error:
        raise Refused(
            "folder", f"{folder}: {error.strerror}: set `gateway_folder` to one that can be written"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Refused("in_use", f"{folder}: another gateway runs in it: stop it, or choose another folder") from error
    return lock


def _serving(run: Run) -> bool:
    """Whether it serves; one that is only beginning is waited for."""
    _await(lambda: run.ready() or run.drains() or not run.alive(), _START_SECONDS_MAX)
    return run.ready()


def _check_free(listen: str, seconds: float) -> None:
    """Refused where somebody else still listens there after so long: Envoy would share the port with him, and each
    would get a half.
    """
    _await(lambda: _bound(listen) is None, seconds)
    wrong = _bound(listen)
    if wrong is not None:
        raise Refused("port", f"{listen}: {wrong.strerror}: choose another address for the gateway") from wrong


def _bound(listen: str) -> OSError | None:
    """Why nobody can listen there now."""
    host, _, port = listen.rpartition(":")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            return error
    return None


def _await(what: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
