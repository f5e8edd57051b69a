"""U5: every signature and sealed object that there is, in every other place where one is read: refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privity.agent import connections, items, shares
from privity.agent.keys import stored_connection_key
from privity.agent.session import read_answer
from privity.crypto import aead, kem, labels
from privity.crypto.command import frame, sign_login, unframe, verify_command, verify_login, verify_query
from privity.crypto.files import decrypt_segment, encrypt_segment
from privity.crypto.kem import Suite, generate_keypair
from privity.crypto.signing import SigningKey, verify
from privity.encoding import digest, lp
from privity.errors import DoesNotOpen, ForgedRecord, PrivityError
from privity.messages import envelope
from privity.messages.items import RemoveItem
from privity.messages.views import AskKeys
from privity.testing.people import Person
from tests.trials.load import add_item, signer_of
from tests.trials.proxy import Proxy
from tests.trials.test_duplicates import line
from tests.trials.test_hostile_input import line_of

LABELS = sorted(value for name, value in vars(labels).items() if isinstance(value, bytes) and not name.startswith("_"))
KEY = SigningKey.from_seed(b"k" * 32)
SEALING = b"s" * 32
PAIRS = {suite: generate_keypair(suite) for suite in (Suite.X_WING, Suite.X25519)}
parts = st.lists(st.binary(max_size=40), max_size=4)
pairs = st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)).filter(lambda pair: pair[0] != pair[1])


def shifted(label: bytes, given: list[bytes]) -> list[list[bytes]]:
    """The same bytes, cut at other places: joined, split, and with the label among the parts."""
    whole = b"".join(given)
    found = [[whole], [label, *given], [lp(*given)], [*given, b""], given[1:], list(reversed(given))]
    return [each for each in found if each != given]


@given(pairs, parts)
def test_u5_a_signature_for_one_use_is_none_for_any_other(pair: tuple[bytes, bytes], said: list[bytes]) -> None:
    made = KEY.sign(pair[0], *said)
    verify(KEY.public, made, pair[0], *said)
    with pytest.raises(ForgedRecord):
        verify(KEY.public, made, pair[1], *said)
    for other in shifted(pair[0], said):
        with pytest.raises(ForgedRecord):
            verify(KEY.public, made, pair[0], *other)


@given(pairs, parts)
def test_u5_what_is_sealed_for_one_use_opens_for_no_other(pair: tuple[bytes, bytes], place: list[bytes]) -> None:
    made = aead.seal(SEALING, b"text", pair[0], *place)
    assert aead.open_sealed(SEALING, made, pair[0], *place) == b"text"
    for label, other in [(pair[1], place), *((pair[0], each) for each in shifted(pair[0], place))]:
        with pytest.raises(DoesNotOpen):
            aead.open_sealed(SEALING, made, label, *other)


@settings(max_examples=25)
@given(pairs, parts, st.sampled_from(sorted(PAIRS)))
def test_u5_what_is_sealed_to_a_key_opens_for_no_other_use(
    pair: tuple[bytes, bytes], place: list[bytes], suite: Suite
) -> None:
    keys = PAIRS[suite]
    made = kem.seal_to(suite, keys.public, b"text", pair[0], *place)
    assert kem.open_with(suite, keys.private, made, pair[0], *place) == b"text"
    for label, other in [(pair[1], place), *((pair[0], each) for each in shifted(pair[0], place))]:
        with pytest.raises(DoesNotOpen):
            kem.open_with(suite, keys.private, made, label, *other)


@given(parts)
def test_u5_a_sealed_object_of_one_format_is_none_of_another(place: list[bytes]) -> None:
    """Even under one key, with one label and one context."""
    openers: dict[str, Callable[[bytes], bytes]] = {
        "aead": lambda blob: aead.open_sealed(SEALING, blob, labels.FILE_SEGMENT, *place),
        "segment": lambda blob: decrypt_segment(SEALING, blob, *place),
        "kem": lambda blob: kem.open_with(Suite.X25519, PAIRS[Suite.X25519].private, blob, labels.FILE_SEGMENT, *place),
    }
    made = {
        "aead": aead.seal(SEALING, b"text", labels.FILE_SEGMENT, *place),
        "segment": encrypt_segment(SEALING, b"text", *place),
        "kem": kem.seal_to(Suite.X25519, PAIRS[Suite.X25519].public, b"text", labels.FILE_SEGMENT, *place),
    }
    for name, open_ in openers.items():
        assert open_(made[name]) == b"text"
    for one, other in permutations(made, 2):
        with pytest.raises(DoesNotOpen):
            openers[other](made[one])


@given(st.text(max_size=30), st.text(max_size=30), st.binary(max_size=60))
def test_u5_commands_queries_and_logins_are_told_apart(home: str, text: str, payload: bytes) -> None:
    """Also where one key signs all three and the parts are of the signer's choice."""
    home, text = (each.encode(errors="replace").decode() for each in (home, text))
    made = {
        labels.COMMAND: KEY.sign(labels.COMMAND, home.encode(), text.encode(), payload),
        labels.QUERY: KEY.sign(labels.QUERY, home.encode(), text.encode(), payload),
        labels.LOGIN: sign_login(KEY, home, text, payload),
    }
    checks: dict[bytes, Callable[[bytes], None]] = {
        labels.COMMAND: lambda it: verify_command(KEY.public, it, home, text, payload),
        labels.QUERY: lambda it: verify_query(KEY.public, it, home, text, payload),
        labels.LOGIN: lambda it: verify_login(KEY.public, it, home, text, payload),
    }
    for label, check in checks.items():
        check(made[label])
        for other in made:
            if other != label:
                with pytest.raises(PrivityError):
                    check(made[other])


async def test_u5_on_the_running_home_no_signature_serves_another_use(ann: Person) -> None:
    """A query's as a command's, a command's as a query's, and either on another subject."""
    signer, server = signer_of(ann)
    command = signer.command(RemoveItem("a" * 26), ())
    subject, query = signer.query(AskKeys(), None, 0)
    signature, payload = unframe(command.data, 2, 10**6)
    asking, asked = unframe(query, 2, 10**6)
    async with line(server, signer) as mine:
        as_query = frame(signer.key.sign(labels.QUERY, *bound(server.home, command.subject, payload)), payload)
        for bent in (as_query, frame(asking, payload), frame(sign_login(signer.key, server.home, "x", b""), payload)):
            (result,) = await mine.results_of(replace(command, data=bent))
            assert (result.status, result.code) == ("refused", "BadSignature")
        for verb in ("edit", "add"):
            elsewhere = f"privity.cmd.{signer.account}.items.{verb}"
            (result,) = await mine.results_of(replace(command, subject=elsewhere))
            assert result.status == "refused"
        (result,) = await mine.results_of(command)
        assert result.code == "NotFound"  # believed, and decided
    async with await line_of(signer, server) as bus:
        as_command = frame(signer.key.sign(labels.COMMAND, *bound(server.home, subject, asked)), asked)
        for bent in (as_command, frame(signature, asked)):
            assert read_answer(await bus.ask(subject, bent))[0].code == "BadSignature"
        other = envelope.query_subject(signer.account, "invitations")  # which has the same parameters
        assert read_answer(await bus.ask(other, query))[0].code == "BadSignature"
        assert read_answer(await bus.ask(subject, query))[0].status == "ok"


def bound(home: str, subject: str, payload: bytes) -> tuple[bytes, bytes, bytes]:
    return home.encode(), subject.encode(), payload


async def test_u5_a_signature_for_one_home_does_not_serve_another(ann: Person) -> None:
    signer, server = signer_of(ann)
    elsewhere = replace(signer, home="a" * 26)
    async with line(server, signer) as mine:
        (refused,) = await mine.results_of(add_item(elsewhere))
        assert (refused.status, refused.code) == ("refused", "BadSignature")
        (accepted,) = await mine.results_of(add_item(signer))
        assert accepted.status == "accepted"


async def test_u5_a_sealed_object_of_ones_own_in_another_place_does_not_open(
    connected: tuple[Person, Person], proxy: Proxy
) -> None:
    """Every object that Ann keeps at the home, in the place of every other."""
    ann, bob = connected
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123"})
        await connections.all_own(session, keyring)
        made = await shares.create(session, keyring, item.item, bob.address)
        connection = await connections.show(session, keyring, made.connection)
    through = proxy.person(ann)
    async with through.session() as (session, keyring):
        await items.show(session, keyring, item.item)
        await shares.show(session, keyring, made.share)
        await stored_connection_key(session, keyring, connection.key)
    objects: dict[str, bytes] = {}
    for view, answer in proxy.answered:
        head, *blobs = unframe(answer, 900, 2**20)
        objects |= {f"{view} {number}": blob for number, blob in enumerate(blobs) if json.loads(head)["rows"]}
    assert len(set(objects.values())) >= 6  # item, its wrap, a note, a private key, a share's content and wrap

    for field in ("content", "wrap"):
        right = 0
        for name, blob in objects.items():

            def lie(rows: list[Any], blobs: dict[str, bytes], blob: bytes = blob, field: str = field) -> None:
                nonlocal right
                right += digest(blob) == rows[0][field]
                rows[0][field] = digest(blob)
                blobs[digest(blob)] = blob

            before = right
            with proxy.lying("items", lie):
                async with through.session() as (session, keyring):
                    try:
                        shown = await items.show(session, keyring, item.item)
                    except (DoesNotOpen, ForgedRecord):  # it is bound, and remembered
                        assert right == before, name
                    else:
                        assert (right, shown) == (before + 1, item), name
        assert right >= 1
