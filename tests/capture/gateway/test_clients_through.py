"""Official clients, at current and older versions, with only their base URL changed: what they are told by way of the
gateway is what the provider told them directly, and the Calls that the gateway makes of it are those that the SDK makes
in the client's process. The known prefixes as they are; their hosts are on this machine.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded import Recording

from tachograph.call import INPUT_PARTS, OUTPUT_PARTS, to_dict
from tachograph.testing.provider import Provider

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "clients"), str(TESTS / "golden")]

from libraries import LIBRARIES  # noqa: E402

import golden  # noqa: E402

SECONDS_MAX = 180
COUNTED = {
    *INPUT_PARTS,
    *OUTPUT_PARTS,
    *("audio_input", "audio_output", "image_input", "image_output", "input_tokens", "output_tokens", "total_tokens"),
    *("usage_source", "usage_basis", "usage_raw", "flags"),
}
# Who saw it, and when: each has ids and a clock of its own.
OWN = {
    *("call_id", "trace_id", "span_id", "parent_span_id", "operation_id", "vantage", "source", "started_at"),
    *("received_at", "duration_ms", "headers_ms", "ttft_ms", "tpot_ms", "itl_mean_ms", "itl_p99_ms", "itl_max_ms"),
    "itl_buckets",
}
ROWS = sorted(
    {(each.group, each.script) for each in LIBRARIES if not (each.environment or each.group.startswith("litellm"))}
    - {("clients-litellm-older", "litellm_calls.py")}
)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Recording]:
    folder, port = tmp_path_factory.mktemp("through"), provider.url.rsplit(":", 1)[1]
    credentials = folder / "aws"
    credentials.write_text("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = hidden-secret\n")
    signed = {"prefix": "/bedrock", "sign": True, "places": ["us-east-1"], "credentials_file": str(credentials)}
    told = {"route": [signed, {"prefix": "/ollama", "url": provider.url, "provider": "ollama"}]}
    running = Recording(folder / "envoy", told, altered=lambda name, text: on_this_machine(name, text, port))
    yield running
    running.stop()


def on_this_machine(name: str, text: str, port: str) -> str:
    """Every public host is `HOST.localhost`, without TLS, where the simulated provider listens."""
    if name == "routes.json":
        text = re.sub(r'("host_rewrite_literal": "[^":]+)"', rf'\1.localhost:{port}"', text)
        return re.sub(r'("substitution": "[^"/]*\\\\1[^"/]*)"', rf'\1.localhost:{port}"', text)
    if name != "clusters.json":
        return text
    found = json.loads(text)
    for cluster in found["resources"]:
        cluster.pop("transport_socket", None)
        for options in cluster.get("typed_extension_protocol_options", {}).values():
            if options.pop("auto_config", None):
                options["explicit_http_config"] = {"http_protocol_options": {}}
    return json.dumps(found)


@pytest.mark.long
@pytest.mark.parametrize(("group", "script"), ROWS)
def test_a_base_url_is_all_that_changes(group: str, script: str, proxy: Recording, provider: Provider) -> None:
    try:
        python = golden.python(group)
    except golden.Unavailable as missing:
        pytest.skip(str(missing))
    lines = told(python, script, provider.url, f"http://localhost:{proxy.port}")
    assert len(lines) >= 2
    assert [line for line in lines if line["told"][0] != line["told"][1]] == []
    assert [line for line in lines if "raised" in line["told"][0]] == []
    made = proxy.calls(len(lines))
    assert [len(line["calls"]) for line in lines] == [1] * len(lines) == [1] * len(made)
    assert [found for line, call in zip(lines, made, strict=True) if (found := different(line, to_dict(call)))] == []


def different(line: dict[str, Any], made: dict[str, Any]) -> list[Any]:
    """What is not equal in the Call that the SDK made and in the gateway's."""
    (call,) = line["calls"]
    for each in (call, made):  # whether pieces came at one moment is seen by a clock, too
        each["flags"] = [flag for flag in each["flags"] if flag != "buffered_stream"]
    own = OWN | (COUNTED if call["usage_source"] == "estimated" else set())  # the gateway asks for the usage of streams
    assert made["usage_source"] == ("missing" if call["usage_source"] == "missing" else "reported")
    found = [(name, call[name], made[name]) for name in call if name not in own and call[name] != made[name]]
    return [line["name"], found] if found else []


def told(python: Path, script: str, provider: str, gateway: str) -> list[dict[str, Any]]:
    outcome = subprocess.run(
        [str(python), str(Path(__file__).with_name("asking.py")), script.removesuffix(".py"), provider, gateway],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(golden.ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    return [json.loads(line) for line in outcome.stdout.splitlines()]
