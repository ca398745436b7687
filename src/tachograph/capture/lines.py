"""Files of one record a line -> Calls: our own JSON lines, and others' traces (CSV or JSON lines) with a mapping.

In: a path (plain or .gz), and for traces a mapping (TOML; `load_mapping`). Out: one `Line` per line, with the Call or
with the reason why there is none: a bad line never stops the rest. Memory does not grow with the file.
What it must never know: prices, the store.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import json
import tomllib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO

from tachograph.call import BY_NAME, INPUT_PARTS, OUTPUT_PARTS, Call, Kind, from_dict, typed, whole
from tachograph.flow import Refused

LINE_BYTES_MAX = 1024 * 1024
# Members that other commands of ours put beside the fields of a Call.
BESIDE = frozenset({"file"})

# Units in which a column may give a duration -> milliseconds.
UNITS: Mapping[str, float] = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1000.0, "min": 60_000.0}
_TIMES = ("iso", "unix_s", "unix_ms", "unix_us", "offset_s", "offset_ms")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file. number: from 1, as an editor counts. at: bytes of the file that were read so far."""

    number: int
    at: int
    call: Call | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class TraceMapping:
    """How the columns of a trace become fields. fields: field -> (column, factor or None)."""

    name: str
    time_column: str
    time_kind: str
    epoch: datetime | None
    fields: Mapping[str, tuple[str, float | None]]
    constants: Mapping[str, Any]


def read_calls(path: Path) -> Iterator[Line]:
    """JSON lines of Calls, as `tachograph read` and the SDK write them."""
    return _numbered(path, lambda rows: ((n, at, _json_line(text)) for n, at, text in rows))


def read_trace(path: Path, mapping: TraceMapping) -> Iterator[Line]:
    """A trace, by its mapping: CSV with a heading, or JSON lines where the name says so."""
    if any(suffix in (".jsonl", ".ndjson") for suffix in path.suffixes):
        return _numbered(path, lambda rows: ((n, at, _trace_json(text, mapping)) for n, at, text in rows))
    return _numbered(path, lambda rows: _trace_csv(rows, mapping, path))


_Rows = Iterator[tuple[int, int, str]]
_Made = Iterator[tuple[int, int, Callable[[], Call] | None]]


def _numbered(path: Path, make: Callable[[_Rows], _Made]) -> Iterator[Line]:
    try:
        with path.open("rb") as raw:
            for number, at, build in make(_lines(raw, path)):
                if build is None:
                    continue
                try:
                    yield Line(number, at, build())
                except (ValueError, TypeError) as error:
                    yield Line(number, at, None, f"{path}:{number}: {error}")
    except OSError as error:
        raise Refused("unreadable", f"{path}: {error.strerror or error}: check the path") from error
    except (EOFError, zlib.error) as error:
        raise Refused("damaged", f"{path}: damaged gzip file: {error}: fetch it again") from error


def _lines(raw: BinaryIO, path: Path) -> _Rows:
    """(number, bytes of the file read so far, text) of every line. A line over the limit is cut there."""
    packed = path.suffix == ".gz"
    source: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if packed else raw
    number, done = 0, 0
    while line := source.readline(LINE_BYTES_MAX):
        number += 1
        done += len(line)
        while not line.endswith(b"\n") and (rest := source.readline(LINE_BYTES_MAX)):
            done += len(rest)
            line = line[:LINE_BYTES_MAX] + b" "  # longer than the limit: it will be refused by its length
            if rest.endswith(b"\n"):
                break
        yield number, raw.tell() if packed else done, line.decode("utf-8", "replace")


def _json_line(text: str) -> Callable[[], Call] | None:
    if not text.strip():
        return None

    def build() -> Call:
        value = _object(text)
        return from_dict({key: item for key, item in value.items() if key not in BESIDE})

    return build


def _object(text: str) -> dict[str, Any]:
    if len(text.encode()) > LINE_BYTES_MAX:
        raise ValueError(f"line over {LINE_BYTES_MAX} bytes")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _trace_json(text: str, mapping: TraceMapping) -> Callable[[], Call] | None:
    return (lambda: _mapped(_object(text), mapping)) if text.strip() else None


def _trace_csv(rows: _Rows, mapping: TraceMapping, path: Path) -> _Made:
    numbers: list[tuple[int, int]] = []

    def texts() -> Iterator[str]:
        for number, at, text in rows:
            numbers[:] = [(number, at)]
            yield text

    reader = csv.reader(texts())
    try:
        heading = next(reader)
    except StopIteration:
        raise Refused("empty", f"{path}: empty file: a CSV trace begins with a heading") from None
    wanted = {mapping.time_column, *(column for column, _ in mapping.fields.values())}
    missing = sorted(wanted - set(heading))
    if missing:
        raise Refused(
            "wrong_mapping", f"{path}: no column {missing[0]!r} (there are: {', '.join(heading)}): change the mapping"
        )
    for row in reader:
        number, at = numbers[0]
        yield number, at, _csv_row(heading, row, mapping)


def _csv_row(heading: list[str], row: list[str], mapping: TraceMapping) -> Callable[[], Call] | None:
    if not row:
        return None

    def build() -> Call:
        if len(row) != len(heading):
            raise ValueError(f"{len(row)} columns, the heading has {len(heading)}")
        return _mapped(dict(zip(heading, row, strict=True)), mapping)

    return build


def _mapped(row: Mapping[str, Any], mapping: TraceMapping) -> Call:
    values: dict[str, Any] = dict(mapping.constants)
    for field, (column, factor) in mapping.fields.items():
        value = row.get(column)
        if value is None or value == "":
            continue
        if factor is not None:
            values[field] = typed(BY_NAME[field], round(_number(value, column) * factor, 3))
        else:
            values[field] = typed(BY_NAME[field], _plain(BY_NAME[field].kind, value, column))
    call = Call(**values)
    call.started_at = _moment(row.get(mapping.time_column), mapping)
    _totals(call)
    return call


def _totals(call: Call) -> None:
    call.input_tokens = whole(getattr(call, part) for part in INPUT_PARTS)
    call.output_tokens = whole(getattr(call, part) for part in OUTPUT_PARTS)
    call.total_tokens = whole((call.input_tokens, call.output_tokens))
    if call.total_tokens is not None:
        call.usage_source = "reported"
    if call.ttft_ms is not None:
        call.streamed = True
    if call.error_code is not None:
        call.outcome, call.error_type = "error", call.error_type or "other"


def _plain(kind: Kind, value: Any, column: str) -> Any:
    """Numbers written as text, also `3.0`; texts as they are."""
    if kind in (Kind.COUNT, Kind.SMALL) and isinstance(value, str):
        return _number(value, column)
    if kind in (Kind.WORD, Kind.TEXT) and not isinstance(value, str):
        return str(value)
    return value


def _number(value: Any, column: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"column {column!r}: {str(value)[:40]!r} is not a number") from None


def _moment(value: Any, mapping: TraceMapping) -> datetime:
    if value is None or value == "":
        raise ValueError(f"column {mapping.time_column!r} is empty: every call needs its time")
    if mapping.time_kind == "iso":
        text = str(value).strip()
        head, dot, fraction = text.partition(".")
        moment = datetime.fromisoformat(head + dot + fraction[:6] if fraction.isdigit() else text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    base, _, unit = mapping.time_kind.partition("_")
    seconds = _number(value, mapping.time_column) * UNITS[unit] / 1000
    start = mapping.epoch if base == "offset" and mapping.epoch else datetime(1970, 1, 1, tzinfo=UTC)
    try:
        return start + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"column {mapping.time_column!r}: {value!r} is no time") from None


def shipped() -> list[str]:
    """The names of the mappings that come with the package."""
    names = (entry.name for entry in files("tachograph.capture").joinpath("mappings").iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_mapping(name: str) -> TraceMapping:
    """A shipped mapping by name, or a mapping file by path. Refused, in one line, where it cannot be used."""
    if name in shipped():
        text = files("tachograph.capture").joinpath("mappings", name + ".toml").read_text("utf-8")
    else:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            known = ", ".join(shipped())
            raise Refused(
                "unreadable", f"{name}: no such mapping file, and none of the shipped ones ({known})"
            ) from error
    try:
        return _mapping(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise Refused("wrong_mapping", f"{name}: not TOML: {error}") from error
    except ValueError as error:
        raise Refused("wrong_mapping", f"{name}: {error}") from error


def _mapping(value: Mapping[str, Any], name: str) -> TraceMapping:
    _known("table", value, ("started_at", "fields", "constants"))
    time = value.get("started_at")
    if not isinstance(time, dict) or not isinstance(time.get("column"), str):
        raise ValueError('no [started_at] with `column = "..."`')
    _known("[started_at]", time, ("column", "format", "epoch"))
    kind = time.get("format", "iso")
    if kind not in _TIMES:
        raise ValueError(f"[started_at] format {kind!r} is unknown: use one of {', '.join(_TIMES)}")
    epoch = time.get("epoch")
    if kind.startswith("offset") and not isinstance(epoch, datetime):
        raise ValueError("[started_at] offsets need `epoch`, the moment they count from, e.g. 2026-01-01T00:00:00Z")
    if isinstance(epoch, datetime) and epoch.tzinfo is None:
        raise ValueError("[started_at] epoch has no time zone: write 2026-01-01T00:00:00Z")
    fields = {field: _field(field, spec) for field, spec in dict(value.get("fields", {})).items()}
    constants = {field: typed(_column(field), item) for field, item in dict(value.get("constants", {})).items()}
    return TraceMapping(name, time["column"], kind, epoch, fields, constants)


def _field(field: str, spec: Any) -> tuple[str, float | None]:
    column = _column(field)
    if isinstance(spec, str):
        spec = {"column": spec}
    if not isinstance(spec, dict) or not isinstance(spec.get("column"), str):
        raise ValueError(f'field {field}: give a column, e.g. {field} = "NAME"')
    _known(f"field {field}", spec, ("column", "unit"))
    unit = spec.get("unit")
    if column.kind is Kind.MS:
        if unit is None:
            raise ValueError(f"field {field}: give its unit: one of {', '.join(UNITS)}")
        if unit not in UNITS:
            raise ValueError(f"field {field}: unit {unit!r} is unknown: use one of {', '.join(UNITS)}")
        return spec["column"], UNITS[unit]
    if unit is not None:
        raise ValueError(f"field {field} takes no unit")
    return spec["column"], None


def _column(field: str) -> Any:
    if field not in BY_NAME:
        near = difflib.get_close_matches(field, BY_NAME, 1, 0.5)
        raise ValueError(f"unknown field {field!r}" + (f": did you mean {near[0]!r}?" if near else ""))
    return BY_NAME[field]


def _known(where: str, value: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in value:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, 1, 0.5)
            raise ValueError(
                f"{where}: unknown key {key!r}: " + (f"did you mean {near[0]!r}?" if near else f"known: {keys}")
            )
