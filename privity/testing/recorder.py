"""The recorder: what some people did in a running home becomes a history."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from privity.agent.profile import ProfileFolder
from privity.audit.lines import EventLine, Lines
from privity.testing.histories import Fold, FoldAll, Happened, Histories, renumbered
from privity.testing.home import RunningHome
from privity.testing.people import Person


def nothing(happened: Iterable[Happened]) -> Fold:
    """For who wants the events alone."""
    for _ in happened:
        pass
    return Fold({}, {})


class Recorder:
    """Records the home of a test; its histories are in `folder` unless another one is given."""

    def __init__(self, home: RunningHome, folder: Path) -> None:
        self._home = home
        self.folder = folder

    def events(self, *people: Person) -> list[Happened]:
        """All that these people did until now, at positions from 1; everything in the home, if nobody is named.

        Raises:
            ValueError: somebody else acted too in what they have: name them as well.
            AssertionError: the home could not be exported.
        """
        return list(renumbered(self._of(people)))

    def record(
        self, name: str, *people: Person, fold: FoldAll = nothing, folder: Path | None = None, readable: bool = True
    ) -> Path:
        """Add a history to a folder of histories, with what it folds to now; the folder.

        Raises:
            FileExistsError: there is one of that name.
            ValueError, AssertionError: as `events`.
        """
        into = folder or self.folder
        Histories(into).add(name, renumbered(self._of(people)), fold, readable=readable)
        return into

    def _of(self, people: Iterable[Person]) -> Iterator[Happened]:
        accounts = {ProfileFolder(person.home).load().account for person in people}
        versions: dict[str, int] = {}
        for line in self._exported():
            if accounts and _actor(line) not in accounts:
                continue
            versions[line.stream] = versions.get(line.stream, 0) + 1
            if versions[line.stream] != line.version:
                raise ValueError(f"somebody who was not named acted in {line.stream}: name them too")
            yield Happened(line.position, line.stream, line.version, line.name, line.data)

    def _exported(self) -> Iterator[EventLine]:
        with TemporaryDirectory(prefix="privity-export-") as folder:
            file = Path(folder) / "whole.jsonl"
            outcome = Person("operator@localhost", Path(folder) / "nobody", self._home.url).run(
                "audit", "export", str(file), "--data", str(self._home.data)
            )
            if outcome.code:
                raise AssertionError(f"the home could not be exported: {outcome.err}")
            with file.open("rb") as exported:
                lines = Lines(exported)
                for _ in range(lines.header().count):
                    line = lines.next(own=False)
                    if isinstance(line, EventLine):
                        yield line


def _actor(line: EventLine) -> str:
    actor: str = json.loads(line.data)["meta"]["actor"]
    return actor
