"""Reads that matter: who was given the sealed objects of a share, and who was given, or refused, a wrapped keyring.

There is one event for each (reader, object, hour). Nobody commands them: the process that answers queries asks for
them inside the backend, with the signed query as the evidence, and answers the reader when they are recorded.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from privity.messages.base import Command, Event
from privity.messages.fields import STRICT, AccountId, Id, Instant

RECORD_SUBJECT = "privity.read.record"
"""Request and reply inside the backend; no person's account reaches it."""

MAX_SHARES = 200
"""Shares in one request: as many as one answer can have rows."""

Purpose = Literal["login", "recover"]


@dataclass(frozen=True, slots=True)
class RecordShareFetched(Command):
    """Record that the asker was given a share's sealed objects."""

    subject: ClassVar[str] = "reads.share-fetched"
    share: Id


@dataclass(frozen=True, slots=True)
class RecordKeyringFetched(Command):
    """Record that an account's wrapped keyring was given to who proved the passphrase or the recovery key."""

    subject: ClassVar[str] = "reads.keyring-fetched"
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class RecordKeyringRefused(Command):
    """Record that somebody asked for an account's wrapped keyring with a wrong proof."""

    subject: ClassVar[str] = "reads.keyring-refused"
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class ShareFetched(Event):
    """The recipient of a share was given its sealed objects, for the first time in this hour."""

    context: ClassVar[str] = "reads"
    name: ClassVar[str] = "share-fetched"
    kind: ClassVar[str] = "read"
    id_field: ClassVar[str] = "read"
    read: Id
    share: Id
    owner: AccountId
    reader: AccountId
    at_hour: Instant


@dataclass(frozen=True, slots=True)
class KeyringFetched(Event):
    """Who proved the passphrase or the recovery key was given the wrapped keyring."""

    context: ClassVar[str] = "reads"
    name: ClassVar[str] = "keyring-fetched"
    kind: ClassVar[str] = "read"
    id_field: ClassVar[str] = "read"
    read: Id
    account: AccountId
    purpose: Purpose
    at_hour: Instant


@dataclass(frozen=True, slots=True)
class KeyringRefused(Event):
    """Somebody, nobody knows who, asked for the wrapped keyring with a wrong proof."""

    context: ClassVar[str] = "reads"
    name: ClassVar[str] = "keyring-refused"
    kind: ClassVar[str] = "read"
    id_field: ClassVar[str] = "read"
    read: Id
    account: AccountId
    purpose: Purpose
    at_hour: Instant


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What is to be recorded of one query: the shares that were fetched, or what became of a keyring.

    On the wire it is a frame: the query's signature, its envelope, and this as JSON.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    subject: Annotated[str, Field(max_length=256)]
    """The subject that the query came on, which its signature covers."""
    shares: Annotated[tuple[Id, ...], Field(max_length=MAX_SHARES)] = ()
    keyring: Literal["fetched", "refused"] | None = None


@dataclass(frozen=True, slots=True)
class ReadReply:
    """What became of a request: recorded, as of that hour; or why not."""

    at_hour: Instant | None = None
    code: str | None = None
    message: str | None = None


read_request = TypeAdapter(ReadRequest)
read_reply = TypeAdapter(ReadReply)

COMMANDS: tuple[type[Command], ...] = ()
INTERNAL = (RecordShareFetched, RecordKeyringFetched, RecordKeyringRefused)
"""What no person can send: it is decided as commands are, on the evidence of a query."""
EVENTS = (ShareFetched, KeyringFetched, KeyringRefused)
