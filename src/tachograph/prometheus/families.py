"""What the page shows of the traffic: every metric with its labels, unit, buckets and meaning, declared here only.

In: the labels that the settings allow. Out: families. A family says from which values of a call it is fed (`parts`);
`readings` says how these are read.
What it must never know: how anything is counted or printed.

The names of the OpenTelemetry GenAI conventions, as the OpenTelemetry exporter for Prometheus spells them: dots become
underscores, `s` becomes `_seconds`, a unit in braces such as `{token}` is dropped. Buckets are the conventions' own.
Everything is counted in whole steps (microseconds, tokens, 10^-10 US dollars), so that sums are exact.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tachograph.call import BY_NAME, COLUMNS, COST_SOURCES, ERROR_TYPES, INPUT_PARTS, OPERATIONS, OUTCOMES, OUTPUT_PARTS

LABELS = ("provider", "model", "team")  # what our own metrics are split by unless told otherwise
LABELS_MAX = 10
TAG = "tags."

_TOKEN_BOUNDS = tuple(4**power for power in range(14))
_SECOND_BOUNDS = tuple(10_000 * 2**power for power in range(14))  # 0.01 s, 0.02 s, ... 81.92 s
_SECOND = 1_000_000  # microseconds
_DOLLAR = 10**10

# Labels whose values are a closed list; they keep their value where the others are folded into `other`.
CLOSED: Mapping[str, frozenset[str]] = {
    "gen_ai_operation_name": frozenset(OPERATIONS),
    "gen_ai_token_type": frozenset(("input", "output")),
    "error_type": frozenset(ERROR_TYPES),
    "outcome": frozenset(OUTCOMES),
    "token_type": frozenset((*INPUT_PARTS, *OUTPUT_PARTS)),
    "cost_source": frozenset(COST_SOURCES),
}


@dataclass(frozen=True, slots=True)
class Label:
    """name: in Prometheus. source: a field of Call, or `tags.KEY`."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Part:
    """One value of a call that feeds a family. reading: its name in `readings`. word: what `part_label` says then."""

    reading: str
    word: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. bounds: upper ends of its buckets in steps; a counter has none. steps: how many make one unit."""

    name: str
    meaning: str
    labels: tuple[Label, ...]
    parts: tuple[Part, ...]
    part_label: str = ""
    bounds: tuple[int, ...] = ()
    steps: int = 1
    unit: str = ""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of all labels, in the order of a series' key."""
        names = tuple(label.name for label in self.labels)
        return (*names, self.part_label) if self.part_label else names


_CONVENTION = (
    Label("gen_ai_operation_name", "operation"),
    Label("gen_ai_provider_name", "provider"),
    Label("gen_ai_request_model", "request_model"),
    Label("gen_ai_response_model", "response_model"),
)
_ERROR = Label("error_type", "error_type")


def families(labels: Sequence[str] = LABELS) -> tuple[Family, ...]:
    """Every family. labels: fields of Call that may be grouped by, and `tags.KEY`; ValueError for others."""
    who = allowed(labels)
    return (*_of_the_conventions(), *_of_our_own(who))


def allowed(labels: Sequence[str]) -> tuple[Label, ...]:
    """The labels that these words of the settings stand for."""
    if len(labels) > LABELS_MAX:
        raise ValueError(f"metrics_labels names {len(labels)} labels: give at most {LABELS_MAX}")
    found: dict[str, Label] = {}
    for source in labels:
        name = _label_name(source)
        if found.setdefault(name, Label(name, source)).source != source:
            raise ValueError(f"metrics_labels: {found[name].source!r} and {source!r} are one label in Prometheus")
    return tuple(found.values())


def _label_name(source: str) -> str:
    if source.startswith(TAG) and len(source) > len(TAG):
        return "tags_" + re.sub(r"[^a-zA-Z0-9_]", "_", source[len(TAG) :])
    if source in BY_NAME and BY_NAME[source].dimension:
        return source
    known = [column.name for column in COLUMNS if column.dimension]
    near = difflib.get_close_matches(source, known, 1, 0.7)
    hint = f"did you mean {near[0]}?" if near else "give fields marked `group` in docs/call.md, or tags.KEY"
    raise ValueError(f"metrics_labels: {source!r} is not a label: {hint}")


def _of_the_conventions() -> tuple[Family, ...]:
    return (
        Family(
            "gen_ai_client_operation_duration_seconds",
            "gen_ai.client.operation.duration: to the last byte, or to the failure",
            (*_CONVENTION, _ERROR),
            (Part("duration"),),
            bounds=_SECOND_BOUNDS,
            steps=_SECOND,
            unit="seconds",
        ),
        Family(
            "gen_ai_client_token_usage",
            "gen_ai.client.token.usage: tokens of a call, input with what a cache served",
            _CONVENTION,
            (Part("input_tokens", "input"), Part("output_tokens", "output")),
            part_label="gen_ai_token_type",
            bounds=_TOKEN_BOUNDS,
        ),
        Family(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "gen_ai.client.operation.time_to_first_chunk: to the first content of a streamed answer",
            _CONVENTION,
            (Part("ttft"),),
            bounds=_SECOND_BOUNDS,
            steps=_SECOND,
            unit="seconds",
        ),
        Family(
            "gen_ai_client_operation_time_per_output_chunk_seconds",
            "gen_ai.client.operation.time_per_output_chunk: gaps between the content events of a streamed answer; "
            "a gap of up to 5 % below a bound may be counted above it",
            _CONVENTION,
            (Part("gaps"),),
            bounds=_SECOND_BOUNDS,
            steps=_SECOND,
            unit="seconds",
        ),
    )


def _of_our_own(who: tuple[Label, ...]) -> tuple[Family, ...]:
    cost_source = Label("cost_source", "cost_source")
    return (
        Family(
            "tachograph_calls_total",
            "calls, each counted once, by how they ended",
            _joined(who, Label("outcome", "outcome")),
            (Part("calls"),),
        ),
        Family(
            "tachograph_errors_total",
            "calls whose outcome is error, by fault domain",
            _joined(who, _ERROR),
            (Part("errors"),),
        ),
        Family(
            "tachograph_tokens_total",
            "tokens, by the disjoint parts of input and output",
            tuple(label for label in who if label.name != "token_type"),
            tuple(Part(part, part) for part in (*INPUT_PARTS, *OUTPUT_PARTS)),
            part_label="token_type",
            unit="tokens",
        ),
        Family(
            "tachograph_cost_usd_total",
            "known costs in US dollars, by where the amount comes from",
            _joined(who, cost_source),
            (Part("cost"),),
            steps=_DOLLAR,
            unit="usd",
        ),
        Family(
            "tachograph_credits_usd_total",
            "negative costs, as the positive amount that was given back: cost less credits is what is owed",
            _joined(who, cost_source),
            (Part("credit"),),
            steps=_DOLLAR,
            unit="usd",
        ),
        Family(
            "tachograph_unpriced_calls_total",
            "calls whose model has no price: their cost is in no sum",
            who,
            (Part("unpriced"),),
        ),
    )


def _joined(who: tuple[Label, ...], own: Label) -> tuple[Label, ...]:
    """The allowed labels and the family's own, which wins over an allowed one of its name."""
    return (*(label for label in who if label.name != own.name), own)
