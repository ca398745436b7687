"""Recordings as files: `tests/corpus/otlp/golden/<package>/<case>[.<signal>].json` and their `.expected.json`.

In: recorded cases. Out: OTLP JSON (ids in hexadecimal, 64-bit integers as text, enumerations as numbers), readable.
Only what would tell about the machine that recorded is blanked: instance and host ids, process ids, folders.

    python tests/golden/corpus.py [name ...]      records and writes
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from expect import expected
from google.protobuf.json_format import MessageToDict
from listed import Package
from recorder import Case

from golden import ROOT, named, pinned, record

CORPUS = ROOT / "tests" / "corpus" / "otlp" / "golden"
_IDS = {"traceId", "spanId", "parentSpanId"}
_BLANKED = re.compile(r"^(host\.|process\.|os\.|service\.instance\.id|code\.(file|line))")
_STACK = re.compile(r"stack_?trace$")
_FOLDERS = re.compile(r"(?:file://)?(?:/[\w.@+-]+)+/(?=(?:site-packages|node_modules|packages|python3\.\d+)/)")
_OTHER_FOLDERS = re.compile(r"/(?:work|root|home|tmp|opt)/[\w./@+-]*")
_SCALAR = r'(?:"(?:[^"\\\n]|\\.)*"|[\w.+-]+)'
_LISTED = re.compile(rf"\[\s+({_SCALAR}(?:,\s+{_SCALAR})*)\s+\]")
_SINGLE = re.compile(rf'\{{\s+("\w+": {_SCALAR})\s+\}}')
_ATTRIBUTE = re.compile(r'\{\s+("key": ".*"),\s+("value": \{.*\})\s+\}')
STACK_CHARACTERS_MAX = 500


def readable(message: Any) -> dict[str, Any]:
    """One export request as OTLP JSON."""
    return _cleaned(MessageToDict(message, use_integers_for_enums=True))  # type: ignore[no-any-return]


def _cleaned(value: Any, key: str = "") -> Any:
    if isinstance(value, list):
        return [_cleaned(item, key) for item in value]
    if isinstance(value, str):
        return base64.b64decode(value).hex() if key in _IDS else _anonymous(value)
    if not isinstance(value, dict):
        return value
    name = value.get("key")
    if isinstance(name, str) and _BLANKED.search(name):
        return {"key": name, "value": {"stringValue": ""}}
    if isinstance(name, str) and _STACK.search(name):
        text = _anonymous(value["value"]["stringValue"])
        return {"key": name, "value": {"stringValue": text[:STACK_CHARACTERS_MAX]}}
    return {member: _cleaned(item, member) for member, item in value.items()}


def _anonymous(text: str) -> str:
    return _OTHER_FOLDERS.sub("", _FOLDERS.sub("", text))


def files(package: Package, cases: list[Case]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, content) of every file of a package's recording."""
    head = {"package": pinned(package)}
    last_metrics: list[Any] = []
    for case in cases:
        last_metrics = case.messages["metrics"][-1:] or last_metrics
        if not case.name or not case.messages["traces"]:
            continue
        requests = [readable(message) for message in case.messages["traces"]]
        yield f"{case.name}.json", head | {"signal": "traces", "requests": requests}
        yield f"{case.name}.expected.json", expected(case, package.halves)
        if case.messages["logs"]:
            requests = [readable(message) for message in case.messages["logs"]]
            yield f"{case.name}.logs.json", head | {"signal": "logs", "requests": requests}
            note = f"these records belong to the spans of {case.name}.json: nothing more is counted"
            yield f"{case.name}.logs.expected.json", {"calls": [], "note": note}
    if last_metrics:
        requests = [readable(message) for message in last_metrics]
        yield "all.metrics.json", head | {"signal": "metrics", "requests": requests}
        note = "the calls of all cases once more, as metrics: never added to the spans"
        yield "all.metrics.expected.json", {"calls": [], "note": note}


def write(package: Package) -> int:
    """Record a package and write its files; how many."""
    folder = CORPUS / package.name
    made = dict(files(package, record(package)))
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for name, content in made.items():
        (folder / name).write_text(text_of(content), "utf-8")
    return len(made)


def text_of(content: dict[str, Any]) -> str:
    """JSON with one attribute a line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    text = _LISTED.sub(lambda found: "[" + re.sub(r"\n\s+", " ", found[1]) + "]", text)
    return _ATTRIBUTE.sub(r"{\1, \2}", _SINGLE.sub(r"{\1}", text)) + "\n"


def main(names: list[str]) -> None:
    for package in named(names):
        print(f"{package.name}: {write(package)} files")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
