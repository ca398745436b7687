"""Who is behind which path: the known providers and the gateway's file -> one list of routes.

In: GatewaySettings. Out: `Routes`: what Envoy is told, and for a line of its log the URL that the request really went
to, as `wire` wants it.
What it must never know: Envoy's configuration, a body.

A route's URL has at most one place that the path may fill (an Azure resource, an AWS region, a Google location). What
may stand there is a pattern without dots, so a request never leaves the domain of the row. Where the gateway adds a
credential, the places must be listed: else a caller could have it sent to a resource of his own.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tachograph.capture.gateway.settings import ArmSettings, ExperimentSettings, GatewaySettings, RouteSettings
from tachograph.config import SettingsError
from tachograph.wire.providers import ALIASES
from tachograph.wire.routes import ASKED, PLACES, UPSTREAMS, Upstream

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What the tap does on a route beyond watching.

    include_usage: ask for the usage of streams. required: attribution without which it answers 400. model: asked in
    place of the request's; experiment, arm: what it notes, "" outside of experiments.
    """

    include_usage: bool = False
    required: tuple[str, ...] = ()
    model: str = ""
    experiment: str = ""
    arm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of Envoy's table.

    name: of the prefix, without the slash. place: pattern of what `{}` in the URL may be, "" where it has none.
    found: a pattern that the path must have after the prefix, with `{}` for the place; "" where the place follows it.
    key_header: where the provider wants its key. region: for signing. own: its URL is of the gateway's file.
    """

    name: str
    prefix: str
    url: str
    provider: str
    variant: Variant
    key_header: str = "authorization"
    place: str = ""
    found: str = ""
    ca: str = ""
    key_file: str = ""
    credentials_file: str = ""
    region: str = ""
    retries: int = 0
    idle_seconds: int | None = None
    own: bool = False

    @property
    def pattern(self) -> str:
        """The paths that it takes, whole and without a query; the group is the place."""
        if not self.place:
            return f"{re.escape(self.prefix)}/.*"
        return f"{re.escape(self.prefix)}{(self.found or '/{}').replace('{}', f'({self.place})')}/.*"

    @property
    def stripped(self) -> str:
        """What is taken off the path."""
        return "^" + re.escape(self.prefix) + ("/[^/]+" if self.place and not self.found else "")

    def to(self, path: str) -> str | None:
        """The URL of a path that came in; None where it is not this route's."""
        met = re.fullmatch(self.pattern, path.partition("?")[0])
        if met is None:
            return None
        return self.url.replace("{}", met[1] if self.place else "") + re.sub(self.stripped, "", path, count=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm of an experiment. routes: those that it would be on its own, one for each row that is split."""

    experiment: str
    name: str
    weight: int
    shadow: bool
    routes: tuple[Route, ...]

    @property
    def cluster(self) -> str:
        """Its cluster's name, to which a region may be added."""
        return f"arm.{self.experiment}.{self.name}"

    def is_behind(self, cluster: str) -> bool:
        """Whether a cluster is this arm's."""
        return cluster == self.cluster or cluster.startswith(self.cluster + ".")


@dataclass(frozen=True, slots=True)
class Routes:
    """All of them. rows: in the order in which they are tried. arms: by prefix of their route."""

    rows: tuple[Route, ...]
    arms: Mapping[str, tuple[Arm, ...]]

    def behind(self, name: str, path: str, cluster: str = "") -> tuple[str, str] | None:
        """(URL, provider) of a request that Envoy logged; None where no such route is known (any more).

        name, cluster: of the route and of the upstream cluster, as in the log; path: as it came in. A copy for a shadow
        comes in without the prefix.
        """
        arm = next((arm for arms in self.arms.values() for arm in arms if arm.is_behind(cluster)), None)
        if arm is not None and arm.shadow:
            return arm.routes[0].url + path, arm.routes[0].provider
        rows = arm.routes if arm is not None else [row for row in self.rows if row.name == name]
        return next(((url, row.provider) for row in rows if (url := row.to(path)) is not None), None)


def routes(settings: GatewaySettings) -> Routes:
    """The routes of the known providers and of the file. SettingsError for a table that does not fit them."""
    told = {route.prefix: route for route in settings.routes}
    known = {upstream.prefix for upstream in UPSTREAMS}
    rows = [row for route in settings.routes if route.url for row in _own(route)]
    for upstream in UPSTREAMS:
        route = told.get(upstream.prefix, RouteSettings(prefix=upstream.prefix))
        if not route.url:
            rows += _known(upstream, route)
    lost = next((route.prefix for route in settings.routes if not route.url and route.prefix not in known), None)
    if lost is not None:
        raise SettingsError(f"route {lost}: url is missing: {_near(lost, known, 'known without one')}")
    return Routes(tuple(rows), {experiment.route: _arms(experiment, rows) for experiment in settings.experiments})


def _own(route: RouteSettings) -> Iterator[Route]:
    if route.sign or route.places:
        raise SettingsError(f"route {route.prefix}: sign and places are for known prefixes: take url out")
    provider = ALIASES.get(route.provider.lower(), route.provider.lower()) or UNKNOWN
    yield _made(route, Upstream(route.prefix, route.url, provider))


def _known(upstream: Upstream, route: RouteSettings) -> Iterator[Route]:
    place = upstream.place
    if route.sign and place != "region":
        raise SettingsError(f"route {route.prefix}: sign is for AWS: take it out")
    if route.places and (not place or upstream.found):
        raise SettingsError(f"route {route.prefix}: places: there is none in {upstream.url}: take it out")
    if not route.places and place and (route.sign or (route.key_file and place == "resource")):
        raise SettingsError(
            f"route {route.prefix}: places is missing: list each {place} that may get the gateway's credential"
        )
    wrong = next((name for name in route.places if not re.fullmatch(PLACES[place], name)), None)
    if wrong is not None:
        raise SettingsError(f"route {route.prefix}: places: {wrong!r} is no {place}: give names such as in a URL")
    if not route.places:
        yield _made(route, upstream)
    for name in route.places:
        row = _made(route, dataclasses.replace(upstream, url=upstream.url.replace(f"{{{place}}}", name), place=""))
        region = name if route.sign else ""
        yield dataclasses.replace(row, prefix=f"{upstream.prefix}/{name}", region=region)


def _made(route: RouteSettings, upstream: Upstream) -> Route:
    provider = ALIASES.get(route.provider.lower(), route.provider.lower()) or upstream.provider
    asking = provider in ASKED if route.include_usage is None else route.include_usage
    slot = f"{{{upstream.place}}}"
    return Route(
        name=upstream.prefix[1:],
        prefix=upstream.prefix,
        url=upstream.url.replace(slot, "{}"),
        provider=provider,
        variant=Variant(include_usage=asking, required=route.require),
        key_header=route.key_header or upstream.key_header,
        place=PLACES.get(upstream.place, ""),
        found=upstream.found.replace(slot, "{}"),
        ca=route.ca,
        key_file=route.key_file,
        credentials_file=route.credentials_file,
        retries=route.retries,
        idle_seconds=route.idle_seconds,
        own=bool(route.url),
    )


def _arms(experiment: ExperimentSettings, rows: list[Route]) -> tuple[Arm, ...]:
    split = [row for row in rows if row.name == experiment.route[1:]]
    if not split:
        names = {f"/{row.name}" for row in rows}
        raise SettingsError(
            f"experiment {experiment.name}: no route {experiment.route}: {_near(experiment.route, names, 'known')}"
        )
    shadow = next((arm.name for arm in experiment.arms if arm.shadow), None)
    if shadow is not None and (len(split) > 1 or split[0].place):
        raise SettingsError(
            f"experiment {experiment.name}: arm {shadow}: a shadow needs a route with one URL, "
            f"which {experiment.route} has not: name one of its places in the route"
        )
    return tuple(_arm(experiment, arm, split) for arm in experiment.arms)


def _arm(experiment: ExperimentSettings, arm: ArmSettings, split: list[Route]) -> Arm:
    return Arm(
        experiment=experiment.name,
        name=arm.name,
        weight=arm.weight,
        shadow=arm.shadow,
        routes=tuple(_armed(experiment, arm, row) for row in split),
    )


def _armed(experiment: ExperimentSettings, arm: ArmSettings, row: Route) -> Route:
    """The route with what the arm changes. An arm of another URL gets its own key or none.

    A copy comes to its shadow when what says who asks was already taken off, so nothing can be required of it.
    """
    elsewhere = bool(arm.url)
    provider = ALIASES.get(arm.provider.lower(), arm.provider.lower()) or (UNKNOWN if elsewhere else row.provider)
    asking = provider in ASKED if elsewhere else row.variant.include_usage
    if elsewhere and row.place:
        raise SettingsError(
            f"experiment {experiment.name}: arm {arm.name}: url: {experiment.route} has a place in its path, "
            "which another URL has not: split a route without one"
        )
    variant = dataclasses.replace(
        row.variant,
        include_usage=asking,
        required=() if arm.shadow else row.variant.required,
        model=arm.model,
        experiment=experiment.name,
        arm=arm.name,
    )
    changed = dataclasses.replace(row, variant=variant, provider=provider)
    if not elsewhere:
        return changed
    header = arm.key_header or "authorization"
    return dataclasses.replace(
        changed, url=arm.url, ca=arm.ca, key_file=arm.key_file, key_header=header, region="", own=True
    )


def _near(word: str, known: set[str], otherwise: str) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"{otherwise}: " + ", ".join(sorted(known))
