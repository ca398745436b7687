"""Who may ask the gateway: this machine; beyond it, who shows a key or a certificate.

In: the keys and certificate files of `tachograph.access`, the address that is listened on. Out: the parts of Envoy's
configuration that judge. SettingsError where the gateway would stand open to others.
What it must never know: a provider, what is asked.

Keys are kept hashed, and only their hashes are told to Envoy, which hashes what it is shown. So it judges while our own
process is down, and nobody who reads its files learns a key.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tachograph.access import Key, Tls, is_loopback
from tachograph.capture.gateway.clusters import TYPE
from tachograph.capture.gateway.settings import GatewaySettings
from tachograph.capture.gateway.table import CREDENTIALS, Asking
from tachograph.config import SettingsError

Json = dict[str, Any]

SCOPE = "gateway"
GATE = "gate"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
# Where distributions keep the authorities that they trust.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may ask. keys: those of the file, of any scope; tls: the certificate that is shown, None for none."""

    keys: Sequence[Key] = ()
    tls: Tls | None = None

    @property
    def opening(self) -> list[Key]:
        """The keys that open the gateway."""
        return [key for key in self.keys if key.allows(SCOPE)]


def system_ca() -> str:
    """The file of the authorities that this machine trusts."""
    told = ssl.get_default_verify_paths().cafile
    found = next((name for name in (told, *_BUNDLES) if name and Path(name).is_file()), None)
    if found is None:
        raise SettingsError(
            "no file of certificate authorities here: install ca-certificates, or set `ca` in the gateway's file"
        )
    return found


def asking(access: Access, host: str, settings: GatewaySettings) -> Asking:
    """How requests may come in by the address `host`."""
    if is_loopback(host):
        return Asking(hosts=(*LOCAL_HOSTS, *settings.hosts))
    if access.tls is not None and access.tls.client_ca is not None:
        return Asking()
    if not access.opening:
        raise SettingsError(
            f"the gateway on {host} lets others in, and no key opens it: `tachograph key add NAME --scope {SCOPE}` "
            "makes one, or set `tls_client_ca`, or listen on 127.0.0.1"
        )
    source = {"@type": TYPE + "envoy.extensions.filters.http.lua.v3.LuaPerRoute"}
    return Asking(gate={GATE: {**source, "source_code": {"inline_string": gate_source(access.opening)}}})


def gate_source(keys: Sequence[Key]) -> str:
    """The Lua that judges."""
    source = (resources.files(__package__) / "gate.lua").read_text("utf-8")
    listed = ", ".join(f'{{"{key.sha256}", {int(key.expires.timestamp()) if key.expires else 0}}}' for key in keys)
    headers = ", ".join(f'"{name}"' for name in CREDENTIALS)
    return source.replace("--[[KEYS]]", listed).replace("--[[HEADERS]]", headers)


def gate_filters() -> list[Json]:
    """The filter that judges; it runs where the routes say so."""
    lua = {"@type": TYPE + "envoy.extensions.filters.http.lua.v3.Lua", "clear_route_cache": False}
    return [{"name": GATE, "disabled": True, "typed_config": lua}]


CERTIFICATE, CLIENT_CA = "certificate", "client_ca"


def transport(access: Access) -> Json:
    """The TLS of the listener; nothing without."""
    if access.tls is None:
        return {}
    client = access.tls.client_ca
    context: Json = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_secret(CERTIFICATE)],
        **({"validation_context_sds_secret_config": _secret(CLIENT_CA)} if client else {}),
    }
    return {
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": context,
                **({"require_client_certificate": True} if client else {}),
            },
        }
    }


def _secret(name: str) -> Json:
    """Of a file of its own: certificates are read again when a file in their folder is replaced, without a restart."""
    source = {"resource_api_version": "V3", "path_config_source": {"path": f"./{name}.json"}}
    return {"name": name, "sds_config": source}


def secrets(access: Access) -> dict[str, Json]:
    """What those files say: where certificates are, not what is in them."""
    if access.tls is None:
        return {}
    pair = {
        "certificate_chain": {"filename": str(access.tls.certificate)},
        "private_key": {"filename": str(access.tls.key)},
        "watched_directory": {"path": str(access.tls.certificate.parent)},
    }
    found = {CERTIFICATE: {"tls_certificate": pair}}
    client = access.tls.client_ca
    if client is not None:
        watched = {"trusted_ca": {"filename": str(client)}, "watched_directory": {"path": str(client.parent)}}
        found[CLIENT_CA] = {"validation_context": watched}
    return {name: {"name": name, **secret} for name, secret in found.items()}
