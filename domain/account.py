"""An account: its identity's newest record and its devices."""

from dataclasses import dataclass

from domain.facts import Actor
from privity.errors import AddressTaken, AlreadyExists, BadSignature, ChainFull, NotFound, StaleChain
from privity.messages.accounts import (
    AccountRegistered,
    AddressClaimed,
    ChangePassphrase,
    ExtendIdentity,
    IdentityExtended,
    IdentityHead,
    PassphraseChanged,
    RegisterAccount,
)
from privity.messages.base import Command, Event
from privity.messages.fields import SignedRecord

MAX_CHAIN = 512 * 1024
"""Characters of an account's identity chain: whoever is connected with it is served all of it."""
RESERVED = 64 * 1024
"""Characters beyond that for records that the recovery key signs: a thief of the sign key must not use up the chain."""


@dataclass(slots=True)
class State:
    """What the next decision about an account needs."""

    address: str = ""
    head: IdentityHead | None = None
    chain_size: int = 0


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
) -> list[Event]:
    """What follows from a command about an account; `head` is what the verified chain now says.

    `recovered`: the recovery key signed its newest record.
    """
    match command:
        case RegisterAccount(address=address):
            if state.head is not None:
                raise AlreadyExists("this account is registered already")
            if head is None or by.device not in head.devices:
                raise BadSignature("the chain does not name this device")
            if holder is not None and holder.account:
                raise AddressTaken(f"{address} belongs to another account")
            return _register(command, by, head, token)
        case _ if state.head is None:
            raise NotFound("there is no such account")
        case ExtendIdentity(record=record):
            if head is None or head.n != state.head.n + 1:
                raise StaleChain
            if state.chain_size + _size(record) > MAX_CHAIN + (RESERVED if recovered else 0):
                raise ChainFull
            return [IdentityExtended(by.account, record, head)]
        case ChangePassphrase(login=login, kdf=kdf, kek=kek):
            return [PassphraseChanged(by.account, login, kdf, kek)]
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


def _size(record: SignedRecord) -> int:
    return len(record.record) + sum(map(len, record.signatures))


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case AccountRegistered(address=address, head=head, chain=chain):
            state.address = address
            state.head = head
            state.chain_size = sum(map(_size, chain))
        case IdentityExtended(head=head, record=record):
            state.head = head
            state.chain_size += _size(record)
        case PassphraseChanged():
            return
        case _:
            raise NotImplementedError(event.name)


def evolve_address(state: AddressState, event: Event) -> None:
    """Fold one event in."""
    match event:
        case AddressClaimed(account=account):
            state.account = account
        case _:
            raise NotImplementedError(event.name)
