"""The accounts view: who somebody is, and their wrapped keyring."""

from collections.abc import Iterator
from dataclasses import asdict

import sqlalchemy as sa

from privity.errors import NotFound
from privity.messages.accounts import AccountRegistered, IdentityExtended, Kdf, PassphraseChanged
from privity.messages.fields import SignedRecord
from privity.messages.recorded import Positioned
from privity.messages.views import AccountRow, AskAccount
from projections.changes import Change
from projections.desk import Desk, Page, view
from projections.tables import accounts, identity_records

INSERT = accounts.insert()
INSERT_RECORD = identity_records.insert()
_one = accounts.c.account == sa.bindparam("of")
SET_DEVICES = accounts.update().where(_one).values(devices=sa.bindparam("devices"))
SET_KEK = accounts.update().where(_one).values({name: sa.bindparam(name) for name in ("login", "kdf", "kek")})


def apply(happened: Positioned) -> Iterator[Change]:
    """What an event changes here."""
    match happened.event:
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
            yield Change(accounts, INSERT, row | more)
            for n, record in enumerate(event.chain):
                yield _record(event.account, n, record)
        case IdentityExtended(account=account, head=head, record=record):
            yield Change(accounts, SET_DEVICES, {"of": account, "devices": head.devices})
            yield _record(account, head.n, record)
        case PassphraseChanged(account=account, login=login, kdf=kdf, kek=kek):
            yield Change(accounts, SET_KEK, {"of": account, "login": login, "kdf": asdict(kdf), "kek": kek})


def _record(account: str, n: int, record: SignedRecord) -> Change:
    values = {"account": account, "n": n, "record": record.record, "signatures": list(record.signatures)}
    return Change(identity_records, INSERT_RECORD, values)


@view(AskAccount)
def account(ask: AskAccount, desk: Desk) -> Page[AccountRow]:
    """One's own account; its wrapped keys go out by the keyring alone, for a fresh proof of the passphrase."""
    return Page(keyring_of(desk.account, desk.db).rows, ((),))


def keyring_of(account_id: str, db: sa.Connection) -> Page[AccountRow]:
    """An account with its chain and its wrapped keys.

    Raises:
        NotFound: there is no such account.
    """
    row = db.execute(sa.select(accounts).where(accounts.c.account == account_id)).mappings().first()
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
    )
    return Page((found,), ((found.kek, found.kek_recovery, found.identity),))


def chain_of(account_id: str, db: sa.Connection) -> tuple[SignedRecord, ...]:
    """An account's identity chain from its genesis on."""
    found = db.execute(
        sa.select(identity_records).where(identity_records.c.account == account_id).order_by(identity_records.c.n)
    ).mappings()
    return tuple(SignedRecord(row["record"], tuple(row["signatures"])) for row in found)


def devices_of(account_id: str, db: sa.Connection) -> dict[str, str]:
    """The device keys that may sign for an account; none when there is no such account."""
    found: dict[str, str] | None = db.execute(
        sa.select(accounts.c.devices).where(accounts.c.account == account_id)
    ).scalar()
    return found or {}


def login_keys(account_id: str, db: sa.Connection) -> tuple[str, str] | None:
    """The public login keys of passphrase and recovery."""
    row = db.execute(
        sa.select(accounts.c.login, accounts.c.recovery_login).where(accounts.c.account == account_id)
    ).first()
    return (row[0], row[1]) if row else None


def address_of(account_id: str, db: sa.Connection) -> str:
    """An account's address, empty when there is no such account."""
    return db.execute(sa.select(accounts.c.address).where(accounts.c.account == account_id)).scalar() or ""
