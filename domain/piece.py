"""A piece: one value under a name, its key's generation, and who has that key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domain import connection as connection_
from domain import request as request_
from domain.erasure import check_new, erase
from domain.facts import Actor
from privity.errors import AlreadyExists, Malformed, NotFound, StaleVersion
from privity.messages.base import Event
from privity.messages.pieces import (
    PieceGranted,
    PieceReleased,
    PieceRemoved,
    PieceSet,
    PieceStored,
    RegrantPiece,
    ReleaseReader,
    RemovePiece,
    SetPiece,
    StorePiece,
)

MAX_READERS = 500
"""Readers of one piece at a time."""

Connections = Mapping[str, connection_.State]
"""The connection over which each reader has a grant, by reader."""


@dataclass(slots=True)
class Reader:
    """One reader's grant: the key of which generation, and where it is kept."""

    connection: str
    generation: int
    wrap: str
    stored: str = ""

    @property
    def sealed(self) -> tuple[str, ...]:
        """The objects of this grant."""
        return (self.wrap, self.stored) if self.stored else (self.wrap,)


@dataclass(slots=True)
class State:
    """What the next decision about a piece needs; `due`: somebody who has the newest key must not read on."""

    owner: str = ""
    name: str = ""
    version: int = 0
    generation: int = 0
    content: str = ""
    owner_wrap: str = ""
    due: bool = False
    readers: dict[str, Reader] = field(default_factory=dict)

    @property
    def stands(self) -> bool:
        """Whether there is a value."""
        return bool(self.content)

    def kept_by(self, account: str) -> bool:
        """Whether `account` owns it and there is a value."""
        return self.owner == account and self.stands

    def sealed(self, *, without: Iterable[str] = ()) -> set[str]:
        """The objects that it holds, but for those readers'."""
        gone = set(without)
        found = {each for reader, grant in self.readers.items() if reader not in gone for each in grant.sealed}
        return found | ({self.content, self.owner_wrap} if self.stands else set())

    def of_readers(self, readers: Iterable[str]) -> list[str]:
        """The objects of these readers' grants."""
        return [each for reader in readers if reader in self.readers for each in self.readers[reader].sealed]


def decide_set(command: SetPiece, state: State, by: Actor, *, connections: Connections) -> list[Event]:
    """What follows from keeping a value: its event, the grants of a new key, and what is replaced erased."""
    if state.owner and state.owner != by.account:
        raise NotFound("there is no such piece")
    if command.version != state.version + 1:
        raise StaleVersion(f"the piece is at version {state.version}")
    renewed = command.generation == state.generation + 1
    if not renewed and (command.generation != state.generation or state.due):
        raise StaleVersion(f"the piece needs a key behind generation {state.generation}")
    if command.wraps and not renewed:
        raise AlreadyExists("the readers have this key already")
    check_new((command.content, command.owner_wrap, *command.wraps.values()), state.sealed())
    kept = PieceSet(
        command.piece,
        by.account,
        command.piece_name,
        command.version,
        command.generation,
        command.record,
        command.signature,
        command.content,
        command.owner_wrap,
    )
    granted = _granted(command, state, by, connections)
    gone = [state.content, state.owner_wrap, *state.of_readers(command.wraps)]
    others = {each for reader, grant in state.readers.items() if reader not in command.wraps for each in grant.sealed}
    return [kept, *granted, *erase(command.piece, gone, [by.account], keeping=others)]


def decide_regrant(command: RegrantPiece, state: State, by: Actor, *, connections: Connections) -> list[Event]:
    """What follows from giving the key to more of those who had the one before."""
    if not state.kept_by(by.account):
        raise NotFound("there is no such piece")
    if command.generation != state.generation:
        raise StaleVersion(f"the piece's key is at generation {state.generation}")
    check_new(command.wraps.values(), state.sealed())
    granted = _granted(command, state, by, connections)
    gone = state.of_readers(command.wraps)
    return [*granted, *erase(command.piece, gone, [by.account], keeping=state.sealed(without=command.wraps))]


def decide_store(command: StorePiece, state: State, by: Actor, *, connection: connection_.State) -> list[Event]:
    """What follows from a reader's keeping the key; a second time changes nothing."""
    reader = state.readers.get(by.account)
    if reader is None or not state.stands or not connection.joins(by.account):
        raise NotFound("there is no such piece")
    if command.generation != reader.generation:
        raise StaleVersion(f"the grant is of generation {reader.generation}")
    if reader.stored:
        return []
    check_new([command.wrap], state.sealed())
    return [PieceStored(command.piece, state.owner, by.account, command.generation, command.wrap)]


def decide_release(command: ReleaseReader, state: State, by: Actor, *, request: request_.State) -> list[Event]:
    """What follows from ending one reader's grant, by either side; what was asked for it is over too."""
    if by.account not in (state.owner, command.reader) or not state.owner:
        raise NotFound("there is no such piece")
    if command.reader not in state.readers:
        return []
    had = state.readers[command.reader].generation
    released = PieceReleased(command.piece, state.owner, command.reader, had, by.account)
    both = (state.owner, command.reader)
    kept = state.sealed(without=[command.reader])
    erased = erase(command.piece, state.of_readers([command.reader]), both, keeping=kept)
    return [released, *erased, *request_.close(request, by.account)]


def decide_remove(command: RemovePiece, state: State, by: Actor) -> list[Event]:
    """What follows from keeping nothing under a name any more."""
    if state.owner != by.account:
        raise NotFound("there is no such piece")
    if not state.stands:
        return []
    if state.readers:  # what each of them asked for ends with the release
        raise StaleVersion("the piece has readers: release them first")
    if command.version != state.version + 1:
        raise StaleVersion(f"the piece is at version {state.version}")
    removed = PieceRemoved(command.piece, by.account, command.version)
    return [removed, *erase(command.piece, sorted(state.sealed()), [by.account])]


def _granted(command: SetPiece | RegrantPiece, state: State, by: Actor, connections: Connections) -> list[Event]:
    """The grants of a new key, each to somebody who has an older one."""
    granted: list[Event] = []
    for reader, wrap in command.wraps.items():
        before, over = state.readers.get(reader), connections.get(reader)
        if before is None or over is None or not over.joins(by.account):
            raise NotFound("there is no such reader")
        if before.generation >= command.generation:
            raise AlreadyExists("a reader has this key already")
        granted.append(
            PieceGranted(
                command.piece,
                by.account,
                reader,
                before.connection,
                over.keys[reader],
                command.generation,
                wrap,
                command.grants[reader],
            )
        )
    return granted


def check_grants(command: SetPiece | RegrantPiece) -> None:
    """Returns if there is a signature for each wrap, and no other.

    Raises:
        Malformed: there is not.
    """
    if command.wraps.keys() != command.grants.keys():
        raise Malformed("each wrap needs a signed grant")


def evolve(state: State, event: Event) -> None:
    """Fold one event in."""
    match event:
        case PieceSet(owner=owner, piece_name=name, version=version, generation=generation):
            state.due = state.due and generation == state.generation
            state.owner, state.name, state.version, state.generation = owner, name, version, generation
            state.content, state.owner_wrap = event.content, event.owner_wrap
        case PieceGranted(reader=reader, connection=connection, generation=generation, wrap=wrap):
            state.readers[reader] = Reader(connection, generation, wrap)
        case PieceStored(reader=reader, wrap=wrap):
            state.readers[reader].stored = wrap
        case PieceReleased(reader=reader):
            before = state.readers.pop(reader, None)
            state.due = state.due or (before is not None and before.generation == state.generation)
        case PieceRemoved(version=version):
            state.version, state.due = version, True
            state.content = state.owner_wrap = ""
            state.readers = {}
        case _:
            raise NotImplementedError(event.name)
