"""Joins the gateway's parts: Envoy that is looked after, its log that is followed, a place where its calls go.

In: Settings, what taps and what reads the tap's lines, a place for calls. Out: a gateway that runs until it is closed;
what `doctor` says of it.
What it must never know: a provider, a field path, SQL.

Two threads: one looks after Envoy, one follows its log. They share the list of runs and nothing else, so that a store
that is busy never keeps Envoy from being looked after. It ends in the order of the flow: Envoy first, then its log.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tachograph import access
from tachograph.capture.gateway import envoy, lines, sealing, tap
from tachograph.capture.gateway import settings as files
from tachograph.capture.gateway.finding import Binary, find
from tachograph.capture.gateway.following import Log, LogLimits
from tachograph.capture.gateway.lines import Seen
from tachograph.capture.gateway.process import Proxy, ProxyLimits
from tachograph.capture.gateway.routes import Routes, Variant, routes
from tachograph.capture.gateway.running import Run, runs
from tachograph.capture.gateway.security import Access, system_ca
from tachograph.config import Settings, SettingsError
from tachograph.flow import Busy, Refused
from tachograph.gating import Gating, Place
from tachograph.health import Health

ROTATE_BYTES_MAX = 16 << 20
_PARTS = 8  # of the log: so much of it is given up at once
COUNTERS = "counters.json"
_SHOWN = 8  # of the prefixes, the file's own first
_ROUTES_KEPT = 4  # what was asked before the settings changed was asked by other routes


@dataclass(frozen=True, slots=True)
class Tapping:
    """The tap and its reader. read: a line by the routes that may have been in force, the present ones first; see
    `Gating`. opening: with what each line begins.
    """

    tap: envoy.Tap
    read: Callable[[bytes, Sequence[Routes]], Seen | None]
    opening: bytes


def tapping() -> Tapping:
    """The tap that is shipped."""

    def told(variant: Variant) -> str:
        return tap.variant(
            include_usage=variant.include_usage,
            required=variant.required,
            model=variant.model,
            experiment=variant.experiment,
            arm=variant.arm,
        )

    return Tapping(
        envoy.module_tap(str(tap.MODULE), tap.lists(), told, sealing.sealed(lines.LOG_FORMAT)),
        lambda line, known: lines.read(sealing.check(line), known),
        sealing.OPENING,
    )


class Gateway:
    """Use as a context manager: it serves within. Refused or SettingsError where it cannot."""

    def __init__(self, settings: Settings, tapping: Tapping, place: Place, health: Health) -> None:
        self._settings, self._tapping, self._health = settings, tapping, health
        self.binary: Binary = find(settings.gateway_envoy)
        tap.module()
        self._routes: tuple[Routes, ...] = ()
        self._proxy = Proxy(
            settings.gateway_place,
            self.binary,
            settings.gateway,
            self._rendered,
            self._stamp,
            health,
            ProxyLimits(
                workers=settings.gateway_workers,
                drain_seconds_max=settings.gateway_drain_seconds,
                stop_seconds_max=settings.gateway_stop_seconds,
                file_bytes_max=settings.gateway_log_bytes_max // 2,
            ),
        )
        self._gating = Gating(
            lambda: self._proxy.runs,
            self._proxy.reopen,
            self._proxy.forget,
            lambda line: tapping.read(line, self._routes),
            tapping.opening,
            place,
            health,
            log_limits(settings),
        )
        self._watching, self._following = threading.Event(), threading.Event()
        self._threads = (
            threading.Thread(target=self._proxy.watch, args=(self._watching,), name="gateway-envoy", daemon=True),
            threading.Thread(target=self._gating.follow, args=(self._following,), name="gateway-log", daemon=True),
        )

    def __enter__(self) -> Gateway:
        try:
            self._proxy.start()
        except BaseException:
            self._proxy.leave()
            raise
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        watching, following = self._threads
        try:
            self._watching.set()
            watching.join()
            self._proxy.stop()
        finally:
            self._following.set()
            following.join()
            self._proxy.leave()

    @property
    def line(self) -> str:
        """Where it is and what can be asked there."""
        prefixes = list(dict.fromkeys("/" + row.prefix.split("/")[1] for row in self._routes[0].rows))
        shown, more = " ".join(prefixes[:_SHOWN]), max(0, len(prefixes) - _SHOWN)
        return f"gateway on {self._settings.gateway} (Envoy {self.binary.version}): {shown} and {more} more"

    def _rendered(self, run: Run | None) -> envoy.Rendered:
        """The configuration as the files say now. For a run that goes on, its clusters stay."""
        told, settings = _file(self._settings), self._settings
        allowed = Access(
            keys=access.load(settings.keys_file),
            tls=access.tls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca),
        )
        place = envoy.Place(listen=settings.gateway, ca=told.ca or system_ca())
        before = (run.file(envoy.CLUSTERS) or "") if run else ""
        made = envoy.rendered(told, place, allowed, self._tapping.tap, before)
        if not self._routes or made.routes != self._routes[0]:
            self._routes = (made.routes, *self._routes)[:_ROUTES_KEPT]
        return made

    def _stamp(self) -> object:
        paths = (_path(self._settings), self._settings.keys_file)
        return tuple(_stamp(path) for path in paths if path)


@contextlib.contextmanager
def where_it_can(made: Callable[[], Gateway]) -> Iterator[tuple[bool, str]]:
    """(whether there is a gateway, a line about it or about what is missing). A mistake in its file is raised."""
    with contextlib.ExitStack() as stack:
        try:
            told = True, stack.enter_context(made()).line
        except (Refused, Busy) as failure:
            told = False, f"no gateway: {failure}"
        yield told


def offered(settings: Settings) -> list[tuple[str, str]]:
    """Prefix and provider of every route, as the file says now; one that says nonsense offers what is known anyway."""
    try:
        rows = routes(_file(settings)).rows
    except SettingsError:
        rows = routes(files.GatewaySettings()).rows
    return list(dict.fromkeys((row.prefix, row.provider) for row in rows))


def recall(settings: Settings, health: Health) -> None:
    """Go on from what a gateway that runs alone had counted; one beside a store has its counters there."""
    with contextlib.suppress(OSError, ValueError):
        health.restore(json.loads((settings.gateway_place / COUNTERS).read_bytes()))


def remember(settings: Settings, health: Health) -> None:
    """Keep what it has counted, for the next one and for `doctor`."""
    with contextlib.suppress(OSError):  # where the disk is full the next time does
        beside = settings.gateway_place / f"{COUNTERS}.new"
        beside.write_text(json.dumps(health.snapshot()))
        beside.replace(settings.gateway_place / COUNTERS)


def log_limits(settings: Settings) -> LogLimits:
    """The bounds of the log."""
    most = settings.gateway_log_bytes_max
    return LogLimits(rotate_bytes=min(ROTATE_BYTES_MAX, most // _PARTS), log_bytes_max=most)


def state(settings: Settings) -> list[tuple[bool, str, str]]:
    """What `doctor` shows: (fine?, what, how it is or what to do)."""
    if not settings.gateway:
        return []
    try:
        binary = find(settings.gateway_envoy)
        tap.module()
        rows = [(True, "Envoy", f"{binary.version} at {binary.path}")]
        _file(settings)
    except Refused as refused:
        return [(True, "gateway", f"shut: {refused}")]
    except SettingsError as wrong:
        return [*rows, (False, "gateway", str(wrong))]
    try:
        return [*rows, (True, "gateway", _how(settings))]
    except OSError as error:
        return [*rows, (False, "gateway", f"{settings.gateway_place}: {error.strerror}: look at it as its owner")]


def _how(settings: Settings) -> str:
    folder = settings.gateway_place
    known = runs(folder) if folder.is_dir() else []
    unread = sum(Log(run.folder, log_limits(settings), lambda: True, logging.debug).unread_bytes for run in known)
    serving = [str(run.pid) for run in known if run.alive()]
    how = f"serves on {settings.gateway}, process {' and '.join(serving)}" if serving else "does not run"
    counted = Health()
    recall(settings, counted)
    found = counted.ledger()
    sent = f"; {found['stored']:,} calls sent" if found["stored"] else ""
    lost = sum(counted.snapshot()["gateway_lines_lost_total"].values())  # type: ignore[union-attr]
    odd = f", {lost:,} lines lost for want of room" if lost else ""
    return f"{how}; {unread:,} bytes of its log are not stored{sent}{odd}"


def _path(settings: Settings) -> Path | None:
    """The gateway's file; None where there is none."""
    if settings.gateway_file:
        return Path(settings.gateway_file).expanduser()
    return Path(files.FILE) if Path(files.FILE).is_file() else None


def _file(settings: Settings) -> files.GatewaySettings:
    path = _path(settings)
    return files.load(path) if path else files.GatewaySettings()


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
