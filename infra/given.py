"""Credentials of the bus that the operator gave to somebody who is no person: to whom, up to when, and taken back.

They stand in a file of the home's folder, so that one can be given while neither the bus nor the store is there. The
file holds no secret. What is taken back is told to the role that issues people's credentials (`handlers.enrolment`).
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from infra.credentials import SUPPLIER_LIFE
from infra.home import write_private
from privity.errors import Malformed, NotFound, TooLarge

FILE: Final = "given.json"
LOCK: Final = "given.lock"
MAX_GIVEN: Final = 1000
"""Credentials that have not ended: all of them, taken back, are still named one by one."""
PROLONGED: Final = "supplier"
"""The kind whose nkeys get more than one credential: what was taken back of it is known past its end too."""
REVOKE_SUBJECT: Final = "privity.revoke"
"""Where the commands role is told what was taken back; on it only the backend's own roles are heard."""

Nkey = Annotated[str, StringConstraints(pattern=r"^U[A-Z2-7]{55}$")]

_nkey: TypeAdapter[str] = TypeAdapter(Nkey)


@dataclass(frozen=True, slots=True)
class Given:
    """One credential: for a `supplier` or another kind of program, its id, name, public nkey, and end (Unix time)."""

    kind: Annotated[str, StringConstraints(max_length=32)]
    id: Annotated[str, StringConstraints(max_length=64)]
    name: Annotated[str, StringConstraints(max_length=64)]
    nkey: Nkey
    until: int
    revoked: bool = False


_listed: TypeAdapter[tuple[Given, ...]] = TypeAdapter(Annotated[tuple[Given, ...], Field(max_length=2 * MAX_GIVEN)])


def remember(data: Path, given: Given) -> None:
    """Write down that a credential is given, before it is shown to anybody; that of the same nkey is prolonged.

    What was taken back stays so: who is let in again gets another nkey.

    Raises:
        TooLarge: there are a thousand already.
    """
    with _changing(data):
        kept = _kept(data)
        others = [each for each in kept if each.nkey != given.nkey]
        revoked = any(each.revoked for each in kept if each.nkey == given.nkey)
        if sum(not _ended(each) for each in others) >= MAX_GIVEN:
            raise TooLarge(f"the home has given {MAX_GIVEN} credentials that have not ended")
        _keep(data, [*others, replace(given, revoked=revoked)])


def given_by(data: Path) -> list[Given]:
    """What the home in a folder has given and has not ended, taken back or not; oldest first.

    Raises:
        Malformed: the file cannot be read.
    """
    return [each for each in _kept(data) if not _ended(each)]


def is_revoked(data: Path, nkey: str) -> bool:
    """Whether what was given to this nkey was taken back, however long ago."""
    return any(each.nkey == nkey and each.revoked for each in _kept(data))


def revoke(data: Path, kind: str, who: str) -> list[Given]:
    """Write down that all of one's credentials are taken back, by name, id or nkey; those, also if they were before.

    A name that several of a kind have had is that of the one to whom something was given last. One credential that was
    given before homes wrote it down is taken back by its public nkey.

    Raises:
        NotFound: nothing was given to such a one.
        TooLarge: the nkey is in no list, and the list is full.
    """
    if _is_nkey(who) and not any(each.nkey == who for each in _kept(data)):
        remember(data, Given(kind, who, who, who, int(time.time()) + SUPPLIER_LIFE))
    with _changing(data):
        kept = _kept(data)
        ids = [each.id for each in kept if each.kind == kind and who in (each.id, each.name, each.nkey)]
        if not ids:
            raise NotFound(f"the home has given no credential to a {kind} {who}")
        taken = [replace(each, revoked=True) for each in kept if (each.kind, each.id) == (kind, ids[-1])]
        by_nkey = {each.nkey: each for each in taken}
        _keep(data, [by_nkey.get(each.nkey, each) for each in kept])
        return taken


def read_given(text: bytes) -> tuple[Given, ...]:
    """The credentials that a text lists, as `write_given` wrote them.

    Raises:
        Malformed: it is no such list.
    """
    try:
        return _listed.validate_json(text)
    except ValidationError:
        raise Malformed("not a list of credentials that were given") from None


def write_given(given: Sequence[Given]) -> bytes:
    """The inverse of `read_given`."""
    return _listed.dump_json(tuple(given))


def _kept(data: Path) -> list[Given]:
    """What has not ended, and of what has that which stays taken back."""
    try:
        found = read_given((data / FILE).read_bytes())
    except FileNotFoundError:
        return []
    return [each for each in found if not _ended(each) or (each.revoked and each.kind == PROLONGED)]


def _keep(data: Path, given: Sequence[Given]) -> None:
    """All that has not ended, and the newest thousand of the others."""
    ended = sorted(filter(_ended, given), key=lambda each: each.until)[:-MAX_GIVEN]
    write_private(data / FILE, write_given([each for each in given if each not in ended]).decode())


def _ended(given: Given) -> bool:
    return given.until < time.time()


def _is_nkey(text: str) -> bool:
    try:
        _nkey.validate_python(text)
    except ValidationError:
        return False
    return True


@contextmanager
def _changing(data: Path) -> Iterator[None]:
    """While the block runs no other process changes the file."""
    descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
