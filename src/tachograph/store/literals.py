"""Values as they are written in SQL, for a text that somebody takes elsewhere and runs as it stands.

In: a value and its SQL type. Out: its literal, quoted so that no text is ever read as SQL.
What it must never know: what a value is of. Our own queries bind their values, and never come here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tachograph.store.conditions import Parameters, microseconds

_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'", "\0": "\\0", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Literals(Parameters):
    """Parameters that are written where they stand; nothing is collected."""

    def bind(self, value: Any, kind: str) -> str:
        """The literal of `value`."""
        return literal(value)

    def moment(self, value: datetime) -> str:
        """The literal of a time, to the microsecond."""
        microseconds(value)  # without a zone nobody knows what time it is
        return f"toDateTime64('{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"


def literal(value: Any) -> str:
    """A text, a number, a truth or a list of these."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """A text in quotes."""
    return f"'{text.translate(_ESCAPED)}'"


def named(name: str) -> str:
    """A name of a column, whatever it holds."""
    return f"`{name.translate(_ESCAPED).replace('`', chr(92) + '`')}`"
