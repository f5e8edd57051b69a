"""What a person means to share as soon as an invitation is accepted: ids that all of their devices come to alone."""

from typing import Final

from privity.crypto import labels
from privity.crypto.kdf import hkdf
from privity.encoding import b32, lp

ID_BYTES: Final = 16


def intended_share(kek: bytes, invitation: str, item: str) -> str:
    """The id, 26 letters of base32, of the share that an intent becomes.

    It is the same on all devices of the person, so that there is one such share; nobody else can tell it before.
    """
    return b32(hkdf(kek, ID_BYTES, lp(labels.INTENDED_SHARE, invitation.encode(), item.encode())))
