"""The vectors of sharing keys, locations, suppliers, groups, pieces and delegates: `make` writes them."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from pydantic import TypeAdapter

from privity.agent.location_files import Body, Put, Removed, Whole, write_body
from privity.crypto import audits, delegations, groups, instructions, keyfiles, labels, locations, log, merkle, pieces
from privity.crypto import sharing_keys as keys
from privity.crypto.audits import AuditPlace, Said
from privity.crypto.coding import ObjectPlace, open_segment, seal_segment
from privity.crypto.command import frame
from privity.crypto.delegations import Grant, Removal
from privity.crypto.groups import Epoch, Member, Post, Roster
from privity.crypto.identity import verify_chain
from privity.crypto.instructions import Instruction
from privity.crypto.kem import Suite
from privity.crypto.locations import Manifest
from privity.crypto.pieces import Granted, GrantPlace, PieceRecord, RequestPlace
from privity.crypto.sharing_keys import Alias, KeyRecord, PartPlace, PrivatePart
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import (
    Wish,
    sign_order,
    sign_proof,
    sign_replacement,
    supplier_id,
)
from privity.encoding import b64, digest, sha256
from privity.errors import Malformed
from privity.messages.suppliers import Complete, Get, Open, Request
from privity.messages.suppliers import Put as PutFragment
from tests.vectors.formats import Asked
from tests.vectors.make import (
    HOME,
    ITEM,
    KEK,
    KEY,
    LOG,
    OTHER,
    Kept,
    Somebody,
    Vectors,
    flip,
    people,
    unframed,
)

CONNECTION = "c" * 52
NONCE, SALT = b"N" * 16, b"S" * 16
AT = datetime(2027, 1, 1, tzinfo=UTC)
CHECKPOINT = log.make_checkpoint(LOG, HOME, 0, merkle.EMPTY_ROOT)
OBJECT, DELEGATION = "o" * 26, "d" * 26


def account(of: Somebody) -> str:
    return verify_chain(of.chain).account


def part(letter: str) -> PrivatePart:
    return PrivatePart.from_bytes(sha256(f"part {letter}".encode()) + sha256(f"pair {letter}".encode()))


def bent(record: bytes, sign: Callable[[bytes], bytes], public: bytes, **change: Any) -> Asked:
    """A record that the right key signed, and that says something else."""
    text = json.dumps(json.loads(record) | change, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return {"record": b64(text), "signature": b64(sign(text)), "public": b64(public)}


def key_records(ann: Somebody, bob: Somebody) -> list[KeyRecord]:
    """Three records of Ann's key: made, granted to Bob, renewed for him."""
    one, two = part("1"), part("2")
    first = KeyRecord(
        key=keys.sharing_key_id(account(ann), NONCE),
        n=1,
        prev=None,
        by=account(ann),
        generation=1,
        suite=Suite.X_WING,
        seal=one.pair.public,
        sign=one.sign.public,
        holders=(),
        alias=keys.commit_alias(keys.sharing_key_id(account(ann), NONCE), Alias("holiday", SALT)),
        checkpoint=CHECKPOINT,
        nonce=b64(NONCE),
    )
    data, _ = keys.sign_record(ann.sign, first)
    second = replace(first, n=2, prev=digest(data), holders=(account(bob),))
    data, _ = keys.sign_record(ann.sign, second)
    third = replace(second, n=3, prev=digest(data), generation=2, seal=two.pair.public, sign=two.sign.public)
    return [first, second, third]


def sharing_keys(kept: Kept) -> Vectors:
    made = Vectors("sharing_keys", "9. Shares, sharing keys")
    ann, bob = people(kept)
    records = key_records(ann, bob)
    key = records[0].key
    made.good("a key's id", "key-id", creator=account(ann), nonce=b64(NONCE))
    signed = [keys.sign_record(ann.sign, each) for each in records]
    right = [{"record": b64(data), "signature": b64(by), "public": b64(ann.sign.public)} for data, by in signed]
    for name, each in zip(("the first record", "a grant", "a rotation"), right, strict=True):
        made.good(name, "key-record", **each)
    made.bad("another's signature", "key-record", **(right[0] | {"public": b64(bob.sign.public)}))
    made.bad("a bit turned", "key-record", **(right[0] | {"record": b64(flip(signed[0][0], 60))}))
    for name, change in {
        "a first one behind another": {"prev": digest(b"x")},
        "another creator": {"by": account(bob)},
        "another nonce": {"nonce": b64(b"M" * 16)},
        "its creator among the holders": {"holders": account(ann)},
        "a holder twice": {"holders": f"{account(bob)} {account(bob)}"},
        "a generation beyond its number": {"generation": 2},
        "another suite": {"suite": "X25519"},
        "a field more": {"more": "x"},
    }.items():
        said = bent(signed[0][0], lambda it: ann.sign.sign(labels.SHARING_KEY, it), ann.sign.public, **change)
        made.bad(f"rightly signed: {name}", "key-record", **said)
    line = [b64(data) for data, _ in signed]
    made.good("a line", "key-line", records=line)
    made.bad("a line with a record left out", "key-line", records=[line[0], line[2]])
    newcomer = replace(records[2], holders=tuple(sorted((account(bob), key))))
    made.bad(
        "a rotation that brings somebody", "key-line", records=[*line[:2], b64(keys.sign_record(ann.sign, newcomer)[0])]
    )
    _sealed_parts(made, kept, records, line, bob)
    _backups(made, kept, account(ann))
    return made


def _sealed_parts(made: Vectors, kept: Kept, records: list[KeyRecord], line: list[str], bob: Somebody) -> None:
    one, two, alias = part("1"), part("2"), Alias("holiday", SALT)
    first, theirs, to = records[0], bob.connection, account(bob)
    place = PartPlace(key=first.key, generation=1, by=first.by, to=to, connection=CONNECTION)
    blob = kept.blob(
        "key part",
        lambda: keys.seal_part(theirs.suite, theirs.public, one, alias, place),
        lambda made: keys.open_part(theirs.suite, theirs.private, made, place, first),
    )
    right: Asked = {"suite": str(theirs.suite), "private": b64(theirs.private), "place": asdict(place)}
    right |= {"blob": b64(blob), "record": line[0]}
    made.good("a part for a holder", "key-part", **right)
    made.bad("a part over another connection", "key-part", **(right | {"place": asdict(place) | {"connection": "x"}}))
    made.bad("a part of another generation", "key-part", **(right | {"record": line[2]}))
    named = kept.blob(
        "key alias",
        lambda: keys.seal_alias(theirs.suite, theirs.public, alias, place),
        lambda made: keys.open_alias(theirs.suite, theirs.private, made, place, first),
    )
    made.good("the name alone", "key-alias", **(right | {"blob": b64(named)}))
    made.bad("a part taken for a name", "key-alias", **right)
    wrap = kept.blob(
        "key wrap",
        lambda: keys.wrap_part(KEK, one, first.key, 1, to),
        lambda made: keys.unwrap_part(KEK, made, first, to),
    )
    own = {"kek": b64(KEK), "blob": b64(wrap), "account": to, "record": line[0]}
    made.good("a part under a KEK", "key-wrap", **own)
    made.bad("a part under another KEK", "key-wrap", **(own | {"kek": b64(OTHER)}))
    made.bad("a part under another's KEK", "key-wrap", **(own | {"account": first.by}))
    link = kept.blob(
        "key link",
        lambda: keys.link_part(two, one, first.key, 2),
        lambda made: keys.unlink_part(two, made, records[2], first),
    )
    linked = {"part": b64(two.to_bytes()), "blob": b64(link), "record": line[2], "before": line[0]}
    made.good("the part before", "key-link", **linked)
    made.bad("the part before, by itself", "key-link", **(linked | {"part": b64(one.to_bytes())}))


def _backups(made: Vectors, kept: Kept, who: str) -> None:
    made.good("where backups stand", "backup-place", kek=b64(KEK), account=who)
    blob = kept.blob(
        "key backup",
        lambda: keys.seal_backup(KEK, b'{"v": 1, "n": 1, "keys": []}   ', who, OBJECT),
        lambda made: keys.open_backup(KEK, made, who, OBJECT),
    )
    right = {"kek": b64(KEK), "blob": b64(blob), "account": who, "object": OBJECT}
    made.good("a backup", "backup", **right)
    made.bad("a backup under another id", "backup", **(right | {"object": ITEM}))


def key_files(kept: Kept) -> Vectors:
    made = Vectors("key_files", "9. Shares, sharing keys")
    ann, bob = people(kept)
    record, own = key_records(ann, bob)[0], part("1")

    def sealed(data: bytes) -> bytes:
        sink = BytesIO()
        keyfiles.seal_file(record, BytesIO(data), sink)
        return sink.getvalue()

    def opens(data: bytes) -> None:
        source = BytesIO(data)
        header = keyfiles.read_header(source)
        list(keyfiles.open_file(header, own, source))

    for name, data in {"nothing": b"", "a text": b"hello"}.items():
        file = kept.blob(f"key file {name}", lambda data=data: sealed(data), opens)
        made.good(name, "key-file", file=b64(file), part=b64(own.to_bytes()))
    right = {"file": b64(file), "part": b64(own.to_bytes())}
    for name, changed in {
        "cut": file[:-1],
        "a byte more": file + b"\0",
        "its only segment twice": file + file[8 + int.from_bytes(file[4:8]) :],
        "without segments": file[: 8 + int.from_bytes(file[4:8])],
        "header": flip(file, 20),
        "ciphertext": flip(file),
        "magic": flip(file, 0),
    }.items():
        made.bad(name, "key-file", **(right | {"file": b64(changed)}))
    made.bad("another part", "key-file", **(right | {"part": b64(part("2").to_bytes())}))
    return made


def key_audits(kept: Kept) -> Vectors:
    made = Vectors("key_audits", "9. Shares, grants and audits of keys")
    ann, bob = people(kept)
    record, own = key_records(ann, bob)[1], part("1")
    made.good("a grant's id", "grant-id", key=record.key, to=account(bob), connection=CONNECTION)
    held = {"account": account(bob), "sign": b64(bob.sign.public), "seal": b64(bob.connection.public)}
    made.good("an identity that is held", "identity-held", **held)
    place = AuditPlace(
        audit="a" * 26,
        asker=account(ann),
        of=account(bob),
        connection=CONNECTION,
        key=record.key,
        kind="private",
        generation=1,
        nonce=b64(KEY),
    )
    challenge = audits.challenge_of(KEK, place)
    sealed = kept.blob(
        "audit challenge",
        lambda: audits.seal_challenge(place, challenge, record.seal),
        lambda made: audits.open_challenge(place, made, own.pair.private),
    )
    asked = {"place": asdict(place), "challenge": digest(sealed), "public": b64(ann.sign.public)}
    asked |= {"signature": b64(audits.sign_audit(ann.sign, place, digest(sealed)))}
    made.good("a question", "audit", **asked)
    made.bad("a question with another challenge", "audit", **(asked | {"challenge": digest(b"x")}))
    made.bad("a question to somebody else", "audit", **(asked | {"place": asdict(replace(place, of=account(ann)))}))
    opened = {"place": asdict(place), "sealed": b64(sealed), "private": b64(own.pair.private)}
    made.good("a challenge", "audit-challenge", **opened)
    made.bad(
        "a challenge of another audit", "audit-challenge", **(opened | {"place": asdict(replace(place, audit="b"))})
    )
    suite, theirs = ann.connection.suite, ann.connection
    answer = kept.blob(
        "audit answer",
        lambda: audits.seal_answer(place, challenge, suite, theirs.public),
        lambda made: audits.check_answer(place, challenge, suite, made, theirs.private),
    )
    proof = {"place": asdict(place), "challenge": b64(challenge), "suite": str(suite), "sealed": b64(answer)}
    proof |= {"private": b64(theirs.private)}
    made.good("a proof", "audit-proof", **proof)
    made.bad("a proof by another challenge", "audit-proof", **(proof | {"challenge": b64(KEY)}))
    made.bad("a proof for another asker", "audit-proof", **(proof | {"private": b64(bob.connection.private)}))
    said = Said(verdict="holds", held=None, answer=digest(answer))
    answered = {"place": asdict(place), "said": asdict(said), "public": b64(bob.sign.public)}
    answered |= {"signature": b64(audits.sign_answer(bob.sign, place, said))}
    made.good("an answer", "audit-answer", **answered)
    other = asdict(replace(said, verdict="not-registered"))
    made.bad("another answer under the same signature", "audit-answer", **(answered | {"said": other}))
    made.bad("an answer by the asker", "audit-answer", **(answered | {"public": b64(ann.sign.public)}))
    return made


def location_lines(kept: Kept) -> Vectors:
    made = Vectors("location_lines", "9. Shares, locations")
    ann, bob = people(kept)
    record, own = key_records(ann, bob)[1], part("1")
    objects = [{"object": OBJECT, "segments": 1, "needed": 2, "roots": [digest(b"1"), digest(b"2"), digest(b"3")]}]
    place = {"location": record.key, "by": account(ann), "generation": 1}
    write = Put("a/é.txt", (), 5, digest(b"hello"), OBJECT, 0, AT)
    bodies = [
        Body((write,), {OBJECT: Whole(KEY, 5, digest(b"hello"))}),
        Body((Removed("a/é.txt", ((1, 0),), AT),), {}),
    ]

    def sealed(n: int, body: Body) -> bytes:
        blob = locations.seal_body(Suite.X_WING, own.pair.public, write_body(body), n=n, **place)  # type: ignore[arg-type]
        return blob

    def opens(n: int, body: Body) -> Callable[[bytes], None]:
        def check(blob: bytes) -> None:
            manifest = _manifest(n, None if n == 1 else digest(b"x"), blob, "", **place)
            if locations.open_body(Suite.X_WING, own.pair.private, blob, manifest) != write_body(body):
                raise Malformed("another body")

        return check

    cases, prev = [], None
    for n, body in enumerate(bodies, 1):
        blob = kept.blob(f"location body {n}", lambda n=n, body=body: sealed(n, body), opens(n, body))
        brings, gone = (objects, []) if n == 1 else ([], [OBJECT])
        manifest = _manifest(n, prev, blob, locations.objects_digest(brings, gone), **place)
        data, signature = locations.sign_manifest(ann.sign, manifest)
        prev = digest(data)
        case: Asked = {"manifest": b64(data), "signature": b64(signature), "public": b64(ann.sign.public)}
        case |= {"objects": brings, "released": gone, "body": b64(blob)}
        cases.append(case | {"suite": str(Suite.X_WING), "private": b64(own.pair.private)})
    made.good("a file is put", "location-change", **cases[0])
    made.good("and removed again", "location-change", **cases[1])
    for name, change in {
        "another's signature": {"public": b64(bob.sign.public)},
        "a bit turned": {"manifest": b64(flip(data, 40))},
        "other objects": {"released": []},
        "another's body": {"body": cases[0]["body"]},
        "another generation's part": {"private": b64(part("2").pair.private)},
    }.items():
        made.bad(name, "location-change", **(cases[1] | change))
    return made


def _manifest(n: int, prev: str | None, blob: bytes, objects: str, **place: Any) -> Manifest:
    return Manifest(n=n, prev=prev, body=digest(blob), objects=objects, checkpoint=CHECKPOINT, **place)


def fragments(kept: Kept) -> Vectors:
    made = Vectors("fragments", "9. Shares, objects")
    sizes = [0, 1, 4096, 4097, 100_000, 2**20, 2**20 + 1, 2**30]
    for needed, slots in ((1, 1), (2, 3), (3, 5), (11, 16)):
        made.good(f"{needed} of {slots}", "coding", needed=needed, slots=slots, sizes=sizes)
    made.bad("more than there are", "coding", needed=4, slots=3, sizes=[])
    made.bad("more slots than one may have", "coding", needed=1, slots=17, sizes=[])
    made.bad("more segments than one may have", "coding", needed=1, slots=1, sizes=[2**40])
    sealed = bytes(range(60))
    for of in ([0, 1, 2], [4, 2, 0], [4, 3, 2]):
        name = f"fragments, and back from {', '.join(map(str, of))}"
        made.good(name, "fragments", needed=3, slots=5, sealed=b64(sealed), of=of)
    made.bad("fragments of an odd length", "fragments", needed=3, slots=5, sealed=b64(sealed[:-1]), of=[0, 1, 2])
    made.bad("too few fragments", "fragments", needed=3, slots=5, sealed=b64(sealed), of=[0, 1])
    for count in (0, 1, 2, 3, 7):
        made.good(f"a slot's root over {count}", "slot-root", fragments=[b64(bytes([n]) * 9) for n in range(count)])
    place = ObjectPlace(keys.sharing_key_id("a" * 52, NONCE), OBJECT, 2)
    blob = kept.blob(
        "object segment",
        lambda: seal_segment(KEY, b"a segment" + bytes(7), place, 1),
        lambda made: open_segment(KEY, made, place, 1),
    )
    right = {"dek": b64(KEY), "sealed": b64(blob), "key": place.key, "object": OBJECT, "segments": 2, "index": 1}
    made.good("a segment", "object-segment", **right)
    for name, change in {"key": {"key": "x"}, "object": {"object": "x"}, "index": {"index": 0}}.items():
        made.bad(f"a segment: another {name}", "object-segment", **(right | change))
    made.bad("a segment: another number of them", "object-segment", **(right | {"segments": 3}))
    made.bad("a segment: another key of its own", "object-segment", **(right | {"dek": b64(OTHER)}))
    return made


def suppliers(kept: Kept) -> Vectors:
    made = Vectors("suppliers", "9. Shares, suppliers")
    ann, _ = people(kept)
    own, key_part = SigningKey.from_seed(b"s" * 32), part("1")
    id, lost = supplier_id(own.public), supplier_id(SigningKey.from_seed(b"o" * 32).public)
    made.good("a supplier's id", "supplier-id", public=b64(own.public))
    made.good("what stands for its device", "supplier-device", supplier=id)
    wish = Wish(own.public, "put", "k" * 52, OBJECT, KEY, account(ann), 3)
    said = {"supplier": b64(wish.supplier), "operation": wish.operation, "key": wish.key, "object": wish.object}
    said |= {"nonce": b64(wish.nonce), "account": wish.account, "segments": 3, "root": ""}
    by_key, by_identity = map(b64, sign_proof(key_part.sign, ann.sign, wish))
    proof: Asked = {"part": b64(key_part.sign.public), "identity": b64(ann.sign.public), "wish": said}
    proof |= {"by_key": by_key, "by_identity": by_identity}
    made.good("a proof", "supplier-proof", **proof)
    for name, value in {
        "supplier": b64(LOG.public),
        "operation": "get",
        "key": "x",
        "object": None,
        "nonce": b64(OTHER),
        "account": "x",
        "segments": 4,
        "root": b64(KEY),
    }.items():
        made.bad(f"a proof for another {name}", "supplier-proof", **(proof | {"wish": said | {name: value}}))
    made.bad("signatures exchanged", "supplier-proof", **(proof | {"by_key": by_identity, "by_identity": by_key}))
    by_order = replace(wish, account=None, root=KEY)
    asked = said | {"account": None, "root": b64(KEY)}
    order = {"log": b64(LOG.public), "wish": asked, "order": b64(sign_order(LOG, by_order))}
    made.good("an order", "supplier-order", **order)
    made.bad("an order for another root", "supplier-order", **(order | {"wish": asked | {"root": b64(OTHER)}}))
    made.bad("a proof taken for an order", "supplier-order", **(order | {"order": by_key}))
    order = {"log": b64(LOG.public), "lost": lost, "supplier": id, "order": b64(sign_replacement(LOG, lost, id))}
    made.good("a replacement", "supplier-replaces", **order)
    made.bad("a replacement the other way", "supplier-replaces", **(order | {"lost": id, "supplier": lost}))
    made.good("a proof of storage", "storage-proof", nonce=b64(KEY), fragment=b64(b"a fragment"))
    lease = b64(b"l" * 32)
    begin = Open("put", wish.key, OBJECT, b64(KEY), wish.account, by_key, by_identity, None, (), 3)
    for request, behind in (
        (begin, b""),
        (PutFragment(lease, 2), b"x"),
        (Get(lease, 0), b""),
        (Complete(lease, b64(KEY)), b""),
    ):
        data = b64(_request(request, behind))
        made.good(f"a request: {request.verb}", "supplier-request", verb=request.verb, data=data)
    made.bad("a request without a lease", "supplier-request", verb="get", data=b64(frame(b'{"segment": 0}')))
    made.bad(
        "a request for a segment that none has",
        "supplier-request",
        verb="get",
        data=b64(_request(Get(lease, 2**16), b"")),
    )
    made.bad(
        "a request with a field more",
        "supplier-request",
        verb="get",
        data=b64(frame(f'{{"lease":"{lease}","segment":0,"x":1}}'.encode())),
    )
    return made


def _request(request: Request, behind: bytes) -> bytes:
    head = TypeAdapter(type(request)).dump_json(request)
    return frame(head, behind) if behind else frame(head)


def group_records(kept: Kept) -> Vectors:
    made = Vectors("groups", "9. Shares, groups")
    ann, bob = people(kept)
    id, first_key, second_key = groups.group_id(account(ann), NONCE), KEY, OTHER
    made.good("a group's id", "group-id", creator=account(ann), nonce=b64(NONCE))
    heads = [b64(verify_chain(each.chain).head) for each in (ann, bob)]
    both = [
        Member(account(each), role, head, digest(each.connection.public))
        for each, role, head in zip((ann, bob), ("admin", "writer"), heads, strict=True)
    ]
    members, wraps = Roster(both), {account(ann): digest(b"1"), account(bob): digest(b"2")}
    made.good("members", "group-members", members=[asdict(each) for each in both])
    made.good("members in another order", "group-members", members=[asdict(each) for each in both[::-1]])
    made.good("wraps", "group-wraps", wraps=wraps)
    made.good("commitment", "group-commitment", group=id, key=1, space_key=b64(first_key))
    name = kept.blob(
        "group about", lambda: groups.seal_about(first_key, b"Travel", id, 1), lambda blob: _about(blob, id, first_key)
    )
    link = kept.blob(
        "group link",
        lambda: groups.link_key(second_key, first_key, id, 2),
        lambda blob: groups.unwrap_key(second_key, blob, labels.PURPOSE_GROUP_LINK, id.encode(), b"2"),
    )
    first = Epoch(
        group=id,
        epoch=1,
        prev=None,
        by=account(ann),
        size=2,
        members=members.root,
        key=1,
        commitment=groups.commit(id, 1, first_key),
        wraps=groups.wraps_root(wraps),
        about=digest(name),
        link=None,
        n=0,
        last=None,
        checkpoint=CHECKPOINT,
        nonce=b64(NONCE),
    )
    data, signature = groups.sign_epoch(ann.sign, first)
    alone = Roster(both[:1])
    second = replace(
        first,
        epoch=2,
        prev=digest(data),
        size=1,
        members=alone.root,
        key=2,
        commitment=groups.commit(id, 2, second_key),
        link=digest(link),
        dropped=(account(bob),),
        nonce=None,
    )
    later, by = groups.sign_epoch(ann.sign, second)
    right = {"record": b64(data), "signature": b64(signature), "public": b64(ann.sign.public)}
    made.good("the first epoch", "group-epoch", **right)
    dropped = right | {"record": b64(later), "signature": b64(by)}
    made.good("an epoch that drops somebody", "group-epoch", **dropped)
    made.bad("an epoch by another", "group-epoch", **(right | {"public": b64(bob.sign.public)}))
    for what, change in {
        "another creator": {"by": account(bob)},
        "a key of a later epoch": {"key": 2},
        "a place in the line without its digest": {"n": 1},
        "no members": {"size": 0},
    }.items():
        said = bent(data, lambda it: ann.sign.sign(labels.GROUP_EPOCH, it), ann.sign.public, **change)
        made.bad(f"rightly signed: {what}", "group-epoch", **said)
    index, path = members.proof(account(bob))
    inside = {"epoch": b64(data), "member": asdict(both[1]), "index": index, "proof": list(path)}
    made.good("a member", "group-member", **inside)
    made.bad(
        "a member with another role", "group-member", **(inside | {"member": asdict(replace(both[1], role="admin"))})
    )
    made.bad("a member who was dropped", "group-member", **(inside | {"epoch": b64(later)}))
    _space_keys(made, kept, both[1], bob, b64(data), b64(later), link, first)
    made.good("its name", "group-about", key=b64(first_key), blob=b64(name), epoch=b64(data))
    made.bad("its name by another key", "group-about", key=b64(second_key), blob=b64(name), epoch=b64(data))
    _posts(made, kept, first, ann, bob)
    return made


def _about(blob: bytes, id: str, key: bytes) -> bytes:
    return groups.aead.open_sealed(key, blob, labels.GROUP_ABOUT, id.encode(), b"1")


def _space_keys(
    made: Vectors, kept: Kept, member: Member, bob: Somebody, first: str, second: str, link: bytes, epoch: Epoch
) -> None:
    pair = bob.connection
    sealed = kept.blob(
        "group key",
        lambda: groups.seal_space_key(pair.suite, pair.public, KEY, epoch.group, 1, member),
        lambda made: groups.open_space_key(pair.suite, pair.private, made, epoch, member),
    )
    right = {"epoch": first, "blob": b64(sealed), "suite": str(pair.suite), "private": b64(pair.private)}
    right |= {"member": asdict(member)}
    made.good("a member's key", "group-key", **right)
    made.bad(
        "a member's key for another role", "group-key", **(right | {"member": asdict(replace(member, role="admin"))})
    )
    claim = kept.blob(
        "group claim",
        lambda: groups.claim_space_key(KEK, KEY, epoch, member.account),
        lambda made: groups.open_claim(KEK, made, epoch, member.account),
    )
    own = {"epoch": first, "blob": b64(claim), "kek": b64(KEK), "account": member.account}
    made.good("a key under a KEK", "group-key", **own)
    made.bad("a key under another's KEK", "group-key", **(own | {"account": "x"}))
    behind = {"epoch": second, "before": first, "blob": b64(link), "key": b64(OTHER)}
    made.good("the key before", "group-key", **behind)
    made.bad("the key before, by itself", "group-key", **(behind | {"key": b64(KEY)}))


def _posts(made: Vectors, kept: Kept, epoch: Epoch, ann: Somebody, bob: Somebody) -> None:
    def sealed() -> bytes:
        it = groups.seal_post(
            KEY,
            OTHER,
            b"Hello",
            epoch=epoch,
            post="p" * 26,
            version=1,
            author=account(bob),
            identity=bob.sign,
            n=1,
            prev=None,
            checkpoint=CHECKPOINT,
        )
        return frame(it.manifest, it.signature, it.content, it.wrap)

    def opens(framed: bytes) -> None:
        manifest, signature, content, wrap = unframed(framed)
        found: Post = groups.verify_post(manifest, signature, bob.sign.public)
        groups.open_post(KEY, found, wrap, content)

    manifest, signature, content, wrap = unframed(kept.blob("group post", sealed, opens))
    right = {"manifest": b64(manifest), "signature": b64(signature), "public": b64(bob.sign.public), "key": b64(KEY)}
    right |= {"content": b64(content), "wrap": b64(wrap)}
    made.good("a post", "group-post", **right)
    made.bad("a post by another", "group-post", **(right | {"public": b64(ann.sign.public)}))
    made.bad("a post under another key", "group-post", **(right | {"key": b64(OTHER)}))
    made.bad("a post with other content", "group-post", **(right | {"content": b64(wrap)}))


def piece_records(kept: Kept) -> Vectors:
    made = Vectors("pieces", "9. Shares, pieces")
    ann, bob = people(kept)
    owner, reader = account(ann), account(bob)
    piece = pieces.piece_id(owner, "phone")
    made.good("a piece's id", "piece-id", owner=owner, name="phone")
    made.good("a request's id", "piece-request-id", owner=owner, asker=reader, name="phone")
    place = PieceRecord(
        owner=owner, piece=piece, name="phone", version=1, generation=1, content=digest(b""), checkpoint=CHECKPOINT
    )

    def sealed() -> bytes:
        it = pieces.seal_piece(KEY, KEK, b"+49 30 1", place, ann.sign)
        return frame(it.record, it.signature, it.content, it.owner_wrap)

    def opens(framed: bytes) -> None:
        record, signature, content, wrap = unframed(framed)
        found = pieces.verify_piece(record, signature, ann.sign.public)
        pieces.open_piece(found, pieces.unwrap_owner(KEK, wrap, found), content)

    record, signature, content, wrap = unframed(kept.blob("piece", sealed, opens))
    right = {"record": b64(record), "signature": b64(signature), "public": b64(ann.sign.public), "kek": b64(KEK)}
    right |= {"content": b64(content), "wrap": b64(wrap)}
    made.good("a version", "piece", **right)
    made.bad("a version by another", "piece", **(right | {"public": b64(bob.sign.public)}))
    made.bad("a version with other content", "piece", **(right | {"content": b64(wrap)}))
    made.bad("a version under another KEK", "piece", **(right | {"kek": b64(OTHER)}))
    _grants(made, kept, ann, bob, piece)
    request = RequestPlace(
        request=pieces.request_id(owner, reader, "phone"),
        n=1,
        owner=owner,
        asker=reader,
        name="phone",
        connection=CONNECTION,
    )
    _requests(made, kept, request, ann, bob)
    granted = Granted(version=1, generation=1, content=digest(content), wrap=digest(wrap))
    answer = {"place": asdict(request), "granted": asdict(granted), "challenge": b64(KEY)}
    answer |= {"answer": b64(pieces.make_answer(KEY, request, granted))}
    made.good("an answer", "piece-answer", **answer)
    made.bad("an answer to another challenge", "piece-answer", **(answer | {"challenge": b64(OTHER)}))
    other = asdict(replace(granted, version=2))
    made.bad("an answer about another version", "piece-answer", **(answer | {"granted": other}))
    said = kept.blob(
        "piece rules",
        lambda: pieces.seal_rules(KEK, b'{"v":1}', owner, 1),
        lambda made: pieces.open_rules(KEK, made, owner, 1),
    )
    rules = {"kek": b64(KEK), "blob": b64(said), "account": owner, "version": 1}
    made.good("rules", "piece-rules", **rules)
    made.bad("rules of another number", "piece-rules", **(rules | {"version": 2}))
    return made


def _grants(made: Vectors, kept: Kept, ann: Somebody, bob: Somebody, piece: str) -> None:
    pair = bob.connection
    place = GrantPlace(
        owner=account(ann),
        piece=piece,
        name="phone",
        generation=1,
        reader=account(bob),
        connection=CONNECTION,
        key="k" * 26,
    )

    def sealed() -> bytes:
        return frame(*pieces.seal_grant(place, pair.suite, pair.public, KEY, ann.sign))

    def opens(framed: bytes) -> None:
        wrap, signature = unframed(framed)
        pieces.verify_grant(place, digest(wrap), signature, ann.sign.public)
        pieces.open_grant(place, pair.suite, wrap, pair.private)

    wrap, signature = unframed(kept.blob("piece grant", sealed, opens))
    right = {"place": asdict(place), "wrap": b64(wrap), "signature": b64(signature), "public": b64(ann.sign.public)}
    right |= {"suite": str(pair.suite), "private": b64(pair.private)}
    made.good("a grant", "piece-grant", **right)
    made.bad("a grant to another", "piece-grant", **(right | {"place": asdict(replace(place, reader="x"))}))
    made.bad("a grant by another", "piece-grant", **(right | {"public": b64(bob.sign.public)}))
    own = kept.blob(
        "piece stored",
        lambda: pieces.store_key(KEK, KEY, place),
        lambda made: pieces.stored_key(KEK, made, place),
    )
    stored = {"place": asdict(place), "wrap": b64(own), "kek": b64(KEK)}
    made.good("a key that was taken", "piece-stored", **stored)
    made.bad(
        "a key of another generation", "piece-stored", **(stored | {"place": asdict(replace(place, generation=2))})
    )


def _requests(made: Vectors, kept: Kept, place: RequestPlace, ann: Somebody, bob: Somebody) -> None:
    pair = ann.connection

    def sealed() -> bytes:
        it = pieces.seal_request(place, KEK, pair.suite, pair.public, bob.sign)
        return frame(it.challenge, it.kept, it.signature)

    def opens(framed: bytes) -> None:
        challenge, own, signature = unframed(framed)
        pieces.verify_request(place, digest(challenge), signature, bob.sign.public)
        if pieces.open_challenge(place, pair.suite, challenge, pair.private) != pieces.kept_challenge(KEK, own, place):
            raise Malformed("another challenge")

    challenge, own, signature = unframed(kept.blob("piece request", sealed, opens))
    right = {"place": asdict(place), "challenge": b64(challenge), "signature": b64(signature)}
    right |= {"public": b64(bob.sign.public), "suite": str(pair.suite), "private": b64(pair.private)}
    made.good("a request", "piece-request", **right)
    made.bad("a request of another number", "piece-request", **(right | {"place": asdict(replace(place, n=2))}))
    made.bad("a request by the owner", "piece-request", **(right | {"public": b64(ann.sign.public)}))
    mine = {"place": asdict(place), "kept": b64(own), "kek": b64(KEK)}
    made.good("the challenge as it is kept", "piece-kept", **mine)
    made.bad("the challenge under another KEK", "piece-kept", **(mine | {"kek": b64(OTHER)}))


def delegates(kept: Kept) -> Vectors:
    made = Vectors("delegates", "8. Items and notes, delegates")
    ann, bob = people(kept)
    principal, pair = account(ann), bob.connection
    common: Any = {"principal": principal, "by": principal, "delegation": DELEGATION, "checkpoint": CHECKPOINT}
    grant = Grant(
        n=1,
        prev=None,
        generation=1,
        key=delegations.key_hash(KEY, principal, 1),
        delegate=account(bob),
        role="admin",
        connection=CONNECTION,
        delegate_key="k" * 26,
        suite=pair.suite,
        public=pair.public,
        principal_address="ann@example.org",
        delegate_address="bob@example.org",
        expires=AT.isoformat(),
        **common,
    )
    made.good("a vault key's hash", "vault-key-hash", key=b64(KEY), principal=principal, generation=1)
    data, signature = delegations.sign_step(grant, ann.sign)
    right = {"record": b64(data), "signature": b64(signature), "public": b64(ann.sign.public)}
    made.good("a grant", "delegation-step", **right)
    after = Removal(n=2, prev=digest(data), generation=2, key=delegations.key_hash(OTHER, principal, 2), **common)
    removed, by = delegations.sign_step(after, ann.sign)
    made.good("a removal", "delegation-step", **(right | {"record": b64(removed), "signature": b64(by)}))
    made.bad("a step by another", "delegation-step", **(right | {"public": b64(bob.sign.public)}))
    made.bad("a grant with the removal's signature", "delegation-step", **(right | {"signature": b64(by)}))
    for name, change in {"a role that there is not": {"role": "king"}, "behind none": {"n": 2}}.items():
        said = bent(data, lambda it: ann.sign.sign(labels.DELEGATION_GRANT, it), ann.sign.public, **change)
        made.bad(f"rightly signed: {name}", "delegation-step", **said)
    _vault_keys(made, kept, principal, bob)
    _versions(made, kept, common, ann, bob)
    _instructions(made, kept, principal, bob)
    return made


def _vault_keys(made: Vectors, kept: Kept, principal: str, bob: Somebody) -> None:
    pair = bob.connection
    place: Any = {
        "principal": principal,
        "delegation": DELEGATION,
        "holder": account(bob),
        "role": "admin",
        "generation": 1,
    }
    sealed = kept.blob(
        "vault key",
        lambda: delegations.seal_vault_key(KEY, pair.suite, pair.public, **place),
        lambda made: delegations.open_vault_key(made, pair.suite, pair.private, **place),
    )
    right = {"place": place, "blob": b64(sealed), "suite": str(pair.suite), "private": b64(pair.private)}
    made.good("the vault key for a delegate", "vault-key", **right)
    made.bad("the vault key for another role", "vault-key", **(right | {"place": place | {"role": "owner"}}))
    held: Any = {"principal": principal, "holder": account(bob), "generation": 1}
    wrap = kept.blob(
        "vault wrap",
        lambda: delegations.wrap_vault_key(KEK, KEY, **held),
        lambda made: delegations.unwrap_vault_key(KEK, made, **held),
    )
    own = {"place": held, "blob": b64(wrap), "kek": b64(KEK)}
    made.good("the vault key under a KEK", "vault-key", **own)
    made.bad("the vault key of another principal", "vault-key", **(own | {"place": held | {"principal": "x"}}))
    behind: Any = {"principal": principal, "generation": 2}
    link = kept.blob(
        "vault before",
        lambda: delegations.wrap_before(OTHER, KEY, **behind),
        lambda made: delegations.unwrap_before(OTHER, made, **behind),
    )
    made.good("the vault key before", "vault-key", place=behind, blob=b64(link), key=b64(OTHER))
    made.bad("the vault key before, by itself", "vault-key", place=behind, blob=b64(link), key=b64(KEY))


def _versions(made: Vectors, kept: Kept, common: Asked, ann: Somebody, bob: Somebody) -> None:
    place = common | {"by": account(bob)}

    def sealed() -> bytes:
        it = delegations.seal_version(
            KEY, b'{"label": "Passport"}', item=ITEM, version=1, generation=1, identity=bob.sign, **place
        )
        return frame(it.record, it.signature, it.content, it.wrap)

    def opens(framed: bytes) -> None:
        record, signature, content, wrap = unframed(framed)
        delegations.open_version(KEY, delegations.verify_version(record, signature, bob.sign.public), content, wrap)

    record, signature, content, wrap = unframed(kept.blob("item version", sealed, opens))
    right = {"record": b64(record), "signature": b64(signature), "public": b64(bob.sign.public), "key": b64(KEY)}
    right |= {"content": b64(content), "wrap": b64(wrap)}
    made.good("a version by a delegate", "item-version", **right)
    made.bad("a version by another", "item-version", **(right | {"public": b64(ann.sign.public)}))
    made.bad("a version under another vault key", "item-version", **(right | {"key": b64(OTHER)}))
    made.bad("content and wrap exchanged", "item-version", **(right | {"content": b64(wrap), "wrap": b64(content)}))


def _instructions(made: Vectors, kept: Kept, principal: str, bob: Somebody) -> None:
    place: Any = {"principal": principal, "by": account(bob), "delegation": DELEGATION, "n": 1, "generation": 1}

    def said(content: bytes) -> Instruction:
        return Instruction(expires=AT, content=digest(content), checkpoint=CHECKPOINT, **place)

    content = kept.blob(
        "instruction",
        lambda: instructions.seal_instruction(KEY, b'{"v":1,"want":"end"}', **place),
        lambda made: instructions.open_instruction(KEY, said(made), made),
    )
    record, signature = instructions.sign_instruction(said(content), bob.sign)
    right = {"record": b64(record), "signature": b64(signature), "public": b64(bob.sign.public)}
    right |= {"key": b64(KEY), "content": b64(content)}
    made.good("an instruction", "instruction", **right)
    made.bad("an instruction under another vault key", "instruction", **(right | {"key": b64(OTHER)}))
    made.bad("an instruction with a bit turned", "instruction", **(right | {"content": b64(flip(content))}))
    later = bent(record, lambda it: bob.sign.sign(labels.INSTRUCTION, it), bob.sign.public, n=0)
    made.bad("rightly signed: a number of 0", "instruction", **(right | later))


MAKERS = (
    sharing_keys,
    key_files,
    key_audits,
    location_lines,
    fragments,
    suppliers,
    group_records,
    piece_records,
    delegates,
)
