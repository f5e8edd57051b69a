"""The evidence behind events: that the one who is named signed it, and that it says what the events say."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from privity.audit.lines import Json, Message
from privity.audit.people import Devices, Known
from privity.crypto.command import verify_command, verify_login, verify_query
from privity.crypto.enrolment import login_ids, verify_login_enrolment
from privity.encoding import unb64
from privity.errors import BadLogin, BadSignature, ForgedRecord

COMMANDS: Final = "privity.cmd"
QUERIES: Final = "privity.qry"
LOGIN: Final = "privity.enrol.login"
KEYRING: Final = "keyring"
READS: Final[Mapping[str, frozenset[str]]] = {
    "shares": frozenset({"share-fetched"}),
    "spaces": frozenset({"share-fetched"}),
    "files": frozenset({"share-fetched"}),
    KEYRING: frozenset({"keyring-fetched", "keyring-refused"}),
}
"""The events for which a query is the evidence, by its view."""
EVERY_READ: Final = frozenset().union(*READS.values())

REFUSED: Final = frozenset({"keyring-refused"})
_ERASED: Final = "sealed-erased"
MADE: Final[Mapping[str, frozenset[str]]] = {
    subject: frozenset(names.split())
    for subject, names in {
        "accounts.register": "address-claimed account-registered",
        "accounts.extend-identity": "identity-extended",
        "accounts.rotate": f"identity-rotated {_ERASED}",
        "accounts.change-passphrase": f"passphrase-changed {_ERASED}",
        "accounts.rename": "address-claimed account-renamed",
        "accounts.close": f"account-closed {_ERASED}",
        "keys.store": "keypair-stored",
        "keys.publish": "public-key-published",
        "keys.remove": f"keypair-removed {_ERASED}",
        "invitations.invite": "connection-invited",
        "invitations.cancel": f"invitation-cancelled {_ERASED}",
        "invitations.accept": f"invitation-accepted connection-established pair-connected {_ERASED}",
        "invitations.decline": f"invitation-declined {_ERASED}",
        "connections.confirm": f"connection-confirmed {_ERASED}",
        "connections.note": f"connection-noted {_ERASED}",
        "connections.remove": f"connection-removed pair-parted {_ERASED}",
        "items.add": "item-added",
        "items.edit": f"item-edited {_ERASED}",
        "items.remove": f"item-removed {_ERASED}",
        "files.attach": "file-attached",
        "files.detach": f"file-detached {_ERASED}",
        "delegations.grant": "delegation-granted",
        "delegations.claim": f"delegation-claimed {_ERASED}",
        "delegations.remove": f"delegation-removed {_ERASED}",
        "delegations.keep-item": f"item-kept {_ERASED}",
        "delegations.drop-item": f"item-dropped {_ERASED}",
        "instructions.give": f"instruction-given {_ERASED}",
        "instructions.answer": f"instruction-answered {_ERASED}",
        "pieces.set": f"piece-set piece-granted {_ERASED}",
        "pieces.regrant": f"piece-granted {_ERASED}",
        "pieces.store": "piece-stored",
        "pieces.release": f"piece-released request-closed {_ERASED}",
        "pieces.remove": f"piece-removed {_ERASED}",
        "requests.create": f"piece-requested {_ERASED}",
        "requests.approve": f"request-approved piece-granted {_ERASED}",
        "requests.decline": f"request-declined {_ERASED}",
        "requests.withdraw": f"request-closed {_ERASED}",
        "rules.set": f"rules-set {_ERASED}",
        "shares.create": "encryption-space-opened share-created line-extended",
        "shares.revise": f"share-revised line-extended {_ERASED}",
        "shares.accept-terms": "terms-accepted",
        "shares.claim": f"share-claimed {_ERASED}",
        "shares.remove": f"share-removed {_ERASED}",
        "suppliers.announce": "supplier-named supplier-announced",
        "suppliers.replace": "supplier-replaced",
        "locations.create": "location-created",
        "locations.change": "location-changed",
        "locations.remove": f"location-removed {_ERASED}",
        "sharing-keys.create": "sharing-key-created",
        "sharing-keys.grant": f"sharing-key-granted sharing-key-given {_ERASED}",
        "sharing-keys.rotate": f"sharing-key-rotated {_ERASED}",
        "sharing-keys.claim": f"sharing-key-claimed {_ERASED}",
        "sharing-keys.restore": f"sharing-key-claimed {_ERASED}",
        "sharing-keys.note": f"sharing-key-noted {_ERASED}",
        "sharing-keys.send-public": f"public-part-sent sharing-key-given {_ERASED}",
        "sharing-keys.erase": f"sharing-key-erased {_ERASED}",
        "grants.begin": "grant-begun",
        "grants.step": "grant-step-taken",
        "audits.ask": f"audit-asked {_ERASED}",
        "audits.answer": f"audit-answered {_ERASED}",
        "groups.stage": f"group-staged {_ERASED}",
        "groups.advance": f"group-advanced group-keyed {_ERASED}",
        "groups.claim": f"group-claimed {_ERASED}",
        "groups.leave": f"group-left {_ERASED}",
        "groups.post": f"group-posted group-line-extended {_ERASED}",
        "groups.withdraw": f"group-withdrawn group-line-extended {_ERASED}",
    }.items()
}
"""The events that can follow from each command; one that is not here is of a newer version."""

EVERY_EVENT: Final = EVERY_READ.union(*MADE.values())
"""What an unknown command cannot make: it is of a newer version, and so are its events."""

ACTOR: Final[Mapping[str, str]] = {
    name: field_name
    for field_name, names in {
        "account": "address-claimed account-registered identity-extended identity-rotated passphrase-changed "
        "account-renamed account-closed keypair-stored public-key-published keypair-removed keyring-fetched "
        "keyring-refused rules-set group-claimed group-left",
        "owner": "item-added item-edited item-removed file-attached file-detached "
        "encryption-space-opened share-created share-revised "
        "piece-set piece-granted piece-removed request-approved request-declined",
        "inviter": "connection-invited invitation-cancelled connection-confirmed",
        "by": "piece-released request-closed sharing-key-given "
        "sharing-key-created sharing-key-granted sharing-key-rotated sharing-key-claimed sharing-key-noted "
        "location-created location-changed location-removed "
        "public-part-sent sharing-key-erased grant-begun grant-step-taken audit-asked audit-answered "
        "invitation-accepted invitation-declined connection-noted connection-removed share-removed "
        "delegation-granted delegation-claimed delegation-removed item-kept item-dropped instruction-given "
        "group-staged group-advanced group-keyed group-withdrawn",
        "author": "group-posted group-line-extended",
        "principal": "instruction-answered",
        "recipient": "share-claimed terms-accepted",
        "sender": "line-extended",
        "reader": "share-fetched piece-stored",
        "supplier": "supplier-named supplier-announced supplier-replaced",
        "asker": "piece-requested",
    }.items()
    for name in names.split()
}
"""The field by which an event names who did it; the others name them otherwise."""

Verify = Callable[[bytes, bytes, str, str, bytes], None]


@dataclass(frozen=True, slots=True)
class Origin:
    """What an event says of where it comes from."""

    command: str
    digest: str
    actor: str
    device: str


@dataclass(slots=True)
class Group:
    """The events of one command, which follow one another, and who could sign it when they began."""

    place: str
    origin: Origin
    message: Message
    signers: Devices
    logins: Mapping[str, str]
    events: list[tuple[str, Json]] = field(default_factory=list)
    """Each by its name without a version."""


def check(group: Group, now: Known, home: str) -> bool:
    """Whether somebody signed for the group, else the backend alone says it; `now` is its actor after its events.

    Raises:
        ForgedRecord: the evidence is not what the events name, or does not bear them.
    """
    origin, message = group.origin, group.message
    said = _said(message.payload)
    if message.subject == LOGIN:
        return _check_refused(group, said, home)
    prefix, account, name = _split(message.subject)
    if account != origin.actor or (said.get("id"), said.get("account"), said.get("device")) != (
        origin.command,
        origin.actor,
        origin.device,
    ):
        raise ForgedRecord("the command is another one than the event names")
    if prefix == COMMANDS:
        _check_events(group, said.get("body"), MADE.get(name))
        _check_device(group, now, home, verify_command)
        return True
    if prefix != QUERIES or name not in READS:
        raise ForgedRecord("this is neither a command nor a query that stands for a read")
    params = said.get("params")
    _check_events(group, params, READS[name])
    if name != KEYRING:
        _check_asked(group, name, params)
        _check_device(group, now, home, verify_query)
        return True
    return _check_login(group, said, home)


def _split(subject: str) -> tuple[str, str, str]:
    """`privity.cmd.<account>.<name>` in its three parts."""
    tokens = subject.split(".", 3)
    if len(tokens) != 4:
        raise ForgedRecord("this is no command's subject")
    return f"{tokens[0]}.{tokens[1]}", tokens[2], tokens[3]


def _said(payload: bytes) -> Json:
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        raise ForgedRecord("the command cannot be read") from None
    if not isinstance(said, dict):
        raise ForgedRecord("the command cannot be read")
    return said


def _check_events(group: Group, body: object, allowed: frozenset[str] | None) -> None:
    """The events must be such as follow from this command, and what both name must be the same."""
    if not isinstance(body, dict):
        raise ForgedRecord("the command cannot be read")
    for name, event in group.events:
        if name not in allowed if allowed is not None else name in EVERY_EVENT:
            raise ForgedRecord(f"{name} does not follow from this command")
        if name in ACTOR and event.get(ACTOR[name]) != group.origin.actor:
            raise ForgedRecord(f"{name} names another {ACTOR[name]} than who asked for it")
        for field_name in event.keys() & body.keys():
            if not _same(event[field_name], body[field_name]):
                raise ForgedRecord(f"{name} says another {field_name} than its command")


def _check_asked(group: Group, view: str, params: object) -> None:
    """Who is said to have fetched a share must have asked for such a one."""
    assert isinstance(params, dict)  # noqa: S101 - checked with the events
    for _, event in group.events:
        if view == "files" and params.get("of") != event.get("share"):
            raise ForgedRecord("the query did not ask for a file of this share")
        outgoing = view == "shares" and params.get("direction") == "outgoing"
        if outgoing or (view == "shares" and not str(event.get("share")).startswith(str(params.get("id") or ""))):
            raise ForgedRecord("the query did not ask for this share")


def _same(one: object, other: object) -> bool:
    """Equal, or the same instant: a clock's reading has several spellings."""
    if one == other:
        return True
    try:
        return datetime.fromisoformat(str(one)) == datetime.fromisoformat(str(other))
    except (ValueError, TypeError):
        return False


def _check_device(group: Group, now: Known, home: str, verify: Verify) -> None:
    """By a device of before the group; of after it too, where the group changed the account's devices."""
    origin, message = group.origin, group.message
    keys = [*group.signers.get(origin.device, ()), *now.devices.get(origin.device, ())]
    for public in dict.fromkeys(keys):
        try:
            verify(public, message.signature, home, message.subject, message.payload)
        except BadSignature:
            continue
        return
    raise ForgedRecord("it was not signed by a device that the account named then")


def _check_refused(group: Group, said: Json, home: str) -> bool:
    """Somebody asked for a credential with a bad proof of the login: nobody has signed for that."""
    origin, message = group.origin, group.message
    if (str(said.get("account")), *login_ids(message.payload)) != (origin.actor, origin.command, origin.device):
        raise ForgedRecord("the login is another one than the event names")
    _check_events(group, said, REFUSED)
    purpose = str(said.get("purpose"))
    public, texts = group.logins.get(purpose), [said.get(name) or "" for name in ("proof", "nkey", "answer", "nonce")]
    if public is None or message.signature or not all(isinstance(each, str) for each in texts):
        raise ForgedRecord("this is no login")
    proof, nkey, answer, nonce = map(str, texts)
    about = (home, origin.actor, purpose, nkey, unb64(answer), unb64(nonce))
    try:
        verify_login_enrolment(unb64(public), unb64(proof), *about)
    except BadLogin:
        return False
    raise ForgedRecord("the proof of the login does not bear this out")


def _check_login(group: Group, said: Json, home: str) -> bool:
    """A good proof for what was given; for what was refused a bad one."""
    params, nonce = said["params"], said.get("nonce")
    if not isinstance(params, dict) or not isinstance(nonce, str) or group.message.signature:
        raise ForgedRecord("this is no proof of a login")
    public, purpose = group.logins.get(str(params.get("purpose"))), str(params.get("purpose"))
    if public is None:
        raise ForgedRecord("the account has no such login")
    try:
        verify_login(unb64(public), unb64(str(params.get("proof"))), home, purpose, unb64(nonce))
        proven = True
    except BadLogin:
        proven = False
    if any((name == "keyring-fetched") is not proven for name, _ in group.events):
        raise ForgedRecord("the proof of the login does not bear this out")
    return proven
