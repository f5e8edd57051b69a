"""Passing a value on: the first owner's signature over it, and a chain of signed permissions to share it on.

An original binds a value to its owner, item, version and slot, over a salted hash. It travels with its salt inside the
ciphertext of shares that may go on, and nowhere else: to others it would tell whether a guessed value is the right one.

A permission says to whom, for how many more hands, for which slots and until when. Each one rests on the one before,
named by digest, and grants less: so nobody takes more than the first owner gave.
"""

import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from privity.crypto import labels
from privity.crypto.record import Facts, decode_record, encode_record
from privity.crypto.signing import SigningKey, verify
from privity.encoding import digest, lp, sha256
from privity.errors import ForgedRecord, Malformed

MAX_HOPS: Final = 8
MAX_CHAIN: Final = MAX_HOPS + 1
"""Permissions of a chain: the first owner's, and one for each hand that it goes on over."""
MAX_SLOTS: Final = 256
SALT_BYTES: Final = 32

_ID: Final = re.compile("[a-z2-7]{26}")
_ACCOUNT: Final = re.compile("[a-z2-7]{52}")
_FIELDS: Final = frozenset(
    {"v", "owner", "item", "version", "share", "from", "to", "hops", "keep", "slots", "expires", "terms_hash", "prev"}
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose value it is: the first owner's account, the item there, and its version."""

    owner: str
    item: str
    version: int


@dataclass(frozen=True, slots=True)
class Original:
    """The first owner's signature over a value, and the salt that belongs to it."""

    salt: bytes = field(repr=False)
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What one person lets the next one do with a share.

    `hops` is over how many hands it may go on from `taker`; `slots` are all that may be in it, None for the whole
    item; `keep` whether a copy may outlive the share; `prev` the digest of the permission that it rests on.
    """

    origin: Origin
    share: str
    giver: str
    taker: str
    hops: int
    keep: bool
    slots: tuple[str, ...] | None = field(repr=False)
    expires: datetime | None
    terms_hash: str | None
    prev: str | None

    def to_bytes(self) -> bytes:
        """The canonical record that is signed.

        Raises:
            Malformed: a value is one that no reader would take.
        """
        data = encode_record(
            {
                "v": 1,
                "owner": self.origin.owner,
                "item": self.origin.item,
                "version": self.origin.version,
                "share": self.share,
                "from": self.giver,
                "to": self.taker,
                "hops": self.hops,
                "keep": int(self.keep),
                "slots": None if self.slots is None else list(self.slots),
                "expires": self.expires.astimezone(UTC).isoformat() if self.expires else None,
                "terms_hash": self.terms_hash,
                "prev": self.prev,
            }
        )
        read_permission(data)
        return data


def sign_original(identity: SigningKey, origin: Origin, slot: str | None, value: bytes) -> Original:
    """The owner's signature over the value of a slot, with a fresh salt; `slot` is None for the item's label."""
    salt = secrets.token_bytes(SALT_BYTES)
    return Original(salt, identity.sign(labels.ORIGINAL, *_said(origin, slot, salt, value)))


def check_original(keys: Iterable[bytes], original: Original, origin: Origin, slot: str | None, value: bytes) -> None:
    """Returns if one of these sign keys of the owner signed that this is the value.

    Raises:
        ForgedRecord: none did.
    """
    if len(original.salt) != SALT_BYTES:
        raise ForgedRecord
    _verify_any(keys, original.signature, labels.ORIGINAL, *_said(origin, slot, original.salt, value))


def _said(origin: Origin, slot: str | None, salt: bytes, value: bytes) -> tuple[bytes, ...]:
    """A label has no name, and so one part less than any slot."""
    hashed = sha256(lp(labels.ORIGINAL_VALUE, salt, value))
    said = (origin.owner.encode(), origin.item.encode(), str(origin.version).encode(), hashed)
    return said if slot is None else (*said, slot.encode())


def read_permission(record: bytes) -> Permission:
    """The parsed permission, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields.
    """
    facts = decode_record(record, _FIELDS)
    hops, keep = facts.number("hops"), facts.number("keep")
    if hops > MAX_HOPS or keep > 1:
        raise Malformed("the permission gives what cannot be given")
    return Permission(
        origin=Origin(
            owner=_of_form(_ACCOUNT, facts, "owner"),
            item=_of_form(_ID, facts, "item"),
            version=facts.number("version", least=1),
        ),
        share=_of_form(_ID, facts, "share"),
        giver=_of_form(_ACCOUNT, facts, "from"),
        taker=_of_form(_ACCOUNT, facts, "to"),
        hops=hops,
        keep=bool(keep),
        slots=_slots(facts),
        expires=None if facts.values["expires"] is None else facts.instant("expires"),
        terms_hash=None if facts.values["terms_hash"] is None else facts.digest("terms_hash"),
        prev=None if facts.values["prev"] is None else facts.digest("prev"),
    )


def _of_form(form: re.Pattern[str], facts: Facts, name: str) -> str:
    """Whoever signed it may have written anything there, and it is shown."""
    text = facts.text(name)
    if not form.fullmatch(text):
        raise Malformed(f"{name} is not an id")
    return text


def _slots(facts: Facts) -> tuple[str, ...] | None:
    match facts.values["slots"]:
        case None:
            return None
        case list(names) if len(names) <= MAX_SLOTS and all(isinstance(name, str) for name in names):
            if names == sorted(set(names)):
                return tuple(names)
    raise Malformed("slots are not a sorted list of at most 256 names")


def permit(identity: SigningKey, permission: Permission) -> tuple[bytes, bytes]:
    """The record of a permission, and the giver's signature over it.

    Raises:
        Malformed: a value is one that no reader would take.
    """
    record = permission.to_bytes()
    return record, identity.sign(labels.PERMISSION, record)


def check_permission(keys: Iterable[bytes], record: bytes, signature: bytes) -> None:
    """Returns if one of these sign keys of the giver signed the permission.

    Raises:
        ForgedRecord: none did.
    """
    _verify_any(keys, signature, labels.PERMISSION, record)


def beyond(permission: Permission, before: Permission | None) -> str | None:
    """In what a permission goes beyond the one that it says to rest on; None if it does not.

    Whoever gives a permission without one before must be the owner.
    """
    if before is None:
        first = permission.prev is None and permission.giver == permission.origin.owner
        return None if first else "nobody gave it a permission to rest on"
    broken = {
        "it rests on another permission": permission.prev != digest(before.to_bytes()),
        "that permission was given to somebody else": permission.giver != before.taker,
        "that permission is for another item or version": permission.origin != before.origin,
        "it is over more hands": permission.hops >= before.hops,
        "it has other slots": not _within(permission.slots, before.slots),
        "it ends later": before.expires is not None
        and (permission.expires is None or permission.expires > before.expires),
        "it has other terms": before.terms_hash is not None and permission.terms_hash != before.terms_hash,
        "it lets copies be kept": permission.keep and not before.keep,
    }
    return next((what for what, is_so in broken.items() if is_so), None)


def permits(permission: Permission, slots: Collection[str]) -> bool:
    """Whether all these slots may be in the share."""
    return permission.slots is None or set(slots) <= set(permission.slots)


def _within(slots: tuple[str, ...] | None, before: tuple[str, ...] | None) -> bool:
    return before is None or (slots is not None and set(slots) <= set(before))


def _verify_any(keys: Iterable[bytes], signature: bytes, label: bytes, *parts: bytes) -> None:
    for key in keys:
        try:
            return verify(key, signature, label, *parts)
        except ForgedRecord:
            continue
    raise ForgedRecord
