"""An outlet to a collector: ours, or any that speaks OTLP over HTTP.

In: Calls. Out: one POST of a trace request a batch, over a connection that stays open. An answer that allows another
try is Busy, with the pause that the collector asks for; any other failure is Refused.
What it must never know: what an attribute means, what is in a call.
"""

from __future__ import annotations

import http.client
import os
import ssl
import zlib
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from tachograph.call import Call
from tachograph.flow import Busy, Refused
from tachograph.outlets.encoding import Encoder
from tachograph.version import VERSION

_PATH = "/v1/traces"
_GZIP_BYTES_MIN = 1024
_GZIP = 31  # zlib's word for a gzip frame
_AGAIN = (408, 429, 502, 503, 504)  # the specification's, and a proxy's timeout
_AFTER_SECONDS = 1.0
_AFTER_SECONDS_MAX = 300.0
_SAID_CHARS_MAX = 200
_ANSWER_BYTES_MAX = 64 * 1024


class Collector:
    """Sends to the collector at `url` (`http://127.0.0.1:4318`; the path of traces is added where it is not there).

    key: of `tachograph key add`, sent as `Authorization: Bearer`. headers: further ones, for others' collectors.
    ca_file: certificates to trust instead of the system's. ValueError for a url that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        timeout_seconds: float = 10.0,
        headers: Mapping[str, str] | None = None,
        ca_file: str = "",
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"collector {url!r}: not the address of a collector: write http://127.0.0.1:4318")
        self._host, self._port, self._timeout_seconds = parts.hostname, parts.port, timeout_seconds
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._tls = ssl.create_default_context(cafile=ca_file or None) if parts.scheme == "https" else None
        path = parts.path.rstrip("/")
        self._path = path if path.endswith(_PATH) else path + _PATH
        own = {"content-type": "application/x-protobuf", "user-agent": f"tachograph/{VERSION}"}
        self._headers = {**own, **({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        self._encoder = Encoder()
        self._connection: http.client.HTTPConnection | None = None
        self._process = 0

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Send the calls as one request, or as several where it is too large. How many were taken."""
        if not calls:
            return 0
        status, answer, after = self._post(self._encoder.request(calls))
        if status == 413 and len(calls) > 1:
            middle = len(calls) // 2
            return self.write(calls[:middle], token) + self.write(calls[middle:], token)
        if 200 <= status < 300:
            return max(0, len(calls) - _rejected(answer))
        raise self._failure(status, answer, after)

    def close(self) -> None:
        """Close the connection; the next `write` opens one again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes) -> tuple[int, bytes, str | None]:
        """(status, body, Retry-After) of the answer. A connection that the other side has closed is tried anew."""
        headers = self._headers
        if len(body) > _GZIP_BYTES_MIN:
            packer = zlib.compressobj(1, wbits=_GZIP)
            body = packer.compress(body) + packer.flush()
            headers = {**headers, "content-encoding": "gzip"}
        if self._process != os.getpid():  # a connection from before a fork is the parent's
            self.close()
            self._process = os.getpid()
        kept = self._connection is not None
        try:
            return self._exchange(body, headers)
        except (ConnectionError, http.client.HTTPException) as error:
            self.close()
            if not kept:
                raise self._away(error) from error
        except OSError as error:
            self.close()
            raise self._away(error) from error
        try:
            return self._exchange(body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._away(error) from error

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, str | None]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connected()
        connection.request("POST", self._path, body, dict(headers))
        with connection.getresponse() as answer:
            said = answer.read(_ANSWER_BYTES_MAX)
            if not answer.isclosed():
                self.close()
            return answer.status, said, answer.getheader("retry-after")

    def _connected(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_seconds, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)

    def _away(self, error: Exception) -> Busy:
        return Busy(f"collector {self._shown}: {str(error) or type(error).__name__}: is it up?", 0.0)

    def _failure(self, status: int, answer: bytes, after: str | None) -> Busy | Refused:
        said = f"collector {self._shown} answered {status}: {_message(answer)}".rstrip(": ")
        if status in _AGAIN:
            return Busy(said, _seconds(after))
        return Refused(f"http_{status}", said)


def _seconds(after: str | None) -> float:
    """Retry-After in seconds; one with a date is as good as none."""
    try:
        return min(_AFTER_SECONDS_MAX, max(0.0, float(after or "")))
    except ValueError:
        return _AFTER_SECONDS


def _message(answer: bytes) -> str:
    """What a person can read of it: the text of a google.rpc.Status, or a page's first line."""
    text = _text_of(answer) or answer.decode("utf-8", "replace").strip().partition("\n")[0]
    return "".join(char for char in text if char.isprintable())[:_SAID_CHARS_MAX]


def _text_of(answer: bytes) -> str:
    message = _members(answer).get(2)
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else ""


def _rejected(answer: bytes) -> int:
    """`partial_success.rejected_spans`."""
    partial = _members(answer).get(1)
    found = _members(partial).get(1, 0) if isinstance(partial, bytes) else 0
    return found if isinstance(found, int) else 0


def _members(message: bytes) -> dict[int, int | bytes]:
    """Varints and texts of a protobuf message; what is no such message has none."""
    found: dict[int, int | bytes] = {}
    place = 0
    try:
        while place < len(message):
            tag, place = _varint_at(message, place)
            value, place = _varint_at(message, place)
            if tag & 7 == 2:
                found[tag >> 3], place = message[place : place + value], place + value
            elif tag & 7 == 0:
                found[tag >> 3] = value
            else:
                return {}
    except IndexError:
        return {}
    return found if place == len(message) else {}


def _varint_at(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[place] & 127) << shift
        place, shift = place + 1, shift + 7
        if message[place - 1] < 128:
            return value, place
