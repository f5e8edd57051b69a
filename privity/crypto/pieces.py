"""Pieces: one value under one key for all its readers, a challenge that an approval answers, and sealed rules.

The owner signs once for each version, and once for each grant. Content is bound to owner, piece, name, version and
generation of the key; a wrap of the key to one reader to owner, piece, name, generation, reader, connection and key.
An approval is answered with HMAC-SHA256 under the asker's challenge, never with the challenge itself.
"""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

from privity.crypto import aead, kem, labels
from privity.crypto.kem import Suite
from privity.crypto.keyring import unwrap_key, wrap_key
from privity.crypto.record import decode_record, encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b32, digest, lp, sha256
from privity.errors import DoesNotOpen, WrongAnswer

ID_BYTES: Final = 16
CHALLENGE_BYTES: Final = 32
MAX_CHECKPOINT: Final = 512
"""Characters of a checkpoint note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceRecord:
    """What the owner signs about one version of a piece; `content` is the digest of what is sealed.

    `generation` counts the piece's keys from 1. `checkpoint` is the newest of the home's log that the owner had seen.
    """

    owner: str
    piece: str
    name: str
    version: int
    generation: int
    content: str
    checkpoint: str

    @property
    def context(self) -> tuple[bytes, ...]:
        """What the content is bound to; numbers as decimal text."""
        return _bytes(self.owner, self.piece, self.name, self.version, self.generation)


_FIELDS: Final = frozenset({"v", *(each.name for each in fields(PieceRecord))})


@dataclass(frozen=True, slots=True)
class SealedPiece:
    """A version as it leaves the owner: the record's exact bytes, its signature, the content, the owner's wrap."""

    record: bytes
    signature: bytes
    content: bytes
    owner_wrap: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantPlace:
    """What a grant is bound to: one key of one piece, for one side of one connection; `key` is that side's keypair."""

    owner: str
    piece: str
    name: str
    generation: int
    reader: str
    connection: str
    key: str

    @property
    def context(self) -> tuple[bytes, ...]:
        """The parts in order, the generation as decimal text."""
        return _bytes(self.owner, self.piece, self.name, self.generation, self.reader, self.connection, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPlace:
    """What a request is bound to; `n` counts what one asks the same person for by the same name."""

    request: str
    n: int
    owner: str
    asker: str
    name: str
    connection: str

    @property
    def context(self) -> tuple[bytes, ...]:
        """The parts in order, the number as decimal text."""
        return _bytes(self.request, self.n, self.owner, self.asker, self.name, self.connection)


@dataclass(frozen=True, slots=True)
class SealedRequest:
    """A request as it leaves the asker: the challenge sealed to the owner and for oneself, and the signature."""

    challenge: bytes
    kept: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What an answer is over: the version, the key's generation, the digests of content and of the reader's wrap."""

    version: int
    generation: int
    content: str
    wrap: str


def piece_id(owner: str, name: str) -> str:
    """The id, 26 letters of base32, of what a person keeps under a name."""
    return b32(sha256(lp(labels.PIECE_ID, *_bytes(owner, name)))[:ID_BYTES])


def request_id(owner: str, asker: str, name: str) -> str:
    """The id, 26 letters of base32, under which one person asks another for a piece: always the same one."""
    return b32(sha256(lp(labels.PIECE_REQUEST_ID, *_bytes(owner, asker, name)))[:ID_BYTES])


def seal_piece(dek: bytes, kek: bytes, value: bytes, place: PieceRecord, identity: SigningKey) -> SealedPiece:
    """Seals a version's value under `dek`, wraps that under the owner's `kek`, and signs.

    Args:
        place: the record; its `content` is filled in here.
        identity: the owner's identity signing key.

    Raises:
        Malformed: a value is one that no reader would take.
        TooLarge: more than 16 MiB.
    """
    content = aead.seal(dek, value, labels.PIECE_CONTENT, *place.context)
    record = encode_record({"v": 1, **asdict(replace(place, content=digest(content)))})
    read_piece(record)
    wrap = wrap_key(kek, dek, labels.PURPOSE_PIECE_OWNER, *_owners(place))
    return SealedPiece(record, identity.sign(labels.PIECE, record), content, wrap)


def read_piece(record: bytes) -> PieceRecord:
    """The parsed record, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields.
    """
    facts = decode_record(record, _FIELDS)
    return PieceRecord(
        owner=facts.text("owner"),
        piece=facts.text("piece"),
        name=facts.text("name"),
        version=facts.number("version", least=1),
        generation=facts.number("generation", least=1),
        content=facts.digest("content"),
        checkpoint=facts.text("checkpoint", MAX_CHECKPOINT),
    )


def verify_piece(record: bytes, signature: bytes, sign_public: bytes) -> PieceRecord:
    """The record, signed by this owner. Whether its ids are the expected ones, the caller checks.

    Raises:
        ForgedRecord: the signature is not the owner's.
        Malformed: the owner signed something else than such a record.
    """
    verify(sign_public, signature, labels.PIECE, record)
    return read_piece(record)


def open_piece(record: PieceRecord, dek: bytes, content: bytes) -> bytes:
    """The value.

    Raises:
        DoesNotOpen: not the content that the record names, or not this key's.
    """
    if digest(content) != record.content:
        raise DoesNotOpen
    return aead.open_sealed(dek, content, labels.PIECE_CONTENT, *record.context)


def unwrap_owner(kek: bytes, wrap: bytes, record: PieceRecord) -> bytes:
    """The key from the owner's own wrap.

    Raises:
        DoesNotOpen: another wrap, KEK or place.
    """
    return unwrap_key(kek, wrap, labels.PURPOSE_PIECE_OWNER, *_owners(record))


def seal_grant(place: GrantPlace, suite: Suite, public: bytes, dek: bytes, identity: SigningKey) -> tuple[bytes, bytes]:
    """The key sealed to one reader, and the owner's signature over the grant.

    Args:
        public: the pinned, certified public key of the reader's side of the connection.

    Raises:
        Malformed: not a public key of this suite.
    """
    wrap = kem.seal_to(suite, public, dek, labels.PIECE_TO_READER, *place.context)
    return wrap, identity.sign(labels.PIECE_GRANT, *_grant(place, digest(wrap)))


def verify_grant(place: GrantPlace, wrap: str, signature: bytes, sign_public: bytes) -> None:
    """Returns if the owner granted just this; `wrap` is a digest.

    Raises:
        ForgedRecord: the signature is not the owner's.
    """
    verify(sign_public, signature, labels.PIECE_GRANT, *_grant(place, wrap))


def open_grant(place: GrantPlace, suite: Suite, wrap: bytes, private: bytes) -> bytes:
    """The piece's key, by the private key of the reader's side of the connection.

    Raises:
        DoesNotOpen: another place or key, or changed bytes.
    """
    return kem.open_with(suite, private, wrap, labels.PIECE_TO_READER, *place.context)


def store_key(kek: bytes, dek: bytes, place: GrantPlace) -> bytes:
    """The piece's key wrapped under the reader's own KEK: later reads need no private key."""
    return wrap_key(kek, dek, labels.PURPOSE_PIECE_READER, *place.context)


def stored_key(kek: bytes, wrap: bytes, place: GrantPlace) -> bytes:
    """The inverse of `store_key`.

    Raises:
        DoesNotOpen: another KEK or place, or changed bytes.
    """
    return unwrap_key(kek, wrap, labels.PURPOSE_PIECE_READER, *place.context)


def seal_request(place: RequestPlace, kek: bytes, suite: Suite, public: bytes, identity: SigningKey) -> SealedRequest:
    """A fresh challenge, sealed to the owner's side of the connection and kept under the asker's KEK, and signed.

    Args:
        public: the pinned, certified public key of the owner's side of the connection.

    Raises:
        Malformed: not a public key of this suite.
    """
    challenge = secrets.token_bytes(CHALLENGE_BYTES)
    sealed = kem.seal_to(suite, public, challenge, labels.PIECE_CHALLENGE, *place.context)
    kept = wrap_key(kek, challenge, labels.PURPOSE_PIECE_CHALLENGE, *place.context)
    return SealedRequest(sealed, kept, identity.sign(labels.PIECE_REQUEST, *_request(place, digest(sealed))))


def verify_request(place: RequestPlace, challenge: str, signature: bytes, sign_public: bytes) -> None:
    """Returns if the asker asked just this; `challenge` is the digest of the sealed one.

    Raises:
        ForgedRecord: the signature is not the asker's.
    """
    verify(sign_public, signature, labels.PIECE_REQUEST, *_request(place, challenge))


def open_challenge(place: RequestPlace, suite: Suite, sealed: bytes, private: bytes) -> bytes:
    """The challenge, by the private key of the owner's side of the connection.

    Raises:
        DoesNotOpen: another place or key, or changed bytes; or what was sealed is no challenge.
    """
    challenge = kem.open_with(suite, private, sealed, labels.PIECE_CHALLENGE, *place.context)
    if len(challenge) != CHALLENGE_BYTES:
        raise DoesNotOpen
    return challenge


def kept_challenge(kek: bytes, kept: bytes, place: RequestPlace) -> bytes:
    """The challenge that the asker keeps.

    Raises:
        DoesNotOpen: another KEK or place, or changed bytes.
    """
    return unwrap_key(kek, kept, labels.PURPOSE_PIECE_CHALLENGE, *place.context)


def make_answer(challenge: bytes, place: RequestPlace, granted: Granted) -> bytes:
    """The proof, 32 bytes, that whoever could open the challenge granted just this."""
    parts = _bytes(granted.version, granted.generation, granted.content, granted.wrap)
    return hmac.digest(challenge, lp(labels.PIECE_ANSWER, *place.context, *parts), "sha256")


def check_answer(challenge: bytes, place: RequestPlace, granted: Granted, answer: bytes) -> None:
    """Returns if the answer was made with this challenge, for this request and grant.

    Raises:
        WrongAnswer: it was not.
    """
    if not hmac.compare_digest(make_answer(challenge, place, granted), answer):
        raise WrongAnswer


def seal_rules(kek: bytes, rules: bytes, account: str, version: int) -> bytes:
    """The rules of an account, bound to their number."""
    return aead.seal(kek, rules, labels.PIECE_RULES, *_bytes(account, version))


def open_rules(kek: bytes, blob: bytes, account: str, version: int) -> bytes:
    """The inverse of `seal_rules`.

    Raises:
        DoesNotOpen: another KEK, account or number, or changed bytes.
    """
    return aead.open_sealed(kek, blob, labels.PIECE_RULES, *_bytes(account, version))


def _owners(record: PieceRecord) -> tuple[bytes, ...]:
    """What the owner's wrap is bound to: all but the version, for which the key stays."""
    return _bytes(record.owner, record.piece, record.name, record.generation)


def _grant(place: GrantPlace, wrap: str) -> Iterable[bytes]:
    return (*place.context, wrap.encode())


def _request(place: RequestPlace, challenge: str) -> Iterable[bytes]:
    return (*place.context, challenge.encode())


def _bytes(*parts: str | int) -> tuple[bytes, ...]:
    return tuple(str(part).encode() for part in parts)
