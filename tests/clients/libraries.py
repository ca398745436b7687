"""The client libraries that are tried, each at several versions.

A row says: where it is installed (a lock file of `tests/golden/venvs`), which script asks everything that it can be
asked, and through which HTTP clients its requests go.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Library:
    """One library at one version. distribution: whose version names it. transports: the HTTP clients that it uses."""

    distribution: str
    group: str
    script: str
    transports: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.distribution, self.group, self.note)))


def _each(distribution: str, script: str, **transports: str) -> tuple[Library, ...]:
    """One library in several environments: environment -> its transports, separated by commas."""
    return tuple(
        Library(
            distribution=distribution,
            group=group.replace("_", "-"),
            script=script,
            transports=tuple(names.split(",")),
        )
        for group, names in transports.items()
    )


LIBRARIES = (*_each("openai", "openai_calls.py", clients="httpx2", clients_older="httpx", clients_past="httpx"),)
