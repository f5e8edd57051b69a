"""Who could sign what: the identity chains of an export, folded from its events, kept on disk."""

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from privity.audit.lines import Json
from privity.crypto.identity import Identity, Signed, extend, verify_chain, walk
from privity.crypto.kem import Suite
from privity.crypto.supplying import supplier_device, supplier_id
from privity.encoding import b64, unb64
from privity.errors import ForgedRecord

AT_HAND: Final = 1000
"""People kept in memory; the others wait on disk."""

Devices = Mapping[str, Sequence[bytes]]
"""The public keys that may sign for an account, by device."""


@dataclass(slots=True)
class Known:
    """What the events until now say of an account; `named` are devices of another person, of whatever time."""

    identity: Identity | None = None
    logins: dict[str, str] = field(default_factory=dict)
    closed: bool = False
    named: dict[str, list[str]] = field(default_factory=dict)

    @property
    def devices(self) -> Devices:
        """Who may sign now."""
        if self.closed:
            return {}
        if self.identity is not None:
            return {device: (public,) for device, public in self.identity.devices.items()}
        return {device: [unb64(public) for public in publics] for device, publics in self.named.items()}


class People:
    """Accounts by id, in a database that the caller gives."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.execute("CREATE TABLE people (account TEXT PRIMARY KEY, known TEXT NOT NULL) WITHOUT ROWID")
        self._near: OrderedDict[str, Known] = OrderedDict()

    def of(self, account: str) -> Known:
        """What is known of an account; of a stranger nothing."""
        known = self._near.get(account)
        if known is not None:
            self._near.move_to_end(account)
            return known
        row = self._db.execute("SELECT known FROM people WHERE account = ?", (account,)).fetchone()
        return self._keep(account, _read(row[0]) if row else Known(), changed=False)

    def meet(self, account: str, chain: Sequence[Json]) -> None:
        """Learn somebody's chain as a whole: every device that it ever named.

        Raises:
            ForgedRecord: it does not verify, or is another account's.
        """
        named: dict[str, list[str]] = {}
        for identity in walk([Signed.from_json_dict(each) for each in chain]):
            if identity.account != account:
                raise ForgedRecord("the chain is another account's")
            for device, public in identity.devices.items():
                named.setdefault(device, []).append(b64(public))
        self._keep(account, Known(named={device: sorted(set(keys)) for device, keys in named.items()}), changed=True)

    def fold(self, name: str, event: Json) -> str | None:
        """Fold an event in, by its name without a version; the account that it changed, if it changed one.

        Raises:
            ForgedRecord: its chain or record does not verify, or it says something else than those.
            KeyError: a field is missing.
        """
        match name:
            case "account-registered":
                known = self._registered(event)
            case "identity-extended" | "identity-rotated":
                known = self._extended(event)
            case "passphrase-changed":
                known = self.of(_account(event))
                known.logins["login"] = str(event["login"])
            case "account-closed":
                known = self.of(_account(event))
                known.closed = True
            case "supplier-announced":
                return self._announced(str(event["supplier"]), unb64(str(event["public"])))
            case _:
                return None
        self._keep(_account(event), known, changed=True)
        return _account(event)

    def _announced(self, supplier: str, public: bytes) -> str:
        """A supplier's id is the hash of its key, by which it signs all that it says."""
        if supplier_id(public) != supplier:
            raise ForgedRecord("the supplier's key is not the one of its id")
        self._keep(supplier, Known(named={supplier_device(supplier): [b64(public)]}), changed=True)
        return supplier

    def _registered(self, event: Json) -> Known:
        known, chain = self.of(_account(event)), event["chain"]
        if known.identity is not None or not isinstance(chain, list):
            raise ForgedRecord("an account is registered once, with a chain")
        identity = verify_chain([Signed.from_json_dict(each) for each in chain])
        logins = {"login": str(event["login"]), "recover": str(event["recovery_login"])}
        return _agreeing(Known(identity, logins), event)

    def _extended(self, event: Json) -> Known:
        known, record = self.of(_account(event)), event["record"]
        if known.identity is None or not isinstance(record, dict):
            raise ForgedRecord("there is no chain that this record could follow")
        identity = extend(known.identity, Signed.from_json_dict(record))
        return _agreeing(Known(identity, known.logins, known.closed), event)

    def _keep(self, account: str, known: Known, *, changed: bool) -> Known:
        self._near[account] = known
        self._near.move_to_end(account)
        if changed:
            self._db.execute("INSERT OR REPLACE INTO people VALUES (?, ?)", (account, _write(known)))
        while len(self._near) > AT_HAND:
            self._near.popitem(last=False)
        return known


def _account(event: Json) -> str:
    return str(event["account"])


def _agreeing(known: Known, event: Json) -> Known:
    """The backend works by `head`: it must be what the records say."""
    identity, head = known.identity, event["head"]
    assert identity is not None  # noqa: S101 - both callers have made it
    if not isinstance(head, dict) or identity.account != _account(event):
        raise ForgedRecord("the chain is another account's")
    said = (head.get("n"), head.get("head"), head.get("sign"), head.get("devices"))
    devices = {device: b64(public) for device, public in identity.devices.items()}
    if said != (identity.n, b64(identity.head), b64(identity.sign), devices):
        raise ForgedRecord("the event says something else than the signed identity record")
    return known


def _write(known: Known) -> str:
    identity = known.identity
    facts = identity and {
        "account": identity.account,
        "n": identity.n,
        "head": b64(identity.head),
        "sign": b64(identity.sign),
        "seal": b64(identity.seal),
        "seal_suite": identity.seal_suite.value,
        "recovery": b64(identity.recovery_hash),
        "devices": {device: b64(public) for device, public in identity.devices.items()},
    }
    return json.dumps([facts, known.logins, known.closed, known.named])


def _read(text: str) -> Known:
    facts, logins, closed, named = json.loads(text)
    identity = facts and Identity(
        account=facts["account"],
        n=facts["n"],
        head=unb64(facts["head"]),
        sign=unb64(facts["sign"]),
        seal=unb64(facts["seal"]),
        seal_suite=Suite(facts["seal_suite"]),
        recovery_hash=unb64(facts["recovery"]),
        devices={device: unb64(public) for device, public in facts["devices"].items()},
    )
    return Known(identity, logins, closed, named)
