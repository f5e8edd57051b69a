"""Working offline: what is read comes from the cache, what is written waits, and a conflict keeps both versions."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from privity.agent.cache import Cache, Kept
from privity.agent.chains import notices
from privity.agent.kinds import DELEGATED, FILE, ITEM, SHARE
from privity.agent.profile import ProfileFolder, Waiting
from privity.agent.shelves import Done, Row
from privity.crypto.command import unframe
from privity.encoding import digest, unb64
from privity.errors import (
    Malformed,
    UnknownCommand,
    Unreachable,
)
from privity.messages import envelope
from privity.messages.base import Command
from privity.messages.catalog import read_command
from privity.messages.delegations import DropItem, KeepItem
from privity.messages.envelope import CommandEnvelope, Result
from privity.messages.files import AttachFile
from privity.messages.items import AddItem, EditItem, RemoveItem
from privity.messages.shares import RemoveShare
from privity.messages.views import Ask, AskFeed, AskItems, AskLine, AskShares

if TYPE_CHECKING:
    from privity.agent.memory import Memory, Seen

log = logging.getLogger(__name__)

ALWAYS = (AddItem, EditItem, KeepItem, AttachFile)
"""Commands that a home that is honest takes or refuses: what they bring cannot be there already."""


@dataclass(frozen=True, slots=True)
class Written:
    """A command that waits, as it was signed."""

    waiting: Waiting
    envelope: CommandEnvelope
    done: Done

    @property
    def command(self) -> Command:
        """What is wanted."""
        return self.done.command


def read_waiting(waiting: Waiting) -> Written | None:
    """What a command that waits says; None for one of another version of Privity."""
    try:
        _, payload, *sealed = unframe(waiting.data, envelope.MAX_SEALED + 2, envelope.MAX_MESSAGE)
        read = envelope.command_envelope.validate_json(payload)
        prefix = envelope.command_subject(read.account, "")
        command = read_command(waiting.subject.removeprefix(prefix), read.body)
    except (ValidationError, ValueError, Malformed, UnknownCommand):
        return None
    return Written(waiting, read, Done(command, sealed))


class Away:
    """A home that cannot be reached: what is asked is answered by what this device keeps.

    What comes out has been checked once, and is checked again; it may be older than what this device knows of.
    """

    def __init__(self, folder: ProfileFolder, memory: "Memory", cache: Cache, account: str, why: str) -> None:
        self._folder = folder
        self._memory = memory
        self._cache = cache
        self._account = account
        self._why = why
        self._as_of: float | None = None
        self._lacking = 0

    def answer(self, ask: Ask, *, fresh: bool) -> Kept:
        """What is kept of an answer.

        Raises:
            Unreachable: nothing is.
        """
        if isinstance(ask, AskLine):  # what this device read of a line, it remembers
            return Kept((), {}, 0)
        kept = self._feed(ask) if isinstance(ask, AskFeed) else self._kept(ask, fresh)
        if kept is None:
            raise Unreachable(f"{self._why}; and this device keeps no answer to what is asked")
        return kept

    def lacking(self, things: Sequence[str]) -> list[str]:
        """Those of these items and shares that no command gives up which waits; they are counted for the notice."""
        given_up = {_given_up(each.command) for each in self._waiting()}
        lacking = [each for each in things if each not in given_up]
        self._lacking += len(lacking)
        return lacking

    def tell(self) -> None:
        """Say once how old the answers are."""
        if self._as_of is None:
            return
        at = datetime.fromtimestamp(self._as_of, UTC).isoformat(timespec="seconds")
        more = f"; {self._lacking} more known here and not kept" if self._lacking else ""
        notices.warning("notice: offline, as of %s%s", at, more)

    def _kept(self, ask: Ask, fresh: bool) -> Kept | None:
        waiting = [each.done for each in self._waiting()]
        kept = self._cache.answer(ask, self._account, fresh=fresh, waiting=waiting)
        if kept is None:
            return None
        self._as_of = min(kept.at, self._as_of or kept.at)
        return replace(kept, rows=self._current(ask.view, kept.rows))

    def _current(self, view: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Without the rows of which this device has seen a newer one, or the end: nobody serves those back."""
        match view:
            case AskItems.view:
                seen = {each.id: each for each in self._memory.among(ITEM, [row["item"] for row in rows])}
                return [row for row in rows if not _is_behind(seen.get(row["item"]), row["version"], row["content"])]
            case AskShares.view:
                seen = {each.id: each for each in self._memory.among(SHARE, [row["share"] for row in rows])}
                return [row for row in rows if not _is_behind(seen.get(row["share"]), None, _manifest(row))]
        return rows

    def _waiting(self) -> list[Written]:
        return [each for each in map(read_waiting, self._folder.waiting()) if each is not None]

    def _feed(self, ask: Ask) -> Kept | None:
        until = self._memory.feed.position
        if ask.after >= until:
            return Kept((), {}, 0)
        lines = self._cache.feed(ask.after, until)
        return None if lines is None else Kept(lines, {}, 0)


def _is_behind(seen: "Seen | None", version: int | None, named: str) -> bool:
    """Whether something else than this version, or object, is the newest that was seen."""
    if seen is None:
        return False
    newer = version is not None and seen.version > version
    other = version is None and seen.digest not in ("", named)
    return seen.proven or newer or other


def _manifest(row: Row) -> str:
    return digest(unb64(row["manifest"]))


def _given_up(command: Command) -> str | None:
    match command:
        case RemoveItem(item=gone) | RemoveShare(share=gone):
            return gone
    return None


def note(memory: "Memory", command: Command, account: str, position: int) -> None:
    """Remember what took effect on items and files, so that nobody serves what was before."""
    match command:
        case AddItem(item=item, content=content):
            memory.saw(ITEM, item, 1, content)
        case EditItem(item=item, version=version, content=content):
            memory.saw(ITEM, item, version, content)
        case KeepItem(principal=principal, item=item, version=version, content=content):
            own = principal == account
            memory.saw(ITEM if own else DELEGATED, item, version, content, "" if own else principal)
        case AttachFile(of=of, file=file, content=content):
            memory.saw(FILE, file, 1, content, of)
        case RemoveItem(item=item):
            memory.ended(ITEM, item, position)
        case DropItem(principal=principal, item=item):
            memory.ended(ITEM if principal == account else DELEGATED, item, position)


def tell_refused(waiting: Waiting, result: Result) -> None:
    """Say what was not done; the command stays in the outbox's folder, out of the way."""
    said = (waiting.subject.split(".", 3)[-1], result.code or "", " ".join((result.message or "").split()))
    notices.warning("notice: %s, kept while offline, was refused and set aside: %s: %s", *map(_printable, said))


def tell_changed(item: str) -> None:
    """Say that an item was not given up; the command stays in the outbox's folder, out of the way."""
    what = "notice: item %s was changed on another device since you gave it up while offline: it stays; remove it again"
    notices.warning(what, item)


def _printable(text: str) -> str:
    """What the home says, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
