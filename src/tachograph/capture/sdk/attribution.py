"""What every Call of this door gets, however it was seen: who was asking, its place in the trace, ids, a price; then it
is told.

In: a Call, the scope in which it was made, the observer. Out: the same Call, complete.
What it must never know: how the call was made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tachograph.call import Call, derive_id
from tachograph.capture.sdk.context import Scope

if TYPE_CHECKING:
    from tachograph.capture.sdk.watching import Observer


def cause_of(scope: Scope) -> tuple[str | None, str | None]:
    """(trace, span above): of the span that OpenTelemetry has open, else of the scope; no trace: a new one is due."""
    current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if current_span is not None:
        span = current_span().get_span_context()
        if span.is_valid:
            return f"{span.trace_id:032x}", f"{span.span_id:016x}"
    return scope.trace_id, scope.span_id


def attributed(call: Call, scope: Scope, observer: Observer) -> None:
    """Who was asking: the scope over what holds for the whole process, both over what the call itself says."""
    circumstances = observer.circumstances
    for name, value in circumstances.attribution.items():
        setattr(call, name, value)
    for name, value in scope.values.items():
        setattr(call, name, value)
    if scope.tags:
        call.tags = {**call.tags, **scope.tags}
    if circumstances.hash_user and circumstances.secret and call.user_id:
        call.user_id = observer.hashed(call.user_id)


def identified(call: Call, cause: tuple[str | None, str | None], told: tuple[str, str] | None = None) -> None:
    """Its ids. A call that came with a trace of its own stays there. told: the span that the answer names. Where nobody
    here knew of a trace, a gateway began one for this call, and that is its span: what both saw is one call then, also
    where no answer has an id.
    """
    chance = os.urandom(24).hex()
    call.span_id = chance[:16]
    if not call.trace_id:
        call.trace_id, call.parent_span_id = cause[0] or chance[16:], cause[1]
        if told and not cause[0]:
            call.trace_id, call.span_id = told
    # Of chance alone: a span that an answer names may be named by many.
    call.call_id = derive_id(call.started_at, bytes.fromhex(call.trace_id + chance[:16]))


def tell(calls: Sequence[Call], scope: Scope, observer: Observer) -> None:
    """Price, count, deliver. A price or a total that fails does not keep a call from being delivered."""
    try:
        if observer.price is not None:
            for call in calls:
                if call.price_status == "unknown_usage":  # not yet priced
                    observer.price(call)
        for totals in scope.totals:
            for call in calls:
                totals.add(call)
    finally:
        if calls:
            observer.deliver(calls)
