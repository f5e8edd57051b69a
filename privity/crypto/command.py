"""What an agent signs towards the backend: commands, queries, logins, the end of an account; and their frame.

A command on the wire is frame(signature, payload, *sealed objects).
"""

from typing import Final

from privity.crypto import labels
from privity.crypto.signing import SigningKey, verify
from privity.errors import BadLogin, BadSignature, ForgedRecord, Malformed, TooLarge

MAGIC: Final = b"PVC1"
LENGTH_BYTES: Final = 4


def sign_command(device: SigningKey, home: str, subject: str, payload: bytes) -> bytes:
    """The device's signature over label ‖ home ‖ subject ‖ exact payload bytes, length-prefixed."""
    return device.sign(labels.COMMAND, home.encode(), subject.encode(), payload)


def verify_command(public: bytes, signature: bytes, home: str, subject: str, payload: bytes) -> None:
    """Returns if `sign_command` of this device made the signature.

    Raises:
        BadSignature: it did not.
    """
    _verify(public, signature, labels.COMMAND, home, subject, payload)


def sign_query(device: SigningKey, home: str, subject: str, payload: bytes) -> bytes:
    """As `sign_command`, under the label of queries."""
    return device.sign(labels.QUERY, home.encode(), subject.encode(), payload)


def verify_query(public: bytes, signature: bytes, home: str, subject: str, payload: bytes) -> None:
    """Returns if `sign_query` of this device made the signature.

    Raises:
        BadSignature: it did not.
    """
    _verify(public, signature, labels.QUERY, home, subject, payload)


def sign_login(key: SigningKey, home: str, purpose: str, nonce: bytes) -> bytes:
    """The login key's proof over nonce ‖ home ‖ purpose: the answer to a fresh nonce, for one purpose."""
    return key.sign(labels.LOGIN, nonce, home.encode(), purpose.encode())


def verify_login(public: bytes, signature: bytes, home: str, purpose: str, nonce: bytes) -> None:
    """Returns if `sign_login` of this login key made the proof.

    Raises:
        BadLogin: it did not.
    """
    try:
        verify(public, signature, labels.LOGIN, nonce, home.encode(), purpose.encode())
    except ForgedRecord:
        raise BadLogin from None


def sign_closing(sign: SigningKey, home: str, account: str, head: bytes) -> bytes:
    """The identity's word that its account ends, at its newest record (`head`, the hash of that, 32 bytes)."""
    return sign.sign(labels.CLOSE, home.encode(), account.encode(), head)


def verify_closing(public: bytes, signature: bytes, home: str, account: str, head: bytes) -> None:
    """Returns if `sign_closing` of this sign key made the signature.

    Raises:
        BadSignature: it did not.
    """
    try:
        verify(public, signature, labels.CLOSE, home.encode(), account.encode(), head)
    except ForgedRecord:
        raise BadSignature("the identity's sign key did not sign that the account ends") from None


def frame(*parts: bytes) -> bytes:
    """b"PVC1" and each part behind its length in four bytes."""
    pieces = [piece for part in parts for piece in (len(part).to_bytes(LENGTH_BYTES, "big"), part)]
    return b"".join([MAGIC, *pieces])  # a part may be large: it is copied once


def unframe(data: bytes, max_parts: int, max_bytes: int) -> list[bytes]:
    """The parts of a frame.

    Raises:
        TooLarge: more than `max_bytes` in all, or more than `max_parts` parts.
        Malformed: no frame, or one that is cut or has bytes left over.
    """
    if len(data) > max_bytes:
        raise TooLarge
    if not data.startswith(MAGIC):
        raise Malformed("not a frame")
    parts: list[bytes] = []
    position = len(MAGIC)
    while position < len(data):
        start = position + LENGTH_BYTES
        position = start + int.from_bytes(data[start - LENGTH_BYTES : start], "big")
        if start > len(data) or position > len(data):
            raise Malformed("the frame is cut")
        if len(parts) == max_parts:
            raise TooLarge("the frame has too many parts")
        parts.append(data[start:position])
    return parts


def _verify(public: bytes, signature: bytes, label: bytes, home: str, subject: str, payload: bytes) -> None:
    try:
        verify(public, signature, label, home.encode(), subject.encode(), payload)
    except ForgedRecord:
        raise BadSignature from None
