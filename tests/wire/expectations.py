"""What a person reads in a recorded exchange, beside what the reader gives.

In: Calls and lists of expected fields. Out: one line per field that differs; fields that are not listed are not
compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tachograph.call import Call, to_dict


def differences(calls: Sequence[Call], expected: Sequence[dict[str, Any]]) -> list[str]:
    """One line per difference; money is compared as an amount."""
    if len(calls) != len(expected):
        return [f"{len(calls)} calls, expected {len(expected)}"]
    return [
        f"call {index}: {field}: {got!r}, expected {value!r}"
        for index, (call, fields) in enumerate(zip(map(to_dict, calls), expected, strict=True))
        for field, value in fields.items()
        if (got := _plain(field, call[field])) != _plain(field, value)
    ]


def _plain(field: str, value: Any) -> Any:
    return Decimal(str(value)) if field == "cost_usd" and value is not None else value
