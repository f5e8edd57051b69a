"""A location's line: numbered changes, each signed by who wrote it, each with the digest of the one before.

A change is a manifest, a body sealed to the generation of the location's key, and the places of the objects that it
brings or lets go of, which are open. The manifest names both by digest, so one signature says all of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from privity.crypto import kem, labels
from privity.crypto.kem import Suite
from privity.crypto.record import decode_record, encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import digest, lp
from privity.errors import DoesNotOpen, Malformed

BODY_STEP: Final = 1024
"""Bytes: a body is padded to a multiple, so that its size tells little of the names in it."""
MAX_BODY: Final = 512 * 1024
"""Bytes of a body before it is sealed."""
_END: Final = b"\x80"
"""What stands between a body and its padding (ISO/IEC 7816-4)."""

Placed = Mapping[str, object]
"""An object as the message has it: its id, how many segments it has, how many fragments are enough, its roots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a writer signs of one change.

    `n` counts the changes from 1, `prev` is the digest of the manifest before, None for the first; `generation` is
    the key's that the body is sealed to; `body` and `objects` are digests; `checkpoint` the newest of the home's log
    that the writer had seen.
    """

    location: str
    n: int
    prev: str | None
    generation: int
    by: str
    body: str
    objects: str
    checkpoint: str


_FIELDS: Final = frozenset({"v", *(each.name for each in fields(Manifest))})


def objects_digest(objects: Sequence[Placed], released: Sequence[str]) -> str:
    """The digest, base64url, of which objects a change brings, where they stand, and which it lets go of."""
    said = json.dumps({"objects": list(objects), "released": list(released)}, sort_keys=True, separators=(",", ":"))
    return digest(lp(labels.LOCATION_OBJECTS, said.encode()))


def sign_manifest(identity: SigningKey, manifest: Manifest) -> tuple[bytes, bytes]:
    """The manifest's exact bytes and the signature.

    Raises:
        Malformed: a value is one that no reader would take.
    """
    data = encode_record({"v": 1, **asdict(manifest)})
    read_manifest(data)
    return data, identity.sign(labels.LOCATION_CHANGE, data)


def read_manifest(data: bytes) -> Manifest:
    """The parsed manifest, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields; the first with one before it, a later one without.
    """
    facts = decode_record(data, _FIELDS)
    n = facts.number("n", least=1)
    if (facts.values["prev"] is None) is not (n == 1):
        raise Malformed("the first change of a location has none before it, and every other has one")
    return Manifest(
        location=facts.text("location"),
        n=n,
        prev=None if n == 1 else facts.digest("prev"),
        generation=facts.number("generation", least=1),
        by=facts.text("by"),
        body=facts.digest("body"),
        objects=facts.digest("objects"),
        checkpoint=facts.text("checkpoint"),
    )


def verify_manifest(data: bytes, signature: bytes, sign_public: bytes) -> Manifest:
    """The manifest, signed by this key. Whose it is, and whether they may write, the caller checks.

    Raises:
        ForgedRecord: the signature is another's.
        Malformed: as `read_manifest`.
    """
    verify(sign_public, signature, labels.LOCATION_CHANGE, data)
    return read_manifest(data)


def seal_body(suite: Suite, public: bytes, body: bytes, *, location: str, n: int, generation: int, by: str) -> bytes:
    """What a change says of files, sealed to the key's generation, for this place in the line alone.

    Raises:
        Malformed: not a public key of this suite, or a body of more than 512 KiB.
    """
    if len(body) > MAX_BODY:
        raise Malformed("a change of a location has at most 512 KiB")
    padded = body + _END + bytes(-(len(body) + 1) % BODY_STEP)
    return kem.seal_to(suite, public, padded, labels.LOCATION_BODY, *_place(location, n, generation, by))


def open_body(suite: Suite, private: bytes, blob: bytes, manifest: Manifest) -> bytes:
    """The inverse of `seal_body`, of the body that the manifest names.

    Raises:
        DoesNotOpen: another key, place or object.
    """
    if digest(blob) != manifest.body:
        raise DoesNotOpen
    place = _place(manifest.location, manifest.n, manifest.generation, manifest.by)
    padded = kem.open_with(suite, private, blob, labels.LOCATION_BODY, *place)
    body, end, padding = padded.rpartition(_END)
    if not end or any(padding) or len(padded) > MAX_BODY + BODY_STEP:
        raise DoesNotOpen
    return body


def _place(location: str, n: int, generation: int, by: str) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in (location, str(n), str(generation), by))
