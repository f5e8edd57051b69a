"""RSA-4096 with OAEP and SHA-256 (RFC 8017): the suite for old peers; it wraps a key and nothing longer."""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from privity.errors import DoesNotOpen, Malformed, TooLarge

BITS: Final = 4096
EXPONENT: Final = 65537
CIPHERTEXT_BYTES: Final = BITS // 8
MAX_PLAINTEXT: Final = CIPHERTEXT_BYTES - 2 * SHA256.digest_size - 2


def generate() -> bytes:
    """A fresh private key as PKCS #8 DER."""
    return _private_der(generate_private_key(EXPONENT, BITS))


def public_of(private: bytes) -> bytes:
    """The public key as SubjectPublicKeyInfo DER.

    Raises:
        Malformed: not the DER of a 4096-bit private key with e = 65537.
    """
    return _public_der(_load_private(private).public_key())


def check_public(public: bytes) -> None:
    """Returns if this is the one DER of a 4096-bit public key with e = 65537.

    Raises:
        Malformed: it is not.
    """
    _load_public(public)


def seal(public: bytes, plaintext: bytes, label: bytes) -> bytes:
    """512 bytes that only the private key and the same OAEP label open; up to 446 bytes of plaintext.

    Raises:
        Malformed: the public key is none.
        TooLarge: the plaintext does not fit.
    """
    if len(plaintext) > MAX_PLAINTEXT:
        raise TooLarge("RSA wraps a key and nothing longer")
    return _load_public(public).encrypt(plaintext, _oaep(label))


def unseal(private: bytes, ciphertext: bytes, label: bytes) -> bytes:
    """The plaintext of what `seal` made.

    Raises:
        Malformed: the private key is none.
        DoesNotOpen: another key or label, or changed bytes.
    """
    key = _load_private(private)
    if len(ciphertext) != CIPHERTEXT_BYTES:
        raise DoesNotOpen
    try:
        return key.decrypt(ciphertext, _oaep(label))
    except ValueError:
        raise DoesNotOpen from None


def _oaep(label: bytes) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=label)


def _load_private(der: bytes) -> RSAPrivateKey:
    try:
        key = serialization.load_der_private_key(der, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed("not an RSA private key") from None
    if not isinstance(key, RSAPrivateKey) or not _is_ours(key.public_key()) or _private_der(key) != der:
        raise Malformed("not an RSA private key")
    return key


def _load_public(der: bytes) -> RSAPublicKey:
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed("not an RSA public key") from None
    if not isinstance(key, RSAPublicKey) or not _is_ours(key) or _public_der(key) != der:
        raise Malformed("not an RSA public key")
    return key


def _is_ours(key: RSAPublicKey) -> bool:
    return key.key_size == BITS and key.public_numbers().e == EXPONENT


def _private_der(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_der(key: RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
