"""Ed25519 signatures (RFC 8032) over labelled, length-prefixed parts, and over the bare text of notes."""

from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from privity.encoding import b64, lp
from privity.errors import ForgedRecord, Malformed

SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

# The encodings of the points of order 1, 2, 4 and 8, sign bit cleared. Under such a "key" one signature fits
# many messages, so its holder could later deny what was signed; RFC 8032 verification alone lets them pass.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


class SigningKey:
    """A private Ed25519 key; it shows only its public part."""

    __slots__ = ("_private", "public")

    public: bytes
    """The public key, 32 bytes."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        """A new random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed.

        Raises:
            Malformed: the seed has another length.
        """
        if len(seed) != SEED_BYTES:
            raise Malformed("a signing seed has 32 bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def seed(self) -> bytes:
        """The secret seed, 32 bytes."""
        return self._private.private_bytes_raw()

    def sign(self, label: bytes, *parts: bytes) -> bytes:
        """The 64-byte signature over lp(label, *parts)."""
        return self._private.sign(lp(label, *parts))

    def sign_note(self, text: bytes) -> bytes:
        """The 64-byte signature over a note's bare text, as other logs and witnesses sign theirs.

        Raises:
            ValueError: the text is not of lines. So none of these signatures serves as one over labelled
                parts: those begin with the length of the label, whose first byte is 0.
        """
        if text[:1] < b" " or not text.endswith(b"\n"):
            raise ValueError("a note is a text of lines")
        return self._private.sign(text)

    def __repr__(self) -> str:
        return f"SigningKey(public={b64(self.public)!r})"


def verify(public: bytes, signature: bytes, label: bytes, *parts: bytes) -> None:
    """Returns if `signature` is that of `public` over lp(label, *parts).

    Raises:
        ForgedRecord: it is not; also for a key or a signature that is none.
    """
    _verify(public, signature, lp(label, *parts))


def verify_note(public: bytes, signature: bytes, text: bytes) -> None:
    """Returns if `sign_note` of this key made the signature.

    Raises:
        ForgedRecord: it did not; also for a key or a signature that is none.
    """
    _verify(public, signature, text)


def check_public(public: bytes) -> None:
    """Returns if these bytes can be a public key.

    Raises:
        Malformed: another length, or a point of small order.
    """
    if not _is_sound(public):
        raise Malformed("not a public signing key")


def _verify(public: bytes, signature: bytes, message: bytes) -> None:
    if not _is_sound(public) or len(signature) != SIGNATURE_BYTES:
        raise ForgedRecord
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise ForgedRecord from error


def _is_sound(public: bytes) -> bool:
    return len(public) == PUBLIC_BYTES and public[:-1] + bytes([public[-1] & 0x7F]) not in _SMALL_ORDER
