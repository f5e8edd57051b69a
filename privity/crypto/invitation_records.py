"""The two records that make a connection: the inviter's I and the acceptor's R, parsed, not yet verified."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from privity.crypto.kem import Suite, check_public
from privity.crypto.record import HASH_BYTES, decode_record
from privity.crypto.signing import PUBLIC_BYTES, SIGNATURE_BYTES
from privity.errors import Malformed

_ACCEPTANCE_FIELDS: Final = frozenset(
    {"v", "inv", "invitation", "account", "address", "head", "public", "suite", "gen", "cert"}
)
_INVITATION_FIELDS: Final = _ACCEPTANCE_FIELDS - {"invitation"} | {"expires", "home", "log_key"}


@dataclass(frozen=True, slots=True)
class Invitation:
    """The parsed record I; `expires` is ISO 8601 with its offset."""

    inv: str
    expires: str
    home: str
    log_key: bytes
    account: str
    address: str
    head: bytes
    public: bytes
    suite: Suite
    gen: int
    cert: bytes


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The parsed record R; `invitation` is SHA-256 of the record I that it answers."""

    inv: str
    invitation: bytes
    account: str
    address: str
    head: bytes
    public: bytes
    suite: Suite
    gen: int
    cert: bytes


def read_invitation(record: bytes) -> Invitation:
    """The parsed record I, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields.
    """
    facts = decode_record(record, _INVITATION_FIELDS)
    invitation = Invitation(
        inv=facts.text("inv"),
        expires=facts.text("expires"),
        home=facts.text("home"),
        log_key=facts.raw("log_key", PUBLIC_BYTES),
        account=facts.text("account"),
        address=facts.text("address"),
        head=facts.raw("head", HASH_BYTES),
        public=facts.raw("public"),
        suite=facts.suite("suite"),
        gen=facts.number("gen"),
        cert=facts.raw("cert", SIGNATURE_BYTES),
    )
    check_public(invitation.suite, invitation.public)
    moment(invitation.expires)
    return invitation


def read_acceptance(record: bytes) -> Acceptance:
    """The parsed record R, not yet verified.

    Raises:
        Malformed: not a canonical record with exactly these fields.
    """
    facts = decode_record(record, _ACCEPTANCE_FIELDS)
    acceptance = Acceptance(
        inv=facts.text("inv"),
        invitation=facts.raw("invitation", HASH_BYTES),
        account=facts.text("account"),
        address=facts.text("address"),
        head=facts.raw("head", HASH_BYTES),
        public=facts.raw("public"),
        suite=facts.suite("suite"),
        gen=facts.number("gen"),
        cert=facts.raw("cert", SIGNATURE_BYTES),
    )
    check_public(acceptance.suite, acceptance.public)
    return acceptance


def moment(text: str) -> datetime:
    """An aware time from ISO 8601.

    Raises:
        Malformed: no time, or one without an offset.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed("not a time") from error
    if parsed.tzinfo is None:
        raise Malformed("a time has an offset")
    return parsed
