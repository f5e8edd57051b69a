"""Epochs, space keys, posts: each opens and verifies in its own place alone."""

from dataclasses import replace
from typing import Any

import pytest

from privity.crypto import groups
from privity.crypto.groups import Epoch, Member, Post, Roster
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.keyring import new_dek, new_kek
from privity.crypto.record import encode_record
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest
from privity.errors import DoesNotOpen, ForgedRecord, Malformed
from tests.examples import long_id, sealed, short_id

ANN, BOB = long_id("ann"), long_id("bob")
NONCE = b"n" * groups.NONCE_BYTES
GROUP = groups.group_id(ANN, NONCE)
SIGN, KEY, KEK = SigningKey.from_seed(b"s" * 32), b"k" * 32, b"w" * 32
PEOPLE = [Member(ANN, "admin", sealed("ann's head"), sealed("ann's seal"))]
PEOPLE += [Member(long_id(f"m{n}"), "reader", sealed(f"head {n}"), sealed(f"seal {n}")) for n in range(6)]
FIRST = Epoch(
    group=GROUP,
    epoch=1,
    prev=None,
    by=ANN,
    size=len(PEOPLE),
    members=Roster(PEOPLE).root,
    key=1,
    commitment=groups.commit(GROUP, 1, KEY),
    wraps=groups.wraps_root({ANN: sealed("wrap")}),
    about=sealed("about"),
    link=None,
    n=0,
    last=None,
    checkpoint="a checkpoint",
    nonce=b64(NONCE),
)
SECOND = replace(
    FIRST,
    epoch=2,
    prev=sealed("first"),
    key=2,
    commitment=groups.commit(GROUP, 2, b"2" * 32),
    link=sealed("link"),
    n=3,
    last=sealed("third"),
    dropped=(BOB,),
    nonce=None,
)


@pytest.mark.parametrize("epoch", [FIRST, SECOND], ids=["first", "second"])
def test_an_epoch_reads_back_and_verifies_under_its_signers_key(epoch: Epoch) -> None:
    record, signature = groups.sign_epoch(SIGN, epoch)
    assert groups.verify_epoch(record, signature, SIGN.public) == epoch
    for bent in (record[:-2] + b" }", record):
        with pytest.raises(ForgedRecord):
            groups.verify_epoch(bent, signature, SigningKey.generate().public if bent is record else SIGN.public)


@pytest.mark.parametrize(
    "bent",
    [
        {"prev": sealed("x")},
        {"nonce": None},
        {"nonce": b64(b"another nonce...")},
        {"by": BOB},
        {"group": long_id("group")},
        {"key": 2},
        {"link": sealed("x")},
        {"n": 1},
        {"last": sealed("x")},
        {"size": 0},
        {"dropped": ("short",)},
    ],
    ids=lambda bent: " ".join(bent),
)
def test_an_epoch_that_makes_no_sense_is_not_signed(bent: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        groups.sign_epoch(SIGN, replace(FIRST, **bent))


@pytest.mark.parametrize("bent", [{"prev": None}, {"nonce": b64(NONCE)}, {"link": None}, {"key": 3}], ids=str)
def test_a_later_epoch_follows_one_and_links_its_key(bent: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        groups.sign_epoch(SIGN, replace(SECOND, **bent))


def test_a_record_has_just_these_fields() -> None:
    record, _ = groups.sign_epoch(SIGN, SECOND)
    facts = {"v": 1, **{name: getattr(SECOND, name) for name in Epoch.__dataclass_fields__}, "dropped": BOB}
    del facts["nonce"]
    assert encode_record(facts) == record
    for changed in (facts | {"more": 1}, {key: value for key, value in facts.items() if key != "wraps"}):
        with pytest.raises(Malformed):
            groups.read_epoch(encode_record(changed))


@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_every_member_is_shown_by_a_path_and_with_their_own_role_alone(size: int) -> None:
    roster = Roster(reversed(PEOPLE[:size]))
    epoch = replace(FIRST, size=size, members=roster.root)
    for member in PEOPLE[:size]:
        index, proof = roster.proof(member.account)
        groups.check_member(epoch, member, index, proof)
        for bent in ({"role": "writer"}, {"head": sealed("x")}, {"seal": sealed("x")}, {"account": BOB}):
            with pytest.raises(ForgedRecord):
                groups.check_member(epoch, replace(member, **bent), index, proof)
        with pytest.raises(ForgedRecord):
            groups.check_member(epoch, member, index + 1, proof)
        with pytest.raises(ForgedRecord):
            groups.check_member(epoch, member, index, (*proof, "no hash"))
    with pytest.raises(KeyError):
        roster.proof(BOB)


def test_a_space_key_opens_for_its_member_and_epoch_alone() -> None:
    pair, other = generate_keypair(Suite.X_WING), generate_keypair(Suite.X_WING)
    wrap = groups.seal_space_key(pair.suite, pair.public, KEY, GROUP, 1, PEOPLE[0])
    assert groups.open_space_key(pair.suite, pair.private, wrap, FIRST, PEOPLE[0]) == KEY
    for private, epoch, member in (
        (other.private, FIRST, PEOPLE[0]),
        (pair.private, SECOND, PEOPLE[0]),
        (pair.private, replace(FIRST, group=long_id("g")), PEOPLE[0]),
        (pair.private, FIRST, PEOPLE[1]),
        (pair.private, FIRST, replace(PEOPLE[0], role="reader")),
    ):
        with pytest.raises(DoesNotOpen):
            groups.open_space_key(pair.suite, private, wrap, epoch, member)


def test_a_key_that_somebody_else_sealed_is_not_the_groups() -> None:
    """Anybody can seal to a public key: the commitment says which key the admin meant."""
    pair = generate_keypair(Suite.X_WING)
    wrap = groups.seal_space_key(pair.suite, pair.public, new_kek(), GROUP, 1, PEOPLE[0])
    with pytest.raises(DoesNotOpen, match="not the group's key"):
        groups.open_space_key(pair.suite, pair.private, wrap, FIRST, PEOPLE[0])
    other = groups.claim_space_key(KEK, new_kek(), FIRST, ANN)
    with pytest.raises(DoesNotOpen, match="not the group's key"):
        groups.open_claim(KEK, other, FIRST, ANN)


def test_a_claim_opens_for_its_owner_and_place_alone() -> None:
    claim = groups.claim_space_key(KEK, KEY, FIRST, ANN)
    assert groups.open_claim(KEK, claim, FIRST, ANN) == KEY
    for kek, epoch, account in ((KEY, FIRST, ANN), (KEK, SECOND, ANN), (KEK, FIRST, BOB)):
        with pytest.raises(DoesNotOpen):
            groups.open_claim(kek, claim, epoch, account)


def test_a_link_leads_to_the_key_before_alone() -> None:
    newer = b"2" * 32
    link = groups.link_key(newer, KEY, GROUP, 2)
    second = replace(SECOND, link=digest(link))
    assert groups.open_link(newer, link, second, FIRST) == KEY
    with pytest.raises(DoesNotOpen):
        groups.open_link(newer, link, SECOND, FIRST)
    with pytest.raises(DoesNotOpen):
        groups.open_link(KEY, link, second, FIRST)
    other = groups.link_key(newer, new_kek(), GROUP, 2)
    with pytest.raises(DoesNotOpen, match="not the group's key"):
        groups.open_link(newer, other, replace(SECOND, link=digest(other)), FIRST)


def test_a_name_is_for_members() -> None:
    blob = groups.seal_about(KEY, b"Family", GROUP, 1)
    epoch = replace(FIRST, about=digest(blob))
    assert groups.open_about(KEY, blob, epoch) == b"Family"
    for key, at in ((new_kek(), epoch), (KEY, FIRST), (KEY, replace(epoch, group=BOB))):
        with pytest.raises(DoesNotOpen):
            groups.open_about(key, blob, at)


def posted(**changes: Any) -> groups.SealedPost:
    """A first post of Ann's, the fourth number."""
    place: dict[str, Any] = {"post": short_id("post"), "version": 1, "author": ANN, "n": 4, "prev": sealed("third")}
    signer = {"identity": SIGN, "checkpoint": "a checkpoint", "epoch": SECOND}
    return groups.seal_post(KEY, new_dek(), b"Hello", **place | signer | changes)


def test_a_post_opens_with_the_space_key_in_its_own_place_alone() -> None:
    sealed_post = posted()
    post = groups.verify_post(sealed_post.manifest, sealed_post.signature, SIGN.public)
    assert groups.open_post(KEY, post, sealed_post.wrap, sealed_post.content) == b"Hello"
    with pytest.raises(ForgedRecord):
        groups.verify_post(sealed_post.manifest, sealed_post.signature, SigningKey.generate().public)
    moved: tuple[dict[str, Any], ...] = (
        {"group": BOB}, {"key": 1}, {"post": short_id("x")}, {"version": 2}, {"author": BOB}, {"content": sealed("x")},
    )  # fmt: skip
    for bent in moved:
        with pytest.raises(DoesNotOpen):
            groups.open_post(KEY, replace(post, **bent), sealed_post.wrap, sealed_post.content)
    with pytest.raises(DoesNotOpen):
        groups.open_post(new_kek(), post, sealed_post.wrap, sealed_post.content)
    with pytest.raises(DoesNotOpen):
        groups.open_post(KEY, post, sealed_post.wrap, posted().content)


def test_a_manifest_has_a_place_in_the_line_and_all_of_its_content_or_none() -> None:
    for bent in ({"n": 1}, {"prev": None}, {"n": 0}, {"version": 0}):
        with pytest.raises(Malformed):
            posted(**bent)
    place = groups.read_post(posted().manifest)
    with pytest.raises(Malformed):
        groups.sign_post(SIGN, place, sealed("content"))
    back, signature = groups.sign_post(SIGN, place)
    assert groups.verify_post(back, signature, SIGN.public).content is None


@pytest.mark.parametrize(("n", "good"), [(3, False), (4, True), (6, True), (7, False)])
def test_u9_a_number_is_written_while_its_epoch_is_the_newest(n: int, good: bool) -> None:
    post = replace(groups.read_post(posted().manifest), n=n)
    third = replace(SECOND, epoch=3, n=6)
    if good:
        groups.check_writing(post, SECOND, third)
    else:
        with pytest.raises(ForgedRecord, match="had ended"):
            groups.check_writing(post, SECOND, third)
    other: tuple[Post, ...] = (replace(post, epoch=3), replace(post, key=1), replace(post, group=BOB))
    for bent in other:
        with pytest.raises(ForgedRecord):
            groups.check_writing(bent, SECOND, None)


def test_the_id_of_a_group_is_its_creators() -> None:
    assert groups.group_id(ANN, NONCE) == GROUP
    assert len({GROUP, groups.group_id(BOB, NONCE), groups.group_id(ANN, b"o" * 16)}) == 3
