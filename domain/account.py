"""An account: its identity's newest record and its devices."""

from dataclasses import dataclass

from domain.facts import Actor
from privity.errors import AddressTaken, AlreadyExists, BadSignature, NotFound, StaleChain
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


@dataclass(slots=True)
class State:
    """What the next decision about an account needs."""

    address: str = ""
    head: IdentityHead | None = None


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
    holder: AddressState | None = None,
    token: str = "",
) -> list[Event]:
    """What follows from a command about an account; `head` is what the verified chain now says."""
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


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case AccountRegistered(address=address, head=head):
            state.address = address
            state.head = head
        case IdentityExtended(head=head):
            state.head = head
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
