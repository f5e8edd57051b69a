"""`privity schema`: the document is AsyncAPI 3.0, has all that there is, and its examples are messages of the code."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from pydantic import TypeAdapter

from privity.cli import main
from privity.contract.document import document
from privity.contract.text import to_json, to_yaml
from privity.encoding import digest, unb64
from privity.messages import envelope, views
from privity.messages.catalog import COMMANDS, EVENTS, command_codec, read_command, sealed_fields, sealed_of
from privity.messages.recorded import read_recorded
from privity.messages.suppliers import REQUESTS
from tests.contract.reading import FORMATS, Contract
from tests.docs.pages import ROOT

OFFICIAL = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text())
COPY = ROOT / "docs" / "asyncapi.json"
DOCUMENT = document()
MESSAGES = DOCUMENT["components"]["messages"]
SOME = ("items.add", "result", "answer.shares", "event.group-staged", "dead")


@cache
def official() -> Draft7Validator:
    """The official schema, ready to be asked."""
    return Draft7Validator(OFFICIAL)


def example(message: str) -> Any:
    """The payload of a message's example."""
    return MESSAGES[message]["examples"][0]["payload"]


def of(value: Any) -> list[str]:
    """One digest or many."""
    return value if isinstance(value, list) else [value]


def refs(value: Any) -> Iterator[str]:
    """Every reference in the document."""
    if isinstance(value, dict):
        yield from (each for key, each in value.items() if key == "$ref" and isinstance(each, str))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from refs(each)


def addresses(beginning: str) -> set[str]:
    """The channels whose address begins so."""
    found = (channel["address"] for channel in DOCUMENT["channels"].values())
    return {each for each in found if each.startswith(beginning)}


def test_the_document_is_valid_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert [error.message for error in official().iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    "broken",
    [
        {"operations": {"one": {"action": "shout", "channel": {"$ref": "#/channels/feed"}}}},
        {"channels": {"one": {"adress": "privity.feed"}}},
        {"components": {"schemas": {"One": {"type": "text"}}}},
        {"info": {"title": "Privity"}},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_document_that_is_none_does_not_pass(broken: dict[str, Any]) -> None:
    small = {name: DOCUMENT[name] for name in ("asyncapi", "info")}
    assert list(official().iter_errors(small)) == []
    assert list(official().iter_errors(small | broken))


def test_every_format_that_it_names_is_checked_here() -> None:
    formats = set(re.findall(r'"format": "([^"]+)"', to_json(DOCUMENT)))
    assert formats == set(FORMATS.checkers) == {"date-time"}
    contract, shown = Contract(DOCUMENT), example("items.add")
    faulty = shown | {"envelope": shown["envelope"] | {"issued_at": "yesterday"}}
    assert "'yesterday' is not a 'date-time'" in "".join(contract.payload_faults("items.add", faulty))


def test_every_reference_leads_somewhere() -> None:
    for ref in set(refs(DOCUMENT)):
        at = DOCUMENT
        for step in ref.removeprefix("#/").split("/"):
            assert step in at, ref
            at = at[step]


def test_it_has_every_command_event_view_and_request_and_no_other() -> None:
    assert addresses("privity.cmd.") == {f"privity.cmd.{{account}}.{name}" for name in COMMANDS}
    assert addresses("privity.qry.") == {f"privity.qry.{{account}}.{name}" for name in views.ASKS}
    assert addresses("privity.supplier.") == {f"privity.supplier.{{supplier}}.{verb}" for verb in REQUESTS}
    assert addresses("privity.evt.") == {
        f"privity.evt.{event.context}.{name}.{{stream}}" for name, event in EVENTS.items()
    }


def test_every_message_has_an_example_that_is_valid_and_is_not_without_a_field() -> None:
    contract = Contract(DOCUMENT)
    for name, message in MESSAGES.items():
        (shown,) = message["examples"]
        assert list(contract.payload_faults(name, shown["payload"])) == [], name
        if isinstance(shown["payload"], dict):
            assert list(contract.payload_faults(name, shown["payload"] | {"other": 1})), name
            needed = next(iter(shown["payload"]))
            without = {key: each for key, each in shown["payload"].items() if key != needed}
            assert list(contract.payload_faults(name, without)), name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_one_with_its_sealed_objects(name: str) -> None:
    shown = example(name)
    body = shown["envelope"]["body"]
    command = read_command(name, body)
    assert set(sealed_of(command)) == {digest(unb64(each)) for each in shown.get("sealed", [])}
    assert envelope.command_envelope.validate_python(shown["envelope"]).body == body
    assert command_codec(type(command)).dump_python(command, mode="json").keys() == body.keys()


@pytest.mark.parametrize("name", EVENTS)
def test_the_example_of_an_event_is_one(name: str) -> None:
    assert isinstance(read_recorded(name, json.dumps(example(f"event.{name}")).encode()).event, EVENTS[name])


@pytest.mark.parametrize("view", views.ASKS)
def test_the_examples_of_a_query_and_its_answer_are_such(view: str) -> None:
    asked = envelope.query_envelope.validate_python(example(f"ask.{view}")["envelope"])
    assert isinstance(TypeAdapter(views.ASKS[view]).validate_python(asked.params), views.ASKS[view])
    shown = example(f"answer.{view}")
    (row,) = envelope.answer.validate_python(shown["answer"]).rows
    assert isinstance(TypeAdapter(views.ROWS[view]).validate_python(row), views.ROWS[view])
    behind = {digest(unb64(each)) for each in shown["sealed"]}
    assert behind == {each for name in sealed_fields(views.ROWS[view]) for each in of(row[name])}


def test_every_code_of_the_errors_is_in_it_with_its_sentence() -> None:
    codes = DOCUMENT["components"]["schemas"]["ErrorCode"]
    assert {"NotFound", "BadSignature", "ForgedRecord"} <= set(codes["enum"]) == set(codes["x-meanings"])
    assert codes["x-meanings"]["NotFound"] == "There is no such thing here."


def test_the_copy_in_docs_is_of_today_whatever_python_hashes_by() -> None:
    """`make schema` writes it anew; the difference shows what changes for apps."""
    run = [sys.executable, "-m", "privity.cli.main", "schema"]
    done = subprocess.run(run, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": "4711"})
    assert done.stdout.decode() == COPY.read_text() == to_json(DOCUMENT), "the contract changed: run make schema"


def test_the_yaml_says_the_same_as_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "asyncapi.yaml"
    assert main.run(["schema", "--format", "yaml", "--out", str(out), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"file": str(out), "channels": len(DOCUMENT["channels"]), "messages": len(MESSAGES)}
    assert out.read_text() == to_yaml(DOCUMENT)
    part = {name: DOCUMENT[name] for name in ("info", "servers")} | {"messages": [MESSAGES[name] for name in SOME]}
    assert yaml.safe_load(to_yaml(part)) == part, "all of it takes PyYAML seconds"
    assert re.match(r'"asyncapi": "3\.0\.0"\n', out.read_text())


def test_a_file_that_cannot_be_written_is_said_to_be_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["schema", "--out", str(tmp_path / "none" / "asyncapi.json")]) == 2
    assert "cannot be written: No such file or directory" in " ".join(capsys.readouterr().err.split())
