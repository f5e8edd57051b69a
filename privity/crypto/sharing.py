"""One share of one item with one person: content under a DEK, the DEK wrapped for both, a manifest.

Every part is bound to owner, share, space, connection, item, recipient, version and generation, so that none
opens in another place; the manifest names the parts by digest, so its signature says who sealed them.

The manifests that one person sends over one connection are a line: numbered from 1, each with the digest of the
one before, so that none can be left out between two others; each with the sender's newest checkpoint of the log.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Final, Literal

from privity.crypto import aead, kem, labels
from privity.crypto.items import open_item, open_note, seal_item, seal_note
from privity.crypto.kem import Suite
from privity.crypto.keyring import unwrap_key, wrap_key
from privity.crypto.record import Facts, decode_record, encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b32, digest, lp, sha256
from privity.errors import DoesNotOpen, Malformed

__all__ = [
    "Manifest",
    "SealedShare",
    "line_id",
    "open_item",
    "open_note",
    "open_share",
    "read_manifest",
    "rewrap_dek",
    "seal_item",
    "seal_note",
    "seal_share",
    "unseal_dek",
    "unwrap_own",
    "verify_share",
]

FIRST_GENERATION: Final = 1
MAX_CHECKPOINT: Final = 512
"""Characters of a checkpoint note."""

_PURPOSES: Final = {"owner": labels.PURPOSE_SHARE_OWNER, "recipient": labels.PURPOSE_SHARE_RECIPIENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the owner signs about one version of a share: its place, its sealed parts, and where it stands in the line.

    `n` counts the owner's manifests over this connection from 1; `prev` is the digest of the one before, None for the
    first. `checkpoint` is the newest checkpoint of the home's log that the owner had seen. Manifests of Privity 0.1
    stand in no line: their `n` is 0.
    """

    share: str
    space: str
    connection: str
    item: str
    version: int
    generation: int
    owner: str
    recipient: str
    recipient_key: str
    suite: Suite
    content: str
    owner_wrap: str
    recipient_wrap: str
    n: int
    prev: str | None
    checkpoint: str

    @property
    def context(self) -> tuple[bytes, ...]:
        """What every sealed part is bound to; numbers as decimal text."""
        ids = (self.owner, self.share, self.space, self.connection, self.item, self.recipient)
        return tuple(each.encode() for each in (*ids, str(self.version), str(self.generation)))


_PLACE_IN_LINE: Final = frozenset({"n", "prev", "checkpoint"})
_FIELDS: Final = frozenset({"v", *(each.name for each in fields(Manifest))}) - _PLACE_IN_LINE


@dataclass(frozen=True, slots=True)
class SealedShare:
    """A share as it leaves the owner: the manifest's exact bytes, its signature, the three sealed parts."""

    manifest: bytes
    signature: bytes
    content: bytes
    owner_wrap: bytes
    recipient_wrap: bytes


def line_id(connection: str, sender: str) -> str:
    """The id, 52 letters of base32, of the line of what one person sends over one connection."""
    return b32(sha256(lp(labels.LINE, connection.encode(), sender.encode())))


def seal_share(
    dek: bytes,
    kek: bytes,
    plaintext: bytes,
    *,
    share: str,
    space: str,
    connection: str,
    item: str,
    version: int,
    owner: str,
    recipient: str,
    suite: Suite,
    recipient_public: bytes,
    recipient_key: str,
    identity: SigningKey,
    n: int,
    prev: str | None,
    checkpoint: str,
) -> SealedShare:
    """Seals `plaintext` under `dek`, wraps that under the owner's `kek` and to the recipient, and signs.

    Args:
        recipient_public: the pinned, certified public key of the recipient's side of the connection.
        recipient_key: the id of that keypair, by which the recipient finds the private part.
        identity: the owner's identity signing key.
        n, prev: the number in the owner's line, from 1, and the digest of the manifest before, None for the first.
        checkpoint: the newest checkpoint note that the owner has seen, without co-signatures.

    Raises:
        Malformed: a key is none, or a value is one that no reader would take.
        TooLarge: more than 16 MiB.
    """
    place = Manifest(
        share=share,
        space=space,
        connection=connection,
        item=item,
        version=version,
        generation=FIRST_GENERATION,
        owner=owner,
        recipient=recipient,
        recipient_key=recipient_key,
        suite=Suite(suite),
        content="",
        owner_wrap="",
        recipient_wrap="",
        n=n,
        prev=prev,
        checkpoint=checkpoint,
    )
    content = aead.seal(dek, plaintext, labels.SHARE_CONTENT, *place.context)
    own = wrap_key(kek, dek, labels.PURPOSE_SHARE_OWNER, *place.context)
    theirs = kem.seal_to(place.suite, recipient_public, dek, labels.SHARE_TO_RECIPIENT, *place.context)
    manifest = replace(place, content=digest(content), owner_wrap=digest(own), recipient_wrap=digest(theirs))
    data = encode_record({"v": 1, **asdict(manifest)})
    read_manifest(data)
    return SealedShare(data, identity.sign(labels.SHARE_MANIFEST, data), content, own, theirs)


def read_manifest(manifest: bytes) -> Manifest:
    """The parsed manifest, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields; or the first of a line with one before it, or
            a later one without.
    """
    facts = decode_record(manifest, _FIELDS, _PLACE_IN_LINE)
    n, prev, checkpoint = _place_in_line(facts)
    return Manifest(
        share=facts.text("share"),
        space=facts.text("space"),
        connection=facts.text("connection"),
        item=facts.text("item"),
        version=facts.number("version", least=1),
        generation=facts.number("generation", least=1),
        owner=facts.text("owner"),
        recipient=facts.text("recipient"),
        recipient_key=facts.text("recipient_key"),
        suite=facts.suite("suite"),
        content=facts.digest("content"),
        owner_wrap=facts.digest("owner_wrap"),
        recipient_wrap=facts.digest("recipient_wrap"),
        n=n,
        prev=prev,
        checkpoint=checkpoint,
    )


def _place_in_line(facts: Facts) -> tuple[int, str | None, str]:
    present = _PLACE_IN_LINE & facts.values.keys()
    if not present:
        return 0, None, ""
    if present != _PLACE_IN_LINE:
        raise Malformed("the manifest has a part of its place in a line")
    n = facts.number("n", least=1)
    if (facts.values["prev"] is None) is not (n == 1):
        raise Malformed("the first manifest of a line has none before it, and every other has one")
    return n, None if n == 1 else facts.digest("prev"), facts.text("checkpoint", MAX_CHECKPOINT)


def verify_share(manifest: bytes, signature: bytes, sender_sign_public: bytes) -> Manifest:
    """The manifest, signed by this sender. Whether its ids and key are the pinned ones, the caller checks.

    Raises:
        ForgedRecord: the signature is not the sender's.
        Malformed: the sender signed something else than a manifest.
    """
    verify(sender_sign_public, signature, labels.SHARE_MANIFEST, manifest)
    return read_manifest(manifest)


def unseal_dek(manifest: Manifest, recipient_wrap: bytes, private: bytes) -> bytes:
    """The DEK, by the private key of the recipient's side of the connection.

    Raises:
        DoesNotOpen: not the wrap that the manifest names, or not this key's.
    """
    _check_digest(recipient_wrap, manifest.recipient_wrap)
    return kem.open_with(manifest.suite, private, recipient_wrap, labels.SHARE_TO_RECIPIENT, *manifest.context)


def open_share(manifest: Manifest, dek: bytes, content: bytes) -> bytes:
    """The shared plaintext.

    Raises:
        DoesNotOpen: not the content that the manifest names, or not this DEK's.
    """
    _check_digest(content, manifest.content)
    return aead.open_sealed(dek, content, labels.SHARE_CONTENT, *manifest.context)


def rewrap_dek(kek: bytes, dek: bytes, manifest: Manifest) -> bytes:
    """The DEK wrapped under the recipient's own KEK: later reads need no private key."""
    return wrap_key(kek, dek, labels.PURPOSE_SHARE_RECIPIENT, *manifest.context)


def unwrap_own(kek: bytes, wrap: bytes, manifest: Manifest, role: Literal["owner", "recipient"]) -> bytes:
    """The DEK from one's own wrap: the owner's, which the manifest names, or what `rewrap_dek` made.

    Raises:
        DoesNotOpen: another wrap, KEK, role or place.
    """
    if role == "owner":
        _check_digest(wrap, manifest.owner_wrap)
    return unwrap_key(kek, wrap, _PURPOSES[role], *manifest.context)


def _check_digest(blob: bytes, named: str) -> None:
    if digest(blob) != named:
        raise DoesNotOpen
