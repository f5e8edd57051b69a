"""Where a shared thing comes from: who owned it first, by whose hands it came, and that they were permitted to.

A share that may go on carries, inside its ciphertext, the owner's signature over each value and a permission for its
recipient. Who shares it on adds a permission of their own, and the identities of those before. Every reader checks all
of it: the values are the first owner's, and nobody gave on more than they had.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from privity.agent import connections
from privity.agent.chains import signed_chain
from privity.agent.connections import Connection
from privity.agent.contents import SharedContent
from privity.agent.givers import counting, ever, keys_of
from privity.agent.identity import own
from privity.agent.items import Content
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.crypto.identity import Identity, walk
from privity.crypto.originals import (
    MAX_CHAIN,
    MAX_SLOTS,
    Origin,
    Original,
    Permission,
    beyond,
    check_original,
    check_permission,
    permit,
    permits,
    read_permission,
    sign_original,
)
from privity.crypto.sharing import Conditions, Manifest
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, unb64
from privity.errors import (
    BeyondPermission,
    ForgedRecord,
    Malformed,
    ReshareNotPermitted,
    TooLarge,
)
from privity.messages.fields import SignedRecord

MAX_PEOPLE: Final = MAX_CHAIN

Keys = Mapping[str, Sequence[bytes]]
"""By account, the sign keys whose signatures count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The share that is about to be sealed, and between whom."""

    share: str
    item: str
    version: int
    sender: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Source:
    """What came with the share that is shared on, and the whole identity chain of the one who sent it."""

    provenance: dict[str, Any] = field(repr=False)
    sender: str
    chain: tuple[SignedRecord, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """How a thing came, as it was checked.

    `owner` is the account of who owned it first, `address` theirs if the reader is connected with them; `by` are those
    who shared it on, in their order, by address where the reader knows one; `hops` over how many hands it may go on.
    """

    owner: str
    address: str | None
    by: tuple[str, ...]
    hops: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """What stands in a share for its reader to check."""

    label: Original
    slots: dict[str, Original]
    permissions: tuple[tuple[bytes, bytes], ...]
    people: dict[str, tuple[SignedRecord, ...]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "label": _to_dict(self.label),
            "slots": {slot: _to_dict(original) for slot, original in self.slots.items()},
            "permissions": [{"record": b64(record), "signature": b64(one)} for record, one in self.permissions],
            "people": {account: [asdict(each) for each in chain] for account, chain in self.people.items()},
        }


def read_provenance(found: dict[str, Any]) -> Provenance:
    """The inverse of `Provenance.to_dict`.

    Raises:
        Malformed: it is something else, or names more people or slots than there can be.
    """
    try:
        read = Provenance(
            _read_original(found["label"]),
            {slot: _read_original(each) for slot, each in found["slots"].items()},
            tuple((unb64(each["record"]), unb64(each["signature"])) for each in found["permissions"]),
            {account: tuple(_read_record(each) for each in chain) for account, chain in found["people"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Malformed("what a share says of where it comes from cannot be read") from None
    if not 0 < len(read.permissions) <= MAX_CHAIN or len(read.people) > MAX_PEOPLE or len(read.slots) > MAX_SLOTS:
        raise Malformed("a share says more of where it comes from than there can be")
    return read


def of_own(
    identity: SigningKey, place: Place, content: Content, *, whole: bool, conditions: Conditions
) -> dict[str, Any] | None:
    """What goes with a share of one's own item: nothing, unless it may be shared on.

    Raises:
        TooLarge: more slots than can be shared on.
    """
    if not conditions.reshare:
        return None
    if len(content.slots) > MAX_SLOTS:
        raise TooLarge(f"an item of more than {MAX_SLOTS} slots cannot be shared on: choose some of them")
    origin = Origin(place.sender, place.item, place.version)
    permission = _permission(origin, place, content, whole, conditions, prev=None)
    return Provenance(
        sign_original(identity, origin, None, content.label.encode()),
        {slot: sign_original(identity, origin, slot, value.encode()) for slot, value in content.slots.items()},
        (permit(identity, permission),),
        {},
    ).to_dict()


def passed_on(
    identity: SigningKey, place: Place, content: Content, source: Source, *, whole: bool, conditions: Conditions
) -> dict[str, Any]:
    """What goes with a share of something that one was given.

    Args:
        content: the label, and of the slots that came those that are shared on.

    Raises:
        ReshareNotPermitted: it goes beyond what one was permitted.
        ForgedRecord: a value is not the first owner's.
    """
    came = read_provenance(source.provenance)
    *_, (before, _) = came.permissions
    given = read_permission(before)
    permission = _permission(given.origin, place, content, whole, conditions, prev=digest(before))
    what = beyond(permission, given)
    if not given.hops or what is not None:
        raise ReshareNotPermitted(f"this may not be shared on so: {what}" if given.hops else "")
    givers = {read_permission(record).giver for record, _ in came.permissions}
    people = {account: chain for account, chain in came.people.items() if account in givers}
    people[source.sender] = source.chain
    goes = Provenance(
        came.label,
        {slot: came.slots[slot] for slot in content.slots if slot in came.slots},
        (*came.permissions, permit(identity, permission)),
        people,
    )
    keys = {account: counting(tuple(walk(signed_chain(chain)))) for account, chain in people.items()}
    _check_signed(goes, {**keys, place.sender: [identity.public]}, {}, place.sender)
    _check_values(goes, content, keys[given.origin.owner], given.origin.owner, source.sender)
    return goes.to_dict()


async def check(
    session: Session,
    keyring: Keyring,
    manifest: Manifest,
    shared: SharedContent,
    connection: Connection,
    line: Sequence[Identity],
    everyone: Iterable[Connection] | None = None,
) -> Way | None:
    """How a share came, if all that goes with it holds; None for one that says nothing of it and needs not.

    Args:
        manifest: of the share, signed by its sender.
        shared: what was sealed in it.
        connection: over which it came or went.
        line: the sender's identities by which the manifest was signed.
        everyone: all connections, if they are at hand.

    Raises:
        ForgedRecord: a value is not the first owner's, or a permission is not by whom it is said to be.
        BeyondPermission: somebody gave on more than they had; the message says who.
        KeyMismatch, RolledBack: the identity of one of them is not the one that is known.
    """
    if shared.provenance is None and manifest.source is None:
        return None
    if everyone is None:
        everyone = await _all_connections(session, keyring) if manifest.source is not None else ()
    connected = {each.peer: each for each in (*everyone, connection)}
    names = {account: each.address for account, each in connected.items()}
    names[keyring.account] = session.address
    sender = names[manifest.owner]
    came, permissions = _read(shared.provenance, sender)
    chains = {account: each.row.peer_chain for account, each in connected.items()}
    if any(each.giver == keyring.account for each in permissions[:-1]):
        chains[keyring.account] = (await own(session))[0].chain
    memory = session.memory if manifest.owner != keyring.account else None
    others = [each.giver for each in permissions[:-1] if each.giver != manifest.owner]
    keys = {giver: keys_of(memory, giver, names, sender, came.people.get(giver), chains.get(giver)) for giver in others}
    keys[manifest.owner] = ever(line)
    _check_signed(came, keys, names, sender)
    _check_share(permissions, manifest, shared, sender)
    owner = permissions[-1].origin.owner
    _check_values(came, shared.content, keys[owner], names.get(owner, owner), sender)
    by = tuple(names.get(each.giver, each.giver) for each in permissions[1:])
    return Way(owner, names.get(owner), by, manifest.reshare)


async def _all_connections(session: Session, keyring: Keyring) -> list[Connection]:
    return [each for each in await connections.all_own(session, keyring) if isinstance(each, Connection)]


def rests_on(shared: SharedContent, source: SharedContent) -> bool:
    """Whether what one shared on is of the source as that is now: it may have been signed anew meanwhile."""
    if shared.provenance is None or source.provenance is None:
        return False
    mine, theirs = read_provenance(shared.provenance), read_provenance(source.provenance)
    return (mine.label, mine.permissions[:-1]) == (theirs.label, theirs.permissions)


def _read(provenance: dict[str, Any] | None, sender: str) -> tuple[Provenance, list[Permission]]:
    if provenance is None:
        raise BeyondPermission(f"{sender} has shared this on, and shows no permission for it.")
    try:
        came = read_provenance(provenance)
        return came, [read_permission(record) for record, _ in came.permissions]
    except Malformed as error:
        raise BeyondPermission(f"{sender} shows no permission that can be read: {error.message}.") from None


def _check_signed(came: Provenance, keys: Keys, names: Mapping[str, str], sender: str) -> None:
    """Each permission is signed by its giver, and rests on the one before."""
    before: Permission | None = None
    for record, signature in came.permissions:
        permission = read_permission(record)
        giver = names.get(permission.giver, permission.giver)
        try:
            check_permission(keys.get(permission.giver, ()), record, signature)
        except ForgedRecord:
            raise ForgedRecord(
                f"The signature of {giver} under the permission to share this on does not hold; it came by {sender}."
            ) from None
        what = beyond(permission, before)
        if what is not None:
            raise BeyondPermission(f"{giver} has shared this on beyond what was permitted: {what}.")
        before = permission


def _check_share(permissions: Sequence[Permission], manifest: Manifest, shared: SharedContent, sender: str) -> None:
    """The last permission is this share's, and the share is no more than that."""
    last = permissions[-1]
    said = Permission(
        origin=Origin(last.origin.owner, manifest.item, manifest.version),
        share=manifest.share,
        giver=manifest.owner,
        taker=manifest.recipient,
        hops=manifest.reshare,
        keep=manifest.keep,
        slots=last.slots,
        expires=manifest.expires,
        terms_hash=manifest.terms_hash,
        prev=last.prev,
    )
    source = permissions[-2].share if len(permissions) > 1 else None
    if last != said or manifest.source != source:
        raise BeyondPermission(f"{sender} has shared this on otherwise than the permission says.")
    if not permits(last, shared.content.slots) or (shared.whole and last.slots is not None):
        raise BeyondPermission(f"{sender} has shared on other slots than the permission says.")
    if source is not None and shared.content.files:
        raise BeyondPermission(f"{sender} has shared on files, which their owner alone can give.")


def _check_values(came: Provenance, content: Content, keys: Iterable[bytes], owner: str, sender: str) -> None:
    """The label and every value are as their first owner signed them."""
    origin = read_permission(came.permissions[0][0]).origin
    values: list[tuple[str, str | None, str, Original | None]] = [("the label", None, content.label, came.label)]
    values += [(f"slot {slot!r}", slot, value, came.slots.get(slot)) for slot, value in content.slots.items()]
    for what, slot, value, original in values:
        try:
            if original is None:
                raise ForgedRecord
            check_original(keys, original, origin, slot, value.encode())
        except (ForgedRecord, UnicodeEncodeError):
            raise ForgedRecord(
                f"The signature of {owner} over {what} does not hold: what came by {sender} is not the original, "
                f"or the key was given up as stolen."
            ) from None


def _permission(
    origin: Origin, place: Place, content: Content, whole: bool, conditions: Conditions, *, prev: str | None
) -> Permission:
    if (place.item, place.version) != (origin.item, origin.version):
        raise ReshareNotPermitted("this is another version than the one that came")
    return Permission(
        origin=origin,
        share=place.share,
        giver=place.sender,
        taker=place.recipient,
        hops=conditions.reshare,
        keep=conditions.keep,
        slots=None if whole else tuple(sorted(content.slots)),
        expires=conditions.expires,
        terms_hash=conditions.terms.hash if conditions.terms else None,
        prev=prev,
    )


def _to_dict(original: Original) -> dict[str, str]:
    return {"salt": b64(original.salt), "signature": b64(original.signature)}


def _read_original(found: dict[str, str]) -> Original:
    return Original(unb64(found["salt"]), unb64(found["signature"]))


def _read_record(found: dict[str, Any]) -> SignedRecord:
    record, signatures = found["record"], found["signatures"]
    if not isinstance(record, str) or not all(isinstance(each, str) for each in signatures):
        raise Malformed("an identity record is base64url")
    return SignedRecord(record, tuple(signatures))
