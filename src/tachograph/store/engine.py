"""One way to the engine: embedded in this process, or a server over HTTP.

In: an address (`chdb:///folder`, `http://host:8123`, `https://...`). Out: an `Engine` that runs SQL for any thread.
What it must never know: what a query means.

Why it is careful: the embedded engine reads `./config.xml` of the working directory unless it is given another file,
takes no second process on its folder without damage, hangs in a forked child, and is one lock per client. So: our own
configuration, a lock on the folder that names its holder, a refusal after a fork, one client per thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import pyarrow as pa

from tachograph.store.errors import InUse, StoreError, explain

DATABASE = "tachograph"
_LOCK = "tachograph.lock"
_CONFIG = "tachograph.xml"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine may use: `threads_max` per query; `query_bytes_max` and `process_bytes_max` of memory."""

    threads_max: int = 2
    query_bytes_max: int = 3 * 2**30
    process_bytes_max: int = 6 * 2**30
    mark_cache_bytes_max: int = 256 * 2**20


# Of a call half the fields are empty: columns that are so in a whole batch are not written, and others that mostly are
# keep only what is there (a merge costs a third less). Statistics for the planner would be made anew by each merge of
# every column, and nothing of ours is planned by them.
_CONFIG_XML = """<clickhouse>
    <background_pool_size>{threads_max}</background_pool_size>
    <max_server_memory_usage>{process_bytes_max}</max_server_memory_usage>
    <mark_cache_size>{mark_cache_bytes_max}</mark_cache_size>
    <merge_tree>
        <auto_statistics_types></auto_statistics_types>
        <serialization_info_version>with_missing_columns</serialization_info_version>
        <skip_empty_columns_on_insert>1</skip_empty_columns_on_insert>
        <nullable_serialization_version>allow_sparse</nullable_serialization_version>
    </merge_tree>
</clickhouse>
"""


def return_memory_early() -> None:
    """Have the C library give large blocks back when they are freed, keep few arenas, and carry Arrow's memory too: it
    would raise its limit with every request body until it keeps them all, and Arrow's own pool keeps what batches
    held. For a process that is ours alone.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such call
        library = ctypes.CDLL(None)
        for option, value in ((_M_MMAP_THRESHOLD, 2**21), (_M_TRIM_THRESHOLD, 2**23), (_M_ARENA_MAX, 2)):
            library.mallopt(option, value)


class Engine:
    """Runs SQL. Any thread may call it; each gets its own client. Errors are `Busy` or `StoreError`."""

    def __init__(self, address: str, limits: Limits | None = None) -> None:
        """Open the engine at `address`, for this process alone if it is a folder. StoreError says why not."""
        self.address = address
        self.limits = limits or Limits()
        self.folder = _folder(address)
        self._process = os.getpid()
        self._local = threading.local()
        self._clients: list[Any] = []
        self._opening = threading.Lock()
        self._lock: IO[str] | None = None
        if self.folder is not None:
            self._lock = _take_folder(self.folder, self.limits)
        try:
            self.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}{' ENGINE = Atomic' if self.embedded else ''}")
            for client in self._clients:
                client.database = DATABASE
        except BaseException:
            self.close()
            raise

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process, on a folder that nobody else may use meanwhile."""
        return self.folder is not None

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> Sequence[Sequence[Any]]:
        """The rows that `sql` answers."""
        with self._explained():
            return list(self._client().query(sql, dict(parameters or {}), settings).result_rows)

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> pa.Table:
        """The answer of `sql` as an Arrow table: ids as bytes, times in UTC."""
        # Told to the driver, this one too would be set and put back: a tenth of a small question.
        told = _with_settings(sql, settings)
        with self._explained():
            return self._client().query_arrow(told, dict(parameters or {}) or None, use_strings=True)

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Run a statement that answers nothing."""
        with self._explained():
            self._client().command(sql, dict(parameters or {}), settings=settings)

    def insert(self, table: str, batch: pa.RecordBatch, **settings: Any) -> None:
        """Append `batch` to `table`, matched by column name."""
        with self._explained():
            if self.embedded:
                self._insert_here(table, batch, settings)
            else:
                sink = pa.BufferOutputStream()
                _written(batch, sink)
                block = sink.getvalue().to_pybytes()
                self._client().raw_insert(table, batch.schema.names, block, settings=settings, fmt="ArrowStream")

    def _insert_here(self, table: str, batch: pa.RecordBatch, settings: Mapping[str, Any]) -> None:
        """Through a file in memory: the driver would write one to the disk."""
        place = os.memfd_create(table)
        try:
            with pa.OSFile(f"/proc/self/fd/{place}", "wb") as sink:
                _written(batch, sink)
            columns = ", ".join(batch.schema.names)
            told = _with_settings(f"INSERT INTO {table} ({columns}) FROM INFILE '/proc/self/fd/{place}'", settings)
            self._client().command(f"{told} FORMAT ArrowStream")
        finally:
            os.close(place)

    def release_memory(self) -> None:
        """Give back to the system what freed blocks and batches held: allocators keep them, and only ever more."""
        if self.embedded:
            self.command("SYSTEM JEMALLOC PURGE")
        pa.default_memory_pool().release_unused()
        with contextlib.suppress(OSError, AttributeError):  # another C library has no such call
            ctypes.CDLL(None).malloc_trim(0)

    def close(self) -> None:
        """Let go of every client and of the folder. A second close does nothing."""
        with self._opening:
            clients, self._clients = self._clients, []
        self._local = threading.local()
        if os.getpid() == self._process:
            for client in clients:
                client.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self._process = -1

    def _client(self) -> Any:
        if os.getpid() != self._process:
            state = (
                "is closed" if self._process == -1 else f"belongs to process {self._process}, not to its forked child"
            )
            raise StoreError(f"the store at {self.address} {state}: open it here")
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._connect()
        return client

    def _connect(self) -> Any:
        # The first client opens the engine, and two first clients at once open it twice.
        with self._opening, self._explained():
            known = DATABASE if self._clients else None
            client = _embedded(self.folder, known, self._settings()) if self.folder else self._remote(known)
            self._clients.append(client)
            return client

    def _remote(self, database: str | None) -> Any:
        import clickhouse_connect

        return clickhouse_connect.get_client(
            dsn=self.address,
            database=database or "__default__",
            settings=self._settings(),
            autogenerate_session_id=False,
            form_encode_query_params=True,
        )

    def _settings(self) -> dict[str, Any]:
        limits = self.limits
        return {
            "max_threads": limits.threads_max,
            "max_insert_threads": 1,
            # Cells of a roll-up are few and heavy (a histogram each): by the engine's default they are too few to
            # share out, and a month's chart runs on one core.
            "merge_tree_min_rows_for_concurrent_read": 4096,
            "merge_tree_min_bytes_for_concurrent_read": 65536,
            "max_memory_usage": limits.query_bytes_max,
            "max_bytes_before_external_group_by": limits.query_bytes_max // 2,
            "max_bytes_before_external_sort": limits.query_bytes_max // 2,
            "session_timezone": "UTC",
            "output_format_arrow_fixed_string_as_fixed_byte_array": 1,
            # What never leaves the process is not worth compressing.
            **({"output_format_arrow_compression_method": "none"} if self.embedded else {}),
        }

    @contextlib.contextmanager
    def _explained(self) -> Any:
        from clickhouse_connect.driver.exceptions import Error

        try:
            yield
        except (Error, OSError, RuntimeError) as error:
            client = getattr(self._local, "client", None)
            if self.embedded and client is not None:
                # What a failed query had answered until then comes before the next answer: one that nobody reads.
                with contextlib.suppress(Error, OSError, RuntimeError):
                    client.raw_query("SELECT 1", fmt="TSV")
            raise explain(error, self.address) from error


def _with_settings(sql: str, settings: Mapping[str, Any]) -> str:
    """The statement with its settings: told beside it, the driver would ask for those of before, and put them back."""
    told = ", ".join(
        f"{name} = {value if isinstance(value, int) else _literal(value)}" for name, value in settings.items()
    )
    return f"{sql} SETTINGS {told}" if told else sql


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _written(batch: pa.RecordBatch, sink: Any) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)


def _folder(address: str) -> Path | None:
    parts = urlsplit(address)
    if parts.scheme == "chdb" and not parts.netloc and parts.path not in ("", "/"):
        return Path(parts.path)
    if parts.scheme in ("http", "https") and parts.netloc:
        return None
    raise StoreError(f"{address!r} is no store address: use chdb:///folder, http://host:8123 or https://host:8443")


def _take_folder(folder: Path, limits: Limits) -> IO[str]:
    """The lock on a data folder, held until closed or until the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a+")
    except OSError as error:
        raise StoreError(f"the data folder {folder} cannot be used: {error.strerror}: choose another folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        (folder / _CONFIG).write_text(_CONFIG_XML.format(**{name: getattr(limits, name) for name in limits.__slots__}))
    except BlockingIOError as error:
        holder = _holder(lock)
        lock.close()
        raise InUse(f"{folder} is in use by process {holder}: stop it, or choose another data folder") from error
    except OSError as error:
        lock.close()
        raise StoreError(
            f"the data folder {folder} cannot be written: {error.strerror}: make room or choose another"
        ) from error
    return lock


def _holder(lock: IO[str]) -> str:
    lock.seek(0)
    return lock.read().strip() or "unknown"


def _embedded(folder: Path, database: str | None, settings: Mapping[str, Any]) -> Any:
    _import_engine(folder)
    import clickhouse_connect

    # Named twice on purpose: a path with a query of its own would lose the configuration.
    return clickhouse_connect.get_client(
        interface="chdb",
        path=str(folder),
        database=database,
        settings=dict(settings),
        chdb_options={"config-file": str(folder / _CONFIG)},
    )


def _import_engine(folder: Path) -> None:
    """Import chDB from a directory of ours: on import it opens an engine, with the `config.xml` it finds there."""
    if "chdb" not in sys.modules:
        with contextlib.chdir(folder):
            import chdb  # noqa: F401
