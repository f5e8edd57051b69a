"""Sending from another language: the example knows the documented bytes and nothing of Privity's code."""

import ast
import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from privity.agent import feed, items
from privity.testing.people import Person
from tests.docs.pages import ROOT, runnable

SCRIPT = ROOT / "examples" / "send_command.py"
PAGE = ROOT / "docs" / "sending-from-another-language.md"
ALLOWED = {"nats", "cryptography"}


@dataclass(frozen=True)
class Ran:
    """What a process left."""

    code: int
    out: str
    err: str


async def run(*command: str, folder: Path, **environment: str) -> Ran:
    """Run a program in a folder, where nothing of the checkout can be imported by accident."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def exported(person: Person, folder: Path) -> dict[str, str]:
    """What the documented snippet exports of a person's profile, as environment variables."""
    (snippet,) = runnable(PAGE, "python")
    environment = {"PRIVITY_HOME": str(person.home), "PRIVITY_PASSPHRASE": person.passphrase}
    done = await run(sys.executable, "-c", snippet, folder=folder, **environment)
    assert done.code == 0, done.err
    return dict(line.split("=", 1) for line in done.out.splitlines())


async def test_a_script_of_documented_bytes_adds_an_item_that_its_owner_can_open(ann: Person, tmp_path: Path) -> None:
    keys = await exported(ann, tmp_path)
    sent = await run(sys.executable, str(SCRIPT), "Passport", "number=X123", folder=tmp_path, **keys)
    assert sent.code == 0, sent.err
    result = json.loads(sent.out)
    assert (result["status"], [event["name"] for event in result["events"]]) == ("accepted", ["item-added.v1"])
    id = json.loads(result["events"][0]["data"])["event"]["item"]
    async with ann.session() as (session, keyring):
        session.folder.reached(result["position"])
        kept = await items.show(session, keyring, id)
        told = await feed.past(session)
    assert (kept.version, kept.content) == (1, items.Content("Passport", {"number": "X123"}))
    assert [(each.event, each.refs) for each in told if each.position == result["position"]] == [
        ("item-added", {"item": id, "version": "1"})
    ]


async def test_a_script_with_another_devices_key_is_refused(ann: Person, bob: Person, tmp_path: Path) -> None:
    others = await exported(bob, tmp_path)
    keys = await exported(ann, tmp_path) | {"SEND_DEVICE_SEED": others["SEND_DEVICE_SEED"]}
    sent = await run(sys.executable, str(SCRIPT), "Passport", folder=tmp_path, **keys)
    assert (sent.code, json.loads(sent.out)["code"]) == (1, "BadSignature"), sent.err


def test_the_script_is_under_60_lines_and_imports_nothing_of_privity() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 60
    imported: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - set(sys.stdlib_module_names) == ALLOWED
