"""An account: its identity's newest record and its devices."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import (
    AddressTaken,
    AlreadyExists,
    BadSignature,
    ChainFull,
    ClosedAccount,
    Malformed,
    NotFound,
    StaleChain,
    TooManyAddresses,
)
from privity.messages.accounts import (
    AccountClosed,
    AccountRegistered,
    AccountRenamed,
    AddressClaimed,
    ChangePassphrase,
    CloseAccount,
    ExtendIdentity,
    IdentityExtended,
    IdentityHead,
    IdentityRotated,
    PassphraseChanged,
    RegisterAccount,
    RenameAccount,
    RotateIdentity,
)
from privity.messages.base import Command, Event
from privity.messages.fields import SignedRecord

MAX_CHAIN = 512 * 1024
"""Characters of an account's identity chain: whoever is connected with it is served all of it."""
RESERVED = 64 * 1024
"""Characters beyond that for records that the recovery key signs: a thief of the sign key must not use up the chain."""
MAX_ADDRESSES = 8
"""Of an account, all that it ever had: they stay taken for everybody else."""


@dataclass(slots=True)
class State:
    """What the next decision about an account needs; `sealed` are its wrapped keys, by the field that names them."""

    address: str = ""
    addresses: frozenset[str] = frozenset()
    """Every address that it ever had."""
    head: IdentityHead | None = None
    chain_size: int = 0
    sealed: dict[str, str] = field(default_factory=dict)
    closed: bool = False
    logins: dict[str, str] = field(default_factory=dict)
    """The public keys that a login proof (`login`) and a recovery proof (`recover`) are checked with."""


@dataclass(slots=True)
class AddressState:
    """Who holds an address."""

    account: str = ""


def decide(
    command: Command,
    state: State,
    by: Actor,
    *,
    head: IdentityHead | None = None,
    recovered: bool = False,
    holder: AddressState | None = None,
    token: str = "",
    kept: Iterable[str] = (),
) -> list[Event]:
    """What follows from a command about an account; `head` is what the verified chain now says.

    `recovered`: the recovery key signed its newest record. `kept`: sealed objects elsewhere that end with the account.
    """
    match command:
        case RegisterAccount() if state.closed:
            raise ClosedAccount
        case RegisterAccount(address=address):
            if state.head is not None:
                raise AlreadyExists("this account is registered already")
            if head is None or by.device not in head.devices:
                raise BadSignature("the chain does not name this device")
            _check_free(address, holder)
            return _register(command, by, head, token)
        case _ if state.head is None:
            raise NotFound("there is no such account")
        case ExtendIdentity(record=record):
            after = _next(state, record, head, recovered=recovered)
            if (after.sign, after.seal) != (state.head.sign, state.head.seal):
                raise Malformed("new identity keys come with the wrap of their private parts: accounts.rotate")
            return [IdentityExtended(by.account, record, after)]
        case RotateIdentity(record=record, identity=identity):
            after = _next(state, record, head, recovered=recovered)
            rotated = IdentityRotated(by.account, record, after, identity)
            return [rotated, *_replaced(by.account, state, identity=identity)]
        case RenameAccount(address=address):
            return _rename(address, state, by, holder, token)
        case ChangePassphrase(login=login, kdf=kdf, kek=kek):
            return [PassphraseChanged(by.account, login, kdf, kek), *_replaced(by.account, state, kek=kek)]
        case CloseAccount(head=at) if at != state.head.head:
            raise StaleChain("the identity has gone on meanwhile; try again")
        case CloseAccount():
            gone = (state.sealed.values(), kept)
            return [AccountClosed(by.account), *(each for one in gone for each in erase(by.account, one, [by.account]))]
    raise NotImplementedError(type(command).__name__)


def _register(command: RegisterAccount, by: Actor, head: IdentityHead, token: str) -> list[Event]:
    return [
        AddressClaimed(token, command.address, by.account),
        AccountRegistered(
            account=by.account,
            address=command.address,
            chain=command.chain,
            head=head,
            login=command.login,
            recovery_login=command.recovery_login,
            kdf=command.kdf,
            kek=command.kek,
            kek_recovery=command.kek_recovery,
            identity=command.identity,
        ),
    ]


def _next(state: State, record: SignedRecord, head: IdentityHead | None, *, recovered: bool) -> IdentityHead:
    if head is None or state.head is None or head.n != state.head.n + 1:
        raise StaleChain
    if state.chain_size + _size(record) > MAX_CHAIN + (RESERVED if recovered else 0):
        raise ChainFull
    return head


def _rename(address: str, state: State, by: Actor, holder: AddressState | None, token: str) -> list[Event]:
    """The address is free and not one too many, or was this account's before."""
    if address == state.address:
        return []
    _check_free(address, holder, by.account)
    if len(state.addresses | {address}) > MAX_ADDRESSES:
        raise TooManyAddresses
    claimed = [] if holder is not None and holder.account else [AddressClaimed(token, address, by.account)]
    return [*claimed, AccountRenamed(by.account, address)]


def _check_free(address: str, holder: AddressState | None, account: str = "") -> None:
    if holder is not None and holder.account not in ("", account):
        raise AddressTaken(f"{address} belongs to another account")


def _replaced(account: str, state: State, **new: str) -> list[Event]:
    """What erases the wrapped keys that these replace."""
    check_new(new.values(), state.sealed.values())
    return erase(account, [state.sealed[name] for name in new], [account], keeping=(state.sealed | new).values())


def _size(record: SignedRecord) -> int:
    return len(record.record) + sum(map(len, record.signatures))


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case AccountRegistered(address=address, head=head, chain=chain):
            state.address, state.addresses = address, frozenset((address,))
            state.head = head
            state.chain_size = sum(map(_size, chain))
            state.sealed = {name: getattr(event, name) for name in ("kek", "kek_recovery", "identity")}
            state.logins = {"login": event.login, "recover": event.recovery_login}
        case IdentityExtended(head=head, record=record):
            state.head = head
            state.chain_size += _size(record)
        case IdentityRotated(head=head, record=record, identity=identity):
            state.head = head
            state.chain_size += _size(record)
            state.sealed["identity"] = identity
        case AccountRenamed(address=address):
            state.address = address
            state.addresses |= {address}
        case PassphraseChanged(kek=kek, login=login):
            state.sealed["kek"] = kek
            state.logins["login"] = login
        case AccountClosed():
            state.head, state.sealed, state.logins, state.closed = None, {}, {}, True
            state.addresses = frozenset()
        case _:
            raise NotImplementedError(event.name)


def evolve_address(state: AddressState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case AddressClaimed(account=account):
            state.account = account
        case _:
            raise NotImplementedError(event.name)
