"""What names a connection: its id, which fixes both keys, and the number that two people compare by voice."""

import hashlib

from privity.crypto import labels
from privity.encoding import b32, lp, sha256


def connection_id(invitation_record: bytes, acceptance_record: bytes) -> str:
    """The connection's id, 52 letters of base32: it names both keys, so no other pair can stand behind it."""
    return b32(sha256(lp(labels.CONNECTION, sha256(invitation_record), sha256(acceptance_record))))


def safety_number(account_a: str, head_a: bytes, account_b: str, head_b: bytes) -> str:
    """60 digits in twelve groups of five, the same for both ends, that two people compare by voice.

    SHA-512 of lp(label, account, head, account, head), the smaller account first; a group is five bytes,
    big-endian, modulo 100,000 (as in Signal's safety numbers). Some 199 bits; it changes with either head.
    """
    ends = sorted(((account_a.encode(), head_a), (account_b.encode(), head_b)))
    hashed = hashlib.sha512(lp(labels.SAFETY_NUMBER, *ends[0], *ends[1])).digest()
    groups = (int.from_bytes(hashed[start : start + 5], "big") % 100_000 for start in range(0, 60, 5))
    return " ".join(f"{group:05d}" for group in groups)
