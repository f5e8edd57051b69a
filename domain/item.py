"""An item: whose it is, and its version."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from domain import connection, delegation
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import AlreadyExists, NotFound, StaleVersion
from privity.messages.base import Command, Event
from privity.messages.delegations import DropItem, ItemDropped, ItemKept, KeepItem
from privity.messages.items import AddItem, EditItem, ItemAdded, ItemEdited, ItemRemoved, RemoveItem


@dataclass(slots=True)
class State:
    """What the next decision about an item needs; `sealed` are its objects as they stand."""

    owner: str = ""
    version: int = 0
    removed: bool = False
    sealed: tuple[str, ...] = ()

    def kept_by(self, account: str) -> bool:
        """Whether `account` owns it and has not given it up."""
        return self.owner == account and not self.removed


def decide(command: Command, state: State, by: Actor, *, files: Sequence[str] = (), taken: bool = False) -> list[Event]:
    """What follows from a command about an item.

    Args:
        files: the sealed objects of what is attached to it.
        taken: whether a share has this id: items and shares have one space of ids, as files hang on either.
    """
    match command:
        case AddItem() if state.owner or taken:
            raise AlreadyExists("there is an item with this id already")
        case AddItem(item=item, content=content, wrap=wrap):
            return [ItemAdded(item, by.account, content, wrap)]
        case RemoveItem() if state.owner == by.account and state.removed:
            return []
        case EditItem() | RemoveItem() if not state.kept_by(by.account):
            raise NotFound("there is no such item")
        case EditItem(version=version) if version != state.version + 1:
            raise StaleVersion(f"the item is at version {state.version}")
        case EditItem(item=item, version=version, content=content, wrap=wrap):
            check_new((content, wrap), state.sealed)
            edited = ItemEdited(item, by.account, version, content, wrap)
            return [edited, *erase(item, state.sealed, [by.account])]
        case RemoveItem(item=item):
            removed = ItemRemoved(item, by.account)
            return [removed, *erase(item, state.sealed, [by.account]), *erase(item, files, [by.account])]
    raise NotImplementedError(type(command).__name__)


_KEPT = tuple(field.name for field in fields(KeepItem))


def decide_kept(
    command: KeepItem | DropItem,
    state: State,
    by: Actor,
    *,
    vault: delegation.State,
    over: connection.State,
    files: Sequence[str] = (),
    taken: bool = False,
) -> list[Event]:
    """What follows from a command about an item under a vault key, by the principal or a delegate.

    Args:
        over: the connection over which the delegate was made one.
        files, taken: as `decide`.
    """
    principal = command.principal
    delegation.check_named(vault, by, principal, command.delegation)
    delegation.check_role(vault, by, principal, delegation.WRITERS, over)
    match command:
        case DropItem(item=item) if state.owner == principal and state.removed:
            return []
        case KeepItem(version=1) if state.owner or taken:
            raise AlreadyExists("there is an item with this id already")
        case DropItem() | KeepItem() if not state.kept_by(principal) and getattr(command, "version", 0) != 1:
            raise NotFound("there is no such item")
        case DropItem(item=item, delegation=named):
            dropped = ItemDropped(principal, by.account, named, item)
            return [dropped, *erase(item, state.sealed, [principal]), *erase(item, files, [principal])]
        case KeepItem(generation=generation) if generation != vault.generation:
            raise StaleVersion(f"the vault key is of generation {vault.generation}")
        case KeepItem(version=version) if version != state.version + 1:
            raise StaleVersion(f"the item is at version {state.version}")
    check_new((command.content, command.wrap), state.sealed)
    kept = ItemKept(**{name: getattr(command, name) for name in _KEPT}, by=by.account)
    return [kept, *erase(command.item, state.sealed, [principal])]


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case ItemAdded(owner=owner, content=content, wrap=wrap):
            state.owner, state.version, state.sealed = owner, 1, (content, wrap)
        case ItemEdited(version=version, content=content, wrap=wrap):
            state.version, state.sealed = version, (content, wrap)
        case ItemKept(principal=owner, version=version, content=content, wrap=wrap):
            state.owner, state.version, state.sealed = owner, version, (content, wrap)
        case ItemRemoved() | ItemDropped():
            state.removed, state.sealed = True, ()
        case _:
            raise NotImplementedError(event.name)
