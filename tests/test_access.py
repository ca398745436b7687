"""Keys and their scopes, the file they are kept in, and who is let in where."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tachograph import cli
from tachograph.access import (
    Keys,
    check_listen,
    gatekeeper,
    is_loopback,
    issue,
    load,
    revoke,
    tls,
)
from tachograph.config import Settings, SettingsError
from tachograph.config import load as load_settings

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tachograph.keys"


def keys(file: Path, now: datetime = NOW) -> Keys:
    return Keys(file, lambda: now)


def test_a_token_opens_its_scopes_only(file: Path) -> None:
    ingest, read, admin = (issue(file, name, [name], NOW) for name in ("ingest", "read", "admin"))
    known = keys(file)
    assert [known.verify(ingest, scope) for scope in ("ingest", "read", "admin")] == ["ok", "forbidden", "forbidden"]
    assert [known.verify(read, scope) for scope in ("ingest", "read", "admin")] == ["forbidden", "ok", "forbidden"]
    assert [known.verify(admin, scope) for scope in ("ingest", "read", "admin")] == ["ok", "ok", "ok"]


def test_who_may_edit_may_read_and_a_role_says_so(file: Path) -> None:
    tokens = {name: issue(file, name, [name], NOW) for name in ("ingest", "read", "edit", "gateway", "admin")}
    known = keys(file)
    opened = {name: [s for s in tokens if known.verify(token, s) == "ok"] for name, token in tokens.items()}
    assert opened == {
        "ingest": ["ingest"],
        "read": ["read"],
        "edit": ["read", "edit"],
        "gateway": ["gateway"],
        "admin": ["ingest", "read", "edit", "gateway", "admin"],
    }
    roles = {name: getattr(known.shown(token), "role", "") for name, token in tokens.items()}
    assert roles == {"ingest": None, "read": "viewer", "edit": "editor", "gateway": None, "admin": "admin"}


def test_a_key_of_certain_teams_opens_nothing_that_is_everybodys(file: Path) -> None:
    token = issue(file, "growth", ["read", "edit"], NOW, teams=["growth", "search", "growth"])
    key = keys(file).shown(token)
    assert key is not None and key.teams == ("growth", "search")
    for scope in ("ingest", "gateway", "admin"):
        with pytest.raises(SettingsError, match="teams go with the scopes read and edit alone"):
            issue(file, "x", ["read", scope], NOW, teams=["growth"])
    for name in ("", "a\nb", "x" * 201):
        with pytest.raises(SettingsError, match=r"team .*: give at most 100 of 1 to 200 printable characters"):
            issue(file, "x", ["read"], NOW, teams=[name])
    with pytest.raises(SettingsError, match="101 teams: give at most 100"):
        issue(file, "x", ["read"], NOW, teams=[str(i) for i in range(101)])


def test_a_file_of_keys_from_before_there_were_teams_is_read(file: Path) -> None:
    token = issue(file, "old", ["read"], NOW)
    told = json.loads(file.read_text())
    del told["keys"][0]["teams"]
    file.write_text(json.dumps(told))
    key = keys(file).shown(token)
    assert key is not None and (key.teams, key.role) == ((), "viewer")
    told["keys"][0] |= {"teams": ["growth"], "scopes": ["admin"]}
    file.write_text(json.dumps(told))
    assert keys(file).shown(token) is None  # a file that contradicts itself opens nothing


def test_what_is_no_token_of_ours_opens_nothing(file: Path) -> None:
    token = issue(file, "a", ["admin"], NOW)
    start, key_id, secret = token.split("_", 2)
    other = issue(file, "b", ["admin"], NOW)
    wrong = [
        "",
        "tg_",
        "tg__",
        key_id,
        secret,
        f"tg_{key_id}_",
        f"tg_{key_id}_{secret[:-1]}",
        f"tg_{key_id}_{secret}x",
        f"tg_{key_id}_{other.split('_', 2)[2]}",
        f"TG_{key_id}_{secret}",
        f"{start}_{key_id.upper()}X_{secret}",
        "tg_\ud800_ä",
        next(key.sha256 for key in load(file)),
        token + "\n",
    ]
    assert {keys(file).verify(text, "read") for text in wrong} == {"unauthenticated"}


def test_the_file_holds_no_token_and_is_the_owners_alone(file: Path) -> None:
    token = issue(file, "grafana", ["read", "ingest"], NOW, NOW + timedelta(days=1))
    assert token.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (key,) = load(file)
    assert (key.name, key.scopes, key.created, key.expires) == (
        "grafana",
        ("ingest", "read"),
        NOW,
        NOW + timedelta(days=1),
    )
    assert len(token.split("_", 2)[2]) == 43  # 256 bits


def test_tokens_differ(file: Path) -> None:
    tokens = [issue(file, "same name", ["read"], NOW) for _ in range(20)]
    assert len({token.split("_", 2)[1] for token in tokens}) == len({t.split("_", 2)[2] for t in tokens}) == 20


def test_a_key_expires(file: Path) -> None:
    token = issue(file, "short", ["read"], NOW, NOW + timedelta(hours=1))
    before, after = keys(file, NOW + timedelta(minutes=59)), keys(file, NOW + timedelta(hours=1))
    assert (before.verify(token, "read"), after.verify(token, "read")) == ("ok", "unauthenticated")
    assert (bool(before), bool(after)) == (True, False)


def test_a_change_of_the_file_counts_at_once(file: Path) -> None:
    known = keys(file)
    assert not known
    token = issue(file, "late", ["read"], NOW)
    assert known.verify(token, "read") == "ok"
    revoke(file, token.split("_", 2)[1])
    assert known.verify(token, "read") == "unauthenticated"
    issue(file, "another", ["read"], NOW)
    file.write_text("{")  # damaged by hand: nobody is let in, and nothing breaks
    assert known.verify(token, "read") == "unauthenticated"
    file.unlink()
    assert not known


def test_keys_added_at_once_are_all_kept(file: Path) -> None:
    threads = [threading.Thread(target=issue, args=(file, f"n{i}", ["read"], NOW)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in load(file)} == {f"n{i}" for i in range(20)}


def test_a_granted_key_lives_in_the_process_alone(file: Path) -> None:
    known = keys(file)
    token = known.grant("commands of this machine", ["admin"])
    assert known.verify(token, "read") == "ok"
    assert (file.exists(), bool(known), keys(file).verify(token, "read")) == (False, False, "unauthenticated")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a file of keys"),
        ('{"keys": 5}', "not a file of keys"),
        ('{"keys": [{"id": "a"}]}', "not a file of keys"),
        (
            '{"keys": [{"id":"a","name":"a","scopes":["read"],"created":"2026-11-03T00:00:00Z","sha256":"ab"}]}',
            "not 64 hex",
        ),
        (
            '{"keys": [{"id":"a","name":"a","scopes":["reed"],"created":"2026-11-03T00:00:00Z","sha256":"%s"}]}'
            % ("a" * 64),
            "scope 'reed'",
        ),
    ],
)
def test_a_file_that_is_none_of_ours_is_named(file: Path, text: str, message: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(SettingsError, match=message) as error:
        load(file)
    assert "\n" not in str(error.value)


def test_a_file_that_others_may_write_is_refused(file: Path) -> None:
    token = issue(file, "a", ["read"], NOW)
    file.chmod(0o666)
    with pytest.raises(SettingsError, match="chmod 600"):
        load(file)
    assert keys(file).verify(token, "read") == "unauthenticated"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("[::1]", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("[::]", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("collector", False),
        ("", False),
    ],
)
def test_what_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_loopback_needs_no_token_but_a_shown_one_must_be_valid(file: Path) -> None:
    token = issue(file, "a", ["read"], NOW)
    keeper = gatekeeper(keys(file), "127.0.0.1", "read")
    assert [keeper(shown) for shown in (None, f"Bearer {token}", f"bearer  {token}", token)] == ["ok"] * 4
    assert keeper("Bearer nonsense") == keeper("Basic YTpi") == keeper("") == "unauthenticated"
    assert gatekeeper(keys(file), "127.0.0.1", "ingest")(f"Bearer {token}") == "forbidden"
    assert gatekeeper(None, "127.0.0.1", "read")(None) == "ok"
    assert gatekeeper(None, "127.0.0.1", "read")(token) == "unauthenticated"


def test_beyond_loopback_everybody_needs_a_token(file: Path) -> None:
    token = issue(file, "a", ["read"], NOW)
    keeper = gatekeeper(keys(file), "0.0.0.0", "read")
    assert (keeper(None), keeper("Bearer nonsense"), keeper(f"Bearer {token}")) == (
        "unauthenticated",
        "unauthenticated",
        "ok",
    )
    assert gatekeeper(None, "0.0.0.0", "read")(token) == "unauthenticated"


def test_a_door_to_others_stays_shut_without_a_key(file: Path) -> None:
    check_listen(keys(file), "localhost")
    with pytest.raises(SettingsError, match=r"listening on 0\.0\.0\.0 lets others in.*`tachograph key add NAME"):
        check_listen(keys(file), "0.0.0.0")
    issue(file, "old", ["read"], NOW, NOW - timedelta(days=1))
    with pytest.raises(SettingsError, match="holds no valid key"):
        check_listen(keys(file), "0.0.0.0")
    issue(file, "new", ["read"], NOW)
    check_listen(keys(file), "0.0.0.0")


def test_tls_settings_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    assert tls("", "", "") is None
    for given, missing in ((("a.pem", "", ""), "tls_key"), (("", "k.pem", ""), "tls_certificate")):
        with pytest.raises(SettingsError, match=f"`{missing}` is missing"):
            tls(*given)
    (tmp_path / "bad.pem").write_text("no certificate")
    for name in ("none.pem", "bad.pem"):
        found = tls(str(tmp_path / name), str(tmp_path / name), "")
        assert found is not None
        with pytest.raises(SettingsError, match="check the settings `tls_certificate` and `tls_key`") as error:
            found.context()
        assert "\n" not in str(error.value)


def test_where_the_keys_are(tmp_path: Path) -> None:
    assert Settings(store=str(tmp_path)).keys_file == tmp_path.resolve() / "tachograph.keys"
    assert Settings(store="http://localhost:8123").keys_file == Path("tachograph.keys")
    assert Settings(keys=str(tmp_path / "k")).keys_file == tmp_path / "k"


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["tachograph", *words])
    code = 0
    try:
        cli.main()
    except SystemExit as done:
        code = int(done.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TACHOGRAPH_")]:
        monkeypatch.delenv(name)

    def key(*words: str) -> tuple[int, str, str]:
        return run(monkeypatch, capsys, "key", *words, "--store", "store")

    code, out, err = key("add", "grafana", "--scope", "read")
    token = out.strip()
    assert code == 0 and "\n" not in token and "it is not shown again" in err
    file = load_settings({}, None, {"store": "store"}).keys_file
    assert Keys(file, lambda: datetime.now(UTC)).verify(token, "read") == "ok"
    made = json.loads(key("add", "collector", "--scope", "ingest", "--scope", "read", "--days", "3", "--json")[1])
    listed: list[dict[str, Any]] = json.loads(key("list", "--json")[1])
    assert [(each["name"], each["scopes"]) for each in listed] == [
        ("grafana", ["read"]),
        ("collector", ["ingest", "read"]),
    ]
    assert all("sha256" not in each and made["token"] not in str(each) for each in listed)
    shown = key("list")[1]
    assert "grafana" in shown and "expires 20" in shown and token not in shown
    assert key("revoke", listed[0]["id"])[:2] == (0, f"revoked {listed[0]['id']} (grafana)\n")
    code, _, err = key("revoke", listed[0]["id"])
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = key("add", "x", "--scope", "admin", "--team", "growth")
    assert (code, err) == (2, "tachograph: teams go with the scopes read and edit alone, not with admin\n")
    assert key("add", "growth", "--scope", "edit", "--team", "growth", "--team", "search")[0] == 0
    assert json.loads(key("list", "--json")[1])[-1]["teams"] == ["growth", "search"]
    assert "edit of growth, search" in key("list")[1]
    code, _, err = key("add", "x", "--scope", "write")
    assert (code, err) == (2, "tachograph: scope 'write': give one or more of ingest, read, edit, gateway, admin\n")
    assert Keys(file, lambda: datetime.now(UTC)).verify(token, "read") == "unauthenticated"
