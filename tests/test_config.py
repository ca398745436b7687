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
