"""The site: it builds without a warning, needs nothing from elsewhere when it is read, and shows the contract."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from privity.messages import views
from privity.messages.catalog import COMMANDS, EVENTS
from tests.docs.pages import ROOT

pytestmark = pytest.mark.trial

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""What a browser fetches by itself, and where it is named."""
FETCHED_BY_STYLES = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]*)")


class Fetches(HTMLParser):
    """Collects what a browser would fetch from elsewhere to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One tag."""
        where = dict(attrs).get(LOADED.get(tag, ""), "") or ""
        if re.match(r"(https?:)?//", where):
            self.found.append(where)


def build(pages: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """What `make docs` does."""
    build = (sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-b", "html")
    run = [*build, "-d", str(out.with_suffix(".trees")), str(pages), str(out)]
    return subprocess.run(run, capture_output=True, text=True, check=False)


def fetched(page: Path) -> list[str]:
    """What a page or a style has fetched from elsewhere."""
    text = page.read_text()
    if page.suffix == ".css":
        return FETCHED_BY_STYLES.findall(text)
    reader = Fetches()
    reader.feed(text)
    return reader.found + FETCHED_BY_STYLES.findall(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built."""
    out = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT / "docs", out)
    assert done.returncode == 0, done.stderr
    return out


def test_nothing_is_fetched_from_elsewhere_when_a_page_is_read(site: Path, tmp_path: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 30
    assert {str(page): fetched(page) for page in pages if fetched(page)} == {}
    foreign = tmp_path / "foreign.html"
    foreign.write_text('<script src="https://cdn.example/a.js"></script><style>a{src:url(//fonts.example/b)}</style>')
    assert fetched(foreign) == ["https://cdn.example/a.js", "//fonts.example/b"]


def test_the_contract_is_shown_with_every_message_and_can_be_downloaded(site: Path) -> None:
    assert json.loads((site / "asyncapi.json").read_text()) == json.loads((ROOT / "docs" / "asyncapi.json").read_text())

    def headings(page: str) -> set[str]:
        return set(re.findall(r"<h2>([^<]+)<", (site / "contract" / f"{page}.html").read_text()))

    assert set(COMMANDS) <= headings("commands")
    assert {f"ask.{view}" for view in views.ASKS} <= headings("queries")
    assert set(EVENTS) <= headings("events")
    assert {"ErrorCode", "Id", "SealedDigest"} <= headings("types")


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", pages)
    (pages / "testing.md").write_text("# Testing\n\n[nowhere](nowhere.md) and [nothing](security.md#no-such-section)\n")
    done = build(pages, tmp_path / "out")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    assert "no-such-section" in done.stderr
