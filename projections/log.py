"""The log as people ask it: its newest checkpoint, and the evidence behind each line of their feed."""

from dataclasses import replace

import sqlalchemy as sa

from privity.errors import NotFound
from privity.messages.fields import SignedRecord
from privity.messages.views import AskCheckpoint, AskEvidence, CheckpointRow, EvidenceRow
from projections import delegations, groups, locations, sharing_keys
from projections.accounts import chain_of
from projections.desk import Desk, Log, Page, page, view
from projections.tables import connections, feed, partings


@view(AskCheckpoint)
def newest_checkpoint(ask: AskCheckpoint, desk: Desk) -> Page[CheckpointRow]:
    """The newest checkpoint, with the proof that the log only grew since each size that is asked for."""
    return Page((_log(desk).since(ask.since),), ((),))


@view(AskEvidence)
def own_evidence(ask: AskEvidence, desk: Desk) -> Page[EvidenceRow]:
    """The event at a position of my feed; of what concerns others this says no more than of what is not there."""
    mine = sa.select(feed.c.position, feed.c.actor).where(feed.c.account == desk.account)
    if ask.position is not None:
        mine = mine.where(feed.c.position == ask.position)
    if ask.size is not None:
        mine = mine.where(feed.c.position <= ask.size)
    found, more = page(ask, desk, mine, feed.c.position)
    if not found and ask.position is not None and ask.position <= (ask.size or ask.position):
        actor = groups.shown(ask.position, desk) or delegations.shown(ask.position, desk)
        actor = actor or locations.shown(ask.position, desk)
        actor = actor or sharing_keys.shown(ask.position, desk)
        found = [] if actor is None else [{"position": ask.position, "actor": actor}]
    if not found and ask.position is not None:
        raise NotFound("your feed has nothing at this position")
    actors: dict[int, str] = {row["position"]: row["actor"] for row in found}
    rows = _log(desk).evidences(list(actors), ask.size)
    first = {actor: position for position, actor in reversed(actors.items())}
    shown = tuple(
        replace(row, chain=_chain(actors[row.position], desk)) if first[actors[row.position]] == row.position else row
        for row in rows
    )
    return Page(shown, ((),) * len(shown), tuple(actors), more)


def _chain(actor: str, desk: Desk) -> tuple[SignedRecord, ...]:
    """Who somebody is: as of now to themselves and whoever is connected with them, else as of what they last had to do
    with each other: their newest event in the asker's feed, or the parting, up to which the asker saw more of them.
    """
    peer = sa.select(connections.c.peer).where(connections.c.account == desk.account, connections.c.peer == actor)
    if actor == desk.account or desk.db.execute(peer).first():
        return chain_of(actor, desk.db)
    theirs = (feed.c.account == desk.account, feed.c.actor == actor, feed.c.actor != feed.c.account)
    parted = (partings.c.account == desk.account, partings.c.peer == actor)
    ends = (
        desk.db.execute(sa.select(sa.func.max(feed.c.position)).where(*theirs)).scalar(),
        desk.db.execute(sa.select(sa.func.max(partings.c.position)).where(*parted)).scalar(),
    )
    return chain_of(actor, desk.db, max(end or 0 for end in ends))


def _log(desk: Desk) -> Log:
    if desk.log is None:
        raise NotFound("the log is not kept here")
    return desk.log
