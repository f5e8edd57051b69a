"""Key derivation: Argon2id (RFC 9106) from what a person types, HKDF-SHA256 (RFC 5869) from there on."""

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from privity.crypto import labels
from privity.crypto.signing import SigningKey
from privity.encoding import lp
from privity.errors import Malformed

ACCOUNT_SECRET_BYTES: Final = 16
RECOVERY_SEED_BYTES: Final = 32
SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class KdfParams:
    """The cost of one guess: memory in KiB, passes over it, lanes. The defaults are the floor."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    def check(self) -> None:
        """Returns if the cost is between floor (the defaults) and ceiling (1 GiB, 10 passes, 16 lanes).

        A backend that stores the parameters could otherwise make guessing cheap, or a login endless.

        Raises:
            Malformed: it is outside.
        """
        low, high = KdfParams(), _CEILING
        if not (
            low.memory_kib <= self.memory_kib <= high.memory_kib
            and low.iterations <= self.iterations <= high.iterations
            and low.lanes <= self.lanes <= high.lanes
        ):
            raise Malformed("the key derivation's cost is outside what is allowed")

    def to_json_dict(self) -> dict[str, int]:
        """The three numbers by name."""
        return asdict(self)

    @classmethod
    def from_json_dict(cls, data: Mapping[str, object]) -> Self:
        """The inverse of `to_json_dict`, checked.

        Raises:
            Malformed: other names or types, or outside floor and ceiling.
        """
        numbers = {name: value for name, value in data.items() if type(value) is int}
        if numbers.keys() != {"memory_kib", "iterations", "lanes"} or len(numbers) != len(data):
            raise Malformed("not key derivation parameters")
        params = cls(**numbers)
        params.check()
        return params


_CEILING: Final = KdfParams(memory_kib=1024 * 1024, iterations=10, lanes=16)


@dataclass(frozen=True, slots=True)
class Unlock:
    """What passphrase and account secret give together: the key that wraps the KEK, and the login key."""

    wrap: bytes = field(repr=False)
    login: SigningKey


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the recovery seed gives: a key to wrap the KEK, a login key, and the key that outbids a thief."""

    wrap: bytes = field(repr=False)
    login: SigningKey
    sign: SigningKey


def argon2id(
    password: bytes,
    salt: bytes,
    params: KdfParams,
    *,
    secret: bytes | None = None,
    ad: bytes | None = None,
    length: int = 32,
) -> bytes:
    """Argon2id of RFC 9106, `length` bytes. It takes any cost: foreign parameters are checked before.

    Raises:
        Malformed: a salt or a cost that Argon2id cannot take.
    """
    try:
        return Argon2id(
            salt=salt,
            length=length,
            iterations=params.iterations,
            lanes=params.lanes,
            memory_cost=params.memory_kib,
            ad=ad,
            secret=secret,
        ).derive(password)
    except ValueError as error:
        raise Malformed("not Argon2id parameters") from error


def hkdf(ikm: bytes, length: int, info: bytes, salt: bytes = b"") -> bytes:
    """HKDF-SHA256 of RFC 5869: extract with `salt`, expand with `info` to `length` bytes."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(ikm)


def derive_unlock(passphrase: str, secret: bytes, account: str, params: KdfParams) -> Unlock:
    """The unlock key and the login key of an account.

    Args:
        passphrase: any text; normalised to NFKC, so that two keyboards give the same bytes.
        secret: the account secret, 16 random bytes that never leave the person.
        account: the account id, bound into both keys.
        params: the cost, within floor and ceiling.

    Raises:
        Malformed: a secret of another length, a text that is no Unicode, or a cost that is not allowed.
    """
    params.check()
    if len(secret) != ACCOUNT_SECRET_BYTES:
        raise Malformed("an account secret has 16 bytes")
    salt = hkdf(secret, SALT_BYTES, labels.UNLOCK_SALT)
    ikm = argon2id(_passphrase_bytes(passphrase), salt, params) + secret
    return Unlock(
        wrap=hkdf(ikm, 32, lp(labels.UNLOCK_WRAP, account.encode())),
        login=SigningKey.from_seed(hkdf(ikm, 32, lp(labels.UNLOCK_LOGIN, account.encode()))),
    )


def derive_recovery(seed: bytes, account: str) -> Recovery:
    """The recovery keys of a 32-byte seed.

    `sign` is the same for every account id, even the empty one: its hash goes into the genesis, from which
    the account id is made. `wrap` and `login` are the account's own.

    Raises:
        Malformed: the seed has another length.
    """
    if len(seed) != RECOVERY_SEED_BYTES:
        raise Malformed("a recovery seed has 32 bytes")
    return Recovery(
        wrap=hkdf(seed, 32, lp(labels.RECOVERY_WRAP, account.encode())),
        login=SigningKey.from_seed(hkdf(seed, 32, lp(labels.RECOVERY_LOGIN, account.encode()))),
        sign=SigningKey.from_seed(hkdf(seed, 32, lp(labels.RECOVERY_SIGN))),
    )


def _passphrase_bytes(passphrase: str) -> bytes:
    # Encoded by hand past the surrogates: a UnicodeEncodeError would carry the passphrase itself.
    if any("\ud800" <= letter <= "\udfff" for letter in passphrase):
        raise Malformed("the passphrase is not Unicode text")
    return unicodedata.normalize("NFKC", passphrase).encode()
