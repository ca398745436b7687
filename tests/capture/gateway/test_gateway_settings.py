"""The gateway's file: what it may say, and one line for what it may not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tachograph.capture.gateway.settings import (
    ARM_KEYS,
    EXPERIMENT_KEYS,
    GATEWAY_KEYS,
    ROUTE_KEYS,
    ArmSettings,
    ExperimentSettings,
    GatewaySettings,
    RouteSettings,
    load,
    parsed,
)
from tachograph.config import SettingsError

ARMS = [{"name": "a", "weight": 1}]


@pytest.mark.parametrize(
    ("keys", "fields"),
    [(ROUTE_KEYS, RouteSettings), (ARM_KEYS, ArmSettings), (EXPERIMENT_KEYS, ExperimentSettings)],
)
def test_every_key_is_a_field(keys: dict[str, object], fields: type) -> None:
    assert set(keys) == {field.name for field in dataclasses.fields(fields)}


def test_every_key_of_the_file_is_a_field() -> None:
    named = {{"route": "routes", "experiment": "experiments"}.get(key, key) for key in GATEWAY_KEYS}
    assert named == {field.name for field in dataclasses.fields(GatewaySettings)}


def test_nothing_said_is_the_defaults() -> None:
    assert parsed({}) == GatewaySettings()


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"idle_second": 1}, "gateway.toml: unknown key 'idle_second': did you mean idle_seconds?"),
        ({"idle_seconds": 0}, "gateway.toml: idle_seconds is 0: give a whole number from 1 to 604800"),
        ({"idle_seconds": True}, "gateway.toml: idle_seconds is True: give a whole number from 1 to 604800"),
        ({"hosts": "a"}, "gateway.toml: hosts is 'a': write a list in brackets"),
        ({"route": {}}, "gateway.toml: route is {}: write tables in double brackets, or a list of { }"),
        ({"route": [{}]}, "gateway.toml: route 1: prefix is missing: it is the first part of the path"),
        (
            {"route": [{"prefix": "/x", "urll": "http://h"}]},
            "gateway.toml: route 1: unknown key 'urll': did you mean url?",
        ),
        (
            {"route": [{"prefix": "x/y"}]},
            "gateway.toml: route 1: prefix is 'x/y': give one part of a path, such as /vllm",
        ),
        (
            {"route": [{"prefix": "/x", "url": "h:8000"}]},
            "gateway.toml: route 1: url is 'h:8000': give http(s)://host:port, with a path where the server has one, "
            "and nothing more",
        ),
        (
            {"route": [{"prefix": "/x", "url": "http://h"}, {"prefix": "/x", "url": "http://i"}]},
            "gateway.toml: two routes with prefix '/x': make them one",
        ),
        (
            {"route": [{"prefix": "/x", "require": ["teem"]}]},
            "gateway.toml: route 1: require is ['teem']: give one of service, environment, region, team, project, "
            "feature, customer, user, conversation, prompt_name, prompt_version, prompt_hash, experiment, arm",
        ),
        (
            {"route": [{"prefix": "/bedrock", "sign": True, "key_file": "/k"}]},
            "gateway.toml: route 1: sign and key_file: a request has one credential, take one of them out",
        ),
        (
            {"route": [{"prefix": "/x", "credentials_file": "/k"}]},
            "gateway.toml: route 1: credentials_file is for signing: add sign = true",
        ),
        (
            {"experiment": [{"name": "e", "route": "/openai", "arms": []}]},
            "gateway.toml: experiment 1: arms is []: write tables in double brackets, or a list of { }",
        ),
        (
            {"experiment": [{"name": "e", "route": "/openai", "arms": [{"name": "a"}]}]},
            "gateway.toml: experiment 1: no arm has a weight: give weight to one that is not a shadow",
        ),
        (
            {"experiment": [{"name": "e", "route": "/openai", "arms": [*ARMS, *ARMS]}]},
            "gateway.toml: experiment 1: two arms with name 'a': make them one",
        ),
        (
            {"experiment": [{"name": "e", "route": "/openai", "arms": ARMS, "sticky_by": "users"}]},
            "gateway.toml: experiment 1: sticky_by is 'users': give one of user, conversation",
        ),
        (
            {"experiment": [{"name": "e", "route": "/openai", "arms": [{"name": "a.b", "weight": 1}]}]},
            "gateway.toml: experiment 1: arm 1: name is 'a.b': give letters, digits, - and _",
        ),
        (
            {"experiment": [{"name": "e", "route": "/openai", "arms": [*ARMS, {"name": "b", "provider": "vllm"}]}]},
            "gateway.toml: experiment 1: arm 2: provider without url: say where it is with url",
        ),
        (
            {
                "experiment": [
                    {"name": "e", "route": "/x", "arms": [*ARMS, {"name": "b", "shadow": True, "weight": 101}]}
                ]
            },
            "gateway.toml: experiment 1: arm 2: weight of a shadow is percent: give 0 to 100",
        ),
        (
            {"experiment": [{"name": name, "route": "/openai", "arms": ARMS} for name in "ef"]},
            "gateway.toml: two experiments with route '/openai': make them one",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_line(told: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parsed(told)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "http://",
        "http://a@h",
        "http://h:99999",
        "http://h/x?y=z",
        "http://h/x#y",
        'http://h/x"y',
        "http://h/%2e",
        "http://[::1",
        "http://h h",
        "HTTP://{}",
        "http://h/\\1",
    ],
)
def test_urls_that_would_be_more_than_a_place(url: str) -> None:
    with pytest.raises(SettingsError, match="url is"):
        parsed({"route": [{"prefix": "/x", "url": url}]})


@pytest.mark.parametrize(
    "url", ["http://h", "https://h.example:8443/v1/", "http://10.0.0.1:8000", "http://[::1]:80/a/b"]
)
def test_urls(url: str) -> None:
    assert parsed({"route": [{"prefix": "/x", "url": url}]}).routes[0].url == url.rstrip("/")


def test_files_are_seen_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    file = tmp_path / "gateway.toml"
    file.write_text('[[route]]\nprefix = "/openai"\nkey_file = "key"\n')
    assert load(file).routes[0].key_file == str(tmp_path / "key")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "No such file or directory: give a file that can be read"),
        ("", "it holds more than a key, or none"),
        ("k\n", "it holds more than a key, or none"),
    ],
)
def test_keys_that_would_break_a_request(tmp_path: Path, key: str | None, message: str) -> None:
    if key is not None:
        (tmp_path / "key").write_text(key)
    file = tmp_path / "gateway.toml"
    file.write_text('[[route]]\nprefix = "/openai"\nkey_file = "key"\n')
    with pytest.raises(SettingsError, match=message):
        load(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "No such file or directory: check the setting"), (b"x", "not TOML"), (b"\xff", "not TOML")],
)
def test_files_that_are_none(tmp_path: Path, text: bytes | None, message: str) -> None:
    file = tmp_path / "gateway.toml"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(SettingsError, match=message) as raised:
        load(file)
    assert "\n" not in str(raised.value).rstrip()
