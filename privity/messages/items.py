"""Items: what a person keeps, as ciphertext under a DEK of the item's own."""

from dataclasses import dataclass
from typing import ClassVar

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Id, Sealed, Version


@dataclass(frozen=True, slots=True)
class AddItem(Command):
    """Keep a new item: its content under a fresh DEK, the DEK under the KEK."""

    subject: ClassVar[str] = "items.add"
    item: Id
    content: Sealed
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class EditItem(Command):
    """Keep the next version of an item."""

    subject: ClassVar[str] = "items.edit"
    item: Id
    version: Version
    content: Sealed
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class RemoveItem(Command):
    """Give an item up."""

    subject: ClassVar[str] = "items.remove"
    item: Id


@dataclass(frozen=True, slots=True)
class ItemAdded(Event):
    """An item exists, at version 1."""

    context: ClassVar[str] = "items"
    name: ClassVar[str] = "item-added"
    kind: ClassVar[str] = "item"
    id_field: ClassVar[str] = "item"
    item: Id
    owner: AccountId
    content: Sealed
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class ItemEdited(Event):
    """An item has a new version."""

    context: ClassVar[str] = "items"
    name: ClassVar[str] = "item-edited"
    kind: ClassVar[str] = "item"
    id_field: ClassVar[str] = "item"
    item: Id
    owner: AccountId
    version: Version
    content: Sealed
    wrap: Sealed


@dataclass(frozen=True, slots=True)
class ItemRemoved(Event):
    """An item is gone."""

    context: ClassVar[str] = "items"
    name: ClassVar[str] = "item-removed"
    kind: ClassVar[str] = "item"
    id_field: ClassVar[str] = "item"
    item: Id
    owner: AccountId


COMMANDS = (AddItem, EditItem, RemoveItem)
EVENTS = (ItemAdded, ItemEdited, ItemRemoved)
