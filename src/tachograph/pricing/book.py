"""The price book: a Call in, its Charge out.

In: a Table once, then Calls. Out: Charges; rows by id. Never raises for any Call: what has no price is None with a
status.
What it must never know: where the table comes from, a provider's JSON, the time of now.

A charge takes a few microseconds: what does not depend on counts is compiled into a `Plan` once per provider,
both names, tier, selecting context and UTC day, and remembered, also that there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from tachograph.call import Call
from tachograph.pricing.charge import COST_MAX, Charge, Line
from tachograph.pricing.context import COUNTING_KEYS, ITERATIONS_KEY, SELECTING_KEYS, conditions, counted
from tachograph.pricing.lookup import Found, Holding, Lookup
from tachograph.pricing.plan import Plan, money
from tachograph.pricing.quantities import Quantity, of_call, of_counted, of_iteration
from tachograph.pricing.rows import PriceRow, Table

PLANS_MAX = 50_000  # remembered; a plan holds about 5 kB, shared by all days on which the row holds
ITERATIONS_MAX = 1_000

COUNTING_IS_FREE = PriceRow("any", "count_tokens", {}, origin="counting tokens is free everywhere", free=True)
_MULTIPLIED = "*"
_ZERO = Decimal("0.0000000000")

# Keys of a context that are charged themselves, so that the sum of token parts is not all.
_UNITS = frozenset((*COUNTING_KEYS, ITERATIONS_KEY))

# (provider, requested, responded, tier, selecting context)
_Key = tuple[str, str | None, str | None, str | None, tuple[tuple[str, str], ...]]


class _Entry(NamedTuple):
    """What is remembered: the plan of the day, those of certain hours, the canonical name."""

    model: str | None
    plan: Plan | None
    hours: tuple[tuple[PriceRow, Plan], ...]


class _Piece(NamedTuple):
    """A part of a Call that is priced by one plan. fee: the request's own fee is charged with it."""

    plan: Plan
    used: Mapping[str, Quantity]
    fee: bool


class PriceBook:
    """Prices. Immutable but for bounded memories; may be used by several threads."""

    def __init__(self, table: Table) -> None:
        self._lookup = Lookup(table)
        self._rows = {row.price_id: row for row in (*table.rows, COUNTING_IS_FREE)}
        named = {key for row in table.rows for key, _ in row.context}
        named |= {key for item in table.multipliers for key, _ in item.when}
        self._selecting = frozenset((*SELECTING_KEYS, *named)) - {"service_tier"}
        self._entries: dict[tuple[str, str | None, str | None, str | None, Any, int], _Entry] = {}
        self._plans: dict[Any, Plan] = {}

    @property
    def rows(self) -> tuple[PriceRow, ...]:
        """All rows."""
        return tuple(self._rows.values())

    def row(self, price_id: str) -> PriceRow | None:
        """The row that a charge names, multipliers or not; None for a cost that the provider stated."""
        return self._rows.get(price_id) or self._rows.get(price_id.partition(_MULTIPLIED)[0])

    def charge(self, call: Call) -> Charge:
        """What the Call costs at `started_at`. A stated cost stands; the list's answer stands beside it."""
        charge = self._charge(call)
        if call.cost_source != "provider" or call.cost_usd is None:
            return charge
        charge.list_price_id = charge.price_id
        charge.cost_usd, charge.cost_source = call.cost_usd, "provider"
        charge.price_id, charge.price_status = f"{call.provider}/stated", "priced"
        return charge

    def planned(self, call: Call) -> tuple[str | None, Plan | None]:
        """(canonical model, the plan that charges calls such as this one at its time)."""
        entry = self._entry(call, call.request_model, call.response_model)
        return entry.model, _at(entry, call.started_at)

    def hours(self, call: Call) -> list[tuple[time, time]]:
        """The hours of its day (begin, end) at which calls such as this one have a price of their own."""
        entry = self._entry(call, call.request_model, call.response_model)
        return [row.window for row, _ in entry.hours if row.window is not None]

    def _charge(self, call: Call) -> Charge:
        if call.operation == "count_tokens":
            return Charge(_ZERO, "list", COUNTING_IS_FREE.price_id, "free", call.model, (), _ZERO)
        context = call.price_context
        requested, responded = call.request_model, call.response_model
        if requested is None and responded is None:
            requested = call.model  # all that a summary from elsewhere may know
        entry = self._entry(call, requested, responded)
        plan = entry.plan
        if entry.hours:
            plan = _at(entry, call.started_at)
        if plan is None or plan.free or (context and not _UNITS.isdisjoint(context)):
            return self._slow(call, entry.model, plan)
        if _half_known(call):
            return Charge(None, None, None, "unknown_usage", plan.model, (), None)
        uncached, read = call.input_uncached, call.cache_read
        write_5m, write_1h, write_other = call.cache_write_5m, call.cache_write_1h, call.cache_write_other
        visible, reasoning = call.output_visible, call.output_reasoning
        if call.audio_input or call.image_input or call.audio_output or call.image_output:
            return self._slow(call, entry.model, plan)
        if (uncached is None and visible is None) or not plan.tokened:
            return self._slow(call, entry.model, plan)
        counts = (
            uncached or 0,
            read or 0,
            write_5m or 0,
            write_1h or 0,
            write_other or 0,
            visible or 0,
            reasoning or 0,
        )
        flags = plan.flags
        for place in plan.odd_at:
            if counts[place]:
                flags = plan.flagged(counts)
                break
        cost = money(plan.tokens(*counts) + plan.fee)
        if cost >= COST_MAX:
            return _out_of_range(entry.model)
        if flags and not cost:  # perhaps nothing that was used has a price
            return self._slow(call, entry.model, plan)
        return Charge(
            cost,
            plan.source,
            plan.price_id,
            "priced",
            plan.model,
            flags,
            cost,
            None,
            partial(_lines, call, plan),
        )

    def _entry(self, call: Call, requested: str | None, responded: str | None) -> _Entry:
        context, started = call.price_context, call.started_at
        if started.tzinfo is not UTC:
            started = _utc(started)
        selected: tuple[tuple[str, str], ...] = ()
        if context:
            selecting = self._selecting
            selected = tuple([item for item in context.items() if item[0] in selecting])
        day = started.toordinal()
        key = (call.provider, requested, responded, call.service_tier, selected, day)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._resolve(key[:5], date.fromordinal(day))
            if len(self._entries) >= PLANS_MAX:
                self._entries.clear()
                self._plans.clear()
            self._entries[key] = entry
        return entry

    def _resolve(self, key: _Key, day: date) -> _Entry:
        provider, requested, responded, tier, selected = key
        words = conditions(provider, tier, dict(selected))
        found: Found = self._lookup.find(provider, requested, responded, day, words)
        provisioned = words.get("provisioned") == "true"
        hours = tuple((row, self._plan(found.model, holding, provisioned)) for row, holding in found.hours)
        plan = None if found.day is None else self._plan(found.model, found.day, provisioned)
        return _Entry(found.model, plan, hours)

    def _plan(self, model: str | None, holding: Holding, provisioned: bool) -> Plan:
        """One plan per row and its multipliers, so that many days share it."""
        key = (holding.row.price_id, holding.multipliers, holding.derived, holding.flags, model, provisioned)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(model or holding.row.model, holding, provisioned)
        return plan

    def _slow(self, call: Call, model: str | None, plan: Plan | None) -> Charge:
        """The general case: media, units beside tokens, inner calls, and all that has no price."""
        units = counted(call.price_context) if call.price_context else {}
        used = of_call(call, units)
        flags: set[str] = set()
        if plan is not None and plan.free:
            return Charge(_ZERO, plan.source, plan.price_id, "free", plan.model, plan.flags, _ZERO)
        if used is None:
            return Charge(None, None, None, "unknown_usage", model)
        if plan is None:
            return Charge(None, None, None, "unpriced_model", model)
        pieces = self._pieces(call, plan, used, units, flags)
        if pieces is None:
            return Charge(None, None, None, "unpriced_model", model, ("iteration_unpriced",))
        return _sum(pieces, plan, flags)

    def _pieces(
        self, call: Call, plan: Plan, used: dict[str, Quantity], units: Mapping[str, Decimal], flags: set[str]
    ) -> list[_Piece] | None:
        """What is priced by which plan; None where an inner call has no price."""
        text = call.price_context.get(ITERATIONS_KEY)
        if not text:
            return [_Piece(plan, used, True)]
        entries = _iterations(text)
        if entries is None:
            flags.add("iterations_unreadable")
            return [_Piece(plan, used, True)]
        pieces = [_Piece(plan, of_counted(call.provider, units), True)]
        for item in entries:
            inner = self._inner(call, plan, item.get("model"))
            if inner is None:
                return None
            pieces.append(_Piece(inner, of_iteration(item), False))
        return pieces

    def _inner(self, call: Call, plan: Plan, model: object) -> Plan | None:
        if not isinstance(model, str) or model in ("", call.response_model):
            return plan
        entry = self._entry(call, model, model)
        return _at(entry, call.started_at)


def _lines(call: Call, plan: Plan) -> tuple[Line, ...]:
    return tuple(plan.lines(of_call(call, {}) or {}))


def _sum(pieces: list[_Piece], plan: Plan, flags: set[str]) -> Charge:
    amount, priced = 0, False
    for piece in pieces:
        part = piece.plan.parts(piece.used)
        amount += part.amount + (piece.plan.fee if piece.fee else 0)
        flags |= part.flags.union(piece.plan.flags)
        priced = priced or part.known
    if not priced:
        return Charge(None, None, None, "unknown_usage", plan.model, tuple(sorted(flags)))
    cost = money(amount)
    if cost >= COST_MAX:
        return _out_of_range(plan.model)
    words = tuple(sorted(flags))
    lines = partial(_lines_of, tuple(pieces))
    return Charge(cost, plan.source, plan.price_id, "priced", plan.model, words, cost, None, lines)


def _lines_of(pieces: tuple[_Piece, ...]) -> tuple[Line, ...]:
    return tuple(line for piece in pieces for line in piece.plan.lines(piece.used, piece.fee))


def _half_known(call: Call) -> bool:
    """Half a bill is no bill: output without any input (a stream whose usage never came, counted from its chunks), or
    a reader's word that only the start of the usage was seen.
    """
    if "usage_partial" in call.flags:
        return True
    if call.input_uncached is not None or call.output_visible is None:
        return False
    written = (call.cache_write_5m, call.cache_write_1h, call.cache_write_other)
    return call.cache_read is None and written == (None, None, None)


def _out_of_range(model: str | None) -> Charge:
    return Charge(None, None, None, "unknown_usage", model, ("cost_out_of_range",))


def _at(entry: _Entry, moment: datetime) -> Plan | None:
    if entry.hours:
        clock = _utc(moment).time()
        for row, plan in entry.hours:
            if row.covers(clock):
                return plan
    return entry.plan


def _utc(moment: datetime) -> datetime:
    """A time without a zone is taken for UTC; one that leaves the calendar in UTC is taken as it stands."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)


def _iterations(text: str) -> list[dict[str, Any]] | None:
    """The list of inner calls; None where the text is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not 0 < len(value) <= ITERATIONS_MAX:
        return None
    return value if all(isinstance(item, dict) for item in value) else None
