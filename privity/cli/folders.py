"""The third part of `privity demo`: a folder that two people use, on five suppliers, two of which lose their disks."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

from privity.cli.stage import Stage, yes
from privity.testing.home import RunningHome
from privity.testing.people import Person

SUPPLIERS = 5
LOST = ("supplier-1", "supplier-2")
FILM = "holiday.film"
FILMED = "CANARY of the film"
FILM_BYTES = 6 * 1024 * 1024
LATER = "CANARY: the next holiday is without Bob"


class Folders:
    """Alice's holiday folder: granted to Bob, read through lost disks, repaired, audited, and closed to him again."""

    def __init__(self, stage: Stage, home: RunningHome, folder: Path, alice: Person, bob: Person) -> None:
        self._stage = stage
        self._home = home
        self._folder = folder
        self.alice, self.bob = alice, bob

    def run(self) -> None:
        """All of it, in order."""
        film = self._location()
        self._grant()
        self._lost(film)
        self._repair()
        self._audit()
        self._rotation()

    def _location(self) -> Path:
        self._stage.step(
            "A folder on five suppliers",
            "Alice makes a location with a sharing key of its own, and puts a film there: sealed in segments, each cut "
            "into five fragments, one for each supplier. Any three of the five are enough.",
        )
        made = self.alice.json("location", "create", "holiday")
        film = self._folder / FILM
        film.write_bytes(FILMED.encode() + os.urandom(FILM_BYTES))
        self.alice.json("location", "put", made["key"], str(film))
        shown = self.alice.json("location", "ls", made["key"])
        self._stage.fact(self.alice, f"[cyan]{made['key']}[/]: {', '.join(each['name'] for each in shown)}")
        holding = [each["fragments"] for each in self._suppliers()]
        self._stage.fact(None, f"the suppliers hold {', '.join(map(str, holding))} fragments")
        self._stage.check("every supplier holds fragments of the file", len(holding) == SUPPLIERS and all(holding))
        return film

    def _grant(self) -> None:
        self._stage.step(
            "The grant, in five steps",
            "Alice grants the key to Bob, whose agent does not run just now: that is no failure. The private part goes "
            "out sealed to him, and the suppliers learn that he may read.",
        )
        granted = self.alice.json("location", "grant", "holiday", self.bob.address, "--wait", "0")
        for step in granted["steps"]:
            self._stage.fact(self.alice, f"{step['step']}: {step['outcome']}{_because(step['reason'])}")
        outcomes = {step["step"]: step["outcome"] for step in granted["steps"]}
        self._stage.check("a grant to somebody who is away goes out all the same", outcomes["private"] == "done")
        listed = [each["name"] for each in self.bob.json("location", "ls", "holiday")]
        self._stage.fact(self.bob, f"comes, and sees {', '.join(listed)}")
        self._stage.check("Bob sees the files by himself", listed == [FILM])

    def _lost(self, film: Path) -> None:
        self._stage.step(
            "Two disks are lost", "Two of the five suppliers are killed, and what they stored is deleted. Bob reads."
        )
        for name in LOST:
            lost = self._home.data / "suppliers" / name
            os.kill(int((lost / "pid").read_text()), signal.SIGKILL)
            shutil.rmtree(lost / "fragments")
            self._stage.fact(None, f"[red]{name} killed, its disk empty[/]")
        out = self._folder / "read by Bob"
        self.bob.json("location", "get", "holiday", FILM, "-o", str(out))
        same = out.read_bytes() == film.read_bytes()
        self._stage.fact(self.bob, f"reads {out.stat().st_size} bytes, equal to what Alice wrote: {yes(same)}")
        self._stage.check("with two suppliers lost the file reads byte for byte", same)

    def _repair(self) -> None:
        self._stage.step("Repair", "The operator rebuilds what was lost from the others, with no key of anybody.")
        self.alice.json("supplier", "repair", "--data", str(self._home.data))
        holding = [each["fragments"] for each in self._suppliers()]
        self._stage.fact(None, f"the suppliers hold {', '.join(map(str, holding))} fragments again")
        self._stage.check("repair brings all five back", len(holding) == SUPPLIERS and min(holding) == max(holding) > 0)

    def _audit(self) -> None:
        self._stage.step(
            "Does Bob hold the key?",
            "Alice asks for a proof: a challenge sealed to the key, which only a holder opens.",
        )
        passed = self._proves()
        self._stage.fact(self.bob, f"answers; the proof holds: {yes(passed)}")
        self._stage.check("Bob proves that he holds the granted key", passed)

    def _proves(self) -> bool:
        ask = ("key", "audit", "holiday", self.bob.address, "--private", "--wait", "0")
        self.alice.run("--json", *ask)
        self.bob.json("tasks", "--retry")
        return bool(self.alice.json(*ask)["passed"])

    def _rotation(self) -> None:
        self._stage.step(
            "Taken back",
            "Alice begins the next generation of the key without Bob. What she writes now he never gets: the backend "
            "refuses him, the suppliers refuse him, and the key that he kept does not fit.",
        )
        self.alice.json("key", "rotate", "holiday", "--drop", self.bob.address)
        later = self._folder / "plans.txt"
        later.write_text(LATER)
        self.alice.json("location", "put", "holiday", str(later))
        tried = self.bob.run("location", "get", "holiday", later.name, "-o", str(self._folder / "nothing"))
        self._stage.fact(self.bob, f"[red]{tried.err.strip()}[/]")
        refused = tried.code == 1 and not (self._folder / "nothing").exists()
        self._stage.check("who was dropped gets nothing that was written after", refused)

    def _suppliers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.alice.json("supplier", "list")
        return found


def _because(reason: str | None) -> str:
    return f", {reason}" if reason else ""
