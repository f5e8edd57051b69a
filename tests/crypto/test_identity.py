"""An identity chain is followed from its genesis, each record signed as it must be, or not at all."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privity.crypto import labels
from privity.crypto.identity import (
    COMPROMISE,
    MAX_DEVICES,
    MAX_RECORDS,
    Identity,
    Signed,
    account_id,
    extend,
    make_genesis,
    make_next,
    signers,
    verify_chain,
    walk,
)
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import b32, b64, lp, new_id, sha256
from privity.errors import ForgedRecord, Malformed
from tests.crypto.examples import LAPTOP, PHONE, Person, flip, next_record, person

SEAL = generate_keypair(Suite.X25519)
THIEF = SigningKey.from_seed(b"T" * 32)


def forge(
    signed: Signed, first: SigningKey, second: SigningKey, *, recovery: bool = False, **changes: object
) -> Signed:
    """The record with other facts (None removes one), signed again by whom the test says."""
    facts = json.loads(signed.record) | changes
    data = encode_record({name: value for name, value in facts.items() if value is not ...})
    label = labels.IDENTITY_BY_RECOVERY if recovery else labels.IDENTITY_BY_PREVIOUS
    return Signed(data, (first.sign(label, data), second.sign(labels.IDENTITY_BY_NEW, data)))


def test_the_account_id_is_the_hash_of_the_genesis():
    ann = person("ann")
    expected = b32(sha256(lp(b"privity/v1/account", ann.chain[0].record)))
    assert ann.identity.account == account_id(ann.chain[0].record) == expected
    assert len(expected) == 52


def test_a_genesis_is_an_identity_without_devices():
    ann = person("ann")
    first = verify_chain(ann.chain[:1])
    assert (first.n, first.devices, first.sign) == (0, {}, ann.sign.public)
    assert first.recovery_hash == sha256(ann.recovery.public)
    assert first.head == sha256(ann.chain[0].record)


def test_keys_rotate_and_the_account_stays():
    ann = person("ann")
    account = ann.identity.account
    new_seal = generate_keypair()
    ann.rotate(seal_public=new_seal.public, seal_suite=new_seal.suite, checkpoint="log\n5\nroot")
    now = ann.identity
    assert (now.account, now.n, now.sign) == (account, 2, ann.sign.public)
    assert (now.seal, now.seal_suite) == (new_seal.public, Suite.X_WING)


def test_walking_gives_every_identity_on_the_way():
    ann = person("ann")
    ann.rotate()
    assert [identity.n for identity in walk(ann.chain)] == [0, 1, 2]


def test_a_chain_can_be_followed_record_by_record():
    ann = person("ann")
    first, second = ann.chain
    assert extend(verify_chain([first]), second) == ann.identity


def test_devices_are_certified_by_the_newest_record():
    ann = person("ann")
    phone = SigningKey.generate().public
    ann.rotate(devices={PHONE: phone})
    assert ann.identity.devices == {PHONE: phone}


def test_the_old_key_cannot_extend_a_rotated_chain():
    ann = person("ann")
    old = ann.rotate()
    with pytest.raises(ForgedRecord):
        next_record(ann.identity, old)


def test_a_signed_record_comes_back_from_json():
    for signed in person("ann").chain:
        assert Signed.from_json_dict(json.loads(json.dumps(signed.to_json_dict()))) == signed


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"record": "aa"},
        {"record": "aa", "signatures": []},
        {"record": "aa", "signatures": ["aa"]},
        {"record": "aa", "signatures": [b64(bytes(64))] * 3},
        {"record": "aa", "signatures": [5]},
        {"record": "a!", "signatures": [b64(bytes(64))]},
        {"record": 5, "signatures": [b64(bytes(64))]},
        {"record": "aa", "signatures": [b64(bytes(64))], "more": 1},
    ],
)
def test_other_json_is_malformed(data):
    with pytest.raises(Malformed):
        Signed.from_json_dict(data)


# recovery


def test_recovery_outbids_a_thief():
    ann = person("ann")
    ann.chain.append(next_record(ann.identity, ann.sign, sign=THIEF, reason="rotation"))
    saved, fresh = SigningKey.generate(), SigningKey.generate()
    ann.chain.append(
        next_record(
            ann.identity,
            None,
            sign=saved,
            reason="compromise",
            recovery=ann.recovery,
            recovery_hash=sha256(fresh.public),
        )
    )
    assert ann.identity.sign == saved.public
    assert ann.identity.recovery_hash == sha256(fresh.public)
    with pytest.raises(ForgedRecord):
        next_record(ann.identity, None, sign=THIEF, recovery=ann.recovery)


def test_recovery_may_keep_the_recovery_key():
    ann = person("ann")
    ann.chain.append(next_record(ann.identity, None, sign=ann.sign, recovery=ann.recovery))
    assert ann.identity.recovery_hash == sha256(ann.recovery.public)


def test_a_sign_key_alone_cannot_change_the_recovery_key():
    ann = person("ann")
    with pytest.raises(ForgedRecord, match="only the recovery key"):
        next_record(ann.identity, ann.sign, recovery_hash=sha256(THIEF.public))


def test_a_thief_cannot_reveal_another_recovery_key():
    ann = person("ann")
    with pytest.raises(ForgedRecord, match="another recovery key"):
        next_record(ann.identity, ann.sign, recovery=THIEF)


def test_a_record_that_reveals_the_recovery_key_is_signed_by_it():
    ann = person("ann")
    forged = forge(ann.chain[1], ann.sign, ann.sign, recovery_public=b64(ann.recovery.public))
    with pytest.raises(ForgedRecord):
        extend(verify_chain(ann.chain[:1]), forged)


def test_a_recovery_signature_counts_only_where_the_key_is_revealed():
    ann = person("ann")
    with pytest.raises(ForgedRecord):
        extend(verify_chain(ann.chain[:1]), forge(ann.chain[1], ann.recovery, ann.sign, recovery=True))


def test_a_record_needs_a_signer():
    ann = person("ann")
    with pytest.raises(Malformed):
        next_record(ann.identity, None, sign=ann.sign)


# whose signatures count


def test_every_sign_key_counts_while_nobody_calls_one_stolen():
    ann = person("ann")
    first = ann.sign.public
    ann.rotate()
    assert signers(list(walk(ann.chain))) == [(ann.sign.public, ()), (first, ())]


def test_a_compromise_bounds_the_keys_before_it_by_its_checkpoint_and_no_other():
    ann = person("ann")
    first = ann.sign.public
    ann.rotate(COMPROMISE, checkpoint="log\n5\nroot")
    second = ann.sign.public
    ann.rotate()
    third = ann.sign.public
    ann.rotate(COMPROMISE)
    assert signers(list(walk(ann.chain))) == [
        (ann.sign.public, ()),
        (third, (None,)),
        (second, (None,)),
        (first, (None, "log\n5\nroot")),
    ]


def test_a_compromise_that_keeps_the_key_does_not_bound_it():
    """So recovery says it: the record that brings the new keys, then one that gives up those before."""
    ann = person("ann")
    first = ann.sign.public
    ann.rotate(recovery=ann.recovery)
    ann.chain.append(
        next_record(ann.identity, None, sign=ann.sign, recovery=ann.recovery, reason=COMPROMISE, checkpoint="log")
    )
    assert signers(list(walk(ann.chain))) == [(ann.sign.public, ()), (first, ("log",))]
    assert (ann.identity.reason, ann.identity.checkpoint) == (COMPROMISE, "log")


def test_recovery_takes_back_what_a_thief_called_stolen():
    """The thief's record names no checkpoint: nothing that the owner ever signed would count, for ever."""
    ann = person("ann")
    owners = ann.sign.public
    thiefs = (ann.rotate(COMPROMISE), ann.sign.public)[1]
    assert signers(list(walk(ann.chain))) == [(thiefs, ()), (owners, (None,))]
    ann.rotate(recovery=ann.recovery)
    assert signers(list(walk(ann.chain))) == [(ann.sign.public, ()), (thiefs, ()), (owners, ())]
    ann.chain.append(
        next_record(ann.identity, None, sign=ann.sign, recovery=ann.recovery, reason=COMPROMISE, checkpoint="log")
    )
    assert signers(list(walk(ann.chain))) == [(ann.sign.public, ()), (thiefs, ("log",)), (owners, ("log",))]


def test_what_the_recovery_key_called_stolen_stays_so():
    ann = person("ann")
    first = ann.sign.public
    ann.rotate(COMPROMISE, recovery=ann.recovery, checkpoint="log")
    second = ann.sign.public
    ann.rotate(recovery=ann.recovery)
    third = ann.sign.public
    ann.rotate(COMPROMISE, checkpoint="later")
    assert signers(list(walk(ann.chain))) == [
        (ann.sign.public, ()),
        (third, ("later",)),
        (second, ("later",)),
        (first, ("later", "log")),
    ]


# forgeries


@pytest.fixture
def ann() -> Person:
    ann = person("ann")
    ann.rotate()
    return ann


def test_the_error_names_the_record(ann):
    ann.chain[2] = replace(ann.chain[2], signatures=(bytes(64), bytes(64)))
    with pytest.raises(ForgedRecord, match="record 2"):
        verify_chain(ann.chain)
    ann.chain[0] = replace(ann.chain[0], signatures=(bytes(64),))
    with pytest.raises(ForgedRecord, match="record 0"):
        verify_chain(ann.chain)


CHAINS = {
    "empty": lambda chain: [],
    "without its genesis": lambda chain: chain[1:],
    "a record left out": lambda chain: [chain[0], chain[2]],
    "a record twice": lambda chain: [*chain, chain[2]],
    "another order": lambda chain: [chain[0], chain[2], chain[1]],
    "two geneses": lambda chain: [chain[0], chain[0]],
    "another person's record": lambda chain: [chain[0], person("bob").chain[1]],
    "another person's genesis": lambda chain: [person("bob").chain[0], *chain[1:]],
    "too long": lambda chain: chain * (MAX_RECORDS // 3 + 1),
}


@pytest.mark.parametrize("bend", CHAINS.values(), ids=CHAINS)
def test_a_chain_that_is_not_the_line_is_forged(ann, bend):
    with pytest.raises(ForgedRecord):
        verify_chain(bend(ann.chain))


SIGNATURES = {
    "none": lambda signed: (),
    "one": lambda signed: signed[:1],
    "swapped": lambda signed: signed[::-1],
    "three": lambda signed: (*signed, signed[0]),
    "the same twice": lambda signed: (signed[0], signed[0]),
}


@pytest.mark.parametrize("bend", SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize("n", [0, 1, 2])
def test_other_signatures_are_forged(ann, n, bend):
    bent = bend(ann.chain[n].signatures)
    if bent == ann.chain[n].signatures:
        return
    ann.chain[n] = replace(ann.chain[n], signatures=bent)
    with pytest.raises(ForgedRecord):
        verify_chain(ann.chain)


def test_the_new_key_has_to_sign_too():
    """Else somebody could put another's key into their own chain."""
    ann, bob = person("ann"), person("bob")
    forged = forge(ann.chain[1], ann.sign, ann.sign, sign=b64(bob.sign.public))
    with pytest.raises(ForgedRecord):
        extend(verify_chain(ann.chain[:1]), forged)


FACTS: dict[str, object] = {
    "v": 2,
    "account": person("bob").identity.account,
    "n": 2,
    "prev": b64(bytes(32)),
    "sign": b64(bytes(32)),
    "seal": b64(bytes(31)),
    "seal_suite": "ROT13",
    "recovery": b64(bytes(31)),
    "devices": {LAPTOP: b64(bytes(32))},
    "reason": "",
    "checkpoint": 5,
    "unknown": 1,
}


@pytest.mark.parametrize("name", FACTS)
def test_a_wrong_fact_is_refused_even_if_rightly_signed(name):
    ann = person("ann")
    before = verify_chain(ann.chain[:1])
    extend(before, forge(ann.chain[1], ann.sign, ann.sign))
    with pytest.raises(ForgedRecord, match="record 1"):
        extend(before, forge(ann.chain[1], ann.sign, ann.sign, **{name: FACTS[name]}))


@pytest.mark.parametrize("name", [name for name in FACTS if name != "unknown"])
def test_a_missing_fact_is_refused_even_if_rightly_signed(name):
    ann = person("ann")
    with pytest.raises(ForgedRecord, match="record 1"):
        extend(verify_chain(ann.chain[:1]), forge(ann.chain[1], ann.sign, ann.sign, **{name: ...}))


@pytest.mark.parametrize("name", ["", "x", "a" * 25, "a" * 27, "A" * 26, "a" * 25 + "1", "a" * 26 + "\n", "A-b_9"])
def test_a_device_id_is_one_that_events_can_carry(name):
    """Any other one would be recorded, and stop whoever reads it."""
    ann = person("ann")
    with pytest.raises(ForgedRecord):
        next_record(ann.identity, ann.sign, devices={name: THIEF.public})


def test_there_are_16_devices_at_most():
    ann = person("ann")
    devices = {new_id(): THIEF.public for _ in range(MAX_DEVICES + 1)}
    assert len(devices) == 17
    with pytest.raises(ForgedRecord):
        next_record(ann.identity, ann.sign, devices=devices)
    devices.popitem()
    next_record(ann.identity, ann.sign, devices=devices)


def test_there_are_1000_records_at_most():
    ann = person("ann")
    last = replace(ann.identity, n=MAX_RECORDS - 1)
    with pytest.raises(ForgedRecord):
        next_record(last, ann.sign)


def test_a_record_has_16_kib_at_most():
    ann = person("ann")
    with pytest.raises(Malformed):
        next_record(ann.identity, ann.sign, reason="x" * 16384)


@pytest.mark.parametrize("n", [0, 1])
def test_no_byte_of_a_record_can_be_bent(n):
    ann = person("ann")
    for position in range(0, len(ann.chain[n].record), 3):
        chain = list(ann.chain)
        chain[n] = replace(chain[n], record=flip(chain[n].record, position * 8))
        with pytest.raises(ForgedRecord):
            verify_chain(chain)


@settings(max_examples=50)
@given(st.binary(max_size=200), st.lists(st.binary(max_size=64), max_size=3))
def test_foreign_bytes_are_forged_and_nothing_else(record, signatures):
    signed = Signed(record, tuple(signatures))
    with pytest.raises(ForgedRecord):
        verify_chain([signed])
    with pytest.raises(ForgedRecord):
        extend(person("ann").identity, signed)


def test_a_genesis_needs_sound_parts():
    for seal, recovery, nonce in (
        (b"short", THIEF.public, b"N" * 16),
        (SEAL.public, bytes(32), b"N" * 16),
        (SEAL.public, THIEF.public, b"N" * 15),
    ):
        with pytest.raises(Malformed):
            make_genesis(THIEF, seal, SEAL.suite, recovery, nonce)


@given(st.lists(st.booleans(), max_size=4))
def test_any_line_of_rotations_and_recoveries_verifies(turns):
    ann = person("ann")
    account = ann.identity.account
    for by_recovery in turns:
        if by_recovery:
            fresh = SigningKey.generate()
            ann.rotate(recovery=ann.recovery, recovery_hash=sha256(fresh.public))
            ann.recovery = fresh
        else:
            ann.rotate()
    identity: Identity = ann.identity
    assert (identity.account, identity.n) == (account, len(turns) + 1)


def test_devices_may_be_given_as_text():
    ann = person("ann")
    signed = make_next(
        ann.identity,
        ann.sign,
        sign=ann.sign,
        seal_public=SEAL.public,
        seal_suite=SEAL.suite,
        devices={PHONE: b64(THIEF.public)},
        reason="device",
    )
    assert extend(ann.identity, signed).devices == {PHONE: THIEF.public}
