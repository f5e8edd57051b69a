"""Sending shares: each generation is sealed anew, for exactly the pinned key, as the next in one's own line."""

from dataclasses import dataclass, field

from privity.agent import lines, provenance
from privity.agent.connections import Connection
from privity.agent.contents import SharedContent
from privity.agent.files import Bringing
from privity.agent.identity import newest_checkpoint
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.crypto.keyring import new_dek
from privity.crypto.sharing import FIRST_GENERATION, Conditions, Manifest, SealedShare, read_manifest, seal_share
from privity.encoding import b64
from privity.errors import StaleSequence, Unverified
from privity.messages.shares import CreateShare, ReviseShare

ATTEMPTS = 5
"""Times that a share is sealed when other devices of one's own send over the same connection meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one generation of a share gives, and on which conditions."""

    share: str
    space: str
    item: str
    version: int
    generation: int
    shared: SharedContent = field(repr=False)
    conditions: Conditions
    following: tuple[Bringing, ...] = field(default=(), repr=False)
    """The commands that bring its files, and let go of those of before."""

    def place(self, keyring: Keyring, connection: Connection) -> provenance.Place:
        """Where what goes with it must say that it belongs."""
        return provenance.Place(
            share=self.share, item=self.item, version=self.version, sender=keyring.account, recipient=connection.peer
        )


async def send(session: Session, keyring: Keyring, connection: Connection, generation: Generation) -> None:
    """Seal and send it; again, if another device of one's own was faster.

    Raises:
        StaleSequence: others were faster each time.
        StaleVersion: another generation of the share is there, or the item has another version.
    """
    for left in reversed(range(ATTEMPTS)):
        sealed = await _seal(session, keyring, connection, generation)
        manifest = read_manifest(sealed.manifest)
        make = _create if generation.generation == FIRST_GENERATION else _revise
        try:
            await session.send_all([(make(manifest, sealed), sealed.parts), *generation.following])
            break
        except StaleSequence:
            if not left:
                raise
    lines.sent(session, sealed.manifest)


def check_consent(connection: Connection, *, consent: bool, first: bool = True) -> None:
    """Returns if the connection is verified, or the person consents to send over it all the same.

    What was once sent with consent goes on by hand, unless the other gave up keys as stolen since. What nobody asks for
    just now is checked as if it were sent for the first time.

    Raises:
        Unverified: it is not, and they do not.
    """
    if not connection.verified and not consent and (first or connection.compromised):
        raise Unverified(_why_unverified(connection))


def _why_unverified(connection: Connection) -> str:
    if connection.compromised:
        return (
            f"{connection.address} gave up keys as stolen: ask them whether it was they who did so, compare the safety "
            f"number, and verify the connection again; or share with consent"
        )
    return f"the connection with {connection.address} is not verified: compare the safety number, or share with consent"


async def _seal(session: Session, keyring: Keyring, connection: Connection, next: Generation) -> SealedShare:
    """One generation for the other side, as the next in one's own line."""
    n, prev = await lines.next_place(session, connection)
    return seal_share(
        new_dek(),
        keyring.kek,
        next.shared.to_bytes(),
        share=next.share,
        space=next.space,
        connection=connection.connection,
        item=next.item,
        version=next.version,
        owner=keyring.account,
        recipient=connection.peer,
        suite=connection.suite,
        recipient_public=connection.public,
        recipient_key=connection.peer_key,
        identity=keyring.identity.sign,
        n=n,
        prev=prev,
        checkpoint=await newest_checkpoint(session),
        generation=next.generation,
        conditions=next.conditions,
    )


def _create(manifest: Manifest, sealed: SealedShare) -> CreateShare:
    return CreateShare(
        share=manifest.share,
        space=manifest.space,
        connection=manifest.connection,
        item=manifest.item,
        version=manifest.version,
        recipient=manifest.recipient,
        recipient_key=manifest.recipient_key,
        suite=manifest.suite.value,
        manifest=b64(sealed.manifest),
        signature=b64(sealed.signature),
        content=manifest.content,
        owner_wrap=manifest.owner_wrap,
        recipient_wrap=manifest.recipient_wrap,
        expires=manifest.expires,
        terms=manifest.terms,
        terms_hash=manifest.terms_hash,
        reshare=manifest.reshare,
        keep=manifest.keep,
        source=manifest.source,
    )


def _revise(manifest: Manifest, sealed: SealedShare) -> ReviseShare:
    return ReviseShare(
        share=manifest.share,
        version=manifest.version,
        generation=manifest.generation,
        manifest=b64(sealed.manifest),
        signature=b64(sealed.signature),
        content=manifest.content,
        owner_wrap=manifest.owner_wrap,
        recipient_wrap=manifest.recipient_wrap,
        expires=manifest.expires,
        terms=manifest.terms,
        terms_hash=manifest.terms_hash,
        reshare=manifest.reshare,
        keep=manifest.keep,
    )
