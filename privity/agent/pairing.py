"""Two people of one machine connected in one go: the invitation's three messages, each signed by whose it is."""

from dataclasses import dataclass, field

from privity.agent import connections, invitations
from privity.agent.connections import Connection
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.errors import AlreadyConnected, KeyMismatch, Malformed, NotConnected, Refusal


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two, unlocked; `name` is what the other is to call them."""

    session: Session
    keyring: Keyring
    name: str = field(default="", repr=False)


async def connect_both(inviter: Side, acceptor: Side) -> Connection:
    """Invite, accept and confirm, with the secret handed over in memory; as the inviter sees the connection.

    Raises:
        Malformed: the two have accounts at different homes, or are one.
        AlreadyConnected: they are connected.
        KeyMismatch: the two do not see the same connection, verified.
    """
    _check_two(inviter.session, acceptor.session)
    await _check_strangers(inviter, acceptor)
    invited = await invitations.invite(inviter.session, inviter.keyring, acceptor.session.address, name=acceptor.name)
    _has_seen(acceptor, inviter)
    try:
        theirs = await invitations.accept(acceptor.session, acceptor.keyring, invited.link, name=inviter.name)
    except Refusal:
        await invitations.cancel(inviter.session, invited.invitation)
        raise
    _has_seen(inviter, acceptor)
    ours = await connections.show(inviter.session, inviter.keyring, theirs.connection)
    _has_seen(acceptor, inviter)
    theirs = await connections.show(acceptor.session, acceptor.keyring, ours.connection)
    if not (ours.verified and theirs.verified and theirs.note.confirmed and ours.safety_number == theirs.safety_number):
        raise KeyMismatch("The two do not see the same connection: somebody may stand between them.")
    return ours


def _check_two(one: Session, other: Session) -> None:
    if one.server.home != other.server.home:
        raise Malformed("the two have accounts at different homes")
    if one.account == other.account:
        raise Malformed("both are the same account")


async def _check_strangers(inviter: Side, acceptor: Side) -> None:
    for own, other in ((inviter, acceptor), (acceptor, inviter)):
        try:
            await connections.with_person(own.session, own.keyring, other.session.address)
        except NotConnected:
            continue
        raise AlreadyConnected(f"{own.session.address} and {other.session.address} are connected already")


def _has_seen(one: Side, other: Side) -> None:
    """What the one device has seen recorded, the other may wait for."""
    one.session.folder.reached(other.session.folder.position)
