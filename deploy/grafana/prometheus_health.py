"""Tachograph's own health on Prometheus: the ledger, the store, the doors, the gateway, the process.

In: nothing. Out: the dashboard.
What it must never know: SQL, how a panel is written.
"""

from __future__ import annotations

from deploy.grafana.panels import AMBER, RED, Json, Style, dashboard, figures, lines
from deploy.grafana.promql import ERROR_STEPS, JOB, asked, once, rate, share, total, variables


def health() -> Json:
    """The dashboard."""
    rows = (
        ("Now", _ours()),
        ("Ledger: accepted = stored + seen before + refused + ignored + in flight", _ledger()),
        ("Doors and store", _doors()),
        ("Gateway", _gateway()),
        ("Metrics page and process", _process()),
    )
    meaning = (
        "Tachograph itself: what it accepted, stored and refused, how far storing is behind, its doors, its memory."
    )
    return dashboard(
        "tachograph-prometheus-health", "Tachograph: health", meaning, rows, variables("job"), since="now-6h"
    )


def _own(metric: str, by: str = "", times: str = "") -> str:
    return f"{rate(f'tachograph_{metric}', by, JOB)}{times}"


def _ours() -> list[Json]:
    up = {"type": "value", "options": {"0": {"text": "down", "color": RED}, "1": {"text": "up", "color": "green"}}}
    alive = figures("Up", "Of those that Prometheus scrapes, the fewest.", [once(f"min (up{{{JOB}}})")], Style(), 3)
    alive["fieldConfig"]["defaults"]["mappings"] = [up]
    return [
        alive,
        figures(
            "Version",
            "What runs.",
            [once(f"count by (version) (tachograph_build_info{{{JOB}}})", legendFormat="{{version}}")],
            Style(decimals=0, display="${__field.labels.version}"),
            3,
        ),
        figures(
            "Unaccounted items",
            "Not 0: one was lost, or counted twice. By the rule instance:tachograph_ledger:difference_items.",
            [once(f"max (abs(instance:tachograph_ledger:difference_items{{{JOB}}}))")],
            Style(steps=((1, RED),), decimals=0),
        ),
        figures(
            "Behind with storing",
            "The age of the oldest item that was accepted and is not stored yet.",
            [once(f"max (tachograph_store_lag_seconds{{{JOB}}})")],
            Style("s", ((2, AMBER), (10, RED)), 2),
        ),
        figures(
            "In flight",
            "Items that were accepted and whose fate is not decided yet.",
            [once(f"sum (tachograph_items_in_flight{{{JOB}}})")],
            Style(decimals=0),
            3,
        ),
        figures(
            "Refused",
            "Items that were refused for good, of all that were accepted in the range.",
            [once(share(*(total(f"tachograph_items_{word}_total", "", JOB) for word in ("refused", "accepted"))))],
            Style("percentunit", ERROR_STEPS, 2),
            3,
        ),
        figures(
            "Time for a batch",
            "Seconds to make a batch durable, mean over the range.",
            [once(" / ".join(total(f"tachograph_{word}_total", "", JOB) for word in ("batch_seconds", "batches")))],
            Style("s", ((1, AMBER), (5, RED)), 3),
        ),
    ]


def _ledger() -> list[Json]:
    fates = [
        asked(_own(f"items_{fate}_total"), name)
        for fate, name in (("stored", "stored"), ("deduplicated", "seen before"), ("refused", "refused"))
    ]
    fates.append(asked(_own("items_ignored_total"), "ignored"))
    second = Style("cps")
    return [
        lines(
            "Accepted, by door",
            "Spans, log records, data points and calls a second.",
            [asked(_own("items_accepted_total", "door"), "{{door}}")],
            second,
            6,
        ),
        lines("What became of them", "Items a second.", fates, second, 6),
        lines(
            "Refused, by reason",
            "Items a second that will not be taken when they are sent again.",
            [asked(_own("items_refused_total", "reason"), "{{reason}}")],
            second,
            6,
        ),
        lines(
            "Ignored, by reason",
            "Items a second that say nothing about a call.",
            [asked(_own("items_ignored_total", "reason"), "{{reason}}")],
            second,
            6,
        ),
    ]


def _doors() -> list[Json]:
    return [
        lines(
            "Requests by door",
            "Export requests a second.",
            [asked(_own("otlp_requests_total", "door"), "{{door}}")],
            Style("reqps"),
            6,
        ),
        lines(
            "Requests refused, by reason",
            "A second: export requests, requests to the API and logins.",
            [
                asked(_own("otlp_requests_refused_total", "reason"), "OTLP: {{reason}}"),
                asked(_own("api_requests_refused_total", "reason"), "API: {{reason}}"),
                asked(_own("logins_failed_total", "reason"), "login: {{reason}}"),
            ],
            Style("reqps"),
            6,
        ),
        lines(
            "Bytes by door",
            "As they came over the wire.",
            [asked(_own("otlp_bytes_total", "door"), "{{door}}")],
            Style("Bps"),
            6,
        ),
        lines(
            "Behind with storing, by instance",
            "The age of the oldest item that is not stored yet.",
            [asked(f"max by (instance) (tachograph_store_lag_seconds{{{JOB}}})", "{{instance}}")],
            Style("s", ((10, RED),)),
            6,
        ),
        lines(
            "Odd calls, by flag",
            "Calls a second with something odd about them. They are stored all the same.",
            [asked(_own("calls_flagged_total", "flag"), "{{flag}}")],
            Style("cps"),
            12,
        ),
        lines(
            "Calls without a price",
            "Calls a second whose model has no price.",
            [asked(_own("calls_unpriced_total"), "unpriced")],
            Style("cps"),
            12,
        ),
    ]


def _gateway() -> list[Json]:
    return [
        lines(
            "Gateway",
            "1 while its Envoy serves. No line where there is no gateway.",
            [asked(f"min by (instance) (tachograph_gateway_up{{{JOB}}})", "{{instance}}")],
            Style(high=1),
            6,
        ),
        lines(
            "Requests under way",
            "Through the gateway.",
            [asked(f"sum by (instance) (tachograph_gateway_requests_active{{{JOB}}})", "{{instance}}")],
            Style(),
            6,
        ),
        lines(
            "Log not stored yet",
            "Bytes of the gateway's log.",
            [asked(f"sum by (instance) (tachograph_gateway_unread_bytes{{{JOB}}})", "{{instance}}")],
            Style("bytes"),
            6,
        ),
        lines(
            "Lost and begun anew",
            "Lines of the log that were given up unread, writes of it that failed, starts of another Envoy.",
            [
                asked(
                    f"sum by (reason) (increase(tachograph_gateway_lines_lost_total{{{JOB}}}[$__rate_interval]))",
                    "lost: {{reason}}",
                ),
                asked(
                    f"sum by (reason) (increase(tachograph_gateway_restarts_total{{{JOB}}}[$__rate_interval]))",
                    "restart: {{reason}}",
                ),
                asked(f"sum (tachograph_gateway_log_writes_failed{{{JOB}}})", "writes failed"),
            ],
            Style(bars=True),
            6,
        ),
    ]


def _process() -> list[Json]:
    return [
        lines(
            "Series by metric",
            "Each metric of the traffic has at most so many label sets as the settings say.",
            [asked(f"max by (metric) (tachograph_metric_series{{{JOB}}})", "{{metric}}")],
            Style(),
            6,
        ),
        lines(
            "Counted under `other`",
            "Observations a second of label sets for which there was no room.",
            [asked(_own("metric_series_folded_total", "metric"), "{{metric}}")],
            Style("cps"),
            6,
        ),
        lines(
            "Memory",
            "Resident memory of the process.",
            [asked(f"process_resident_memory_bytes{{{JOB}}}", "{{instance}}")],
            Style("bytes"),
            6,
        ),
        lines(
            "Processor",
            "Seconds of processor time a second.",
            [asked(f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}")],
            Style("percentunit"),
            6,
        ),
    ]
