"""`privity schema`: the contract as an AsyncAPI document."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from privity.cli.context import context

STDOUT = Path("-")


class Format(StrEnum):
    """How the document is written."""

    JSON = "json"
    YAML = "yaml"


def schema(
    ctx: typer.Context,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="To this file; - for the standard output.")
    ] = STDOUT,
    format: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.JSON,
) -> None:
    """Write the contract: every message on the bus, with its subject, its schema and an example, as AsyncAPI 3.0."""
    from privity.contract.document import document
    from privity.contract.text import FORMATS

    here, made = context(ctx), document()
    text = FORMATS[format](made)
    if out == STDOUT:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror}") from None
    here.show({"file": str(out), "channels": len(made["channels"]), "messages": len(made["components"]["messages"])})
