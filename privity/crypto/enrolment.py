"""What an agent proves to get its credential for the bus, and how that is sealed to it alone.

Who is about to enrol shares an inbox with all the others who are: hence the seal. The nonce is the backend's own.
"""

from typing import Final
from uuid import UUID

from privity.crypto import labels
from privity.crypto.kdf import hkdf
from privity.crypto.kem import KeyPair, Suite, open_with, seal_to
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b32, lp, sha256
from privity.errors import BadLogin, BadSignature, ForgedRecord

NKEY_BYTES: Final = 32
ANSWER_SUITE: Final = Suite.X25519


def nkey_seed(device: SigningKey, home: str, account: str) -> bytes:
    """The 32 secret bytes of the device's nkey: derived, so that the device's key is the only one to keep.

    The server chooses what an nkey signs, so it cannot be the device's key itself.
    """
    return hkdf(device.seed, NKEY_BYTES, lp(labels.BUS_NKEY, home.encode(), account.encode()))


def sign_device_enrolment(
    device: SigningKey, home: str, account: str, device_id: str, nkey: str, answer: bytes, nonce: bytes
) -> bytes:
    """The device's signature over home ‖ account ‖ device ‖ nkey ‖ answer key ‖ nonce."""
    return device.sign(labels.ENROL_DEVICE, *_texts(home, account, device_id, nkey), answer, nonce)


def verify_device_enrolment(
    public: bytes, signature: bytes, home: str, account: str, device_id: str, nkey: str, answer: bytes, nonce: bytes
) -> None:
    """Returns if `sign_device_enrolment` of this device made the signature.

    Raises:
        BadSignature: it did not.
    """
    try:
        verify(public, signature, labels.ENROL_DEVICE, *_texts(home, account, device_id, nkey), answer, nonce)
    except ForgedRecord:
        raise BadSignature from None


def sign_login_enrolment(
    key: SigningKey, home: str, account: str, purpose: str, nkey: str, answer: bytes, nonce: bytes
) -> bytes:
    """The login key's proof over home ‖ account ‖ purpose ‖ nkey ‖ answer key ‖ nonce."""
    return key.sign(labels.ENROL_LOGIN, *_texts(home, account, purpose, nkey), answer, nonce)


def verify_login_enrolment(
    public: bytes, signature: bytes, home: str, account: str, purpose: str, nkey: str, answer: bytes, nonce: bytes
) -> None:
    """Returns if `sign_login_enrolment` of this login key made the proof.

    Raises:
        BadLogin: it did not.
    """
    try:
        verify(public, signature, labels.ENROL_LOGIN, *_texts(home, account, purpose, nkey), answer, nonce)
    except ForgedRecord:
        raise BadLogin from None


def login_ids(request: bytes) -> tuple[str, str]:
    """The ids under which the log names a login's request, which has none of its own: of a command, and of a device."""
    hashed = sha256(request)
    return str(UUID(bytes=hashed[:16])), b32(hashed[16:])


def seal_answer(answer: bytes, jwt: str, home: str, account: str, nkey: str) -> bytes:
    """The credential, sealed to the request's X25519 key.

    Raises:
        Malformed: the key is none.
    """
    return seal_to(ANSWER_SUITE, answer, jwt.encode(), labels.ENROL_ANSWER, *_texts(home, account, nkey))


def open_answer(pair: KeyPair, sealed: bytes, home: str, account: str, nkey: str) -> str:
    """The credential that `seal_answer` sealed.

    Raises:
        DoesNotOpen: it is somebody else's answer, or bytes that changed.
    """
    opened = open_with(pair.suite, pair.private, sealed, labels.ENROL_ANSWER, *_texts(home, account, nkey))
    return opened.decode("ascii", "replace")


def _texts(*texts: str) -> list[bytes]:
    return [text.encode() for text in texts]
