"""Canaries: what people write, and every secret of theirs, is nowhere in what the backend keeps, logs or sends."""

import asyncio
import json
import sqlite3
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from privity.agent import accounts, connections, invitations, items, keys, shares
from privity.agent.files import Plain
from privity.agent.profile import ProfileFolder, secret_of
from privity.crypto.invitation import parse_link
from privity.encoding import new_id
from privity.testing.home import RunningHome
from privity.testing.people import somebody
from tests.trials.load import backend_bus, eventually, views_position

WORDS = (
    "label",
    "value",
    "second-value",
    "edited-value",
    "name-for-bob",
    "name-for-ann",
    "passphrase",
    "new-passphrase",
    "file-name",
    "file",
)


def canary(word: str) -> str:
    """A text that stands nowhere else, and looks different once JSON has escaped it."""
    return f'känarie "{word}" {new_id()}'


def forms(secret: bytes) -> set[bytes]:
    """The bytes themselves and as hex, base64 in every alignment and alphabet, and escaped in JSON."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for shift in range(3):
        whole = (shift * 8 + 5) // 6, (shift + len(secret)) * 8 // 6  # the characters that hang on the secret alone
        for encode in (b64encode, urlsafe_b64encode):
            found.add(encode(bytes(shift) + secret)[whole[0] : whole[1]])
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return found
    return found | {json.dumps(text, ensure_ascii=ascii)[1:-1].encode() for ascii in (True, False)}


def where(secret: bytes, places: dict[str, bytes]) -> set[str]:
    """The places in which a secret stands in any form."""
    shapes = forms(secret)
    return {name for name, data in places.items() if any(shape in data for shape in shapes)}


def kept(data: Path) -> dict[str, bytes]:
    """Every file of a home, and every cell of its databases: a file may tear a text over two pages."""
    files = {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}
    cells = {f"{name} cells": b"\0".join(_cells(data / name)) for name in ("store.db", "views.db")}
    return files | cells


def _cells(path: Path) -> Iterator[bytes]:
    db = sqlite3.connect(path)
    try:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):
                yield from (cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)
    finally:
        db.close()


@pytest.mark.parametrize(
    "encode", [bytes, bytes.hex, b64encode, urlsafe_b64encode, lambda data: json.dumps(data.decode())]
)
@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz"])
def test_s14_the_search_finds_a_canary_in_every_form_and_alignment(before: bytes, encode: object) -> None:
    secret = canary("planted").encode()
    written = encode(before + secret + b" and more")  # type: ignore[operator]
    data = written if isinstance(written, bytes) else written.encode()
    assert where(secret, {"here": data, "elsewhere": b"nothing"}) == {"here"}


async def test_s14_no_word_and_no_secret_of_a_whole_story_is_in_anything_that_the_backend_keeps_or_sends(
    own_backend: RunningHome, tmp_path: Path
) -> None:
    words = {word: canary(word) for word in WORDS}
    ann = replace(somebody("ann", tmp_path, own_backend.url), passphrase=words["passphrase"])
    bob = somebody("bob", tmp_path, own_backend.url)
    heard: list[bytes] = []

    async def tap(message: Msg) -> None:
        headers = json.dumps(message.headers or {}).encode()
        heard.append(b"\0".join((message.subject.encode(), message.reply.encode(), headers, message.data)))

    secrets: dict[str, bytes] = {word: text.encode() for word, text in words.items()}
    async with backend_bus(own_backend) as bus:
        await bus.subscribe(">", cb=tap)
        await bus.flush()
        new = await ann.register()
        secrets |= {"recovery text": new.recovery.encode(), "secret text": new.secret.encode()}
        await bob.register()
        async with ann.session() as (session, keyring):
            kept_item = await items.add(
                session,
                keyring,
                words["label"],
                {"one": words["value"], "two": words["second-value"]},
                [Plain(words["file-name"], "text/plain", words["file"].encode())],
            )
            secrets |= {"file key": kept_item.content.files[words["file-name"]].key}
            invited = await invitations.invite(session, keyring, bob.address, name=words["name-for-bob"])
            stranger = await invitations.invite(session, keyring, f"{new_id()}@known.example")
            secrets |= {"KEK": keyring.kek, "identity": keyring.identity.sign.seed, "device": keyring.device.seed}
            secrets |= {"account secret": secret_of(ProfileFolder(ann.home).load())}
            secrets |= {f"link {n}": parse_link(each.link).secret or b"" for n, each in enumerate((invited, stranger))}
        async with bob.session() as (session, keyring):
            await invitations.accept(session, keyring, invited.link, name=words["name-for-ann"])
            secrets |= {"Bob's KEK": keyring.kek}
        async with ann.session() as (session, keyring):
            made = await shares.create(session, keyring, kept_item.item, bob.address)
            connection = await connections.show(session, keyring, made.connection)
            own = await keys.stored_connection_key(session, keyring, connection.key)
            secrets |= {"connection key": own.pair.private}
            await items.edit(session, keyring, kept_item.item, {"one": words["edited-value"]})
            profile = ProfileFolder(ann.home).load()
            await accounts.change_passphrase(session, keyring, profile, words["new-passphrase"])

        async with bob.session() as (session, keyring):  # the unattacked half: whom it is for reads it
            opened = await shares.show(session, keyring, made.share)
            assert opened.content.label == words["label"]
            assert opened.content.slots == {"one": words["value"], "two": words["second-value"]}
            assert (await connections.all_own(session, keyring))[0].name == words["name-for-ann"]
            assert (await shares.read_file(session, keyring, opened, words["file-name"])).data == words["file"].encode()
            position = session.folder.position
        await eventually(lambda: views_position(own_backend) >= position)
        email = (await found_in_mail(own_backend, stranger.invitation)).encode()

    running = await asyncio.to_thread(kept, own_backend.data)
    assert await asyncio.to_thread(own_backend.stop) == 0
    places = {f"stopped {name}": data for name, data in kept(own_backend.data).items()} | running
    places["the bus"] = b"\0\0".join(heard)
    for name, secret in secrets.items():
        assert len(secret) >= 16, f"{name} is too short to be looked for"
        assert where(secret, places) == set(), f"{name} is not secret"

    known = where(email, places)  # the search does find what the backend may know, wherever that goes
    assert {"store.db cells", "views.db cells", "the bus"} <= known
    assert any(name.startswith("nats/js/") for name in known)
    assert any(name.startswith("mail/") for name in known)
    assert any(b"privity.cmd." in each for each in heard)
    assert any(b"privity.qry." in each for each in heard)
    assert any(b"privity.result." in each for each in heard)


async def found_in_mail(home: RunningHome, invitation: str) -> str:
    """The address to which the invitation's e-mail went, once it is there."""
    folder = home.data / "mail"
    await eventually(lambda: list(folder.glob(f"{invitation}*")))
    (path,) = folder.glob(f"{invitation}*")
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("To: ")]
    return line.removeprefix("To: ")
