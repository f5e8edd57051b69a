"""Groups for the kit: what their handlers would find in records and manifests that fit, or in bent ones."""

from dataclasses import replace
from typing import Any

from domain import connection, group
from domain.facts import Actor
from privity.encoding import digest, unb64
from privity.messages.base import Command, Event
from privity.messages.groups import AdvanceGroup, ClaimGroup, LeaveGroup, PostToGroup, StageGroup, WithdrawPost
from privity.testing.given import Load
from tests.examples import ANN, BOB, EVE, member, sealed

IDENTITIES = {by.account: member(name) for by, name in ((ANN, "ann"), (BOB, "bob"), (EVE, "eve"))}
"""Who everybody is now."""


def decide_group(command: Command, load: Load, by: Actor, **says: Any) -> list[Event]:
    """What follows from a command about a group; `says` is what record or manifest say other than the command."""
    match command:
        case StageGroup(group=id):
            over = {one: load(connection.State, each) for one, each in command.connections.items()}
            state = load(group.State, id)
            return group.decide_stage(command, state, by, identities=IDENTITIES, connections=over)
        case AdvanceGroup(group=id):
            state, line = load(group.State, id), load(group.LineState, id)
            staged = group.staged_by(state, by.account, command.batch)
            record = replace(_record(command, state, line), **says)
            return group.decide_advance(command, state, by, staged=staged, record=record, line=line)
        case ClaimGroup(group=id):
            return group.decide_claim(command, load(group.State, id), by)
        case LeaveGroup(group=id):
            return group.decide_leave(command, load(group.State, id), by)
        case PostToGroup(group=id, post=post) | WithdrawPost(group=id, post=post):
            written, line = load(group.PostState, post), load(group.LineState, id)
            state = load(group.State, id)
            version = command.version if isinstance(command, PostToGroup) else written.version
            named = digest(unb64(command.manifest))
            place = replace(group.Written(named, state.epoch, state.key, version, line.n + 1, line.head), **says)
            if isinstance(command, PostToGroup):
                return group.decide_post(command, written, by, group=state, line=line, written=place)
            return group.decide_withdraw(command, written, by, group=state, line=line, written=place)
    raise NotImplementedError(type(command).__name__)


def _record(command: AdvanceGroup, state: group.State, line: group.LineState) -> group.Record:
    renewed = command.about is not None
    return group.Record(
        digest=sealed("epoch" if command.epoch == 1 else f"epoch {command.epoch}"),
        prev=state.head,
        dropped=command.dropped,
        key=command.epoch if renewed else state.key,
        about=command.about or state.about,
        link=command.link if renewed else state.link,
        n=line.n,
        last=line.head,
        same_key=not renewed,
    )
