"""Recorded exchanges, one JSON file each -> Exchange.

In: `{provider, api, streaming, request: {method, url, headers, body | body_b64}, response: {status, headers, body |
body_b64, decoded_from?}}`, or `{websocket_messages: [{direction, data}]}` for WebSockets. Out: an Exchange without time
stamps (nobody recorded chunk boundaries). Raises Refused with one line for a file that is none of these.
What it must never know: what an answer means, prices, the store.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from tachograph.flow import Refused
from tachograph.wire.exchange import Exchange, Request

# How recordings name the kind of an exchange that has no URL -> the path that such a request has.
_PATHS: dict[str, str] = {
    "chat.completions": "/v1/chat/completions",
}


def load(path: Path) -> Exchange:
    """The exchange recorded in a file. Refused, in one line, where it cannot be read or is none."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Refused("unreadable", f"{path}: {error.strerror or error}") from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("not_json", f"{path}: not a recorded exchange: {error}") from error
    return exchange(value, str(path))


def exchange(value: Any, where: str) -> Exchange:
    """The exchange that a recording describes; `where` names it in errors."""
    raise NotImplementedError


def body(part: dict[str, Any], where: str) -> bytes:
    """The bytes of `body` (text) or `body_b64`."""
    if isinstance(part.get("body_b64"), str):
        try:
            return base64.b64decode(part["body_b64"], validate=True)
        except (ValueError, binascii.Error) as error:
            raise Refused("bad_recording", f"{where}: body_b64 is not base64") from error
    text = part.get("body")
    if text is None:
        return b""
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else json.dumps(text).encode()
