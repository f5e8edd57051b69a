"""How Sphinx builds the pages: `make docs`, without a network, into `site/`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for contract_pages

project = "Privity"
html_title = "Privity"
copyright = "the Privity authors, Apache-2.0"
extensions = ["myst_parser", "contract_pages"]
myst_heading_anchors = 4
nitpicky = True  # a reference that leads nowhere is a warning, and `make docs` takes warnings for errors
html_theme = "furo"
html_extra_path = ["asyncapi.json"]
html_copy_source = False
html_show_sphinx = False

DECISIONS = """

```{toctree}
:hidden:
:glob:

0*
```
"""
"""The pages behind adr/README.md, which lists them itself."""


def setup(app: "Sphinx") -> None:
    """Sphinx's hook: the decisions are in the menu."""

    def read(_: "Sphinx", page: str, source: list[str]) -> None:
        if page == "adr/README":
            source[0] += DECISIONS

    app.connect("source-read", read)
