"""The definitions -> the lines of the reference page.

In: the families, the counters of `health`. Out: Markdown, for `docs/generate.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tachograph.health import COUNTERS, GAUGES
from tachograph.prometheus.families import CLOSED, LABELS, LABELS_MAX, Family, families
from tachograph.prometheus.page import OWN, PREFIX
from tachograph.prometheus.readings import LABEL_CHARACTERS_MAX
from tachograph.prometheus.traffic import SERIES_MAX


def metrics_page() -> Iterator[str]:
    """What `/metrics` shows."""
    yield "# Metrics"
    yield ""
    yield "What `GET /metrics` shows: OpenMetrics with exemplars for who accepts it, else the text format. An example"
    yield "configuration of Prometheus, recording rules and alerts are in `deploy/prometheus/`."
    yield from _traffic()
    yield from _limits()
    yield from _ourselves()


def _traffic() -> Iterator[str]:
    found = families()
    yield from ("", "## The traffic", "")
    yield "`gen_ai_*` are the metrics of the OpenTelemetry GenAI conventions under the names that the OpenTelemetry"
    yield "exporter for Prometheus gives them, with the buckets of the conventions. A value that is not known is not"
    yield "counted, so the count of a histogram may be below the number of calls. A label that is empty is absent."
    yield "A call that several instruments saw counts once."
    yield ""
    yield from ("| metric | type | labels | meaning |", "|---|---|---|---|")
    for family in found:
        kind = "histogram" if family.bounds else "counter"
        labels = ", ".join(f"`{name}`" for name in family.label_names)
        yield f"| `{family.name}` | {kind} | {labels} | {family.meaning} |"
    yield ""
    for bounds, names in _by_bounds(found):
        yield f"Buckets of {', '.join(f'`{name}`' for name in names)}: {bounds}."
        yield ""
    yield "Exemplars on their buckets carry the `trace_id` of the last call that fell there and that has one; in the"
    yield "gaps between chunks, the longest gap of a call."


def _by_bounds(found: tuple[Family, ...]) -> Iterator[tuple[str, list[str]]]:
    """Bounds in units, and the families that have them."""
    by: dict[str, list[str]] = {}
    for family in found:
        if family.bounds:
            by.setdefault(", ".join(f"{bound / family.steps:.10g}" for bound in family.bounds), []).append(family.name)
    yield from by.items()


def _limits() -> Iterator[str]:
    yield from ("", "## Labels and limits", "")
    shown = ", ".join(f"`{label}`" for label in LABELS)
    yield f"The `tachograph_*` metrics of the traffic are split by {shown}, or by what the settings name"
    yield "instead: any field marked `group` in [the record](call.md) under its own name, and `tags.KEY` as `tags_KEY`;"
    yield f"at most {LABELS_MAX} labels. Values are cut to {LABEL_CHARACTERS_MAX} characters."
    yield ""
    yield f"Each metric has at most {SERIES_MAX:,} label sets unless the settings say otherwise: first come,"
    yield "first kept. What comes later is counted under `other`, so that sums stay whole; only"
    yield _listed(CLOSED)
    yield "keep their value there. `tachograph_metric_series_folded_total` says how many observations that were."
    yield ""
    yield "Counters go on over a restart. After a change of the labels, what was counted before stays in the sums: a"
    yield "label that is gone is summed away, one that is new is absent from what was counted without it."


def _ourselves() -> Iterator[str]:
    yield from ("", "## Ourselves", "", "| metric | type | by | meaning |", "|---|---|---|---|")
    for kind, declared in (("counter", COUNTERS), ("gauge", GAUGES)):
        for one in declared:
            yield f"| `{PREFIX}{one.name}` | {kind} | {one.label} | {one.meaning} |"
    for name, kind, label, meaning in OWN:
        yield f"| `{name}` | {kind} | {label} | {meaning} |"
    yield "| `process_*` | | | memory, processor time and open files of the process, where the system tells |"


def _listed(names: Iterable[str]) -> str:
    words = [f"`{name}`" for name in names]
    return ", ".join(words[:-1]) + " and " + words[-1]
