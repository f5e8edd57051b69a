"""What suppliers of file fragments and those who use them sign: proofs for one operation, and a home's orders.

A proof is made for one supplier, over the nonce that it gave: it serves nowhere else and not again. It takes two
signatures, for who has a sharing key may use it, and only as the person that its creator named.
"""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from privity.crypto import labels
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b32, lp
from privity.errors import BadProof, ForgedRecord

NONCE_BYTES: Final = 32
DEVICE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Wish:
    """One operation that is asked of a supplier: `supplier` is its public key, `nonce` the one it gave (32 bytes).

    `operation` is put, get, delete or list; `object` is None where it is about all under the key; `account` is who
    asks, None in an order. `segments` is, for put, how many fragments there will be, and `root`, by an order, what they
    must hash to: another object there gives way. An order to make a key known has the operation register.
    """

    supplier: bytes
    operation: str
    key: str
    object: str | None
    nonce: bytes
    account: str | None
    segments: int = 0
    root: bytes = b""

    @property
    def parts(self) -> tuple[bytes, ...]:
        """What is signed of it."""
        named = (self.operation, self.key, self.object or "", self.account or "", str(self.segments))
        return (self.supplier, *(each.encode() for each in named), self.root, self.nonce)


def supplier_id(public: bytes) -> str:
    """The id, 52 letters of base32, of the supplier with this key (Ed25519, 32 bytes)."""
    return b32(sha256(lp(labels.SUPPLIER, public)).digest())


def supplier_device(supplier: str) -> str:
    """What stands in a supplier's commands where a person's have the device: 26 letters that its id fixes."""
    return b32(sha256(lp(labels.SUPPLIER_DEVICE, supplier.encode())).digest()[:DEVICE_BYTES])


def sign_proof(part: SigningKey, identity: SigningKey, wish: Wish) -> tuple[bytes, bytes]:
    """The two signatures of a proof: by the sharing key's sign key, and by the identity of who asks."""
    return part.sign(labels.SUPPLIER_BY_KEY, *wish.parts), identity.sign(labels.SUPPLIER_BY_IDENTITY, *wish.parts)


def verify_proof(part: bytes, identity: bytes, wish: Wish, by_key: bytes, by_identity: bytes) -> None:
    """Returns if `sign_proof` made both signatures; `part` and `identity` are the public sign keys.

    Raises:
        BadProof: one of them is another's, or for something else.
    """
    _check(part, by_key, labels.SUPPLIER_BY_KEY, *wish.parts)
    _check(identity, by_identity, labels.SUPPLIER_BY_IDENTITY, *wish.parts)


def sign_order(log: SigningKey, wish: Wish) -> bytes:
    """The operator's order, by the home's log key, to read, write or list for rebuilding what was lost."""
    return log.sign(labels.SUPPLIER_ORDER, *wish.parts)


def verify_order(log: bytes, wish: Wish, order: bytes) -> None:
    """Returns if `sign_order` made the signature.

    Raises:
        BadProof: it did not.
    """
    _check(log, order, labels.SUPPLIER_ORDER, *wish.parts)


def sign_replacement(log: SigningKey, lost: str, supplier: str) -> bytes:
    """The operator's order, by the home's log key, that one supplier takes a lost one's place."""
    return log.sign(labels.SUPPLIER_REPLACES, lost.encode(), supplier.encode())


def verify_replacement(log: bytes, lost: str, supplier: str, order: bytes) -> None:
    """Returns if `sign_replacement` made the signature.

    Raises:
        ForgedRecord: it did not.
    """
    verify(log, order, labels.SUPPLIER_REPLACES, lost.encode(), supplier.encode())


def storage_proof(nonce: bytes, fragment: bytes) -> bytes:
    """What shows that who answers has the fragment now: HMAC-SHA256 of it under a fresh nonce (32 bytes)."""
    return hmac.digest(nonce, lp(labels.SUPPLIER_STORAGE) + fragment, "sha256")


def _check(public: bytes, signature: bytes, label: bytes, *parts: bytes) -> None:
    try:
        verify(public, signature, label, *parts)
    except ForgedRecord:
        raise BadProof from None
