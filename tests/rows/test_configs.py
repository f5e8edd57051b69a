"""Rows M9 and M18: a connection and a share that were written down first, as JSON files to be edited."""

import json
import stat
from pathlib import Path

import pytest

from privity.agent import connections
from privity.agent.connections import Connection
from privity.agent.invitations import all_both_ways
from privity.agent.pairing import Side, connect_both
from privity.errors import AlreadyConnected, Malformed
from privity.testing.people import Person, connect
from tests.conftest import MakePerson
from tests.rows.watching import Wire, ran


async def test_m9_one_config_file_connects_two_people_verified_on_both_sides(
    ann: Person, bob: Person, tmp_path: Path, wire: Wire
) -> None:
    file = tmp_path / "connection.json"
    named = ["--to", str(bob.home), "--from-name", "Ann", "--to-name", "Bob"]
    written = await ran(ann, "--json", "connection", "config", str(file), *named)
    said = json.loads(file.read_text())
    assert said == {
        "from": {"home": str(ann.home), "address": ann.address, "name": "Ann"},
        "to": {"home": str(bob.home), "address": bob.address, "name": "Bob"},
        "v": 1,
    }
    assert written.json == {"config": str(file), **said}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ann.passphrase not in file.read_text()
    said["to"]["name"] = "Bobby"
    file.write_text(json.dumps(said))

    create = ["--json", "connection", "create", "--config", str(file)]
    wrong = await ran(ann, *create, PRIVITY_PASSPHRASE_TO="another")
    assert (wrong.code, wrong.err.split(":")[1]) == (1, " BadPassphrase")
    made = (await ran(ann, *create, PRIVITY_PASSPHRASE_TO=bob.passphrase)).json
    (theirs,) = (await ran(bob, "--json", "connection", "list")).json
    (ours,) = (await ran(ann, "--json", "connection", "list")).json
    assert made == ours
    assert (made["peer"], made["name"], made["verified"]) == (bob.address, "Bobby", True)
    assert (theirs["peer"], theirs["name"], theirs["verified"]) == (ann.address, "Ann", True)
    assert (theirs["connection"], theirs["safety_number"]) == (made["connection"], made["safety_number"])

    before = len([subject for subject, _ in wire.published if subject.endswith("invitations.invite")])
    again = await ran(ann, *create, PRIVITY_PASSPHRASE_TO=bob.passphrase)
    assert again.code == 1
    assert again.err.startswith("error: AlreadyConnected: ")
    assert before == len([subject for subject, _ in wire.published if subject.endswith("invitations.invite")]) == 1


@pytest.mark.trial
async def test_m9_a_config_file_for_somebody_else_is_refused(ann: Person, bob: Person, tmp_path: Path) -> None:
    file, create = tmp_path / "connection.json", ["--json", "connection", "create", "--config"]
    assert (await ran(ann, "connection", "config", str(file), "--to", str(ann.home))).code == 0
    refused = await ran(ann, *create, str(file), PRIVITY_PASSPHRASE_TO=ann.passphrase)
    assert refused.err == "error: Malformed: both are the same account\n"
    twice = await ran(ann, "connection", "config", str(file), "--to", str(bob.home))
    assert twice.err == f"error: AlreadyExists: {file} is there already\n"

    side = {"home": str(ann.home), "address": ann.address}
    other = {"home": str(bob.home), "address": "eve@localhost"}
    for said, why in (
        ({"from": side, "to": other}, "is of"),
        ({"from": side}, "to: "),
        ({"from": side, "to": side, "passphrase": ann.passphrase}, "passphrase: "),
        ([], "message: "),
    ):
        file.write_text(json.dumps(said))
        refused = await ran(ann, *create, str(file), PRIVITY_PASSPHRASE_TO=bob.passphrase)
        assert refused.err.startswith("error: Malformed: ")
        assert why in refused.err
        assert ann.passphrase not in refused.err
    async with ann.session() as (session, _):
        assert await all_both_ways(session) == []


@pytest.mark.trial
async def test_m9_who_is_connected_meanwhile_leaves_no_open_invitation(
    ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connect(bob, ann)

    async def nobody(*_: object) -> None:
        return None

    async with ann.session() as one, bob.session() as two:
        with pytest.raises(AlreadyConnected):
            await connect_both(Side(*one), Side(*two))
        assert [each.status for each in await all_both_ways(one[0]) if not each.incoming] == []
        monkeypatch.setattr("privity.agent.pairing._check_strangers", nobody)
        with pytest.raises(AlreadyConnected):
            await connect_both(Side(*one), Side(*two))
        assert [each.status for each in await all_both_ways(one[0]) if not each.incoming] == ["cancelled"]
        with pytest.raises(Malformed):
            await connect_both(Side(*one), Side(*one))
        (found,) = await connections.all_own(*one)
        assert isinstance(found, Connection)


async def test_m18_a_share_is_made_from_a_config_file_and_without_one(
    connected: tuple[Person, Person], tmp_path: Path, person: MakePerson
) -> None:
    ann, bob = connected
    sets = ["--set", "number=X123", "--set", "name=Ann"]
    item = (await ran(ann, "--json", "item", "add", "Passport", *sets)).json["item"]
    file = tmp_path / "share.json"
    options = ["--with", bob.address, "--slot", "number", "--expires", "2099-12-31", "--keep", "-o", str(file)]
    written = (await ran(ann, "--json", "share", "config", item[:9], *options)).json
    assert written == json.loads(file.read_text())
    assert written == {
        "item": item,
        "with": bob.address,
        "slots": ["number"],
        "files": None,
        "expires": "2099-12-31",
        "terms": None,
        "reshare": 0,
        "keep": True,
        "v": 1,
    }
    assert (await ran(ann, "--json", "share", "list")).json == []

    made = (await ran(ann, "--json", "share", "create", "--config", str(file))).json
    (connection,) = (await ran(ann, "--json", "connection", "list")).json
    assert (made["connection"], made["from"], made["to"]) == (connection["connection"], ann.address, bob.address)
    shown = (await ran(bob, "--json", "share", "show", made["share"])).json
    assert (shown["slots"], shown["keep"]) == ({"number": "X123"}, True)
    assert shown["expires"] == "2099-12-31T23:59:59+00:00"

    plain = (await ran(ann, "--json", "share", "create", item, "--with", bob.address)).json
    assert plain["connection"] == connection["connection"]
    assert (await ran(bob, "--json", "share", "show", plain["share"])).json["slots"] == {
        "number": "X123",
        "name": "Ann",
    }


@pytest.mark.trial
async def test_m18_a_config_file_that_says_something_else_shares_nothing(
    connected: tuple[Person, Person], tmp_path: Path
) -> None:
    ann, bob = connected
    item = (await ran(ann, "--json", "item", "add", "Passport", "--set", "number=X123")).json["item"]
    file, good = tmp_path / "share.json", {"item": item, "with": bob.address}
    refused = await ran(ann, "share", "config", item, "--with", bob.address, "--slot", "none")
    assert refused.err.startswith("error: NotFound: the item has no value 'none'")
    for said, code in (
        ({**good, "slot": ["number"]}, "Malformed"),
        ({**good, "reshare": 9}, "Malformed"),
        ({**good, "v": 2}, "Malformed"),
        ({**good, "slots": ["none"]}, "NotFound"),
        ({**good, "expires": "2001-01-01"}, "PastDate"),
        ({**good, "with": "eve@localhost"}, "NotConnected"),
        ({"item": item}, "Malformed"),
    ):
        file.write_text(json.dumps(said))
        refused = await ran(ann, "share", "create", "--config", str(file))
        assert (refused.code, refused.err.split(":")[1].strip()) == (1, code), said
    file.write_text(" " * 300_000)
    assert "too large" in (await ran(ann, "share", "create", "--config", str(file))).err
    assert (await ran(ann, "share", "create", "--config", str(file), "--keep")).code == 2
    assert (await ran(ann, "share", "create", item)).code == 2
    assert (await ran(ann, "--json", "share", "list")).json == []

    file.write_text(json.dumps(good))
    assert (await ran(ann, "share", "create", "--config", str(file))).code == 0
