"""Shares: creating, claiming and ending them."""

from domain import connection, item, share
from handlers.accounts import identity_of
from handlers.registry import Desk, handles
from privity.crypto.sharing import line_id, verify_share
from privity.encoding import digest, unb64
from privity.errors import Malformed
from privity.messages.base import Event
from privity.messages.shares import ClaimShare, CreateShare, RemoveShare

SIGNED = (
    "share",
    "space",
    "connection",
    "item",
    "version",
    "recipient",
    "recipient_key",
    "suite",
    "content",
    "owner_wrap",
    "recipient_wrap",
)


@handles(CreateShare)
def create_share(command: CreateShare, desk: Desk) -> list[Event]:
    """The manifest must be signed by the owner, say just what the command says, and be the next in the line."""
    identity = identity_of(desk.by.account, desk.load)
    signed = unb64(command.manifest)
    manifest = verify_share(signed, unb64(command.signature), identity.sign)
    said = [manifest.owner, *(str(getattr(manifest, name)) for name in SIGNED)]
    if said != [desk.by.account, *(str(getattr(command, name)) for name in SIGNED)]:
        raise Malformed("the manifest says something else than the command")
    line = line_id(command.connection, desk.by.account)
    return share.decide_create(
        command,
        desk.load(share.State, command.share),
        desk.by,
        space=desk.load(share.SpaceState, command.space),
        connection=desk.load(connection.State, command.connection),
        item=desk.load(item.State, command.item),
        line=desk.load(share.LineState, line),
        link=share.Link(line, manifest.n, manifest.prev, digest(signed)),
    )


@handles(ClaimShare)
def claim_share(command: ClaimShare, desk: Desk) -> list[Event]:
    """The recipient re-wraps the DEK under a KEK of their own."""
    state = desk.load(share.State, command.share)
    joined = desk.load(connection.State, state.connection)
    return share.decide_claim(command, state, desk.by, connection=joined)


@handles(RemoveShare)
def remove_share(command: RemoveShare, desk: Desk) -> list[Event]:
    """Either side ends it for both."""
    return share.decide_remove(command, desk.load(share.State, command.share), desk.by)
