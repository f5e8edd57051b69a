"""A location: the line of what its writers changed, and the objects that stand on its suppliers."""

from collections.abc import Collection
from dataclasses import dataclass, field

from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import (
    AlreadyExists,
    LocationFull,
    Malformed,
    NotFound,
    RoleNotEnough,
    StaleSequence,
    StaleVersion,
)
from privity.messages.base import Event
from privity.messages.locations import (
    MAX_LINE,
    ChangeLocation,
    CreateLocation,
    LocationChanged,
    LocationCreated,
    LocationRemoved,
    RemoveLocation,
)

MAX_BYTES = 128 * 1024 * 1024
"""Of the sealed bodies of all changes of a location."""
KEPT_CHANGES, KEPT_BYTES = MAX_LINE // 10, MAX_BYTES // 8
"""Changes and bytes that are left for the creator, whom nobody else can so keep from clearing up."""
MAX_STANDING = 50_000
"""Objects that stand in a location at a time."""
MAX_BROUGHT = 200_000
"""Objects that a location ever has: an id that was used is never used again, though its object was let go of."""
KEPT_OBJECTS = MAX_BROUGHT // 4
"""Objects that are left for the creator, of those that the location ever has."""
ERASED_AT_ONCE = 512
"""Bodies that one removal erases: its result must be sent."""
NO_LOCATION = "there is no such location"


@dataclass(frozen=True, slots=True)
class Access:
    """Who has the private part of the location's key now, and its generation; nobody where the key has ended."""

    creator: str = ""
    generation: int = 0
    holders: tuple[str, ...] = ()

    def holds(self, account: str) -> bool:
        """Whether this account reads and writes."""
        return bool(self.creator) and (account == self.creator or account in self.holders)

    @property
    def accounts(self) -> tuple[str, ...]:
        """All who do."""
        return (self.creator, *self.holders)


@dataclass(frozen=True, slots=True)
class Written:
    """What the writer's identity signed: place in the line, generation, and the manifest's digest."""

    digest: str
    n: int
    prev: str | None
    generation: int


@dataclass(slots=True)
class State:
    """What the next decision about a location needs; `head` is the digest of the newest manifest."""

    creator: str = ""
    needed: int = 0
    suppliers: tuple[str, ...] = ()
    n: int = 0
    head: str | None = None
    bodies: dict[str, None] = field(default_factory=dict)
    size: int = 0
    standing: set[str] = field(default_factory=set)
    brought: set[str] = field(default_factory=set)
    ended: bool = False

    @property
    def stands(self) -> bool:
        """Whether there is one."""
        return bool(self.creator) and not self.ended


def decide_create(
    command: CreateLocation, state: State, by: Actor, *, access: Access, suppliers: Collection[str]
) -> list[Event]:
    """What follows from making a location under a key of one's own.

    Args:
        suppliers: those of the command's that there are.
    """
    if access.creator != by.account:
        raise NotFound("there is no such key")
    if state.creator:
        raise AlreadyExists("there is a location under this key, or there was one: make a key of its own for it")
    if len(set(command.suppliers)) != len(command.suppliers) or command.needed > len(command.suppliers):
        raise Malformed("a location has different suppliers, and needs no more of them than it has")
    if not set(command.suppliers) <= set(suppliers):
        raise NotFound("there is no such supplier")
    made = LocationCreated(command.location, by.account, command.needed, command.suppliers, access.accounts)
    return [made]


def decide_change(
    command: ChangeLocation, state: State, by: Actor, *, access: Access, written: Written, size: int
) -> list[Event]:
    """What follows from a change, by anybody who has the key now: it is the next in the line, and stands for ever.

    Args:
        size: the bytes of its sealed body.
    """
    check_writes(state, by, access)
    if command.released and by.account != state.creator:
        raise RoleNotEnough("only who made a location lets go of its objects")
    if (command.n, command.generation) != (written.n, written.generation):
        raise Malformed("the manifest says something else than the command")
    if command.generation != access.generation:
        raise StaleVersion(f"the location's key is at generation {access.generation}")
    if (written.n, written.prev) != (state.n + 1, state.head):
        raise StaleSequence("somebody else wrote to the location meanwhile; read it again")
    _check_objects(command, state)
    _check_room(command, state, size, mine=by.account == state.creator)
    check_new([command.body], state.bodies)
    changed = LocationChanged(
        command.location,
        by.account,
        command.n,
        command.generation,
        command.manifest,
        command.signature,
        written.digest,
        command.body,
        size,
        command.objects,
        command.released,
        access.accounts,
    )
    return [changed]


def check_writes(state: State, by: Actor, access: Access) -> None:
    """Returns if this account may write: the location stands, and they hold its key.

    Raises:
        NotFound: not; to who may not it says no more than of a location that is not there.
    """
    if not state.stands or not access.holds(by.account):
        raise NotFound(NO_LOCATION)


def decide_remove(command: RemoveLocation, state: State, by: Actor, *, access: Access) -> list[Event]:
    """What follows from ending a location; its bodies are erased, of a long line in parts."""
    if not state.creator or state.creator != by.account:
        raise NotFound(NO_LOCATION)
    if state.ended and not state.bodies:
        return []
    erased = list(state.bodies)[:ERASED_AT_ONCE]
    accounts = access.accounts if access.creator else (by.account,)
    removed = LocationRemoved(command.location, by.account, len(state.bodies) - len(erased), accounts)
    return [removed, *erase(command.location, erased, [by.account])]


def _check_objects(command: ChangeLocation, state: State) -> None:
    ids = [each.object for each in command.objects]
    if len(set(ids)) != len(ids) or len(set(command.released)) != len(command.released):
        raise Malformed("an object is named twice")
    if not state.brought.isdisjoint(ids):
        raise AlreadyExists("there is such an object in the location already, or there was one")
    if not state.standing.issuperset(command.released):
        raise NotFound("there is no such object in the location")
    if any((each.needed, len(each.roots)) != (state.needed, len(state.suppliers)) for each in command.objects):
        raise Malformed("an object has a part for each supplier of its location")


def _check_room(command: ChangeLocation, state: State, size: int, *, mine: bool) -> None:
    """Others than the creator fill no location so far that its creator could write no more."""
    changes, bytes_ = (0, 0) if mine else (KEPT_CHANGES, KEPT_BYTES)
    brought, released = len(command.objects), len(command.released)
    if state.n + changes >= MAX_LINE or state.size + size + bytes_ > MAX_BYTES:
        raise LocationFull
    ever = len(state.brought) + brought + (0 if mine else KEPT_OBJECTS)
    if len(state.standing) + brought - released > MAX_STANDING or (brought and ever > MAX_BROUGHT):
        raise LocationFull


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case LocationCreated(by=by, needed=needed, suppliers=suppliers):
            state.creator, state.needed, state.suppliers = by, needed, suppliers
        case LocationChanged(n=n, digest=head, body=body, size=size, objects=objects, released=released):
            state.n, state.head = n, head
            state.size += size
            state.bodies[body] = None
            state.standing.update(each.object for each in objects)
            state.brought.update(each.object for each in objects)
            state.standing.difference_update(released)
        case LocationRemoved(left=left):
            state.ended = True
            state.standing, state.brought = set(), set()
            state.bodies = dict.fromkeys(list(state.bodies)[len(state.bodies) - left :])
        case _:
            raise NotImplementedError(event.name)
