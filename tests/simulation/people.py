"""People of a run: citizens with a name, who keep the keys that they had."""

import json
from dataclasses import dataclass, field

from handlers.opening import Delivery
from privity.crypto.kem import KeyPair
from privity.encoding import b64, digest, sha256, unb64
from tests.handlers.people import Citizen

NAMES = ("ann", "bob", "eve", "dan")
ADDRESSES = tuple(f"{name}{more}@localhost" for more in ("", "-too") for name in NAMES)
"""Whoever is first has one of them, and has it for ever."""


@dataclass
class Somebody(Citizen):
    """A person; `seals` are the identity's pairs by the digest of the public part, `publics` all their sign keys.

    `name` is that by which the model knows them; addresses come and go.
    """

    name: str = ""
    seals: dict[str, KeyPair] = field(default_factory=dict)
    publics: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._note_keys()

    def rotates(self) -> Delivery:
        """New identity keys; those of before are kept, to read with."""
        said = super().rotates()
        self._note_keys()
        return said

    def _note_keys(self) -> None:
        self.seals[digest(self.keys.seal.public)] = self.keys.seal
        self.publics.append(self.keys.sign.public)


def written(of: str, secret: str) -> bytes:
    """The content of an item or a share: its secret, and the key of all files that hang on it."""
    return json.dumps({"secret": secret, "key": b64(sha256(f"files of {of}".encode()))}).encode()


def read(content: bytes) -> tuple[str, bytes]:
    """The inverse: the secret, and the key."""
    said = json.loads(content)
    return said["secret"], unb64(said["key"])
