"""Who asks, as far as the API knows.

In: the key that was shown, the session that a browser is in. Out: `Visitor`: what may be asked, and about whom.
What it must never know: HTTP, a path.
"""

from __future__ import annotations

from dataclasses import dataclass

from tachograph.access import Key, Role
from tachograph.web.sessions import Session

HERE = "this machine"  # the name of who needs none


@dataclass(frozen=True, slots=True)
class Visitor:
    """key: None where none was shown. trusted: on this machine, where everybody may everything.

    session: of a browser that signed in; what it changes needs its proof.
    """

    key: Key | None = None
    trusted: bool = False
    session: Session | None = None

    def allows(self, scope: str) -> bool:
        """May it ask what needs `scope`? Empty: what anybody may."""
        return not scope or self.trusted or (self.key is not None and self.key.allows(scope))

    @property
    def name(self) -> str:
        """Of the key."""
        return self.key.name if self.key else HERE if self.trusted else ""

    @property
    def role(self) -> Role | None:
        """What it is to the screens; None: nobody."""
        return self.key.role if self.key else "admin" if self.trusted else None

    @property
    def teams(self) -> tuple[str, ...]:
        """The only teams whose calls it may see; none: all."""
        return self.key.teams if self.key else ()


ANYBODY_HERE = Visitor(trusted=True)
