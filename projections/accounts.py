"""The accounts view: who somebody is, and their wrapped keyring."""

from collections.abc import Iterator
from dataclasses import asdict

import sqlalchemy as sa

from privity.errors import NotFound
from privity.messages.accounts import (
    AccountClosed,
    AccountRegistered,
    AccountRenamed,
    AddressClaimed,
    IdentityExtended,
    IdentityRotated,
    Kdf,
    PassphraseChanged,
)
from privity.messages.fields import SignedRecord
from privity.messages.recorded import Positioned
from privity.messages.views import AccountRow, AskAccount
from projections.changes import Change, folds
from projections.desk import Desk, Page, view
from projections.tables import accounts, addresses, connections, identity_records, invitations

INSERT = accounts.insert()
INSERT_ADDRESS = addresses.insert()
INSERT_RECORD = identity_records.insert()
_one = accounts.c.account == sa.bindparam("of")
SET_DEVICES = accounts.update().where(_one).values(devices=sa.bindparam("devices"))
CLOSED = {"devices": {}, "kdf": {}, **dict.fromkeys(("login", "recovery_login", "kek", "kek_recovery", "identity"), "")}
"""What is left of a closed account: who it was, by which address, for those who were connected with it."""
CLOSE = accounts.update().where(_one).values({name: sa.bindparam(name) for name in CLOSED})
SET_IDENTITY = accounts.update().where(_one).values(identity=sa.bindparam("wrap"))
SET_ADDRESS = accounts.update().where(_one).values(address=sa.bindparam("now"), renamed=sa.bindparam("at"))
SET_INVITER = invitations.update().where(invitations.c.inviter == sa.bindparam("of"))
SET_INVITER = SET_INVITER.values(inviter_address=sa.bindparam("now"))
SET_PEER = connections.update().where(connections.c.peer == sa.bindparam("of")).values(peer_address=sa.bindparam("now"))
SET_KEK = accounts.update().where(_one).values({name: sa.bindparam(name) for name in ("login", "kdf", "kek")})


@folds(
    AddressClaimed,
    AccountRegistered,
    IdentityExtended,
    IdentityRotated,
    AccountRenamed,
    PassphraseChanged,
    AccountClosed,
)
def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
        case AddressClaimed(address=address, account=account):
            yield Change(addresses, INSERT_ADDRESS, {"address": address, "account": account})
        case AccountRegistered() as event:
            row = {
                name: getattr(event, name)
                for name in (
                    "account",
                    "address",
                    "login",
                    "recovery_login",
                    "kek",
                    "kek_recovery",
                    "identity",
                )
            }
            more = {"devices": event.head.devices, "kdf": asdict(event.kdf), "position": happened.position}
            yield Change(accounts, INSERT, row | more | {"renamed": 0})
            for n, record in enumerate(event.chain):
                yield _record(event.account, n, record, happened.position)
        case IdentityExtended(account=account, head=head, record=record):
            yield Change(accounts, SET_DEVICES, {"of": account, "devices": head.devices})
            yield _record(account, head.n, record, happened.position)
        case IdentityRotated(account=account, head=head, record=record, identity=identity):
            yield Change(accounts, SET_DEVICES, {"of": account, "devices": head.devices})
            yield Change(accounts, SET_IDENTITY, {"of": account, "wrap": identity})
            yield _record(account, head.n, record, happened.position)
        case AccountRenamed(account=account, address=address):
            yield Change(accounts, SET_ADDRESS, {"of": account, "now": address, "at": happened.position})
            yield Change(connections, SET_PEER, {"of": account, "now": address})
            yield Change(invitations, SET_INVITER, {"of": account, "now": address})
        case PassphraseChanged(account=account, login=login, kdf=kdf, kek=kek):
            yield Change(accounts, SET_KEK, {"of": account, "login": login, "kdf": asdict(kdf), "kek": kek})
        case AccountClosed(account=account):
            yield Change(accounts, CLOSE, {"of": account, **CLOSED})


def _record(account: str, n: int, record: SignedRecord, position: int) -> Change:
    values = {"account": account, "n": n, "record": record.record, "signatures": list(record.signatures)}
    return Change(identity_records, INSERT_RECORD, values | {"position": position})


@view(AskAccount)
def account(ask: AskAccount, desk: Desk) -> Page[AccountRow]:
    """One's own account; the wrapped identity keys go out only when the request is fresh, the KEK by the keyring alone.

    So a device learns the keys that another one rotated to.
    """
    (row,) = keyring_of(desk.account, desk.db).rows
    return Page((row,), ((row.identity,) if desk.fresh else (),))


def keyring_of(account_id: str, db: sa.Connection) -> Page[AccountRow]:
    """An account with its chain and its wrapped keys.

    Raises:
        NotFound: there is no such account, or it was closed.
    """
    row = db.execute(sa.select(accounts).where(_open(account_id))).mappings().first()
    if row is None:
        raise NotFound("there is no such account")
    found = AccountRow(
        account=row["account"],
        address=row["address"],
        chain=chain_of(account_id, db),
        devices=row["devices"],
        kdf=Kdf(**row["kdf"]),
        kek=row["kek"],
        kek_recovery=row["kek_recovery"],
        identity=row["identity"],
        renamed=row["renamed"],
    )
    return Page((found,), ((found.kek, found.kek_recovery, found.identity),))


def _open(account_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(accounts.c.account == account_id, accounts.c.login != "")


def chain_of(account_id: str, db: sa.Connection, until: int | None = None) -> tuple[SignedRecord, ...]:
    """An account's identity chain from its genesis on, as it is now, or was at the position `until`."""
    chain = sa.select(identity_records).where(identity_records.c.account == account_id)
    if until is not None:
        chain = chain.where(identity_records.c.position <= until)
    found = db.execute(chain.order_by(identity_records.c.n)).mappings()
    return tuple(SignedRecord(row["record"], tuple(row["signatures"])) for row in found)


def devices_of(account_id: str, db: sa.Connection) -> dict[str, str]:
    """The device keys that may sign for an account; none when there is no such account."""
    found: dict[str, str] | None = db.execute(
        sa.select(accounts.c.devices).where(accounts.c.account == account_id)
    ).scalar()
    return found or {}


def login_keys(account_id: str, db: sa.Connection) -> tuple[str, str] | None:
    """The public login keys of passphrase and recovery; none when there is no such account, or it was closed."""
    row = db.execute(sa.select(accounts.c.login, accounts.c.recovery_login).where(_open(account_id))).first()
    return (row[0], row[1]) if row else None
