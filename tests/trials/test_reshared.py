"""U3, S13: somebody in the middle who passes on more than they were given, or something else, with or without the home.

Bob's agent is modified; Carol's is not, and she is not connected with Ann. What the home can see it refuses by itself;
what it cannot see, or lets pass because it works together with Bob, is Carol's agent's to find.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from privity.agent import connections, identity, items, provenance, resharing, shares
from privity.agent.chains import signed_chain
from privity.agent.connections import Connection
from privity.agent.contents import SharedContent
from privity.agent.files import Attachment
from privity.agent.identity import to_record
from privity.agent.keyring import Keyring
from privity.agent.profile import ProfileFolder
from privity.agent.provenance import Place, Provenance, read_provenance
from privity.agent.reading import Share
from privity.crypto.identity import make_genesis, make_next, verify_chain
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.keyring import new_dek
from privity.crypto.originals import Permission, permit, read_permission, sign_original
from privity.crypto.sharing import (
    Conditions,
    Manifest,
    SealedShare,
    accept_terms,
    new_terms,
    read_manifest,
    seal_share,
)
from privity.crypto.signing import SigningKey
from privity.encoding import b64, digest, new_id
from privity.errors import (
    BeyondPermission,
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    NotFound,
    RolledBack,
)
from privity.messages.fields import SignedRecord
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.passing import Change, Given, bend, give, read, with_slots, work
from tests.rows.watching import lie
from tests.trials.proxy import Blobs, Proxy, Row

NEXT_YEAR = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)


@pytest.fixture
async def given(connected: tuple[Person, Person], person: MakePerson) -> Given:
    """What Ann gave Bob to pass on over one hand."""
    return await give(connected, person)


def came(shared: SharedContent) -> Provenance:
    """What goes with it."""
    return read_provenance(shared.provenance or {})


def going(shared: SharedContent, **changes: Any) -> SharedContent:
    """The same, with something else in what goes with it."""
    return replace(shared, provenance=replace(came(shared), **changes).to_dict())


def permitting(**changes: Any) -> Change:
    """Bob's own permission for Carol, signed by Bob, says something else."""

    def change(shared: SharedContent, keyring: Keyring) -> SharedContent:
        first, (record, _) = came(shared).permissions
        other = permit(keyring.identity.sign, replace(read_permission(record), **changes))
        return going(shared, permissions=(first, other))

    return change


def resting_on(make: Callable[[Permission], Permission]) -> Change:
    """The permission that Bob was given is another one, which Bob signed in Ann's name."""

    def change(shared: SharedContent, keyring: Keyring) -> SharedContent:
        (record, _), (mine, _) = came(shared).permissions
        first = permit(keyring.identity.sign, make(read_permission(record)))
        last = permit(keyring.identity.sign, replace(read_permission(mine), prev=digest(first[0])))
        return going(shared, permissions=(first, last))

    return change


def with_files(shared: SharedContent, _: Keyring) -> SharedContent:
    """A file that nobody signed."""
    file = Attachment(new_id(), "scan.png", "image/png", 1, digest(b"x"), bytes(32))
    return replace(shared, content=replace(shared.content, files={"scan.png": file}))


def with_exchanged_values(shared: SharedContent, _: Keyring) -> SharedContent:
    """Two values of the owner's, each under the other's name, with its signature."""
    signed, slots = came(shared).slots, shared.content.slots
    shared = with_slots(shared, number=slots["name"], name=slots["number"])
    return going(shared, slots={"number": signed["name"], "name": signed["number"]})


def as_ones_own(shared: SharedContent, keyring: Keyring) -> SharedContent:
    """Bob says that it was his in the first place, and signs all of it."""
    last = read_permission(came(shared).permissions[1][0])
    origin = replace(last.origin, owner=keyring.account)
    mine = permit(keyring.identity.sign, replace(last, origin=origin, prev=None))
    key, content = keyring.identity.sign, shared.content
    slots = {slot: sign_original(key, origin, slot, value.encode()) for slot, value in content.slots.items()}
    return replace(
        shared,
        provenance=Provenance(sign_original(key, origin, None, content.label.encode()), slots, (mine,), {}).to_dict(),
    )


def with_nobody(shared: SharedContent, _: Keyring) -> SharedContent:
    return going(shared, people={})


def with_a_forged_identity(shared: SharedContent, _: Keyring) -> SharedContent:
    [(account, chain)] = came(shared).people.items()
    return going(shared, people={account: (replace(chain[0], signatures=(b64(bytes(64)),)), *chain[1:])})


def with_another_person(shared: SharedContent, _: Keyring) -> SharedContent:
    """A chain that holds, under Ann's account id."""
    sign, recovery = SigningKey.generate(), SigningKey.generate()
    chain = (to_record(make_genesis(sign, generate_keypair().public, Suite.X_WING, recovery.public, bytes(16))),)
    return going(shared, people=dict.fromkeys(came(shared).people, chain))


ATTACKS: dict[str, tuple[Change, type[IntegrityAlarm], str]] = {
    "another value": (lambda shared, _: with_slots(shared, number="X124"), ForgedRecord, "over slot 'number'"),
    "values exchanged": (with_exchanged_values, ForgedRecord, "over slot 'number'"),
    "another label": (
        lambda shared, _: replace(shared, content=replace(shared.content, label="Visa")),
        ForgedRecord,
        "over the label",
    ),
    "one value more": (lambda shared, _: with_slots(shared, visa="V1"), ForgedRecord, "over slot 'visa'"),
    "files": (with_files, BeyondPermission, "files"),
    "no permission": (lambda shared, _: replace(shared, provenance=None), BeyondPermission, "no permission"),
    "no sense": (lambda shared, _: replace(shared, provenance={"label": 1}), BeyondPermission, "can be read"),
    "more hands": (permitting(hops=1), BeyondPermission, "more hands"),
    "copies": (permitting(keep=True), BeyondPermission, "copies"),
    "another end": (permitting(expires=NEXT_YEAR), BeyondPermission, "otherwise than the permission"),
    "another share": (permitting(share=new_id()), BeyondPermission, "otherwise than the permission"),
    "other slots": (permitting(slots=("name",)), BeyondPermission, "other slots"),
    "on nothing": (permitting(prev=None), BeyondPermission, "another permission"),
    "for somebody else": (permitting(taker="a" * 52), BeyondPermission, "otherwise than the permission"),
    "in Ann's name": (resting_on(lambda first: replace(first, hops=8)), ForgedRecord, "permission to share this on"),
    "as one's own": (as_ones_own, BeyondPermission, "otherwise than the permission"),
    "without the owner": (with_nobody, BeyondPermission, "did not come"),
    "with a forged owner": (with_a_forged_identity, ForgedRecord, "record 0 does not verify"),
    "with another owner": (with_another_person, KeyMismatch, "somebody else's"),
}


@pytest.mark.trial
async def test_u3_what_a_modified_agent_shares_on_beyond_its_permission_is_refused_by_the_third(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home takes each of them: what is wrong is inside the ciphertext."""
    sent: dict[str, str] = {}
    async with given.bob.session() as (session, keyring):
        for name, (change, _, _) in ATTACKS.items():
            with monkeypatch.context() as patch:
                ids = bend(patch, change)
                with suppress(IntegrityAlarm):  # Bob's own agent reads what it sent
                    await resharing.create(session, keyring, given.item.item, given.carol.address)
            sent[name] = ids[0]
    good = await given.share_on()

    async with given.carol.session() as (session, keyring):
        for name, (_, alarm, says) in ATTACKS.items():
            with pytest.raises(alarm) as caught:
                await shares.show(session, keyring, sent[name])
            assert says in caught.value.message, name
            assert given.bob.address in caught.value.message, name
        assert (await shares.show(session, keyring, good)).content == given.item.content


@pytest.mark.trial
async def test_u3_a_permission_for_another_item_or_for_somebody_else_permits_nothing(
    given: Given, person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    dave = await person("dave")
    await connect(given.ann, dave)
    async with given.ann.session() as (session, keyring):
        other = await items.add(session, keyring, "Bank", {"number": "1", "name": "2"})
        for_bob = await shares.create(session, keyring, other.item, given.bob.address, reshare=2)
        for_dave = await shares.create(session, keyring, given.item.item, dave.address, reshare=2)

    def on(source: Share) -> Change:
        first = came(source.opened).permissions[0]
        prev = digest(first[0])

        def change(shared: SharedContent, keyring: Keyring) -> SharedContent:
            record, _ = came(shared).permissions[1]
            last = permit(keyring.identity.sign, replace(read_permission(record), prev=prev))
            return going(shared, permissions=(first, last))

        return change

    sent: list[str] = []
    for source in (for_bob, for_dave):
        with monkeypatch.context() as patch:
            ids = bend(patch, on(source))
            async with given.bob.session() as (session, keyring):
                with pytest.raises(BeyondPermission):
                    await resharing.create(session, keyring, given.item.item, given.carol.address)
        sent += ids
    async with given.carol.session() as (session, keyring):
        for share, says in zip(sent, ("another item", "somebody else"), strict=True):
            with pytest.raises(BeyondPermission, match=f"{given.bob.address} has shared this on .*{says}"):
                await shares.show(session, keyring, share)


# a home that lets it pass


def crafted(kept: Keyring, over: Connection, honest: Manifest, shared: SharedContent, told: Conditions) -> SealedShare:
    """What Bob seals in the place of an honest share, for the home to serve."""
    return seal_share(
        new_dek(),
        kept.kek,
        shared.to_bytes(),
        share=honest.share,
        space=honest.space,
        connection=honest.connection,
        item=honest.item,
        version=honest.version,
        owner=honest.owner,
        recipient=honest.recipient,
        suite=honest.suite,
        recipient_public=over.public,
        recipient_key=honest.recipient_key,
        identity=kept.identity.sign,
        n=honest.n,
        prev=honest.prev,
        checkpoint=honest.checkpoint,
        generation=honest.generation,
        conditions=told,
    )


async def sealed_by_bob(
    given: Given, patch: pytest.MonkeyPatch, passed: str, told: Conditions, permitted: Conditions
) -> SealedShare:
    """The share with other conditions, of which Bob's own permission says these."""
    async with given.bob.session() as (session, keyring):
        honest = await shares.show(session, keyring, passed)
        source = await shares.show(session, keyring, honest.manifest.source or "")
        over = await connections.with_person(session, keyring, given.carol.address)
        giver = await connections.with_person(session, keyring, given.ann.address)
    said = honest.manifest
    place = Place(share=said.share, item=said.item, version=said.version, sender=said.owner, recipient=said.recipient)
    was_given = provenance.Source(source.opened.provenance or {}, source.owner, giver.row.peer_chain)
    with patch.context() as modified:
        modified.setattr(provenance, "beyond", lambda *_: None)
        goes = provenance.passed_on(
            keyring.identity.sign, place, honest.content, was_given, whole=True, conditions=permitted
        )
    return crafted(keyring, over, said, SharedContent(honest.content, True, told.terms, goes), told)


async def read_through(proxy: Proxy, carol: Person, home: Path, sealed: SealedShare) -> Share:
    """Carol, as she is, reads in a profile of her own what the home serves in the place of an honest share.

    Whatever the terms are, she accepts them.
    """
    shutil.copytree(carol.home, home)
    manifest = read_manifest(sealed.manifest)
    async with carol.session() as (_, keyring):
        accepted = b64(accept_terms(keyring.identity.sign, manifest)) if manifest.terms else None
    signed = {"manifest": b64(sealed.manifest), "signature": b64(sealed.signature)}

    def in_shares(rows: list[Row], blobs: Blobs) -> None:
        for row in rows:
            if row["share"] == manifest.share:
                row.update(signed, content=manifest.content, wrap=manifest.recipient_wrap, claimed=False)
                row.update(reshare=manifest.reshare, keep=manifest.keep, terms=manifest.terms)
                row.update(terms_hash=manifest.terms_hash, accepted=accepted)
                row.update(expires=manifest.expires.isoformat() if manifest.expires else None)
                blobs.update({digest(part): part for part in sealed.parts})

    def in_line(rows: list[Row], _: Blobs) -> None:
        for row in rows:
            if (row["share"], row["n"]) == (manifest.share, manifest.n):
                row.update(signed)

    with proxy.lying("shares", in_shares), proxy.lying("line", in_line):
        return await read(replace(proxy.person(carol), home=home), manifest.share)


@pytest.mark.trial
async def test_u3_with_the_homes_help_nobody_takes_more_than_was_permitted(
    given: Given, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home serves conditions that it would have to refuse: only Carol's agent stands in the way."""
    async with given.ann.session() as (session, keyring):
        await resharing.update(session, keyring, given.share.share, lambda now: replace(now, expires=NEXT_YEAR))
    passed = await given.share_on()
    honest = (await read(given.bob, passed)).conditions
    easier = {
        "hands": replace(honest, reshare=1),
        "later": replace(honest, expires=NEXT_YEAR + timedelta(days=1)),
        "ever": replace(honest, expires=None),
        "copies": replace(honest, keep=True),
    }
    for name, told in easier.items():
        for permitted, says in ((told, "beyond what was permitted"), (honest, "otherwise than the permission")):
            sealed = await sealed_by_bob(given, monkeypatch, passed, told, permitted)
            with pytest.raises(BeyondPermission, match=f"{given.bob.address} has shared this on {says}"):
                await read_through(proxy, given.carol, tmp_path / f"{name}-{says[0]}", sealed)

    sealed = await sealed_by_bob(given, monkeypatch, passed, honest, honest)
    found = await read_through(proxy, given.carol, tmp_path / "honest", sealed)
    assert (found.content, found.expires) == (given.item.content, NEXT_YEAR)


@pytest.mark.trial
async def test_u3_with_the_homes_help_nobody_takes_off_the_terms(
    given: Given, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = new_terms("Be kind.")
    async with given.ann.session() as (session, keyring):
        await resharing.update(session, keyring, given.share.share, lambda now: replace(now, terms=terms))
    async with given.bob.session() as (session, keyring):
        await shares.accept(session, keyring, given.share.share)
    passed = await given.share_on()
    honest = (await read(given.bob, passed)).conditions
    before = replace(given.carol, home=tmp_path / "before")
    shutil.copytree(given.carol.home, before.home)
    async with given.carol.session() as (session, keyring):
        assert (await shares.accept(session, keyring, passed)).content == given.item.content

    for name, others in (("none", None), ("others", new_terms("Do as you like."))):
        told = replace(honest, terms=others)
        sealed = await sealed_by_bob(given, monkeypatch, passed, told, told)
        with pytest.raises(BeyondPermission, match="it has other terms"):
            await read_through(proxy, before, tmp_path / name, sealed)

    sealed = await sealed_by_bob(given, monkeypatch, passed, honest, honest)
    assert (await read_through(proxy, before, tmp_path / "honest", sealed)).content == given.item.content


# what was taken back


@pytest.mark.trial
async def test_s13_what_was_taken_back_from_the_one_in_the_middle_is_taken_back_from_the_third(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = await given.share_on()
    first: list[dict[str, Any]] = []
    with monkeypatch.context() as patch:
        lie(patch, "shares", lambda rows: first.extend(dict(row) for row in rows))
        assert (await read(given.carol, passed)).content == given.item.content
    async with given.ann.session() as (session, keyring):
        await items.edit(session, keyring, given.item.item, {"number": "X124"})
        await resharing.update(session, keyring, given.share.share)
    assert await work(given.bob) == ["pass-on"]
    assert (await read(given.carol, passed)).content.slots["number"] == "X124"

    def again(rows: list[dict[str, Any]]) -> None:
        rows[:] = first[:1]

    with monkeypatch.context() as patch:
        lie(patch, "shares", again)
        with pytest.raises(RolledBack):
            await read(given.carol, passed)
    async with given.ann.session() as (session, _):
        await shares.remove(session, given.share.share)
    assert await work(given.bob) == ["end"]
    with pytest.raises(NotFound):
        await read(given.carol, passed)
    with monkeypatch.context() as patch:
        lie(patch, "shares", again)
        with pytest.raises(RolledBack):
            await read(given.carol, passed)


@pytest.mark.trial
async def test_s13_an_old_permission_lets_no_newer_value_go_on(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = await given.share_on()
    old = came((await read(given.bob, passed)).opened)
    async with given.ann.session() as (session, keyring):
        await items.edit(session, keyring, given.item.item, {"number": "X124"})
        await resharing.update(session, keyring, given.share.share)

    with monkeypatch.context() as patch:
        bend(patch, lambda shared, _: replace(shared, provenance=old.to_dict()))
        with pytest.raises(BeyondPermission):
            await work(given.bob)
    with pytest.raises(BeyondPermission, match="otherwise than the permission"):
        await read(given.carol, passed)

    again = await given.share_on()
    assert (await read(given.carol, again)).content.slots["number"] == "X124"


# a key in the wrong hands


@pytest.mark.trial
async def test_u3_a_key_that_its_owner_gave_up_as_stolen_signs_no_value_and_no_permission(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = await given.share_on()
    short = came((await read(given.bob, passed)).opened)
    async with given.ann.session() as (session, keyring):
        stolen = keyring.identity.sign
        device = ProfileFolder(given.ann.home).load().device
        await identity.rotate(session, keyring, device, compromised=True)
    for each, step in ((given.ann, "renew"), (given.bob, "pass-on")):
        assert await work(each) == [step]
        assert await work(each) == []
    assert (await read(given.carol, passed)).content == given.item.content

    def forged(people: dict[str, tuple[SignedRecord, ...]] | None) -> Change:
        def change(shared: SharedContent, keyring: Keyring) -> SharedContent:
            (record, _), (mine, _) = came(shared).permissions
            first = permit(stolen, read_permission(record))
            last = permit(keyring.identity.sign, replace(read_permission(mine), prev=digest(first[0])))
            content, origin = with_slots(shared, number="X999").content, read_permission(record).origin
            slots = {slot: sign_original(stolen, origin, slot, value.encode()) for slot, value in content.slots.items()}
            label = sign_original(stolen, origin, None, content.label.encode())
            goes = Provenance(label, slots, (first, last), people or came(shared).people)
            return replace(shared, content=content, provenance=goes.to_dict())

        return change

    for people in (None, short.people):  # with the record that gives the key up, and without
        with monkeypatch.context() as patch:
            ids = bend(patch, forged(people))
            with suppress(IntegrityAlarm):
                await given.share_on()
        with pytest.raises(ForgedRecord, match=f"The signature of {given.share.owner} under the permission"):
            await read(given.carol, ids[0])

    [(account, chain)] = short.people.items()
    head = verify_chain(signed_chain(chain))
    other = make_next(
        head, stolen, sign=stolen, seal_public=head.seal, seal_suite=head.seal_suite, devices={}, reason="another"
    )
    with monkeypatch.context() as patch:
        ids = bend(patch, forged({account: (*chain, to_record(other))}))
        with suppress(IntegrityAlarm):
            await given.share_on()
    with pytest.raises(KeyMismatch, match=f"Two histories of the identity of {account}"):
        await read(given.carol, ids[0])
    assert (await read(given.carol, passed)).content == given.item.content
