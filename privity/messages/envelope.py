"""The envelopes around commands and queries, and what comes back: the bytes that are signed."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter

from privity.messages.fields import STRICT, AccountId, CheckpointNote, CommandId, Digest, Id, Instant, Nonce, Position

COMMAND_SUBJECT = "privity.cmd"
QUERY_SUBJECT = "privity.qry"
RESULT_SUBJECT = "privity.result"
FEED_SUBJECT = "privity.feed"
EVENT_SUBJECT = "privity.evt"
DEAD_SUBJECT = "privity.dead"

MAX_PAYLOAD = 128 * 1024
"""Bytes of a signed envelope."""
MAX_SEALED = 64
"""Sealed objects behind one command."""
MAX_MESSAGE = 1000 * 1024
"""Bytes of a whole message, below the bus's own bound of 1 MiB."""


@dataclass(frozen=True, slots=True)
class CommandEnvelope:
    """Who wants what: the exact bytes of this, as JSON, are signed by the device."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    v: Literal[1]
    id: CommandId
    account: AccountId
    device: Id
    issued_at: Instant
    body: dict[str, JsonValue]
    checkpoint: CheckpointNote | None = None
    """The newest checkpoint of the home's log that the sender has seen."""


@dataclass(frozen=True, slots=True)
class QueryEnvelope:
    """Who asks what: signed as a command is, under a label of its own.

    `nonce` is the one that came with an earlier answer; a query that releases wrapped keys needs it.
    `at_least` is the position that the view must have reached.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    v: Literal[1]
    id: CommandId
    account: AccountId
    device: Id
    issued_at: Instant
    params: dict[str, JsonValue]
    nonce: Nonce | None = None
    at_least: Annotated[int, Field(ge=0, le=2**62)] = 0


@dataclass(frozen=True, slots=True)
class ResultEvent:
    """An event that a command made: where it stands, and its exact stored bytes (as text)."""

    position: int
    stream: str
    version: int
    name: str
    data: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The proof that a result's events are in the log: for each event, in order, its path to the checkpoint's root.

    The leaf of the event at position p has the index p - 1.
    """

    checkpoint: str
    proofs: tuple[tuple[Digest, ...], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command; `accepted` is sent only after the append was synced to disk."""

    id: str
    status: Literal["accepted", "ignored", "refused"]
    code: str | None = None
    message: str | None = None
    position: int = 0
    events: tuple[ResultEvent, ...] = ()
    receipt: Receipt | None = None
    v: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query returns; the sealed objects that the rows name ride behind it."""

    status: Literal["ok", "refused"]
    position: int
    nonce: str
    rows: tuple[dict[str, JsonValue], ...] = ()
    next: str | None = None
    code: str | None = None
    message: str | None = None
    v: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One line of a person's feed.

    `seq` counts the account's lines from 1, and `link` hashes this line onto the one before; both are 0 and empty
    in the live feed, which only wakes.
    """

    position: Position
    event: str
    at: Instant
    actor: str
    refs: dict[str, str]
    seq: Annotated[int, Field(ge=0, le=2**62)] = 0
    link: str = ""


command_envelope = TypeAdapter(CommandEnvelope)
query_envelope = TypeAdapter(QueryEnvelope)
result = TypeAdapter(Result)
answer = TypeAdapter(Answer)
feed_entry = TypeAdapter(FeedEntry)


def command_subject(account: str, subject: str) -> str:
    """Where `account` publishes the command whose subject is e.g. `shares.create`."""
    return f"{COMMAND_SUBJECT}.{account}.{subject}"


def query_subject(account: str, view: str) -> str:
    """Where `account` asks the view."""
    return f"{QUERY_SUBJECT}.{account}.{view}"


def result_subject(account: str, command_id: str) -> str:
    """Where the result of that account's command arrives."""
    return f"{RESULT_SUBJECT}.{account}.{command_id}"


def feed_subject(account: str) -> str:
    """Where that account's feed is heard live."""
    return f"{FEED_SUBJECT}.{account}"
