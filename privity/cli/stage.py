"""The stage of `privity demo`: steps are told, facts shown, and what must hold is checked."""

import json
import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from privity.cli.context import Context
from privity.testing.people import Person


class Stage:
    """Where a story is told; it keeps what was checked."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._steps = 0
        self.checks: list[tuple[str, bool]] = []

    def step(self, title: str, text: str) -> None:
        """Begin another step."""
        self._steps += 1
        self._console.print()
        self._console.print(
            Panel(text, title=f"[bold]{self._steps}  {title}[/]", title_align="left", border_style="blue")
        )

    def fact(self, who: Person | None, text: str) -> None:
        """Show what somebody did or sees; None for what is nobody's."""
        name = who.address.partition("@")[0].capitalize() if who else "·"
        self._console.print(f"  [bold]{name:<6}[/] {text}", highlight=False)

    def where(self, *rows: tuple[str, str]) -> None:
        """Show keys, and where each is."""
        table = Table("key", "where it is", box=None, padding=(0, 2), header_style="dim")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def check(self, what: str, held: bool) -> None:
        """Note whether something held."""
        self.checks.append((what, held))

    def conclude(self, here: Context, kept: Path | None) -> bool:
        """Say what was verified."""
        ok = all(held for _, held in self.checks)
        if here.json:
            print(json.dumps({"ok": ok, "checks": dict(self.checks)}))
            return ok
        self._console.print()
        for what, held in self.checks:
            self._console.print(f"  [{'green' if held else 'bold red'}]{'✓' if held else '✗'}[/] {what}")
        verdict = "[bold green]All of it held[/]" if ok else "[bold red]Something did not hold[/]"
        self._console.print(f"\n{verdict}, in {time.monotonic() - self._started:.1f} s.")
        if kept:
            self._console.print(f"The home and the profiles are kept in {kept}")
        return ok


def yes(held: bool) -> str:
    """Yes or no, in colour."""
    return "[green]yes[/]" if held else "[red]no[/]"
