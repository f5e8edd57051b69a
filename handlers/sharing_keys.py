"""Sharing keys: making, granting, rotating, keeping, noting, giving the public part, giving up."""

from domain import connection, location, sharing_key
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.sharing import line_id
from privity.crypto.sharing_keys import KeyRecord, check_following, read_record, verify_record
from privity.encoding import digest, unb64
from privity.errors import ForgedRecord, Malformed
from privity.messages.base import Event
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


@handles(CreateSharingKey)
def create(command: CreateSharingKey, desk: Desk) -> list[Event]:
    """The record must be signed by who makes the key, and its id be that of them and the record's nonce."""
    state = desk.load(sharing_key.State, command.key)
    return sharing_key.decide_create(command, state, desk.by, said=_said(command, state, desk))


@handles(GrantSharingKey)
def grant(command: GrantSharingKey, desk: Desk) -> list[Event]:
    """The creator seals the private part to somebody whom they are connected with."""
    state = desk.load(sharing_key.State, command.key)
    state.made_by(desk.by.account)
    joined = desk.load(connection.State, command.connection)
    said = _said(command, state, desk)
    line = _line(command, desk)
    return sharing_key.decide_grant(command, state, desk.by, said=said, connection=joined, line=line)


@handles(RotateSharingKey)
def rotate(command: RotateSharingKey, desk: Desk) -> list[Event]:
    """The next generation is sealed to each over the connection over which they had the one before."""
    state = desk.load(sharing_key.State, command.key)
    state.made_by(desk.by.account)
    staying = set(state.holders) - set(command.dropped)
    connections = {one: desk.load(connection.State, state.held[one].connection) for one in sorted(staying)}
    said = _said(command, state, desk)
    return sharing_key.decide_rotate(command, state, desk.by, said=said, connections=connections)


@handles(ClaimSharingKey)
def claim(command: ClaimSharingKey, desk: Desk) -> list[Event]:
    """A holder re-wraps the private part under a KEK of their own."""
    return sharing_key.decide_claim(command, desk.load(sharing_key.State, command.key), desk.by)


@handles(RestoreSharingKey)
def restore(command: RestoreSharingKey, desk: Desk) -> list[Event]:
    """Somebody wraps anew what the home has lost."""
    return sharing_key.decide_claim(command, desk.load(sharing_key.State, command.key), desk.by)


@handles(NoteSharingKey)
def note(command: NoteSharingKey, desk: Desk) -> list[Event]:
    """One's own alone."""
    return sharing_key.decide_note(command, desk.load(sharing_key.State, command.key), desk.by)


@handles(SendPublicPart)
def send_public(command: SendPublicPart, desk: Desk) -> list[Event]:
    """Whoever holds the key gives its public part to somebody whom they are connected with."""
    state = desk.load(sharing_key.State, command.key)
    joined = desk.load(connection.State, command.connection)
    return sharing_key.decide_send_public(command, state, desk.by, connection=joined, line=_line(command, desk))


@handles(EraseSharingKey)
def erase(command: EraseSharingKey, desk: Desk) -> list[Event]:
    """The creator ends it for everybody, anybody else for themselves."""
    used = desk.load(location.State, command.key).stands
    return sharing_key.decide_erase(command, desk.load(sharing_key.State, command.key), desk.by, used=used)


def _line(command: GrantSharingKey | SendPublicPart, desk: Desk) -> sharing_key.Line:
    id = line_id(command.connection, desk.by.account)
    return sharing_key.Line(id, desk.load(sharing_key.LineState, id))


def _said(
    command: CreateSharingKey | GrantSharingKey | RotateSharingKey, state: sharing_key.State, desk: Desk
) -> sharing_key.Said:
    signed = unb64(command.record)
    public = identity_of(desk.by.account, desk.load).sign
    record = verify_record(signed, unb64(command.signature), public)
    if (record.key, record.by) != (command.key, desk.by.account):
        raise Malformed("the record says something else than the command")
    desk.home.check_named(record.checkpoint)
    follows = _follows(state, record)
    return sharing_key.Said(digest(signed), record.n, record.generation, record.holders, follows)


def _follows(state: sharing_key.State, record: KeyRecord) -> bool:
    if not state.record:
        return record.n == 1
    try:
        check_following(read_record(unb64(state.record)), state.head, record)
    except ForgedRecord:
        return False
    return True
