"""The sources: where an agent looks for the steps that it is to do, and which lines of the feed make it look there."""

from dataclasses import dataclass
from datetime import UTC, datetime

from privity.agent import (
    connections,
    delegations,
    feed,
    garbage,
    grants,
    groups,
    instructions,
    intents,
    items,
    key_audits,
    pieces,
    profiles,
    registrations,
    resharing,
    rotation,
    rules,
    shares,
    sharing_keys,
)
from privity.agent.keyring import Keyring
from privity.agent.session import Rows, Session
from privity.agent.tasks import Source, Task
from privity.errors import IntegrityAlarm
from privity.messages.views import AskConnections, AskShares, ConnectionRow, ShareRow


@dataclass(frozen=True, slots=True)
class Look:
    """A source, and how the events begin after which it is asked; time alone is looked after by asking all at times."""

    work: Source
    after: tuple[str, ...]

    def concerns(self, event: str) -> bool:
        """Whether the source may have something to do after such an event."""
        return event.startswith(self.after)


async def confirmations(session: Session, keyring: Keyring) -> list[Task]:
    """Connections whose other side is to be checked and pinned, from either end."""
    found = await session.ask_all(AskConnections(), ConnectionRow)

    def confirm(row: ConnectionRow) -> Task:
        async def run() -> None:
            await connections.show(session, keyring, row.connection)

        return Task("confirm", row.connection, f"check and pin the connection with {row.peer_address}", run)

    return [confirm(row) for row in found.rows if _unconfirmed(keyring, row, found)]


async def claims(session: Session, keyring: Keyring) -> list[Task]:
    """Incoming shares whose key is still sealed to the connection, and can be opened now."""
    found = await session.ask_all(AskShares(direction="incoming", bare=True), ShareRow)

    def claim(row: ShareRow) -> Task:
        async def run() -> None:
            await shares.show(session, keyring, row.share)

        about = f"take a share of {row.owner_address} under your own key"
        return Task("claim", f"{row.share}/{row.generation}", about, run)

    now = datetime.now(UTC)
    takeable = [row for row in found.rows if row.terms is None or row.accepted is not None]
    return [claim(row) for row in takeable if not row.claimed and not _is_over(row, now)]


async def revisions(session: Session, keyring: Keyring) -> list[Task]:
    """One's own shares whose recipients read an older version than the feed says that the item has now.

    Over a connection that is not verified nothing goes by itself.
    """
    await feed.learn(session)
    found = await session.ask_all(AskShares(direction="outgoing", bare=True), ShareRow)

    def revise(row: ShareRow, version: int) -> Task:
        async def run() -> None:
            await shares.update(session, keyring, row.share, by_itself=True)

        about = f"seal the newest version of an item for {row.recipient_address}"
        return Task("revise", f"{row.share}/{version}", about, run)

    now = datetime.now(UTC)
    standing = [row for row in found.rows if row.source is None and not _is_over(row, now)]
    items_of = {row.item for row in standing}
    newest = {seen.id: seen.version for seen in session.memory.among(items.KIND, items_of) if not seen.ended}
    behind = [row for row in standing if row.version < newest.get(row.item, 0)]
    unverified = await connections.unverified(session, keyring) if behind else ()
    return [revise(row, newest[row.item]) for row in behind if row.connection not in unverified]


SHARES = ("share-created", "share-revised", "share-removed")
"""The events that bring or end a share. Claims and reads give no work: they are told after each of them."""

SOURCES: dict[str, Look] = {
    "connections": Look(confirmations, ("connection-", "invitation-")),
    "claims": Look(claims, (*SHARES, "terms-", "connection-")),
    "instructions": Look(instructions.work, ("instruction-", "delegation-")),
    "revisions": Look(revisions, ("item-", *SHARES, "connection-")),
    "resharing": Look(resharing.work, (*SHARES, "terms-", "identity-", "connection-")),
    "intents": Look(intents.work, ("connection-", "item-")),
    "pieces": Look(pieces.work, ("piece-", "request-", "connection-")),
    "rules": Look(rules.work, ("piece-", "request-", "rules-", "connection-")),
    "answers": Look(profiles.work, ("piece-", "request-")),
    "groups": Look(groups.work, ("group-",)),
    "key-audits": Look(key_audits.work, ("audit-", "sharing-key-", "connection-")),
    "grants": Look(grants.work, ("grant-", "audit-", "sharing-key-", "connection-")),
    "holders": Look(rotation.work, ("connection-removed",)),
    "registrations": Look(registrations.work, ("sharing-key-", "location-created")),
    "garbage": Look(garbage.work, ("location-changed", "location-removed")),
    "sharing-keys": Look(sharing_keys.work, ("sharing-key-", "public-part-")),
    "delegations": Look(delegations.work, ("delegation-", "item-added", "item-edited")),
}
"""By name, in the order in which they are asked: what one does may give work to those behind it."""


def _unconfirmed(keyring: Keyring, row: ConnectionRow, found: Rows[ConnectionRow]) -> bool:
    try:
        note = connections.unseal(keyring, found.blob(row.note), row.invitation)
    except IntegrityAlarm:  # one that lies hides no other: its own step says what is wrong
        return True
    if row.inviter:
        return note.connection is None
    return row.confirmed and not note.confirmed


def _is_over(row: ShareRow, now: datetime) -> bool:
    return row.expires is not None and row.expires <= now
