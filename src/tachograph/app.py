"""Joins the parts: the one place that knows all of them. One start list, one stop list.

In: Settings, the clock, the process. Out: running parts. What it must never do: compute.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import json
import os
import shutil
import signal
import socket
import sys
import threading
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tachograph import access, gateway, pricing
from tachograph.call import Call
from tachograph.capture import recordings
from tachograph.capture.lines import Line, read_calls
from tachograph.capture.otlp.doors import DoorSettings, doors
from tachograph.capture.otlp.limits import DoorLimits
from tachograph.capture.otlp.listen import door_socket
from tachograph.collecting import Collector
from tachograph.config import Settings, SettingsError
from tachograph.dialects.reading import SpanReader
from tachograph.dialects.rules import SpanLimits
from tachograph.flow import Busy, Refused
from tachograph.gateway import Gateway, tapping, where_it_can
from tachograph.gating import Kept, Sent
from tachograph.health import Health
from tachograph.importing import Imported, Importer, Tick, expanded
from tachograph.keeping import RELEASE_SECONDS, SNAPSHOT_SECONDS, Keeping
from tachograph.normalise import Circumstances, from_exchange, price, unpriced
from tachograph.outlets.otlp import Collector as CollectorOutlet
from tachograph.pricing import PriceBook, PriceFileError
from tachograph.prometheus import Metrics
from tachograph.prometheus.promql import promql
from tachograph.remote import Remote
from tachograph.store import InUse, Store, StoreError, open_store
from tachograph.store.engine import return_memory_early
from tachograph.web import site
from tachograph.web.api import Parts
from tachograph.web.live import Live
from tachograph.web.server import Server
from tachograph.web.views import Prices

# What a user can put right: told in one line, exit code 2.
EXPECTED: tuple[type[Exception], ...] = (Refused, Busy, SettingsError, PriceFileError, StoreError, ValueError)
API_FILE = "tachograph.api"  # in the data folder: where the process that has the store open can be asked
POSITIONS_FILE = "tachograph.positions"  # in the data folder: how far each file was imported
DISK_BYTES_MIN = 1024**3
LAG_SECONDS = 1.0
PACKAGES = (
    "chdb",
    "clickhouse-connect",
    "pyarrow",
    "genai-prices",
    "pandas",
    "grpcio",
    "prometheus-client",
    "starlette",
    "uvicorn",
    "brotli",
    "zstandard",
)


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def price_book(settings: Settings) -> PriceBook:
    """The public list, and the file of the setting `prices` over it. Refused or PriceFileError in one line."""
    if not settings.prices:
        return pricing.price_book()
    path = Path(settings.prices).expanduser()
    try:
        overrides = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Refused("unreadable", f"{path}: {error.strerror}: check the setting `prices`") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused("not_toml", f"{path}: not TOML: {error}") from error
    return pricing.price_book(overrides)


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Store | Remote]:
    """The store; where a running `tachograph up` has it open, that process's API."""
    try:
        store = open_store(settings.address, retention_days=settings.retention_days)
    except InUse:
        remote = _remote(settings)
        if remote is None:
            raise
        yield remote
        return
    try:
        yield store
    finally:
        store.close()


def _beside(settings: Settings, name: str) -> Path | None:
    """A file of ours in the data folder; None where the store is a server."""
    prefix = "chdb://"
    return Path(settings.address[len(prefix) :]) / name if settings.address.startswith(prefix) else None


def _remote(settings: Settings) -> Remote | None:
    """The API of the process that has the store open; None where none says so."""
    file = _beside(settings, API_FILE)
    try:
        told = json.loads(file.read_text()) if file else {}
        certificate = told.get("certificate")
        return Remote(told["api"], told.get("token", ""), Path(certificate) if certificate else None)
    except (OSError, ValueError, KeyError):
        return None


def read_recordings(
    paths: Sequence[Path], settings: Settings, priced_at: datetime | None
) -> Iterator[tuple[Path, list[Call] | Refused]]:
    """The Calls of each recorded exchange, or why a file is none."""
    book = price_book(settings)
    for path in paths:
        for file in _files(path):
            circumstances = Circumstances(now(), "recording", attribution=settings.attribution, priced_at=priced_at)
            try:
                yield file, from_exchange(recordings.load(file), book, circumstances)
            except Refused as refused:
                yield file, refused


def _files(path: Path) -> Iterable[Path]:
    """A folder's recordings; a file, also one that is not there, as it is: reading it says what is wrong with it."""
    return (file for file in expanded([path]) if file.suffix == ".json") if path.is_dir() else [path]


def lines(paths: Iterable[Path], settings: Settings) -> Iterator[Line]:
    """The lines of files of Calls; those that nobody has priced yet are priced."""
    book: PriceBook | None = None  # read only where it is needed: that takes half a second
    for line in itertools.chain.from_iterable(map(read_calls, paths)):
        if line.call is not None and unpriced(line.call):
            book = book or price_book(settings)
            price(line.call, book)
        yield line


def import_files(
    paths: Sequence[Path], settings: Settings, data: Store | Remote, *, mapping: str | None, tick: Tick
) -> Imported:
    """Import into an open store."""
    return _importer(settings, data, tick).run(paths, mapping)


def _importer(settings: Settings, data: Store | Remote, tick: Tick) -> Importer:
    """An importer that remembers its positions beside the data; through another process's API it remembers none."""
    positions = _beside(settings, POSITIONS_FILE) if isinstance(data, Store) else None
    return Importer(price_book(settings), data, Health(), settings.attribution, now(), tick, positions)


def find(call_id: str, settings: Settings, file: Path | None) -> Call:
    """One call, from the store or from a file of Calls. Refused where it is not there."""
    wanted = call_id.replace("-", "").lower()
    if file is not None:
        call = next((line.call for line in read_calls(file) if line.call and line.call.call_id == wanted), None)
    else:
        with opened(settings) as data:
            call = data.call(wanted)
    if call is None:
        raise Refused("not_found", f"no call {call_id} in {file or settings.store}")
    return call


def serve(
    settings: Settings,
    files: Sequence[Path],
    *,
    say: Callable[[str], None],
    summarised: Callable[[dict[str, Any], str], None],
) -> None:
    """Run until told to stop: keys, prices, the store with its counters, what there is to import, the doors and the
    API; stopped in the opposite order.
    """
    return_memory_early()
    keys, (host, _, port) = access.Keys(settings.keys_file, now), settings.listen.rpartition(":")
    tls = access.tls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    for address in filter(None, (settings.listen, settings.otlp_http, settings.otlp_grpc)):
        access.check_listen(keys, address.rpartition(":")[0])
    health, live, book = Health(), Live(), price_book(settings)
    metrics = Metrics(health, _words(settings.metric_labels), settings.metric_series_max)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(open_store(settings.address, retention_days=settings.retention_days))
        keeping = Keeping(store, metrics, health, now)
        keeping.recall()
        stack.callback(keeping.remember)
        reader = SpanReader(SpanLimits(attributes_max=settings.attributes_max))
        if files:
            imported = Importer(book, keeping, health, settings.attribution, now(), _silent).run(files)
            summarised(imported.summary.to_dict(), ", ".join(map(str, files)))
            say(imported.line())
        collector = Collector(reader, keeping, book, health, settings.attribution, now, live.publish)
        open_doors: dict[str, str] = {}
        parts = Parts(
            keeping,
            lambda call: pricing.explanation(call, book),
            health,
            now,
            live=live,
            ledger=health.ledger,
            metrics=functools.partial(keeping.shown, metrics.exposition),
            reported=store.reported,
            annotations=store,
            views=store,
            prices=Prices(functools.partial(pricing.dated, book), functools.partial(pricing.fix, book)),
            promql=functools.partial(promql, _words(settings.metric_labels)),
            doors=lambda: open_doors,
            routes=lambda: gateway.offered(settings) if "gateway" in open_doors else (),
            retention_days=settings.retention_days,
            site=site.built(),
            listen_host=host,
            tls=tls is not None,
            keys=keys,
        )
        door = stack.enter_context(door_socket(host.strip("[]"), int(port), "choose another with --listen"))
        gateway_line = ""
        if settings.gateway:
            kept = Kept(keeping, book, health, settings.attribution, now, live.publish)
            serves, gateway_line = stack.enter_context(where_it_can(lambda: Gateway(settings, tapping(), kept, health)))
            open_doors |= {"gateway": settings.gateway} if serves else {}
        address = stack.enter_context(_announced(settings, keys, tls))
        gc.collect()
        gc.freeze()  # prices and the like stay: no need to walk over them again for every batch
        asyncio.run(_serve(settings, parts, keeping, collector, tls, door, address, say, open_doors, gateway_line))


async def _serve(
    settings: Settings,
    parts: Parts,
    keeping: Keeping,
    collector: Collector,
    tls: access.Tls | None,
    api: socket.socket,
    address: str,
    say: Callable[[str], None],
    open_doors: dict[str, str],
    gateway_line: str,
) -> None:
    """The doors and the API, until a signal; then the doors first, so that nothing new is accepted."""
    server, loop = Server(parts, tls), asyncio.get_running_loop()
    for word in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(word, functools.partial(setattr, server, "should_exit", True))
    settings_of_doors = DoorSettings(settings.otlp_http, settings.otlp_grpc, tls, _door_limits(settings))
    doorkeeper = functools.partial(access.gatekeeper, parts.keys, scope="ingest")
    async with doors(settings_of_doors, collector, doorkeeper, parts.health.add) as running:
        open_doors["api"] = address
        for name, where, there in (
            ("otlp_http", settings.otlp_http, running.http_port),
            ("otlp_grpc", settings.otlp_grpc, running.grpc_port),
        ):
            if there:
                open_doors[name] = f"{where.rpartition(':')[0]}:{there}"
        api.listen()
        say(f"tachograph is up: {address} - stop it with Ctrl-C")
        for name, title in (("otlp_http", "OTLP/HTTP"), ("otlp_grpc", "OTLP/gRPC")):
            if name in open_doors:
                say(f"{title} on {open_doors[name]}")
        if gateway_line:
            say(gateway_line)
        tending = [
            asyncio.create_task(_watching(parts.health, running.lag_seconds)),
            asyncio.create_task(_again_and_again(keeping.remember, SNAPSHOT_SECONDS)),
            asyncio.create_task(_again_and_again(keeping.release_memory, RELEASE_SECONDS)),
        ]
        try:
            await server.serve(sockets=[api])
        finally:
            for task in tending:
                task.cancel()


def proxy(settings: Settings, say: Callable[[str], None]) -> Health:
    """Run the gateway alone, with the collector at the other end, until told to stop; what it counted."""
    health, stopping = Health(), threading.Event()
    gateway.recall(settings, health)
    outlet = CollectorOutlet(settings.collector, key=settings.collector_key)
    for word in (signal.SIGINT, signal.SIGTERM):
        signal.signal(word, lambda *_: stopping.set())
    with Gateway(settings, tapping(), Sent(outlet, health, settings.attribution), health) as running:
        say(f"{running.line} - calls go to {settings.collector}; stop it with Ctrl-C")
        while not stopping.wait(SNAPSHOT_SECONDS):
            gateway.remember(settings, health)
        for word in (signal.SIGINT, signal.SIGTERM):  # who asks again does not want to wait for streams
            signal.signal(word, signal.default_int_handler)
    gateway.remember(settings, health)
    outlet.close()
    return health


def _door_limits(settings: Settings) -> DoorLimits:
    return DoorLimits(
        body_bytes_max=settings.body_bytes_max,
        batch_bytes_max=settings.batch_bytes_max,
        in_flight_bytes_max=settings.in_flight_bytes_max,
        connections_max=settings.connections_max,
    )


def _words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


async def _watching(health: Health, lag_seconds: Callable[[], float]) -> None:
    """Say how far storing is behind accepting, at least as often as anybody scrapes."""
    while True:
        health.set("store_lag_seconds", round(lag_seconds(), 3))
        await asyncio.sleep(LAG_SECONDS)


async def _again_and_again(what: Callable[[], None], seconds: float) -> None:
    """Now and then; a failure is the store's, who says so to whoever writes next."""
    while True:
        await asyncio.sleep(seconds)
        with contextlib.suppress(Busy, StoreError):
            await asyncio.to_thread(what)


def _silent(_name: str, _done: int, _total: int, _calls: int) -> None:
    """A tick for nobody."""


@contextlib.contextmanager
def _announced(settings: Settings, keys: access.Keys, tls: access.Tls | None) -> Iterator[str]:
    """Tell other commands on this machine where and with which token the store can be asked while this process has it
    open; the address. Readable by the owner alone, as whoever reads it holds the token.
    """
    file, scheme = _beside(settings, API_FILE), "https" if tls else "http"
    here = settings.listen.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")
    told = {"api": f"{scheme}://{here}", "token": keys.grant("commands of this machine", ["admin"])}
    if tls is not None:
        told["certificate"] = str(tls.certificate.resolve())
    if file is not None:
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as opened:
            json.dump(told, opened)
    try:
        yield f"{scheme}://{settings.listen}"
    finally:
        if file is not None:
            file.unlink(missing_ok=True)


def ledger(settings: Settings) -> dict[str, Any]:
    """What became of everything that was accepted: as the running process counts it, else as the last one left it."""
    with opened(settings) as data:
        if isinstance(data, Remote):
            return data.ledger()
        health = Health()
        Keeping(data, Metrics(health), health, now).recall()
        return health.ledger()


def checks(settings: Settings) -> list[tuple[bool, str, str]]:
    """What `doctor` looks at: (fine?, what, how it is or what to do)."""
    rows = [(sys.version_info >= (3, 11), "Python", sys.version.split()[0])]
    rows += [_package(name) for name in PACKAGES]
    rows.append(_attempted("prices", lambda: f"{len(price_book(settings).rows):,} dated rows"))
    rows += _folder(settings)
    rows += gateway.state(settings)
    rows.append(_attempted("store", lambda: _store_state(settings)))
    return rows


def _package(name: str) -> tuple[bool, str, str]:
    try:
        return True, name, version(name)
    except PackageNotFoundError:
        return False, name, "missing: pip install 'tachograph[server]'"


def _folder(settings: Settings) -> list[tuple[bool, str, str]]:
    file = _beside(settings, API_FILE)
    if file is None:
        return []
    folder = next(parent for parent in file.parents if parent.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1024**3:.1f} GiB free at {folder}"
    return [(free >= DISK_BYTES_MIN, "disk", detail if free >= DISK_BYTES_MIN else detail + ": make room")]


def _store_state(settings: Settings) -> str:
    with opened(settings) as data:
        where = data.address if isinstance(data, Remote) else settings.address
        stats = data.stats()
        size = sum(table.bytes_on_disk for table in stats.tables) / 1024**2
        return f"{where}: {stats.calls:,} calls, {size:,.1f} MiB on disk, newest {stats.newest or 'none'}"


def _attempted(what: str, attempt: Callable[[], str]) -> tuple[bool, str, str]:
    try:
        return True, what, attempt()
    except EXPECTED as failure:
        return False, what, str(failure)
