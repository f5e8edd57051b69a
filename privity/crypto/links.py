"""The links by which an invitation travels: with the secret in the fragment, or by mail with a mere token."""

import re
from dataclasses import dataclass, field
from typing import Final

from privity.encoding import b64, unb64
from privity.errors import Malformed

SECRET_BYTES: Final = 32
MIN_TOKEN_BYTES: Final = 16

_LINK: Final = re.compile(
    r"privity://(?P<home>[a-z0-9-]{1,64})/(?P<inv>[A-Za-z0-9_-]{1,64})"
    r"(?:#(?P<secret>[A-Za-z0-9_-]{43})|\?token=(?P<token>[A-Za-z0-9_-]{1,128}))"
)


@dataclass(frozen=True, slots=True)
class Link:
    """A parsed link: it holds either the secret S or the token of the mail path."""

    home: str
    inv: str
    secret: bytes | None = field(default=None, repr=False)
    token: bytes | None = field(default=None, repr=False)


def invitation_link(home: str, inv: str, secret: bytes) -> str:
    """privity://<home>/<inv>#<S>: a fragment is never sent to a server. To be handed over out of band."""
    return f"privity://{home}/{inv}#{b64(secret)}"


def mail_link(home: str, inv: str, token: bytes) -> str:
    """privity://<home>/<inv>?token=<token>: what the backend mails; who accepts by it is not verified."""
    return f"privity://{home}/{inv}?token={b64(token)}"


def parse_link(text: str) -> Link:
    """The parts of either link.

    Raises:
        Malformed: anything else; the text is not repeated, since it may hold the secret.
    """
    match = _LINK.fullmatch(text.strip())
    if match is None:
        raise Malformed("not an invitation link")
    secret = unb64(match["secret"]) if match["secret"] else None
    token = unb64(match["token"]) if match["token"] else None
    if token is not None and len(token) < MIN_TOKEN_BYTES:
        raise Malformed("not an invitation link")
    return Link(match["home"], match["inv"], secret, token)
