"""Row M35: what is attached comes back as it was, to whom it was given, and to nobody else."""

import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from privity.agent import items, shares
from privity.agent.contents import read_shared
from privity.agent.files import Attachment, Attachments, Holder, Plain, attach, fetch, read_attachments
from privity.agent.keyring import Keyring
from privity.agent.session import Session
from privity.crypto.attachments import MAX_FILE
from privity.encoding import digest, new_id
from privity.errors import (
    AlreadyExists,
    DoesNotOpen,
    FileMissing,
    ForgedRecord,
    Malformed,
    NotFound,
    StaleVersion,
    TooManyFiles,
    Withheld,
)
from privity.messages.files import MAX_FILES, AttachFile, DetachFile
from privity.messages.views import AskFiles, FileRow
from privity.testing.home import RunningHome
from privity.testing.people import Person
from tests.conftest import MakePerson
from tests.rows.watching import Wire, canary, eventually, lie, ran


def plain(name: str, text: str) -> Plain:
    """A small file."""
    return Plain(name, "text/plain", text.encode())


def kept(home: RunningHome, objects: Iterable[str]) -> set[str]:
    """Which of these sealed objects the store holds."""
    with closing(sqlite3.connect(f"file:{home.data / 'store.db'}?mode=ro", uri=True)) as db:
        return {each for each in objects if db.execute("SELECT 1 FROM sealed WHERE digest = ?", (each,)).fetchone()}


async def served(session: Session, of: str) -> list[FileRow]:
    """The files that the home gives somebody."""
    return list((await session.ask_all(AskFiles(of=of), FileRow)).rows)


async def test_m35_files_of_an_item_come_back_as_they_were(ann: Person, tmp_path: Path) -> None:
    large, image, text = tmp_path / "large.bin", tmp_path / "photo.png", tmp_path / "Über uns.txt"
    large.write_bytes(os.urandom(MAX_FILE))
    Image.linear_gradient("L").resize((1200, 700)).save(image)
    text.write_text("hello")
    attach = [word for path in (large, image, text) for word in ("--attach", str(path))]
    item = (await ran(ann, "--json", "item", "add", "Passport", "--set", "a=1", *attach)).json["item"]

    shown = (await ran(ann, "--json", "item", "show", item)).json
    assert shown["files"] == [
        {"name": "large.bin", "type": "application/octet-stream", "size": MAX_FILE, "thumbnail": False},
        {"name": "photo.png", "type": "image/png", "size": image.stat().st_size, "thumbnail": True},
        {"name": "Über uns.txt", "type": "text/plain", "size": 5, "thumbnail": False},
    ]
    for path in (large, image, text):
        out = tmp_path / f"out of {path.name}"
        done = await ran(ann, "--json", "item", "file", item[:9], path.name, "-o", str(out))
        assert (done.code, out.read_bytes(), out.stat().st_mode & 0o777) == (0, path.read_bytes(), 0o600)

    small = tmp_path / "small.jpg"
    assert (await ran(ann, "item", "file", item, "photo.png", "--thumbnail", "-o", str(small))).code == 0
    assert small.stat().st_size <= 16 * 1024
    assert Image.open(BytesIO(small.read_bytes())).size == (256, 149)


async def test_m35_what_cannot_be_attached_or_written_is_refused_and_changes_nothing(
    ann: Person, tmp_path: Path
) -> None:
    large, text = tmp_path / "large.bin", tmp_path / "text"
    large.write_bytes(bytes(MAX_FILE + 1))
    text.write_text("hello")
    refused = await ran(ann, "item", "add", "Passport", "--attach", str(large))
    assert refused.err == "error: TooLarge: large.bin is larger than the 900 KiB that can be attached\n"
    refused = await ran(ann, "item", "add", "Passport", "--attach", str(tmp_path / "none"))
    assert refused.err.startswith("error: NotFound: ")
    assert (await ran(ann, "--json", "item", "list")).json == []

    async with ann.session() as (session, keyring):
        many = [plain(f"{n}", "text") for n in range(MAX_FILES + 1)]
        with pytest.raises(TooManyFiles):
            await items.add(session, keyring, "Passport", {}, many)
        item = await items.add(session, keyring, "Passport", {}, many[1:])
        content = b"sealed by hand"
        with pytest.raises(TooManyFiles):
            await session.send(AttachFile(item.item, new_id(), digest(content)), content)
        with pytest.raises(AlreadyExists):
            await items.edit(session, keyring, item.item, {}, attaching=[plain("5", "other")])
        with pytest.raises(NotFound):
            await items.edit(session, keyring, item.item, {}, detaching=["no such"])
        edited = await items.edit(session, keyring, item.item, {}, attaching=[plain("5", "other")], detaching=["5"])
        assert (await items.read_file(session, keyring, edited, "5")).data == b"other"
        assert len(await served(session, item.item)) == MAX_FILES

    done = await ran(ann, "item", "file", item.item, "5", "-o", str(text))
    assert (done.code, done.err) == (1, f"error: AlreadyExists: {text} is there already\n")
    assert text.read_text() == "hello"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


async def test_m35_a_shared_items_file_decrypts_for_its_reader_and_for_nobody_else(
    connected: tuple[Person, Person], person: MakePerson, wire: Wire
) -> None:
    ann, bob = connected
    secret = canary()
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {}, [plain("scan.txt", secret), plain("other", "text")])
        share = await shares.create(session, keyring, item.item, bob.address)
        assert (await shares.read_file(session, keyring, share, "scan.txt")).data == secret.encode()
        own = {row.content for row in await served(session, item.item)}
    async with bob.session() as (session, keyring):
        seen = await shares.show(session, keyring, share.share)
        assert (await shares.read_file(session, keyring, seen, "scan.txt")).data == secret.encode()
        given = {row.content for row in await served(session, share.share)}
        assert await served(session, item.item) == []
        for command in (DetachFile(share.share, seen.content.files["other"].file), DetachFile(item.item, new_id())):
            with pytest.raises(NotFound):
                await session.send(command)
    assert not own & given
    keys = {each.key for each in item.content.files.values()}
    assert not keys & {each.key for each in seen.content.files.values()}
    assert wire.holding({"file": secret.encode(), **{f"key {n}": key for n, key in enumerate(keys)}}) == []

    eve = await person("eve")
    async with eve.session() as (session, _):
        assert await served(session, share.share) == await served(session, item.item) == []


async def test_m35_a_share_of_some_values_has_only_the_files_that_are_named(connected: tuple[Person, Person]) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        files = [plain("one", "first"), plain("two", "second")]
        item = await items.add(session, keyring, "Passport", {"a": "1", "b": "2"}, files)
        with pytest.raises(NotFound, match="there is no file three; there are: one, two"):
            await shares.create(session, keyring, item.item, bob.address, files=["three"])
        none = await shares.create(session, keyring, item.item, bob.address, slots=["a"])
        one = await shares.create(session, keyring, item.item, bob.address, slots=["a"], files=["two"])
        assert (none.content.files, await served(session, none.share)) == ({}, [])
        assert (list(one.content.slots), list(one.content.files)) == (["a"], ["two"])
        (row,) = await served(session, one.share)

        await items.edit(session, keyring, item.item, {"a": "3"}, attaching=[plain("three", "third")])
        after = await shares.update(session, keyring, one.share)
        assert (after.version, list(after.content.files)) == (2, ["two"])
        assert await served(session, one.share) == [row]


async def test_m35_an_update_brings_what_is_new_and_erases_what_is_gone(
    connected: tuple[Person, Person], backend: RunningHome
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        files = [plain("stays", "as it was"), plain("changes", "old"), plain("goes", "away")]
        item = await items.add(session, keyring, "Passport", {}, files)
        share = await shares.create(session, keyring, item.item, bob.address)
        before = {row.file: row.content for row in await served(session, share.share)}
    async with bob.session() as (session, keyring):
        first = await shares.show(session, keyring, share.share)
        assert (await shares.read_file(session, keyring, first, "goes")).data == b"away"

    async with ann.session() as (session, keyring):
        changed = [plain("changes", "new"), plain("comes", "later")]
        await items.edit(session, keyring, item.item, {}, attaching=changed, detaching=["changes", "goes"])
        await shares.update(session, keyring, share.share)
    async with bob.session() as (session, keyring):
        seen = await shares.show(session, keyring, share.share)
        texts = {name: (await shares.read_file(session, keyring, seen, name)).data for name in seen.content.files}
        assert texts == {"stays": b"as it was", "changes": b"new", "comes": b"later"}
        assert seen.content.files["stays"] == first.content.files["stays"]
        with pytest.raises(FileMissing, match="taken off"):
            await shares.read_file(session, keyring, first, "goes")
        assert not await ended(session, keyring, share, before, first.content.files["stays"].file, backend)


async def ended(
    session: Session, keyring: Keyring, share: shares.Share, before: dict[str, str], stays: str, home: RunningHome
) -> set[str]:
    """End the share; what is left in the store of the files that it had."""
    assert kept(home, before.values()) == {before[stays]}
    await shares.remove(session, share.share)
    return kept(home, before.values())


async def test_m35_files_go_with_their_item_and_one_that_is_on_its_way_is_no_alarm(
    ann: Person, backend: RunningHome
) -> None:
    async with ann.session() as (session, keyring):
        id = new_id()
        files, bringing = attach(Holder(id, keyring.account, is_share=False), [plain("one", "first")], {})
        command, sealed = await items.keeping(session, keyring, items.Item(id, 1, items.Content("Passport", {}, files)))
        await session.send(command, *sealed)
        item = await items.show(session, keyring, id)
        with pytest.raises(FileMissing) as missing:
            await items.read_file(session, keyring, item, "one")
        assert missing.value.exit_code == 1
        await session.send_all(bringing)
        assert (await items.read_file(session, keyring, item, "one")).data == b"first"

        files = [plain(f"{n}", f"text {n}") for n in range(MAX_FILES)]
        item = await items.add(session, keyring, "Passport", {}, files)
        objects = [row.content for row in await served(session, item.item)]
        assert kept(backend, objects) == set(objects)
        await items.remove(session, item.item)
        assert await served(session, item.item) == []
        assert kept(backend, objects) == set()


async def test_m35_a_file_that_was_brought_and_is_listed_must_be_there_whatever_the_feed_tells(
    ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {}, [plain("one", "first"), plain("two", "second")])
        with monkeypatch.context() as patch:
            lie(patch, "files", lambda rows: rows.clear())
            with pytest.raises(Withheld):
                await items.read_file(session, keyring, item, "two")
        await session.send(DetachFile(item.item, item.content.files["one"].file))  # the feed tells that it was erased
        with pytest.raises(Withheld):
            await items.read_file(session, keyring, item, "one")
        await items.edit(session, keyring, item.item, {}, detaching=["one"])
        with pytest.raises(FileMissing, match="taken off"):
            await items.read_file(session, keyring, item, "one")


async def test_m35_what_the_home_never_got_of_a_share_comes_with_its_next_update(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {}, [plain("one", "first"), plain("two", "second")])
        with monkeypatch.context() as patch:
            send_all = session.send_all
            patch.setattr(session, "send_all", lambda commands: send_all(commands[:1]))
            share = await shares.create(session, keyring, item.item, bob.address)
        assert await served(session, share.share) == []
        late = AttachFile(share.share, share.content.files["one"].file, digest(b"late"))
        updated = await shares.update(session, keyring, share.share)
        assert (updated.generation, updated.version, len(await served(session, share.share))) == (2, 1, 2)
        assert (await shares.update(session, keyring, share.share)).generation == 2
        with pytest.raises(StaleVersion):
            await session.send(late, b"late")
    async with bob.session() as (session, keyring):
        seen = await shares.show(session, keyring, share.share)
        assert (await shares.read_file(session, keyring, seen, "two")).data == b"second"


async def test_m35_before_the_terms_are_accepted_and_after_the_end_no_file_is_served(
    connected: tuple[Person, Person],
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {}, [plain("scan.txt", "text")])
        under_terms = await shares.create(session, keyring, item.item, bob.address, terms="between us", keep=True)
        soon = datetime.now(UTC) + timedelta(seconds=2)
        short = await shares.create(session, keyring, item.item, bob.address, expires=soon)
    async with bob.session() as (session, keyring):
        assert len(await served(session, short.share)) == 1
        assert await served(session, under_terms.share) == []
        accepted = await shares.accept(session, keyring, under_terms.share)
        assert (await shares.read_file(session, keyring, accepted, "scan.txt")).data == b"text"
        copy = await shares.keep(session, keyring, under_terms.share)
        assert (await items.read_file(session, keyring, copy, "scan.txt")).data == b"text"

        async def over() -> bool | None:
            return None if await served(session, short.share) else True

        assert await eventually(over)
        assert len(await served(session, under_terms.share)) == 1


async def test_m35_what_the_backend_serves_instead_of_a_file_is_refused(
    connected: tuple[Person, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {}, [plain("one", "first"), plain("two", "secon")])
        share = await shares.create(session, keyring, item.item, bob.address)
    async with bob.session() as (session, keyring):
        seen = await shares.show(session, keyring, share.share)
        one, two = (seen.content.files[name] for name in ("one", "two"))

        async def reread() -> Attachments:
            return seen.content.files

        holder = Holder(share.share, share.owner, is_share=True)
        assert (await fetch(session, holder, one, reread)).data == b"first"

        with monkeypatch.context() as patch:
            lie(patch, "files", lambda rows: [row.update(file=one.file) for row in rows])
            with pytest.raises(ForgedRecord):
                await shares.read_file(session, keyring, seen, "two")
        with monkeypatch.context() as patch:
            lie(patch, "files", lambda rows: rows.clear())
            with pytest.raises(Withheld):
                await shares.read_file(session, keyring, seen, "one")
            with pytest.raises(FileMissing):
                await shares.read_file(session, keyring, seen, "two")
        for wrong in (replace(two, key=one.key), replace(two, file=one.file)):
            with pytest.raises(DoesNotOpen):
                await fetch(session, holder, wrong, reread)
        with pytest.raises(DoesNotOpen):
            await fetch(session, replace(holder, is_share=False), two, reread)
        with pytest.raises(ForgedRecord):
            await fetch(session, holder, replace(two, sha256=one.sha256), reread)
        assert (await shares.read_file(session, keyring, seen, "two")).data == b"secon"


def test_m35_sealed_content_that_is_no_text_is_refused() -> None:
    file = Attachment(new_id(), "name", "text/plain", 4, digest(b"text"), b"k" * 32, b"thumbnail").to_json()
    good = {"label": "l", "slots": {"a": "1"}, "files": {"name": file}, "provenance": {"a": {}}}
    read_shared(json.dumps(good).encode())
    bad: list[dict[str, object]] = [
        {"label": "\ud800"},
        {"slots": {"\ud800": "1"}},
        {"slots": {"a": "\ud800"}},
        {"files": {"\ud800": file}},
        {"files": {"name": file | {"type": "\ud800"}}},
        {"provenance": {"\ud800": 1}},
    ]
    for each in bad:
        for read in (items.read_content, read_shared):
            with pytest.raises(Malformed):
                read(json.dumps(good | each).encode())


def test_m35_a_list_of_files_that_cannot_be_one_is_refused() -> None:
    good = Attachment(new_id(), "name", "text/plain", 4, digest(b"text"), b"k" * 32, b"thumbnail")
    said = good.to_json()
    assert read_attachments({"name": said}) == {"name": good}
    bad: list[object] = [
        {"../name": said},
        {"": said},
        {"..": said},
        {"a\\b": said},
        {"a\nb": said},
        {"n" * 256: said},
        {"\ud800": said},
        {f"name {n}": said for n in range(MAX_FILES + 1)},
        {"name": said | {"size": MAX_FILE + 1}},
        {"name": said | {"size": "4"}},
        {"name": said | {"thumbnail": "A" * 40_000}},
        {"name": {name: value for name, value in said.items() if name != "key"}},
        [said],
    ]
    for each in bad:
        with pytest.raises(Malformed):
            read_attachments(each)
