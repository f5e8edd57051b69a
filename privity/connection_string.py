"""The connection string of a home: where its bus is, the enrolment credential, and the log key that names the home."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlsplit

from privity.crypto.credentials import home_id
from privity.encoding import b64, unb64
from privity.errors import Malformed

SCHEME = "privity"
LOG_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class ConnectionString:
    """`privity://person:<enrolment JWT>@host:port?log=<log key>[&tls=on]`: one line, given to whoever joins."""

    host: str
    port: int
    user: str
    credential: str = field(repr=False)
    log_public: bytes
    tls: bool = False

    @property
    def home(self) -> str:
        """The home's id: everything signed is bound to it."""
        return home_id(self.log_public)

    @property
    def bus_url(self) -> str:
        """Where to connect, without the credential."""
        return f"{'tls' if self.tls else 'nats'}://{self._place}"

    def text(self) -> str:
        """The one line; it holds the credential."""
        credential = f"{quote(self.user, safe='')}:{quote(self.credential, safe='')}"
        return f"{SCHEME}://{credential}@{self._place}?log={b64(self.log_public)}{'&tls=on' if self.tls else ''}"

    @property
    def _place(self) -> str:
        """Host and port; an IPv6 address stands in brackets (RFC 3986, section 3.2.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_connection_string(text: str) -> ConnectionString:
    """Read the one line.

    Raises:
        Malformed: not such a line; the text is not repeated, since it holds a credential.
    """
    try:
        parts = urlsplit(text.strip())
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)
        log_public, tls = unb64(query["log"][0]), query.get("tls", ["off"])
        port = parts.port
    except (ValueError, KeyError):  # whose texts may hold the credential
        raise Malformed("not a connection string: privity://person:…@host:port?log=…") from None
    complete = parts.hostname and port and parts.username and parts.password and len(log_public) == LOG_KEY_BYTES
    if parts.scheme != SCHEME or not complete or tls not in (["on"], ["off"]):  # a typo must not switch TLS off
        raise Malformed("not a connection string: privity://person:…@host:port?log=…")
    return ConnectionString(
        parts.hostname or "",
        port or 0,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        log_public,
        tls == ["on"],
    )
