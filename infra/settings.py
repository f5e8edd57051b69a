"""The settings of a backend: an embedded folder, or the `PRIVITY_…` variables of production."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.bus import Way
from infra.credentials import backend_credential, device_jwt, system_credential
from infra.home import open_keys
from privity.credential import USER, Credential, Nkey, client_tls
from privity.errors import Malformed

MAIL_FROM = "privity@localhost"
GUEST_LIFE = 24 * 3600
"""Seconds."""
EMBEDDED_PEOPLE, PRODUCTION_PEOPLE = 1000, 9000


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is. URLs of databases may hold passwords and are not shown.

    The bus has TLS where its URL begins with `tls://`; `tls_ca` is a file of whom to trust there, else the system's
    list, and `tls_name` whom the certificate must name, where that is not the URL's host.
    """

    data: Path
    bus_url: str
    store_url: str = field(repr=False)
    views_url: str = field(repr=False)
    smtp_url: str | None = field(default=None, repr=False)
    mail_from: str = MAIL_FROM
    public_address: tuple[str, int] | None = None
    """Host and port under which people reach the bus."""
    people: int = EMBEDDED_PEOPLE
    """How many connections people may have."""
    tls_ca: str | None = None
    tls_name: str | None = None

    @property
    def tls(self) -> bool:
        """Whether the bus has TLS."""
        return self.bus_url.startswith("tls://")

    def backend(self) -> Way:
        """How the roles reach the bus; another user each time."""
        return self._way(backend_credential(open_keys(self.data, create=False).bus))

    def system(self) -> Way:
        """How the server is told of changes."""
        return self._way(system_credential(open_keys(self.data, create=False).bus))

    def guest(self, name: str) -> Way:
        """How an operator's tool reaches suppliers, as a person would with this name (52 letters), for a day."""
        nkey = Nkey.generate(USER)
        keys = open_keys(self.data, create=False).bus
        return self._way(Credential(device_jwt(keys, name, nkey.public, int(time.time()) + GUEST_LIFE), nkey))

    def _way(self, credential: Credential) -> Way:
        return Way(self.bus_url, credential, client_tls(self.tls_ca) if self.tls else None, self.tls_name)

    @property
    def mail_folder(self) -> Path:
        """Where mail goes when there is no SMTP server."""
        return self.data / "mail"


def embedded(
    data: Path,
    bus_url: str,
    environment: Mapping[str, str] = os.environ,
    *,
    tls_ca: str | None = None,
    tls_name: str | None = None,
) -> Settings:
    """SQLite files in the data folder."""
    folder = data.resolve()
    return Settings(
        data=folder,
        bus_url=bus_url,
        store_url=f"sqlite:///{folder / 'store.db'}",
        views_url=f"sqlite:///{folder / 'views.db'}",
        smtp_url=environment.get("PRIVITY_SMTP_URL"),
        mail_from=environment.get("PRIVITY_MAIL_FROM", MAIL_FROM),
        public_address=public_address(environment),
        tls_ca=tls_ca,
        tls_name=tls_name,
    )


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The variables `PRIVITY_DATA`, `PRIVITY_NATS_URL`, `PRIVITY_STORE_URL`, `PRIVITY_VIEWS_URL`; perhaps
    `PRIVITY_SMTP_URL` and `PRIVITY_MAIL_FROM`; `PRIVITY_TLS_CA`, for a bus at `tls://`; and `PRIVITY_PUBLIC`
    (host:port), from which the connection string for people is made.

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
        public_address=public_address(environment),
        people=PRODUCTION_PEOPLE,
        tls_ca=environment.get("PRIVITY_TLS_CA"),
    )


def public_address(environment: Mapping[str, str] = os.environ) -> tuple[str, int] | None:
    """`PRIVITY_PUBLIC` as host and port, where it is set.

    Raises:
        Malformed: it is no such thing.
    """
    public = environment.get("PRIVITY_PUBLIC")
    if not public:
        return None
    host, _, port = public.rpartition(":")
    if not host or not port.isdigit():
        raise Malformed("PRIVITY_PUBLIC is not host:port")
    return host, int(port)
