"""The page's example works."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tachograph.capture.gateway.routes import routes
from tachograph.capture.gateway.settings import parsed

PAGE = Path(__file__).parents[3] / "docs" / "gateway.md"


def test_the_example_can_be_used() -> None:
    example = PAGE.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    known = routes(parsed(tomllib.loads(example)))
    assert known.behind("vllm", "/vllm/v1/models") == ("http://10.0.0.5:8000/v1/models", "vllm")
    assert [arm.name for arm in known.arms["/openai"]] == ["now", "mini", "own"]
