"""The configuration of nats-server, embedded and in production: it holds no secret, only what the operator signed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.credentials import (
    BACKEND_CONNECTIONS,
    CONSUMER_CONNECTIONS,
    DOOR_CONNECTIONS,
    FIRST,
    BusKeys,
    backend_jwt,
    consumers_jwt,
    enrol_jwt,
    operator_jwt,
    people_jwt,
    system_jwt,
)

CONFIG: Final = """\
%(own)slisten: %(listen)s
max_payload: 1MB
max_control_line: 8KB # a credential is a JWT of 1 KB
max_connections: %(connections)d
max_subscriptions: 1024
max_pending: 64MB
write_deadline: "10s"
ping_interval: "20s"
ping_max: 2
lame_duck_grace_period: "2s"
lame_duck_duration: "30s"
%(tls)s
jetstream {
  store_dir: %(store_dir)s
  # all streams at their fullest, and the largest once more: declaring it again counts it again
  max_file_store: 20GB
  max_memory_store: 64MB
  sync_interval: %(sync_interval)s
}

# Who is let in and what they may do is in JWTs that the home's own operator signed. Those below are for the first
# start; the backend puts newer ones, with whom it has revoked since, into the folder of the resolver.
operator: %(operator)s
system_account: %(system)s
resolver {
  type: full
  dir: %(accounts_dir)s
  allow_delete: false
  interval: "2m"
  timeout: "200ms" # for which other nodes are asked for an account of somebody else's making
}
resolver_preload {
  %(system)s: %(system_jwt)s
  %(backend)s: %(backend_jwt)s
  %(people)s: %(people_jwt)s
  %(enrol)s: %(enrol_jwt)s
  %(consumers)s: %(consumers_jwt)s
}
"""

TLS: Final = """\
tls {
  cert_file: %(cert)s
  key_file: %(key)s
  # A client may begin with TLS at once, so that nobody in between can talk it out of it.
  handshake_first: auto
}
"""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The server's certificate (with what lies between it and its authority) and its key, as PEM files."""

    cert: Path
    key: Path


def nats_config(
    keys: BusKeys,
    *,
    listen: str,
    store_dir: Path,
    tls: ServerTls | None = None,
    people: int,
    sync_interval: str = "2m",
    own: str = "",
) -> str:
    """The configuration's text.

    `listen` is host:port; `store_dir` is for JetStream and, in a folder of their own, the accounts; `people` is how
    many connections they may have; `own` are lines to stand first.
    """
    return CONFIG % {
        "own": own,
        "listen": quoted(listen),
        "connections": people + DOOR_CONNECTIONS + BACKEND_CONNECTIONS + CONSUMER_CONNECTIONS,
        "tls": TLS % {"cert": quoted(tls.cert), "key": quoted(tls.key)} if tls else "",
        "store_dir": quoted(store_dir / "js"),
        "accounts_dir": quoted(store_dir / "accounts"),
        "sync_interval": quoted(sync_interval),
        "operator": operator_jwt(keys),
        "system": keys.system.public,
        "backend": keys.backend.public,
        "people": keys.people.public,
        "enrol": keys.enrol.public,
        "consumers": keys.consumers.public,
        "system_jwt": system_jwt(keys),
        "backend_jwt": backend_jwt(keys),
        "enrol_jwt": enrol_jwt(keys),
        "consumers_jwt": consumers_jwt(keys, {}, FIRST),
        "people_jwt": people_jwt(keys, {}, FIRST, connections=people),
    }


def quoted(value: str | Path) -> str:
    """A text as the configuration takes it."""
    return json.dumps(str(value), ensure_ascii=False)
