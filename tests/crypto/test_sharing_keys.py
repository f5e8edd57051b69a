"""Records, private parts, aliases and sealed files of sharing keys: each opens and verifies in its own place alone."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from privity.crypto import keyfiles, labels, sharing_keys
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.record import encode_record
from privity.crypto.sharing_keys import Alias, KeyRecord, PartPlace, PrivatePart
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest
from privity.errors import DoesNotOpen, ForgedRecord, KeyMismatch, Malformed
from tests.examples import long_id, sealed

ANN, BOB, EVE = long_id("ann"), long_id("bob"), long_id("eve")
NONCE = b"n" * sharing_keys.NONCE_BYTES
KEY = sharing_keys.sharing_key_id(ANN, NONCE)
SIGN, KEK = SigningKey.from_seed(b"s" * 32), b"k" * 32
PART, NEXT, OTHER = (PrivatePart.from_bytes(bytes([n]) * 64) for n in (1, 2, 3))
ALIAS = Alias("photos", b"salt" * 4)
FIRST = KeyRecord(
    key=KEY,
    n=1,
    prev=None,
    by=ANN,
    generation=1,
    suite=Suite.X_WING,
    seal=PART.pair.public,
    sign=PART.sign.public,
    holders=(),
    alias=sharing_keys.commit_alias(KEY, ALIAS),
    checkpoint="a checkpoint",
    nonce=b64(NONCE),
)
GRANTED = replace(FIRST, n=2, prev=sealed("first"), holders=(BOB,))
ROTATED = replace(
    GRANTED, n=3, prev=sealed("granted"), generation=2, seal=NEXT.pair.public, sign=NEXT.sign.public, holders=()
)
PLACE = PartPlace(key=KEY, generation=1, by=ANN, to=BOB, connection=long_id("connection"))


@pytest.mark.parametrize("record", [FIRST, GRANTED, ROTATED], ids=["first", "granted", "rotated"])
def test_a_record_reads_back_and_verifies_under_its_creators_key_alone(record: KeyRecord) -> None:
    data, signature = sharing_keys.sign_record(SIGN, record)
    assert sharing_keys.verify_record(data, signature, SIGN.public) == record
    for bent, public in ((data[:-2] + b" }", SIGN.public), (data, SigningKey.generate().public)):
        with pytest.raises(ForgedRecord):
            sharing_keys.verify_record(bent, signature, public)


@pytest.mark.parametrize(
    "bent",
    [
        {"prev": sealed("x")},
        {"n": 2},
        {"by": BOB},
        {"nonce": b64(b"another nonce...")},
        {"nonce": b64(b"short")},
        {"key": long_id("other")},
        {"key": "no id"},
        {"generation": 2},
        {"generation": 0},
        {"holders": (ANN,)},
        {"holders": (BOB, BOB)},
        {"holders": tuple(sorted((BOB, EVE), reverse=True))},
        {"holders": ("nobody",)},
        {"suite": Suite.X25519},
        {"seal": PART.pair.public[:-1]},
        {"sign": b"\x00" * 32},
        {"alias": "photos"},
        {"checkpoint": ""},
    ],
    ids=str,
)
def test_a_record_that_makes_no_sense_is_none(bent: dict[str, Any]) -> None:
    """Also where its creator would sign it: another suite among them."""
    with pytest.raises(Malformed):
        sharing_keys.sign_record(SIGN, replace(FIRST, **bent))


def test_a_record_has_just_its_fields() -> None:
    data, _ = sharing_keys.sign_record(SIGN, FIRST)
    with pytest.raises(Malformed):
        sharing_keys.read_record(data.replace(b'"v":1', b'"u":2,"v":1'))
    with pytest.raises(Malformed):
        sharing_keys.read_record(encode_record({"v": 1}))


def test_a_record_stands_behind_the_one_that_it_names() -> None:
    sharing_keys.check_following(FIRST, sealed("first"), GRANTED)
    sharing_keys.check_following(GRANTED, sealed("granted"), ROTATED)
    sharing_keys.check_following(GRANTED, sealed("granted"), replace(GRANTED, n=3, prev=sealed("granted"), holders=()))


@pytest.mark.parametrize(
    "bent",
    [
        {"prev": sealed("x")},
        {"n": 4},
        {"alias": sealed("another alias")},
        {"generation": 3},
        {"generation": 1},
        {"seal": GRANTED.seal},
        {"sign": GRANTED.sign},
        {"holders": (EVE,)},
    ],
    ids=str,
)
def test_a_record_that_does_not_go_on_is_forged(bent: dict[str, Any]) -> None:
    """A rotation has other parts and brings nobody new; a grant keeps the parts."""
    with pytest.raises(ForgedRecord):
        sharing_keys.check_following(GRANTED, sealed("granted"), replace(ROTATED, **bent))


def test_the_public_part_is_one_of_key_and_generation() -> None:
    same = replace(GRANTED, n=5, holders=(), checkpoint="another")
    assert (same.public_digest, same.fingerprint) == (FIRST.public_digest, FIRST.fingerprint)
    others = {ROTATED.public_digest, replace(FIRST, generation=2).public_digest, replace(FIRST, key=EVE).public_digest}
    assert len(others | {FIRST.public_digest}) == 4
    assert len(FIRST.fingerprint) == 35


def test_the_private_part_is_shown_by_nothing() -> None:
    assert PrivatePart.from_bytes(PART.to_bytes()) is not PART
    assert PrivatePart.from_bytes(PART.to_bytes()).to_bytes() == PART.to_bytes() == b"\x01" * 64
    assert "\\x01" not in repr(PART) and "salt" not in repr(ALIAS)  # noqa: PT018
    with pytest.raises(Malformed):
        PrivatePart.from_bytes(b"\x01" * 63)


@pytest.mark.parametrize("suite", [Suite.X_WING, Suite.X25519])
def test_a_part_sealed_to_a_holder_opens_in_its_place_alone(suite: Suite) -> None:
    bobs, eves = generate_keypair(suite), generate_keypair(suite)
    blob = sharing_keys.seal_part(suite, bobs.public, PART, ALIAS, PLACE)
    part, alias = sharing_keys.open_part(suite, bobs.private, blob, PLACE, FIRST)
    assert (part.to_bytes(), alias) == (PART.to_bytes(), ALIAS)

    moved = [replace(PLACE, key=EVE), replace(PLACE, by=EVE), replace(PLACE, to=EVE), replace(PLACE, connection=EVE)]
    for place in (*moved, replace(PLACE, generation=2)):
        with pytest.raises(DoesNotOpen):
            sharing_keys.open_part(suite, bobs.private, blob, place, FIRST)
    with pytest.raises(DoesNotOpen):
        sharing_keys.open_part(suite, eves.private, blob, PLACE, FIRST)
    with pytest.raises(DoesNotOpen):  # sealed for another use
        sharing_keys.open_alias(suite, bobs.private, blob, PLACE, FIRST)


def test_s2_a_private_part_that_is_not_that_of_the_public_one_is_refused_wherever_it_comes_from() -> None:
    bobs = generate_keypair()
    foreign = sharing_keys.seal_part(bobs.suite, bobs.public, OTHER, ALIAS, PLACE)
    with pytest.raises(KeyMismatch):
        sharing_keys.open_part(bobs.suite, bobs.private, foreign, PLACE, FIRST)
    with pytest.raises(KeyMismatch):
        sharing_keys.unwrap_part(KEK, sharing_keys.wrap_part(KEK, OTHER, KEY, 1, BOB), FIRST, BOB)
    link = sharing_keys.link_part(NEXT, OTHER, KEY, 2)
    with pytest.raises(KeyMismatch):
        sharing_keys.unlink_part(NEXT, link, ROTATED, FIRST)
    half = PrivatePart(PART.sign, OTHER.pair)
    with pytest.raises(KeyMismatch):
        sharing_keys.check_part(half, FIRST)
    assert sharing_keys.check_part(PART, FIRST) is PART


def test_an_alias_is_the_committed_one() -> None:
    bobs = generate_keypair()
    suite, private = bobs.suite, bobs.private
    blob = sharing_keys.seal_alias(suite, bobs.public, ALIAS, PLACE)
    assert sharing_keys.open_alias(suite, private, blob, PLACE, FIRST) == ALIAS
    for alias in (replace(ALIAS, name="films"), replace(ALIAS, salt=b"x" * 16)):
        lying = sharing_keys.seal_alias(suite, bobs.public, alias, PLACE)
        with pytest.raises(DoesNotOpen):
            sharing_keys.open_alias(suite, private, lying, PLACE, FIRST)
        with_part = sharing_keys.seal_part(suite, bobs.public, PART, alias, PLACE)
        with pytest.raises(DoesNotOpen):
            sharing_keys.open_part(suite, private, with_part, PLACE, FIRST)


@pytest.mark.parametrize("name", ["", "-a", "_a", "A", "a b", "a$b", "é", "a" * 65, "a\n"])
def test_not_every_text_is_a_name(name: str) -> None:
    with pytest.raises(Malformed):
        sharing_keys.check_alias(name)
    assert sharing_keys.check_alias("a" * 64) == "a" * 64


def test_s3_a_wrapped_part_opens_for_its_key_generation_and_account_alone() -> None:
    blob = sharing_keys.wrap_part(KEK, PART, KEY, 1, BOB)
    assert sharing_keys.unwrap_part(KEK, blob, FIRST, BOB).to_bytes() == PART.to_bytes()
    spliced = [(b"o" * 32, blob, FIRST, BOB), (KEK, blob, FIRST, EVE), (KEK, blob, replace(FIRST, key=EVE), BOB)]
    spliced += [(KEK, blob, replace(FIRST, generation=2), BOB), (KEK, blob[:-1] + b"x", FIRST, BOB)]
    for given in spliced:
        with pytest.raises(DoesNotOpen):
            sharing_keys.unwrap_part(*given)


def test_the_part_before_lies_under_the_next_one() -> None:
    link = sharing_keys.link_part(NEXT, PART, KEY, 2)
    assert sharing_keys.unlink_part(NEXT, link, ROTATED, FIRST).to_bytes() == PART.to_bytes()
    with pytest.raises(DoesNotOpen):
        sharing_keys.unlink_part(OTHER, link, ROTATED, FIRST)
    with pytest.raises(DoesNotOpen):
        sharing_keys.unlink_part(NEXT, link, replace(ROTATED, generation=3), FIRST)
    with pytest.raises(DoesNotOpen):
        sharing_keys.unwrap_part(KEK, link, FIRST, BOB)


def test_u5_what_is_signed_and_sealed_here_serves_nowhere_else() -> None:
    data, signature = sharing_keys.sign_record(SIGN, FIRST)
    for label in (labels.GROUP_EPOCH, labels.SHARE_MANIFEST, labels.COMMAND):
        other = SIGN.sign(label, data)
        assert other != signature
        with pytest.raises(ForgedRecord):
            sharing_keys.verify_record(data, other, SIGN.public)
    assert sharing_keys.backup_key(KEK) not in (KEK, sharing_keys.backup_key(b"o" * 32))


def sealed_file(data: bytes, record: KeyRecord = FIRST) -> bytes:
    sink = BytesIO()
    keyfiles.seal_file(record, BytesIO(data), sink)
    return sink.getvalue()


def opened_file(data: bytes, part: PrivatePart = PART) -> bytes:
    source = BytesIO(data)
    return b"".join(keyfiles.open_file(keyfiles.read_header(source), part, source))


def parts_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """The header with what is before it, and the segments with their lengths."""
    source = BytesIO(data)
    keyfiles.read_header(source)
    head, segments = data[: source.tell()], []
    while length := source.read(4):
        segments.append(length + source.read(int.from_bytes(length, "big")))
    return head, segments


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 2000, 3500])
def test_b11_a_file_opens_by_its_own_part_alone(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "SEGMENT_BYTES", 1000)
    plain = bytes(range(256)) * 14
    made = sealed_file(plain[:size])
    assert opened_file(made) == plain[:size]
    header = keyfiles.read_header(BytesIO(made))
    assert (header.key, header.generation, header.suite) == (KEY, 1, Suite.X_WING)
    with pytest.raises(DoesNotOpen):
        opened_file(made, OTHER)


def test_b11_a_cut_reordered_doubled_spliced_or_bent_file_opens_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "SEGMENT_BYTES", 1000)
    plain = b"plain" * 700
    head, segments = parts_of(sealed_file(plain))
    foreign_head, foreign = parts_of(sealed_file(plain))
    one, two, three, four = segments
    assert opened_file(head + one + two + three + four) == plain
    broken = [
        [],
        [one],
        [one, two, three],
        [one, two, four],
        [two, one, three, four],
        [one, one, two, three, four],
        [one, two, three, four, four],
        [one, two, three, four, b"\x00"],
        [one, two, three, four[:-1]],
        [four],
        [foreign[0], two, three, four],
        [one, two, three, foreign[3]],
        [b"\xff\xff\xff\xff", one],
    ]
    for pieces in broken:
        with pytest.raises(DoesNotOpen):
            opened_file(head + b"".join(pieces))
    with pytest.raises(DoesNotOpen):
        opened_file(foreign_head + b"".join(segments))
    whole = head + b"".join(segments)
    for place in range(len(head) - 40, len(whole), 211):
        bent = bytearray(whole)
        bent[place] ^= 4
        with pytest.raises((DoesNotOpen, Malformed)):
            opened_file(bytes(bent))


@pytest.mark.parametrize(
    "data", [b"", b"PVF1", b"PVF2" + bytes(60), b"PVF1\xff\xff\xff\xff", b"PVF1\x00\x00\x00\x02{}"]
)
def test_what_is_no_such_file_says_so(data: bytes) -> None:
    with pytest.raises(Malformed):
        opened_file(data)


def test_a_header_of_another_key_generation_or_suite_does_not_open() -> None:
    made = sealed_file(b"plain")
    for old, new in ((KEY.encode(), EVE.encode()), (b'"generation":1', b'"generation":2')):
        with pytest.raises(DoesNotOpen):
            opened_file(made.replace(old, new))
    with pytest.raises(Malformed):
        opened_file(made.replace(b"MLKEM768_X25519", b"MLKEM768_X25518"))


def test_a_record_of_many_holders_fits() -> None:
    holders = tuple(sorted(long_id(f"holder {n}") for n in range(sharing_keys.MAX_HOLDERS)))
    data, _ = sharing_keys.sign_record(SIGN, replace(GRANTED, holders=holders, checkpoint="c" * 512))
    assert sharing_keys.read_record(data).holders == holders
    assert len(b64(data)) < 32_768
    assert digest(data) != digest(sharing_keys.sign_record(SIGN, GRANTED)[0])
