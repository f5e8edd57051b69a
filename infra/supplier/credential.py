"""A supplier's credential: its own key, what it shows to the bus, and whom it believes; and its folder in a home."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from infra.bus import Way
from infra.credentials import SUPPLIER_LIFE, supplier_jwt
from infra.given import Given, is_revoked, remember
from infra.home import HomeKeys, write_private
from privity.credential import CA_VARIABLE, USER, Credential, Nkey, client_tls
from privity.crypto.credentials import home_id
from privity.crypto.signing import SigningKey
from privity.crypto.supplying import supplier_id
from privity.encoding import b64, unb64
from privity.errors import CredentialRevoked, Malformed
from privity.messages.suppliers import SupplierName

KIND: Final = "supplier"
FOLDER: Final = "suppliers"
FILE: Final = "credential.json"
FRAGMENTS: Final = "fragments"
TEXTS: Final = ("name", "bus_url", "log", "seed", "jwt", "nkey")

_name: TypeAdapter[str] = TypeAdapter(SupplierName)


@dataclass(frozen=True, slots=True)
class SupplierCredential:
    """`sign` is the supplier's own key, `bus` what it connects with; `log_public` the key of the home that it serves.

    `tls_ca` and `tls_name` as in `infra.settings`; the bus has TLS where its URL begins with `tls://`.
    """

    name: str
    bus_url: str
    log_public: bytes
    sign: SigningKey = field(repr=False)
    bus: Credential = field(repr=False)
    tls_ca: str | None = None
    tls_name: str | None = None

    @property
    def id(self) -> str:
        """The supplier's id: the hash of its key."""
        return supplier_id(self.sign.public)

    @property
    def nkey(self) -> Nkey:
        """What it shows to the bus that it has.

        Raises:
            Malformed: there is none.
        """
        if self.bus.nkey is None:
            raise Malformed("not the credential of a supplier")
        return self.bus.nkey

    @property
    def home(self) -> str:
        """The home's id: what the supplier signs is bound to it."""
        return home_id(self.log_public)

    def way(self) -> Way:
        """How the supplier reaches the bus."""
        ca = self.tls_ca or os.environ.get(CA_VARIABLE)
        return Way(self.bus_url, self.bus, client_tls(ca) if self.bus_url.startswith("tls://") else None, self.tls_name)

    def text(self) -> str:
        """As it is kept in a file: it holds secrets."""
        facts = {
            "name": self.name,
            "bus_url": self.bus_url,
            "log": b64(self.log_public),
            "seed": b64(self.sign.seed),
            "jwt": self.bus.jwt,
            "nkey": self.nkey.seed,
            "tls_ca": self.tls_ca,
            "tls_name": self.tls_name,
        }
        return json.dumps(facts)


def read_credential(text: str) -> SupplierCredential:
    """The inverse of `SupplierCredential.text`.

    Raises:
        Malformed: it is none; the text is not repeated, since it holds secrets.
    """
    try:
        facts = json.loads(text)
        name, bus_url, log, seed, jwt, nkey = (facts[each] for each in TEXTS)
        tls_ca, tls_name = facts.get("tls_ca"), facts.get("tls_name")
        sign, bus, public = SigningKey.from_seed(unb64(seed)), Credential(jwt, Nkey(nkey)), unb64(log)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Malformed):
        raise Malformed("not the credential of a supplier") from None
    return SupplierCredential(check_name(name), bus_url, public, sign, bus, tls_ca, tls_name)


def check_name(name: str) -> str:
    """The name, if a supplier can be called so.

    Raises:
        Malformed: it cannot.
    """
    try:
        return _name.validate_python(name)
    except ValidationError:
        raise Malformed("a supplier's name has 1 to 32 lower-case letters, digits and '-'") from None


def issue(
    keys: HomeKeys,
    name: str,
    bus_url: str,
    *,
    sign: SigningKey | None = None,
    nkey: Nkey | None = None,
    tls_ca: str | None = None,
    tls_name: str | None = None,
) -> SupplierCredential:
    """A credential for 366 days, of a new supplier, or of the one with that key; `given` writes down that it is given.

    Raises:
        Malformed: a supplier cannot be called so.
    """
    own, nkey = sign or SigningKey.generate(), nkey or Nkey.generate(USER)
    jwt = supplier_jwt(keys.bus, supplier_id(own.public), nkey.public, int(time.time()) + SUPPLIER_LIFE)
    return SupplierCredential(check_name(name), bus_url, keys.log.public, own, Credential(jwt, nkey), tls_ca, tls_name)


def given(data: Path, made: SupplierCredential) -> SupplierCredential:
    """The credential, once the home in a folder knows that it is given: so it can be taken back.

    Raises:
        TooLarge: the home has given too many.
    """
    remember(data, Given(KIND, made.id, made.name, made.nkey.public, made.bus.life[1]))
    return made


def folder_of(data: Path, name: str) -> Path:
    """Where a home keeps what belongs to a supplier of its own.

    Raises:
        Malformed: a supplier cannot be called so.
    """
    return data / FOLDER / check_name(name)


def is_taken_back(data: Path, name: str) -> bool:
    """Whether a home's own supplier has a credential that was taken back; not, if it cannot be read just now."""
    try:
        kept = read_credential((folder_of(data, name) / FILE).read_text())
        return is_revoked(data, kept.nkey.public)
    except (OSError, Malformed):
        return False


def open_credential(
    data: Path, keys: HomeKeys, name: str, bus_url: str, *, tls_ca: str | None = None, tls_name: str | None = None
) -> SupplierCredential:
    """The credential of a home's own supplier: its key and nkey stay, the rest is made anew; kept in its folder.

    Raises:
        Malformed: a supplier cannot be called so, or what is kept is no credential.
        CredentialRevoked: what is kept was taken back.
    """
    path = folder_of(data, name) / FILE
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = read_credential(path.read_text()) if path.exists() else None
    if kept is not None and is_revoked(data, kept.nkey.public):
        raise CredentialRevoked(f"the credential of {name} was taken back")
    sign, nkey = (kept.sign, kept.nkey) if kept else (None, None)
    made = given(data, issue(keys, name, bus_url, sign=sign, nkey=nkey, tls_ca=tls_ca, tls_name=tls_name))
    write_private(path, made.text())
    return made
