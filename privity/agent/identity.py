"""One's own identity: its chain held against what this device saw, its devices, new keys, another address."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from privity.agent.chains import (
    DEVICE_REMOVED,
    ROTATED,
    Heads,
    follow,
    notices,
    signed_chain,
)
from privity.agent.keyring import (
    IdentityKeys,
    Keyring,
    check_identity,
    new_identity,
    unwrap_identity,
    wrap_identity,
)
from privity.agent.log import check_signer, evidence
from privity.crypto.identity import COMPROMISE, Identity, Signed, extend, make_next
from privity.crypto.log import bare
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest
from privity.errors import Ambiguous, ForgedRecord, Malformed, NotFound, RolledBack
from privity.messages import envelope
from privity.messages.accounts import ExtendIdentity, RenameAccount, RotateIdentity
from privity.messages.catalog import check_address
from privity.messages.fields import SignedRecord
from privity.messages.views import AccountRow, AskAccount

if TYPE_CHECKING:
    from privity.agent.session import Rows, Session

LABEL_BYTES = 15
"""Of a fingerprint: 15 bytes, shown as 30 hexadecimal digits in groups."""
OWN = "your account"
RENAMED = "renamed"
"""The kind of thing, in memory, whose version is the position of the event that gave this account its address."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its owner sees it."""

    account: str
    address: str
    fingerprint: str
    devices: int


@dataclass(frozen=True, slots=True)
class Device:
    """A device that the newest record certifies; `since` is the number of the record that brought it."""

    device: str
    this: bool
    since: int


def fingerprint(identity: Identity) -> str:
    """The newest identity record's hash in groups, for people to compare."""
    text = identity.head.hex()[: 2 * LABEL_BYTES]
    return " ".join(text[start : start + 5] for start in range(0, len(text), 5))


async def own(session: "Session") -> tuple[AccountRow, Identity]:
    """One's own account as the backend serves it, checked as `own_line` does."""
    row, line = await own_line(session)
    return row, line[-1]


async def own_line(session: "Session") -> tuple[AccountRow, tuple[Identity, ...]]:
    """One's own account, and its identities from the genesis on.

    Raises:
        ForgedRecord: it is not this profile's account, or its address is another one than this account chose.
        RolledBack, KeyMismatch: the chain is not the one that this device saw before, or the address is an older one.
    """
    row, line, _ = await _served(session, fresh=False)
    return row, line


async def current(session: "Session", keyring: Keyring) -> tuple[Keyring, Identity]:
    """The keyring with the identity keys of now, and the identity: another device may have renewed them.

    Raises:
        DoesNotOpen: the newest keys are not under this person's KEK: somebody else made them.
    """
    row, line, _ = await _served(session, fresh=False)
    if _fits(keyring.identity, line[-1]):
        return keyring, line[-1]
    row, line, found = await _served(session, fresh=True)
    wrapped = found.blob(row.identity)
    keys = unwrap_identity(keyring.kek, wrapped, keyring.account)
    check_identity(keys, line[-1])
    session.folder.save(replace(session.folder.load(), identity=b64(wrapped)))
    return replace(keyring, identity=keys), line[-1]


async def show(session: "Session") -> Account:
    """One's own account as the backend has it, its chain checked."""
    row, identity = await own(session)
    return to_account(row.address, identity)


async def devices(session: "Session", this: str) -> list[Device]:
    """The devices that may act for the account, the oldest first; `this` is the id of the one that asks."""
    _, line = await own_line(session)
    found = [Device(id, id == this, _since(line, id, key)) for id, key in line[-1].devices.items()]
    return sorted(found, key=lambda device: (device.since, device.device))


async def remove_device(session: "Session", keyring: Keyring, this: str, id: str) -> tuple[str, Account]:
    """Take another device out of the chain, by id or unique prefix: it can do nothing more; its full id.

    Raises:
        NotFound, Ambiguous: no device begins like this, or more than one.
        Malformed: it is the device that asks.
    """
    keyring, identity = await current(session, keyring)
    matching = [each for each in identity.devices if id and each.startswith(id)]
    if not matching:
        raise NotFound(f"there is no device {id}")
    if len(matching) > 1:
        raise Ambiguous(f"more than one device begins with {id!r}; give more of the id")
    [removed] = matching
    if removed == this:
        raise Malformed("this is the device that you are on: privity account logout")
    left = {each: public for each, public in identity.devices.items() if each != removed}
    record = with_devices(identity, keyring.identity, left, DEVICE_REMOVED)
    await session.send(ExtendIdentity(to_record(record)))
    return removed, to_account(session.address, saw(session, identity, record))


async def rotate(session: "Session", keyring: Keyring, this: str, *, compromised: bool = False) -> Account:
    """New identity keys; whoever is connected goes on with them by itself.

    Args:
        this: the id of the device that asks.
        compromised: the keys before may be in somebody else's hands: what they sign from now on counts for nobody,
            and every other device goes.
    """
    keyring, identity = await current(session, keyring)
    keys = new_identity()
    left = {this: keyring.device.public} if compromised else identity.devices
    record = next_record(
        identity,
        keys,
        left,
        COMPROMISE if compromised else ROTATED,
        signer=keyring.identity.sign,
        checkpoint=await newest_checkpoint(session),
    )
    wrapped = wrap_identity(keyring.kek, keys, keyring.account)
    await session.send(RotateIdentity(to_record(record), digest(wrapped)), wrapped)
    session.folder.save(replace(session.folder.load(), identity=b64(wrapped)))
    return to_account(session.address, saw(session, identity, record))


async def give_up_older_keys(
    session: "Session", keys: IdentityKeys, identity: Identity, recovery: SigningKey
) -> Identity:
    """Say by the recovery key that the keys before these may be in somebody else's hands; the identity afterwards.

    A record of its own: only an enrolled device can ask for the checkpoint that bounds what those keys signed.
    """
    checkpoint = await newest_checkpoint(session)
    record = next_record(identity, keys, identity.devices, COMPROMISE, recovery=recovery, checkpoint=checkpoint)
    await session.send(ExtendIdentity(to_record(record)))
    return saw(session, identity, record)


async def rename(session: "Session", address: str) -> Account:
    """Go by another address; the one before stays reserved for this account.

    Raises:
        AddressTaken: the address is somebody else's.
    """
    address = check_address(address)
    await own(session)
    result = await session.send(RenameAccount(address))
    for event in result.events[-1:]:  # none where the account went by it already
        session.memory.saw(RENAMED, session.account, event.position)
    _go_by(session, address)
    return await show(session)


async def newest_checkpoint(session: "Session") -> str:
    """The newest checkpoint of the log, held against all that this device saw of it.

    Raises:
        NotFound: the log has none yet.
    """
    await session.consistent()
    mark = session.memory.checkpoint
    if mark is None:
        raise NotFound("the home's log has no checkpoint yet")
    return bare(mark.note)


def next_record(
    identity: Identity,
    keys: IdentityKeys,
    devices: dict[str, bytes],
    reason: str,
    *,
    signer: SigningKey | None = None,
    recovery: SigningKey | None = None,
    checkpoint: str | None = None,
) -> Signed:
    """The record that follows, with these keys and devices, signed by the sign key before or by the recovery key."""
    return make_next(
        identity,
        signer,
        sign=keys.sign,
        seal_public=keys.seal.public,
        seal_suite=keys.seal.suite,
        devices=devices,
        reason=reason,
        recovery=recovery,
        checkpoint=checkpoint,
    )


def with_devices(identity: Identity, keys: IdentityKeys, devices: dict[str, bytes], reason: str) -> Signed:
    """The record that changes the devices alone."""
    return next_record(identity, keys, devices, reason, signer=keys.sign)


def saw(session: "Session", identity: Identity, *records: Signed) -> Identity:
    """The identity after one's own records; this device remembers it, and gives no notice of what it did itself."""
    for record in records:
        identity = extend(identity, record)
    Heads(session.memory).saw(identity.account, identity.n, b64(identity.head))
    return identity


def to_account(address: str, identity: Identity) -> Account:
    """What is shown of an account."""
    return Account(identity.account, address, fingerprint(identity), len(identity.devices))


def to_record(signed: Signed) -> SignedRecord:
    """An identity record as commands carry it."""
    return SignedRecord(b64(signed.record), tuple(b64(each) for each in signed.signatures))


async def _served(session: "Session", *, fresh: bool) -> tuple[AccountRow, tuple[Identity, ...], "Rows[AccountRow]"]:
    heads, before = Heads(session.memory), session.memory.seen(RENAMED, session.account)
    found = await session.ask(AskAccount(), AccountRow, fresh=fresh)
    row = found.one("account", session.account)
    line = follow(heads, row.chain, session.account, OWN)
    renamed = before.version if before else 0
    if row.renamed < renamed:
        raise RolledBack("The backend serves an older address of this account than one that was seen before.")
    if row.renamed > renamed or row.address != session.address:
        await _check_renamed(session, row)
        session.memory.saw(RENAMED, session.account, row.renamed)
    if row.address != session.address:
        notices.warning("notice: %s goes by %s now, as another of your devices asked for", OWN, row.address)
        _go_by(session, row.address)
    return row, line, found


async def _check_renamed(session: "Session", row: AccountRow) -> None:
    """Another address is believed when a device of this account signed for it."""
    subject = envelope.command_subject(session.account, RenameAccount.subject)
    if row.renamed:
        shown = await evidence(session, row.renamed)
        check_signer(shown, {session.account: signed_chain(row.chain)}, session.server)
        said = shown.says("account-renamed", account=session.account, address=row.address)
        if said and shown.subject == subject and shown.command.body.get("address") == row.address:
            return
    raise ForgedRecord("The backend serves another address for this account.")


def _go_by(session: "Session", address: str) -> None:
    session.folder.save(replace(session.folder.load(), address=address))
    session.address = address


def _fits(keys: IdentityKeys, identity: Identity) -> bool:
    return (keys.sign.public, keys.seal.public) == (identity.sign, identity.seal)


def _since(line: tuple[Identity, ...], id: str, key: bytes) -> int:
    """The first record of those at the end of the line that all name the device."""
    since = line[-1].n
    for identity in reversed(line):
        if identity.devices.get(id) != key:
            break
        since = identity.n
    return since
