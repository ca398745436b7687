"""What `instrument` may be told: arguments over the environment, one line for what cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph import config
from tachograph.capture.sdk.settings import DEFAULT_FILE, SDK_SETTINGS, SdkSettings, told, variable
from tachograph.config import SettingsError


def test_every_setting_is_described() -> None:
    assert list(SDK_SETTINGS) == list(SdkSettings.__dataclass_fields__)


def test_nothing_told_is_a_file_here() -> None:
    assert told({}, {}).jsonl == DEFAULT_FILE
    assert told({"collector": "http://127.0.0.1:4318"}, {}).jsonl == ""
    assert told({"collector": "http://127.0.0.1:4318", "file": "x.jsonl"}, {}).jsonl == "x.jsonl"
    assert told({"callback": print}, {}).jsonl == ""


def test_an_argument_wins_over_the_environment() -> None:
    environment = {
        "TACHOGRAPH_SDK_COLLECTOR": "http://a:4318",
        "TACHOGRAPH_SDK_INCLUDE_USAGE": "true",
        "TACHOGRAPH_SDK_HOSTS": "llm.internal=vllm, gpu:8000=",
        "TACHOGRAPH_SDK_FLUSH_SECONDS": "0.5",
        "TACHOGRAPH_SDK_QUEUE_CALLS_MAX": "20",
        "TACHOGRAPH_TEAM": "search",
        "OTEL_SERVICE_NAME": "shop",
    }
    settings = told({"collector": "http://b:4318", "region": "eu", "fsync": None}, environment)
    assert (settings.collector, settings.include_usage, settings.fsync) == ("http://b:4318", True, False)
    assert settings.hosts == {"llm.internal": "vllm", "gpu:8000": ""}
    assert (settings.flush_seconds, settings.queue_calls_max) == (0.5, 20)
    assert settings.attribution == {"service": "shop", "region": "eu", "team": "search"}


def test_our_own_service_name_wins_over_opentelemetrys() -> None:
    assert told({}, {"OTEL_SERVICE_NAME": "shop", "TACHOGRAPH_SERVICE": "till"}).service == "till"


def test_hosts_may_be_a_list() -> None:
    assert told({"hosts": ["gpu:8000"]}, {}).hosts == {"gpu:8000": ""}


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ({"colector": "x"}, {}, "did you mean 'collector'"),
        ({"zzz": 1}, {}, "instrument() has no 'zzz': known: file"),
        ({}, {"TACHOGRAPH_SDK_COLECTOR": "x"}, "did you mean 'TACHOGRAPH_SDK_COLLECTOR'"),
        ({}, {"TACHOGRAPH_SDK_CALLBACK": "x"}, "unknown setting 'TACHOGRAPH_SDK_CALLBACK'"),
        ({}, {"TACHOGRAPH_SDK_FSYNC": "perhaps"}, "write true or false"),
        ({}, {"TACHOGRAPH_SDK_FILES_MAX": "many"}, "write a number"),
        ({"queue_calls_max": 0}, {}, "give a number above zero"),
        ({"queue_calls_max": True}, {}, "give a number above zero"),
        ({"fsync": 1}, {}, "give True or False"),
        ({"callback": 5}, {}, "give a function of one Call"),
        ({"hash_user": True}, {}, "needs a `secret`"),
    ],
)
def test_what_cannot_be_used_is_named(arguments: dict[str, Any], environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        told(arguments, environment)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_variable_but_the_callback_is_read() -> None:
    for name in SDK_SETTINGS:
        if name != "callback":
            texts = {"hosts": "a=b", "secret": "s"}
            kind = SdkSettings.__dataclass_fields__[name].type
            text = texts.get(name, {"bool": "false", "int": "3", "float": "2"}.get(str(kind), "x"))
            assert getattr(told({}, {variable(name): text}), name) in (text, False, 3, 2.0, {"a": "b"}), name


def test_the_server_does_not_mind_what_the_sdk_was_told() -> None:
    assert config.load({"TACHOGRAPH_SDK_FILE": "x.jsonl", "TACHOGRAPH_TEAM": "a"}).team == "a"
