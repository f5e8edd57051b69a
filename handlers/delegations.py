"""Delegations: making and ending delegates, and what they do with the principal's items."""

from datetime import datetime

from domain import connection, delegation, file, item, key, share
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.delegations import Grant, Removal, verify_step, verify_version
from privity.encoding import b64, digest, unb64
from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.catalog import check_address
from privity.messages.delegations import (
    ClaimDelegation,
    DropItem,
    GrantDelegation,
    KeepItem,
    RemoveDelegation,
)

STEP = ("principal", "delegation", "n", "generation")
GRANT = (*STEP, "delegate", "role", "connection")
VERSION = ("principal", "delegation", "item", "version", "generation", "content", "wrap")


@handles(GrantDelegation)
def grant(command: GrantDelegation, desk: Desk) -> list[Event]:
    """The step must be signed by who asks, say just what the command says, be the principal's next, and name the
    delegate's own key: every agent that walks the steps relies on each word of it.
    """
    step, place = _signed_step(command, desk)
    if not isinstance(step, Grant) or any(getattr(step, name) != getattr(command, name) for name in GRANT):
        raise Malformed("the record says something else than the command")
    if _instant(step.expires) != command.expires:
        raise Malformed("the record says another end than the command")
    joined = desk.load(connection.State, command.connection)
    _check_key(step, joined, desk)
    for address in (step.principal_address, step.delegate_address):
        if check_address(address) != address:
            raise Malformed("the record names somebody by no address")
    vault = desk.load(delegation.State, command.principal)
    return delegation.decide(command, vault, desk.by, over=_over(vault, desk), connection=joined, place=place)


@handles(RemoveDelegation)
def remove(command: RemoveDelegation, desk: Desk) -> list[Event]:
    """As a grant; again is no change."""
    step, place = _signed_step(command, desk)
    if isinstance(step, Grant) or any(getattr(step, name) != getattr(command, name) for name in STEP):
        raise Malformed("the record says something else than the command")
    vault = desk.load(delegation.State, command.principal)
    over = _over(vault, desk)
    return delegation.decide(command, vault, desk.by, over=over, connection=over, place=place)


@handles(ClaimDelegation)
def claim(command: ClaimDelegation, desk: Desk) -> list[Event]:
    """A holder re-wraps the vault key under a KEK of their own."""
    identity_of(command.principal, desk.load)
    vault = desk.load(delegation.State, command.principal)
    over = _over(vault, desk)
    return delegation.decide(command, vault, desk.by, over=over, connection=over)


@handles(KeepItem)
def keep_item(command: KeepItem, desk: Desk) -> list[Event]:
    """The version must be signed by who asks, and say just what the command says."""
    identity = identity_of(desk.by.account, desk.load)
    version = verify_version(unb64(command.record), unb64(command.signature), identity.sign)
    desk.home.check_checkpoint(version.checkpoint)
    said = [version.by, *(getattr(version, name) for name in VERSION)]
    if said != [desk.by.account, *(getattr(command, name) for name in VERSION)]:
        raise Malformed("the record says something else than the command")
    return _item(command, desk)


@handles(DropItem)
def drop_item(command: DropItem, desk: Desk) -> list[Event]:
    """Gone, with its files; again is no change."""
    return _item(command, desk)


def _item(command: KeepItem | DropItem, desk: Desk) -> list[Event]:
    identity_of(command.principal, desk.load)  # who closed the account has no items any more
    vault = desk.load(delegation.State, command.principal)
    state, attached = desk.load(item.State, command.item), desk.load(file.State, command.item)
    files, taken = attached.sealed_of(state.owner), bool(desk.load(share.State, command.item).owner)
    return item.decide_kept(command, state, desk.by, vault=vault, over=_over(vault, desk), files=files, taken=taken)


def _signed_step(command: GrantDelegation | RemoveDelegation, desk: Desk) -> tuple[Grant | Removal, delegation.Place]:
    identity_of(command.principal, desk.load)
    identity = identity_of(desk.by.account, desk.load)
    record = unb64(command.record)
    step = verify_step(record, unb64(command.signature), identity.sign)
    if step.by != desk.by.account:
        raise Malformed("the record names another signer")
    desk.home.check_checkpoint(step.checkpoint)
    return step, delegation.Place(step.n, step.prev, digest(record), step.key)


def _check_key(step: Grant, joined: connection.State, desk: Desk) -> None:
    known = desk.load(key.State, step.delegate_key)
    if (joined.keys.get(step.delegate), known.suite, known.public) != (
        step.delegate_key,
        step.suite.value,
        b64(step.public),
    ):
        raise Malformed("the record names another key than the delegate's in this connection")


def _over(vault: delegation.State, desk: Desk) -> connection.State:
    """The connection over which whoever asks was made a delegate; of nobody for others, the principal too."""
    id = vault.connection_of(desk.by.account)
    return desk.load(connection.State, id) if id else connection.State()


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise Malformed("the record's end is no time") from None
