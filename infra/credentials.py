"""The bus's own authority: an operator, its accounts and their users, as NATS JWTs made from the home's keys.

SYSTEM is where the server is told of changes, BACKEND where the roles work, PEOPLE where people and suppliers are,
ENROL where those are who come in, CONSUMERS where trusted programs follow the events. The users of PEOPLE are signed
by two scoped keys, whose templates in the account's JWT say what a device may do, and what a supplier. The server
fills `{{name()}}` in with the user's name, which is an account id, or a supplier's.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, Self

from privity.credential import ACCOUNT, OPERATOR, USER, Credential, Nkey
from privity.encoding import b32, b64
from privity.messages.enrolment import ENROL_INBOX, ENROL_SUBJECT, inbox_prefix
from privity.messages.envelope import COMMAND_SUBJECT, EVENT_SUBJECT, FEED_SUBJECT, QUERY_SUBJECT, RESULT_SUBJECT
from privity.messages.past import PAST_SUBJECT, past_subject
from privity.messages.suppliers import SUPPLIER_SUBJECT

NAME: Final = "{{name()}}"
NO_LIMIT: Final = -1
FIRST: Final = 1
"""The Unix time at which an account's first JWT counts as issued: any later one replaces it, it replaces none."""

MAX_MESSAGE: Final = 1024 * 1024
PEOPLE_CONNECTIONS: Final = 1000
DOOR_CONNECTIONS: Final = 100
BACKEND_CONNECTIONS: Final = 100
CONSUMER_CONNECTIONS: Final = 64
"""Each account has room of its own, so that none can take the others'."""
DEVICE_LIFE: Final = 30 * 24 * 3600
"""Seconds for which a device's credential is good; its agent renews it when half of them are over."""
LISTED: Final = 4000
"""Revoked credentials that are named one by one: some 400 KB of the account's JWT, which has to fit into a message."""
EVERYBODY: Final = "*"
DEVICE_SUBSCRIPTIONS: Final = 32
SUPPLIER_LIFE: Final = 366 * 24 * 3600
"""Seconds for which a supplier's credential is good; its operator makes it anew."""
SUPPLIER_SUBSCRIPTIONS: Final = 8
CONSUMER_LIFE: Final = 366 * 24 * 3600
"""Seconds for which a consumer's credential is good; the operator makes another."""
CONSUMER_EACH: Final = 4
"""Connections of one consumer at a time."""
CONSUMER_SUBSCRIPTIONS: Final = 32
CONSUMER_MESSAGE: Final = 4 * 1024
"""Bytes that a consumer may send at a time: it asks for pages, and says nothing else."""
REPLY_TTL: Final = 60
"""Seconds in which a supplier may answer a request, once."""
ENROL_SUBSCRIPTIONS: Final = 4
ENROL_MESSAGE: Final = 64 * 1024
DOOR: Final = "enrol"
"""The user name of everybody who is about to enrol: no account id looks like it."""

SERVICES: Final = (COMMAND_SUBJECT, QUERY_SUBJECT)
STREAMS: Final = (RESULT_SUBJECT, FEED_SUBJECT)


@dataclass(frozen=True, slots=True)
class BusKeys:
    """The private nkeys of operator, accounts and the scopes of devices and suppliers, and the enrolment credential.

    `consumers` is the account of those who follow the events. `enrol` is the account of those who are about to enrol,
    `door` their one user.
    """

    operator: Nkey
    system: Nkey
    backend: Nkey
    people: Nkey
    device: Nkey
    supplier: Nkey
    consumers: Nkey
    enrol: Nkey
    door: str = field(repr=False)

    @classmethod
    def complete(cls, kept: Mapping[str, str]) -> Self:
        """The keys in `kept`, as `texts` wrote them; new ones for what is missing."""
        names = [each.name for each in fields(cls) if each.name != "door"]
        nkeys = {
            name: Nkey(kept[name]) if name in kept else Nkey.generate(OPERATOR if name == "operator" else ACCOUNT)
            for name in names
        }
        door = kept["door"] if "door" in kept and "enrol" in kept else _door(nkeys["enrol"])
        return cls(**nkeys, door=door)

    @property
    def texts(self) -> dict[str, str]:
        """The secrets as they are kept."""
        kept = (getattr(self, each.name) for each in fields(self))
        texts = [secret.seed if isinstance(secret, Nkey) else str(secret) for secret in kept]
        return dict(zip((each.name for each in fields(self)), texts, strict=True))


def operator_jwt(keys: BusKeys) -> str:
    """The operator, signed by itself: whom the server trusts."""
    claims = {"type": "operator", "system_account": keys.system.public}
    return _jwt(keys.operator, keys.operator.public, "privity", claims, FIRST)


def system_jwt(keys: BusKeys) -> str:
    """The account in which the server is told of changes."""
    return _jwt(keys.operator, keys.system.public, "SYSTEM", {"type": "account", "limits": _limits()}, FIRST)


def backend_jwt(keys: BusKeys) -> str:
    """The account of the backend's roles: the only one with JetStream, and it exports what people need."""
    exports = [_export(each, "service") for each in (*SERVICES, ENROL_SUBJECT, PAST_SUBJECT)]
    exports += [_export(each, "stream") for each in (*STREAMS, EVENT_SUBJECT)]
    storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), NO_LIMIT)
    claims = {"type": "account", "limits": _limits() | storage, "exports": exports}
    return _jwt(keys.operator, keys.backend.public, "BACKEND", claims, FIRST)


def people_jwt(keys: BusKeys, revoked: Mapping[str, int], issued: int, *, connections: int = PEOPLE_CONNECTIONS) -> str:
    """The account of all people, as it is from `issued` on.

    `revoked`: public nkeys, each with the Unix time up to which what was issued to it does not count.
    """
    claims = {
        "type": "account",
        "limits": _limits()
        | {"conn": connections, "subs": connections * DEVICE_SUBSCRIPTIONS, "payload": MAX_MESSAGE, "exports": 0},
        "imports": [_import(keys, subject, "service") for subject in SERVICES]
        + [_import(keys, subject, "stream") for subject in STREAMS],
        "signing_keys": [_device_scope(keys.device.public), _supplier_scope(keys.supplier.public)],
        "revocations": bounded(revoked),
    }
    return _jwt(keys.operator, keys.people.public, "PEOPLE", claims, issued)


def bounded(revoked: Mapping[str, int]) -> dict[str, int]:
    """The revocations as the server is told them: beyond `LISTED`, by the time of issue.

    What was issued up to the newest of the older ones counts no more, whoever has it: those who still may come in
    enrol again, which agents do by themselves.
    """
    newest = sorted(revoked.items(), key=lambda item: item[1], reverse=True)
    told = dict(newest[:LISTED])
    if len(newest) > LISTED:
        told[EVERYBODY] = newest[LISTED][1] - DEVICE_LIFE
    return told


def enrol_jwt(keys: BusKeys) -> str:
    """The account of those who are about to enrol: they reach the enrolment service and nothing else."""
    claims = {
        "type": "account",
        "limits": _limits()
        | {
            "conn": DOOR_CONNECTIONS,
            "subs": DOOR_CONNECTIONS * ENROL_SUBSCRIPTIONS,
            "payload": ENROL_MESSAGE,
            "exports": 0,
        },
        "imports": [_import(keys, ENROL_SUBJECT, "service")],
    }
    return _jwt(keys.operator, keys.enrol.public, "ENROL", claims, FIRST)


def consumers_jwt(keys: BusKeys, revoked: Mapping[str, int], issued: int) -> str:
    """The account of all consumers, as it is from `issued` on: events are heard in it, and the past is asked for.

    JetStream is not reached from it: who may make a consumer of a stream says where the server delivers to.
    `revoked`: as in `people_jwt`, of consumers alone.
    """
    room = {"conn": CONSUMER_CONNECTIONS, "subs": CONSUMER_CONNECTIONS * CONSUMER_SUBSCRIPTIONS}
    claims = {
        "type": "account",
        "limits": _limits() | room | {"payload": CONSUMER_MESSAGE, "exports": 0},
        "imports": [_import(keys, PAST_SUBJECT, "service"), _import(keys, EVENT_SUBJECT, "stream")],
        "revocations": dict(revoked),
    }
    return _jwt(keys.operator, keys.consumers.public, "CONSUMERS", claims, issued)


def consumer_jwt(keys: BusKeys, name: str, contexts: Sequence[str], nkey: str, until: int) -> str:
    """What a consumer shows that may see these contexts, none being all; `nkey` is its public part."""
    events = [f"{EVENT_SUBJECT}.{each}.>" for each in contexts] or [f"{EVENT_SUBJECT}.>"]
    claims = {
        "type": "user",
        "pub": {"allow": [past_subject(name, contexts)]},
        "sub": {"allow": [*events, f"{inbox_prefix(name)}.>"]},
        **{"subs": CONSUMER_SUBSCRIPTIONS, "data": NO_LIMIT, "payload": CONSUMER_MESSAGE},
        "allowed_connection_types": ["STANDARD"],
    }
    return _jwt(keys.consumers, nkey, name, claims, _now(), until)


def device_jwt(keys: BusKeys, account: str, nkey: str, until: int) -> str:
    """What a device shows that acts for `account`, up to `until` (Unix time); `nkey` is its public part."""
    return _user(keys.device, keys.people, account, nkey, until)


def supplier_jwt(keys: BusKeys, supplier: str, nkey: str, until: int) -> str:
    """What the supplier with this id shows, up to `until` (Unix time); `nkey` is its public part."""
    return _user(keys.supplier, keys.people, supplier, nkey, until)


def backend_credential(keys: BusKeys) -> Credential:
    """A fresh user of BACKEND, for one process."""
    return _own_user(keys.backend, "backend")


def system_credential(keys: BusKeys) -> Credential:
    """A fresh user of SYSTEM, for one process."""
    return _own_user(keys.system, "system")


def _door(enrol: Nkey) -> str:
    nkey = Nkey.generate(USER)  # nobody needs its private part: the credential is a bearer's
    claims = {
        "type": "user",
        "pub": {"allow": [f"{ENROL_SUBJECT}.>"]},
        "sub": {"allow": [f"{ENROL_INBOX}.>"]},
        **{"subs": ENROL_SUBSCRIPTIONS, "data": NO_LIMIT, "payload": ENROL_MESSAGE, "bearer_token": True},
        "allowed_connection_types": ["STANDARD"],
    }
    return _jwt(enrol, nkey.public, DOOR, claims, _now())


def _own_user(account: Nkey, name: str) -> Credential:
    nkey = Nkey.generate(USER)
    limits = {"subs": NO_LIMIT, "data": NO_LIMIT, "payload": NO_LIMIT}
    claims = {"type": "user", "pub": {}, "sub": {}, **limits}
    return Credential(_jwt(account, nkey.public, name, claims, _now()), nkey)


def _user(scope: Nkey, account: Nkey, name: str, nkey: str, until: int = 0) -> str:
    """A user of a scoped key says nothing of what he may: the scope says it."""
    claims = {"type": "user", "issuer_account": account.public}
    return _jwt(scope, nkey, name, claims, _now(), until)


def _device_scope(key: str) -> dict[str, object]:
    return _scope(
        key,
        "device",
        publish=[f"{COMMAND_SUBJECT}.{NAME}.>", f"{QUERY_SUBJECT}.{NAME}.>", f"{SUPPLIER_SUBJECT}.*.*"],
        subscribe=[f"{RESULT_SUBJECT}.{NAME}.>", f"{FEED_SUBJECT}.{NAME}", f"{inbox_prefix(NAME)}.>"],
        limits={"subs": DEVICE_SUBSCRIPTIONS, "data": NO_LIMIT, "payload": MAX_MESSAGE},
    )


def _supplier_scope(key: str) -> dict[str, object]:
    """It says its own commands, and one answer to each request that it hears: it could say nothing to anybody else."""
    return _scope(
        key,
        "supplier",
        publish=[f"{COMMAND_SUBJECT}.{NAME}.suppliers.>"],
        subscribe=[f"{SUPPLIER_SUBJECT}.{NAME}.*", f"{RESULT_SUBJECT}.{NAME}.>"],
        limits={
            "subs": SUPPLIER_SUBSCRIPTIONS,
            "data": NO_LIMIT,
            "payload": MAX_MESSAGE,
            "resp": {"max": 1, "ttl": REPLY_TTL * 1_000_000_000},
        },
    )


def _scope(
    key: str, role: str, *, publish: Sequence[str], subscribe: Sequence[str], limits: Mapping[str, object]
) -> dict[str, object]:
    permissions = {"pub": {"allow": list(publish)}, "sub": {"allow": list(subscribe)}}
    template = {**permissions, **limits, "allowed_connection_types": ["STANDARD"]}
    return {"kind": "user_scope", "key": key, "role": role, "template": template}


def _export(subject: str, kind: str) -> dict[str, object]:
    return {"name": subject, "subject": f"{subject}.>", "type": kind}


def _import(keys: BusKeys, subject: str, kind: str) -> dict[str, object]:
    return _export(subject, kind) | {"account": keys.backend.public}


def _limits() -> dict[str, object]:
    names = ("subs", "data", "payload", "imports", "exports", "conn")
    return {**dict.fromkeys(names, NO_LIMIT), "leaf": 0, "wildcards": True}


def _jwt(issuer: Nkey, subject: str, name: str, nats: Mapping[str, object], issued: int, until: int = 0) -> str:
    """A JWT of version 2; `jti` is a hash of its claims, by which the server tells two of one second apart."""
    claims: dict[str, object] = {
        "iat": issued,
        "iss": issuer.public,
        "name": name,
        "sub": subject,
        "nats": {**nats, "version": 2},
    }
    if until:
        claims["exp"] = until
    claims["jti"] = b32(hashlib.sha256(_json(claims)).digest())
    signed = f"{b64(_json({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{b64(_json(claims))}"
    return f"{signed}.{b64(issuer.sign(signed.encode()))}"


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _now() -> int:
    return int(time.time())
