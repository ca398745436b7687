"""Raw -> complete: the one file that knows both the wire room and prices.

In: an Exchange, or Calls that came without our ids and prices; the price book; who is asking by default; when it was
accepted. Out: Calls with id, canonical model, cost and price_id. Pure: the time and the seed of ids are told.
What it must never know: any field path of a provider, SQL.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from tachograph import wire
from tachograph.call import EPOCH, NO_ID, Call, derive_id
from tachograph.pricing import PriceBook


@dataclasses.dataclass(frozen=True, slots=True)
class Circumstances:
    """What an exchange cannot say about itself.

    attribution: defaults for service, environment, team, ...: used where the call has none.
    priced_at: price as of this moment instead of `started_at`.
    """

    received_at: datetime
    source: str
    vantage: str = "client"
    attribution: Mapping[str, str] = dataclasses.field(default_factory=dict)
    priced_at: datetime | None = None


def from_exchange(
    exchange: wire.Exchange, book: PriceBook, circumstances: Circumstances, *, seed: bytes | None = None
) -> list[Call]:
    """The complete Calls of an exchange. seed: what their ids are derived from; None: from the exchange itself."""
    calls = wire.read(exchange)
    for call in calls:
        call.vantage = circumstances.vantage
    return complete(calls, book, circumstances, seed=_fingerprint(exchange) if seed is None else seed)


def complete(calls: Sequence[Call], book: PriceBook, circumstances: Circumstances, *, seed: bytes) -> list[Call]:
    """Ids, attribution and price for Calls that lack them; what is there already stays."""
    for index, call in enumerate(calls):
        call.received_at = circumstances.received_at
        call.source = call.source or circumstances.source
        if call.call_id == NO_ID:  # of an undated call by 1970, not by today: read again tomorrow, it is the same call
            call.call_id = derive_id(call.started_at, _seed(call, seed, index))
        if call.started_at == EPOCH:
            call.started_at = circumstances.received_at
        for field, value in circumstances.attribution.items():
            if not getattr(call, field):
                setattr(call, field, value)
        if unpriced(call):
            price(call, book, circumstances.priced_at)
    return list(calls)


def unpriced(call: Call) -> bool:
    """Whether nobody has looked for its price yet."""
    return call.price_id is None and call.price_status == "unknown_usage"


def price(call: Call, book: PriceBook, at: datetime | None = None) -> None:
    """Write what the call cost, by which row, and the canonical model. at: another day than `started_at`."""
    charge = book.charge(call if at is None else dataclasses.replace(call, started_at=at))
    call.cost_usd, call.cost_source = charge.cost_usd, charge.cost_source
    call.price_id, call.price_status = charge.price_id, charge.price_status
    call.model = charge.model or call.model or call.response_model or call.request_model
    call.flag(*charge.flags)


def _seed(call: Call, seed: bytes, index: int) -> bytes:
    """A span's ids where there are any: a span that is sent again is then the same call."""
    if call.trace_id and call.span_id:
        return bytes.fromhex(call.trace_id + call.span_id)
    return seed + index.to_bytes(4, "big")


def _fingerprint(exchange: wire.Exchange) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{exchange.request.method} {exchange.request.url} {exchange.status}\n".encode())
    digest.update(repr(sorted(exchange.headers.items())).encode("utf-8", "backslashreplace"))
    digest.update(exchange.request.body)
    for _, chunk in exchange.chunks:
        digest.update(chunk)
    if exchange.messages is not None:
        digest.update(repr([value for _, _, value in exchange.messages]).encode("utf-8", "backslashreplace"))
    return digest.digest()
