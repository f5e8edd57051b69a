"""The identity chain: a person's account id is the hash of its genesis, and their keys rotate under it.

G = {sign, seal, H(recovery), nonce}, signed by its sign key; R_n = {account, n, prev, new keys, devices,
reason, ...}, signed by the sign key of R_{n-1} or by the recovery key (then revealed), and by its own.
Only a recovery-signed record may change the recovery hash: who steals a sign key cannot lock the owner out.
A chain is checked as a line; that two records claim one place is for the reader who pinned a head to notice.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from privity.crypto import labels
from privity.crypto.kem import Suite, check_public
from privity.crypto.record import HASH_BYTES, decode_record, encode_record
from privity.crypto.signing import PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, verify
from privity.crypto.signing import check_public as check_sign_public
from privity.encoding import b32, b64, lp, sha256, unb64
from privity.errors import ForgedRecord, Malformed

MAX_RECORDS: Final = 1000
MAX_DEVICES: Final = 16
MAX_CHECKPOINT: Final = 4096
NONCE_BYTES: Final = 16
COMPROMISE: Final = "compromise"
"""The reason of a record that takes from the older sign keys what they sign from its checkpoint on."""

_DEVICE_ID: Final = re.compile(r"[a-z2-7]{26}")
_GENESIS_KEYS: Final = frozenset({"v", "sign", "seal", "seal_suite", "recovery", "nonce"})
_NEXT_KEYS: Final = frozenset(
    {"v", "account", "n", "prev", "sign", "seal", "seal_suite", "recovery", "devices", "reason", "checkpoint"}
)
_REVEALED: Final = frozenset({"recovery_public"})


@dataclass(frozen=True, slots=True)
class Signed:
    """The exact bytes of an identity record with its one (genesis) or two signatures."""

    record: bytes
    signatures: tuple[bytes, ...]

    def to_json_dict(self) -> dict[str, object]:
        """{"record": base64url, "signatures": [base64url]}"""
        return {"record": b64(self.record), "signatures": [b64(signature) for signature in self.signatures]}

    @classmethod
    def from_json_dict(cls, data: Mapping[str, object]) -> Self:
        """The inverse of `to_json_dict`.

        Raises:
            Malformed: other fields, types or sizes.
        """
        match data:
            case {"record": str(text), "signatures": list(texts)} if len(data) == 2 and len(texts) in (1, 2):
                signatures = tuple(unb64(each) for each in texts if isinstance(each, str))
                if len(signatures) == len(texts) and all(len(each) == SIGNATURE_BYTES for each in signatures):
                    return cls(unb64(text), signatures)
        raise Malformed("not a signed record")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a chain says at one of its records: who this is, with which keys to sign and be sealed to."""

    account: str
    n: int
    head: bytes
    """SHA-256 of the newest record."""
    sign: bytes
    seal: bytes
    seal_suite: Suite
    recovery_hash: bytes
    devices: dict[str, bytes]
    reason: str = "created"
    """Why its newest record was made; after `compromise` what older sign keys signed counts only up to `checkpoint`."""
    checkpoint: str | None = None
    """The newest checkpoint of the log that the person had seen, as the record has it."""
    by_recovery: bool = False
    """Whether the recovery key signed its newest record."""


def account_id(genesis_record: bytes) -> str:
    """The account id, 52 letters of base32, that a genesis fixes."""
    return b32(sha256(lp(labels.ACCOUNT, genesis_record)))


def make_genesis(
    sign: SigningKey, seal_public: bytes, seal_suite: Suite, recovery_public: bytes, nonce: bytes
) -> Signed:
    """Record 0, signed by its own sign key. The nonce is 16 or more random bytes.

    Raises:
        Malformed: a key or the nonce is none.
    """
    check_public(seal_suite, seal_public)
    check_sign_public(recovery_public)
    if len(nonce) < NONCE_BYTES:
        raise Malformed("a nonce has 16 bytes or more")
    data = encode_record(
        {
            "v": 1,
            "sign": b64(sign.public),
            "seal": b64(seal_public),
            "seal_suite": str(seal_suite),
            "recovery": b64(sha256(recovery_public)),
            "nonce": b64(nonce),
        }
    )
    return Signed(data, (sign.sign(labels.GENESIS, data),))


def make_next(
    head: Identity,
    signer: SigningKey | None,
    *,
    sign: SigningKey,
    seal_public: bytes,
    seal_suite: Suite,
    devices: Mapping[str, bytes | str],
    reason: str,
    recovery_hash: bytes | None = None,
    checkpoint: str | None = None,
    recovery: SigningKey | None = None,
) -> Signed:
    """The record that follows `head`, verified before it is returned.

    Args:
        signer: the sign key of `head`; not used, and may be None, where `recovery` signs.
        devices: the certified public key of every device from now on, as bytes or base64url.
        reason: why, as a short word; "compromise" has a meaning for what the old key signed.
        recovery_hash: SHA-256 of a new recovery public key; only together with `recovery`.
        checkpoint: the newest checkpoint of the log that the person has seen.
        recovery: the recovery key, in place of `signer`.

    Raises:
        ForgedRecord: the signer is not the one of `head`, or a rule of the chain is broken.
        Malformed: a key or a text is none.
    """
    facts: dict[str, object] = {
        "v": 1,
        "account": head.account,
        "n": head.n + 1,
        "prev": b64(head.head),
        "sign": b64(sign.public),
        "seal": b64(seal_public),
        "seal_suite": str(seal_suite),
        "recovery": b64(head.recovery_hash if recovery_hash is None else recovery_hash),
        "devices": {name: key if isinstance(key, str) else b64(key) for name, key in devices.items()},
        "reason": reason,
        "checkpoint": checkpoint,
    }
    if recovery is not None:
        facts["recovery_public"] = b64(recovery.public)
    data = encode_record(facts)
    if recovery is not None:
        first = recovery.sign(labels.IDENTITY_BY_RECOVERY, data)
    elif signer is not None:
        first = signer.sign(labels.IDENTITY_BY_PREVIOUS, data)
    else:
        raise Malformed("an identity record needs a signer")
    signed = Signed(data, (first, sign.sign(labels.IDENTITY_BY_NEW, data)))
    extend(head, signed)
    return signed


def by_recovery(signed: Signed) -> bool:
    """Whether a record says that the recovery key signs it, which `extend` verifies.

    Raises:
        Malformed: it cannot be read.
    """
    return bool(_REVEALED & decode_record(signed.record, _NEXT_KEYS, _REVEALED).values.keys())


def walk(chain: Sequence[Signed]) -> Iterator[Identity]:
    """The identity at each record in turn, each checked before it is given.

    Raises:
        ForgedRecord: a record does not verify or does not follow; the message names its number.
    """
    if not 0 < len(chain) <= MAX_RECORDS:
        raise ForgedRecord("an identity chain has 1 to 1000 records")
    try:
        identity = _open_genesis(chain[0])
    except (ForgedRecord, Malformed) as error:
        raise ForgedRecord(f"Identity record 0 does not verify: {error.message}") from error
    yield identity
    for signed in chain[1:]:
        identity = extend(identity, signed)
        yield identity


def verify_chain(chain: Sequence[Signed]) -> Identity:
    """The newest identity of a whole chain, from its genesis on.

    Raises:
        ForgedRecord: as `walk`.
    """
    *_, newest = walk(chain)
    return newest


def signers(line: Sequence[Identity]) -> list[tuple[bytes, tuple[str | None, ...]]]:
    """The sign keys of a line, newest first, each with the checkpoints before which alone its signatures count.

    Those are the checkpoints of the records behind it that say `compromise`: none for a key that nobody called
    stolen; None among them where such a record names no checkpoint, so that nothing of that key counts. What a sign key
    says so holds until the recovery key signs a record: a thief may have said it of the owner's keys.
    """
    found: dict[bytes, tuple[str | None, ...]] = {}
    bounds: tuple[str | None, ...] = ()
    recovered = False
    for identity in reversed(line):
        found.setdefault(identity.sign, bounds)
        if identity.reason == COMPROMISE and (identity.by_recovery or not recovered):
            bounds += (identity.checkpoint,)
        recovered = recovered or identity.by_recovery
    return list(found.items())


def extend(identity: Identity, signed: Signed) -> Identity:
    """The identity after one more record.

    Raises:
        ForgedRecord: the record does not verify or does not follow; the message names its number.
    """
    try:
        return _follow(identity, signed)
    except (ForgedRecord, Malformed) as error:
        raise ForgedRecord(f"Identity record {identity.n + 1} does not verify: {error.message}") from error


def _open_genesis(signed: Signed) -> Identity:
    facts = decode_record(signed.record, _GENESIS_KEYS)
    if len(facts.raw("nonce")) < NONCE_BYTES:
        raise Malformed("a nonce has 16 bytes or more")
    identity = Identity(
        account=account_id(signed.record),
        n=0,
        head=sha256(signed.record),
        sign=facts.raw("sign", PUBLIC_BYTES),
        seal=facts.raw("seal"),
        seal_suite=facts.suite("seal_suite"),
        recovery_hash=facts.raw("recovery", HASH_BYTES),
        devices={},
    )
    check_public(identity.seal_suite, identity.seal)
    if len(signed.signatures) != 1:
        raise ForgedRecord("a genesis has one signature")
    verify(identity.sign, signed.signatures[0], labels.GENESIS, signed.record)
    return identity


def _follow(before: Identity, signed: Signed) -> Identity:
    facts = decode_record(signed.record, _NEXT_KEYS, _REVEALED)
    reason = facts.text("reason")
    checkpoint = None if facts.values["checkpoint"] is None else facts.text("checkpoint", MAX_CHECKPOINT)
    after = Identity(
        account=facts.text("account"),
        n=facts.number("n"),
        head=sha256(signed.record),
        sign=facts.raw("sign", PUBLIC_BYTES),
        seal=facts.raw("seal"),
        seal_suite=facts.suite("seal_suite"),
        recovery_hash=facts.raw("recovery", HASH_BYTES),
        devices=facts.raw_map("devices", PUBLIC_BYTES, MAX_DEVICES),
        reason=reason,
        checkpoint=checkpoint,
        by_recovery="recovery_public" in facts.values,
    )
    recovery = facts.raw("recovery_public", PUBLIC_BYTES) if after.by_recovery else None
    if after.account != before.account or after.n != before.n + 1 or after.n >= MAX_RECORDS:
        raise ForgedRecord("it has another account or number")
    if facts.raw("prev", HASH_BYTES) != before.head:
        raise ForgedRecord("it follows another record")
    _check_keys(after)
    _check_signatures(before, after, recovery, signed)
    return after


def _check_keys(identity: Identity) -> None:
    check_public(identity.seal_suite, identity.seal)
    for name, key in identity.devices.items():
        if not _DEVICE_ID.fullmatch(name):
            raise Malformed("a device id has 26 letters and digits of base32")
        check_sign_public(key)


def _check_signatures(before: Identity, after: Identity, recovery: bytes | None, signed: Signed) -> None:
    if len(signed.signatures) != 2:
        raise ForgedRecord("it has two signatures")
    first, second = signed.signatures
    if recovery is not None:
        if sha256(recovery) != before.recovery_hash:
            raise ForgedRecord("it reveals another recovery key")
        verify(recovery, first, labels.IDENTITY_BY_RECOVERY, signed.record)
    else:
        if after.recovery_hash != before.recovery_hash:
            raise ForgedRecord("only the recovery key changes the recovery key")
        verify(before.sign, first, labels.IDENTITY_BY_PREVIOUS, signed.record)
    verify(after.sign, second, labels.IDENTITY_BY_NEW, signed.record)
