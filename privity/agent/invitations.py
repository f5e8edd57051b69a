"""Invitations: made, read, accepted and declined here, with a secret that no backend sees."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from privity.agent.chains import signed_chain
from privity.agent.connections import Connection, Note, seal, show
from privity.agent.identity import current
from privity.agent.keyring import Keyring
from privity.agent.keys import ConnectionKey, new_connection_key, stored_connection_key
from privity.agent.session import Session
from privity.crypto.invitation import (
    Link,
    check_invitation,
    connection_id,
    invitation_link,
    invite_keys,
    make_acceptance,
    make_invitation,
    parse_link,
)
from privity.crypto.kem import Suite
from privity.encoding import b64, digest, new_id, unb64
from privity.errors import KeyMismatch
from privity.messages.catalog import check_address
from privity.messages.invitations import (
    AcceptInvitation,
    CancelInvitation,
    DeclineInvitation,
    InviteConnection,
)
from privity.messages.views import (
    AskInvitations,
    AskOffer,
    InvitationRow,
    OfferRow,
)

LIFETIME = timedelta(days=14)
SECRET_BYTES = 32
GENERATION = 1


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation that was sent; the link holds the secret and is handed over by the person."""

    invitation: str
    link: str = field(repr=False)


async def invite(
    session: Session,
    keyring: Keyring,
    email: str,
    *,
    name: str = "",
    suite: Suite = Suite.X_WING,
    key: str | None = None,
    lifetime: timedelta = LIFETIME,
    intents: Sequence[str] = (),
) -> Invited:
    """Invite somebody by e-mail address, with a fresh keypair or a stored one.

    `intents` are the ids of own items that are to be shared once they have accepted (`privity.agent.intents`).

    Raises:
        KeyNotFound: `key` names no stored keypair.
        InvitationExpired: `lifetime` is over before it began.
    """
    email = check_address(email)
    keyring, me = await current(session, keyring)
    used = await _key(session, keyring, key, suite)
    secret, inv = secrets.token_bytes(SECRET_BYTES), new_id()
    expires = datetime.now(UTC).replace(microsecond=0) + lifetime
    message = make_invitation(
        secret,
        inv=inv,
        expires=expires.isoformat(),
        home=session.server.home,
        log_key=session.server.log_public,
        account=me.account,
        address=session.address,
        head=me.head,
        public=used.pair.public,
        suite=used.pair.suite,
        gen=GENERATION,
        identity=keyring.identity.sign,
    )
    note = Note(name=name, secret=b64(secret), address=email, offer=digest(message.record), intents=intents)
    sealed = seal(keyring, note, inv)
    command = InviteConnection(
        invitation=inv,
        email=email,
        key=used.id,
        expires=expires,
        record=b64(message.record),
        mac=b64(message.mac),
        token_hash=b64(message.token_hash),
        note=digest(sealed),
    )
    await session.send_all([*used.storing, (command, (sealed,))])
    return Invited(inv, invitation_link(session.server.home, inv, secret))


async def all_both_ways(session: Session) -> list[InvitationRow]:
    """Invitations from me and to my address."""
    return list((await session.ask_all(AskInvitations(), InvitationRow)).rows)


async def find(session: Session, id: str) -> InvitationRow:
    """An invitation by id or unique prefix."""
    return (await session.ask(AskInvitations(id=id, limit=2), InvitationRow)).one("invitation", id)


async def cancel(session: Session, id: str) -> InvitationRow:
    """Take an invitation back; as it is afterwards."""
    row = await find(session, id)
    await session.send(CancelInvitation(row.invitation))
    return await find(session, row.invitation)


async def accept(
    session: Session,
    keyring: Keyring,
    text: str,
    *,
    name: str = "",
    suite: Suite = Suite.X_WING,
    key: str | None = None,
) -> Connection:
    """Accept by link: the secret in it makes the connection verified; the e-mail's token does not.

    Raises:
        KeyMismatch: the link is for another home.
        ForgedRecord: the invitation is not from who made the link.
        BadToken, InvitationExpired, InvitationClosed: it cannot be accepted (any more).
    """
    link = parse_link(text)
    offer = await _offer(session, link)
    keyring, me = await current(session, keyring)
    record, mac = unb64(offer.record), unb64(offer.mac)
    checked = check_invitation(
        record,
        mac,
        signed_chain(offer.chain),
        S=link.secret,
        now=datetime.now(UTC),
        log_key=session.server.log_public,
    )
    used = await _key(session, keyring, key, suite)
    message = make_acceptance(
        link.secret,
        invitation_record=record,
        inv=link.inv,
        account=me.account,
        address=session.address,
        head=me.head,
        public=used.pair.public,
        suite=used.pair.suite,
        gen=GENERATION,
        identity=keyring.identity.sign,
    )
    connection = connection_id(record, message.record)
    note = Note(
        name=name,
        secret=b64(link.secret) if link.secret else None,
        connection=connection,
        peer=checked.invitation.account,
        address=checked.invitation.address,
        head=b64(checked.identity.head),
        public=b64(checked.invitation.public),
        verified=checked.verified,
    )
    sealed = seal(keyring, note, link.inv)
    command = AcceptInvitation(
        invitation=link.inv,
        token=b64(_token(link)),
        key=used.id,
        record=b64(message.record),
        mac=b64(message.mac) if message.mac else None,
        note=digest(sealed),
    )
    await session.send_all([*used.storing, (command, (sealed,))])
    return await show(session, keyring, connection)


async def decline(session: Session, text: str) -> OfferRow:
    """Say no."""
    link = parse_link(text)
    offer = await _offer(session, link)
    await session.send(DeclineInvitation(link.inv, b64(_token(link))))
    return offer


async def _offer(session: Session, link: Link) -> OfferRow:
    if link.home != session.server.home:
        raise KeyMismatch("This invitation is for another home than yours.")
    ask = AskOffer(id=link.inv, token=b64(_token(link)))
    return (await session.ask(ask, OfferRow)).one("invitation", link.inv)


def _token(link: Link) -> bytes:
    return invite_keys(link.secret, link.inv).token if link.secret else link.token or b""


async def _key(session: Session, keyring: Keyring, id: str | None, suite: Suite) -> ConnectionKey:
    return new_connection_key(keyring, suite) if id is None else await stored_connection_key(session, keyring, id)
