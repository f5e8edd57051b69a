"""The past as consumers ask for it: requests on `privity.past.<consumer>.<contexts>`, a page of events for each.

The last token says which contexts the asker may see, joined by `+`, or `all`; the bus holds every consumer to its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter

from privity.messages.catalog import EVENTS
from privity.messages.fields import STRICT

PAST_SUBJECT: Final = "privity.past"
ALL: Final = "all"
MAX_PAGE: Final = 500
"""Events that one request has looked at."""
MAX_PAGE_BYTES: Final = 700 * 1024
"""Bytes of the events in one page; a first event goes out whatever it has."""
MAX_REQUEST: Final = 1024
"""Bytes of a request."""

CONTEXTS: Final = frozenset(event.context for event in EVENTS.values())
ConsumerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


@dataclass(frozen=True, slots=True)
class AskPast:
    """What came behind the position `after`, which is the asker's own."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    v: Literal[1]
    after: Annotated[int, Field(ge=0, le=2**62)]
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = MAX_PAGE


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event as it is published: its place, its version in its stream, its subject, and its exact bytes (as text)."""

    position: int
    version: int
    subject: str
    data: str


@dataclass(frozen=True, slots=True)
class PastPage:
    """All that the asker may see from behind `after` up to and with `reached`, in order; `head` is the newest position.

    Where `reached` is below `head`, there is more. A `head` below `after` is that of another, or an older, store.
    """

    status: Literal["ok", "refused"]
    reached: int = 0
    head: int = 0
    events: tuple[PastEvent, ...] = ()
    code: str | None = None
    message: str | None = None
    v: Literal[1] = 1


ask_past = TypeAdapter(AskPast)
past_page = TypeAdapter(PastPage)


def past_subject(consumer: str, contexts: Iterable[str] = ()) -> str:
    """Where a consumer asks; no contexts are all of them."""
    return f"{PAST_SUBJECT}.{consumer}.{'+'.join(sorted(set(contexts))) or ALL}"


def contexts_of(subject: str) -> frozenset[str] | None:
    """The contexts that a subject of `past_subject` names; None for all."""
    token = subject.rpartition(".")[2]
    return None if token == ALL else frozenset(token.split("+"))
