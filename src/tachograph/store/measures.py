"""The measures: every figure that may be asked, in one table.

A line is a name with its unit last, the unit, the meaning, the SQL over raw rows and the SQL over the columns of a
roll-up (None: only raw rows can tell). `{seconds}` stands for the width of the step, `{quantile}` for what `Quantile`
says.
What it must never know: who asks, a dimension, a time.
Why null: a sum over nothing known is null, not 0; the shares say how much of a sum is known.

To add a measure, add a line; if a roll-up shall answer it, its columns must be in `rollups.SUMS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tachograph.call import BY_NAME, INPUT_PARTS, MODALITY_PARTS, OUTPUT_PARTS
from tachograph.store.rollups import ITL_PER_DOUBLING, PER_DOUBLING


@dataclass(frozen=True, slots=True)
class Quantile:
    """What a measure puts in the place of `{quantile}`: a level of what is read. Several levels of the same are asked
    of the engine at once, for reading is what takes long. raw, rolled: an aggregate function and what it is given.
    """

    level: str
    raw: tuple[str, str]
    rolled: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure: what it is called, counted in, and computed from."""

    name: str
    unit: str
    meaning: str
    raw: str
    rolled: str | None
    columns: tuple[str, ...]  # of the roll-up, that `rolled` reads
    quantile: Quantile | None = None


_LEVELS = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99"}
# Raw and rolled quantiles take the same rank: both count up to floor(level * n) + 1. The tiny excess makes the
# weighted form, which rounds up, agree where level * n is whole.
_EXCESS = "0000001"


def _level(name: str) -> str:
    return _LEVELS[name].ljust(4, "0") + _EXCESS


def _known(column: str, of: str = "calls") -> str:
    """SQL: the sum of a column. Taken back calls leave 0 where none is known: `of` counts those that know it."""
    return f"if(sum(rolled.{of}) = 0, NULL, sum(rolled.{column}))"


def _sum(name: str) -> Measure:
    return Measure(name, "tokens", BY_NAME[name].meaning, f"sum({name})", _known(name), (name,))


def _quantile(of: str, field: str, meaning: str, level: str) -> Measure:
    at = _level(level)
    column = f"{of}_buckets"
    counted = f"sum(arraySum(rolled.{column}.values))"
    return Measure(
        f"{of}_{level}_ms",
        "ms",
        f"{level[1:]}th percentile of {meaning}",
        f"if(count({field}) = 0, NULL, {{quantile}})",
        f"if({counted} = 0, NULL, exp2({{quantile}} / {PER_DOUBLING}))",
        (column,),
        Quantile(at, ("quantilesExact", field), _weighted(f"rolled.{column}.keys, rolled.{column}.values")),
    )


def _weighted(told: str) -> tuple[str, str]:
    return "quantilesExactWeightedArray", told


def _itl_quantile(level: str) -> Measure:
    """Bucket i holds gaps from 2^((i-1)/4) to 2^(i/4) ms; its middle stands for it."""
    at = _level(level)
    middle = f"exp2(({{index}} - 0.5) / {ITL_PER_DOUBLING})"
    known = "arraySum(itl_buckets) > 0"
    counted = "sum(arraySum(rolled.itl_buckets.values))"
    return Measure(
        f"itl_{level}_ms",
        "ms",
        f"{level[1:]}th percentile of the gaps between content events, over all gaps of all calls",
        f"if(countIf({known}) = 0, NULL, {middle.format(index='({quantile} - 1)')})",
        f"if({counted} = 0, NULL, {middle.format(index='{quantile}')})",
        ("itl_buckets",),
        Quantile(
            at,
            ("quantilesExactWeightedArrayIf", f"arrayEnumerate(itl_buckets), itl_buckets, {known}"),
            _weighted("rolled.itl_buckets.keys, rolled.itl_buckets.values"),
        ),
    )


_CALLS = ("calls",)
_PRICED = ("cost_of_counted_usd", "tokens_of_priced")

_ALL: tuple[Measure, ...] = (
    Measure("calls", "calls", "calls, each counted once", "count()", "sum(rolled.calls)", _CALLS),
    Measure(
        "errors",
        "calls",
        "calls whose outcome is error",
        "countIf(outcome = 'error')",
        "sumIf(rolled.calls, outcome = 'error')",
        _CALLS,
    ),
    Measure(
        "error_rate",
        "1",
        "errors / calls",
        "countIf(outcome = 'error') / count()",
        "sumIf(rolled.calls, outcome = 'error') / sum(rolled.calls)",
        _CALLS,
    ),
    Measure(
        "calls_per_minute",
        "calls/min",
        "calls by the width of the step",
        "count() * 60 / {seconds}",
        "sum(rolled.calls) * 60 / {seconds}",
        _CALLS,
    ),
    *(_sum(name) for name in (*INPUT_PARTS, *OUTPUT_PARTS, *MODALITY_PARTS)),
    *(_sum(name) for name in ("input_tokens", "output_tokens", "total_tokens")),
    Measure(
        "tokens_per_minute",
        "tokens/min",
        "total_tokens by the width of the step",
        "sum(total_tokens) * 60 / {seconds}",
        f"{_known('total_tokens')} * 60 / {{seconds}}",
        ("total_tokens",),
    ),
    Measure(
        "tokens_per_second",
        "tokens/s",
        "total_tokens by the width of the step",
        "sum(total_tokens) / {seconds}",
        f"{_known('total_tokens')} / {{seconds}}",
        ("total_tokens",),
    ),
    Measure(
        "cache_hit_rate",
        "1",
        "input tokens read from a cache / input tokens, of calls that state both",
        "sum(cache_read) / sumIf(input_tokens, cache_read IS NOT NULL)",
        "sum(rolled.cache_read) / sum(rolled.input_of_cacheable)",
        ("cache_read", "input_of_cacheable"),
    ),
    Measure(
        "cost_usd",
        "USD",
        "cost of the calls whose cost is known (see unpriced_share)",
        "sum(cost_usd)",
        _known("cost_usd", "priced_calls"),
        ("cost_usd", "priced_calls"),
    ),
    Measure(
        "cost_per_1k_tokens_usd",
        "USD",
        "cost of 1,000 tokens, of calls of which both are known",
        "toFloat64(sumIf(cost_usd, total_tokens IS NOT NULL)) * 1000 / sumIf(total_tokens, cost_usd IS NOT NULL)",
        "toFloat64(sum(rolled.cost_of_counted_usd)) * 1000 / sum(rolled.tokens_of_priced)",
        _PRICED,
    ),
    Measure(
        "cost_per_call_usd",
        "USD",
        "mean cost of a call whose cost is known",
        "toFloat64(sum(cost_usd)) / count(cost_usd)",
        "toFloat64(sum(rolled.cost_usd)) / sum(rolled.priced_calls)",
        ("cost_usd", "priced_calls"),
    ),
    Measure(
        "duration_mean_ms",
        "ms",
        "mean time to the last byte",
        "toFloat64(sum(duration_ms)) / count(duration_ms)",
        "toFloat64(sum(rolled.duration_ms)) / sum(rolled.timed_calls)",
        ("duration_ms", "timed_calls"),
    ),
    *(_quantile("duration", "duration_ms", "the time to the last byte", level) for level in _LEVELS),
    *(_quantile("ttft", "ttft_ms", "the time to the first content", level) for level in _LEVELS),
    *(_itl_quantile(level) for level in _LEVELS),
    *(_quantile("tpot", "tpot_ms", "the time per output token", level) for level in _LEVELS),
    Measure(
        "unpriced_share",
        "1",
        "calls without a known cost / calls",
        "1 - count(cost_usd) / count()",
        "1 - sum(rolled.priced_calls) / sum(rolled.calls)",
        ("priced_calls", "calls"),
    ),
    Measure(
        "estimated_share",
        "1",
        "calls whose usage was estimated / calls",
        "countIf(usage_source = 'estimated') / count()",
        "sum(rolled.estimated_calls) / sum(rolled.calls)",
        ("estimated_calls", "calls"),
    ),
    Measure(
        "unattributed_share",
        "1",
        "calls of no team / calls",
        "countIf(team = '') / count()",
        "sum(rolled.unattributed_calls) / sum(rolled.calls)",
        ("unattributed_calls", "calls"),
    ),
    Measure("retries", "calls", "attempts after the first", "countIf(attempt > 0)", None, ()),
)

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _ALL}


def figure(measure: Measure, among: Sequence[Measure], rolled: bool, seconds: str) -> str:
    """SQL of a measure that is asked together with others. rolled: over the columns of a roll-up; ValueError where it
    is in none. seconds: SQL of the width of a step.
    """
    text = measure.rolled if rolled else measure.raw
    if text is None:
        raise ValueError(f"{measure.name} is in no roll-up")
    if measure.quantile is not None:
        text = text.replace("{quantile}", _at(measure.quantile, among, rolled))
    return text.replace("{seconds}", seconds)


def _at(wanted: Quantile, among: Sequence[Measure], rolled: bool) -> str:
    """One of the levels that are asked of the same at once."""
    of = wanted.rolled if rolled else wanted.raw
    found = [one.quantile for one in among if one.quantile is not None]
    levels = list(dict.fromkeys(one.level for one in found if of == (one.rolled if rolled else one.raw)))
    function, told = of
    return f"{function}({', '.join(levels)})({told})[{levels.index(wanted.level) + 1}]"
