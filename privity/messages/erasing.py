"""Erasing: sealed objects that nobody needs any more leave the store, and the log says which."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from privity.messages.base import Command, Event
from privity.messages.fields import AccountId, Digest

MAX_ERASED = 16
"""Sealed objects that one event names; more of them take more events."""

AnyId = Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{26}([a-z2-7]{26})?$")]
"""The id of an item, share, key, invitation, connection or account."""


@dataclass(frozen=True, slots=True)
class SealedErased(Event):
    """The sealed objects of `id` that these digests name are gone; `accounts` are those whose they were.

    An equal object that somebody else brought stays: it is theirs.
    """

    context: ClassVar[str] = "erasing"
    name: ClassVar[str] = "sealed-erased"
    kind: ClassVar[str] = "erasure"
    id_field: ClassVar[str] = "id"
    id: AnyId
    digests: Annotated[tuple[Digest, ...], Field(min_length=1, max_length=MAX_ERASED)]
    accounts: Annotated[tuple[AccountId, ...], Field(min_length=1, max_length=16)]


COMMANDS: tuple[type[Command], ...] = ()
EVENTS = (SealedErased,)
