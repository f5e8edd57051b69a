"""The command line as scripts use it: JSON keys, exit codes, errors, and ids by their beginning."""

import os
import socket
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from privity.agent import items
from privity.connection_string import parse_connection_string
from privity.crypto.signing import SigningKey
from privity.testing.home import RunningHome
from privity.testing.people import PRIVITY, Outcome, Person, somebody
from tests.rows.watching import typed

ACCOUNT = {"account", "address", "fingerprint"}
ITEM = {"item", "label", "own", "owner", "version"}
INVITATION = {"invitation", "email", "status", "expires"}
ACCEPTED = {"connection", "peer", "verified"}
CONNECTION = {"connection", "peer", "name", "status", "verified", "safety_number"}
SHARE = {"share", "label", "from", "to", "status", "expires"}

KEYS = {
    "account create": {"account", "address", "secret", "fingerprint", "recovery"},
    "account login": ACCOUNT,
    "account show": ACCOUNT,
    "account passphrase": ACCOUNT,
    "account logout": ACCOUNT,
    "account recover": ACCOUNT,
    "item add": {"item", "version"},
    "item edit": {"item", "version"},
    "item list": ITEM,
    "item show": {*ITEM, "slots"},
    "item rm": ITEM,
    "invite": {"invitation", "link"},
    "invitation list": INVITATION,
    "invitation show": INVITATION,
    "invitation cancel": INVITATION,
    "accept": ACCEPTED,
    "decline": ACCEPTED,
    "connection list": CONNECTION,
    "connection show": CONNECTION,
    "connection verify": CONNECTION,
    "connection rm": CONNECTION,
    "share create": {"share", "connection"},
    "share list": SHARE,
    "share show": {*SHARE, "slots", "verified"},
    "share rm": {"share", "status"},
    "feed": {"position", "event", "at"},
}
"""The command line's page, for the commands that there are."""


@dataclass
class Story:
    """Everything that Ann and Bob typed, and what each command left."""

    ann: Person
    bob: Person
    said: dict[str, Outcome] = field(default_factory=dict)

    def type(self, person: Person, command: str, *rest: str, **environment: str) -> Any:
        """Type a command that must succeed; what it printed."""
        done = typed(person, *command.split(), *rest, "--json", **environment)
        assert (done.code, done.err) == (0, ""), command
        self.said.setdefault(command, done)
        return done.json


@pytest.fixture(scope="module")
def story(backend: RunningHome, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Every command once, as people would type them."""
    folder = tmp_path_factory.mktemp("story")
    ann, bob = somebody("ann", folder, backend.url), somebody("bob", folder, backend.url)
    told = Story(ann, bob)
    written = told.type(ann, "account create", ann.address)
    told.type(bob, "account create", bob.address)
    told.type(ann, "account show")
    item = told.type(ann, "item add", "Passport", "--set", "number=X123")["item"]
    told.type(ann, "item edit", item[:12], "--set", "number=X124")
    told.type(ann, "item list")
    told.type(ann, "item show", item)
    for answer in ("decline", "cancel", "accept"):
        invited = told.type(ann, "invite", bob.address, "--name", "Bobby")
        if answer == "cancel":
            told.type(ann, "invitation cancel", invited["invitation"])
        else:
            told.type(bob, answer, invited["link"])
    told.type(bob, "invitation list")
    told.type(bob, "invitation show", invited["invitation"])
    number = told.type(ann, "connection show", bob.address)["safety_number"]
    told.type(bob, "connection verify", ann.address, "--number", number)
    told.type(bob, "connection list")
    share = told.type(ann, "share create", item, "--with", bob.address)["share"]
    told.type(bob, "share show", share)
    told.type(bob, "share list")
    told.type(bob, "feed")
    told.type(ann, "share rm", share)
    told.type(ann, "connection rm", bob.address)
    told.type(ann, "item rm", item)
    second = replace(ann, home=folder / "second")
    told.type(second, "account login", ann.address, "--secret", written["secret"])
    told.type(second, "account passphrase", PRIVITY_NEW_PASSPHRASE="another one")
    told.type(replace(second, passphrase="another one"), "account logout")
    third = replace(ann, home=folder / "third")
    told.type(third, "account recover", ann.address, "--recovery", written["recovery"])
    return told


@pytest.mark.parametrize("command", KEYS)
def test_each_command_prints_one_json_value_with_the_keys_of_its_page(story: Story, command: str) -> None:
    printed = story.said[command].json

    rows = printed if isinstance(printed, list) else [printed]
    assert rows
    assert isinstance(printed, list) == (command in {"feed"} or command.endswith(" list"))
    for row in rows:
        assert KEYS[command] <= set(row)


def test_a_process_prints_the_same(story: Story) -> None:
    done = story.bob.run("feed", "--json")

    assert (done.code, done.err) == (0, "")
    assert done.json[: len(story.said["feed"].json)] == story.said["feed"].json


def test_the_values_are_what_the_page_says(story: Story) -> None:
    said = {command: done.json for command, done in story.said.items()}

    assert said["account show"]["account"] == said["account create"]["account"] == said["account login"]["account"]
    assert said["account create"]["address"] == story.ann.address
    assert (said["item add"]["version"], said["item edit"]["version"]) == (1, 2)
    assert said["item show"]["slots"] == {"number": "X124"}
    assert said["item rm"]["item"] == said["item add"]["item"]
    assert {each["status"] for each in said["invitation list"]} == {"accepted", "declined", "cancelled"}
    assert said["accept"]["peer"] == said["decline"]["peer"] == story.ann.address
    assert (said["accept"]["verified"], said["decline"]["connection"]) == (True, None)
    assert said["connection show"]["name"] == "Bobby"
    assert said["share create"]["connection"] == said["accept"]["connection"]
    assert (said["share show"]["from"], said["share show"]["to"]) == (story.ann.address, story.bob.address)
    assert said["share show"]["slots"] == {"number": "X124"}
    assert said["share list"][0]["expires"] is None
    assert said["share rm"]["status"] == said["connection rm"]["status"] == "removed"
    positions = [each["position"] for each in said["feed"]]
    assert positions == sorted(set(positions))


@pytest.fixture(scope="module")
def dora(backend: RunningHome, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Somebody with an account and one item."""
    made = somebody("dora", tmp_path_factory.mktemp("dora"), backend.url)
    made.json("account", "create", made.address)
    made.json("item", "add", "Passport", "--set", "number=X123")
    return made


@pytest.mark.parametrize("line", ["--json item list", "item --json list", "item list --json", "item list --own --json"])
def test_json_may_stand_anywhere_in_the_line(dora: Person, line: str) -> None:
    done = typed(dora, *line.split())

    assert (done.code, done.err) == (0, "")
    assert [row["label"] for row in done.json] == ["Passport"]


def test_home_and_server_may_stand_anywhere_too_and_outrank_the_environment(dora: Person, tmp_path: Path) -> None:
    named = ("--home", str(dora.home), f"--server={dora.server}")

    done = typed(dora, "item", *named, "list", "--json", PRIVITY_HOME=str(tmp_path), PRIVITY_SERVER="nonsense")

    assert (done.code, done.err, len(done.json)) == (0, "", 1)


def test_without_json_people_get_a_table(dora: Person) -> None:
    done = typed(dora, "item", "list")

    assert (done.code, done.err) == (0, "")
    assert "Passport" in done.out
    assert not done.out.lstrip().startswith("[")


def test_without_json_several_values_stand_in_one_line(dora: Person, backend: RunningHome, tmp_path: Path) -> None:
    at = ("--data", str(backend.data), "--out", str(tmp_path / "stats.creds"))

    done = typed(dora, "consumer", "credential", "--name", "stats", *at, "--context", "shares", "--context", "items")

    assert (done.code, done.err) == (0, "")
    assert "contexts  items, shares\n" in done.out


def of_another_home(server: str) -> str:
    """The same address, with the log key of another home."""
    return replace(parse_connection_string(server), log_public=SigningKey.generate().public).text()


def to_nobody(server: str) -> str:
    """The same home, at a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return replace(parse_connection_string(server), port=probe.getsockname()[1]).text()


def error(done: Outcome) -> tuple[int, str]:
    """Exit code and error code of a command that must have printed nothing but one line on stderr."""
    assert done.out == ""
    word, code, sentence = done.err.split(": ", 2)
    assert word == "error"
    assert sentence.endswith("\n")
    assert sentence.count("\n") == 1
    assert len(sentence.split()) > 2
    return done.code, code


@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
def test_what_is_not_there_is_refused_with_1(dora: Person, json: tuple[str, ...]) -> None:
    assert error(dora.run(*json, "item", "show", "a" * 26)) == (1, "NotFound")


def test_refusals_of_the_profile_leave_with_1(dora: Person, tmp_path: Path) -> None:
    nobody = replace(dora, home=tmp_path / "nobody")

    assert error(typed(nobody, "item", "list")) == (1, "NoProfile")
    assert error(typed(replace(dora, passphrase="wrong"), "item", "list")) == (1, "BadPassphrase")
    assert error(typed(dora, "account", "create", "other@localhost")) == (1, "ProfileExists")
    assert error(typed(nobody, "account", "create", dora.address)) == (1, "AddressTaken")
    assert error(typed(nobody, "account", "create", "x@localhost", PRIVITY_SERVER="nonsense")) == (1, "Malformed")
    assert error(typed(dora, "accept", "nonsense")) == (1, "Malformed")
    assert not nobody.home.exists() or list(nobody.home.glob("profile.json")) == []


@pytest.mark.parametrize(
    "line",
    ["nonsense", "item nonsense", "item show", "item list --nonsense", "item add Label --set no-equals", "up --port x"],
)
def test_usage_leaves_with_2(dora: Person, line: str) -> None:
    done = typed(dora, *line.split())

    assert (done.code, done.out) == (2, "")
    assert done.err != ""


def test_usage_leaves_a_process_with_2(dora: Person) -> None:
    done = dora.run("nonsense")

    assert (done.code, done.out) == (2, "")
    assert "nonsense" in done.err


def test_a_missing_passphrase_is_usage_where_there_is_nobody_to_ask(dora: Person) -> None:
    environment = {**os.environ, "PRIVITY_SERVER": dora.server, "PRIVITY_HOME": str(dora.home)}
    environment.pop("PRIVITY_PASSPHRASE", None)

    done = subprocess.run(
        [*PRIVITY, "item", "list"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "PRIVITY_PASSPHRASE" in done.stderr


def test_the_server_of_another_home_is_an_alarm_with_3(dora: Person) -> None:
    elsewhere = replace(dora, server=of_another_home(dora.server))

    process = elsewhere.run("item", "list", "--json")
    assert error(process) == (3, "KeyMismatch")
    assert "another home" in process.err
    for line in ("account show", "share list --json"):
        assert error(typed(elsewhere, *line.split())) == (3, "KeyMismatch")
    assert typed(dora, "item", "list").code == 0


def test_a_server_that_nobody_serves_cannot_be_reached_with_4(dora: Person) -> None:
    done = replace(dora, server=to_nobody(dora.server)).run("invitation", "show", "a", "--json")

    assert error(done) == (4, "Unreachable")


def test_a_command_that_could_not_be_sent_is_kept_and_takes_effect_at_the_next_one(
    dora: Person, tmp_path: Path
) -> None:
    erin = somebody("erin", tmp_path, dora.server)
    erin.json("account", "create", erin.address)

    done = replace(erin, server=to_nobody(erin.server)).run("item", "add", "Later")
    assert (done.code, "waits on this device" in done.out) == (0, True), done.err

    later = erin.run("item", "list", "--json")
    assert (later.code, [row["label"] for row in later.json]) == (0, ["Later"])
    again = erin.run("item", "list", "--json")
    assert (again.err, len(again.json)) == ("", 1)


async def test_things_are_named_by_their_unique_beginning_and_an_ambiguous_one_is_refused(
    dora: Person, tmp_path: Path
) -> None:
    frank = somebody("frank", tmp_path, dora.server)
    await frank.register()
    first: dict[str, str] = {}
    async with frank.session() as (session, keyring):
        while True:
            kept = (await items.add(session, keyring, "one of many", {})).item
            if kept[0] in first:
                break
            first[kept[0]] = kept

    for verb in ("show", "rm"):
        assert error(frank.run("item", verb, kept[0])) == (1, "Ambiguous")
    assert frank.json("item", "show", kept[:12])["item"] == kept
    assert len(frank.json("item", "list")) == len(first) + 1


REFUSED = {"Passport": "Malformed", "0189": "Malformed", "a" * 60: "Malformed", "ÄÖ": "Malformed", "": "Ambiguous"}


@pytest.mark.parametrize("written", REFUSED)
def test_what_is_no_beginning_of_an_id_is_refused_by_a_sentence(dora: Person, written: str) -> None:
    code, name = error(typed(dora, "item", "rm", written))

    assert (code, name) == (1, REFUSED[written])
    assert len(typed(dora, "item", "list", "--json").json) == 1


@pytest.mark.parametrize("line", ["share rm", "share show", "connection rm", "invitation cancel", "item show"])
def test_nothing_is_named_by_an_empty_word(story: Story, line: str) -> None:
    assert error(typed(story.bob, *line.split(), "")) == (1, "Ambiguous")


def test_an_item_may_have_the_name_of_an_option(dora: Person, tmp_path: Path) -> None:
    gina = somebody("gina", tmp_path, dora.server)
    typed(gina, "account", "create", gina.address)

    typed(gina, "item", "add", "--", "--json")

    assert [row["label"] for row in typed(gina, "item", "list", "--json").json] == ["--json"]


def test_a_second_up_on_the_same_folder_is_refused_by_name(backend: RunningHome, dora: Person) -> None:
    done = dora.run("up", "--data", str(backend.data), "--port", "0")

    assert error(done) == (1, "AlreadyRunning")
    assert str(backend.data) in done.err
    assert f"process {backend.pid}" in done.err
    assert backend.url == dora.server
    assert len(dora.json("item", "list")) == 1


def test_help_explains_itself_with_0(dora: Person) -> None:
    for line in ("--help", "share create -h"):
        done = typed(dora, *line.split())
        assert (done.code, done.err) == (0, "")
        assert "Usage" in done.out
