"""One file per HTTP transport; each wraps the methods through which every request of that package goes.

`TRANSPORTS` is the whole list. A transport says which packages it knows (`PACKAGES`: import names) and how to wrap one
of them (`patch`), through `Patches`, which can undo it. A wrapper sees the bytes that travel, hands them on at once and
unchanged, and tells the observer under the guard; nothing of ours is outside the guard but handing on.
What it must never know: a model, a provider.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import aiohttp, grpc, httpx, urllib3

Patch = Callable[[ModuleType, Patches], None]

# (import name of the module that is wrapped, how to wrap it). requests and botocore are seen at urllib3.
TRANSPORTS: tuple[tuple[str, Patch], ...] = (
    *((package, grpc.patch) for package in grpc.PACKAGES),
    *((package, httpx.patch) for package in httpx.PACKAGES),
    *((package, aiohttp.patch) for package in aiohttp.PACKAGES),
    *((package, urllib3.patch) for package in urllib3.PACKAGES),
)
