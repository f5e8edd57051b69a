"""Writes the test vectors: `python -m tests.vectors.make`. The same inputs give the same files.

Sealing is random. What was sealed once is taken from the files as they are, as long as it still answers its question,
so that a new run changes only what a change of a format changed. Keys are seeds of one letter: never use them.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from privity.crypto import aead, files, items, kem, labels, log, merkle
from privity.crypto.command import frame, sign_command, sign_login, sign_query
from privity.crypto.connection import connection_id
from privity.crypto.credentials import encode_recovery, encode_secret, home_id, log_hash
from privity.crypto.enrolment import sign_device_enrolment, sign_login_enrolment
from privity.crypto.identity import Signed, make_genesis, make_next, verify_chain
from privity.crypto.invitation import confirmation, invitation_link, mail_link, make_acceptance, make_invitation
from privity.crypto.kdf import KdfParams, derive_recovery
from privity.crypto.kem import KeyPair, Suite, generate_keypair, public_of
from privity.crypto.keyring import wrap_key
from privity.crypto.originals import Origin, Original, Permission, check_original, permit, sign_original
from privity.crypto.sharing import Conditions, Terms, accept_terms, rewrap_dek, seal_share, verify_share
from privity.crypto.signing import SigningKey
from privity.encoding import b32, b64, digest, sha256, unb64
from privity.errors import PrivityError
from tests.vectors.formats import QUESTIONS, Asked

FOLDER = Path(__file__).parent
LOG, DEVICE, LOGIN, WITNESS = (SigningKey.from_seed(letter * 32) for letter in (b"L", b"D", b"l", b"W"))
HOME = home_id(LOG.public)
KEY, KEK, OTHER = b"k" * 32, b"K" * 32, b"o" * 32
SECRET, SEED, S = b"s" * 16, b"r" * 32, b"S" * 32
ACCOUNT = b32(sha256(b"account"))
DEVICE_ID, ITEM, INV, SHARE, SPACE = (letter * 26 for letter in "deist")
SUBJECT = f"privity.cmd.{ACCOUNT}.items.remove"
LOW = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")


@dataclass
class Vectors:
    """One file in the making."""

    name: str
    section: str
    cases: list[Asked] = field(default_factory=list)

    def good(self, name: str, ask: str, /, **given: Any) -> None:
        """A question with an answer."""
        self.cases.append({"name": name, "ask": ask, "given": given, "answer": QUESTIONS[ask](given)})

    def bad(self, name: str, ask: str, /, **given: Any) -> None:
        """A question that must be refused, with the error's class."""
        try:
            QUESTIONS[ask](given)
        except PrivityError as error:
            self.cases.append({"name": name, "ask": ask, "given": given, "error": type(error).__name__})
        else:
            raise AssertionError(f"{self.name}: {name} is not refused")

    def text(self) -> str:
        facts = {"section": self.section, "cases": self.cases}
        return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


class Kept:
    """What was sealed in earlier runs, by name: random bytes that still open are not made anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        self._now: dict[str, str] = {}

    def blob(self, name: str, make: Callable[[], bytes], opens: Callable[[bytes], object]) -> bytes:
        """The sealed bytes of that name."""
        made = unb64(self._before[name]) if name in self._before else make()
        try:
            opens(made)
        except PrivityError:
            made = make()
        self._now[name] = b64(made)
        return made

    def text(self) -> str:
        return json.dumps(self._now, indent=1, sort_keys=True) + "\n"


def flip(data: bytes, at: int = -1) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def key_of(suite: Suite, kept: Kept, name: str) -> KeyPair:
    if suite is Suite.RSA:
        private = kept.blob(name, lambda: generate_keypair(suite).private, lambda made: public_of(suite, made))
    else:
        private = sha256(name.encode())
    return KeyPair(suite, private, public_of(suite, private))


def encodings(kept: Kept) -> Vectors:
    made = Vectors("encodings", "1. Encodings")
    made.good("parts behind their lengths", "lp", parts=[b64(b"ab"), "", b64(b"c")])
    made.good("no parts", "lp", parts=[])
    made.good("base64url without padding", "b64", text="_-8")
    made.bad("padded", "b64", text="_-8=")
    made.bad("stray trailing bits", "b64", text="_-9")
    made.bad("of the other alphabet", "b64", text="/+8")
    made.good("base32", "b32", text="mfrgg")
    made.bad("no base32", "b32", text="mfrg1")
    made.good("digest", "digest", data=b64(b"abc"))
    made.good("of nothing", "digest", data="")
    made.good("home and log hash", "home", log_key=b64(LOG.public))
    made.good("account of a genesis", "account", genesis=b64(people(kept)[0].chain[0].record))
    one, other = people(kept)
    message = invite(one)
    made.good(
        "connection of two records",
        "connection",
        invitation=b64(message.record),
        acceptance=b64(accept(other, message.record).record),
    )
    made.good("line of a connection and a sender", "line", connection=ACCOUNT, sender=ACCOUNT)
    made.good(
        "connection string", "connection-string", text=f"privity://person:c%2Fd@h.example:4222?log={b64(LOG.public)}"
    )
    made.good("of an IPv6 address", "connection-string", text=f"privity://person:c@[::1]:4222?log={b64(LOG.public)}")
    made.bad("without a log key", "connection-string", text="privity://person:c@h.example:4222")
    made.bad("of a short log key", "connection-string", text="privity://person:c@h.example:4222?log=AAAA")
    made.good("record", "record", text='{"a":"é","v":1}', fields=["v", "a"])
    made.bad("record with a space", "record", text='{"a": "b","v":1}', fields=["v", "a"])
    made.bad("record that is not sorted", "record", text='{"v":1,"a":"b"}', fields=["v", "a"])
    made.bad("record with an escape that is not needed", "record", text='{"a":"\\u00e9","v":1}', fields=["v", "a"])
    made.bad("record with a field more", "record", text='{"a":"b","b":"c","v":1}', fields=["v", "a"])
    made.bad("record of another version", "record", text='{"a":"b","v":2}', fields=["v", "a"])
    made.bad("record whose version is a truth", "record", text='{"a":"b","v":true}', fields=["v", "a"])
    return made


def frames(kept: Kept) -> Vectors:
    made = Vectors("frames", "2. Frames and signatures")
    bounds = {"max_parts": 3, "max_bytes": 100}
    made.good("three parts", "frame", parts=[b64(b"ab"), "", b64(b"c")])
    made.good("three parts read", "unframe", data=b64(frame(b"ab", b"", b"c")), **bounds)
    made.good("no parts read", "unframe", data=b64(frame()), **bounds)
    made.bad("a byte left over", "unframe", data=b64(frame(b"ab") + b"\0"), **bounds)
    made.bad("cut", "unframe", data=b64(frame(b"ab")[:-1]), **bounds)
    made.bad("a length beyond the end", "unframe", data=b64(b"PVC1\xff\xff\xff\xff"), **bounds)
    made.bad("another magic", "unframe", data=b64(b"PVC2" + frame(b"ab")[4:]), **bounds)
    made.bad("nothing", "unframe", data="", **bounds)
    made.bad("too many parts", "unframe", data=b64(frame(b"", b"", b"", b"")), **bounds)
    made.bad("too many bytes", "unframe", data=b64(frame(bytes(100))), **bounds)
    return made


def signatures(kept: Kept) -> Vectors:
    made = Vectors("signatures", "2. Frames and signatures")
    payload = json.dumps({"v": 1, "account": ACCOUNT, "body": {"item": ITEM}})
    right = {"public": b64(DEVICE.public), "home": HOME, "subject": SUBJECT, "payload": payload}
    for kind, sign in (("command", sign_command), ("query", sign_query)):
        signature = b64(sign(DEVICE, HOME, SUBJECT, payload.encode()))
        made.good(f"a {kind}", kind, signature=signature, **right)
        for name, change in {
            "another home": {"home": "h" * 26},
            "another subject": {"subject": SUBJECT.replace("remove", "add")},
            "another payload": {"payload": payload + " "},
            "another key": {"public": b64(LOGIN.public)},
            "a key of small order": {"public": b64(b"\1" + bytes(31))},
            "a bit turned": {"signature": b64(flip(unb64(signature)))},
            "no signature": {"signature": ""},
        }.items():
            made.bad(f"a {kind}: {name}", kind, **({"signature": signature} | right | change))
        other = "query" if kind == "command" else "command"
        made.bad(f"a {kind} taken for a {other}", other, signature=signature, **right)
    proof = {"public": b64(LOGIN.public), "home": HOME, "purpose": "login", "nonce": b64(b"n" * 34)}
    signed = b64(sign_login(LOGIN, HOME, "login", b"n" * 34))
    made.good("a login", "login", signature=signed, **proof)
    made.bad("a login taken for a recovery", "login", signature=signed, **(proof | {"purpose": "recover"}))
    made.bad("a login with another nonce", "login", signature=signed, **(proof | {"nonce": b64(b"m" * 34)}))
    made.bad("a login at another home", "login", signature=signed, **(proof | {"home": "h" * 26}))
    for kind, key, by, sign_enrolment in (
        ("enrol-device", DEVICE, DEVICE_ID, sign_device_enrolment),
        ("enrol-login", LOGIN, "login", sign_login_enrolment),
    ):
        nkey, answer, nonce = "U" + "A" * 55, b"a" * 32, b"n" * 34
        asked = {"home": HOME, "account": ACCOUNT, "by": by, "nkey": nkey, "answer": b64(answer), "nonce": b64(nonce)}
        signature = sign_enrolment(key, HOME, ACCOUNT, by, nkey, answer, nonce)
        asked |= {"public": b64(key.public), "signature": b64(signature)}
        made.good(kind, kind, **asked)
        for name, value in {"home": "h" * 26, "by": "x", "nkey": "U" + "B" * 55, "answer": "", "nonce": ""}.items():
            made.bad(f"{kind}: another {name}", kind, **(asked | {name: value}))
    return made


def sealed(kept: Kept) -> Vectors:
    made = Vectors("sealed", "5. Sealing under a key")
    note, context = labels.NOTE.decode(), ["alpha", "beta"]
    for name, plaintext in (("a text", b"hello"), ("nothing", b"")):
        blob = kept.blob(
            f"sealed {name}",
            lambda plaintext=plaintext: aead.seal(KEY, plaintext, labels.NOTE, b"alpha", b"beta"),
            lambda made: aead.open_sealed(KEY, made, labels.NOTE, b"alpha", b"beta"),
        )
        made.good(name, "open", key=b64(KEY), blob=b64(blob), label=note, context=context)
    right = {"key": b64(KEY), "blob": b64(blob), "label": note, "context": context}
    for name, change in {
        "another key": {"key": b64(OTHER)},
        "a short key": {"key": b64(KEY[:16])},
        "another label": {"label": labels.ITEM_CONTENT.decode()},
        "another context": {"context": ["alpha", "gamma"]},
        "the context in one part": {"context": ["alphabeta"]},
        "magic": {"blob": b64(flip(blob, 0))},
        "suite": {"blob": b64(flip(blob, 6))},
        "commitment": {"blob": b64(flip(blob, 28))},
        "nonce": {"blob": b64(flip(blob, 62))},
        "tag": {"blob": b64(flip(blob))},
        "cut": {"blob": b64(blob[:-1])},
        "a byte more": {"blob": b64(blob + b"\0")},
        "nothing at all": {"blob": ""},
    }.items():
        made.bad(name, "open", **(right | change))
    for purpose, ids in PURPOSES.items():
        parts = [each.encode() for each in ids]
        wrap = kept.blob(
            f"wrap {purpose}",
            lambda purpose=purpose, parts=parts: wrap_key(KEK, KEY, purpose.encode(), *parts),
            lambda made, purpose=purpose, parts=parts: aead.open_sealed(
                KEK, made, labels.KEY_WRAP, purpose.encode(), *parts
            ),
        )
        case = {"kek": b64(KEK), "blob": b64(wrap), "purpose": purpose, "ids": ids}
        made.good(f"wrapped for {purpose}", "unwrap", **case)
        made.bad(f"{purpose}: another id", "unwrap", **(case | {"ids": [*ids[:-1], "x"]}))
        made.bad(f"{purpose}: another purpose", "unwrap", **(case | {"purpose": "privity/v1/purpose/other"}))
        made.bad(f"{purpose}: another key", "unwrap", **(case | {"kek": b64(OTHER)}))
    return made


PURPOSES = {
    labels.PURPOSE_KEK.decode(): [ACCOUNT],
    labels.PURPOSE_KEK_RECOVERY.decode(): [ACCOUNT],
    labels.PURPOSE_DEVICE.decode(): [ACCOUNT, DEVICE_ID],
    labels.PURPOSE_CONNECTION_KEY.decode(): [ACCOUNT, "k" * 26, "X25519"],
    labels.PURPOSE_ITEM.decode(): [ACCOUNT, ITEM, "1"],
}


def sealed_to(kept: Kept) -> Vectors:
    made = Vectors("sealed_to", "6. Sealing to a public key")
    label, context = labels.SHARE_TO_RECIPIENT.decode(), ["alpha", "beta"]
    for suite in Suite:
        keys = key_of(suite, kept, f"key {suite}")
        blob = kept.blob(
            f"sealed to {suite}",
            lambda keys=keys: kem.seal_to(keys.suite, keys.public, KEY, label.encode(), b"alpha", b"beta"),
            lambda made, keys=keys: kem.open_with(keys.suite, keys.private, made, label.encode(), b"alpha", b"beta"),
        )
        right = {
            "suite": str(suite),
            "private": b64(keys.private),
            "blob": b64(blob),
            "label": label,
            "context": context,
        }
        head = 5 + blob[4]
        made.good(f"{suite}: public of private", "public", suite=str(suite), private=b64(keys.private))
        made.good(f"{suite}: opens", "unseal", **right)
        for name, change in {
            "another label": {"label": labels.NOTE.decode()},
            "another context": {"context": ["alpha"]},
            "encapsulation": {"blob": b64(flip(blob, head))},
            "encapsulation of zeros": {"blob": b64(blob[:head] + bytes(32) + blob[head + 32 :])},
            "ciphertext": {"blob": b64(flip(blob))},
            "cut": {"blob": b64(blob[: head + 5])},
            "header": {"blob": b64(flip(blob, 7))},
            "nothing": {"blob": ""},
        }.items():
            made.bad(f"{suite}: {name}", "unseal", **(right | change))
        made.good(f"{suite}: a public key", "check-public", suite=str(suite), public=b64(keys.public))
        made.bad(f"{suite}: a short key", "check-public", suite=str(suite), public=b64(keys.public[:-1]))
        if suite is not Suite.RSA:
            low = b64(keys.public[:-32] + LOW)
            made.bad(f"{suite}: a point of small order", "check-public", suite=str(suite), public=low)
    return made


def passphrases(kept: Kept) -> Vectors:
    made = Vectors("passphrases", "7. Keys from a passphrase, and texts to keep")
    floor = KdfParams().to_json_dict()
    right = {"passphrase": "correct horse", "secret": b64(SECRET), "account": ACCOUNT, "kdf": floor}
    made.good("unlock", "unlock", **right)
    made.good("unlock: decomposed letters", "unlock", **(right | {"passphrase": "café"}))
    made.good("unlock: the same letters composed", "unlock", **(right | {"passphrase": "café"}))
    made.good("unlock: another account", "unlock", **(right | {"account": b32(sha256(b"other"))}))
    for name, change in {"memory_kib": 64 * 1024 - 1, "iterations": 2, "lanes": 3}.items():
        made.bad(f"unlock: below the floor in {name}", "unlock", **(right | {"kdf": floor | {name: change}}))
    made.bad("unlock: above the ceiling", "unlock", **(right | {"kdf": floor | {"memory_kib": 2**20 + 1}}))
    made.bad("unlock: a short secret", "unlock", **(right | {"secret": b64(SECRET[:-1])}))
    made.good("recovery", "recovery", seed=b64(SEED), account=ACCOUNT)
    made.good("recovery: before there is an account", "recovery", seed=b64(SEED), account="")
    made.bad("recovery: a short seed", "recovery", seed=b64(SEED[:-1]), account=ACCOUNT)
    anchor = log_hash(LOG.public)
    secret, seed = encode_secret(ACCOUNT, anchor, SECRET), encode_recovery(ACCOUNT, anchor, SEED)
    made.good("secret", "secret-text", text=secret)
    made.good("secret in capitals, with space around", "secret-text", text=f" {secret.upper()}\n")
    made.good("recovery text", "recovery-text", text=seed)
    made.bad("secret: a letter wrong", "secret-text", text=secret[:-1] + ("a" if secret[-1] != "a" else "b"))
    made.bad("secret: a letter missing", "secret-text", text=secret[:-1])
    made.bad("secret taken for a recovery text", "recovery-text", text=secret)
    made.bad("recovery text taken for a secret", "secret-text", text=seed)
    return made


def links(kept: Kept) -> Vectors:
    made = Vectors("links", "10. Invitations")
    made.good("a link", "link", text=invitation_link(HOME, INV, S))
    made.good("the mail's", "link", text=mail_link(HOME, INV, b"t" * 32))
    made.good("keys of a secret", "invitation-keys", S=b64(S), invitation=INV)
    made.bad("a short secret's keys", "invitation-keys", S=b64(S[:-1]), invitation=INV)
    whole = invitation_link(HOME, INV, S)
    for name, text in {
        "another scheme": whole.replace("privity:", "https:"),
        "a short secret": whole[:-1],
        "a secret with stray bits": whole[:-1] + "x",
        "secret and token": whole + "?token=" + b64(b"t" * 32),
        "a short token": mail_link(HOME, INV, b"t" * 15),
        "a port": whole.replace("privity://", "privity://h:1@"),
        "something behind": whole + "/",
        "nothing": "",
    }.items():
        made.bad(name, "link", text=text)
    return made


@dataclass(frozen=True)
class Somebody:
    """A person's keys and chain: genesis, and a record with one device."""

    sign: SigningKey
    recovery: SigningKey
    chain: list[Signed]
    connection: KeyPair

    @property
    def json(self) -> list[dict[str, object]]:
        return [each.to_json_dict() for each in self.chain]


def people(kept: Kept) -> tuple[Somebody, Somebody]:
    """Ann and Bob."""
    found = []
    for name in ("ann", "bob"):
        sign = SigningKey.from_seed(sha256(f"sign {name}".encode()))
        recovery = derive_recovery(sha256(f"recovery {name}".encode()), "").sign
        seal = public_of(Suite.X25519, sha256(f"seal {name}".encode()))
        genesis = make_genesis(sign, seal, Suite.X25519, recovery.public, b"N" * 16)
        head = verify_chain([genesis])
        device = SigningKey.from_seed(sha256(f"device {name}".encode())).public
        first = make_next(
            head,
            sign,
            sign=sign,
            seal_public=seal,
            seal_suite=Suite.X25519,
            devices={DEVICE_ID: device},
            reason="created",
        )
        pair = key_of(Suite.X25519, kept, f"connection {name}")
        found.append(Somebody(sign, recovery, [genesis, first], pair))
    return found[0], found[1]


def identities(kept: Kept) -> Vectors:
    made = Vectors("identity_chain", "12. The identity chain")
    ann, _ = people(kept)
    head = verify_chain(ann.chain)
    new = SigningKey.from_seed(b"n" * 32)
    facts: dict[str, Any] = {
        "sign": new,
        "seal_public": head.seal,
        "seal_suite": head.seal_suite,
        "devices": head.devices,
    }
    rotated = make_next(head, ann.sign, reason="rotation", **facts)
    thief = SigningKey.from_seed(b"t" * 32)
    fresh = derive_recovery(b"f" * 32, "").sign.public
    recovered = make_next(
        verify_chain([*ann.chain, rotated]),
        None,
        reason="compromise",
        recovery=ann.recovery,
        recovery_hash=sha256(fresh),
        **(facts | {"sign": SigningKey.from_seed(b"m" * 32)}),
    )
    made.good("genesis alone", "chain", chain=ann.json[:1])
    made.good("a device", "chain", chain=ann.json)
    made.good("a rotation", "chain", chain=[*ann.json, rotated.to_json_dict()])
    made.good("a recovery", "chain", chain=[*ann.json, rotated.to_json_dict(), recovered.to_json_dict()])
    bent = Signed(rotated.record, (thief.sign(labels.IDENTITY_BY_PREVIOUS, rotated.record), rotated.signatures[1]))
    unowned = Signed(rotated.record, (rotated.signatures[0], thief.sign(labels.IDENTITY_BY_NEW, rotated.record)))
    whole = [each.to_json_dict() for each in (*ann.chain, rotated)]
    for name, chain in {
        "signed by another key": [*ann.json, bent.to_json_dict()],
        "the new key did not sign": [*ann.json, unowned.to_json_dict()],
        "signatures exchanged": [
            *ann.json,
            Signed(rotated.record, rotated.signatures[::-1]).to_json_dict(),
        ],
        "one signature missing": [*ann.json, Signed(rotated.record, rotated.signatures[:1]).to_json_dict()],
        "a record left out": [whole[0], whole[2]],
        "a record twice": [*whole, whole[2]],
        "without a genesis": whole[1:],
        "a byte more": [*ann.json, Signed(rotated.record + b" ", rotated.signatures).to_json_dict()],
        "nothing": [],
    }.items():
        made.bad(name, "chain", chain=chain)
    return made


def invite(by: Somebody) -> Any:
    head = verify_chain(by.chain)
    return make_invitation(
        S,
        inv=INV,
        expires="2030-01-08T00:00:00+00:00",
        home=HOME,
        log_key=LOG.public,
        account=head.account,
        address="ann@example.org",
        head=head.head,
        public=by.connection.public,
        suite=by.connection.suite,
        gen=1,
        identity=by.sign,
    )


def accept(by: Somebody, record: bytes, secret: bytes | None = S) -> Any:
    head = verify_chain(by.chain)
    return make_acceptance(
        secret,
        invitation_record=record,
        inv=INV,
        account=head.account,
        address="bob@example.org",
        head=head.head,
        public=by.connection.public,
        suite=by.connection.suite,
        gen=1,
        identity=by.sign,
    )


def invitations(kept: Kept) -> Vectors:
    made = Vectors("invitations", "10. Invitations")
    ann, bob = people(kept)
    message = invite(ann)
    right: Asked = {
        "record": b64(message.record),
        "mac": b64(message.mac),
        "chain": ann.json,
        "S": b64(S),
        "now": "2030-01-01T00:00:00+00:00",
        "log_key": b64(LOG.public),
    }
    made.good("an invitation by its link", "invitation", **right)
    made.good("by mail", "invitation", **(right | {"S": None}))
    swapped = json.loads(message.record) | {"public": b64(bob.connection.public)}
    other = json.dumps(swapped, sort_keys=True, separators=(",", ":")).encode()
    for name, change in {
        "another secret": {"S": b64(OTHER)},
        "no MAC": {"mac": None},
        "a wrong MAC": {"mac": b64(flip(message.mac))},
        "another's chain": {"chain": bob.json},
        "the chain without the head": {"chain": ann.json[:1]},
        "another log key": {"log_key": b64(DEVICE.public)},
        "past its time": {"now": "2030-01-08T00:00:00+00:00"},
        "another key in the record": {"record": b64(other)},
        "another key in the record, by mail": {"record": b64(other), "S": None},
        "no record": {"record": b64(b"{}")},
    }.items():
        made.bad(name, "invitation", **(right | change))
    answer, by_mail = accept(bob, message.record), accept(bob, message.record, None)
    right = {
        "invitation": b64(message.record),
        "record": b64(answer.record),
        "mac": b64(answer.mac),
        "chain": bob.json,
        "S": b64(S),
    }
    made.good("an acceptance by the link", "acceptance", **right)
    made.good("by mail", "acceptance", **(right | {"record": b64(by_mail.record), "mac": None}))
    made.bad("acceptance: a wrong MAC", "acceptance", **(right | {"mac": b64(flip(answer.mac))}))
    made.bad("acceptance: the inviter's MAC", "acceptance", **(right | {"mac": b64(message.mac)}))
    made.bad("acceptance: another's chain", "acceptance", **(right | {"chain": ann.json}))
    own = accept(ann, message.record)
    made.bad(
        "acceptance: of one's own",
        "acceptance",
        **(right | {"record": b64(own.record), "mac": b64(own.mac), "chain": ann.json}),
    )
    mac = confirmation(S, message.record, answer.record)
    told = {"S": b64(S), "invitation": b64(message.record), "acceptance": b64(answer.record), "mac": b64(mac)}
    made.good("a confirmation", "confirmation", **told)
    made.bad("confirmation: the acceptor's MAC", "confirmation", **(told | {"mac": b64(answer.mac)}))
    made.bad("confirmation: another secret", "confirmation", **(told | {"S": b64(OTHER)}))
    ends = [
        {"account": verify_chain(each.chain).account, "head": b64(verify_chain(each.chain).head)} for each in (ann, bob)
    ]
    made.good("safety number", "safety-number", ends=ends)
    made.good("safety number from the other end", "safety-number", ends=ends[::-1])
    made.good("safety number with another head", "safety-number", ends=[ends[0], ends[1] | {"head": b64(bytes(32))}])
    return made


def shares(kept: Kept) -> Vectors:
    made = Vectors("shares", "9. Shares")
    ann, bob = people(kept)
    owner, recipient = verify_chain(ann.chain).account, verify_chain(bob.chain).account
    message = invite(ann)
    place: Asked = {
        "share": SHARE,
        "space": SPACE,
        "connection": connection_id(message.record, accept(bob, message.record).record),
        "item": ITEM,
        "version": 1,
        "owner": owner,
        "recipient": recipient,
        "recipient_key": "k" * 26,
        "suite": Suite.X25519,
        "recipient_public": bob.connection.public,
        "identity": ann.sign,
        "checkpoint": log.make_checkpoint(LOG, HOME, 0, merkle.EMPTY_ROOT),
    }
    plaintext = b'{"label": "Passport", "slots": {"number": "X123"}}'

    def sealed_once(n: int, prev: str | None) -> list[bytes]:
        def parts() -> bytes:
            it = seal_share(KEY, KEK, plaintext, n=n, prev=prev, **place)
            claim = rewrap_dek(OTHER, KEY, verify_share(it.manifest, it.signature, ann.sign.public))
            return frame(it.manifest, it.signature, it.content, it.owner_wrap, it.recipient_wrap, claim)

        def opens(framed: bytes) -> None:
            manifest, signature, *_ = unframed(framed)
            read = verify_share(manifest, signature, ann.sign.public)
            if (read.n, read.prev, read.checkpoint) != (n, prev, place["checkpoint"]):
                raise PrivityError("made for another place")

        return unframed(kept.blob(f"share {n}", parts, opens))

    manifest, signature, content, own, theirs, claim = sealed_once(1, None)
    second = sealed_once(2, digest(manifest))
    signed = {"manifest": b64(manifest), "signature": b64(signature), "sender": b64(ann.sign.public)}
    made.good("a manifest", "manifest", **signed)
    made.good(
        "the next in the line",
        "manifest",
        manifest=b64(second[0]),
        signature=b64(second[1]),
        sender=b64(ann.sign.public),
    )
    made.bad("another's signature", "manifest", **(signed | {"sender": b64(bob.sign.public)}))
    made.bad("a bit turned", "manifest", **(signed | {"manifest": b64(flip(manifest, 40))}))
    for name, change in {
        "no owner": {"owner": None},
        "a number of 0": {"n": 0},
        "a first one with one before it": {"prev": digest(b"x")},
        "a second one without": {"n": 2},
        "a version of 0": {"version": 0},
        "a suite that there is not": {"suite": "none"},
        "a field more": {"more": "x"},
    }.items():
        record = json.dumps(json.loads(manifest) | change, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        by_owner = ann.sign.sign(labels.SHARE_MANIFEST, record.encode())
        bent = {"manifest": b64(record.encode()), "signature": b64(by_owner), "sender": b64(ann.sign.public)}
        made.bad(f"rightly signed: {name}", "manifest", **bent)
    right = signed | {"content": b64(content), "wrap": b64(theirs), "private": b64(bob.connection.private)}
    made.good("opened by the recipient", "share", **right)
    kept_by = {name: value for name, value in right.items() if name != "private"}
    made.good("opened by the owner", "share", **(kept_by | {"kek": b64(KEK), "wrap": b64(own), "role": "owner"}))
    made.good("claimed", "share", **(kept_by | {"kek": b64(OTHER), "wrap": b64(claim), "role": "recipient"}))
    made.bad("another private key", "share", **(right | {"private": b64(ann.connection.private)}))
    made.bad("another wrap", "share", **(right | {"wrap": b64(second[4])}))
    made.bad("another content", "share", **(right | {"content": b64(second[2])}))
    made.bad("the owner's wrap", "share", **(right | {"wrap": b64(own)}))
    made.bad("the claim for the owner", "share", **(kept_by | {"kek": b64(OTHER), "wrap": b64(claim), "role": "owner"}))
    conditions(made, kept, place, ann, bob)
    return made


def conditions(made: Vectors, kept: Kept, place: Asked, ann: "Somebody", bob: "Somebody") -> None:
    """A next generation that has all conditions; the terms, and their acceptance."""
    asked = Conditions(
        expires=datetime(2027, 1, 1, tzinfo=UTC),
        terms=Terms("for your eyes only", b"T" * 32),
        reshare=1,
        keep=True,
        source="o" * 26,
    )

    def parts() -> bytes:
        it = seal_share(KEY, KEK, b"{}", n=1, prev=None, generation=2, conditions=asked, **place)
        return frame(it.manifest, it.signature, *it.parts)

    def opens(framed: bytes) -> None:
        manifest, signature, *_ = unframed(framed)
        read = verify_share(manifest, signature, ann.sign.public)
        if (read.checkpoint, read.terms_hash) != (place["checkpoint"], asked.terms and asked.terms.hash):
            raise PrivityError("made for another place")

    manifest, signature, *_, terms = unframed(kept.blob("share with conditions", parts, opens))
    signed = {"manifest": b64(manifest), "signature": b64(signature), "sender": b64(ann.sign.public)}
    made.good("with conditions", "manifest", **signed)
    for name, change in {
        "an end that is no UTC": {"expires": "2027-01-01T01:00:00+01:00"},
        "terms without their hash": {"terms_hash": None},
        "too many hands": {"reshare": 9},
        "a copy that is neither permitted nor not": {"keep": 2},
    }.items():
        record = json.dumps(json.loads(manifest) | change, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        by_owner = ann.sign.sign(labels.SHARE_MANIFEST, record.encode())
        bent = {"manifest": b64(record.encode()), "signature": b64(by_owner), "sender": b64(ann.sign.public)}
        made.bad(f"rightly signed: {name}", "manifest", **bent)
    right = signed | {"terms": b64(terms), "private": b64(bob.connection.private)}
    made.good("terms", "terms", **right)
    made.bad("terms with another key", "terms", **(right | {"private": b64(ann.connection.private)}))
    read = verify_share(manifest, signature, ann.sign.public)
    said = {name: getattr(read, name) for name in ("share", "connection", "owner", "recipient", "terms_hash")}
    by = {"public": b64(bob.sign.public), "signature": b64(accept_terms(bob.sign, read))}
    made.good("terms accepted", "accepted", **said, **by)
    made.bad("other terms accepted", "accepted", **(said | by | {"terms_hash": digest(b"other")}))
    made.bad("accepted by another", "accepted", **(said | by | {"public": b64(ann.sign.public)}))


def sharing_on(kept: Kept) -> Vectors:
    made = Vectors("sharing_on", "9. Shares, sharing on")
    ann, bob = people(kept)
    origin = Origin(verify_chain(ann.chain).account, ITEM, 1)
    given: Asked = {"owner": origin.owner, "item": ITEM, "version": 1, "public": b64(ann.sign.public)}
    for slot, value in (("number", b"X123"), (None, b"Passport")):

        def parts(slot: str | None = slot, value: bytes = value) -> bytes:
            it = sign_original(ann.sign, origin, slot, value)
            return frame(it.salt, it.signature)

        def opens(framed: bytes, slot: str | None = slot, value: bytes = value) -> None:
            salt, signature = unframed(framed)
            check_original([ann.sign.public], Original(salt, signature), origin, slot, value)

        name = "a value" if slot else "a label"
        salt, signature = unframed(kept.blob(f"original of {name}", parts, opens))
        right = given | {"slot": slot, "value": b64(value), "salt": b64(salt), "signature": b64(signature)}
        made.good(name, "original", **right)
        for other, change in {
            "another value": {"value": b64(b"X124")},
            "another version": {"version": 2},
            "another item": {"item": SPACE},
            "another slot": {"slot": "name"},
            "the label as a slot without a name, or a slot as the label": {"slot": None if slot else ""},
            "another salt": {"salt": b64(bytes(32))},
            "another owner's key": {"public": b64(bob.sign.public)},
        }.items():
            made.bad(f"{name}: {other}", "original", **(right | change))
    hands(made, origin, ann, bob)
    return made


def hands(made: Vectors, origin: Origin, ann: "Somebody", bob: "Somebody") -> None:
    """Ann's permission for Bob, and his for a third, by which the thing goes on."""
    first = Permission(
        origin=origin,
        share=SHARE,
        giver=origin.owner,
        taker=verify_chain(bob.chain).account,
        hops=2,
        keep=False,
        slots=("name", "number"),
        expires=datetime(2027, 1, 1, tzinfo=UTC),
        terms_hash=digest(b"terms"),
        prev=None,
    )
    second = replace(
        first, share=SPACE, giver=first.taker, taker=ACCOUNT, hops=1, slots=("number",), prev=digest(first.to_bytes())
    )
    keys = {first.giver: ann.sign, second.giver: bob.sign}
    public = {giver: b64(key.public) for giver, key in keys.items()}

    def signed(*permissions: Permission) -> Asked:
        by = [permit(keys[each.giver], each) for each in permissions]
        return {"public": public, "permissions": [{"record": b64(it), "signature": b64(one)} for it, one in by]}

    made.good("a permission", "permissions", **signed(first))
    made.good("over two hands", "permissions", **signed(first, second))
    for name, changed in {
        "more hands": replace(second, hops=2),
        "another slot": replace(second, slots=("visa",)),
        "the whole item": replace(second, slots=None),
        "for ever": replace(second, expires=None),
        "without the terms": replace(second, terms_hash=None),
        "copies": replace(second, keep=True),
        "another version": replace(second, origin=replace(origin, version=2)),
        "on another permission": replace(second, prev=digest(b"x")),
        "on none": replace(second, prev=None),
    }.items():
        made.bad(f"beyond what was permitted: {name}", "permissions", **signed(first, changed))
    made.bad("begun by another than the owner", "permissions", **signed(second))
    others = signed(first, second)
    made.bad("by other keys", "permissions", **(others | {"public": dict.fromkeys(public, b64(bob.sign.public))}))


def unframed(data: bytes) -> list[bytes]:
    return [unb64(part) for part in QUESTIONS["unframe"]({"data": b64(data), "max_parts": 9, "max_bytes": 10**6})]  # type: ignore[attr-defined]


def item_vectors(kept: Kept) -> Vectors:
    made = Vectors("items", "8. Items and notes")
    plaintext = '{"label": "Passport", "slots": {"number": "é"}}'.encode()
    place = {"account": ACCOUNT, "item": ITEM, "version": 1}
    framed = kept.blob(
        "item",
        lambda: frame(*items.seal_item(KEK, KEY, plaintext, **place)),  # type: ignore[arg-type]
        lambda made: items.open_item(KEK, *unframed(made), **place),  # type: ignore[arg-type]
    )
    content, wrap = unframed(framed)
    right: Asked = {"kek": b64(KEK), "content": b64(content), "wrap": b64(wrap), **place}
    made.good("an item", "item", **right)
    for name, change in {
        "another account": {"account": b32(sha256(b"x"))},
        "another item": {"item": "x" * 26},
        "another version": {"version": 2},
        "another KEK": {"kek": b64(OTHER)},
        "content and wrap exchanged": {"content": b64(wrap), "wrap": b64(content)},
    }.items():
        made.bad(name, "item", **(right | change))
    return made


def segments(kept: Kept) -> Vectors:
    made = Vectors("segments", "5. Sealing under a key")
    context = ["file", "1", "0"]
    data, short, chunk = bytes(range(256)) * 65, b"", 56 + 16 * 1024 + 16
    parts = [part.encode() for part in context]
    for name, plain in {"a text": b"hello", "nothing": b"", "more than a chunk": data}.items():
        blob = kept.blob(
            f"segment {name}",
            lambda plain=plain: files.encrypt_segment(KEY, plain, *parts),
            lambda made: files.decrypt_segment(KEY, made, *parts),
        )
        short = min(blob, short, key=lambda each: len(each) or chunk)
        made.good(name, "segment", key=b64(KEY), sealed=b64(blob), context=context)
    right = {"key": b64(KEY), "sealed": b64(short), "context": context}
    for name, change in {
        "another key": {"key": b64(OTHER)},
        "another index": {"context": ["file", "1", "1"]},
        "cut at a chunk": {"sealed": b64(blob[:chunk])},
        "a bit turned": {"sealed": b64(flip(short, 58))},
        "chunks exchanged": {"sealed": b64(blob[:56] + blob[chunk:] + blob[56:chunk])},
        "nothing at all": {"sealed": ""},
    }.items():
        made.bad(name, "segment", **(right | change))
    return made


def the_log(kept: Kept) -> Vectors:
    made = Vectors("log", "13. The log")
    entries = [log.entry(n, f"item-{n}", 1, "item-added.v1", b'{"n":%d}' % n) for n in range(1, 8)]
    leaves = [merkle.leaf_hash(each) for each in entries]
    made.good(
        "an entry",
        "log-entry",
        position=1,
        stream="item-1",
        version=1,
        name="item-added.v1",
        data='{"n":1}',
    )
    nodes: dict[tuple[int, int], bytes] = {}
    grown, roots = merkle.Frontier(), [merkle.EMPTY_ROOT]
    for leaf in leaves:
        nodes.update(grown.append(leaf))
        roots.append(grown.root())
    look = lambda level, index: nodes[level, index]  # noqa: E731
    for size in range(8):
        made.good(f"root of {size}", "log-root", leaves=[b64(leaf) for leaf in leaves[:size]])
    for index, size in ((0, 1), (0, 7), (3, 7), (6, 7), (5, 6)):
        proof = [b64(each) for each in merkle.inclusion_proof(index, size, look)]
        right = {"leaf": b64(leaves[index]), "index": index, "size": size, "proof": proof, "root": b64(roots[size])}
        made.good(f"leaf {index} of {size}", "inclusion", **right)
        made.bad(f"leaf {index} of {size}: another leaf", "inclusion", **(right | {"leaf": b64(bytes(32))}))
        made.bad(f"leaf {index} of {size}: another index", "inclusion", **(right | {"index": index + 1}))
        made.bad(f"leaf {index} of {size}: a hash more", "inclusion", **(right | {"proof": [*proof, b64(bytes(32))]}))
    for old, new in ((1, 7), (4, 7), (6, 7), (7, 7), (3, 4)):
        proof = [b64(each) for each in merkle.consistency_proof(old, new, look)]
        right = {
            "old_size": old,
            "old_root": b64(roots[old]),
            "new_size": new,
            "new_root": b64(roots[new]),
            "proof": proof,
        }
        made.good(f"{old} and {new} are one history", "consistency", **right)
        made.bad(f"{old} and {new}: another root", "consistency", **(right | {"old_root": b64(bytes(32))}))
        made.bad(f"{old} and {new}: the proof cut", "consistency", **(right | {"proof": [*proof, ""][:-2] or [""]}))
    note = log.make_checkpoint(LOG, HOME, 7, roots[7])
    right = {"note": note, "log_key": b64(LOG.public), "home": HOME}
    made.good("a checkpoint", "checkpoint", **right)
    made.good(
        "of an empty log", "checkpoint", **(right | {"note": log.make_checkpoint(LOG, HOME, 0, merkle.EMPTY_ROOT)})
    )
    seen = log.cosign(note, "witness", WITNESS, datetime(2026, 1, 2, tzinfo=UTC))
    made.good("with a co-signature", "checkpoint", **(right | {"note": seen}))
    for name, change in {
        "another log's": {"log_key": b64(WITNESS.public)},
        "another home's": {"home": "h" * 26},
        "another size": {"note": note.replace("\n7\n", "\n8\n")},
        "a size with a zero before it": {"note": note.replace("\n7\n", "\n07\n")},
        "without its last line's end": {"note": note[:-1]},
        "without a signature": {"note": note.partition("—")[0]},
        "too long": {"note": note + "— x AAAA\n" * 1000},
        "nothing": {"note": ""},
    }.items():
        made.bad(f"checkpoint: {name}", "checkpoint", **(right | change))
    by: Asked = {"note": seen, "name": "witness", "public": b64(WITNESS.public)}
    made.good("a witness", "cosignature", **by)
    made.bad("a witness: another name", "cosignature", **(by | {"name": "other"}))
    made.bad("a witness: another key", "cosignature", **(by | {"public": b64(LOG.public)}))
    made.bad("a witness: of another note", "cosignature", **(by | {"note": seen.replace("\n7\n", "\n8\n")}))
    return made


def the_feed(kept: Kept) -> Vectors:
    made = Vectors("feed", "4. Results")
    line: Asked = {
        "account": ACCOUNT,
        "seq": 1,
        "previous": "",
        "position": 3,
        "event": "item-added",
        "at_text": "2026-01-02T03:04:05.000006+00:00",
        "actor": ACCOUNT,
        "refs": {"version": "1", "item": ITEM},
    }
    made.good("the first line", "feed-link", **line)
    first = QUESTIONS["feed-link"](line)
    made.good("the next", "feed-link", **(line | {"seq": 2, "previous": first, "position": 4}))
    made.good("without refs", "feed-link", **(line | {"refs": {}}))
    made.good("with a letter beyond ASCII", "feed-link", **(line | {"refs": {"item": "é"}}))
    return made


MAKERS: tuple[Callable[[Kept], Vectors], ...] = (
    encodings,
    frames,
    signatures,
    sealed,
    sealed_to,
    passphrases,
    item_vectors,
    segments,
    shares,
    sharing_on,
    links,
    invitations,
    identities,
    the_log,
    the_feed,
)
KEPT = "kept.json"


def all_files(kept: Kept) -> Iterator[tuple[str, str]]:
    """Every file's name and text."""
    from tests.vectors import context_makers  # which is made of what stands above

    for make in (*MAKERS, *context_makers.MAKERS):
        made = make(kept)
        yield f"{made.name}.json", made.text()
    yield KEPT, kept.text()


def main(folder: Path = FOLDER) -> int:
    """Write every file."""
    for name, text in list(all_files(Kept(FOLDER / KEPT))):
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
