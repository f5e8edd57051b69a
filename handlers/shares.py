"""Shares: creating, revising, accepting terms, claiming and ending them."""

from domain import connection, file, item, share
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.sharing import FIRST_GENERATION, UnderTerms, check_accepted, line_id, verify_share
from privity.encoding import digest, unb64
from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.shares import AcceptTerms, ClaimShare, CreateShare, RemoveShare, ReviseShare

ABOUT = ("share", "space", "connection", "item", "recipient", "recipient_key", "suite", "source")
"""What a share is about, which never changes."""
BROUGHT = (
    "version",
    "content",
    "owner_wrap",
    "recipient_wrap",
    "expires",
    "terms",
    "terms_hash",
    "reshare",
    "keep",
)
"""What each generation brings."""


@handles(CreateShare)
def create_share(command: CreateShare, desk: Desk) -> list[Event]:
    """The manifest must be signed by the owner, say just what the command says, and be the next in the line."""
    said = {name: getattr(command, name) for name in (*ABOUT, *BROUGHT)} | {"generation": FIRST_GENERATION}
    link = _signed(command, said, command.connection, desk)
    source, source_over = _source(command.source, desk)
    return share.decide_create(
        command,
        desk.load(share.State, command.share),
        desk.by,
        space=desk.load(share.SpaceState, command.space),
        connection=desk.load(connection.State, command.connection),
        item=desk.load(item.State, command.item),
        source=source,
        source_over=source_over,
        line=desk.load(share.LineState, link.line),
        link=link,
        taken=bool(desk.load(item.State, command.share).owner),
    )


@handles(ReviseShare)
def revise_share(command: ReviseShare, desk: Desk) -> list[Event]:
    """As for the first generation; what the share is about must be what it was."""
    state = desk.load(share.State, command.share)
    joined = desk.load(connection.State, state.connection)
    about = {name: getattr(state, name) for name in ("space", "connection", "item", "recipient", "source")}
    keys = {"share": command.share, "recipient_key": joined.keys.get(state.recipient)}
    said = {name: getattr(command, name) for name in (*BROUGHT, "generation")} | about | keys
    link = _signed(command, said, state.connection, desk)
    source, source_over = _source(state.source, desk)
    return share.decide_revise(
        command,
        state,
        desk.by,
        connection=joined,
        item=desk.load(item.State, state.item),
        source=source,
        source_over=source_over,
        line=desk.load(share.LineState, link.line),
        link=link,
    )


@handles(AcceptTerms)
def accept_terms(command: AcceptTerms, desk: Desk) -> list[Event]:
    """The recipient's identity must have signed the terms of just this share."""
    state = desk.load(share.State, command.share)
    joined = desk.load(connection.State, state.connection)
    decided = share.decide_accept(command, state, desk.by, connection=joined)  # first: no signature tells what is there
    terms = UnderTerms(command.share, state.connection, state.owner, state.recipient, command.terms_hash)
    check_accepted(identity_of(desk.by.account, desk.load).sign, unb64(command.signature), terms)
    return decided


@handles(ClaimShare)
def claim_share(command: ClaimShare, desk: Desk) -> list[Event]:
    """The recipient re-wraps the DEK under a KEK of their own."""
    state = desk.load(share.State, command.share)
    joined = desk.load(connection.State, state.connection)
    return share.decide_claim(command, state, desk.by, connection=joined)


@handles(RemoveShare)
def remove_share(command: RemoveShare, desk: Desk) -> list[Event]:
    """Either side ends it for both, and its files with it."""
    state, attached = desk.load(share.State, command.share), desk.load(file.State, command.share)
    return share.decide_remove(command, state, desk.by, files=attached.sealed_of(state.owner))


def _source(id: str | None, desk: Desk) -> tuple[share.State | None, connection.State | None]:
    """The share by which something came that is shared on, and the connection over which it came."""
    if id is None:
        return None, None
    source = desk.load(share.State, id)
    return source, desk.load(connection.State, source.connection)


def _signed(command: CreateShare | ReviseShare, said: dict[str, object], connection: str, desk: Desk) -> share.Link:
    """Where the manifest stands in the owner's line.

    Raises:
        ForgedRecord: the owner did not sign it; or its checkpoint is none of this home's log, which would be an alarm
            for both ends for ever.
        Malformed: it says something else than the command, or than what the share is about.
    """
    signed = unb64(command.manifest)
    identity = identity_of(desk.by.account, desk.load)
    manifest = verify_share(signed, unb64(command.signature), identity.sign)
    if manifest.owner != desk.by.account or any(getattr(manifest, name) != each for name, each in said.items()):
        raise Malformed("the manifest says something else than the command")
    desk.home.check_checkpoint(manifest.checkpoint)
    return share.Link(line_id(connection, desk.by.account), manifest.n, manifest.prev, digest(signed))
