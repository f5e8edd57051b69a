"""People who sign real commands without a bus: the crypto is the agent's own, only Argon2id is left out."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from handlers import accounts, connections, files, groups, invitations, items, keys, pieces, shares
from handlers.opening import Delivery
from handlers.registry import Home
from privity.agent.keyring import IdentityKeys, new_identity
from privity.agent.session import Signer
from privity.crypto.command import sign_closing
from privity.crypto.credentials import home_id
from privity.crypto.identity import Identity, Signed, account_id, make_genesis, make_next, verify_chain
from privity.crypto.invitation import (
    InvitationMessage,
    confirmation,
    connection_id,
    invite_keys,
    make_acceptance,
    make_invitation,
)
from privity.crypto.kem import KeyPair, Suite, generate_keypair
from privity.crypto.keyring import new_dek, new_kek
from privity.crypto.log import make_checkpoint
from privity.crypto.merkle import EMPTY_ROOT
from privity.crypto.sharing import Conditions, Manifest, SealedShare, accept_terms, read_manifest, seal_share
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id, sha256
from privity.messages.accounts import CloseAccount, ExtendIdentity, Kdf, RegisterAccount, RotateIdentity
from privity.messages.base import Command
from privity.messages.connections import ConfirmConnection
from privity.messages.fields import SignedRecord
from privity.messages.invitations import AcceptInvitation, InviteConnection
from privity.messages.items import AddItem, EditItem
from privity.messages.keys import PublishPublicKey, StoreKeypair
from privity.messages.shares import AcceptTerms, ClaimShare, CreateShare, ReviseShare
from tests.examples import NOW, key32

HANDLERS = (accounts, connections, files, invitations, items, keys, shares, pieces, groups)
"""Imported, they are registered."""

LOG = SigningKey.from_seed(sha256(b"the log key of the tests"))
HOME = Home(home_id(LOG.public), LOG.public, b"m" * 32)
CHECKPOINT = make_checkpoint(LOG, HOME.id, 0, EMPTY_ROOT)


@dataclass
class Citizen:
    """Somebody with keys; `chain` grows as they extend it."""

    address: str
    keys: IdentityKeys = field(default_factory=new_identity)
    device: SigningKey = field(default_factory=SigningKey.generate)
    device_id: str = field(default_factory=new_id)
    kek: bytes = field(default_factory=new_kek)
    key_id: str = field(default_factory=new_id)
    pair: KeyPair = field(default_factory=lambda: generate_keypair(Suite.X_WING))
    chain: list[Signed] = field(default_factory=list)
    lines: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """For each connection, how many shares went out, and the digest of the newest one's manifest."""

    recovery: SigningKey = field(default_factory=SigningKey.generate)

    def __post_init__(self) -> None:
        genesis = make_genesis(
            self.keys.sign, self.keys.seal.public, self.keys.seal.suite, self.recovery.public, b"n" * 16
        )
        self.account = account_id(genesis.record)
        self.chain = [genesis]
        self.chain.append(self.next_record({self.device_id: self.device.public}))

    @property
    def identity(self) -> Identity:
        """What the chain says now."""
        return verify_chain(self.chain)

    @property
    def signer(self) -> Signer:
        """The device that signs."""
        return Signer(self.account, self.device_id, self.device, HOME.id)

    def next_record(self, devices: dict[str, bytes], recovery: SigningKey | None = None) -> Signed:
        """A record that would follow, with these devices."""
        return make_next(
            self.identity,
            self.keys.sign,
            recovery=recovery,
            sign=self.keys.sign,
            seal_public=self.keys.seal.public,
            seal_suite=self.keys.seal.suite,
            devices=devices,
            reason="test",
        )

    def says(self, command: Command, *sealed: bytes) -> Delivery:
        """A command, signed, as the bus delivers it."""
        waiting = self.signer.command(command, sealed)
        return Delivery(waiting.subject, waiting.data)

    def registers(self, **changes: object) -> Delivery:
        """The account, with sealed objects that nobody opens here."""
        sealed = [f"{self.account} {name}".encode() for name in ("kek", "kek for recovery", "identity")]
        facts = {
            "address": self.address,
            "chain": tuple(to_record(each) for each in self.chain),
            "login": key32("login"),
            "recovery_login": key32("recovery login"),
            "kdf": Kdf(64 * 1024, 3, 4),
            "kek": digest(sealed[0]),
            "kek_recovery": digest(sealed[1]),
            "identity": digest(sealed[2]),
        }
        return self.says(RegisterAccount(**(facts | changes)), *sealed)  # type: ignore[arg-type]

    def extends(self, devices: dict[str, bytes]) -> Delivery:
        """More devices, or less."""
        self.chain.append(self.next_record(devices))
        return self.says(ExtendIdentity(to_record(self.chain[-1])))

    def recovers(self) -> Delivery:
        """A record that the recovery key signs."""
        self.chain.append(self.next_record({self.device_id: self.device.public}, self.recovery))
        return self.says(ExtendIdentity(to_record(self.chain[-1])))

    def rotates(self) -> Delivery:
        """New identity keys, whose private parts nobody opens here."""
        before, self.keys = self.keys, new_identity()
        record = make_next(
            self.identity,
            before.sign,
            sign=self.keys.sign,
            seal_public=self.keys.seal.public,
            seal_suite=self.keys.seal.suite,
            devices=self.identity.devices,
            reason="rotated",
        )
        self.chain.append(record)
        wrapped = f"{self.account} identity {len(self.chain)}".encode()
        return self.says(RotateIdentity(to_record(record), digest(wrapped)), wrapped)

    def closes(self) -> Delivery:
        """The end of the account, by the device and the sign key."""
        head = self.identity.head
        signature = sign_closing(self.keys.sign, HOME.id, self.account, head)
        return self.says(CloseAccount(b64(head), b64(signature)))

    def stores_key(self) -> list[Delivery]:
        """The connection keypair, stored and published."""
        private = f"{self.account} private".encode()
        store = StoreKeypair(self.key_id, self.pair.suite.value, b64(self.pair.public), digest(private))
        return [self.says(store, private), self.says(PublishPublicKey(self.key_id))]

    def adds(self, item: str, version: int = 1) -> Delivery:
        """An item, or its next version."""
        content, wrap = f"{item} {version} content".encode(), f"{item} {version} wrap".encode()
        if version == 1:
            return self.says(AddItem(item, digest(content), digest(wrap)), content, wrap)
        return self.says(EditItem(item, version, digest(content), digest(wrap)), content, wrap)

    def invites(self, email: str, at: datetime = NOW) -> "Invitation":
        """An invitation with a secret of its own, for two weeks."""
        return Invitation(self, email, at=at)


@dataclass
class Invitation:
    """An invitation with what both of its ends say about it."""

    inviter: Citizen
    email: str
    id: str = field(default_factory=new_id)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    offer: InvitationMessage = field(init=False)
    connection: str = ""
    acceptance: bytes = b""
    acceptors_note: str = ""
    at: datetime = NOW

    def __post_init__(self) -> None:
        head = self.inviter.identity.head
        self.expires = self.at + timedelta(days=14)
        self.offer = make_invitation(
            self.secret,
            inv=self.id,
            expires=self.expires.isoformat(),
            home=HOME.id,
            log_key=HOME.log_public,
            account=self.inviter.account,
            address=self.inviter.address,
            head=head,
            public=self.inviter.pair.public,
            suite=self.inviter.pair.suite,
            gen=1,
            identity=self.inviter.keys.sign,
        )

    @property
    def token(self) -> str:
        """What opens it at the backend."""
        return b64(invite_keys(self.secret, self.id).token)

    def sent(self) -> Delivery:
        """The first message."""
        note = f"{self.id} inviter's note".encode()
        command = InviteConnection(
            invitation=self.id,
            email=self.email,
            key=self.inviter.key_id,
            expires=self.expires,
            record=b64(self.offer.record),
            mac=b64(self.offer.mac),
            token_hash=b64(self.offer.token_hash),
            note=digest(note),
        )
        return self.inviter.says(command, note)

    def accepted(self, by: Citizen) -> Delivery:
        """The second message; the connection has its id from now on."""
        message = make_acceptance(
            self.secret,
            invitation_record=self.offer.record,
            inv=self.id,
            account=by.account,
            address=by.address,
            head=by.identity.head,
            public=by.pair.public,
            suite=by.pair.suite,
            gen=1,
            identity=by.keys.sign,
        )
        self.acceptance = message.record
        self.connection = connection_id(self.offer.record, message.record)
        note = f"{self.id} acceptor's note".encode()
        self.acceptors_note = digest(note)
        mac = b64(message.mac or b"")
        command = AcceptInvitation(self.id, self.token, by.key_id, b64(message.record), mac, digest(note))
        return by.says(command, note)

    def confirmed(self) -> Delivery:
        """The third message."""
        note = f"{self.id} inviter's note, confirmed".encode()
        mac = confirmation(self.secret, self.offer.record, self.acceptance)
        command = ConfirmConnection(self.connection, digest(self.acceptance), b64(mac), digest(note))
        return self.inviter.says(command, note)

    def shares(self, by: Citizen, to: Citizen, item: str, version: int = 1) -> "Shared":
        """An item shared over the connection."""
        return Shared(self.connection, by, to, item, version)


@dataclass
class Shared:
    """A share with what both of its ends say about it."""

    connection: str
    owner: Citizen
    recipient: Citizen
    item: str
    version: int
    id: str = field(default_factory=new_id)
    space: str = field(default_factory=new_id)

    generation: int = 0
    conditions: Conditions = field(default_factory=Conditions)
    manifest: bytes = b""
    checkpoint: str = CHECKPOINT
    content: bytes = b"what is shared"

    def created(self) -> Delivery:
        """Sealed to the recipient's connection key, and signed as the next of the owner's line."""
        sealed = self._sealed()
        manifest = read_manifest(sealed.manifest)
        command = CreateShare(
            **{name: getattr(manifest, name) for name in ("share", "space", "connection", "item", "version")},
            recipient=manifest.recipient,
            recipient_key=manifest.recipient_key,
            suite=manifest.suite.value,
            manifest=b64(sealed.manifest),
            signature=b64(sealed.signature),
            source=manifest.source,
            **self._brought(manifest),
        )
        return self.owner.says(command, *sealed.parts)

    def revised(self, conditions: Conditions | None = None, version: int | None = None) -> Delivery:
        """The next generation, on these conditions."""
        self.conditions, self.version = conditions or self.conditions, version or self.version
        sealed = self._sealed()
        manifest = read_manifest(sealed.manifest)
        command = ReviseShare(
            share=self.id,
            version=manifest.version,
            generation=manifest.generation,
            manifest=b64(sealed.manifest),
            signature=b64(sealed.signature),
            **self._brought(manifest),
        )
        return self.owner.says(command, *sealed.parts)

    def accepted(self) -> Delivery:
        """The recipient's signature over the terms."""
        manifest = read_manifest(self.manifest)
        signed = accept_terms(self.recipient.keys.sign, manifest)
        return self.recipient.says(AcceptTerms(self.id, manifest.terms_hash or "", b64(signed)))

    def _sealed(self) -> SealedShare:
        sent, newest = self.owner.lines.get(self.connection, (0, None))
        self.generation += 1
        sealed = seal_share(
            new_dek(),
            self.owner.kek,
            self.content,
            share=self.id,
            space=self.space,
            connection=self.connection,
            item=self.item,
            version=self.version,
            owner=self.owner.account,
            recipient=self.recipient.account,
            suite=self.recipient.pair.suite,
            recipient_public=self.recipient.pair.public,
            recipient_key=self.recipient.key_id,
            identity=self.owner.keys.sign,
            n=sent + 1,
            prev=newest,
            checkpoint=self.checkpoint,
            generation=self.generation,
            conditions=self.conditions,
        )
        self.manifest = sealed.manifest
        self.owner.lines[self.connection] = sent + 1, digest(sealed.manifest)
        return sealed

    def _brought(self, manifest: Manifest) -> dict[str, Any]:
        names = ("content", "owner_wrap", "recipient_wrap", "expires", "terms", "terms_hash", "reshare", "keep")
        return {name: getattr(manifest, name) for name in names}

    def claimed(self) -> Delivery:
        """The DEK, kept by the recipient."""
        wrap = f"{self.id} claimed, generation {self.generation}".encode()
        return self.recipient.says(ClaimShare(self.id, digest(wrap), self.generation), wrap)


def to_record(signed: Signed) -> SignedRecord:
    """An identity record as commands carry it."""
    return SignedRecord(b64(signed.record), tuple(b64(each) for each in signed.signatures))
