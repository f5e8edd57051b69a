"""People with identity chains, and what they send, so that no test invents its own data."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from privity.crypto.identity import Identity, Signed, make_genesis, make_next, verify_chain
from privity.crypto.invitation import AcceptanceMessage, InvitationMessage, make_acceptance, make_invitation
from privity.crypto.kem import KeyPair, Suite, generate_keypair
from privity.crypto.sharing import SealedShare, seal_share
from privity.crypto.signing import SigningKey
from privity.encoding import sha256

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EXPIRES = "2030-01-08T00:00:00Z"
LOG_KEY = SigningKey.from_seed(b"L" * 32).public
HOME = "h" * 26
INV = "i" * 26
LAPTOP, PHONE = "l" * 26, "p" * 26
"""Devices."""
S = b"S" * 32
DEK = b"D" * 32
KEK = b"K" * 32


@dataclass(slots=True)
class Person:
    """Somebody's keys and identity chain."""

    sign: SigningKey
    recovery: SigningKey
    seal: KeyPair
    chain: list[Signed]
    connection: KeyPair = field(default_factory=generate_keypair)

    @property
    def identity(self) -> Identity:
        return verify_chain(self.chain)

    def rotate(self, reason: str = "rotation", **changes: object) -> SigningKey:
        """One more record with a new sign key; returns the old one."""
        old, self.sign = self.sign, SigningKey.generate()
        self.chain.append(next_record(self.identity, old, sign=self.sign, reason=reason, **changes))
        return old


def next_record(head: Identity, signer: SigningKey | None, **changes: object) -> Signed:
    """The record after `head`, signed by `signer`, everything unchanged but `changes`."""
    facts: dict[str, object] = {
        "sign": signer,
        "seal_public": head.seal,
        "seal_suite": head.seal_suite,
        "devices": head.devices,
        "reason": "device",
    }
    return make_next(head, signer, **(facts | changes))  # type: ignore[arg-type]


def person(name: str) -> Person:
    """A person with a genesis and one device, the same for the same name but for the sealing keys."""
    sign = SigningKey.from_seed(sha256(name.encode()))
    recovery = SigningKey.from_seed(sha256(b"recovery " + name.encode()))
    seal = generate_keypair(Suite.X25519)
    genesis = make_genesis(sign, seal.public, seal.suite, recovery.public, b"N" * 16)
    device = SigningKey.from_seed(sha256(b"device " + name.encode()))
    first = next_record(verify_chain([genesis]), sign, devices={LAPTOP: device.public})
    return Person(sign, recovery, seal, [genesis, first])


def invitation(inviter: Person, **changes: object) -> InvitationMessage:
    """What `inviter` sends with secret S, but for `changes`."""
    facts: dict[str, object] = {
        "inv": INV,
        "expires": EXPIRES,
        "home": HOME,
        "log_key": LOG_KEY,
        "account": inviter.identity.account,
        "address": "ann@example.org",
        "head": inviter.identity.head,
        "public": inviter.connection.public,
        "suite": inviter.connection.suite,
        "gen": 1,
        "identity": inviter.sign,
    }
    return make_invitation(S, **(facts | changes))  # type: ignore[arg-type]


def acceptance(
    acceptor: Person, invitation_record: bytes, secret: bytes | None = S, **changes: object
) -> AcceptanceMessage:
    """How `acceptor` answers, but for `changes`."""
    facts: dict[str, object] = {
        "invitation_record": invitation_record,
        "inv": INV,
        "account": acceptor.identity.account,
        "address": "bob@example.org",
        "head": acceptor.identity.head,
        "public": acceptor.connection.public,
        "suite": acceptor.connection.suite,
        "gen": 1,
        "identity": acceptor.sign,
    }
    return make_acceptance(secret, **(facts | changes))  # type: ignore[arg-type]


PLACE: dict[str, object] = {
    "share": "share-1",
    "space": "space-1",
    "connection": "connection-1",
    "item": "item-1",
    "version": 1,
    "owner": "ann",
    "recipient": "bob",
}
OWNER = SigningKey.from_seed(b"A" * 32)


def sealed_share(recipient: KeyPair, plaintext: bytes = b"the plan", **changes: object) -> SealedShare:
    """A share of Ann's with `recipient`, but for `changes`."""
    facts: dict[str, object] = PLACE | {
        "suite": recipient.suite,
        "recipient_public": recipient.public,
        "recipient_key": "key-1",
        "identity": OWNER,
        "n": 1,
        "prev": None,
        "checkpoint": "a checkpoint",
    }
    return seal_share(DEK, KEK, plaintext, **(facts | changes))  # type: ignore[arg-type]


def flip(data: bytes, bit: int) -> bytes:
    """`data` with one bit turned."""
    at, mask = bit // 8 % len(data), 1 << bit % 8
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
