"""The keyring: a person's open keys in memory, and how they are wrapped for the device and for the backend."""

import json
from dataclasses import dataclass, field

from privity.agent.profile import Profile, secret_of
from privity.crypto import labels
from privity.crypto.identity import Identity
from privity.crypto.kdf import KdfParams, derive_unlock
from privity.crypto.kem import KeyPair, Suite, generate_keypair, public_of
from privity.crypto.keyring import unwrap_key, wrap_key
from privity.crypto.signing import SigningKey
from privity.encoding import b64, unb64
from privity.errors import BadPassphrase, DoesNotOpen


@dataclass(frozen=True, slots=True)
class IdentityKeys:
    """The private parts of the identity: to sign, and to be sealed to."""

    sign: SigningKey = field(repr=False)
    seal: KeyPair = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """All that opens a person's data on one device."""

    account: str
    kek: bytes = field(repr=False)
    identity: IdentityKeys = field(repr=False)
    device: SigningKey = field(repr=False)


def new_identity() -> IdentityKeys:
    """Fresh identity keys: Ed25519 and X-Wing."""
    return IdentityKeys(SigningKey.generate(), generate_keypair(Suite.X_WING))


def wrap_identity(kek: bytes, keys: IdentityKeys, account: str) -> bytes:
    """The identity's private parts under the KEK."""
    parts = {"sign": b64(keys.sign.seed), "seal": b64(keys.seal.private), "suite": keys.seal.suite.value}
    return wrap_key(kek, json.dumps(parts).encode(), labels.PURPOSE_IDENTITY, account.encode())


def unwrap_identity(kek: bytes, wrapped: bytes, account: str) -> IdentityKeys:
    """The inverse of `wrap_identity`.

    Raises:
        DoesNotOpen: another KEK or account, or changed bytes.
    """
    parts = json.loads(unwrap_key(kek, wrapped, labels.PURPOSE_IDENTITY, account.encode()))
    suite, private = Suite(parts["suite"]), unb64(parts["seal"])
    pair = KeyPair(suite, private, public_of(suite, private))
    return IdentityKeys(SigningKey.from_seed(unb64(parts["sign"])), pair)


def check_identity(keys: IdentityKeys, identity: Identity) -> None:
    """Returns if the private keys are those of the identity that the chain shows.

    Raises:
        DoesNotOpen: the backend served a chain and keys that do not belong together.
    """
    if (keys.sign.public, keys.seal.public) != (identity.sign, identity.seal):
        raise DoesNotOpen("The identity's private keys are not those that its chain shows.")


def wrap_kek(wrapping: bytes, kek: bytes, purpose: bytes, account: str) -> bytes:
    """The KEK under the unlock key or the recovery key."""
    return wrap_key(wrapping, kek, purpose, account.encode())


def unwrap_kek(wrapping: bytes, wrapped: bytes, purpose: bytes, account: str) -> bytes:
    """The inverse of `wrap_kek`.

    Raises:
        DoesNotOpen: another key, purpose or account, or changed bytes.
    """
    return unwrap_key(wrapping, wrapped, purpose, account.encode())


def wrap_device(kek: bytes, device: SigningKey, account: str, id: str) -> bytes:
    """The device's key under the KEK."""
    return wrap_key(kek, device.seed, labels.PURPOSE_DEVICE, account.encode(), id.encode())


def unlock(profile: Profile, passphrase: str) -> Keyring:
    """Open a profile's keys: one Argon2id, some 0.1 s.

    Raises:
        BadPassphrase: the passphrase does not open them.
    """
    params = KdfParams.from_json_dict(profile.kdf)
    opened = derive_unlock(passphrase, secret_of(profile), profile.account, params)
    try:
        kek = unwrap_kek(opened.wrap, unb64(profile.kek), labels.PURPOSE_KEK, profile.account)
    except DoesNotOpen:
        raise BadPassphrase from None
    ids = (profile.account.encode(), profile.device.encode())
    device = unwrap_key(kek, unb64(profile.device_key), labels.PURPOSE_DEVICE, *ids)
    identity = unwrap_identity(kek, unb64(profile.identity), profile.account)
    return Keyring(profile.account, kek, identity, SigningKey.from_seed(device))
