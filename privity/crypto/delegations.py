"""Delegation: a vault key that some may hold beside its owner, the signed steps that say who, and signed items.

Every item of a person who has delegates is sealed under a DEK, and that under the vault key of a generation. Who holds
the vault key is said in numbered steps, each signed, each with the digest of the one before: a step grants or removes.
A removal begins a generation; under its key the one before is wrapped, so that who stays and who comes reads all.

All holders could seal an item: so each version is signed by who wrote it.
"""

import secrets
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

from privity.crypto import aead, kem, labels
from privity.crypto.kem import Suite
from privity.crypto.keyring import new_dek, unwrap_key, wrap_key
from privity.crypto.record import Facts, decode_record, encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import b64, digest, lp, sha256
from privity.errors import DoesNotOpen, Malformed

READER: Final = "reader"
ADMIN: Final = "admin"
OWNER: Final = "owner"
ROLES: Final = (READER, ADMIN, OWNER)
WRITERS: Final = frozenset({ADMIN, OWNER})
FIRST_GENERATION: Final = 1
MAX_CHECKPOINT: Final = 512
"""Characters of a checkpoint note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps say: the number from 1, the digest of the step before (None for the first), and who signs.

    `generation` is the vault key's from now on, `key` the hash of that key; `checkpoint` is the newest of the home's
    log that the signer had seen.
    """

    principal: str
    n: int
    prev: str | None
    by: str
    delegation: str
    generation: int
    key: str
    checkpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(Step):
    """Somebody becomes a delegate: with which role, until when, and to which key the vault key is sealed for them.

    `connection` is the one between the signer and the delegate, `delegate_key` the id of the delegate's keypair in it,
    `public` its public part. The addresses are those by which the signer knows principal and delegate. `expires` is an
    instant in UTC, as ISO 8601 has it.
    """

    delegate: str
    role: str
    connection: str
    delegate_key: str
    suite: Suite
    public: bytes
    principal_address: str
    delegate_address: str
    expires: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal(Step):
    """A delegate is one no more, and the vault key is a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemVersion:
    """What the author signs about one version of an item: its place, its sealed parts, and in whose name.

    `delegation` is None where the principal is the author. `checkpoint` is the newest that the author had seen.
    """

    principal: str
    item: str
    version: int
    generation: int
    by: str
    delegation: str | None
    content: str
    wrap: str
    checkpoint: str


_STEP: Final = frozenset({"v", *(each.name for each in fields(Step))})
_GRANT: Final = frozenset({"v", *(each.name for each in fields(Grant))})
_VERSION: Final = frozenset({"v", *(each.name for each in fields(ItemVersion))})


@dataclass(frozen=True, slots=True)
class SealedVersion:
    """A version as it leaves its author: the record's exact bytes, its signature, the sealed parts."""

    record: bytes
    signature: bytes
    content: bytes
    wrap: bytes


def new_vault_key() -> bytes:
    """A fresh vault key, 32 random bytes."""
    return secrets.token_bytes(aead.KEY_BYTES)


def key_hash(key: bytes, principal: str, generation: int) -> str:
    """The hash by which the steps name a vault key, base64url."""
    return b64(sha256(lp(labels.VAULT_KEY, principal.encode(), str(generation).encode(), key)))


def check_key(key: bytes, named: str, principal: str, generation: int) -> bytes:
    """The key, if it is the one that the steps name.

    Raises:
        DoesNotOpen: it is another one.
    """
    if key_hash(key, principal, generation) != named:
        raise DoesNotOpen("The vault key is not the one that its owner named.")
    return key


def sign_step(step: Grant | Removal, identity: SigningKey) -> tuple[bytes, bytes]:
    """A step's record, and the signature of the identity's sign key.

    Raises:
        Malformed: a value is one that no reader would take.
    """
    if isinstance(step, Grant):
        data = encode_record({"v": 1, **asdict(step), "public": b64(step.public), "suite": step.suite.value})
        _read_grant(data)
        return data, identity.sign(labels.DELEGATION_GRANT, data)
    data = encode_record({"v": 1, **asdict(step)})
    _read_removal(data)
    return data, identity.sign(labels.DELEGATION_REMOVAL, data)


def read_step(record: bytes) -> Grant | Removal:
    """The parsed step, not yet verified.

    Raises:
        Malformed: not a canonical record of either kind; or the first with one before it, or a later one without.
    """
    try:
        return _read_grant(record)
    except Malformed:
        return _read_removal(record)


def verify_step(record: bytes, signature: bytes, public: bytes) -> Grant | Removal:
    """The step, signed by this key. Whether the signer may, the caller checks.

    Raises:
        ForgedRecord: the signature is not of this key.
        Malformed: it is no step.
    """
    step = read_step(record)
    label = labels.DELEGATION_GRANT if isinstance(step, Grant) else labels.DELEGATION_REMOVAL
    verify(public, signature, label, record)
    return step


def seal_vault_key(
    key: bytes, suite: Suite, public: bytes, *, principal: str, delegation: str, holder: str, role: str, generation: int
) -> bytes:
    """The vault key sealed to a holder's connection key; for the principal `delegation` is the sender's own."""
    context = _holder(principal, delegation, holder, role, generation)
    return kem.seal_to(suite, public, key, labels.VAULT_TO_HOLDER, *context)


def open_vault_key(
    blob: bytes,
    suite: Suite,
    private: bytes,
    *,
    principal: str,
    delegation: str,
    holder: str,
    role: str,
    generation: int,
) -> bytes:
    """The inverse of `seal_vault_key`; it does not say who sealed it: hold the key against the steps.

    Raises:
        DoesNotOpen: another key, holder, role or place, or changed bytes.
    """
    context = _holder(principal, delegation, holder, role, generation)
    return kem.open_with(suite, private, blob, labels.VAULT_TO_HOLDER, *context)


def wrap_vault_key(kek: bytes, key: bytes, *, principal: str, holder: str, generation: int) -> bytes:
    """The vault key under the holder's own KEK."""
    return wrap_key(kek, key, labels.PURPOSE_VAULT, *_bytes(principal, holder, str(generation)))


def unwrap_vault_key(kek: bytes, blob: bytes, *, principal: str, holder: str, generation: int) -> bytes:
    """The inverse of `wrap_vault_key`.

    Raises:
        DoesNotOpen: another KEK, holder, principal or generation, or changed bytes.
    """
    return unwrap_key(kek, blob, labels.PURPOSE_VAULT, *_bytes(principal, holder, str(generation)))


def wrap_before(key: bytes, before: bytes, *, principal: str, generation: int) -> bytes:
    """The vault key of the generation before, under that of `generation`."""
    return wrap_key(key, before, labels.PURPOSE_VAULT_BEFORE, *_bytes(principal, str(generation)))


def unwrap_before(key: bytes, blob: bytes, *, principal: str, generation: int) -> bytes:
    """The inverse of `wrap_before`.

    Raises:
        DoesNotOpen: another key, principal or generation, or changed bytes.
    """
    return unwrap_key(key, blob, labels.PURPOSE_VAULT_BEFORE, *_bytes(principal, str(generation)))


def seal_version(
    key: bytes,
    plaintext: bytes,
    *,
    principal: str,
    item: str,
    version: int,
    generation: int,
    by: str,
    delegation: str | None,
    checkpoint: str,
    identity: SigningKey,
) -> SealedVersion:
    """A version of an item under a fresh DEK, that under the vault key `key`, signed by its author.

    Raises:
        Malformed: a value is one that no reader would take.
        TooLarge: more than 16 MiB.
    """
    place = ItemVersion(
        principal=principal,
        item=item,
        version=version,
        generation=generation,
        by=by,
        delegation=delegation,
        content="",
        wrap="",
        checkpoint=checkpoint,
    )
    dek, context = new_dek(), _version(place)
    content = aead.seal(dek, plaintext, labels.VAULT_CONTENT, *context)
    wrap = wrap_key(key, dek, labels.PURPOSE_VAULT_ITEM, *context)
    record = encode_record({"v": 1, **asdict(replace(place, content=digest(content), wrap=digest(wrap)))})
    read_version(record)
    return SealedVersion(record, identity.sign(labels.ITEM_VERSION, record), content, wrap)


def read_version(record: bytes) -> ItemVersion:
    """The parsed record of a version, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields.
    """
    facts = decode_record(record, _VERSION)
    return ItemVersion(
        principal=facts.text("principal"),
        item=facts.text("item"),
        version=facts.number("version", least=1),
        generation=facts.number("generation", least=FIRST_GENERATION),
        by=facts.text("by"),
        delegation=None if facts.values["delegation"] is None else facts.text("delegation"),
        content=facts.digest("content"),
        wrap=facts.digest("wrap"),
        checkpoint=facts.text("checkpoint", MAX_CHECKPOINT),
    )


def verify_version(record: bytes, signature: bytes, public: bytes) -> ItemVersion:
    """The version, signed by this key. Whether its author may, the caller checks.

    Raises:
        ForgedRecord: the signature is not of this key.
        Malformed: it is no version.
    """
    verify(public, signature, labels.ITEM_VERSION, record)
    return read_version(record)


def open_version(key: bytes, version: ItemVersion, content: bytes, wrap: bytes) -> bytes:
    """The plaintext of a version, by the vault key of its generation.

    Raises:
        DoesNotOpen: another key, not the parts that the record names, or changed bytes.
    """
    if (digest(content), digest(wrap)) != (version.content, version.wrap):
        raise DoesNotOpen
    context = _version(version)
    dek = unwrap_key(key, wrap, labels.PURPOSE_VAULT_ITEM, *context)
    return aead.open_sealed(dek, content, labels.VAULT_CONTENT, *context)


def _read_grant(record: bytes) -> Grant:
    facts = decode_record(record, _GRANT)
    if facts.text("role") not in ROLES:
        raise Malformed("role is not a known one")
    return Grant(
        **_common(facts),  # type: ignore[arg-type]
        delegate=facts.text("delegate"),
        role=facts.text("role"),
        connection=facts.text("connection"),
        delegate_key=facts.text("delegate_key"),
        suite=facts.suite("suite"),
        public=facts.raw("public"),
        principal_address=facts.text("principal_address"),
        delegate_address=facts.text("delegate_address"),
        expires=None if facts.values["expires"] is None else facts.instant("expires").isoformat(),
    )


def _read_removal(record: bytes) -> Removal:
    return Removal(**_common(decode_record(record, _STEP)))  # type: ignore[arg-type]


def _common(facts: Facts) -> dict[str, object]:
    n = facts.number("n", least=1)
    if (facts.values["prev"] is None) is not (n == 1):
        raise Malformed("the first step has none before it, and every other has one")
    return {
        "principal": facts.text("principal"),
        "n": n,
        "prev": None if n == 1 else facts.digest("prev"),
        "by": facts.text("by"),
        "delegation": facts.text("delegation"),
        "generation": facts.number("generation", least=FIRST_GENERATION),
        "key": facts.digest("key"),
        "checkpoint": facts.text("checkpoint", MAX_CHECKPOINT),
    }


def _holder(principal: str, delegation: str, holder: str, role: str, generation: int) -> tuple[bytes, ...]:
    return _bytes(principal, delegation, holder, role, str(generation))


def _version(version: ItemVersion) -> tuple[bytes, ...]:
    numbers = (str(version.version), str(version.generation))
    return _bytes(version.principal, version.item, *numbers, version.by, version.delegation or "")


def _bytes(*ids: str) -> tuple[bytes, ...]:
    return tuple(each.encode() for each in ids)
