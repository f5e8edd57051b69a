"""Identity chains as a backend serves them: held against what this device saw of them, and what their keys signed.

A chain that goes on from the one seen before is told in a notice. One that is shorter, or has another record at a
place, is an alarm: then somebody shows two histories of a person, and nothing more is done with that person.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from privity.agent.log import evidence, to_mark
from privity.crypto.identity import COMPROMISE, Identity, Signed, signers, walk
from privity.crypto.sharing import Manifest, verify_share
from privity.encoding import b64, unb64
from privity.errors import ForgedRecord, KeyMismatch, NotFound, NotInLog, RolledBack
from privity.messages.fields import SignedRecord

if TYPE_CHECKING:
    from privity.agent.log import Evidence
    from privity.agent.memory import Memory
    from privity.agent.session import Session

T = TypeVar("T")
Bounds = tuple[str | None, ...]
"""The checkpoints before which a key must have signed: none, where nobody called it stolen."""

notices = logging.getLogger("privity.notices")
"""What a person should see once, and what stops nothing: `notice: ...`, a line each."""

IDENTITY = "identity"
ADDRESS = "address"
CREATED = "created"
DEVICE_ADDED = "device-added"
DEVICE_REMOVED = "device-removed"
ROTATED = "rotated"
RECOVERED = "recovered"

TOLD = {
    DEVICE_ADDED: "a device was added",
    DEVICE_REMOVED: "a device was removed",
    ROTATED: "new keys",
    RECOVERED: "new keys, by the recovery text",
    COMPROMISE: "the keys before were stolen",
}
"""The reasons that agents give, as a notice tells them; others are somebody else's words and not shown."""

BRINGING = ("share-created", "share-revised")
"""The events that bring a manifest."""


class Heads:
    """The newest identity records that this device saw, as they were when this was made: before a question."""

    def __init__(self, memory: "Memory") -> None:
        self._memory = memory
        self._seen = {each.id: (each.version, each.digest) for each in memory.all_in(IDENTITY, "")}

    def seen(self, account: str) -> tuple[int, str] | None:
        """The number and head (base64url) of the newest record seen."""
        return self._seen.get(account)

    def saw(self, account: str, n: int, head: str) -> None:
        """Remember a newer one."""
        self._memory.saw(IDENTITY, account, n, head)


def signed_chain(chain: Sequence[SignedRecord]) -> list[Signed]:
    """A served chain as the records that the crypto checks."""
    return [Signed(unb64(each.record), tuple(unb64(one) for one in each.signatures)) for each in chain]


def follow(
    heads: Heads, chain: Sequence[SignedRecord], account: str, name: str, pinned: str | None = None
) -> tuple[Identity, ...]:
    """The identities of a served chain, from its genesis on, if it is the line that was seen before.

    Args:
        account: whose it must be.
        name: how the person calls them, for the notice and the alarms.
        pinned: the head (base64url) from which on news are told, where this device saw nothing newer.

    Raises:
        RolledBack: it is shorter than it was.
        KeyMismatch: it is somebody else's, or has another record at a place: two histories.
        ForgedRecord: it does not verify.
    """
    line = tuple(walk(signed_chain(chain)))
    if line[0].account != account:
        raise KeyMismatch(f"The backend served another person's identity for {name}.")
    known = _known(heads, line, account, name, pinned)
    if known is not None and line[known + 1 :]:
        told = ", ".join(TOLD.get(each.reason, "a new record") for each in line[known + 1 :])
        notices.warning("notice: the identity of %s went on to record %d: %s", name, line[-1].n, told)
    heads.saw(account, line[-1].n, b64(line[-1].head))
    return line


def _known(heads: Heads, line: Sequence[Identity], account: str, name: str, pinned: str | None) -> int | None:
    """The place in the line of the newest record that was known before."""
    before = heads.seen(account)
    if before is None:
        return index_of(line, pinned, name) if pinned is not None else None
    n, head = before
    if n >= len(line):
        raise RolledBack(f"The backend serves an older identity of {name}: record {n} was seen before.")
    if b64(line[n].head) != head:
        raise KeyMismatch(f"Two histories of the identity of {name}: another record {n} was seen before.")
    return n


def index_of(line: Sequence[Identity], head: str, name: str) -> int:
    """The place of a head (base64url) in a line.

    Raises:
        KeyMismatch: the line does not go through it.
    """
    for place, identity in enumerate(line):
        if b64(identity.head) == head:
            return place
    raise KeyMismatch(f"The identity chain of {name} does not go on from the one that was pinned.")


def signed_by(line: Sequence[Identity], check: Callable[[bytes], T], otherwise: str) -> tuple[T, Bounds]:
    """What `check` gives for the sign key of a line that made a signature, and before which checkpoints it must have.

    Args:
        check: raises ForgedRecord for a key that did not.

    Raises:
        ForgedRecord: none of the keys did; `otherwise` says so.
    """
    for key, bounds in signers(line):
        try:
            return check(key), bounds
        except ForgedRecord:
            continue
    raise ForgedRecord(otherwise)


async def logged_before(
    session: "Session", bound: str | None, position: int | None, otherwise: str
) -> "Evidence | None":
    """The event at a position, as the log had it when its signer's key was given up as stolen; None if it came later.

    Args:
        bound: the checkpoint of the record that gave the key up; None where it names none.

    Raises:
        NotInLog: the backend shows no such event; `otherwise` says so.
        ForkedLog, RolledBack: the checkpoint is not of the log's history.
    """
    if bound is None or position is None or position > to_mark(bound, session.server).size:
        return None
    await session.consistent(bound)
    try:
        return await evidence(session, position)
    except NotFound:
        raise NotInLog(otherwise) from None


def linked_manifest(line: Sequence[Identity], manifest: str, signature: str) -> tuple[Manifest, Bounds]:
    """The manifest of a share that some sign key of the line signed, and the checkpoints before which it must have.

    That is enough for its place among what the sender sent, not for what it shares: `signed_manifest`.

    Raises:
        ForgedRecord: none of these keys signed it.
    """
    return signed_by(
        line,
        lambda key: verify_share(unb64(manifest), unb64(signature), key),
        "What is shared is not signed by the one whom it is said to come from.",
    )


async def signed_manifest(
    session: "Session", line: Sequence[Identity], manifest: str, signature: str, position: int
) -> Manifest:
    """The manifest of a share, if a sign key of the line signed it while its signatures counted.

    Args:
        line: the sender's identities, from the one that the connection names.
        manifest, signature: base64url.
        position: of the event that brought the manifest, as the backend says; proven where it matters.

    Raises:
        ForgedRecord: no such key signed it, or one that had been given up as stolen before.
        NotInLog, ForkedLog, RolledBack: the log does not have it where the backend says.
    """
    read, bounds = linked_manifest(line, manifest, signature)
    for bound in bounds:
        await _check_before(session, bound, manifest, signature, position)
    return read


async def _check_before(session: "Session", bound: str | None, manifest: str, signature: str, position: int) -> None:
    """The log must have had the signature when its owner said that the key was stolen."""
    absent = "The backend has no evidence of what is shared where it says that it is."
    shown = await logged_before(session, bound, position, absent)
    if shown is not None and any(shown.says(name, manifest=manifest, signature=signature) for name in BRINGING):
        return
    raise ForgedRecord("What is shared is signed by a key that its owner had given up as stolen before.")
