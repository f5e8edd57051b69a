"""What a vector asks about sharing keys, locations, suppliers, groups, pieces and delegates; as in `formats`."""

from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter, ValidationError

from privity.agent.location_files import read_body
from privity.crypto import audits, delegations, groups, instructions, keyfiles, locations, pieces
from privity.crypto import sharing_keys as keys
from privity.crypto.audits import AuditPlace, Said
from privity.crypto.coding import Coding, ObjectPlace, fragment_leaf, open_segment, padded_bytes, slot_root
from privity.crypto.command import unframe
from privity.crypto.groups import Member
from privity.crypto.kem import Suite
from privity.crypto.pieces import Granted, GrantPlace, RequestPlace
from privity.crypto.sharing_keys import PartPlace, PrivatePart
from privity.crypto.supplying import (
    Wish,
    storage_proof,
    supplier_device,
    supplier_id,
    verify_order,
    verify_proof,
    verify_replacement,
)
from privity.encoding import b64, digest, unb64
from privity.errors import Malformed
from privity.messages.suppliers import MAX_SUPPLIER_MESSAGE, REQUESTS

Asked = dict[str, Any]


def said_of(value: Any) -> object:
    """A record's fields as JSON has them."""
    return {name: plain(each) for name, each in asdict(value).items()}


def plain(value: Any) -> object:
    if isinstance(value, bytes):
        return b64(value)
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, str | int) else value.isoformat()


def signed(verify: Callable[[bytes, bytes, bytes], object]) -> Callable[[Asked], object]:
    """A record, its signature, and the public key that must have signed it."""
    return lambda asked: said_of(verify(unb64(asked["record"]), unb64(asked["signature"]), unb64(asked["public"])))


# ---- sharing keys ----


def part_of(asked: Asked) -> PrivatePart:
    return PrivatePart.from_bytes(unb64(asked["part"]))


def record_of(asked: Asked, name: str = "record") -> keys.KeyRecord:
    return keys.read_record(unb64(asked[name]))


def key_record(asked: Asked) -> object:
    found = keys.verify_record(unb64(asked["record"]), unb64(asked["signature"]), unb64(asked["public"]))
    return said_of(found) | {"public_digest": found.public_digest, "fingerprint": found.fingerprint}


def key_line(asked: Asked) -> object:
    """How many records, each of which can stand behind the one before."""
    records = [unb64(each) for each in asked["records"]]
    for before, after in pairwise(records):
        keys.check_following(keys.read_record(before), digest(before), keys.read_record(after))
    return len(records)


def key_part(asked: Asked) -> object:
    place, suite = PartPlace(**asked["place"]), Suite(asked["suite"])
    part, alias = keys.open_part(suite, unb64(asked["private"]), unb64(asked["blob"]), place, record_of(asked))
    return {"part": b64(part.to_bytes()), "alias": alias.name, "salt": b64(alias.salt)}


def key_alias(asked: Asked) -> object:
    place, suite = PartPlace(**asked["place"]), Suite(asked["suite"])
    return keys.open_alias(suite, unb64(asked["private"]), unb64(asked["blob"]), place, record_of(asked)).name


def key_wrap(asked: Asked) -> object:
    return b64(
        keys.unwrap_part(unb64(asked["kek"]), unb64(asked["blob"]), record_of(asked), asked["account"]).to_bytes()
    )


def key_link(asked: Asked) -> object:
    before = record_of(asked, "before")
    return b64(keys.unlink_part(part_of(asked), unb64(asked["blob"]), record_of(asked), before).to_bytes())


def backup_place(asked: Asked) -> object:
    part, nonce = keys.backup_place(unb64(asked["kek"]), asked["account"])
    return {"part": b64(part.to_bytes()), "nonce": b64(nonce), "key": keys.sharing_key_id(asked["account"], nonce)}


def backup(asked: Asked) -> object:
    return keys.open_backup(unb64(asked["kek"]), unb64(asked["blob"]), asked["account"], asked["object"]).decode()


def key_file(asked: Asked) -> object:
    source = BytesIO(unb64(asked["file"]))
    header = keyfiles.read_header(source)
    data = b"".join(keyfiles.open_file(header, part_of(asked), source))
    return {"key": header.key, "generation": header.generation, "bytes": len(data), "digest": digest(data)}


# ---- audits ----


def audit_of(asked: Asked) -> AuditPlace:
    return AuditPlace(**asked["place"])


def audit(asked: Asked) -> None:
    audits.verify_audit(audit_of(asked), asked["challenge"], unb64(asked["signature"]), unb64(asked["public"]))


def audit_challenge(asked: Asked) -> object:
    return b64(audits.open_challenge(audit_of(asked), unb64(asked["sealed"]), unb64(asked["private"])))


def audit_answer(asked: Asked) -> None:
    said = Said(**asked["said"])
    audits.verify_answer(audit_of(asked), said, unb64(asked["signature"]), unb64(asked["public"]))


def audit_proof(asked: Asked) -> None:
    challenge, sealed, private = (unb64(asked[name]) for name in ("challenge", "sealed", "private"))
    audits.check_answer(audit_of(asked), challenge, Suite(asked["suite"]), sealed, private)


# ---- locations, objects, suppliers ----


def location_change(asked: Asked) -> object:
    """The manifest, and its body: what is said of which files."""
    found = locations.verify_manifest(unb64(asked["manifest"]), unb64(asked["signature"]), unb64(asked["public"]))
    if locations.objects_digest(asked["objects"], asked["released"]) != found.objects:
        raise Malformed("other objects than the manifest names")
    body = locations.open_body(Suite(asked["suite"]), unb64(asked["private"]), unb64(asked["body"]), found)
    read = read_body(body, found.n)
    files = [{"op": type(each).__name__, "name": each.name, "replaces": plain(each.replaces)} for each in read.entries]
    return {"manifest": said_of(found), "files": files, "objects": sorted(read.objects)}


def coding(asked: Asked) -> object:
    made = Coding(asked["needed"], asked["slots"])
    sizes = {str(size): [padded_bytes(size), made.segments(size)] for size in asked["sizes"]}
    return {"capacity": made.capacity, "sizes": sizes}


def fragments(asked: Asked) -> object:
    """A sealed segment's fragments, and what comes back of some of them."""
    made, sealed = Coding(asked["needed"], asked["slots"]), unb64(asked["sealed"])
    found = [bytes(each) for each in made.encode(sealed)]
    again = made.decode({slot: found[slot] for slot in asked["of"]})
    roots = [b64(slot_root([fragment_leaf(each)])) for each in found]
    return {"fragments": [b64(each) for each in found], "roots": roots, "again": again == sealed}


def slot(asked: Asked) -> object:
    return b64(slot_root([fragment_leaf(unb64(each)) for each in asked["fragments"]]))


def object_segment(asked: Asked) -> object:
    place = ObjectPlace(asked["key"], asked["object"], asked["segments"])
    return b64(open_segment(unb64(asked["dek"]), unb64(asked["sealed"]), place, asked["index"]))


def wish_of(asked: Asked) -> Wish:
    said = asked["wish"]
    return Wish(
        unb64(said["supplier"]),
        said["operation"],
        said["key"],
        said["object"],
        unb64(said["nonce"]),
        said["account"],
        said["segments"],
        unb64(said["root"]),
    )


def supplier_proof(asked: Asked) -> None:
    by = [unb64(asked[name]) for name in ("part", "identity")]
    verify_proof(*by, wish_of(asked), unb64(asked["by_key"]), unb64(asked["by_identity"]))


def supplier_order(asked: Asked) -> None:
    verify_order(unb64(asked["log"]), wish_of(asked), unb64(asked["order"]))


def supplier_replacement(asked: Asked) -> None:
    verify_replacement(unb64(asked["log"]), asked["lost"], asked["supplier"], unb64(asked["order"]))


def supplier_request(asked: Asked) -> object:
    """A request's frame: its fields, and how many bytes ride behind."""
    head, *blob = unframe(unb64(asked["data"]), 2, MAX_SUPPLIER_MESSAGE)
    try:
        request = TypeAdapter(REQUESTS[asked["verb"]]).validate_json(head)
    except (ValidationError, KeyError):
        raise Malformed("not such a request") from None
    return {name: value for name, value in asdict(request).items() if name != "chain"} | {"behind": sum(map(len, blob))}


# ---- groups ----


def epoch_of(asked: Asked, name: str = "epoch") -> groups.Epoch:
    return groups.read_epoch(unb64(asked[name]))


def member(asked: Asked) -> None:
    groups.check_member(epoch_of(asked), Member(**asked["member"]), asked["index"], asked["proof"])


def roster(asked: Asked) -> object:
    return groups.Roster([Member(**each) for each in asked["members"]]).root


def space_key(asked: Asked) -> object:
    """The key of an epoch by each of its three ways."""
    epoch = epoch_of(asked)
    blob = unb64(asked["blob"])
    if "private" in asked:
        of = Member(**asked["member"])
        return b64(groups.open_space_key(Suite(asked["suite"]), unb64(asked["private"]), blob, epoch, of))
    if "kek" in asked:
        return b64(groups.open_claim(unb64(asked["kek"]), blob, epoch, asked["account"]))
    return b64(groups.open_link(unb64(asked["key"]), blob, epoch, epoch_of(asked, "before")))


def about(asked: Asked) -> object:
    return groups.open_about(unb64(asked["key"]), unb64(asked["blob"]), epoch_of(asked)).decode()


def post(asked: Asked) -> object:
    found = groups.verify_post(unb64(asked["manifest"]), unb64(asked["signature"]), unb64(asked["public"]))
    return groups.open_post(unb64(asked["key"]), found, unb64(asked["wrap"]), unb64(asked["content"])).decode()


# ---- pieces ----


def piece(asked: Asked) -> object:
    found = pieces.verify_piece(unb64(asked["record"]), unb64(asked["signature"]), unb64(asked["public"]))
    dek = pieces.unwrap_owner(unb64(asked["kek"]), unb64(asked["wrap"]), found)
    return {"record": said_of(found), "value": pieces.open_piece(found, dek, unb64(asked["content"])).decode()}


def piece_grant(asked: Asked) -> object:
    place, wrap = GrantPlace(**asked["place"]), unb64(asked["wrap"])
    pieces.verify_grant(place, digest(wrap), unb64(asked["signature"]), unb64(asked["public"]))
    return b64(pieces.open_grant(place, Suite(asked["suite"]), wrap, unb64(asked["private"])))


def piece_stored(asked: Asked) -> object:
    return b64(pieces.stored_key(unb64(asked["kek"]), unb64(asked["wrap"]), GrantPlace(**asked["place"])))


def piece_request(asked: Asked) -> object:
    place, sealed = RequestPlace(**asked["place"]), unb64(asked["challenge"])
    pieces.verify_request(place, digest(sealed), unb64(asked["signature"]), unb64(asked["public"]))
    return b64(pieces.open_challenge(place, Suite(asked["suite"]), sealed, unb64(asked["private"])))


def piece_kept(asked: Asked) -> object:
    return b64(pieces.kept_challenge(unb64(asked["kek"]), unb64(asked["kept"]), RequestPlace(**asked["place"])))


def piece_answer(asked: Asked) -> None:
    place, granted = RequestPlace(**asked["place"]), Granted(**asked["granted"])
    pieces.check_answer(unb64(asked["challenge"]), place, granted, unb64(asked["answer"]))


def rules(asked: Asked) -> object:
    return pieces.open_rules(unb64(asked["kek"]), unb64(asked["blob"]), asked["account"], asked["version"]).decode()


# ---- delegates ----


def vault_key(asked: Asked) -> object:
    place, blob = asked["place"], unb64(asked["blob"])
    if "private" in asked:
        return b64(delegations.open_vault_key(blob, Suite(asked["suite"]), unb64(asked["private"]), **place))
    if "kek" in asked:
        return b64(delegations.unwrap_vault_key(unb64(asked["kek"]), blob, **place))
    return b64(delegations.unwrap_before(unb64(asked["key"]), blob, **place))


def item_version(asked: Asked) -> object:
    found = delegations.verify_version(unb64(asked["record"]), unb64(asked["signature"]), unb64(asked["public"]))
    content, wrap = unb64(asked["content"]), unb64(asked["wrap"])
    return delegations.open_version(unb64(asked["key"]), found, content, wrap).decode()


def instruction(asked: Asked) -> object:
    found = instructions.verify_instruction(unb64(asked["record"]), unb64(asked["signature"]), unb64(asked["public"]))
    return instructions.open_instruction(unb64(asked["key"]), found, unb64(asked["content"])).decode()


QUESTIONS: dict[str, Callable[[Asked], object]] = {
    "key-id": lambda asked: keys.sharing_key_id(asked["creator"], unb64(asked["nonce"])),
    "key-record": key_record,
    "key-line": key_line,
    "key-part": key_part,
    "key-alias": key_alias,
    "key-wrap": key_wrap,
    "key-link": key_link,
    "backup-place": backup_place,
    "backup": backup,
    "key-file": key_file,
    "grant-id": lambda asked: audits.grant_id(asked["key"], asked["to"], asked["connection"]),
    "identity-held": lambda asked: audits.identity_held(asked["account"], unb64(asked["sign"]), unb64(asked["seal"])),
    "audit": audit,
    "audit-challenge": audit_challenge,
    "audit-answer": audit_answer,
    "audit-proof": audit_proof,
    "location-change": location_change,
    "coding": coding,
    "fragments": fragments,
    "slot-root": slot,
    "object-segment": object_segment,
    "supplier-id": lambda asked: supplier_id(unb64(asked["public"])),
    "supplier-device": lambda asked: supplier_device(asked["supplier"]),
    "supplier-proof": supplier_proof,
    "supplier-order": supplier_order,
    "supplier-replaces": supplier_replacement,
    "storage-proof": lambda asked: b64(storage_proof(unb64(asked["nonce"]), unb64(asked["fragment"]))),
    "supplier-request": supplier_request,
    "group-id": lambda asked: groups.group_id(asked["creator"], unb64(asked["nonce"])),
    "group-epoch": signed(groups.verify_epoch),
    "group-members": roster,
    "group-wraps": lambda asked: groups.wraps_root(asked["wraps"]),
    "group-commitment": lambda asked: groups.commit(asked["group"], asked["key"], unb64(asked["space_key"])),
    "group-member": member,
    "group-key": space_key,
    "group-about": about,
    "group-post": post,
    "piece-id": lambda asked: pieces.piece_id(asked["owner"], asked["name"]),
    "piece-request-id": lambda asked: pieces.request_id(asked["owner"], asked["asker"], asked["name"]),
    "piece": piece,
    "piece-grant": piece_grant,
    "piece-stored": piece_stored,
    "piece-request": piece_request,
    "piece-kept": piece_kept,
    "piece-answer": piece_answer,
    "piece-rules": rules,
    "delegation-step": signed(delegations.verify_step),
    "vault-key-hash": lambda asked: delegations.key_hash(unb64(asked["key"]), asked["principal"], asked["generation"]),
    "vault-key": vault_key,
    "item-version": item_version,
    "instruction": instruction,
}
