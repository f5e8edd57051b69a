"""One example of every actor, command and event, so that no test invents data: `example(ItemEdited, version=2)`."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from hashlib import sha512
from typing import Any, TypeVar

from domain.facts import Actor
from privity.encoding import b32, b64, digest, sha256
from privity.messages.accounts import IdentityHead, Kdf
from privity.messages.base import Command, Event
from privity.messages.connections import Side
from privity.messages.erasing import SealedErased
from privity.messages.fields import SignedRecord
from privity.messages.groups import GroupMember
from privity.messages.locations import StoredObject
from privity.messages.recorded import Meta

M = TypeVar("M", bound=Command | Event)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=14)


def long_id(name: str) -> str:
    """An account's or connection's id: 52 characters."""
    return b32(sha256(name.encode()))


def short_id(name: str) -> str:
    """Any other id: 26 characters."""
    return b32(sha256(name.encode())[:16])


def sealed(name: str) -> str:
    """The digest of a sealed object."""
    return digest(name.encode())


def raw(name: str) -> str:
    """Some bytes as messages carry them."""
    return b64(name.encode())


def key32(name: str) -> str:
    """A public key, MAC or token as messages carry it."""
    return b64(sha256(name.encode()))


def signature(name: str) -> str:
    """A signature as messages carry it."""
    return b64(sha512(name.encode()).digest())


def actor(name: str, at: datetime = NOW) -> Actor:
    """Somebody on their first device."""
    return Actor(long_id(name), short_id(f"{name}'s device"), at)


def identity(name: str, n: int = 1, *devices: str) -> IdentityHead:
    """What somebody's chain says at record `n`."""
    keys = {device: key32(f"key of {device}") for device in devices or (short_id(f"{name}'s device"),)}
    return IdentityHead(
        n=n,
        head=sealed(f"{name}'s record {n}"),
        sign=key32(f"{name}'s sign"),
        seal=raw(f"{name}'s seal"),
        seal_suite="MLKEM768_X25519",
        recovery=key32(f"{name}'s recovery"),
        devices=keys,
    )


def side(name: str) -> Side:
    """Somebody's side of a connection."""
    return Side(
        account=long_id(name),
        address=f"{name}@localhost",
        key=short_id(f"{name}'s key"),
        public=raw(f"{name}'s public"),
        note=sealed(f"{name}'s note"),
    )


def line_of(connection: str, sender: str) -> str:
    """The id of what somebody sends over a connection."""
    return long_id(f"line of {sender} over {connection}")


ANN, BOB, EVE = actor("ann"), actor("bob"), actor("eve")

RECORD = SignedRecord(raw("record"), (signature("first"), signature("second")))

UNCONDITIONAL: dict[str, Any] = {"expires": None, "terms": None, "terms_hash": None, "reshare": 0, "keep": False}
UNCONDITIONAL |= {"source": None}
CONDITIONS: dict[str, Any] = {"expires": LATER, "terms": sealed("terms"), "terms_hash": sealed("terms' text")}
CONDITIONS |= {"reshare": 1, "keep": True}
NEXT_GENERATION: dict[str, Any] = {
    **UNCONDITIONAL,
    "generation": 2,
    "manifest": raw("next manifest"),
    "content": sealed("next content"),
    "owner_wrap": sealed("owner's next wrap"),
    "recipient_wrap": sealed("recipient's next wrap"),
}

VAULT_KEY_AFTER: dict[str, Any] = {
    "record": raw("removal"),
    "n": 2,
    "generation": 2,
    "wraps": {ANN.account: sealed("ann's vault key")},
    "before": sealed("vault key before"),
}
KEPT: dict[str, Any] = {
    "record": raw("version"),
    "generation": 1,
    "content": sealed("kept"),
    "wrap": sealed("kept wrap"),
}


INSTRUCTED: dict[str, Any] = {
    "record": raw("instruction"),
    "signature": signature("instruction"),
    "content": sealed("wanted"),
    "expires": NOW + timedelta(days=7),
    "digest": sealed("instruction"),
}


def member(name: str, role: Any = "admin") -> GroupMember:
    """Somebody in a group."""
    return GroupMember(role, 1, sealed(f"{name}'s record 1"), digest(f"{name}'s seal".encode()))


STAGED: dict[str, Any] = {"members": {ANN.account: member("ann")}, "wraps": {ANN.account: sealed("ann's group key")}}
STAGED |= {"epoch": 1, "connections": {}, "key": 1}
EPOCH: dict[str, Any] = {"epoch": 1, "key": 1, "record": raw("epoch"), "signature": signature("epoch"), "dropped": ()}
EPOCH |= {"about": sealed("about"), "link": None, "member": member("ann"), "digest": sealed("epoch")}
POSTED: dict[str, Any] = {"member": member("ann"), "content": sealed("posted"), "wrap": sealed("posted wrap")}

PIECE: dict[str, Any] = {
    "record": raw("piece"),
    "signature": signature("piece"),
    "content": sealed("piece content"),
    "owner_wrap": sealed("piece wrap"),
}
GRANTED: dict[str, Any] = {"content": sealed("piece content"), "wrap": sealed("reader's wrap")}

SHARED_KEY = long_id("sharing key")
AUDIT: dict[str, Any] = {
    "audit": short_id("audit"),
    "key": SHARED_KEY,
    "of": BOB.account,
    "nonce": sealed("nonce"),
    "challenge": None,
    "signature": signature("audit"),
}
AUDITED: dict[str, Any] = {
    "audit": short_id("audit"),
    "asker": ANN.account,
    "verdict": "holds",
    "held": sealed("held"),
    "answer": None,
    "signature": signature("audited"),
}
GRANT: dict[str, Any] = {"grant": short_id("grant"), "key": SHARED_KEY, "to": BOB.account}

SUPPLIERS = tuple(long_id(f"supplier {n}") for n in (1, 2, 3))
STORED = StoredObject(short_id("object"), 1, 2, tuple(sealed(f"root {n}") for n in (1, 2, 3)))
LOCATION: dict[str, Any] = {"location": SHARED_KEY, "needed": 2, "suppliers": SUPPLIERS}
CHANGED: dict[str, Any] = {
    "location": SHARED_KEY,
    "body": sealed("body"),
    "size": 1000,
    "objects": (STORED,),
    "released": (),
}

SUPPLIED: dict[str, Any] = {"supplier": ANN.account, "name": "supplier-1", "called": "supplier-1", "quota": 2**30}
SUPPLIED |= {"public": key32("supplier"), "lost": BOB.account, "order": signature("order")}

SHARING_KEY: dict[str, Any] = {"key": long_id("sharing key"), "record": raw("first record"), "generation": 1, "n": 2}
SHARING_KEY |= {"digest": digest(b"first record"), "signature": signature("first record"), "creator": ANN.account}
NEXT_RECORD: dict[str, Any] = SHARING_KEY | {"record": raw("next record"), "digest": digest(b"next record")}
GRANTED_KEY: dict[str, Any] = NEXT_RECORD | {
    "grant": short_id("key grant"),
    "to": BOB.account,
    "wrap": sealed("bob's part"),
    "holders": (BOB.account,),
}
ROTATED_KEY: dict[str, Any] = NEXT_RECORD | {
    "n": 3,
    "generation": 2,
    "dropped": (BOB.account,),
    "wraps": {ANN.account: sealed("ann's next part")},
    "link": sealed("part before"),
    "holders": (),
}
CLAIMED_KEY: dict[str, Any] = SHARING_KEY | {
    "by": BOB.account,
    "replaces": None,
    "wrap": sealed("bob's claim"),
    "note": sealed("bob's key note"),
}
NOTED_KEY: dict[str, Any] = SHARING_KEY | {"replaces": sealed("note"), "note": sealed("ann's next key note")}
RESTORED_KEY: dict[str, Any] = NOTED_KEY | {"wrap": sealed("restored"), "note": sealed("restored note")}
PUBLIC_KEY: dict[str, Any] = SHARING_KEY | {"to": BOB.account, "sealed": sealed("alias for bob")}

SPECIAL: dict[str, dict[str, Any]] = {
    "CreateSharingKey": SHARING_KEY,
    "SharingKeyCreated": SHARING_KEY,
    "GrantSharingKey": GRANTED_KEY,
    "SharingKeyGranted": GRANTED_KEY,
    "RotateSharingKey": ROTATED_KEY,
    "SharingKeyRotated": ROTATED_KEY,
    "ClaimSharingKey": CLAIMED_KEY,
    "SharingKeyClaimed": CLAIMED_KEY,
    "RestoreSharingKey": RESTORED_KEY,
    "NoteSharingKey": NOTED_KEY,
    "SharingKeyNoted": NOTED_KEY,
    "SendPublicPart": PUBLIC_KEY,
    "PublicPartSent": PUBLIC_KEY,
    "SharingKeyGiven": SHARING_KEY | {"to": BOB.account, "count": 1},
    "EraseSharingKey": SHARING_KEY,
    "SharingKeyErased": SHARING_KEY | {"whole": True, "accounts": (ANN.account,)},
    "AnnounceSupplier": SUPPLIED,
    "ReplaceSupplier": SUPPLIED,
    "SupplierNamed": SUPPLIED,
    "SupplierAnnounced": SUPPLIED,
    "SupplierReplaced": SUPPLIED,
    "CreateLocation": LOCATION,
    "LocationCreated": LOCATION,
    "ChangeLocation": CHANGED,
    "LocationChanged": CHANGED,
    "RemoveLocation": LOCATION,
    "LocationRemoved": LOCATION | {"left": 0},
    "BeginGrant": GRANT | {"n": 1},
    "GrantBegun": GRANT | {"n": 1},
    "TakeGrantStep": GRANT | {"step": "reach", "outcome": "done", "reason": None},
    "GrantStepTaken": GRANT | {"step": "reach", "outcome": "done", "reason": None},
    "AskAudit": AUDIT | {"kind": "public"},
    "AuditAsked": AUDIT | {"audited": "public", "at": NOW, "forgotten": ()},
    "AnswerAudit": AUDITED,
    "AuditAnswered": AUDITED | {"by": BOB.account, "key": SHARED_KEY},
    "StageGroup": STAGED,
    "GroupStaged": STAGED,
    "GroupKeyed": STAGED,
    "AdvanceGroup": EPOCH,
    "GroupAdvanced": EPOCH,
    "ClaimGroup": {"key": 1, "wrap": sealed("group claim")},
    "GroupClaimed": {"key": 1, "wrap": sealed("group claim")},
    "LeaveGroup": {"epoch": 1, "closing": False},
    "GroupLeft": {"epoch": 1, "told": ()},
    "PostToGroup": POSTED,
    "GroupPosted": POSTED,
    "GroupWithdrawn": {"member": member("ann"), "n": 2, "manifest": raw("withdrawal")},
    "WithdrawPost": {"manifest": raw("withdrawal")},
    "SetPiece": PIECE | {"wraps": {}, "grants": {}},
    "PieceSet": PIECE,
    "RegrantPiece": {
        "generation": 2,
        "wraps": {BOB.account: sealed("reader's second wrap")},
        "grants": {BOB.account: signature("second grant")},
    },
    "PieceGranted": {"key": short_id("bob's key"), "wrap": sealed("reader's wrap")},
    "StorePiece": {"wrap": sealed("stored")},
    "PieceStored": {"wrap": sealed("stored")},
    "RemovePiece": {"version": 2},
    "PieceRemoved": {"version": 2},
    "RequestPiece": {"signature": signature("request")},
    "PieceRequested": {"signature": signature("request")},
    "ApproveRequest": GRANTED,
    "RequestApproved": GRANTED,
    "RequestClosed": {"by": BOB.account, "whole": True},
    "ConfirmConnection": {"acceptance": sealed("acceptance")},
    "AddressClaimed": {"token": sealed("ann@localhost")},
    "AcceptInvitation": {"key": short_id("bob's key"), "record": raw("acceptance"), "note": sealed("bob's note")},
    "InviteConnection": {"record": raw("offer"), "mac": key32("offer mac"), "note": sealed("ann's note")},
    "ConnectionInvited": {"record": raw("offer"), "mac": key32("offer mac"), "note": sealed("ann's note")},
    "ConnectionEstablished": {"inviter": side("ann"), "acceptor": side("bob")},
    "InvitationAccepted": {"by": BOB.account},
    "InvitationDeclined": {"by": BOB.account},
    "ItemEdited": {"version": 2, "content": sealed("newer content"), "wrap": sealed("newer wrap")},
    "EditItem": {"version": 2, "content": sealed("newer content"), "wrap": sealed("newer wrap")},
    "RotateIdentity": {"identity": sealed("newer identity")},
    "IdentityRotated": {"identity": sealed("newer identity")},
    "RenameAccount": {"address": "anna@localhost"},
    "AccountRenamed": {"address": "anna@localhost"},
    "ChangePassphrase": {"kek": sealed("newer kek")},
    "PassphraseChanged": {"kek": sealed("newer kek")},
    "ClaimShare": {"wrap": sealed("claim"), "generation": 1},
    "CloseAccount": {"head": sealed("ann's record 1"), "signature": signature("closing")},
    "ShareClaimed": {"wrap": sealed("claim")},
    "CreateShare": UNCONDITIONAL,
    "ShareCreated": UNCONDITIONAL,
    "AttachFile": {"content": sealed("file content")},
    "FileAttached": {"content": sealed("file content"), "recipient": None, "connection": None},
    "FileDetached": {"recipient": None},
    "ReviseShare": NEXT_GENERATION,
    "ShareRevised": NEXT_GENERATION,
    "TermsAccepted": {"terms_hash": sealed("terms' text"), "signature": signature("acceptance")},
    "AcceptTerms": {"terms_hash": sealed("terms' text"), "signature": signature("acceptance")},
    "GrantDelegation": {"record": raw("grant"), "expires": None, "generation": 1},
    "DelegationGranted": {"record": raw("grant"), "expires": None, "generation": 1, "accounts": (BOB.account,)},
    "ClaimDelegation": {"generation": 1, "wrap": sealed("claim")},
    "DelegationClaimed": {"by": BOB.account, "generation": 1, "wrap": sealed("claim")},
    "RemoveDelegation": VAULT_KEY_AFTER,
    "DelegationRemoved": VAULT_KEY_AFTER | {"accounts": (), "vault_key": digest(b"vault key 2")},
    "KeepItem": KEPT | {"delegation": None},
    "ItemKept": KEPT | {"delegation": None},
    "ItemDropped": {"by": BOB.account},
    "GiveInstruction": INSTRUCTED,
    "InstructionGiven": INSTRUCTED | {"by": BOB.account, "lapsed": ()},
    "AnswerInstruction": {"code": None},
    "InstructionAnswered": {"code": None, "digest": sealed("instruction")},
}
"""Where a field of one message stands for something else than it mostly does."""

COMMON: dict[str, Any] = {
    "acceptance": raw("acceptance"),
    "acceptance_mac": key32("mac"),
    "acceptor": BOB.account,
    "account": ANN.account,
    "author": ANN.account,
    "batch": short_id("batch"),
    "group": long_id("group"),
    "index": 0,
    "post": short_id("post"),
    "proof": (),
    "accounts": (ANN.account,),
    "answer": key32("answer"),
    "asker": BOB.account,
    "challenge": sealed("challenge"),
    "generation": 1,
    "grant": signature("grant"),
    "kept": sealed("kept challenge"),
    "piece": short_id("piece"),
    "piece_name": "phone",
    "request": short_id("request"),
    "rules": sealed("rules"),
    "address": "ann@localhost",
    "at_hour": NOW,
    "by": ANN.account,
    "chain": (RECORD, RECORD),
    "connection": long_id("connection"),
    "content": sealed("content"),
    "email": "bob@localhost",
    "expires": LATER,
    "file": short_id("file"),
    "head": identity("ann"),
    "delegate": BOB.account,
    "delegation": short_id("delegation"),
    "vault_key": digest(b"vault key"),
    "digest": digest(b"manifest"),
    "digests": (sealed("content"), sealed("wrap")),
    "id": short_id("item"),
    "identity": sealed("identity"),
    "invitation": short_id("invitation"),
    "inviter": ANN.account,
    "item": short_id("item"),
    "kdf": Kdf(64 * 1024, 3, 4),
    "kek": sealed("kek"),
    "kek_recovery": sealed("kek for recovery"),
    "key": short_id("ann's key"),
    "line": line_of(long_id("connection"), ANN.account),
    "login": key32("login"),
    "mac": key32("mac"),
    "manifest": raw("manifest"),
    "n": 1,
    "note": sealed("note"),
    "of": short_id("item"),
    "offer": raw("offer"),
    "offer_mac": key32("offer mac"),
    "owner": ANN.account,
    "own_wrap": sealed("own vault key"),
    "owner_wrap": sealed("owner's wrap"),
    "pair": sealed("pair"),
    "principal": ANN.account,
    "private": sealed("private"),
    "public": raw("ann's public"),
    "purpose": "login",
    "read": short_id("read"),
    "reader": BOB.account,
    "replaces": sealed("ann's note"),
    "recipient": BOB.account,
    "recipient_key": short_id("bob's key"),
    "recipient_wrap": sealed("recipient's wrap"),
    "record": RECORD,
    "recovery_login": key32("recovery login"),
    "role": "admin",
    "sender": ANN.account,
    "share": short_id("share"),
    "signature": signature("manifest"),
    "space": short_id("space"),
    "suite": "MLKEM768_X25519",
    "token": key32("token"),
    "token_hash": sealed("token"),
    "version": 1,
    "wrap": sealed("wrap"),
    "wraps": {ANN.account: sealed("owner's wrap"), BOB.account: sealed("recipient's wrap")},
}
"""Ann owns, invites and shares; Bob is invited and reads."""


def example(type_: type[M], **changes: Any) -> M:
    """The message of that type, with some fields changed."""
    given = COMMON | SPECIAL.get(type_.__name__, {}) | changes
    return type_(**{field.name: given[field.name] for field in fields(type_)} | changes)


def erased(id: str, *digests: str, of: Sequence[Actor] = (ANN,)) -> SealedErased:
    """The event that says that sealed objects went."""
    return SealedErased(id, digests, tuple(by.account for by in of))


def meta(by: Actor = ANN) -> Meta:
    """Where an event comes from."""
    return Meta("019ca000-0000-7000-8000-000000000000", sealed("command"), by.account, by.device, by.at)
