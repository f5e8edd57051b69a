"""The settings of a backend: an embedded folder, or the `PRIVITY_…` variables of production."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from privity.errors import Malformed

MAIL_FROM = "privity@localhost"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is. URLs may hold passwords and are not shown."""

    data: Path
    bus_url: str = field(repr=False)
    store_url: str = field(repr=False)
    views_url: str = field(repr=False)
    smtp_url: str | None = field(default=None, repr=False)
    mail_from: str = MAIL_FROM
    public_address: tuple[str, int, str] | None = field(default=None, repr=False)
    """Host and port under which people reach the bus, and the enrolment credential."""

    @property
    def mail_folder(self) -> Path:
        """Where mail goes when there is no SMTP server."""
        return self.data / "mail"


def embedded(data: Path, bus_url: str, environment: Mapping[str, str] = os.environ) -> Settings:
    """SQLite files in the data folder."""
    folder = data.resolve()
    return Settings(
        data=folder,
        bus_url=bus_url,
        store_url=f"sqlite:///{folder / 'store.db'}",
        views_url=f"sqlite:///{folder / 'views.db'}",
        smtp_url=environment.get("PRIVITY_SMTP_URL"),
        mail_from=environment.get("PRIVITY_MAIL_FROM", MAIL_FROM),
    )


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The variables `PRIVITY_DATA`, `PRIVITY_NATS_URL`, `PRIVITY_STORE_URL`, `PRIVITY_VIEWS_URL`; perhaps
    `PRIVITY_SMTP_URL` and `PRIVITY_MAIL_FROM`; and `PRIVITY_PUBLIC` (host:port) with `PRIVITY_PERSON_PASSWORD`,
    from which the connection string for people is made.

    Raises:
        Malformed: one is missing or cannot be read; names it.
    """
    needed = {name: environment.get(f"PRIVITY_{name}") for name in ("DATA", "NATS_URL", "STORE_URL", "VIEWS_URL")}
    missing = [f"PRIVITY_{name}" for name, value in needed.items() if not value]
    if missing:
        raise Malformed(f"not set: {', '.join(missing)}")
    return Settings(
        data=Path(needed["DATA"] or "").resolve(),
        bus_url=needed["NATS_URL"] or "",
        store_url=needed["STORE_URL"] or "",
        views_url=needed["VIEWS_URL"] or "",
        smtp_url=environment.get("PRIVITY_SMTP_URL"),
        mail_from=environment.get("PRIVITY_MAIL_FROM", MAIL_FROM),
        public_address=_public_address(environment),
    )


def _public_address(environment: Mapping[str, str]) -> tuple[str, int, str] | None:
    public, credential = environment.get("PRIVITY_PUBLIC"), environment.get("PRIVITY_PERSON_PASSWORD")
    if not public or not credential:
        return None
    host, _, port = public.rpartition(":")
    if not host or not port.isdigit():
        raise Malformed("PRIVITY_PUBLIC is not host:port")
    return host, int(port), credential
