"""A question to the store, asked of Prometheus: measures as PromQL over the metrics of our page.

In: names of measures, dimensions and conditions, the width of a point, and what our own metrics are split by. Out: an
expression for each measure that the page can tell, and why not for each that it cannot.
What it must never know: the store, HTTP. It exists so that what is seen on a screen can be alerted on elsewhere.

An expression says what happened in the width of a point, up to the moment at which it is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tachograph.call import BY_NAME, INPUT_PARTS, OUTPUT_PARTS
from tachograph.prometheus.families import Family, families

_QUANTILE = re.compile(r"^(duration|ttft|itl)_p(50|90|95|99)_ms$")
_HISTOGRAMS = {
    "duration": "gen_ai_client_operation_duration_seconds",
    "ttft": "gen_ai_client_operation_time_to_first_chunk_seconds",
    "itl": "gen_ai_client_operation_time_per_output_chunk_seconds",
}
_CALLS, _TOKENS = "tachograph_calls_total", "tachograph_tokens_total"
_OF = {name: f'token_type=~"{"|".join(parts)}"' for name, parts in (("in", INPUT_PARTS), ("out", OUTPUT_PARTS))}
_ERRORS = 'outcome="error"'
# measure -> an expression in which METRIC[MATCHERS] stands for the growth of a sum
_SUMS: Mapping[str, str] = {
    "calls": f"{_CALLS}[]",
    "errors": f"{_CALLS}[{_ERRORS}]",
    "error_rate": f"{_CALLS}[{_ERRORS}] / {_CALLS}[]",
    "calls_per_minute": f"{_CALLS}[] * 60 / SECONDS",
    **{part: f'{_TOKENS}[token_type="{part}"]' for part in (*INPUT_PARTS, *OUTPUT_PARTS)},
    "input_tokens": f"{_TOKENS}[{_OF['in']}]",
    "output_tokens": f"{_TOKENS}[{_OF['out']}]",
    "total_tokens": f"{_TOKENS}[]",
    "tokens_per_minute": f"{_TOKENS}[] * 60 / SECONDS",
    "tokens_per_second": f"{_TOKENS}[] / SECONDS",
    "cache_hit_rate": f'{_TOKENS}[token_type="cache_read"] / {_TOKENS}[{_OF["in"]}]',
    "cost_usd": "tachograph_cost_usd_total[]",
    "cost_per_1k_tokens_usd": f"tachograph_cost_usd_total[] * 1000 / {_TOKENS}[]",
    "cost_per_call_usd": f"tachograph_cost_usd_total[] / {_CALLS}[]",
    "unpriced_share": f"tachograph_unpriced_calls_total[] / {_CALLS}[]",
    "duration_mean_ms": "gen_ai_client_operation_duration_seconds_sum[] * 1000"
    " / gen_ai_client_operation_duration_seconds_count[]",
}
_WHY = {
    "estimated_share": "no metric says whether the usage was estimated",
    "unattributed_share": "no metric counts calls of no team: group calls by team, the empty one is theirs",
    "retries": "no metric counts attempts",
}
_SUM = re.compile(r"(\w+)\[([^\]]*)\]")


class Missing(Exception):
    """Why Prometheus cannot tell a measure, in one line."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """seconds: the width of a point."""

    by: Sequence[str]
    where: Mapping[str, Any]
    seconds: int


def promql(
    labels: Sequence[str], measures: Sequence[str], by: Sequence[str], where: Mapping[str, Any], width: timedelta
) -> tuple[dict[str, str], dict[str, str]]:
    """(measure -> expression, measure -> why there is none).

    labels: what our own metrics are split by. where: dimension -> value, None or a list of these. width: of a point.
    """
    asked = _Asked(by, where, max(1, round(width.total_seconds())))
    known = {family.name: family for family in families(labels)}
    found, missing = {}, {}
    for measure in measures:
        try:
            found[measure] = _expression(measure, asked, known)
        except Missing as why:
            missing[measure] = str(why)
    return found, missing


def _expression(measure: str, asked: _Asked, known: Mapping[str, Family]) -> str:
    quantile = _QUANTILE.match(measure)
    if quantile:
        name = _HISTOGRAMS[quantile[1]]
        family = known[name]
        grouped = ", ".join(("le", *_grouped(family, asked)))
        growth = f"increase({name}_bucket{_matchers(family, asked, '')}[{asked.seconds}s])"
        return f"histogram_quantile(0.{quantile[2].rstrip('0')}, sum by ({grouped}) ({growth})) * 1000"
    if measure not in _SUMS:
        raise Missing(_WHY.get(measure, "no metric of the page holds it"))
    text = _SUM.sub(lambda sum_: _growth(sum_[1], sum_[2], asked, known), _SUMS[measure])
    return text.replace("SECONDS", str(asked.seconds))


def _growth(metric: str, own: str, asked: _Asked, known: Mapping[str, Family]) -> str:
    family = known[metric] if metric in known else known[re.sub("_(sum|count)$", "", metric)]
    grouped = _grouped(family, asked)
    by = f" by ({', '.join(grouped)})" if grouped else ""
    return f"sum{by} (increase({metric}{_matchers(family, asked, own)}[{asked.seconds}s]))"


def _grouped(family: Family, asked: _Asked) -> list[str]:
    return [_label(family, dimension) for dimension in asked.by]


def _matchers(family: Family, asked: _Asked, own: str) -> str:
    told = [own] if own else []
    told += [_matcher(_label(family, dimension), value) for dimension, value in asked.where.items()]
    return f"{{{', '.join(told)}}}" if told else ""


def _label(family: Family, dimension: str) -> str:
    for label in family.labels:
        if label.source == dimension:
            return label.name
    if dimension in BY_NAME and not BY_NAME[dimension].dimension:
        raise Missing(f"no metric is split by {dimension}: look at single calls for that")
    there = ", ".join(label.source for label in family.labels)
    ours = family.name.startswith("tachograph_")
    remedy = "add it to the setting `metric_labels`" if ours else f"it is split by {there}"
    raise Missing(f"{family.name} has no label for {dimension}: {remedy}")


def _matcher(label: str, value: Any) -> str:
    """Nothing known is the empty label, which to Prometheus is no label."""
    wanted = ["" if item is None else str(item) for item in (value if isinstance(value, list) else [value])]
    if len(wanted) == 1:
        return f"{label}={_quoted(wanted[0])}"
    return f"{label}=~{_quoted('|'.join(map(re.escape, wanted)))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
