"""Sealing to a public key: HPKE base mode (RFC 9180) with X-Wing or X25519, or RSA-4096-OAEP for old peers.

Layout: b"PVH1" ‖ u8 length ‖ full suite name ‖ for HPKE encapsulation and ciphertext, for RSA 512 bytes.
The HPKE info is lp(label, suite name, *context); the OAEP label is the SHA-256 of that.
Keys: X25519 32 bytes each; X-Wing a 32-byte seed (draft-connolly-cfrg-xwing-kem, expanded by SHAKE256) and
the public keys ML-KEM-768 ‖ X25519 (1,216 bytes); RSA in DER, see `rsa`.
"""

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHAKE256, Hash

from privity.crypto import rsa
from privity.encoding import lp, sha256
from privity.errors import DoesNotOpen, Malformed, TooLarge

MAX_PLAINTEXT: Final = 16 * 1024 * 1024
PRIVATE_BYTES: Final = 32
MLKEM_SEED_BYTES: Final = 64
X25519_BYTES: Final = 32


class Suite(StrEnum):
    """How something is sealed to a public key; the value is the name in records and on the command line."""

    X_WING = "MLKEM768_X25519"
    X25519 = "X25519"
    RSA = "RSA-4096-OAEP"


_NAMES: Final = {
    Suite.X_WING: b"HPKE-MLKEM768_X25519-HKDF-SHA256-AES-256-GCM",
    Suite.X25519: b"HPKE-X25519-HKDF-SHA256-AES-256-GCM",
    Suite.RSA: b"RSA-4096-OAEP-SHA256",
}
_PROBE: Final = X25519PrivateKey.from_private_bytes(bytes(PRIVATE_BYTES))
_KEMS: Final = {Suite.X_WING: hpke.KEM.MLKEM768_X25519, Suite.X25519: hpke.KEM.X25519}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A keypair to seal to, both parts as bytes."""

    suite: Suite
    private: bytes = field(repr=False)
    public: bytes


def generate_keypair(suite: Suite = Suite.X_WING) -> KeyPair:
    """A fresh random keypair. RSA can take seconds."""
    private = rsa.generate() if suite is Suite.RSA else secrets.token_bytes(PRIVATE_BYTES)
    return KeyPair(suite, private, public_of(suite, private))


def public_of(suite: Suite, private: bytes) -> bytes:
    """The public key that belongs to a private one.

    Raises:
        Malformed: not a private key of this suite.
    """
    match suite:
        case Suite.X_WING:
            mlkem, x25519 = _x_wing_parts(private)
            return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        case Suite.X25519:
            return _x25519(private).public_key().public_bytes_raw()
        case Suite.RSA:
            return rsa.public_of(private)


def check_public(suite: Suite, public: bytes) -> None:
    """Returns if these bytes are a public key of this suite.

    Raises:
        Malformed: they are not.
    """
    if suite is Suite.RSA:
        rsa.check_public(public)
    else:
        _load_public(suite, public)


def seal_to(suite: Suite, public: bytes, plaintext: bytes, label: bytes, *context: bytes) -> bytes:
    """`plaintext` sealed to a public key, to be opened only with the same label and context.

    It does not say who sealed it: a signature has to.

    Raises:
        Malformed: not a public key of this suite.
        TooLarge: more than 16 MiB, or for RSA more than 446 bytes.
    """
    info = lp(label, _NAMES[suite], *context)
    if suite is Suite.RSA:
        return _header(suite) + rsa.seal(public, plaintext, sha256(info))
    return _header(suite) + hpke_seal(suite, public, plaintext, info)


def open_with(suite: Suite, private: bytes, blob: bytes, label: bytes, *context: bytes) -> bytes:
    """The plaintext of what `seal_to` made.

    Raises:
        DoesNotOpen: another key, label, context or suite, or changed bytes; the same error for every cause.
    """
    header = _header(suite)
    if not blob.startswith(header):
        raise DoesNotOpen
    info, message = lp(label, _NAMES[suite], *context), blob[len(header) :]
    try:
        if suite is Suite.RSA:
            return rsa.unseal(private, message, sha256(info))
        return hpke_open(suite, private, message, info)
    except Malformed:
        raise DoesNotOpen from None


def hpke_seal(suite: Suite, public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """The bare HPKE message enc ‖ ct (RFC 9180, section 6.1, empty aad), without the blob's header.

    Raises:
        Malformed: not a public key of this suite.
        TooLarge: more than 16 MiB.
    """
    if len(plaintext) > MAX_PLAINTEXT:
        raise TooLarge
    key = _load_public(suite, public)
    return _hpke(suite).encrypt(plaintext, key, info)


def hpke_open(
    suite: Suite, private: bytes, message: bytes, info: bytes, aead: hpke.AEAD = hpke.AEAD.AES_256_GCM
) -> bytes:
    """The plaintext of an HPKE message enc ‖ ct with empty aad.

    Blobs are always AES-256-GCM; `aead` is for the published known answers, which use others.

    Raises:
        Malformed: not a private key of this suite.
        DoesNotOpen: another key or info, or changed bytes.
    """
    key = _load_private(suite, private)
    try:
        return _hpke(suite, aead).decrypt(message, key, info)
    except (InvalidTag, ValueError):
        raise DoesNotOpen from None


def _hpke(suite: Suite, aead: hpke.AEAD = hpke.AEAD.AES_256_GCM) -> hpke.Suite:
    return hpke.Suite(_KEMS[suite], hpke.KDF.HKDF_SHA256, aead)


def _header(suite: Suite) -> bytes:
    name = _NAMES[suite]
    return b"PVH1" + bytes([len(name)]) + name


def _load_private(suite: Suite, private: bytes) -> X25519PrivateKey | hpke.MLKEM768X25519PrivateKey:
    if suite is Suite.X25519:
        return _x25519(private)
    return hpke.MLKEM768X25519PrivateKey(*_x_wing_parts(private))


def _load_public(suite: Suite, public: bytes) -> X25519PublicKey | hpke.MLKEM768X25519PublicKey:
    try:
        if suite is Suite.X25519:
            return _agreeable(public)
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:-X25519_BYTES])
        return hpke.MLKEM768X25519PublicKey(mlkem, _agreeable(public[-X25519_BYTES:]))
    except ValueError:
        raise Malformed("not a public key of this suite") from None


def _agreeable(public: bytes) -> X25519PublicKey:
    """An X25519 key with which a secret can be agreed; a ValueError for a point of small order."""
    key = X25519PublicKey.from_public_bytes(public)
    _PROBE.exchange(key)
    return key


def _x_wing_parts(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    if len(seed) != PRIVATE_BYTES:
        raise Malformed("not a private key of this suite")
    expand = Hash(SHAKE256(MLKEM_SEED_BYTES + X25519_BYTES))
    expand.update(seed)
    expanded = expand.finalize()
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:MLKEM_SEED_BYTES]), _x25519(expanded[MLKEM_SEED_BYTES:])


def _x25519(private: bytes) -> X25519PrivateKey:
    if len(private) != PRIVATE_BYTES:
        raise Malformed("not a private key of this suite")
    return X25519PrivateKey.from_private_bytes(private)
