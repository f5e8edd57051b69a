"""One share of one item with one person: content under a DEK, the DEK wrapped for both, a manifest.

Every part is bound to owner, share, space, connection, item, recipient, version and generation, so that none
opens in another place; the manifest names the parts by digest, so its signature says who sealed them.

A share goes from generation to generation: each has a fresh DEK, parts and manifest of its own.

The manifests that one person sends over one connection are a line: numbered from 1, each with the digest of the
one before, so that none can be left out between two others; each with the sender's newest checkpoint of the log.

Conditions stand in the manifest, so that the sender's signature covers them: until when it may be read, which terms
are to be accepted first, over how many hands it may go on. They bind honest agents and an honest backend.
"""

import json
import secrets
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from privity.crypto import aead, kem, labels
from privity.crypto.command import frame, unframe
from privity.crypto.items import open_item, open_note, seal_item, seal_note
from privity.crypto.kem import Suite
from privity.crypto.keyring import new_dek, unwrap_key, wrap_key
from privity.crypto.record import Facts, decode_record, encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b32, b64, digest, lp, sha256, unb64
from privity.errors import DoesNotOpen, Malformed, Refusal

__all__ = [
    "Conditions",
    "Manifest",
    "SealedShare",
    "Terms",
    "UnderTerms",
    "accept_terms",
    "check_accepted",
    "line_id",
    "line_number",
    "new_terms",
    "open_item",
    "open_note",
    "open_share",
    "open_terms",
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
MAX_TERMS: Final = 16 * 1024
"""Bytes of the text of terms."""
MAX_SEALED_TERMS: Final = 128 * 1024
"""Bytes: the text may be spelled longer in JSON than it is."""
MAX_HOPS: Final = 8
SALT_BYTES: Final = 32

_PURPOSES: Final = {"owner": labels.PURPOSE_SHARE_OWNER, "recipient": labels.PURPOSE_SHARE_RECIPIENT}


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be accepted before reading; the salt keeps who sees the hash from guessing the text."""

    text: str = field(repr=False)
    salt: bytes = field(repr=False)

    @property
    def hash(self) -> str:
        """What is signed, base64url: the hash of salt and text."""
        return b64(sha256(lp(labels.TERMS, self.salt, self.text.encode())))

    def to_bytes(self) -> bytes:
        """The plaintext that is sealed to the recipient."""
        return json.dumps({"text": self.text, "salt": b64(self.salt)}, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class UnderTerms:
    """What a recipient's acceptance of terms is bound to."""

    share: str
    connection: str
    owner: str
    recipient: str
    terms_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """On which a share may be read.

    `expires` is None for ever; `reshare` over how many hands it may go on from the recipient, 0 for none; `keep`
    whether the recipient may have a copy of their own after the end; `source` is the share that is shared on here.
    """

    expires: datetime | None = None
    terms: Terms | None = None
    reshare: int = 0
    keep: bool = False
    source: str | None = None


UNCONDITIONAL: Final = Conditions()


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
    expires: datetime | None = None
    terms: str | None = None
    terms_hash: str | None = None
    reshare: int = 0
    keep: bool = False
    source: str | None = None

    @property
    def context(self) -> tuple[bytes, ...]:
        """What every sealed part is bound to; numbers as decimal text."""
        ids = (self.owner, self.share, self.space, self.connection, self.item, self.recipient)
        return tuple(each.encode() for each in (*ids, str(self.version), str(self.generation)))


_PLACE_IN_LINE: Final = frozenset({"n", "prev", "checkpoint"})
_CONDITIONS: Final = frozenset({"expires", "terms", "terms_hash", "reshare", "keep", "source"})
_FIELDS: Final = frozenset({"v", *(each.name for each in fields(Manifest))}) - _PLACE_IN_LINE - _CONDITIONS


@dataclass(frozen=True, slots=True)
class SealedShare:
    """A share as it leaves the owner: the manifest's exact bytes, its signature, and the sealed parts."""

    manifest: bytes
    signature: bytes
    content: bytes
    owner_wrap: bytes
    recipient_wrap: bytes
    terms: bytes | None = None

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The sealed objects that ride behind the command."""
        parts = (self.content, self.owner_wrap, self.recipient_wrap)
        return parts if self.terms is None else (*parts, self.terms)


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
    generation: int = FIRST_GENERATION,
    conditions: Conditions = UNCONDITIONAL,
) -> SealedShare:
    """Seals `plaintext` under `dek`, wraps that under the owner's `kek` and to the recipient, and signs.

    Args:
        recipient_public: the pinned, certified public key of the recipient's side of the connection.
        recipient_key: the id of that keypair, by which the recipient finds the private part.
        identity: the owner's identity signing key.
        n, prev: the number in the owner's line, from 1, and the digest of the manifest before, None for the first.
        checkpoint: the newest checkpoint note that the owner has seen, without co-signatures.
        generation: 1, 2, ...: each needs a fresh `dek`.
        conditions: on which it may be read.

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
        generation=generation,
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
        expires=conditions.expires,
        terms_hash=conditions.terms.hash if conditions.terms else None,
        reshare=conditions.reshare,
        keep=conditions.keep,
        source=conditions.source,
    )
    content = aead.seal(dek, plaintext, labels.SHARE_CONTENT, *place.context)
    own = wrap_key(kek, dek, labels.PURPOSE_SHARE_OWNER, *place.context)
    theirs = kem.seal_to(place.suite, recipient_public, dek, labels.SHARE_TO_RECIPIENT, *place.context)
    manifest = replace(place, content=digest(content), owner_wrap=digest(own), recipient_wrap=digest(theirs))
    terms = None
    if conditions.terms is not None:
        terms = _seal_terms(conditions.terms, recipient_public, place)
        manifest = replace(manifest, terms=digest(terms))
    data = _encode(manifest)
    read_manifest(data)
    return SealedShare(data, identity.sign(labels.SHARE_MANIFEST, data), content, own, theirs, terms)


def _encode(manifest: Manifest) -> bytes:
    expires = manifest.expires.astimezone(UTC).isoformat() if manifest.expires else None
    return encode_record({"v": 1, **asdict(manifest), "expires": expires, "keep": int(manifest.keep)})


def read_manifest(manifest: bytes) -> Manifest:
    """The parsed manifest, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields; or the first of a line with one before it, or
            a later one without; or conditions that make no sense.
    """
    facts = decode_record(manifest, _FIELDS, _PLACE_IN_LINE | _CONDITIONS)
    n, prev, checkpoint = _place_in_line(facts)
    found = _conditions(facts)
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
        **found,
    )


def line_number(manifest: bytes) -> int:
    """The place in its sender's line, of a manifest that was read before; 0 where it stands in none."""
    n = json.loads(manifest).get("n", 0)
    if type(n) is not int:
        raise Malformed("the manifest's number is no number")
    return n


def _conditions(facts: Facts) -> dict[str, Any]:
    present = _CONDITIONS & facts.values.keys()
    if not present:
        return {}
    if present != _CONDITIONS:
        raise Malformed("the manifest has a part of its conditions")
    absent = {name for name in ("expires", "terms", "terms_hash", "source") if facts.values[name] is None}
    if ("terms" in absent) is not ("terms_hash" in absent):
        raise Malformed("the manifest names terms without their hash, or a hash without terms")
    reshare, keep = facts.number("reshare"), facts.number("keep")
    if reshare > MAX_HOPS or keep > 1:
        raise Malformed("the manifest permits what cannot be permitted")
    return {
        "expires": None if "expires" in absent else facts.instant("expires"),
        "terms": None if "terms" in absent else facts.digest("terms"),
        "terms_hash": None if "terms_hash" in absent else facts.digest("terms_hash"),
        "reshare": reshare,
        "keep": bool(keep),
        "source": None if "source" in absent else facts.text("source"),
    }


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


def new_terms(text: str) -> Terms:
    """Terms with a fresh salt.

    Raises:
        Malformed: no text, or more than 16 KiB.
    """
    if not 0 < len(text.encode()) <= MAX_TERMS:
        raise Malformed("terms are a text of at most 16 KiB")
    return Terms(text, secrets.token_bytes(SALT_BYTES))


def open_terms(manifest: Manifest, sealed: bytes, private: bytes) -> Terms:
    """The terms, by the private key of the recipient's side of the connection.

    Raises:
        DoesNotOpen: not the ones that the manifest names, or not this key's.
        Malformed: whoever sealed them sealed something else.
    """
    _check_digest(sealed, manifest.terms or "")
    wrap, text = _two_parts(sealed)
    key = kem.open_with(manifest.suite, private, wrap, labels.SHARE_TERMS, *manifest.context)
    terms = read_terms(aead.open_sealed(key, text, labels.SHARE_TERMS_TEXT, *manifest.context))
    if terms.hash != manifest.terms_hash:
        raise DoesNotOpen
    return terms


def _seal_terms(terms: Terms, recipient_public: bytes, place: Manifest) -> bytes:
    """The terms under a key of their own, and before them that key, sealed: RSA holds no long text."""
    key = new_dek()
    wrap = kem.seal_to(place.suite, recipient_public, key, labels.SHARE_TERMS, *place.context)
    return frame(wrap, aead.seal(key, terms.to_bytes(), labels.SHARE_TERMS_TEXT, *place.context))


def _two_parts(sealed: bytes) -> list[bytes]:
    try:
        parts = unframe(sealed, 2, MAX_SEALED_TERMS)
    except Refusal:
        parts = []
    if len(parts) != 2:
        raise DoesNotOpen
    return parts


def read_terms(plain: bytes) -> Terms:
    """The inverse of `Terms.to_bytes`.

    Raises:
        Malformed: it is something else.
    """
    try:
        found = json.loads(plain)
        terms = Terms(str(found["text"]), unb64(found["salt"]))
        terms.to_bytes()  # JSON can hold what is no text
        return terms
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Malformed("these are no terms") from None


def accept_terms(identity: SigningKey, of: Manifest | UnderTerms) -> bytes:
    """The recipient's signature over the terms of a share; a later generation with the same terms needs no other."""
    return identity.sign(labels.TERMS_ACCEPTED, *_accepted(of))


def check_accepted(public: bytes, signature: bytes, of: Manifest | UnderTerms) -> None:
    """Returns if the recipient's identity signed that the terms are accepted.

    Raises:
        ForgedRecord: it did not.
    """
    verify(public, signature, labels.TERMS_ACCEPTED, *_accepted(of))


def _accepted(of: Manifest | UnderTerms) -> tuple[bytes, ...]:
    said = (of.share, of.connection, of.owner, of.recipient, of.terms_hash or "")
    return tuple(each.encode() for each in said)


def _check_digest(blob: bytes, named: str) -> None:
    if digest(blob) != named:
        raise DoesNotOpen
