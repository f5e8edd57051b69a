"""Pieces: keeping and granting them, asking for them, and the rules that approve."""

from domain import connection, piece, request
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.identity import Identity
from privity.crypto.pieces import (
    GrantPlace,
    RequestPlace,
    piece_id,
    request_id,
    verify_grant,
    verify_piece,
    verify_request,
)
from privity.encoding import unb64
from privity.errors import Malformed, NotFound
from privity.messages.base import Event
from privity.messages.pieces import (
    ApproveRequest,
    DeclineRequest,
    RegrantPiece,
    ReleaseReader,
    RemovePiece,
    RequestPiece,
    SetPiece,
    SetRules,
    StorePiece,
    WithdrawRequest,
)

SIGNED = {"piece": "piece", "name": "piece_name", "version": "version", "generation": "generation"}
"""The fields of a piece's record, and how the command calls them; the content it names too."""


@handles(SetPiece)
def set_piece(command: SetPiece, desk: Desk) -> list[Event]:
    """The record must be signed by the owner and say just what the command says; so must each grant."""
    identity = identity_of(desk.by.account, desk.load)
    record = verify_piece(unb64(command.record), unb64(command.signature), identity.sign)
    said = [record.owner, record.content, *(str(getattr(record, name)) for name in SIGNED)]
    if said != [desk.by.account, command.content, *(str(getattr(command, name)) for name in SIGNED.values())]:
        raise Malformed("the record says something else than the command")
    desk.home.check_checkpoint(record.checkpoint)
    if command.piece != piece_id(desk.by.account, command.piece_name):
        raise Malformed("the piece's id is not that of its owner and name")
    state = desk.load(piece.State, command.piece)
    connections = _checked(command, command.piece_name, state, desk, identity)
    return piece.decide_set(command, state, desk.by, connections=connections)


@handles(RegrantPiece)
def regrant_piece(command: RegrantPiece, desk: Desk) -> list[Event]:
    """The rest of a new key's wraps."""
    state = desk.load(piece.State, command.piece)
    if state.owner != desk.by.account:
        raise NotFound("there is no such piece")
    identity = identity_of(desk.by.account, desk.load)
    connections = _checked(command, state.name, state, desk, identity)
    return piece.decide_regrant(command, state, desk.by, connections=connections)


@handles(StorePiece)
def store_piece(command: StorePiece, desk: Desk) -> list[Event]:
    """The reader re-wraps the key under a KEK of their own."""
    state = desk.load(piece.State, command.piece)
    reader = state.readers.get(desk.by.account)
    joined = desk.load(connection.State, reader.connection) if reader else connection.State()
    return piece.decide_store(command, state, desk.by, connection=joined)


@handles(ReleaseReader)
def release_reader(command: ReleaseReader, desk: Desk) -> list[Event]:
    """Either side ends the grant, and what was asked for it."""
    state = desk.load(piece.State, command.piece)
    if desk.by.account not in (state.owner, command.reader) or not state.owner:
        raise NotFound("there is no such piece")
    asked = desk.load(request.State, request_id(state.owner, command.reader, state.name))
    return piece.decide_release(command, state, desk.by, request=asked)


@handles(RemovePiece)
def remove_piece(command: RemovePiece, desk: Desk) -> list[Event]:
    """Gone; again is no change."""
    return piece.decide_remove(command, desk.load(piece.State, command.piece), desk.by)


@handles(RequestPiece)
def request_piece(command: RequestPiece, desk: Desk) -> list[Event]:
    """The asker signs what is asked, of whom, over which connection, and the sealed challenge."""
    place = RequestPlace(
        request=command.request,
        n=command.n,
        owner=command.owner,
        asker=desk.by.account,
        name=command.piece_name,
        connection=command.connection,
    )
    if command.request != request_id(command.owner, desk.by.account, command.piece_name):
        raise Malformed("the request's id is not that of its owner, asker and name")
    identity = identity_of(desk.by.account, desk.load)
    verify_request(place, command.challenge, unb64(command.signature), identity.sign)
    return request.decide_create(
        command,
        desk.load(request.State, command.request),
        desk.by,
        connection=desk.load(connection.State, command.connection),
        piece=desk.load(piece.State, piece_id(command.owner, command.piece_name)),
    )


@handles(ApproveRequest)
def approve_request(command: ApproveRequest, desk: Desk) -> list[Event]:
    """The owner signs the grant; whether the answer is right, the asker alone can tell."""
    state = desk.load(request.State, command.request)
    if state.owner != desk.by.account:
        raise NotFound("there is no such request")
    joined = desk.load(connection.State, state.connection)
    id = piece_id(state.owner, state.name)
    place = GrantPlace(
        owner=state.owner,
        piece=id,
        name=state.name,
        generation=command.generation,
        reader=state.asker,
        connection=state.connection,
        key=joined.keys.get(state.asker, ""),
    )
    verify_grant(place, command.wrap, unb64(command.grant), identity_of(desk.by.account, desk.load).sign)
    kept = desk.load(piece.State, id)
    return request.decide_approve(command, state, desk.by, connection=joined, piece=kept, id=id, most=piece.MAX_READERS)


@handles(DeclineRequest)
def decline_request(command: DeclineRequest, desk: Desk) -> list[Event]:
    """The owner grants nothing."""
    return request.decide_decline(command, desk.load(request.State, command.request), desk.by)


@handles(WithdrawRequest)
def withdraw_request(command: WithdrawRequest, desk: Desk) -> list[Event]:
    """The asker asks no more."""
    return request.decide_withdraw(command, desk.load(request.State, command.request), desk.by)


@handles(SetRules)
def set_rules(command: SetRules, desk: Desk) -> list[Event]:
    """One's own alone."""
    return request.decide_rules(command, desk.load(request.RulesState, desk.by.account), desk.by)


def _checked(
    command: SetPiece | RegrantPiece, name: str, state: piece.State, desk: Desk, identity: Identity
) -> dict[str, connection.State]:
    """The connections of the readers who get a key; each grant is signed by the owner."""
    piece.check_grants(command)
    found = {}
    for reader, wrap in command.wraps.items():
        before = state.readers.get(reader)
        if before is None:
            continue  # which the decision refuses
        found[reader] = joined = desk.load(connection.State, before.connection)
        place = GrantPlace(
            owner=desk.by.account,
            piece=command.piece,
            name=name,
            generation=command.generation,
            reader=reader,
            connection=before.connection,
            key=joined.keys.get(reader, ""),
        )
        verify_grant(place, wrap, unb64(command.grants[reader]), identity.sign)
    return found
