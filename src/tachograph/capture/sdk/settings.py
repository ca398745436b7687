"""What `instrument` may be told, as arguments or from the environment: one table.

In: defaults < environment < arguments. Out: `SdkSettings`. An unknown or unusable one is an error that says what to do.
`docs/sdk.md` is generated from `SDK_SETTINGS`.
What it must never know: what a setting does.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tachograph.call import Call
from tachograph.config import PREFIX, SDK_PREFIX, SettingsError

DEFAULT_FILE = "calls.jsonl"  # where calls go when nobody says where
# Attribution has one name everywhere, also for `tachograph up`.
SHARED = ("service", "environment", "region", "team", "project")


@dataclass(frozen=True, slots=True)
class SdkSettings:
    """Documented field by field in SDK_SETTINGS."""

    file: str = ""
    file_bytes_max: int = 64 * 1024 * 1024
    files_max: int = 5
    fsync: bool = False
    collector: str = ""
    key: str = ""
    opentelemetry: bool = False
    legacy_attributes: bool = False
    callback: Callable[[Call], None] | None = None
    spill: str = ""
    spill_bytes_max: int = 64 * 1024 * 1024
    queue_calls_max: int = 10_000
    flush_seconds: float = 1.0
    exit_seconds_max: float = 3.0
    hosts: Mapping[str, str] = field(default_factory=dict)
    include_usage: bool = False
    prices: bool = False
    trust_baggage: bool = False
    hash_user: bool = False
    secret: str = ""
    service: str = ""
    environment: str = ""
    region: str = ""
    team: str = ""
    project: str = ""
    disabled: bool = False

    @property
    def attribution(self) -> dict[str, str]:
        """Defaults of all calls of this process, by field of Call."""
        return {name: getattr(self, name) for name in SHARED if getattr(self, name)}

    @property
    def jsonl(self) -> str:
        """The file to write; the default where nothing else was told; empty for none."""
        return self.file or ("" if self.collector or self.opentelemetry or self.callback else DEFAULT_FILE)


SDK_SETTINGS: Mapping[str, str] = {
    "file": f"JSON-lines file to append calls to; `{DEFAULT_FILE}` where no other place is told",
    "file_bytes_max": "size at which the file is rotated, in bytes",
    "files_max": "how many files are kept, the current one included",
    "fsync": "have each batch of the file on the disk before the next",
    "collector": "URL of a Tachograph (or any OpenTelemetry) collector, such as `http://127.0.0.1:4318`",
    "key": "key for that collector, where it asks for one",
    "opentelemetry": "give calls to this process's own OpenTelemetry SDK: spans and metrics of the GenAI conventions",
    "legacy_attributes": "with `opentelemetry`: also `llm.vendor`, `llm.model`, `llm.request_tokens`, "
    "`llm.response_tokens`, `llm.latency`",
    "callback": "a function that gets every Call; only as an argument",
    "spill": "file that keeps what the collector cannot take while it is away, also over a restart; empty: none",
    "spill_bytes_max": "size of that file at most; what does not fit is dropped and counted",
    "queue_calls_max": "calls that wait to be sent; more are dropped and counted",
    "flush_seconds": "how long a call waits for others at most",
    "exit_seconds_max": "how long the end of the process waits for what is not sent yet",
    "hosts": "self-hosted model servers, `host=provider,host:port=provider`; the provider may be empty",
    "include_usage": "ask for the usage of streams where the caller did not, and hide the extra chunk from the caller",
    "prices": "price each call in this process (needs `genai-prices`); else the collector or `tachograph summary` does",
    "trust_baggage": "take who is asking from OpenTelemetry's baggage too, which may have come from outside",
    "hash_user": "user ids leave the process only as keyed hashes (needs `secret`)",
    "secret": "key of those hashes, and of the `api_key_id` of credentials; empty: credentials leave no trace",
    "service": "`service.name` of all calls of this process; `OTEL_SERVICE_NAME` where that is told",
    "environment": "`deployment.environment.name`",
    "region": "`cloud.region`",
    "team": "team of calls that name none",
    "project": "project of calls that name none",
    "disabled": "change nothing and record nothing",
}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return (PREFIX if name in SHARED else SDK_PREFIX) + name.upper()


def told(arguments: Mapping[str, Any], environment: Mapping[str, str]) -> SdkSettings:
    """The settings in force. SettingsError, in one line, for one that is unknown or cannot be used."""
    kinds = {known.name: str(known.type) for known in dataclasses.fields(SdkSettings)}
    values: dict[str, Any] = {}
    if environment.get("OTEL_SERVICE_NAME"):
        values["service"] = environment["OTEL_SERVICE_NAME"]
    _refuse_unknown(environment, kinds)
    for name, kind in kinds.items():
        text = environment.get(variable(name))
        if text is not None:
            values[name] = _from_text(name, kind, text)
    for name, value in arguments.items():
        if name not in kinds:
            raise SettingsError(f"instrument() has no {name!r}: {_nearest(name, list(kinds))}")
        if value is not None:
            values[name] = _checked(name, kinds[name], value)
    settings = SdkSettings(**values)
    if settings.hash_user and not settings.secret:
        raise SettingsError("`hash_user` needs a `secret` to hash with: give one")
    return settings


def _refuse_unknown(environment: Mapping[str, str], kinds: Mapping[str, str]) -> None:
    known = {variable(name) for name in kinds if name != "callback"}
    for name in environment:
        if name.startswith(SDK_PREFIX) and name not in known:
            raise SettingsError(f"environment: unknown setting {name!r}: {_nearest(name, sorted(known))}")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(known)


def _from_text(name: str, kind: str, text: str) -> Any:
    if kind == "bool":
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise SettingsError(f"environment: {variable(name)} is {text!r}: write true or false")
    if name == "hosts":
        pairs = (each.partition("=") for each in text.split(","))
        return {host.strip(): provider.strip() for host, _, provider in pairs if host.strip()}
    if kind in ("int", "float"):
        try:
            return _checked(name, kind, float(text) if kind == "float" else int(text))
        except ValueError:
            raise SettingsError(f"environment: {variable(name)} is {text!r}: write a number") from None
    return text


def _checked(name: str, kind: str, value: Any) -> Any:
    if kind in ("int", "float"):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < (1 if kind == "int" else 0):
            raise SettingsError(f"{name} is {value!r}: give a number above zero")
        return value
    if kind == "bool" and not isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}: give True or False")
    if kind == "str":
        return str(value)
    if name == "callback" and not callable(value):
        raise SettingsError(f"callback is {value!r}: give a function of one Call")
    if name == "hosts":
        return dict(value) if isinstance(value, Mapping) else dict.fromkeys(value, "")
    return value
