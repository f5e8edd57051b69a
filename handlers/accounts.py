"""Accounts: registering, extending the identity chain, wrapping the KEK anew."""

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from domain import account, key_audit
from domain.account import AddressState
from handlers.registry import Desk, Load, handles, registered_devices
from privity.crypto.command import verify_closing
from privity.crypto.identity import Identity, Signed, by_recovery, extend, verify_chain
from privity.crypto.kdf import KdfParams
from privity.crypto.kem import Suite
from privity.crypto.signing import check_public
from privity.encoding import b64, digest, unb64
from privity.errors import BadSignature, Malformed, NotFound, UnknownDevice
from privity.messages.accounts import (
    ChangePassphrase,
    CloseAccount,
    ExtendIdentity,
    IdentityHead,
    Kdf,
    RegisterAccount,
    RenameAccount,
    RotateIdentity,
)
from privity.messages.base import Event
from privity.messages.catalog import explain
from privity.messages.fields import SignedRecord

_head = TypeAdapter(IdentityHead)


def named_devices(command: RegisterAccount, account_id: str, load: Load) -> Mapping[str, str]:
    """The devices that a new account's own chain names."""
    return _verified(command.chain).devices


def coming_and_going(command: ExtendIdentity | RotateIdentity, account_id: str, load: Load) -> Mapping[str, str]:
    """The devices before and after the new record: the one that comes may send it, and the one that goes."""
    return {**registered_devices(command, account_id, load), **_extended(command, account_id, load).devices}


@handles(RegisterAccount, devices=named_devices)
def register(command: RegisterAccount, desk: Desk) -> list[Event]:
    """The chain must verify and hash to the account that signs."""
    identity = verify_chain([to_signed(each) for each in command.chain])
    if identity.account != desk.by.account:
        raise BadSignature("the chain is another account's")
    _check_kdf(command.kdf)
    _check_login(command.login, command.recovery_login)
    token = digest(command.address.encode())
    return account.decide(
        command,
        desk.load(account.State, desk.by.account),
        desk.by,
        head=to_head(identity),
        holder=desk.load(AddressState, token),
        token=token,
    )


@handles(ExtendIdentity, devices=coming_and_going)
def extend_identity(command: ExtendIdentity, desk: Desk) -> list[Event]:
    """The record must follow the newest one and be signed by its key, or by the recovery key."""
    return _append(command, desk)


@handles(RotateIdentity, devices=coming_and_going)
def rotate_identity(command: RotateIdentity, desk: Desk) -> list[Event]:
    """As `extend_identity`; the new private parts come wrapped, and nobody here can look into them."""
    return _append(command, desk)


@handles(RenameAccount)
def rename(command: RenameAccount, desk: Desk) -> list[Event]:
    """The address must be free, or one that this account had before."""
    token = digest(command.address.encode())
    return account.decide(
        command,
        desk.load(account.State, desk.by.account),
        desk.by,
        holder=desk.load(AddressState, token),
        token=token,
    )


@handles(ChangePassphrase)
def change_passphrase(command: ChangePassphrase, desk: Desk) -> list[Event]:
    """A new wrap of the same KEK, and the login key that goes with it."""
    _check_kdf(command.kdf)
    _check_login(command.login)
    return account.decide(command, desk.load(account.State, desk.by.account), desk.by)


@handles(CloseAccount)
def close(command: CloseAccount, desk: Desk) -> list[Event]:
    """From then on no device of the account is known; a device alone must not put it beyond recovery.

    What it asked others to prove goes with it.
    """
    kept = desk.load(key_audit.State, desk.by.account).sealed
    ended = account.decide(command, desk.load(account.State, desk.by.account), desk.by, kept=kept)
    sign = identity_of(desk.by.account, desk.load).sign
    verify_closing(sign, unb64(command.signature), desk.home.id, desk.by.account, unb64(command.head))
    return ended


def to_signed(record: SignedRecord) -> Signed:
    """The identity record's bytes and signatures."""
    return Signed(unb64(record.record), tuple(unb64(signature) for signature in record.signatures))


def to_head(identity: Identity) -> IdentityHead:
    """What the newest record says, as events carry it.

    Raises:
        Malformed: a device id of a form that no event could be read back with.
    """
    try:
        return _head.validate_python(
            {
                "n": identity.n,
                "head": b64(identity.head),
                "sign": b64(identity.sign),
                "seal": b64(identity.seal),
                "seal_suite": identity.seal_suite.value,
                "recovery": b64(identity.recovery_hash),
                "devices": {device: b64(public) for device, public in identity.devices.items()},
            }
        )
    except ValidationError as error:
        raise Malformed(explain(error)) from None


def to_identity(account_id: str, head: IdentityHead) -> Identity:
    """The inverse of `to_head`."""
    return Identity(
        account=account_id,
        n=head.n,
        head=unb64(head.head),
        sign=unb64(head.sign),
        seal=unb64(head.seal),
        seal_suite=Suite(head.seal_suite),
        recovery_hash=unb64(head.recovery),
        devices={device: unb64(public) for device, public in head.devices.items()},
    )


def identity_of(account_id: str, load: Load) -> Identity:
    """A registered account's identity as it is now.

    Raises:
        NotFound: there is no such account.
    """
    head = load(account.State, account_id).head
    if head is None:
        raise NotFound("there is no such account")
    return to_identity(account_id, head)


def _verified(chain: Sequence[SignedRecord]) -> IdentityHead:
    return to_head(verify_chain([to_signed(each) for each in chain]))


def _append(command: ExtendIdentity | RotateIdentity, desk: Desk) -> list[Event]:
    return account.decide(
        command,
        desk.load(account.State, desk.by.account),
        desk.by,
        head=_extended(command, desk.by.account, desk.load),
        recovered=by_recovery(to_signed(command.record)),
    )


def _extended(command: ExtendIdentity | RotateIdentity, account_id: str, load: Load) -> IdentityHead:
    head = load(account.State, account_id).head
    if head is None:
        raise UnknownDevice
    return to_head(extend(to_identity(account_id, head), to_signed(command.record)))


def _check_kdf(kdf: Kdf) -> None:
    KdfParams(kdf.memory_kib, kdf.iterations, kdf.lanes).check()


def _check_login(*publics: str) -> None:
    for public in publics:
        check_public(unb64(public))
