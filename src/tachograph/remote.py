"""A store that another process has open, spoken to through that process's API.

In: the same questions as a Store. Out: the same answers. An embedded store belongs to one process; while
`tachograph up` runs, every other command asks it in this way.
What it must never know: SQL, prices.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tachograph.annotation import Annotation
from tachograph.call import Call, from_dict, to_json
from tachograph.flow import Busy, Refused
from tachograph.series import Row, Series
from tachograph.store import Stats, TableStats
from tachograph.store.questions import Place
from tachograph.web import parameters

TIMEOUT_SECONDS = 120.0


class Remote:
    """The store behind `address` (`http://127.0.0.1:4180`).

    token: of a key, where one is needed. certificate: the very one that the API shows; no other is trusted.
    """

    def __init__(self, address: str, token: str = "", certificate: Path | None = None) -> None:
        self.address = address
        self._token = token
        # loopback: never through a proxy
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if certificate is not None:
            handlers.append(urllib.request.HTTPSHandler(context=_trusting(certificate)))
        self._opener = urllib.request.build_opener(*handlers)

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Make calls durable; how many were new. Refused, Busy."""
        if not calls:
            return 0
        body = "\n".join(map(to_json, calls)).encode()
        headers = {"content-type": "application/x-ndjson", "idempotency-key": token}
        return int(self._send("/api/v1/calls", body, headers)["stored"])

    def ask(
        self,
        measures: Sequence[str],
        by: Sequence[str] = (),
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        step: timedelta | None = None,
        limit: int | None = None,
        order: str | None = None,
    ) -> Series:
        """Answer a question."""
        query = [("measure", measure) for measure in measures] + [("by", dimension) for dimension in by]
        query += _window(where or {}, since, until)
        if step is not None:
            query.append(("step", f"{round(step.total_seconds())}s"))
        if limit is not None:
            query.append(("limit", str(limit)))
        if order is not None:
            query.append(("order", order))
        return _series(self._get("/api/v1/ask", query), by)

    def call(self, call_id: str) -> Call | None:
        """One call."""
        try:
            return from_dict(self._get("/api/v1/calls/" + urllib.parse.quote(call_id), [])["call"])
        except LookupError:
            return None

    def calls(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        since: datetime,
        until: datetime,
        limit: int = 100,
        after: Place | None = None,
    ) -> list[Call]:
        """The newest calls first."""
        query = [*_window(where or {}, since, until), ("limit", str(limit))]
        if after:
            query.append(("after", f"{after[0].isoformat()},{after[1]}"))
        return [from_dict(value) for value in self._get("/api/v1/calls", query)["calls"]]

    def sightings(self, call_id: str) -> list[Call]:
        """All other rows of the same call: what it counts for, or what it is counted by."""
        try:
            return list(map(from_dict, self._get("/api/v1/calls/" + urllib.parse.quote(call_id), [])["sightings"]))
        except LookupError:
            return []

    def annotate(self, annotation: Annotation) -> None:
        """Keep it there, under an id and a name that are given there."""
        told = {"text": annotation.text, "kind": annotation.kind, "at": annotation.at.isoformat()}
        told |= {"service": annotation.service, "environment": annotation.environment}
        self._send("/api/v1/annotations", json.dumps(told).encode(), {"content-type": "application/json"})

    def ledger(self) -> dict[str, Any]:
        """What became of everything that process accepted."""
        value: dict[str, Any] = self._get("/api/v1/ledger", [])
        return value

    def stats(self) -> Stats:
        """How much is stored."""
        return _stats(self._get("/api/v1/health", [])["store"])

    def close(self) -> None:
        """Nothing is held."""

    def _get(self, path: str, query: list[tuple[str, str]]) -> Any:
        return self._send(path + ("?" + urllib.parse.urlencode(query) if query else ""), None, {})

    def _send(self, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.address + path, body, headers)
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as failure:
            raise _failure(failure, self.address) from failure
        except (OSError, ValueError) as failure:
            raise Busy(f"{self.address} does not answer: {failure}: is `tachograph up` running?") from failure


def _trusting(certificate: Path) -> ssl.SSLContext:
    """That certificate and no other, whatever host it names: it is read on the machine that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except OSError as error:
        raise Refused("certificate", f"{certificate}: no certificate in PEM: check `tls_certificate`") from error
    return context


def _failure(failure: urllib.error.HTTPError, address: str) -> Exception:
    try:
        told = json.loads(failure.read())["error"]
        kind, message = str(told["type"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        kind, message = "http_error", f"{address} answered {failure.code}"
    if failure.code == 503:
        return Busy(message, float(failure.headers.get("retry-after") or 1))
    return LookupError(message) if failure.code == 404 else Refused(kind, message)


def _window(where: Mapping[str, Any], since: datetime, until: datetime) -> list[tuple[str, str]]:
    conditions = [("where", text) for text in parameters.written(where)]
    return [("since", since.isoformat()), ("until", until.isoformat()), *conditions]


def _stats(value: Mapping[str, Any]) -> Stats:
    oldest, newest = (datetime.fromisoformat(value[name]) if value[name] else None for name in ("oldest", "newest"))
    tables = tuple(TableStats(**table) for table in value["tables"])
    return Stats(value["calls"], value["repeated_sightings"], oldest, newest, tables)


def _series(value: Mapping[str, Any], by: Sequence[str]) -> Series:
    measures: Mapping[str, str] = value["measures"]
    seconds = value["step_seconds"]
    rows = tuple(
        Row(
            tuple(record[name] for name in by),
            datetime.fromisoformat(record["time"]) if "time" in record else None,
            tuple(record[name] for name in measures),
        )
        for record in value["rows"]
    )
    return Series(
        tuple(measures),
        tuple(measures.values()),
        tuple(by),
        datetime.fromisoformat(value["since"]),
        datetime.fromisoformat(value["until"]),
        timedelta(seconds=seconds) if seconds else None,
        str(value["table"]),
        rows,
    )
