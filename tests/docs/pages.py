"""The pages of the documentation as the tests read them: their text, their code blocks, their tables."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = (README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

_RUN = re.compile(r"^<!-- run -->\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def runnable(page: Path, language: str) -> list[str]:
    """The code blocks that stand behind `<!-- run -->`."""
    return [found["code"] for found in _RUN.finditer(page.read_text()) if found["language"] == language]


def first_cells(page: Path, heading: str) -> list[str]:
    """What stands in backquotes in the first cell of each row of the table under a heading."""
    section = page.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [text for row in rows for text in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
