"""Environments are built by what builds them for the golden recordings."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "golden"))
