"""The gateway's file: `gateway.toml` -> what it is told beyond the known providers.

In: the mapping that a TOML file holds, or the path of one. Out: `GatewaySettings`. SettingsError, one line that names
the table, the key and the remedy, for what cannot be used; an unknown key is refused with the nearest known one.
What it must never know: Envoy, a provider's host.

    idle_seconds = 900

    [[route]]                              # a server of one's own
    prefix = "/vllm"
    url = "http://10.0.0.5:8000"
    provider = "vllm"

    [[route]]                              # a known prefix, told more
    prefix = "/openai"
    key_file = "/run/secrets/openai"       # the gateway's key in place of the caller's
    require = ["team"]

    [[experiment]]
    name = "cheaper"
    route = "/openai"
    sticky_by = "user"
    arms = [
      { name = "now", weight = 90 },
      { name = "mini", weight = 10, model = "gpt-5-mini" },
    ]

`docs/gateway.md` has the tables below.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tachograph.capture.gateway.attribution import REQUIRABLE
from tachograph.config import SettingsError

FILE = "gateway.toml"
STICKY = ("user", "conversation")
SHARES = 10_000  # weights are told to Envoy as parts of so many
_FILES = ("ca", "key_file", "credentials_file")
_FILE = re.compile(r"[^:%()]+")  # of Envoy's formats these have a meaning
_PREFIX = re.compile(r"/[a-z0-9][a-z0-9_-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER = re.compile(r"[a-z][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """One `[[route]]`; ROUTE_KEYS says what each means. None: as the known provider has it."""

    prefix: str
    url: str = ""
    provider: str = ""
    ca: str = ""
    key_file: str = ""
    key_header: str = ""
    places: tuple[str, ...] = ()
    sign: bool = False
    credentials_file: str = ""
    include_usage: bool | None = None
    require: tuple[str, ...] = ()
    retries: int = 0
    idle_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSettings:
    """One arm of an experiment; ARM_KEYS says what each means."""

    name: str
    weight: int = 0
    model: str = ""
    url: str = ""
    provider: str = ""
    ca: str = ""
    key_file: str = ""
    key_header: str = ""
    shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentSettings:
    """One `[[experiment]]`; EXPERIMENT_KEYS says what each means."""

    name: str
    route: str
    arms: tuple[ArmSettings, ...]
    sticky_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The whole file; GATEWAY_KEYS says what each means."""

    ca: str = ""
    hosts: tuple[str, ...] = ()
    connect_seconds: int = 10
    idle_seconds: int = 600
    request_seconds: int = 300
    connections_max: int = 10_000
    memory_bytes_max: int = 1024 * 1024 * 1024
    routes: tuple[RouteSettings, ...] = ()
    experiments: tuple[ExperimentSettings, ...] = ()


Kind = Callable[[Any], Any]  # what a value becomes; ValueError says what to write instead


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table. required: there is no default."""

    kind: Kind
    meaning: str
    required: bool = False


def load(path: Path) -> GatewaySettings:
    """The settings of a file, whose own files are there. Names in it are as seen from its folder."""
    try:
        settings = parsed(tomllib.loads(path.read_text("utf-8")), str(path), path.absolute().parent)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}: check the setting `gateway_file`") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    _check_files(settings, path)
    return settings


def _check_files(settings: GatewaySettings, path: Path) -> None:
    """Envoy takes nothing of a configuration that names a file which is not there."""
    arms = [arm for experiment in settings.experiments for arm in experiment.arms]
    for item in (settings, *settings.routes, *arms):
        for key in _FILES:
            name = getattr(item, key, "")
            try:
                text = Path(name).read_text("utf-8") if name else ""
            except (OSError, UnicodeDecodeError) as error:
                said = getattr(error, "strerror", None) or "not text"
                raise SettingsError(f"{path}: {key}: {name}: {said}: give a file that can be read") from error
            if name and key == "key_file" and (not text or text.split() != [text]):
                raise SettingsError(
                    f"{path}: key_file: {name}: it holds more than a key, or none: no space, no end of line "
                    "(printf %s KEY > FILE)"
                )


def parsed(told: Mapping[str, Any], where: str = FILE, folder: Path | None = None) -> GatewaySettings:
    """The settings that a TOML file holds. where: its name, for messages. folder: what names in it are relative to."""
    values = _values(told, GATEWAY_KEYS, where)
    routes = _tables(values.pop("route", ()), ROUTE_KEYS, f"{where}: route")
    experiments = _tables(values.pop("experiment", ()), EXPERIMENT_KEYS, f"{where}: experiment")
    settings = GatewaySettings(
        **_placed(values, folder),
        routes=tuple(_route(_placed(entry, folder), place) for place, entry in routes),
        experiments=tuple(_experiment(entry, place, folder) for place, entry in experiments),
    )
    _once(where, "prefix", "routes", [route.prefix for route in settings.routes])
    _once(where, "name", "experiments", [experiment.name for experiment in settings.experiments])
    _once(where, "route", "experiments", [experiment.route for experiment in settings.experiments])
    return settings


def _route(entry: dict[str, Any], place: str) -> RouteSettings:
    route = RouteSettings(**entry)
    if route.sign and route.key_file:
        raise SettingsError(f"{place}: sign and key_file: a request has one credential, take one of them out")
    if route.credentials_file and not route.sign:
        raise SettingsError(f"{place}: credentials_file is for signing: add sign = true")
    return route


def _placed(values: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    named = {key: str((folder or Path()) / Path(values[key]).expanduser()) for key in _FILES if key in values}
    return {**values, **named}


def _experiment(entry: dict[str, Any], place: str, folder: Path | None) -> ExperimentSettings:
    told = _tables(entry.pop("arms"), ARM_KEYS, f"{place}: arm")
    arms = tuple(ArmSettings(**_placed(arm, folder)) for _, arm in told)
    experiment = ExperimentSettings(**entry, arms=arms)
    _once(place, "name", "arms", [arm.name for arm in arms])
    if not any(arm.weight for arm in arms if not arm.shadow):
        raise SettingsError(f"{place}: no arm has a weight: give weight to one that is not a shadow")
    for number, arm in enumerate(arms, 1):
        if arm.provider and not arm.url:
            raise SettingsError(f"{place}: arm {number}: provider without url: say where it is with url")
        if arm.shadow and arm.weight > 100:
            raise SettingsError(f"{place}: arm {number}: weight of a shadow is percent: give 0 to 100")
    return experiment


def _once(where: str, key: str, things: str, values: list[str]) -> None:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise SettingsError(f"{where}: two {things} with {key} {twice!r}: make them one")


def _tables(told: Any, keys: Mapping[str, Key], where: str) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{where} {number}", _values(entry, keys, f"{where} {number}")) for number, entry in enumerate(told, 1)]


def _values(told: Mapping[str, Any], keys: Mapping[str, Key], where: str) -> dict[str, Any]:
    missing = next((name for name, key in keys.items() if key.required and name not in told), None)
    unknown = next((name for name in told if name not in keys), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, keys, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else "known: " + ", ".join(keys)
        raise SettingsError(f"{where}: unknown key {unknown!r}: {hint}")
    if missing is not None:
        raise SettingsError(f"{where}: {missing} is missing: it is {keys[missing].meaning}")
    return {name: _value(keys[name], told[name], f"{where}: {name}") for name in told}


def _value(key: Key, value: Any, where: str) -> Any:
    try:
        return key.kind(value)
    except ValueError as error:
        raise SettingsError(f"{where} is {value!r}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("give text in quotes")
    return value


def _file(value: Any) -> str:
    return str(_matching(_FILE, "give the name of a file, without : % ( )")(value))


def _whole(least: int, most: int) -> Kind:
    def kind(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"give a whole number from {least} to {most}")
        return value

    return kind


def _yes(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("write true or false")
    return value


def _matching(pattern: re.Pattern[str], remedy: str) -> Kind:
    def kind(value: Any) -> str:
        if pattern.fullmatch(_text(value)) is None:
            raise ValueError(remedy)
        return str(value)

    return kind


def _one_of(*words: str) -> Kind:
    def kind(value: Any) -> str:
        if value not in words:
            raise ValueError("give one of " + ", ".join(words))
        return str(value)

    return kind


def _several(kind: Kind) -> Kind:
    def kinds(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("write a list in brackets")
        return tuple(kind(item) for item in value)

    return kinds


def _list_of_tables(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        raise ValueError("write tables in double brackets, or a list of { }")
    return value


def _url(value: Any) -> str:
    remedy = "give http(s)://host:port, with a path where the server has one, and nothing more"
    url = _text(value).rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(remedy) from None
    more = parts.query or parts.fragment or "@" in parts.netloc or not _PATH.fullmatch(parts.path)
    if parts.scheme not in ("http", "https") or more or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError(remedy)
    return url


_PATH = re.compile(r"(?:/[A-Za-z0-9_.~-]+)*")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?|[0-9a-f:.]+")
_SECONDS_MAX = 7 * 24 * 3600

ROUTE_KEYS: Mapping[str, Key] = {
    "prefix": Key(_matching(_PREFIX, "give one part of a path, such as /vllm"), "the first part of the path", True),
    "url": Key(_url, "where it goes; what follows the prefix is appended. Not needed for a known prefix"),
    "provider": Key(_matching(_WORD, "give a word such as vllm"), "whose API it is, as in `provider` of the record"),
    "ca": Key(_file, "PEM file of the authorities that may sign the server's certificate, in place of the system's"),
    "key_file": Key(
        _file, "file with the provider's key, which is sent in place of the caller's; read anew if renamed"
    ),
    "key_header": Key(_matching(_HEADER, "give a header's name in small letters"), "the header that carries that key"),
    "places": Key(
        _several(_matching(re.compile("[A-Za-z0-9-]{1,63}"), "give resources or regions")),
        "the only resources (Azure) or regions (Bedrock) that may be named; needed with `key_file` and `sign`",
    ),
    "sign": Key(_yes, "sign requests for AWS with the gateway's credentials"),
    "credentials_file": Key(_file, "AWS credentials file for `sign`; else Envoy looks where the AWS SDKs look"),
    "include_usage": Key(_yes, "ask for the usage of streams where the provider counts only then; default as needed"),
    "require": Key(
        _several(_one_of(*REQUIRABLE)), "attribution without which a request is refused: " + ", ".join(REQUIRABLE)
    ),
    "retries": Key(
        _whole(0, 10), "how often a failed attempt is made again before the answer has begun; each is a Call"
    ),
    "idle_seconds": Key(_whole(1, _SECONDS_MAX), "as the file's `idle_seconds`, for this route"),
}

ARM_KEYS: Mapping[str, Key] = {
    "name": Key(_matching(_NAME, "give letters, digits, - and _"), "the arm's name, in `arm` of the record", True),
    "weight": Key(_whole(0, 1_000_000), "its share of the requests; of a shadow: percent of them"),
    "model": Key(
        _matching(_MODEL, "give a model's name, without spaces"), "the model that is asked in place of the request's"
    ),
    "url": Key(_url, "where it goes in place of the route's `url`"),
    "provider": Key(_matching(_WORD, "give a word such as vllm"), "whose API that is"),
    "ca": ROUTE_KEYS["ca"],
    "key_file": Key(_file, "file with the key for `url`; without it no key is sent there"),
    "key_header": ROUTE_KEYS["key_header"],
    "shadow": Key(_yes, "gets a copy of requests that go to other arms; its answer is discarded, its Call is kept"),
}

EXPERIMENT_KEYS: Mapping[str, Key] = {
    "name": Key(_matching(_NAME, "give letters, digits, - and _"), "its name, in `experiment` of the record", True),
    "route": Key(ROUTE_KEYS["prefix"].kind, "prefix of the route whose requests are split", True),
    "arms": Key(_list_of_tables, "the arms, as below", True),
    "sticky_by": Key(_one_of(*STICKY), "whose requests stay with one arm: user or conversation; else each is drawn"),
}

GATEWAY_KEYS: Mapping[str, Key] = {
    "ca": Key(_file, "PEM file of the authorities that may sign providers' certificates; default: the system's"),
    "hosts": Key(
        _several(_matching(_HOST, "give hosts in small letters, without port")),
        "names of this machine, beside localhost, by which requests may ask for it on loopback",
    ),
    "connect_seconds": Key(_whole(1, 600), "how long connecting may take"),
    "idle_seconds": Key(_whole(1, _SECONDS_MAX), "how long a request may pass without a byte in either direction"),
    "request_seconds": Key(_whole(1, 3600), "how long a client may take to send its request"),
    "connections_max": Key(_whole(1, 1_000_000), "open connections of clients; one more is closed"),
    "memory_bytes_max": Key(_whole(128 * 1024 * 1024, 2**40), "heap of Envoy; near it requests are refused with 503"),
    "route": Key(_list_of_tables, "routes, as below"),
    "experiment": Key(_list_of_tables, "experiments, as below"),
}
