"""A sharing key: a line of records that its creator signs, and a private part for each generation.

A record is the whole state: the public parts of the generation in use and who holds the private one, behind the digest
of the record before. The key's id is the hash of the creator's account and a nonce, which is in every record: so each
one by itself says who may sign for the key. The alias is in the record as a salted commitment only: alias and salt go
sealed to those who may know them.

The private part of a generation is 64 bytes: the seed of an Ed25519 key, by which reads and writes at suppliers are
signed, and the seed of an X-Wing pair, to which files are sealed. The part before lies under the next one (a link).
"""

import re
from dataclasses import asdict, dataclass, field, fields
from typing import Final, Self

from privity.crypto import aead, kem, labels
from privity.crypto.aead import KEY_BYTES
from privity.crypto.command import frame, unframe
from privity.crypto.kdf import hkdf
from privity.crypto.kem import KeyPair, Suite, generate_keypair, public_of
from privity.crypto.keyring import unwrap_key, wrap_key
from privity.crypto.record import Facts, decode_record, encode_record
from privity.crypto.signing import PUBLIC_BYTES, SEED_BYTES, SigningKey, check_public, verify
from privity.encoding import b32, b64, digest, lp, sha256, unb64
from privity.errors import DoesNotOpen, ForgedRecord, KeyMismatch, Malformed, Refusal

NONCE_BYTES: Final = 16
SALT_BYTES: Final = 16
PART_BYTES: Final = SEED_BYTES + kem.PRIVATE_BYTES
MAX_HOLDERS: Final = 60
"""Beside the creator."""
ACCOUNT_LETTERS: Final = 52
FINGERPRINT_BYTES: Final = 15
"""Shown as 30 hexadecimal digits in groups."""
MAX_SEALED: Final = 4096
"""Bytes of what is sealed to somebody: private part, alias and salt."""

_ALIAS: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ACCOUNT: Final = re.compile(r"[a-z2-7]{52}")


@dataclass(frozen=True, slots=True)
class PrivatePart:
    """What a holder has of one generation: the key that signs, and the pair to which things are sealed."""

    sign: SigningKey = field(repr=False)
    pair: KeyPair = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new random part."""
        return cls(SigningKey.generate(), generate_keypair(Suite.X_WING))

    @classmethod
    def from_bytes(cls, secret: bytes) -> Self:
        """The part of 64 bytes: the seed of the signing key, then that of the X-Wing pair.

        Raises:
            Malformed: another length.
        """
        if len(secret) != PART_BYTES:
            raise Malformed("a private part has 64 bytes")
        private = secret[SEED_BYTES:]
        pair = KeyPair(Suite.X_WING, private, public_of(Suite.X_WING, private))
        return cls(SigningKey.from_seed(secret[:SEED_BYTES]), pair)

    def to_bytes(self) -> bytes:
        """The inverse of `from_bytes`: 64 secret bytes."""
        return self.sign.seed + self.pair.private


@dataclass(frozen=True, slots=True)
class Alias:
    """What the key is called, and the salt (16 bytes) that keeps others from guessing it."""

    name: str
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What the creator signs. `n` counts the key's records from 1; `prev` is the digest of the one before.

    `seal` and `sign` are the public parts of the generation, `holders` the accounts that have the private one beside
    the creator, in order. `alias` is the commitment, `checkpoint` the newest of the home's log that the creator had
    seen. `nonce` (base64url, 16 bytes) hashes with `by` to the key's id.
    """

    key: str
    n: int
    prev: str | None
    by: str
    generation: int
    suite: Suite
    seal: bytes
    sign: bytes
    holders: tuple[str, ...]
    alias: str
    checkpoint: str
    nonce: str

    def holds(self, account: str) -> bool:
        """Whether this account has the private part: the creator, or a holder."""
        return account == self.by or account in self.holders

    @property
    def public_digest(self) -> str:
        """What two people compare who should have the same public part, base64url: of key, generation and parts."""
        named = (self.key, str(self.generation), str(self.suite))
        return digest(lp(labels.SHARING_KEY_PUBLIC, *(each.encode() for each in named), self.seal, self.sign))

    @property
    def fingerprint(self) -> str:
        """The same for people's eyes: 30 hexadecimal digits in groups of five."""
        text = unb64(self.public_digest).hex()[: 2 * FINGERPRINT_BYTES]
        return " ".join(text[start : start + 5] for start in range(0, len(text), 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPlace:
    """What a part sealed to somebody is bound to: a generation of a key, who seals, to whom, over which connection."""

    key: str
    generation: int
    by: str
    to: str
    connection: str

    @property
    def context(self) -> tuple[bytes, ...]:
        """The fields in order, the generation as decimal text."""
        parts = (self.key, str(self.generation), self.by, self.to, self.connection)
        return tuple(part.encode() for part in parts)


_FIELDS: Final = frozenset({"v", *(each.name for each in fields(KeyRecord))})


def sharing_key_id(creator: str, nonce: bytes) -> str:
    """The id, 52 letters of base32, of the key that somebody makes with this nonce."""
    return b32(sha256(lp(labels.SHARING_KEY_ID, creator.encode(), nonce)))


def check_alias(name: str) -> str:
    """The name, if a key can be called so.

    Raises:
        Malformed: not 1 to 64 lower-case letters, digits, "_" and "-" behind a letter or digit.
    """
    if not _ALIAS.fullmatch(name):
        raise Malformed(
            "a key's name has 1 to 64 lower-case letters, digits, '_' and '-', and begins with neither sign"
        )
    return name


def commit_alias(key: str, alias: Alias) -> str:
    """The commitment to a key's name, base64url."""
    return digest(lp(labels.SHARING_KEY_ALIAS, key.encode(), alias.salt, alias.name.encode()))


def check_committed(record: KeyRecord, alias: Alias) -> Alias:
    """The alias, if the record is of a key that is called so.

    Raises:
        DoesNotOpen: the record commits to another alias, or this is none.
    """
    if commit_alias(record.key, alias) != record.alias or not _ALIAS.fullmatch(alias.name):
        raise DoesNotOpen("This is not the name that the key's creator signed.")
    return alias


def first_record(by: str, nonce: bytes, part: PrivatePart, alias: Alias, checkpoint: str) -> KeyRecord:
    """The first record of the key that this account makes with this nonce (16 bytes): nobody else holds it yet."""
    key = sharing_key_id(by, nonce)
    return KeyRecord(
        key=key,
        n=1,
        prev=None,
        by=by,
        generation=1,
        suite=part.pair.suite,
        seal=part.pair.public,
        sign=part.sign.public,
        holders=(),
        alias=commit_alias(key, alias),
        checkpoint=checkpoint,
        nonce=b64(nonce),
    )


def sign_record(identity: SigningKey, record: KeyRecord) -> tuple[bytes, bytes]:
    """The record's exact bytes and the creator's signature.

    Raises:
        Malformed: a value is one that no reader would take.
    """
    facts: dict[str, object] = {"v": 1, **asdict(record), "suite": str(record.suite)}
    facts |= {"seal": b64(record.seal), "sign": b64(record.sign), "holders": " ".join(record.holders) or None}
    data = encode_record(facts)
    read_record(data)
    return data, identity.sign(labels.SHARING_KEY, data)


def read_record(record: bytes) -> KeyRecord:
    """The parsed record, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields, or one that makes no sense: a first one with one
            before it; a nonce that does not hash to the key's id with `by`; keys that are none; another suite; holders
            out of order, doubled, or with the creator among them.
    """
    facts = decode_record(record, _FIELDS)
    found = KeyRecord(
        key=_account(facts, "key"),
        n=facts.number("n", least=1),
        prev=None if facts.values["prev"] is None else facts.digest("prev"),
        by=_account(facts, "by"),
        generation=facts.number("generation", least=1),
        suite=facts.suite("suite"),
        seal=facts.raw("seal"),
        sign=facts.raw("sign", PUBLIC_BYTES),
        holders=_holders(facts),
        alias=facts.digest("alias"),
        checkpoint=facts.text("checkpoint"),
        nonce=facts.text("nonce"),
    )
    if found.suite is not Suite.X_WING:
        raise Malformed("a sharing key has another suite")
    kem.check_public(found.suite, found.seal)
    check_public(found.sign)
    if (found.prev is None) is not (found.n == 1) or found.generation > found.n:
        raise Malformed("the record does not say which one it follows")
    if sharing_key_id(found.by, facts.raw("nonce", NONCE_BYTES)) != found.key:
        raise Malformed("the key's id is not the one of who made it")
    if found.by in found.holders:
        raise Malformed("the creator of a key is not among its holders")
    return found


def verify_record(record: bytes, signature: bytes, sign_public: bytes) -> KeyRecord:
    """The record, signed by this identity. Whether that is the creator `by`, the caller checks.

    Raises:
        ForgedRecord: the signature is another's.
        Malformed: as `read_record`.
    """
    verify(sign_public, signature, labels.SHARING_KEY, record)
    return read_record(record)


def check_following(before: KeyRecord, before_digest: str, after: KeyRecord) -> None:
    """Returns if one record can stand right behind another.

    A grant keeps the generation and its public parts; a rotation begins the next one, with other parts, and brings
    nobody new.

    Raises:
        ForgedRecord: it cannot.
    """
    same = (after.key, after.by, after.alias, after.nonce) == (before.key, before.by, before.alias, before.nonce)
    same = same and (after.n, after.prev) == (before.n + 1, before_digest)
    if not same or not _goes_on(before, after):
        raise ForgedRecord(f"Record {after.n} of the sharing key does not follow the one before.")


def _goes_on(before: KeyRecord, after: KeyRecord) -> bool:
    if after.generation == before.generation:
        return (after.suite, after.seal, after.sign) == (before.suite, before.seal, before.sign)
    other = after.seal != before.seal and after.sign != before.sign
    return other and after.generation == before.generation + 1 and set(after.holders) <= set(before.holders)


def check_part(part: PrivatePart, record: KeyRecord) -> PrivatePart:
    """The private part, if the record's public parts are its own; nothing is signed or sealed by it before.

    Raises:
        KeyMismatch: they are another's.
    """
    if (part.sign.public, part.pair.public, part.pair.suite) != (record.sign, record.seal, record.suite):
        raise KeyMismatch("The private part is not the one of the sharing key's public part.")
    return part


def seal_part(suite: Suite, public: bytes, part: PrivatePart, alias: Alias, place: PartPlace) -> bytes:
    """Private part and alias, sealed to the public key of the receiver's side of the connection.

    Raises:
        Malformed: not a public key of this suite.
    """
    plain = frame(part.to_bytes(), alias.salt + alias.name.encode())
    return kem.seal_to(suite, public, plain, labels.SHARING_KEY_TO_HOLDER, *place.context)


def open_part(
    suite: Suite, private: bytes, blob: bytes, place: PartPlace, record: KeyRecord
) -> tuple[PrivatePart, Alias]:
    """The inverse of `seal_part`; both are those that `record`, of this generation, speaks of.

    Raises:
        DoesNotOpen: another key or place, changed bytes, or another alias than the record commits to.
        KeyMismatch: the private part is not the one of the record's public part.
    """
    plain = kem.open_with(suite, private, blob, labels.SHARING_KEY_TO_HOLDER, *place.context)
    try:
        secret, named = unframe(plain, 2, MAX_SEALED)
        part, alias = PrivatePart.from_bytes(secret), _alias(named)
    except (Refusal, ValueError):
        raise DoesNotOpen from None
    return check_part(part, record), check_committed(record, alias)


def seal_alias(suite: Suite, public: bytes, alias: Alias, place: PartPlace) -> bytes:
    """The alias alone, for who gets the public part of a generation.

    Raises:
        Malformed: not a public key of this suite.
    """
    return kem.seal_to(suite, public, alias.salt + alias.name.encode(), labels.SHARING_KEY_PUBLIC_TO, *place.context)


def open_alias(suite: Suite, private: bytes, blob: bytes, place: PartPlace, record: KeyRecord) -> Alias:
    """The inverse of `seal_alias`; the alias is the one that the record commits to.

    Raises:
        DoesNotOpen: another key, place or alias, or changed bytes.
    """
    plain = kem.open_with(suite, private, blob, labels.SHARING_KEY_PUBLIC_TO, *place.context)
    try:
        alias = _alias(plain)
    except Malformed:
        raise DoesNotOpen from None
    return check_committed(record, alias)


def wrap_part(kek: bytes, part: PrivatePart, key: str, generation: int, account: str) -> bytes:
    """The private part of a generation under the KEK of the account that holds it."""
    return wrap_key(kek, part.to_bytes(), labels.PURPOSE_SHARING_KEY, *_held(key, generation, account))


def unwrap_part(kek: bytes, blob: bytes, record: KeyRecord, account: str) -> PrivatePart:
    """The inverse of `wrap_part`; the part is that of the record.

    Raises:
        DoesNotOpen: another KEK, key, generation or account, or changed bytes.
        KeyMismatch: the part is not the one of the record's public part.
    """
    secret = unwrap_key(kek, blob, labels.PURPOSE_SHARING_KEY, *_held(record.key, record.generation, account))
    return check_part(_part(secret), record)


def link_part(part: PrivatePart, before: PrivatePart, key: str, generation: int) -> bytes:
    """The private part of the generation before, under that of `generation`."""
    place = (key.encode(), str(generation).encode())
    return wrap_key(_link_key(part, *place), before.to_bytes(), labels.PURPOSE_SHARING_KEY_LINK, *place)


def unlink_part(part: PrivatePart, blob: bytes, record: KeyRecord, before: KeyRecord) -> PrivatePart:
    """The inverse of `link_part`: the part of the generation of `before`, by that of `record`.

    Raises:
        DoesNotOpen: another part or place, or changed bytes.
        KeyMismatch: the part is not the one of the public part in `before`.
    """
    place = (record.key.encode(), str(record.generation).encode())
    secret = unwrap_key(_link_key(part, *place), blob, labels.PURPOSE_SHARING_KEY_LINK, *place)
    return check_part(_part(secret), before)


def backup_key(kek: bytes) -> bytes:
    """The key, 32 bytes, that backups of sharing keys are sealed under: whoever has the KEK can make it again."""
    return hkdf(kek, KEY_BYTES, labels.SHARING_KEY_BACKUP)


def backup_place(kek: bytes, account: str) -> tuple[PrivatePart, bytes]:
    """The private part and the nonce (16 bytes) of the key under which an account's backups stand at suppliers.

    Both follow from the KEK: on a bare machine, too.
    """
    secret = hkdf(backup_key(kek), PART_BYTES + NONCE_BYTES, lp(labels.SHARING_KEY_BACKUP_PLACE, account.encode()))
    return PrivatePart.from_bytes(secret[:PART_BYTES]), secret[PART_BYTES:]


def seal_backup(kek: bytes, plaintext: bytes, account: str, object: str) -> bytes:
    """A backup of keys, bound to the account and to the id under which it stands; at most 16 MiB.

    Raises:
        TooLarge: it is more.
    """
    context = (account.encode(), object.encode())
    return aead.seal(backup_key(kek), plaintext, labels.SHARING_KEY_BACKUP_CONTENT, *context)


def open_backup(kek: bytes, blob: bytes, account: str, object: str) -> bytes:
    """The inverse of `seal_backup`.

    Raises:
        DoesNotOpen: another KEK, account or id, or changed bytes.
    """
    context = (account.encode(), object.encode())
    return aead.open_sealed(backup_key(kek), blob, labels.SHARING_KEY_BACKUP_CONTENT, *context)


def _link_key(part: PrivatePart, *place: bytes) -> bytes:
    return hkdf(part.to_bytes(), KEY_BYTES, lp(labels.SHARING_KEY_LINK, *place))


def _held(key: str, generation: int, account: str) -> tuple[bytes, bytes, bytes]:
    return key.encode(), str(generation).encode(), account.encode()


def _part(secret: bytes) -> PrivatePart:
    try:
        return PrivatePart.from_bytes(secret)
    except Malformed:
        raise DoesNotOpen from None


def _alias(plain: bytes) -> Alias:
    salt, name = plain[:SALT_BYTES], plain[SALT_BYTES:]
    try:
        return Alias(check_alias(name.decode("ascii")), salt)
    except UnicodeDecodeError:
        raise Malformed("an alias is a text") from None


def _account(facts: Facts, name: str) -> str:
    text = facts.text(name)
    if not _ACCOUNT.fullmatch(text):
        raise Malformed(f"{name} is not an id")
    return text


def _holders(facts: Facts) -> tuple[str, ...]:
    """Accounts in order, with a space between; null for none."""
    if facts.values["holders"] is None:
        return ()
    found = tuple(facts.text("holders", MAX_HOLDERS * (ACCOUNT_LETTERS + 1)).split(" "))
    if any(not _ACCOUNT.fullmatch(each) for each in found) or list(found) != sorted(set(found)):
        raise Malformed("holders are not accounts in their order")
    return found
