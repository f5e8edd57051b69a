"""`python -m tests.histories.record NAME`: adds a history to this folder. One that is there is never recorded again.

python -m tests.histories.record demo                     a live run of `privity demo`
python -m tests.histories.record story                    the story of tests/handlers/story.py
python -m tests.histories.record crowd                    a hundred thousand events of many people, from a seed
python -m tests.histories.record NAME --of demo           any of these as it is told by now, under another name
python -m tests.histories.record NAME --store URL         what an event store holds, sqlite:///… or postgresql://…
python -m tests.histories.record NAME --again --why TEXT  the same events, folded to something else on purpose

`rows` and `rows-supplied` are what the stores of `pytest tests/rows --basetemp FOLDER` held: FOLDER/home0/store.db,
FOLDER/supplied0/store.db.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from rich.console import Console

from handlers.committer import Committer
from infra.store import open_store
from privity.cli.demo import SUPPLIERS, Story
from privity.cli.stage import Stage
from privity.testing.histories import Happened, Histories
from privity.testing.home import RunningHome
from tests.examples import NOW
from tests.handlers.people import HOME
from tests.handlers.story import tell
from tests.histories import crowd
from tests.histories.folding import fold

HERE = Path(__file__).parent
PAGE = 1000
READABLE = 2000
"""Events up to which what they fold to is kept readable too."""


def stored(url: str) -> Iterator[Happened]:
    """What an event store holds."""
    with closing(open_store(url)) as store:
        position = 0
        while page := store.after(position, PAGE):
            position = page[-1].position
            yield from (Happened(each.position, each.stream, each.version, each.name, each.data) for each in page)


def demo(folder: Path) -> Iterable[Happened]:
    """The demo's story, on a home of its own; all that it checks must hold."""
    stage = Stage(Console(file=io.StringIO()))
    with RunningHome(folder / "home", suppliers=SUPPLIERS) as home:
        Story(stage, folder, home).run()
    failed = [what for what, held in stage.checks if not held]
    if failed or not stage.checks:
        sys.exit(f"the demo failed: {failed}")
    return stored(f"sqlite:///{folder}/home/store.db")


def story(folder: Path) -> Iterable[Happened]:
    """Ann, Bob, Eve and Dan, whose commands a committer takes."""
    url = f"sqlite:///{folder}/store.db"
    with closing(open_store(url)) as store:
        outcomes = Committer(store, HOME, lambda: NOW).process(tell().deliveries)
    refused = [each.result for each in outcomes if each.result is None or each.result.status != "accepted"]
    if refused:
        sys.exit(f"the story was refused: {refused[0]}")
    return stored(url)


def record(name: str, histories: Histories, *, of: str, store: str | None = None) -> int:
    """Add a history; the number of its events.

    Raises:
        FileExistsError: there is one of that name.
    """
    if name in histories.names():
        raise FileExistsError(name)
    with tempfile.TemporaryDirectory(prefix="privity-history-") as folder:
        match of:
            case _ if store is not None:
                happened: Iterable[Happened] = stored(store)
            case "demo":
                happened = demo(Path(folder))
            case "story":
                happened = story(Path(folder))
            case "crowd":
                happened = crowd.generate()
            case _:
                sys.exit(f"there is no story {of}: --store URL records what a store holds")
        events = list(happened)
        return histories.add(name, events, fold, readable=len(events) <= READABLE)


def main() -> None:
    """Record what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--of", metavar="STORY")
    parser.add_argument("--store", metavar="URL")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--why", metavar="TEXT")
    parser.add_argument("--folder", type=Path, default=HERE)
    asked = parser.parse_args()
    histories = Histories(asked.folder)
    if asked.again != bool(asked.why):
        parser.error("--again and --why go together")
    try:
        if asked.again:
            was_readable = bool(histories.folds(asked.name).states)
            histories.fold_anew(asked.name, fold, asked.why, readable=was_readable)
            print(f"{asked.name} folds anew")
        else:
            print(f"{asked.name}: {record(asked.name, histories, of=asked.of or asked.name, store=asked.store)} events")
    except FileExistsError:
        sys.exit(f"there is a history {asked.name} already, and it stays as it is")
    except FileNotFoundError:
        sys.exit(f"there is no history {asked.name}")


if __name__ == "__main__":
    main()
