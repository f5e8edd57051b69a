"""The texts that a person keeps: account secret and recovery seed, each with the trust anchor inside.

Text: prefix ‖ b32(account (32) ‖ log hash (16) ‖ secret (16 or 32) ‖ checksum (4)), the checksum being the
first bytes of SHA-256(prefix ‖ all before it). A bare machine needs nothing else to tell the right backend
from another.
"""

from typing import Final

from privity.crypto import labels
from privity.crypto.kdf import ACCOUNT_SECRET_BYTES, RECOVERY_SEED_BYTES
from privity.encoding import b32, lp, sha256, unb32
from privity.errors import BadLogin, Malformed

SECRET_PREFIX: Final = "privity-secret-1-"  # noqa: S105 - it names the kind of text
RECOVERY_PREFIX: Final = "privity-recovery-1-"
ACCOUNT_BYTES: Final = 32
LOG_HASH_BYTES: Final = 16
CHECKSUM_BYTES: Final = 4
HOME_LETTERS: Final = 26


def log_hash(log_public: bytes) -> bytes:
    """The 16 bytes by which the texts name a log key (Ed25519 public, 32 bytes)."""
    return sha256(lp(labels.HOME, log_public))[:LOG_HASH_BYTES]


def home_id(log_public: bytes) -> str:
    """The home's name, 26 letters of base32 over the same hash."""
    return b32(sha256(lp(labels.HOME, log_public)))[:HOME_LETTERS]


def encode_secret(account: str, log_hash: bytes, secret: bytes) -> str:
    """The account secret as text, with account id (52 letters) and log hash (16 bytes).

    Raises:
        Malformed: a part of another length.
    """
    return _encode(SECRET_PREFIX, account, log_hash, secret, ACCOUNT_SECRET_BYTES)


def decode_secret(text: str) -> tuple[str, bytes, bytes]:
    """Account id, log hash and secret. Case and the space around do not matter.

    Raises:
        BadLogin: any mistake in the text.
    """
    return _decode(SECRET_PREFIX, text, ACCOUNT_SECRET_BYTES)


def encode_recovery(account: str, log_hash: bytes, seed: bytes) -> str:
    """The recovery seed (32 bytes) as text, as `encode_secret`.

    Raises:
        Malformed: a part of another length.
    """
    return _encode(RECOVERY_PREFIX, account, log_hash, seed, RECOVERY_SEED_BYTES)


def decode_recovery(text: str) -> tuple[str, bytes, bytes]:
    """Account id, log hash and recovery seed.

    Raises:
        BadLogin: any mistake in the text.
    """
    return _decode(RECOVERY_PREFIX, text, RECOVERY_SEED_BYTES)


def _encode(prefix: str, account: str, log_hash: bytes, secret: bytes, length: int) -> str:
    raw = unb32(account)
    if (len(raw), len(log_hash), len(secret)) != (ACCOUNT_BYTES, LOG_HASH_BYTES, length):
        raise Malformed("an account id has 32 bytes, a log hash 16, a secret 16, a recovery seed 32")
    payload = raw + log_hash + secret
    return prefix + b32(payload + _checksum(prefix, payload))


def _decode(prefix: str, text: str, length: int) -> tuple[str, bytes, bytes]:
    payload = _payload(prefix, text.strip().lower())
    if payload is None or len(payload) != ACCOUNT_BYTES + LOG_HASH_BYTES + length:
        raise BadLogin("The secret or recovery text is mistyped or not complete.")
    secret_at = ACCOUNT_BYTES + LOG_HASH_BYTES
    return b32(payload[:ACCOUNT_BYTES]), payload[ACCOUNT_BYTES:secret_at], payload[secret_at:]


def _payload(prefix: str, text: str) -> bytes | None:
    letters = text.removeprefix(prefix)
    try:
        data = unb32(letters)
    except Malformed:
        return None
    payload, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    # The whole text is made again: base32 alone would take stray bits and foreign letters.
    return payload if checksum == _checksum(prefix, payload) and prefix + b32(data) == text else None


def _checksum(prefix: str, payload: bytes) -> bytes:
    return sha256(prefix.encode() + payload)[:CHECKSUM_BYTES]
