"""Settings: where they come from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.config import SETTINGS, Settings, SettingsError, load


def test_the_later_place_wins(tmp_path: Path) -> None:
    file = tmp_path / "tachograph.toml"
    file.write_text('team = "file"\nproject = "file"\ncalls_days = 10\n')
    found = load({"TACHOGRAPH_TEAM": "environment", "PATH": "/bin"}, file, {"project": "line", "store": None})
    assert (found.team, found.project, found.calls_days, found.store) == ("environment", "line", 10, "data")


@pytest.mark.parametrize(
    ("environment", "text", "message"),
    [
        ({"TACHOGRAPH_STROE": "x"}, "", "unknown setting 'TACHOGRAPH_STROE': did you mean TACHOGRAPH_STORE?"),
        ({}, "retention = 3", "unknown setting 'retention'"),
        ({}, "calls_days = 0", "calls_days is 0: give a whole number of days from 1 to 36500"),
        ({"TACHOGRAPH_CALLS_DAYS": "30 d"}, "", "give a whole number of days"),
        ({}, "store = 5", "store is 5: give text in quotes"),
        ({}, 'listen = "::1:80"', "give host:port such as 127.0.0.1:4180 or [::1]:4180"),
        ({}, 'listen = "4180"', "give host:port such as 127.0.0.1:4180 or [::1]:4180"),
        ({}, "store = ", "not TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, environment: dict[str, str], text: str, message: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load(environment, file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory: check the path given by --config"):
        load({}, tmp_path / "none.toml")


def test_every_setting_is_described() -> None:
    assert set(SETTINGS) == set(Settings.__slots__)


def test_a_folder_becomes_an_address(tmp_path: Path) -> None:
    assert Settings(store=str(tmp_path)).address == f"chdb://{tmp_path.resolve()}"
    assert Settings(store="http://localhost:8123/x").address == "http://localhost:8123/x"


# Ports of four digits that browsers and the fetch of Node refuse to ask (https://fetch.spec.whatwg.org/#port-blocking).
BLOCKED = {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697}


def test_every_client_can_ask_at_our_ports() -> None:
    settings = Settings()
    addresses = (settings.listen, settings.otlp_http, settings.otlp_grpc, settings.gateway)
    ports = [int(address.rpartition(":")[2]) for address in addresses]
    assert len(set(ports)) == len(ports) and BLOCKED.isdisjoint(ports)
