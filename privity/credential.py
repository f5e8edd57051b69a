"""A credential of the bus: a NATS user JWT with the nkey that proves it, and the TLS on which it travels.

An nkey is an Ed25519 pair written as NATS writes it. It signs what the server chooses, so it serves the bus alone.
"""

import base64
import json
import os
import ssl
from dataclasses import dataclass, field
from typing import Final, Self

import nkeys

from privity.encoding import unb64
from privity.errors import Malformed

OPERATOR: Final = nkeys.PREFIX_BYTE_OPERATOR
ACCOUNT: Final = nkeys.PREFIX_BYTE_ACCOUNT
USER: Final = nkeys.PREFIX_BYTE_USER
SEED_BYTES: Final = 32
CA_VARIABLE: Final = "PRIVITY_CA"
CREDS: Final = """\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


class Nkey:
    """A private nkey; it shows only its public part."""

    __slots__ = ("_pair", "_seed", "public")

    public: str
    """The public part: 56 characters of base32, O…, A… or U… by its kind."""

    def __init__(self, seed: str) -> None:
        """The key of a text that begins with S.

        Raises:
            Malformed: the text is none.
        """
        try:
            self._pair = nkeys.from_seed(bytearray(seed.encode()))
            self.public = self._pair.public_key.decode()
        except (nkeys.NkeysError, ValueError):
            raise Malformed("not the seed of an nkey") from None
        self._seed = seed

    @classmethod
    def of(cls, raw: bytes, kind: int) -> Self:
        """The key of 32 secret bytes, as OPERATOR, ACCOUNT or USER."""
        return cls(nkeys.encode_seed(raw, kind).decode())

    @classmethod
    def generate(cls, kind: int) -> Self:
        """A new random key."""
        return cls.of(os.urandom(SEED_BYTES), kind)

    @property
    def seed(self) -> str:
        """The secret seed as text, S…"""
        return self._seed

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature over exactly these bytes."""
        signature: bytes = self._pair.sign(data)
        return signature

    def __repr__(self) -> str:
        return f"Nkey({self.public})"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a connection shows: a user JWT, and its nkey; a bearer's JWT has none."""

    jwt: str = field(repr=False)
    nkey: Nkey | None = None

    @property
    def life(self) -> tuple[int, int]:
        """When it was issued and when it ends, in seconds of Unix time; 0 for an end that never comes.

        Raises:
            Malformed: it is no JWT.
        """
        claims = jwt_claims(self.jwt)
        issued, ends = claims.get("iat"), claims.get("exp", 0)
        if not isinstance(issued, int) or not isinstance(ends, int):
            raise Malformed("not a credential of the bus")
        return issued, ends

    def text(self) -> str:
        """As a `.creds` file, which the NATS clients of all languages take.

        Raises:
            Malformed: it is a bearer's, which has no nkey to write down.
        """
        if self.nkey is None:
            raise Malformed("a bearer's credential has no nkey")
        return CREDS.format(jwt=self.jwt, seed=self.nkey.seed)

    def shown(self) -> bytes:
        """What the bus is shown (`user_jwt_cb` of the client library)."""
        return self.jwt.encode()

    def proof(self, nonce: str) -> bytes:
        """The signature over the server's nonce, base64 (`signature_cb` of the client library); empty for a bearer."""
        return base64.b64encode(self.nkey.sign(nonce.encode())) if self.nkey else b""


def jwt_claims(jwt: str) -> dict[str, object]:
    """What a JWT says; its signature is for the server to check.

    Raises:
        Malformed: it cannot be read.
    """
    try:
        claims = json.loads(unb64(jwt.split(".")[1]))
    except (ValueError, IndexError, RecursionError):
        raise Malformed("not a credential of the bus") from None
    if not isinstance(claims, dict):
        raise Malformed("not a credential of the bus")
    return claims


def client_tls(ca: str | None = None) -> ssl.SSLContext:
    """TLS that checks the server's certificate and name; `ca` is a PEM file of whom to trust, else the system's list.

    Raises:
        Malformed: there is no such file, or it holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError):
        raise Malformed(f"no certificates can be read from {ca}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
