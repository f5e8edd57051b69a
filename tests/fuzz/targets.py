"""Everything that reads what came from outside, as a function of bytes, with valid inputs to begin from."""

import asyncio
import hmac
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import ValidationError

from handlers.opening import Delivery, Unopened, open_delivery
from infra.credentials import BusKeys
from infra.given import Given, read_given, write_given
from infra.home import HomeKeys
from infra.supplier.credential import issue, read_credential
from infra.supplier.service import _read as read_request
from privity.agent.contents import SharedContent, read_shared
from privity.agent.feed import follow_on
from privity.agent.files import Attachment
from privity.agent.identity import to_record
from privity.agent.items import Content, read_content
from privity.agent.keyring import new_identity, unlock, wrap_device, wrap_identity
from privity.agent.location_files import Body, Put, Removed, Whole, read_body, write_body
from privity.agent.log import check_receipt
from privity.agent.memory import FeedMark
from privity.agent.profile import Profile, ProfileFolder, Waiting
from privity.agent.provenance import Provenance, read_provenance
from privity.agent.session import Signer, _check_own, _further, error_for, read_answer, read_rows
from privity.agent.wanted import End, NewGeneration, NewShare, read_wanted, to_bytes
from privity.connection_string import ConnectionString, parse_connection_string
from privity.crypto import aead, files, kem, labels
from privity.crypto.command import frame, unframe
from privity.crypto.credentials import decode_recovery, decode_secret, encode_recovery, encode_secret, home_id
from privity.crypto.delegations import read_step
from privity.crypto.feed import feed_link
from privity.crypto.groups import Epoch, group_id, read_epoch, read_post, seal_post, sign_epoch
from privity.crypto.identity import Signed, extend, verify_chain
from privity.crypto.instructions import Instruction, read_instruction, sign_instruction
from privity.crypto.invitation import (
    check_acceptance,
    check_invitation,
    invitation_link,
    invite_keys,
    mail_link,
    parse_link,
    read_acceptance,
    read_invitation,
)
from privity.crypto.kdf import KdfParams, derive_unlock
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.keyfiles import open_file, read_header
from privity.crypto.keyring import wrap_key
from privity.crypto.locations import read_manifest as read_change
from privity.crypto.log import bare, cosign, cosigned, entry, make_checkpoint, read_checkpoint
from privity.crypto.merkle import Frontier, leaf_hash
from privity.crypto.originals import Origin, Permission, permit, read_permission, sign_original
from privity.crypto.sharing import Terms, read_manifest, read_terms, verify_share
from privity.crypto.sharing_keys import PrivatePart, read_record
from privity.crypto.signing import SigningKey
from privity.encoding import b32, b64, digest, lp, sha256, unb64
from privity.errors import ForgedRecord, Malformed, PrivityError
from privity.messages import envelope, views
from privity.messages.catalog import explain, read_command
from privity.messages.envelope import Answer, FeedEntry, Receipt, Result, ResultEvent
from privity.messages.items import AddItem
from privity.messages.views import AskItems
from privity.results import Results
from privity.supplying import _read as read_supplied
from projections.queries import _asks
from tests.crypto import examples
from tests.vectors.make import FOLDER as VECTORS

ANN, BOB = examples.person("ann"), examples.person("bob")
LOG = SigningKey.from_seed(b"l" * 32)
WITNESS = SigningKey.from_seed(b"w" * 32)
HOME = home_id(LOG.public)
ACCOUNT = b32(sha256(b"account"))
SERVER = ConnectionString("127.0.0.1", 4222, "person", "credential", LOG.public)
SIGNER = Signer(ACCOUNT, "a" * 26, SigningKey.from_seed(b"d" * 32), HOME)
KEY = b"k" * 32
KEYS = {suite: generate_keypair(suite) for suite in Suite}
INVITATION = examples.invitation(ANN)
ACCEPTANCE = examples.acceptance(BOB, INVITATION.record)
FILE = Attachment("f" * 26, "scan.png", "image/png", 4, digest(b"scan"), KEY, b"thumbnail")
WITH_FILE = Content("Passport", {"number": "X1"}, {FILE.name: FILE})
SHARED = SharedContent(WITH_FILE, False, Terms("Be kind", bytes(32)), {"label": {}})
CHECKPOINT = make_checkpoint(LOG, HOME, 0, Frontier().root())


@dataclass(frozen=True, slots=True)
class Target:
    """A reader, inputs that it takes, and the errors with which it may refuse all others."""

    read: Callable[[bytes], object]
    seeds: list[bytes]
    refuses: tuple[type[Exception], ...] = (PrivityError,)


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """A reader of text, of bytes that may be none."""
    return lambda data: read(data.decode(errors="surrogateescape"))


def found(data: bytes) -> Any:
    """The JSON value behind mutated bytes; what is none would not have come this far."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None


def told(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def add() -> Waiting:
    return SIGNER.command(AddItem("i" * 26, digest(b"content"), digest(b"wrap")), (b"content", b"wrap"))


# --- what the home reads

WAITING = add()


def opened(data: bytes) -> object:
    return open_delivery(Delivery(WAITING.subject, data))


def any_command(data: bytes) -> object:
    match found(data):
        case [str(subject), dict(body)]:
            return read_command(subject, body)
    raise Malformed("the test's own form")


def query(data: bytes) -> object:
    """As `projections.queries` reads it."""
    try:
        query = envelope.query_envelope.validate_json(data)
        return [_asks[view].validate_python(query.params) for view in ("items",)]
    except ValidationError as error:
        raise Malformed(explain(error)) from None


def command_seeds() -> list[bytes]:
    kept = unframe(WAITING.data, 9, 10**6)[1]
    signed = {"record": b64(ANN.chain[0].record), "signatures": [b64(each) for each in ANN.chain[0].signatures]}
    return [
        told(["items.add", json.loads(kept)["body"]]),
        told(["accounts.extend-identity", {"record": signed}]),
        told(["shares.remove", {"share": "s" * 26}]),
    ]


# --- what the agent reads of the home


def answer_of(*rows: object) -> bytes:
    said = Answer("ok", 7, b64(bytes(34)), tuple(rows), "7")  # type: ignore[arg-type]
    return frame(envelope.answer.dump_json(said), b"content", b"wrap")


ROWS: dict[type[Any], list[dict[str, Any]]] = {
    views.ItemRow: [{"item": "i" * 26, "version": 1, "content": digest(b"content"), "wrap": digest(b"wrap")}],
    views.AccountRow: [
        {
            "account": ACCOUNT,
            "address": "ann@localhost",
            "chain": [
                {"record": b64(each.record), "signatures": [b64(s) for s in each.signatures]} for each in ANN.chain
            ],
            "devices": {"l" * 26: b64(bytes(32))},
            "kdf": KdfParams().to_json_dict(),
            "kek": digest(b"content"),
            "kek_recovery": digest(b"content"),
            "identity": digest(b"wrap"),
        }
    ],
    views.ConnectionRow: [
        {
            "connection": ACCOUNT,
            "invitation": "i" * 26,
            "inviter": True,
            "peer": ACCOUNT,
            "peer_address": "bob@localhost",
            "key": "k" * 26,
            "public": b64(ANN.connection.public),
            "peer_key": "k" * 26,
            "peer_public": b64(BOB.connection.public),
            "peer_chain": [],
            "confirmed": False,
            "note": digest(b"content"),
            "offer": b64(INVITATION.record),
            "offer_mac": b64(INVITATION.mac),
            "acceptance": b64(ACCEPTANCE.record),
            "acceptance_mac": None,
            "confirmation_mac": None,
        }
    ],
    FeedEntry: [
        {
            "position": 3,
            "event": "item-added",
            "at": "2026-01-02T03:04:05.000006+00:00",
            "actor": ACCOUNT,
            "refs": {"item": "i" * 26, "version": "1"},
            "seq": 1,
            "link": feed_link(
                *(ACCOUNT, 1, "", 3, "item-added", "2026-01-02T03:04:05.000006+00:00", ACCOUNT),
                {"item": "i" * 26, "version": "1"},
            ),
        }
    ],
}


def answered(row: type[Any]) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        answer, sealed = read_answer(data)
        if answer.status == "refused":
            raise error_for(answer.code, answer.message)
        if answer.next is not None:
            _further(0, answer.next)
        rows = read_rows(answer, row)
        if row is FeedEntry:
            mark = FeedMark(0, 0, "")
            for each in rows:
                mark = follow_on(mark, each, ACCOUNT)
        return rows, sealed

    return read


def recorded() -> Result:
    _, payload, *_ = unframe(WAITING.data, 9, 10**6)
    meta = {"digest": digest(lp(WAITING.subject.encode(), payload)), "at": "2026-01-01T00:00:00Z"}
    event = ResultEvent(1, "item-i", 1, "item-added.v1", json.dumps({"event": {}, "meta": meta}))
    leaves = Frontier()
    leaves.append(leaf_hash(entry(1, event.stream, 1, event.name, event.data.encode())))
    receipt = Receipt(make_checkpoint(LOG, HOME, 1, leaves.root()), ((),))
    return Result(WAITING.id, "accepted", position=1, events=(event,), receipt=receipt)


def result(data: bytes) -> object:
    """By the way that it comes: the bus's own handler, then the checks of the session."""

    async def heard() -> Result | None:
        results = Results()
        with results.of(WAITING.id) as future:
            await results.heard(SimpleNamespace(subject=f"privity.result.{ACCOUNT}.{WAITING.id}", data=data))  # type: ignore[arg-type]
            return future.result() if future.done() else None

    came = LOOP.run_until_complete(heard())
    if came is None:
        raise Malformed("it was not taken for a result")
    if came.status == "accepted":
        _check_own(came, WAITING)
        check_receipt(came, SERVER)
    return came


LOOP = asyncio.new_event_loop()
RESULT = envelope.result.dump_json(recorded())

# --- what comes from other people


def chain(data: bytes) -> object:
    match found(data):
        case [*records] if all(isinstance(each, dict) for each in records):
            return verify_chain([Signed.from_json_dict(each) for each in records])
    raise Malformed("the test's own form")


def provenance(data: bytes) -> object:
    match found(data):
        case dict(said):
            return read_provenance(said)
    raise Malformed("the test's own form")


def resigned(data: bytes) -> object:
    """A record that the right keys signed, whatever it says."""
    first, second = ANN.sign.sign(labels.IDENTITY_BY_PREVIOUS, data), ANN.sign.sign(labels.IDENTITY_BY_NEW, data)
    return extend(ANN.identity, Signed(data, (first, second)))


def certified(data: bytes) -> object:
    """An invitation whose MAC is right, whatever it says."""
    inv = read_invitation(data).inv
    mac = hmac.digest(invite_keys(examples.S, inv).inviter, sha256(data), "sha256")
    return check_invitation(data, mac, ANN.chain, S=examples.S, now=examples.NOW, log_key=examples.LOG_KEY)


def accepted(data: bytes) -> object:
    return check_acceptance(None, INVITATION.record, data, None, BOB.chain)


SHARE = examples.sealed_share(KEYS[Suite.X25519])
ORIGIN = Origin(ACCOUNT, "i" * 26, 1)
PERMISSION = Permission(
    origin=ORIGIN,
    share="s" * 26,
    giver=ACCOUNT,
    taker=BOB.identity.account,
    hops=1,
    keep=False,
    slots=("number",),
    expires=datetime(2030, 1, 1, tzinfo=UTC),
    terms_hash=digest(b"terms"),
    prev=None,
)
SIGNED = sign_original(ANN.sign, ORIGIN, "number", b"X1")
PEOPLE = {ACCOUNT: tuple(to_record(each) for each in ANN.chain)}
PROVENANCE = Provenance(SIGNED, {"number": SIGNED}, (permit(ANN.sign, PERMISSION),), PEOPLE).to_dict()


def signed_manifest(data: bytes) -> object:
    return verify_share(data, examples.OWNER.sign(labels.SHARE_MANIFEST, data), examples.OWNER.public)


def notes(data: bytes) -> object:
    note = data.decode(errors="surrogateescape")
    checkpoint = read_checkpoint(note, LOG.public, HOME)
    bare(note)
    try:
        cosigned(note, "witness", WITNESS.public)
    except ForgedRecord:
        assert len(note.splitlines()) >= 5
    return checkpoint


# --- what lies on the disk

PASSPHRASE = "correct horse"
SECRET = b"s" * 16


def profile() -> bytes:
    unlocked = derive_unlock(PASSPHRASE, SECRET, ACCOUNT, KdfParams())
    kept = Profile(
        account=ACCOUNT,
        address="ann@localhost",
        device="a" * 26,
        server=SERVER.text(),
        secret=b64(SECRET),
        kdf=KdfParams().to_json_dict(),
        kek=b64(wrap_key(unlocked.wrap, KEY, labels.PURPOSE_KEK, ACCOUNT.encode())),
        device_key=b64(wrap_device(KEY, SIGNER.key, ACCOUNT, "a" * 26)),
        identity=b64(wrap_identity(KEY, new_identity(), ACCOUNT)),
    )
    with tempfile.TemporaryDirectory() as folder:
        ProfileFolder(Path(folder)).save(kept)
        return (Path(folder) / "profile.json").read_bytes()


PROFILE = profile()


def profile_file(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "profile.json").write_bytes(data)
        loaded = ProfileFolder(Path(folder)).load()
        parse_connection_string(loaded.server)
        kdf = dict(loaded.kdf)
        KdfParams.from_json_dict(kdf)
        # The costliest that is allowed takes seconds: the rest is read at the least cost.
        return unlock(replace(loaded, kdf=KdfParams().to_json_dict()), PASSPHRASE)


def outbox_file(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        home = ProfileFolder(Path(folder))
        (Path(folder) / "outbox").mkdir()
        (Path(folder) / "outbox" / WAITING.id).write_bytes(data)
        return home.waiting()


def late(at: str) -> bytes:
    """A feed's line of a time that no calendar has in UTC."""
    return answer_of(ROWS[FeedEntry][0] | {"at": at})


ONCE_TRIPPED: list[tuple[str, bytes]] = [
    ("answer with ItemRow", frame()),
    ("answer with ItemRow", frame(unframe(answer_of(), 9, 10**6)[0].replace(b'"7"', '"²"'.encode()))),
    ("answer with FeedEntry", late("0001-01-01T00:00:00+14:00")),
    ("answer with FeedEntry", late("9999-12-31T23:59:59-14:00")),
    ("result", RESULT.replace(b'digest\\": \\"', b'digest\\": [], \\"was\\": \\"')),
    ("public key of X25519", bytes(32)),
    ("public key of MLKEM768_X25519", KEYS[Suite.X_WING].public[:-32] + bytes(32)),
    ("profile file", PROFILE.replace(b'"secret": "', b'"secret": 1, "was": "')),
    ("profile file", PROFILE.replace(b'"account": "', b'"account": "\\ud800')),
    ("outbox file", b"\xff\n"),
    ("command body", b'["' + b"9" * 5_000 + b'", {}]'),
]
"""Inputs that were once read wrongly, or with an error that is not ours."""

CLUB = Epoch(
    group=group_id(ACCOUNT, b"n" * 16),
    epoch=1,
    prev=None,
    by=ACCOUNT,
    size=1,
    members=digest(b"members"),
    key=1,
    commitment=digest(b"key"),
    wraps=digest(b"wraps"),
    about=digest(b"about"),
    link=None,
    n=0,
    last=None,
    checkpoint="checkpoint",
    dropped=(ACCOUNT,),
    nonce=b64(b"n" * 16),
)
CLUB_EPOCH, _ = sign_epoch(LOG, CLUB)
CLUB_POST = seal_post(
    b"k" * 32,
    b"d" * 32,
    b"posted",
    epoch=CLUB,
    post="p" * 26,
    version=1,
    author=ACCOUNT,
    identity=LOG,
    n=1,
    prev=None,
    checkpoint="checkpoint",
)
ITEM_ID = "a" * 26
INSTRUCTED, _ = sign_instruction(
    Instruction(
        principal=ACCOUNT,
        by=ACCOUNT,
        delegation=ITEM_ID,
        n=1,
        generation=1,
        expires=datetime(2027, 1, 1, tzinfo=UTC),
        content=digest(b"wanted"),
        checkpoint="checkpoint",
    ),
    SigningKey.generate(),
)

HOME_KEYS = (SigningKey.generate(), bytes(32), bytes(32), BusKeys.complete({}))
SUPPLIER_REQUESTS = {
    "open": frame(
        told(
            {
                "operation": "get",
                "key": ACCOUNT,
                "object": "o" * 26,
                "nonce": b64(KEY),
                "account": ACCOUNT,
                "by_key": b64(bytes(64)),
                "by_identity": b64(bytes(64)),
                "chain": [{"record": "AA", "signatures": [b64(bytes(64))]}],
            }
        )
    ),
    "put": frame(told({"lease": b64(KEY), "segment": 7}), b"a fragment"),
    "leaves": frame(told({"lease": b64(KEY), "start": 7})),
}
"""What a supplier is asked."""


def key_file(data: bytes) -> object:
    """As `privity key decrypt` reads it."""
    source = BytesIO(data)
    header = read_header(source)
    return list(open_file(header, PART, source))


def location_body(data: bytes) -> object:
    return read_body(data, 2)


def seeds_of(file: str, ask: str, field: str) -> list[bytes]:
    """What the vectors have of a kind that is read."""
    cases = json.loads((VECTORS / f"{file}.json").read_text())["cases"]
    return [unb64(case["given"][field]) for case in cases if case["ask"] == ask and "answer" in case]


PART = PrivatePart.from_bytes(sha256(b"part 1") + sha256(b"pair 1"))
BY_VECTOR: dict[str, tuple[Callable[[bytes], object], str, str, str]] = {
    "sharing key's record": (read_record, "sharing_keys", "key-record", "record"),
    "file under a sharing key": (key_file, "key_files", "key-file", "file"),
    "change of a location": (read_change, "location_lines", "location-change", "manifest"),
    "step of a delegation": (read_step, "delegates", "delegation-step", "record"),
}
"""A reader, and where its valid inputs stand among the vectors."""
SUPPLIED = [
    {"status": "ok", "leaves": [[0, b64(KEY)], [7, b64(KEY)]], "more": True, "root": b64(KEY), "segments": 8},
    {"status": "ok", "objects": [{"object": "o" * 26, "whole": True, "fragments": 3, "since": 1}]},
    {"status": "refused", "code": "Busy", "message": "later"},
]
BODY = write_body(
    Body(
        (
            Put("a/b.txt", ((1, 0),), 5, digest(b"hello"), "o" * 26, 0, datetime(2027, 1, 1, tzinfo=UTC)),
            Removed("c", ((1, 1),), datetime(2027, 1, 1, tzinfo=UTC)),
        ),
        {"o" * 26: Whole(KEY, 5, digest(b"hello"))},
    )
)

TARGETS: dict[str, Target] = {
    "frame": Target(lambda data: unframe(data, 66, 10**6), [WAITING.data, frame(), frame(b"", b"x")]),
    "delivery": Target(opened, [WAITING.data], (Unopened,)),
    "command body": Target(any_command, command_seeds()),
    "query envelope": Target(query, [unframe(SIGNER.query(AskItems(), None, 0)[1], 2, 10**5)[1]]),
    **{f"answer with {row.__name__}": Target(answered(row), [answer_of(*said)]) for row, said in ROWS.items()},
    "result": Target(result, [RESULT]),
    "aead": Target(lambda data: aead.open_sealed(KEY, data, labels.NOTE), [aead.seal(KEY, b"text", labels.NOTE)]),
    **{
        f"sealed to {suite}": Target(
            lambda data, keys=keys: kem.open_with(keys.suite, keys.private, data, labels.NOTE),
            [kem.seal_to(suite, keys.public, KEY, labels.NOTE)],
        )
        for suite, keys in KEYS.items()
    },
    **{
        f"public key of {suite}": Target(lambda data, suite=suite: kem.check_public(suite, data), [keys.public])
        for suite, keys in KEYS.items()
    },
    "file segment": Target(
        lambda data: files.decrypt_segment(KEY, data, b"file"),
        [files.encrypt_segment(KEY, b"x" * size, b"file") for size in (0, 20_000)],
    ),
    "link": Target(
        text(parse_link),
        [invitation_link(HOME, "i" * 26, bytes(32)).encode(), mail_link(HOME, "i" * 26, bytes(32)).encode()],
    ),
    "connection string": Target(text(parse_connection_string), [SERVER.text().encode()]),
    "secret text": Target(text(decode_secret), [encode_secret(ACCOUNT, bytes(16), SECRET).encode()]),
    "recovery text": Target(text(decode_recovery), [encode_recovery(ACCOUNT, bytes(16), KEY).encode()]),
    "identity chain": Target(chain, [told([each.to_json_dict() for each in ANN.chain])]),
    "identity record, rightly signed": Target(
        resigned,
        [examples.next_record(ANN.identity, ANN.sign).record],
    ),
    "invitation record": Target(read_invitation, [INVITATION.record]),
    "invitation, rightly vouched for": Target(certified, [INVITATION.record]),
    "acceptance record": Target(read_acceptance, [ACCEPTANCE.record]),
    "acceptance": Target(accepted, [ACCEPTANCE.record]),
    "manifest": Target(read_manifest, [SHARE.manifest]),
    "group epoch": Target(read_epoch, [CLUB_EPOCH]),
    "group manifest": Target(read_post, [CLUB_POST.manifest]),
    "manifest, rightly signed": Target(signed_manifest, [SHARE.manifest]),
    "permission": Target(read_permission, [PERMISSION.to_bytes()]),
    "provenance": Target(provenance, [told(PROVENANCE)]),
    "terms": Target(read_terms, [Terms("for your eyes only", bytes(32)).to_bytes()]),
    "checkpoint note": Target(
        notes, [CHECKPOINT.encode(), cosign(CHECKPOINT, "witness", WITNESS, datetime(2026, 1, 1, tzinfo=UTC)).encode()]
    ),
    "item content": Target(read_content, [Content("Passport", {"number": "X1"}).to_bytes(), WITH_FILE.to_bytes()]),
    "share content": Target(read_shared, [SHARED.to_bytes()]),
    "body of a location's change": Target(location_body, [BODY]),
    "instruction": Target(read_instruction, [INSTRUCTED]),
    "what is wanted": Target(
        read_wanted,
        [
            to_bytes(NewShare(share=ITEM_ID, item=ITEM_ID, address="bob@localhost", slots=("number",), terms="text")),
            to_bytes(NewGeneration(share=ITEM_ID, generation=1, changed=("keep", "terms"), keep=True)),
            to_bytes(End(share=ITEM_ID)),
        ],
    ),
    **{
        f"supplier's {verb}": Target(lambda data, verb=verb: read_request(verb, data), [seed])
        for verb, seed in SUPPLIER_REQUESTS.items()
    },
    **{name: Target(read, seeds_of(*place)) for name, (read, *place) in BY_VECTOR.items()},
    "what a supplier answers": Target(read_supplied, [frame(told(each)) for each in SUPPLIED]),
    "what was given": Target(read_given, [write_given([Given("supplier", ACCOUNT, "attic", "U" + "A" * 55, 2**31)])]),
    "supplier's credential": Target(
        text(read_credential), [issue(HomeKeys(*HOME_KEYS), "attic", "nats://x:1").text().encode()]
    ),
    "profile file": Target(profile_file, [PROFILE]),
    "outbox file": Target(outbox_file, [WAITING.subject.encode() + b"\n" + WAITING.data]),
}
