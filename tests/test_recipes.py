"""The recipes for the gateway as a sidecar: what they tell it is what it understands, and they are what Kubernetes and
systemd take, as far as a machine without containers can say.
"""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from tachograph import config
from tachograph.capture.gateway import settings
from tachograph.capture.gateway.routes import routes
from tachograph.cli import commands

FOLDER = Path(__file__).parents[1] / "deploy" / "gateway"
GATEWAY_FILE = "/etc/tachograph/gateway.toml"


def documents() -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))


def pod_of_values() -> dict[str, Any]:
    """A pod as a chart makes it that takes the values."""
    values = yaml.safe_load((FOLDER / "values.yaml").read_text())
    spec = {
        "initContainers": values.pop("extraInitContainers"),
        "volumes": values.pop("extraVolumes"),
        "containers": [{"name": "answers", "image": "answers:latest", "env": values.pop("extraEnv")}],
        "securityContext": values.pop("podSecurityContext"),
        "terminationGracePeriodSeconds": values.pop("terminationGracePeriodSeconds"),
    }
    assert values == {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "answers"}, "spec": spec}


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FOLDER / "tachograph-gateway.service")
    return parser


def told_by_unit() -> dict[str, str]:
    lines = (FOLDER / "tachograph-gateway.service").read_text().splitlines()
    return dict(line.removeprefix("Environment=").split("=", 1) for line in lines if line.startswith("Environment="))


def pods() -> list[dict[str, Any]]:
    return [documents()[1]["spec"]["template"]["spec"], pod_of_values()["spec"]]


def commands_told() -> Iterator[tuple[list[str], Mapping[str, str]]]:
    """(what is said after `tachograph`, environment) of everything of ours that a recipe starts."""
    for pod in pods():
        (ours,) = pod["initContainers"]
        yield ours["args"], {each["name"]: each.get("value", "told") for each in ours["env"]}
    for service in yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values():
        if "build" in service:
            yield service["command"], service["environment"]
    _, *words = shlex.split(unit()["Service"]["ExecStart"])
    yield words, told_by_unit()


def test_what_they_tell_us_is_understood() -> None:
    seen = 0
    for words, environment in commands_told():
        told = config.load(environment, overrides={})
        assert set(environment) <= {config.PREFIX + name.upper() for name in config.SETTINGS}
        assert CliRunner().invoke(commands, [*words, "--help"]).exit_code == 0
        assert not told.gateway or told.gateway.startswith("127.0.0.1:")  # on loopback nobody needs a key
        seen += 1
    assert seen == 5


@pytest.mark.parametrize("manifest", [*documents(), pod_of_values()], ids=lambda manifest: manifest["kind"])
def test_kubernetes_takes_them(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("pod", pods(), ids=("manifest", "values"))
def test_a_pod_has_what_its_gateway_asks_for(pod: dict[str, Any]) -> None:
    (ours,) = pod["initContainers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in ours["volumeMounts"]}
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    environment = {each["name"]: each.get("value") for each in ours["env"]}
    assert str(Path(environment["TACHOGRAPH_GATEWAY_FILE"]).parent) in mounts
    assert str(Path(environment["TACHOGRAPH_GATEWAY_FOLDER"]).parent) in mounts
    stops = config.Settings().gateway_stop_seconds
    assert pod["terminationGracePeriodSeconds"] > stops
    urls = [each["value"] for each in pod["containers"][0]["env"] if each["name"].endswith("_BASE_URL")]
    prefixes = {"/" + url.split("/")[3] for url in urls}
    assert all(url.startswith(f"http://{config.Settings().gateway}/") for url in urls)
    assert prefixes <= {row.prefix for row in routes(settings.GatewaySettings()).rows}


def test_the_gateways_files_are_understood() -> None:
    for text in (documents()[0]["data"]["gateway.toml"], (FOLDER / "gateway.toml").read_text()):
        found = settings.parsed(tomllib.loads(text))
        assert found.routes and routes(found).rows


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """KillMode=process: what is left of a gateway that was killed must be there for the next to adopt."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "tachograph-gateway.service"
    text = (FOLDER / file.name).read_text()
    file.write_text(text.replace("/opt/tachograph/bin/tachograph", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if file.name in line]
    assert (ours, done.returncode) == ([], 0)
    assert unit()["Service"]["KillMode"] == "process"
    assert int(unit()["Service"]["TimeoutStopSec"]) > config.Settings().gateway_stop_seconds


def test_compose_mounts_what_is_there() -> None:
    told = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    mounts = [mount for service in told["services"].values() for mount in service.get("volumes", [])]
    for mount in mounts:
        source = mount.split(":")[0]
        assert source in told["volumes"] or (FOLDER / source).is_file()
    gateway = told["services"]["gateway"]
    assert gateway["network_mode"].removeprefix("service:") in told["services"]
    assert int(re.sub("s$", "", gateway["stop_grace_period"])) > config.Settings().gateway_stop_seconds
