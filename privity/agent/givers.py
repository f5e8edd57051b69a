"""Those before the sender of what is shared on: the keys by which they signed, most of them people one never met.

Their identities come with the share. An account id is the hash of its genesis, so nobody can be exchanged; what this
device saw of them before, or a connection shows, must be of the same history; and a key that was given up as stolen
signs nothing any more.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from privity.agent.chains import IDENTITY, signed_chain
from privity.agent.memory import Memory
from privity.crypto.identity import Identity, signers, walk
from privity.encoding import b64
from privity.errors import BeyondPermission, ForgedRecord, KeyMismatch, Malformed, RolledBack
from privity.messages.fields import SignedRecord

SIGN_KEY: Final = "sign-key"
"""What is remembered of a person's sign keys, `account key`: at which identity record it was last seen, and whether its
signatures counted there."""
STRANGER: Final = "stranger"
STRANGERS_KEY: Final = "strangers-key"
"""The newest record and the sign keys of people whom no connection shows, by what others brought. Who has a stolen key
can make up such a history: so it stands apart, and is held against no connection."""
COUNTS, GIVEN_UP = "counts", "given-up"


def keys_of(
    memory: Memory | None,
    account: str,
    names: Mapping[str, str],
    sender: str,
    came: tuple[SignedRecord, ...] | None,
    served: tuple[SignedRecord, ...] | None,
) -> list[bytes]:
    """The sign keys of somebody before the sender whose signatures count.

    Args:
        memory: what this device saw; None for what one sent oneself: that was checked then, and can be renewed whatever
            came since.
        came: their identity chain as it came with the share.
        served: as a connection with them shows it, held against memory already.

    Raises:
        BeyondPermission, KeyMismatch, ForgedRecord, RolledBack: as `_line_of` and `_counted`.
    """
    name = names.get(account, account)
    line = _line_of(account, name, sender, came, served)
    return ever(line) if memory is None else _counted(memory, line, name, known=served is not None)


def _line_of(
    account: str,
    name: str,
    sender: str,
    came: tuple[SignedRecord, ...] | None,
    served: tuple[SignedRecord, ...] | None,
) -> tuple[Identity, ...]:
    """The identities of somebody in the chain, from the genesis on.

    Raises:
        BeyondPermission: there are none.
        KeyMismatch: they are somebody else's, or there are two histories.
        ForgedRecord: they do not verify.
    """
    chains = sorted((chain for chain in (came, served) if chain), key=len)
    if not chains:
        raise BeyondPermission(f"The identity of {name} did not come with what {sender} shared on.")
    longest = chains[-1]
    if any(mine.record != other.record for chain in chains for mine, other in zip(chain, longest, strict=False)):
        raise KeyMismatch(f"Two histories of the identity of {name}: one came by {sender}.")
    try:
        line = tuple(walk(signed_chain(longest)))
    except (ForgedRecord, Malformed) as error:
        raise ForgedRecord(f"The identity of {name} that came by {sender} does not verify: {error.message}") from None
    if line[0].account != account:
        raise KeyMismatch(f"The identity that came by {sender} for {name} is somebody else's.")
    return line


def _counted(memory: Memory, line: tuple[Identity, ...], name: str, *, known: bool) -> list[bytes]:
    """The sign keys of a line whose signatures count, by what this device saw of that person, and now sees.

    Args:
        known: a connection shows them: what it showed is remembered already, and what strangers brought is nothing.

    Raises:
        KeyMismatch: there are two histories of that identity.
        RolledBack: it is older than what was seen, and what became of a key of it is not known.
    """
    account = line[0].account
    told = [(IDENTITY, SIGN_KEY)] if known else [(IDENTITY, SIGN_KEY), (STRANGER, STRANGERS_KEY)]
    for heads, keys in told:
        before = memory.seen(heads, account)
        if before is not None and before.version >= len(line):
            return _counting_then(memory, keys, line, name)
        if before is not None and b64(line[before.version].head) != before.digest:
            n = before.version
            raise KeyMismatch(f"Two histories of the identity of {name}: another record {n} was seen before.")
    if not known:
        memory.saw(STRANGER, account, line[-1].n, b64(line[-1].head))
    judged = [(_key_id(account, key), line[-1].n, GIVEN_UP if bounds else COUNTS) for key, bounds in signers(line)]
    memory.saw_all(told[-1][1], judged)
    return counting(line)


def _counting_then(memory: Memory, kind: str, line: tuple[Identity, ...], name: str) -> list[bytes]:
    """The keys of a line that is older than what was seen: a thief could leave out that a key was given up."""
    found: list[bytes] = []
    for key in counting(line):
        seen = memory.seen(kind, _key_id(line[0].account, key))
        if seen is None:
            raise RolledBack(f"An older identity of {name} came with what is shared on than was seen before.")
        if seen.digest == COUNTS:
            found.append(key)
    return found


def _key_id(account: str, key: bytes) -> str:
    return f"{account} {b64(key)}"


def ever(line: Sequence[Identity]) -> list[bytes]:
    """All sign keys of a line, also those that were given up as stolen."""
    return [key for key, _ in signers(line)]


def counting(line: Sequence[Identity]) -> list[bytes]:
    """The sign keys of a line that nobody gave up as stolen."""
    return [key for key, bounds in signers(line) if not bounds]
