"""Who may do what: keys with scopes, kept hashed, and the encryption of the doors.

In: a file of keys, the `Authorization` of a request, the names of certificate files. Out: `ok`, `unauthenticated` or
`forbidden`; the key that was shown; a TLS context. On loopback no key is needed, but one that is shown must be valid;
beyond it every request needs one with the scope of what it asks.
What it must never know: a route, a door, the store.

A token is 256 random bits, so a plain SHA-256 of it is kept: what slows down the guessing of passwords (salt, many
rounds) protects nothing here, since nobody can go through 2^256 tokens, and every request would pay for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tachograph.config import SettingsError

SCOPES = ("ingest", "read", "edit", "gateway", "admin")
IMPLIED_BY = {"read": ("edit", "admin")}  # all others by admin alone
NAME_CHARACTERS_MAX = 100
TEAMS_MAX = 100
TEAM_CHARACTERS_MAX = 200
FILE_BYTES_MAX = 4 * 1024 * 1024

Verdict = Literal["ok", "unauthenticated", "forbidden"]
Role = Literal["viewer", "editor", "admin"]  # what the scopes mean to somebody who looks at the screens
Gatekeeper = Callable[[str | None], Verdict]  # told the `Authorization` of a request, or None where it has none


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a token. id: public, the middle part of the token. sha256: of the whole token, in hex.

    teams: the only ones whose calls it shows; none: all.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    created: datetime
    sha256: str
    expires: datetime | None = None
    teams: tuple[str, ...] = ()

    def allows(self, scope: str) -> bool:
        """Does the key open what needs `scope`?"""
        return scope in self.scopes or any(other in self.scopes for other in IMPLIED_BY.get(scope, ("admin",)))

    @property
    def role(self) -> Role | None:
        """None: it shows nothing."""
        roles: tuple[tuple[str, Role], ...] = (("admin", "admin"), ("edit", "editor"), ("read", "viewer"))
        return next((role for scope, role in roles if self.allows(scope)), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **dataclasses.asdict(self),
            "scopes": list(self.scopes),
            "teams": list(self.teams),
            "created": self.created.isoformat(),
            "expires": self.expires.isoformat() if self.expires else None,
        }


class Keys:
    """The keys of a file, read again whenever the file changes: a key that was revoked opens nothing any more.

    A file that cannot be read opens nothing. now: the clock, for keys that expire.
    """

    def __init__(self, file: Path, now: Callable[[], datetime]) -> None:
        self.file = file
        self._now = now
        self._stamp: object = None
        self._known: dict[str, Key] = {}
        self._granted: dict[str, Key] = {}

    def __bool__(self) -> bool:
        """Is there any key that opens something now?"""
        return any(self._valid(key) for key in self._current().values())

    def verify(self, token: str, scope: str) -> Verdict:
        """What the bearer of `token` may, as to `scope`."""
        key = self.shown(token)
        if key is None:
            return "unauthenticated"
        return "ok" if key.allows(scope) else "forbidden"

    def shown(self, token: str) -> Key | None:
        """The key of `token`; None where it is none of ours, or was revoked, or has expired."""
        key = self.valid(token.split("_", 2)[1] if token.count("_") >= 2 else "")
        # Compared in constant time, also where no such key is known: the time taken tells nothing about either.
        same = hmac.compare_digest(_sha256(token), key.sha256 if key else "0" * 64)
        return key if same else None

    def valid(self, key_id: str) -> Key | None:
        """The key of that id, as long as it opens something."""
        key = self._granted.get(key_id) or self._current().get(key_id)
        return key if key is not None and self._valid(key) else None

    def grant(self, name: str, scopes: Sequence[str], teams: Sequence[str] = ()) -> str:
        """The token of a key that lives in this process only, such as that of the other commands on this machine."""
        token, key = _made(name, scopes, self._now(), None, teams)
        self._granted[key.id] = key
        return token

    def _valid(self, key: Key) -> bool:
        return key.expires is None or self._now() < key.expires

    def _current(self) -> dict[str, Key]:
        stamp = _stamp(self.file)
        if stamp != self._stamp:
            try:
                self._known = {key.id: key for key in load(self.file)}
            except SettingsError:
                self._known = {}
            self._stamp = stamp
        return self._known


def _stamp(file: Path) -> object:
    try:
        status = file.stat()
    except OSError:
        return "none"
    return status.st_mtime_ns, status.st_size, status.st_ino


def load(file: Path) -> list[Key]:
    """The keys of a file; none where there is no file. SettingsError, in one line, for a file that is none of ours."""
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & 0o022:
                raise SettingsError(f"{file}: others may write this file of keys: chmod 600 {file}")
            return [_key(value) for value in json.loads(opened.read(FILE_BYTES_MAX))["keys"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}: check the setting `keys`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{file}: not a file of keys ({error}): `tachograph key add` writes one") from error


def _key(value: dict[str, Any]) -> Key:
    if len(bytes.fromhex(value["sha256"])) != 32:
        raise ValueError(f"sha256 of key {value['id']} is not 64 hex digits")
    expires = value.get("expires")
    return Key(
        id=str(value["id"]),
        name=str(value["name"]),
        scopes=_scopes(value["scopes"]),
        created=_moment(value["created"]),
        sha256=value["sha256"].lower(),
        expires=_moment(expires) if expires else None,
        teams=_teams(value.get("teams", ()), value["scopes"]),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment


def issue(
    file: Path,
    name: str,
    scopes: Sequence[str],
    now: datetime,
    expires: datetime | None = None,
    teams: Sequence[str] = (),
) -> str:
    """Add a key to the file and answer its token, which is kept nowhere: it is told this once."""
    title = " ".join(name.split())
    if not title or len(title) > NAME_CHARACTERS_MAX or not title.isprintable():
        raise SettingsError(
            f"name {name[:NAME_CHARACTERS_MAX]!r}: give 1 to {NAME_CHARACTERS_MAX} printable characters"
        )
    token, key = _made(title, scopes, now, expires, teams)
    with _locked(file):
        _write(file, [*load(file), key])
    return token


def revoke(file: Path, key_id: str) -> Key:
    """Take a key out of the file. SettingsError where there is none of that id."""
    with _locked(file):
        keys = load(file)
        gone = next((key for key in keys if key.id == key_id), None)
        if gone is None:
            raise SettingsError(f"no key {key_id!r} in {file}: `tachograph key list` shows their ids")
        _write(file, [key for key in keys if key is not gone])
    return gone


def _made(
    name: str, scopes: Sequence[str], now: datetime, expires: datetime | None, teams: Sequence[str]
) -> tuple[str, Key]:
    key_id = secrets.token_hex(6)
    token = f"tg_{key_id}_{secrets.token_urlsafe(32)}"
    return token, Key(key_id, name, _scopes(scopes), now, _sha256(token), expires, _teams(teams, scopes))


def _scopes(names: Sequence[str]) -> tuple[str, ...]:
    unknown = next((name for name in names if name not in SCOPES), None)
    if unknown is not None or not names or isinstance(names, str):
        raise SettingsError(f"scope {unknown or ''!r}: give one or more of {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in names)


def _teams(names: Sequence[str], scopes: Sequence[str]) -> tuple[str, ...]:
    """What shows certain teams only must not open a door, nor what shows everybody's."""
    if names and not set(scopes) <= {"read", "edit"}:
        raise SettingsError(f"teams go with the scopes read and edit alone, not with {', '.join(scopes)}")
    wrong = next((name for name in names if not 0 < len(name) <= TEAM_CHARACTERS_MAX or not name.isprintable()), None)
    if wrong is not None or len(names) > TEAMS_MAX or isinstance(names, str):
        told = f"team {(wrong or '')[:TEAM_CHARACTERS_MAX]!r}" if wrong is not None else f"{len(names)} teams"
        raise SettingsError(f"{told}: give at most {TEAMS_MAX} of 1 to {TEAM_CHARACTERS_MAX} printable characters")
    return tuple(dict.fromkeys(names))


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """One at a time: two commands that add a key at once shall not lose one of them."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(file.with_name(file.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}: check the setting `keys`") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(file: Path, keys: Sequence[Key]) -> None:
    """The whole file anew, readable by its owner only, and never half written."""
    text = json.dumps({"keys": [key.to_dict() for key in keys]}, indent=1)
    draft = file.with_name(file.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as opened:
            opened.write(text + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(file)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}: check the setting `keys`") from error


def is_loopback(host: str) -> bool:
    """Is `host` reached from this machine alone?"""
    plain = host.strip("[]").partition("%")[0].lower()
    try:
        return ipaddress.ip_address(plain).is_loopback
    except ValueError:
        return plain == "localhost"


def check_listen(keys: Keys, listen_host: str) -> None:
    """SettingsError where a door would stand open to others with nobody holding a key."""
    if is_loopback(listen_host):
        return
    load(keys.file)  # says what is wrong with a file that cannot be read
    if not keys:
        raise SettingsError(
            f"listening on {listen_host} lets others in, and {keys.file} holds no valid key: "
            "`tachograph key add NAME --scope ingest` makes one, or listen on 127.0.0.1"
        )


def gatekeeper(keys: Keys | None, listen_host: str, scope: str) -> Gatekeeper:
    """What judges the `Authorization` of each request that comes in by `listen_host` and needs `scope`.

    It takes `Bearer TOKEN`, or the bare token; None for a request without any. keys: None where there are none.
    """
    open_to_all = is_loopback(listen_host)

    def verdict(authorization: str | None) -> Verdict:
        if authorization is None:
            return "ok" if open_to_all else "unauthenticated"
        return "unauthenticated" if keys is None else keys.verify(token_of(authorization), scope)

    return verdict


def token_of(authorization: str) -> str:
    """The token of `Bearer TOKEN`, or a bare one."""
    kind, _, rest = authorization.strip().partition(" ")
    return rest.strip() if kind.lower() == "bearer" else authorization.strip()


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of the setting `tls_*`, in PEM. client_ca: only clients whose certificate it signed are let in."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """For a server socket. SettingsError in one line where a file cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{self.certificate}, {self.key}: no certificate with its key in PEM ({_said(error)}): "
                "check the settings `tls_certificate` and `tls_key`"
            ) from error
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self.client_ca)
            except (OSError, ValueError) as error:
                raise SettingsError(
                    f"{self.client_ca}: no certificates in PEM ({_said(error)}): check the setting `tls_client_ca`"
                ) from error
        return context


def _no_password() -> str:
    raise ValueError("the key needs a password")


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)


def tls(certificate: str, key: str, client_ca: str) -> Tls | None:
    """The settings `tls_certificate`, `tls_key` and `tls_client_ca`; None where none is given."""
    if not (certificate or key or client_ca):
        return None
    if not (certificate and key):
        missing = "tls_key" if certificate else "tls_certificate"
        raise SettingsError(f"the setting `{missing}` is missing: TLS needs a certificate and its key")
    paths = [Path(name).expanduser() for name in (certificate, key)]
    return Tls(paths[0], paths[1], Path(client_ca).expanduser() if client_ca else None)
