"""What somebody says about a moment: a version that was rolled out, a note. It is drawn into charts.

What it must never know: where it is kept, who may make one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

KINDS = ("deployment", "note")


@dataclass(frozen=True, slots=True)
class Annotation:
    """annotation_id: 32 hex digits. kind: one of KINDS. service, environment: what it is about; empty for all.
    by: the name of whoever made it; empty where nobody had to say.
    """

    annotation_id: str
    at: datetime
    kind: str
    text: str
    service: str = ""
    environment: str = ""
    by: str = ""
