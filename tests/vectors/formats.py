"""What a test vector asks: one function for each kind of question, from JSON to JSON, through Privity's own functions.

Bytes stand as base64url without padding. A question that has no answer raises the error that the vector names.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from privity.connection_string import parse_connection_string
from privity.crypto import aead, files, items, kem, log, merkle
from privity.crypto.command import frame, unframe, verify_command, verify_login, verify_query
from privity.crypto.connection import connection_id, safety_number
from privity.crypto.credentials import decode_recovery, decode_secret, home_id, log_hash
from privity.crypto.enrolment import verify_device_enrolment, verify_login_enrolment
from privity.crypto.feed import feed_link
from privity.crypto.identity import Signed, account_id, verify_chain
from privity.crypto.invitation import check_acceptance, check_confirmation, check_invitation, invite_keys, parse_link
from privity.crypto.invitation_records import moment
from privity.crypto.kdf import KdfParams, derive_recovery, derive_unlock
from privity.crypto.kem import Suite
from privity.crypto.keyring import unwrap_key
from privity.crypto.originals import Origin, Original, beyond, check_original, check_permission, read_permission
from privity.crypto.record import decode_record
from privity.crypto.sharing import (
    UnderTerms,
    check_accepted,
    line_id,
    open_share,
    open_terms,
    unseal_dek,
    unwrap_own,
    verify_share,
)
from privity.encoding import b32, b64, digest, lp, unb32, unb64
from privity.errors import BeyondPermission
from tests.vectors import context_formats

Asked = dict[str, Any]


def texts(parts: list[str]) -> list[bytes]:
    return [part.encode() for part in parts]


def raws(parts: list[str]) -> list[bytes]:
    return [unb64(part) for part in parts]


def unframed(asked: Asked) -> object:
    return [b64(part) for part in unframe(unb64(asked["data"]), asked["max_parts"], asked["max_bytes"])]


def signed_by(asked: Asked) -> tuple[bytes, bytes, str, str, bytes]:
    payload = asked["payload"].encode()
    return unb64(asked["public"]), unb64(asked["signature"]), asked["home"], asked["subject"], payload


def login(asked: Asked) -> None:
    proof = unb64(asked["public"]), unb64(asked["signature"]), asked["home"], asked["purpose"]
    verify_login(*proof, unb64(asked["nonce"]))


def enrolment(asked: Asked) -> tuple[bytes, bytes, str, str, str, str, bytes, bytes]:
    signed = unb64(asked["public"]), unb64(asked["signature"])
    named = asked["home"], asked["account"], asked["by"], asked["nkey"]
    return *signed, *named, unb64(asked["answer"]), unb64(asked["nonce"])


def opened(asked: Asked) -> str:
    context = texts(asked["context"])
    return b64(aead.open_sealed(unb64(asked["key"]), unb64(asked["blob"]), asked["label"].encode(), *context))


def unwrapped(asked: Asked) -> str:
    ids = texts(asked["ids"])
    return b64(unwrap_key(unb64(asked["kek"]), unb64(asked["blob"]), asked["purpose"].encode(), *ids))


def unsealed(asked: Asked) -> str:
    suite, context = Suite(asked["suite"]), texts(asked["context"])
    private, blob = unb64(asked["private"]), unb64(asked["blob"])
    return b64(kem.open_with(suite, private, blob, asked["label"].encode(), *context))


def unlock(asked: Asked) -> object:
    params = KdfParams.from_json_dict(asked["kdf"])
    made = derive_unlock(asked["passphrase"], unb64(asked["secret"]), asked["account"], params)
    return {"wrap": b64(made.wrap), "login_seed": b64(made.login.seed), "login_public": b64(made.login.public)}


def recovery(asked: Asked) -> object:
    made = derive_recovery(unb64(asked["seed"]), asked["account"])
    return {"wrap": b64(made.wrap), "login_public": b64(made.login.public), "sign_public": b64(made.sign.public)}


def kept_text(read: Callable[[str], tuple[str, bytes, bytes]]) -> Callable[[Asked], object]:
    def parts(asked: Asked) -> object:
        account, anchor, secret = read(asked["text"])
        return {"account": account, "log_hash": b64(anchor), "secret": b64(secret)}

    return parts


def link(asked: Asked) -> object:
    read = parse_link(asked["text"])
    return {
        "home": read.home,
        "invitation": read.inv,
        "secret": b64(read.secret) if read.secret is not None else None,
        "token": b64(read.token) if read.token is not None else None,
    }


def connection_string(asked: Asked) -> object:
    read = parse_connection_string(asked["text"])
    return {"host": read.host, "port": read.port, "home": read.home, "log_key": b64(read.log_public)}


def chain_of(records: list[Asked]) -> list[Signed]:
    return [Signed.from_json_dict(each) for each in records]


def chain(asked: Asked) -> object:
    identity = verify_chain(chain_of(asked["chain"]))
    return {
        "account": identity.account,
        "n": identity.n,
        "head": b64(identity.head),
        "sign": b64(identity.sign),
        "recovery": b64(identity.recovery_hash),
        "devices": {name: b64(public) for name, public in sorted(identity.devices.items())},
    }


def secret_of(asked: Asked) -> bytes | None:
    return unb64(asked["S"]) if asked["S"] is not None else None


def mac_of(asked: Asked) -> bytes | None:
    return unb64(asked["mac"]) if asked["mac"] is not None else None


def link_keys(asked: Asked) -> object:
    return {name: b64(key) for name, key in asdict(invite_keys(unb64(asked["S"]), asked["invitation"])).items()}


def invitation(asked: Asked) -> object:
    checked = check_invitation(
        unb64(asked["record"]),
        mac_of(asked),
        chain_of(asked["chain"]),
        S=secret_of(asked),
        now=moment(asked["now"]),
        log_key=unb64(asked["log_key"]),
    )
    return {"account": checked.identity.account, "verified": checked.verified}


def acceptance(asked: Asked) -> object:
    records = unb64(asked["invitation"]), unb64(asked["record"])
    checked = check_acceptance(secret_of(asked), *records, mac_of(asked), chain_of(asked["chain"]))
    return {"account": checked.identity.account, "verified": checked.verified, "connection": connection_id(*records)}


def confirmation(asked: Asked) -> None:
    records = unb64(asked["invitation"]), unb64(asked["acceptance"])
    check_confirmation(unb64(asked["S"]), *records, unb64(asked["mac"]))


def number(asked: Asked) -> str:
    (one, other) = ((each["account"], unb64(each["head"])) for each in asked["ends"])
    return safety_number(*one, *other)


def record(asked: Asked) -> object:
    return decode_record(asked["text"].encode(), frozenset(asked["fields"])).values


def manifest(asked: Asked) -> object:
    read = verify_share(unb64(asked["manifest"]), unb64(asked["signature"]), unb64(asked["sender"]))
    return asdict(read) | {"expires": read.expires.isoformat() if read.expires else None}


def terms(asked: Asked) -> object:
    read = verify_share(unb64(asked["manifest"]), unb64(asked["signature"]), unb64(asked["sender"]))
    return open_terms(read, unb64(asked["terms"]), unb64(asked["private"])).text


def accepted(asked: Asked) -> object:
    names = ("share", "connection", "owner", "recipient", "terms_hash")
    check_accepted(unb64(asked["public"]), unb64(asked["signature"]), UnderTerms(*(asked[name] for name in names)))
    return True


def share(asked: Asked) -> object:
    read = verify_share(unb64(asked["manifest"]), unb64(asked["signature"]), unb64(asked["sender"]))
    if "private" in asked:
        dek = unseal_dek(read, unb64(asked["wrap"]), unb64(asked["private"]))
    else:
        dek = unwrap_own(unb64(asked["kek"]), unb64(asked["wrap"]), read, asked["role"])
    return open_share(read, dek, unb64(asked["content"])).decode()


def item(asked: Asked) -> object:
    place = {name: asked[name] for name in ("account", "item", "version")}
    plaintext = items.open_item(unb64(asked["kek"]), unb64(asked["content"]), unb64(asked["wrap"]), **place)
    return json.loads(plaintext)


def segment(asked: Asked) -> str:
    return b64(files.decrypt_segment(unb64(asked["key"]), unb64(asked["sealed"]), *texts(asked["context"])))


def entry(asked: Asked) -> object:
    made = log.entry(asked["position"], asked["stream"], asked["version"], asked["name"], asked["data"].encode())
    return {"entry": b64(made), "leaf": b64(merkle.leaf_hash(made))}


def root(asked: Asked) -> str:
    grown = merkle.Frontier()
    for leaf in asked["leaves"]:
        grown.append(unb64(leaf))
    return b64(grown.root())


def inclusion(asked: Asked) -> None:
    merkle.verify_inclusion(
        unb64(asked["leaf"]), asked["index"], asked["size"], raws(asked["proof"]), unb64(asked["root"])
    )


def consistency(asked: Asked) -> None:
    merkle.verify_consistency(
        asked["old_size"],
        unb64(asked["old_root"]),
        asked["new_size"],
        unb64(asked["new_root"]),
        raws(asked["proof"]),
    )


def checkpoint(asked: Asked) -> object:
    read = log.read_checkpoint(asked["note"], unb64(asked["log_key"]), asked["home"])
    return {"origin": read.origin, "size": read.size, "root": b64(read.root), "bare": log.bare(asked["note"])}


def cosigned(asked: Asked) -> str:
    at: datetime = log.cosigned(asked["note"], asked["name"], unb64(asked["public"]))
    return at.isoformat()


def feed(asked: Asked) -> str:
    return feed_link(**asked)


def original(asked: Asked) -> None:
    origin = Origin(asked["owner"], asked["item"], asked["version"])
    signed = Original(unb64(asked["salt"]), unb64(asked["signature"]))
    check_original([unb64(asked["public"])], signed, origin, asked["slot"], unb64(asked["value"]))


def permissions(asked: Asked) -> object:
    """The hands that a thing went over, each of which had what it gave on."""
    before = None
    for each in asked["permissions"]:
        record = unb64(each["record"])
        found = read_permission(record)
        check_permission([unb64(asked["public"][found.giver])], record, unb64(each["signature"]))
        what = beyond(found, before)
        if what is not None:
            raise BeyondPermission(what)
        before = found
    return [asked["permissions"][0]["record"], len(asked["permissions"]), before.taker if before else None]


QUESTIONS: dict[str, Callable[[Asked], object]] = {
    "lp": lambda asked: b64(lp(*raws(asked["parts"]))),
    "b64": lambda asked: b64(unb64(asked["text"])),
    "b32": lambda asked: b32(unb32(asked["text"])),
    "digest": lambda asked: digest(unb64(asked["data"])),
    "home": lambda asked: {
        "home": home_id(unb64(asked["log_key"])),
        "log_hash": b64(log_hash(unb64(asked["log_key"]))),
    },
    "account": lambda asked: account_id(unb64(asked["genesis"])),
    "connection": lambda asked: connection_id(unb64(asked["invitation"]), unb64(asked["acceptance"])),
    "line": lambda asked: line_id(asked["connection"], asked["sender"]),
    "frame": lambda asked: b64(frame(*raws(asked["parts"]))),
    "unframe": unframed,
    "command": lambda asked: verify_command(*signed_by(asked)),
    "query": lambda asked: verify_query(*signed_by(asked)),
    "login": login,
    "enrol-device": lambda asked: verify_device_enrolment(*enrolment(asked)),
    "enrol-login": lambda asked: verify_login_enrolment(*enrolment(asked)),
    "open": opened,
    "unwrap": unwrapped,
    "unseal": unsealed,
    "public": lambda asked: b64(kem.public_of(Suite(asked["suite"]), unb64(asked["private"]))),
    "check-public": lambda asked: kem.check_public(Suite(asked["suite"]), unb64(asked["public"])),
    "unlock": unlock,
    "recovery": recovery,
    "secret-text": kept_text(decode_secret),
    "recovery-text": kept_text(decode_recovery),
    "link": link,
    "connection-string": connection_string,
    "record": record,
    "chain": chain,
    "invitation-keys": link_keys,
    "invitation": invitation,
    "acceptance": acceptance,
    "confirmation": confirmation,
    "safety-number": number,
    "manifest": manifest,
    "share": share,
    "terms": terms,
    "accepted": accepted,
    "original": original,
    "permissions": permissions,
    "item": item,
    "segment": segment,
    "log-entry": entry,
    "log-root": root,
    "inclusion": inclusion,
    "consistency": consistency,
    "checkpoint": checkpoint,
    "cosignature": cosigned,
    "feed-link": feed,
    **context_formats.QUESTIONS,
}
