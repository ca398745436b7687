"""Experiments: requests split over arms by weight, or copied to one that is only watched.

In: the arms of a route. Out: the part of Envoy's route that splits, and who copies where.
What it must never know: how an arm is reached, what the tap does.

Weights are told as parts of a fixed whole, and arms take their share of it in the order of the file: a user whose hash
stays within the same share stays with the same arm when weights change, and only as many move as must.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from tachograph.capture.gateway.clusters import AGAIN, cluster_of
from tachograph.capture.gateway.routes import Arm, Route
from tachograph.capture.gateway.settings import SHARES, ExperimentSettings
from tachograph.capture.words import HEADER_OF

Json = dict[str, Any]

# Headers that say who asks, ours before those of other gateways; the first that is there counts.
STICKY_HEADERS = {
    "user": (HEADER_OF["user"], "helicone-user-id", "x-litellm-end-user-id"),
    "conversation": (HEADER_OF["conversation"], "helicone-session-id", "x-litellm-session-id"),
}
_CLUSTER = re.compile(r"arm\.([^.]+)\.([^.]+)(?:\..*)?")


def arm_of(cluster: str) -> tuple[str, str] | None:
    """(experiment, arm) of a cluster in the log; None where it is no arm's."""
    met = _CLUSTER.fullmatch(cluster)
    return None if met is None else (met[1], met[2])


def shares(weights: Sequence[int]) -> list[int]:
    """Weights as parts of SHARES: each border between two arms is where it would be, to the nearest part."""
    whole, borders = sum(weights), [0]
    for number in range(1, len(weights) + 1):
        borders.append(round(sum(weights[:number]) * SHARES / whole))
    return [after - before for before, after in itertools.pairwise(borders)]


def split(arms: Sequence[Arm], number: int, experiment: ExperimentSettings, armed: Callable[[Route], Json]) -> Json:
    """The cluster of a request to the `number`th row of the route, by weight. armed: what else Envoy does for an arm.

    Without anybody's header to go by, each request is drawn.
    """
    asked = [arm for arm in arms if not arm.shadow]
    parts = shares([arm.weight for arm in asked])
    weighted = [
        {"name": cluster_of(arm.routes[number]), "weight": part, **armed(arm.routes[number])}
        for arm, part in zip(asked, parts, strict=True)
    ]
    if not experiment.sticky_by:
        return {"weighted_clusters": {"clusters": weighted}}
    return {
        "weighted_clusters": {"clusters": weighted, "use_hash_policy": True},
        "hash_policy": [_hashed(header, experiment.name) for header in STICKY_HEADERS[experiment.sticky_by]],
    }


def _hashed(header: str, experiment: str) -> Json:
    """A header's hash, with the experiment's name in it: the users of one experiment's arm are spread over the next."""
    salted = {"pattern": {"regex": "^"}, "substitution": f"{experiment}/"}
    return {"header": {"header_name": header, "regex_rewrite": salted}, "terminal": True}


def copies(arms: Sequence[Arm]) -> Json:
    """Which shadows get a copy. It comes back by the inner listener, where it is an exchange of its own."""
    policies = [
        {
            "cluster": AGAIN,
            "host_rewrite_literal": shadow_host(arm),
            "disable_shadow_host_suffix_append": True,
            "runtime_fraction": {"default_value": {"numerator": arm.weight, "denominator": "HUNDRED"}},
        }
        for arm in arms
        if arm.shadow
    ]
    return {"request_mirror_policies": policies} if policies else {}


def shadow_host(arm: Arm) -> str:
    """By which the inner listener knows the copies for an arm."""
    return f"{arm.experiment}.{arm.name}.shadow".lower()
