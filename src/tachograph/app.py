"""Joins the parts: the one place that knows all of them. One start list, one stop list.

In: Settings, the clock, the process. Out: running parts. What it must never do: compute.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tachograph import pricing
from tachograph.call import Call
from tachograph.capture import recordings
from tachograph.capture.lines import Line, read_calls
from tachograph.config import Settings, SettingsError
from tachograph.flow import Busy, Refused
from tachograph.health import Health
from tachograph.importing import Imported, Importer, Tick, expanded
from tachograph.normalise import Circumstances, from_exchange
from tachograph.pricing import PriceBook, PriceFileError
from tachograph.remote import Remote
from tachograph.store import InUse, Store, StoreError, open_store
from tachograph.testing import generated_day
from tachograph.web.api import Parts, application

# What a user can put right: told in one line, exit code 2.
EXPECTED: tuple[type[Exception], ...] = (Refused, Busy, SettingsError, PriceFileError, StoreError, ValueError)
API_FILE = "tachograph.api"  # in the data folder: where the process that has the store open can be asked
POSITIONS_FILE = "tachograph.positions"  # in the data folder: how far each file was imported
DISK_BYTES_MIN = 1024**3
GENERATED_CALLS = 20_000
PACKAGES = (
    "chdb",
    "clickhouse-connect",
    "pyarrow",
    "genai-prices",
    "pandas",
    "starlette",
    "uvicorn",
    "brotli",
    "zstandard",
)
# Published traces that hold single calls, and the mapping of each.
TRACES = (
    ("azure_llm/AzureLLMInferenceTrace_conv.csv.gz", "azure-llm"),
    ("azure_llm/AzureLLMInferenceTrace_code.csv.gz", "azure-llm"),
    ("mooncake/conversation_trace.jsonl.gz", "mooncake"),
    ("llmperf_leaderboard/requests.csv.gz", "llmperf"),
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
        api = _api_of(settings)
        if api is None:
            raise
        yield Remote(api)
        return
    try:
        yield store
    finally:
        store.close()


def _beside(settings: Settings, name: str) -> Path | None:
    """A file of ours in the data folder; None where the store is a server."""
    prefix = "chdb://"
    return Path(settings.address[len(prefix) :]) / name if settings.address.startswith(prefix) else None


def _api_of(settings: Settings) -> str | None:
    """The address of the API of the process that has the store open; None where none says so."""
    file = _beside(settings, API_FILE)
    try:
        return json.loads(file.read_text())["api"] if file else None
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


def lines(paths: Iterable[Path]) -> Iterator[Line]:
    """The lines of files of Calls."""
    for path in paths:
        yield from read_calls(path)


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
    """Run until told to stop: prices, the store, what there is to import, the API; stopped in the opposite order."""
    import uvicorn

    health, book = Health(), price_book(settings)
    store = open_store(settings.address, retention_days=settings.retention_days)
    try:
        if files:
            imported = Importer(book, store, health, settings.attribution, now(), _silent).run(files)
            summarised(imported.summary.to_dict(), ", ".join(map(str, files)))
            say(imported.line())
        parts = Parts(store, lambda call: pricing.explanation(call, book), health, now)
        host, _, port = settings.listen.rpartition(":")
        with _listening(host.strip("[]"), int(port)) as door, _announced(settings):
            say(f"tachograph is up: http://{settings.listen}/api/v1/health - stop it with Ctrl-C")
            uvicorn.Server(uvicorn.Config(application(parts), log_level="warning", lifespan="off")).run(sockets=[door])
    finally:
        store.close()


def _silent(_name: str, _done: int, _total: int, _calls: int) -> None:
    """A tick for nobody."""


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """The socket of the API. Refused, in one line, where somebody else has the port."""
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as error:
        door.close()
        raise Refused("port", f"{host}:{port}: {error.strerror}: choose another with --listen") from error
    try:
        yield door
    finally:
        door.close()


@contextlib.contextmanager
def _announced(settings: Settings) -> Iterator[None]:
    """Tell other commands on this machine where the store can be asked while this process has it open."""
    file = _beside(settings, API_FILE)
    if file is not None:
        file.write_text(json.dumps({"api": f"http://{settings.listen}"}))
    try:
        yield
    finally:
        if file is not None:
            file.unlink(missing_ok=True)


def demo(real: Path, settings: Settings, data: Store | Remote, *, tick: Tick) -> tuple[str, dict[str, Any]]:
    """Fill the store: recordings and traces below `real` where it exists, else a generated day. (title, summary)."""
    importer = _importer(settings, data, tick)
    if not (real / "wire").is_dir():
        day = (now() - timedelta(days=1)).date()
        made = importer.calls(generated_day(day), f"generated day {day}", GENERATED_CALLS)
        return f"a GENERATED day of traffic ({day}, no real data at {real}): {made.line()}", made.summary.to_dict()
    result = importer.run([real / "wire"])
    for file, mapping in TRACES:
        if (real / "traces" / file).is_file():
            result.add(importer.run([real / "traces" / file], mapping))
    title = f"recorded exchanges and published traces of {real} (traces hold no model, so they have no price)"
    return f"{title}: {result.line()}", result.summary.to_dict()


def checks(settings: Settings) -> list[tuple[bool, str, str]]:
    """What `doctor` looks at: (fine?, what, how it is or what to do)."""
    rows = [(sys.version_info >= (3, 11), "Python", sys.version.split()[0])]
    rows += [_package(name) for name in PACKAGES]
    rows.append(_attempted("prices", lambda: f"{len(price_book(settings).rows):,} dated rows"))
    rows += _folder(settings)
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
