"""The aggregates that decisions read: folded from the store, cached within bounds, a batch's own events on top."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast

from domain.aggregates import EVOLVE, KINDS, STATES
from infra.mapping import to_positioned
from infra.store import EventStore, Stored
from privity.crypto.sharing import line_id
from privity.messages.accounts import CloseAccount
from privity.messages.base import Command, Event, stream_of
from privity.messages.connections import ConfirmConnection, NoteConnection, RemoveConnection
from privity.messages.delegations import DropItem, KeepItem
from privity.messages.files import AttachFile, DetachFile
from privity.messages.grants import AnswerAudit, AskAudit, BeginGrant, TakeGrantStep
from privity.messages.groups import AdvanceGroup, ClaimGroup, LeaveGroup, PostToGroup, StageGroup, WithdrawPost
from privity.messages.instructions import AnswerInstruction, GiveInstruction
from privity.messages.invitations import CancelInvitation, DeclineInvitation
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.keys import RemoveKeypair
from privity.messages.locations import ChangeLocation, CreateLocation, RemoveLocation
from privity.messages.pieces import (
    ApproveRequest,
    DeclineRequest,
    RegrantPiece,
    ReleaseReader,
    RemovePiece,
    RequestPiece,
    SetPiece,
    SetRules,
    WithdrawRequest,
)
from privity.messages.shares import CreateShare, RemoveShare, ReviseShare
from privity.messages.sharing_keys import (
    ClaimSharingKey,
    CreateSharingKey,
    EraseSharingKey,
    GrantSharingKey,
    NoteSharingKey,
    RestoreSharingKey,
    RotateSharingKey,
    SendPublicPart,
)

S = TypeVar("S")

CACHED_STREAMS = 20_000
ERASING = (
    StageGroup,
    AdvanceGroup,
    ClaimGroup,
    LeaveGroup,
    PostToGroup,
    WithdrawPost,
    EditItem,
    RemoveItem,
    KeepItem,
    DropItem,
    RemoveShare,
    ReviseShare,
    RemoveKeypair,
    CancelInvitation,
    DeclineInvitation,
    ConfirmConnection,
    NoteConnection,
    RemoveConnection,
    SetPiece,
    RegrantPiece,
    ReleaseReader,
    RemovePiece,
    RequestPiece,
    ApproveRequest,
    DeclineRequest,
    WithdrawRequest,
    GrantSharingKey,
    RotateSharingKey,
    ClaimSharingKey,
    NoteSharingKey,
    RestoreSharingKey,
    SendPublicPart,
    EraseSharingKey,
    RemoveLocation,
)
"""The commands that let go of sealed objects of the one thing that they name."""
SHARING_KEYS = (
    CreateSharingKey,
    GrantSharingKey,
    RotateSharingKey,
    ClaimSharingKey,
    NoteSharingKey,
    RestoreSharingKey,
    SendPublicPart,
    EraseSharingKey,
)
"""The commands whose `key` is a sharing key."""
NAMED = ("item", "share", "space", "key", "invitation", "connection", "piece", "request", "group", "post", "location")
"""The kinds of aggregates that commands name, each in a field called like the kind."""


class States:
    """Current states by stream, for one thread; `forget` after a failed append goes back to the store's truth."""

    def __init__(self, store: EventStore, capacity: int = CACHED_STREAMS) -> None:
        self._store = store
        self._capacity = capacity
        self._cache: OrderedDict[str, tuple[int, object]] = OrderedDict()
        self._base: dict[str, int] = {}

    def begin(self) -> None:
        """Start a batch: what is read from now on is its read set."""
        self._base.clear()
        while len(self._cache) > self._capacity:
            self._cache.popitem(last=False)

    @property
    def read_set(self) -> dict[str, int]:
        """Each stream that the batch read, with its version in the store before the batch."""
        return dict(self._base)

    def preload(self, streams: Iterable[str]) -> None:
        """Fold several streams with one look into the store; what is never loaded does not count as read."""
        missing = [stream for stream in dict.fromkeys(streams) if stream not in self._cache]
        for stream, stored in self._store.streams(missing).items():
            self._cache[stream] = _folded(stored, STATES[stream.partition("-")[0]])

    def load(self, state: type[S], id: str) -> S:
        """The aggregate's state, the batch's earlier events included."""
        stream = stream_of(KINDS[state], id)
        return cast(S, self._entry(stream, state)[1])

    def numbered(self, events: Sequence[Event]) -> list[tuple[Event, int]]:
        """Each event with the version that it will have in its stream, from 1."""
        newest: dict[str, int] = {}
        found = []
        for event in events:
            before = newest.get(event.stream)
            version = (self._entry(event.stream, STATES[event.kind])[0] if before is None else before) + 1
            newest[event.stream] = version
            found.append((event, version))
        return found

    def apply(self, event: Event) -> None:
        """Fold a decided event in."""
        stream = event.stream
        version, state = self._entry(stream, STATES[event.kind])
        EVOLVE[type(state)](state, event)
        self._cache[stream] = (version + 1, state)

    def forget(self) -> None:
        """Drop every stream that the batch touched."""
        for stream in self._base:
            self._cache.pop(stream, None)

    def _entry(self, stream: str, type_: type[Any]) -> tuple[int, object]:
        entry = self._cache.get(stream)
        if entry is None:
            entry = _folded(self._store.read(stream), type_)
            self._cache[stream] = entry
        else:
            self._cache.move_to_end(stream)
        self._base.setdefault(stream, entry[0])
        return entry


def likely_read(account: str, command: Command) -> Iterator[str]:
    """The streams of an account and of the aggregates that its command names."""
    yield stream_of("account", account)
    if isinstance(command, CreateShare):
        yield stream_of("line", line_id(command.connection, account))
        yield stream_of("item", command.share)
    if isinstance(command, AddItem | KeepItem | DropItem):
        yield stream_of("share", command.item)
    if isinstance(command, AttachFile | DetachFile):
        yield from (stream_of(kind, command.of) for kind in ("files", "item", "share", "erasure"))
    if isinstance(command, RemoveItem | RemoveShare):
        yield stream_of("files", command.item if isinstance(command, RemoveItem) else command.share)
    if isinstance(command, SetRules):
        yield from (stream_of(kind, account) for kind in ("rules", "erasure"))
    if isinstance(command, KeepItem | DropItem | GiveInstruction):
        yield stream_of("vault", command.principal)
    if isinstance(command, GiveInstruction | AnswerInstruction):
        principal = command.principal if isinstance(command, GiveInstruction) else account
        yield from (stream_of(kind, principal) for kind in ("instructions", "erasure"))
    if isinstance(command, SHARING_KEYS):
        yield stream_of("sharingkey", command.key)
    if isinstance(command, BeginGrant | TakeGrantStep):
        yield stream_of("grant", command.grant)
    if isinstance(command, BeginGrant | AskAudit) and command.key is not None:
        yield stream_of("sharingkey", command.key)
    if isinstance(command, CloseAccount):
        yield from (stream_of(kind, account) for kind in ("audits", "erasure"))
    if isinstance(command, AskAudit | AnswerAudit):
        yield stream_of("audits", account if isinstance(command, AskAudit) else command.asker)
        yield stream_of("erasure", command.audit)
    if isinstance(command, EraseSharingKey):
        yield stream_of("location", command.key)
    if isinstance(command, CreateLocation | ChangeLocation | RemoveLocation):
        yield stream_of("sharingkey", command.location)
    for kind in NAMED:
        id = getattr(command, kind, None)
        if id is not None:
            yield stream_of(kind, id)
            if isinstance(command, ERASING):
                yield stream_of("erasure", id)


def _folded(events: Sequence[Stored], type_: type[Any]) -> tuple[int, object]:
    state, version = type_(), 0
    for stored in events:
        EVOLVE[type_](state, to_positioned(stored).event)
        version = stored.version
    return version, state
