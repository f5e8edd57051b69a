"""Locations: folders of files under a sharing key, which every holder reads and writes.

A location is one line of changes: numbered, each signed by who wrote it, each with the digest of the one before. What a
change says of files is sealed to the key's generation; where their sealed bytes stand is open, so that a lost
supplier's part can be rebuilt without any key.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from privity.messages.base import Command, Event
from privity.messages.fields import STRICT, AccountId, Bytes, Digest, Id, Sealed, Signature, Version
from privity.messages.sharing_keys import SharingKeyId
from privity.messages.suppliers import SupplierId

MAX_SUPPLIERS = 16
"""Of a location."""
MAX_OBJECTS = 64
"""Objects that one change brings."""
MAX_RELEASED = 512
"""Objects that one change lets go of."""
MAX_SEGMENTS = 2**20
"""Of an object."""
MAX_LINE = 20_000
"""Changes of a location: agents read all of them."""

LocationId = SharingKeyId
"""A location has the id of its key."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Sealed bytes on the suppliers, as whoever rebuilds a lost part sees them.

    `segments` is how many segments there are, each erasure-coded into as many fragments as there are `roots`, of which
    `needed` are enough. `roots` are the hashes (RFC 9162) over each slot's fragments, in the order of the slots.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    object: Id
    segments: Annotated[int, Field(ge=1, le=MAX_SEGMENTS)]
    needed: Annotated[int, Field(ge=1, le=MAX_SUPPLIERS)]
    roots: Annotated[tuple[Digest, ...], Field(min_length=1, max_length=MAX_SUPPLIERS)]


@dataclass(frozen=True, slots=True)
class CreateLocation(Command):
    """Make an empty location under a key of one's own, on these suppliers, in the order of the slots."""

    subject: ClassVar[str] = "locations.create"
    location: LocationId
    needed: Annotated[int, Field(ge=1, le=MAX_SUPPLIERS)]
    suppliers: Annotated[tuple[SupplierId, ...], Field(min_length=1, max_length=MAX_SUPPLIERS)]


@dataclass(frozen=True, slots=True)
class ChangeLocation(Command):
    """Write to a location: the next in its line. `body` says which files, sealed to the key's generation.

    The manifest says all of it by digest, and is signed by the writer's identity. Nothing is ever overwritten: that
    two wrote at once is seen by who reads the line, and both stand.
    """

    subject: ClassVar[str] = "locations.change"
    location: LocationId
    n: Version
    generation: Version
    manifest: Bytes
    signature: Signature
    body: Sealed
    objects: Annotated[tuple[StoredObject, ...], Field(max_length=MAX_OBJECTS)]
    released: Annotated[tuple[Id, ...], Field(max_length=MAX_RELEASED)]


@dataclass(frozen=True, slots=True)
class RemoveLocation(Command):
    """End a location of one's own, with all that is in it. A long line is erased in parts: ask until nothing follows.

    There is no other location under this key afterwards.
    """

    subject: ClassVar[str] = "locations.remove"
    location: LocationId


@dataclass(frozen=True, slots=True)
class LocationCreated(Event):
    """There is a location, and it is empty."""

    context: ClassVar[str] = "locations"
    name: ClassVar[str] = "location-created"
    kind: ClassVar[str] = "location"
    id_field: ClassVar[str] = "location"
    location: LocationId
    by: AccountId
    needed: int
    suppliers: tuple[SupplierId, ...]
    accounts: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class LocationChanged(Event):
    """Something was written to a location; `digest` is the manifest's, `size` the bytes of its sealed body, `accounts`
    are who may read.
    """

    context: ClassVar[str] = "locations"
    name: ClassVar[str] = "location-changed"
    kind: ClassVar[str] = "location"
    id_field: ClassVar[str] = "location"
    location: LocationId
    by: AccountId
    n: Version
    generation: Version
    manifest: Bytes
    signature: Bytes
    digest: Digest
    body: Sealed
    size: int
    objects: tuple[StoredObject, ...]
    released: tuple[Id, ...]
    accounts: tuple[AccountId, ...]


@dataclass(frozen=True, slots=True)
class LocationRemoved(Event):
    """A location has ended; `left` is how many bodies are to be erased by asking again."""

    context: ClassVar[str] = "locations"
    name: ClassVar[str] = "location-removed"
    kind: ClassVar[str] = "location"
    id_field: ClassVar[str] = "location"
    location: LocationId
    by: AccountId
    left: int
    accounts: tuple[AccountId, ...]


COMMANDS = (CreateLocation, ChangeLocation, RemoveLocation)
EVENTS = (LocationCreated, LocationChanged, LocationRemoved)
