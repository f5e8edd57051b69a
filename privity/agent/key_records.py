"""The records of a sharing key as a backend serves them: signed by its creator, and one line with what was seen before.

What this device saw of a key is pinned: the newest record by number and digest, and the public part of each generation.
An older record, another one under the same number, or another public part is an alarm, and nothing more is done with
that key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privity.agent.chains import Heads, follow, logged_before, signed_by
from privity.agent.identity import own_line
from privity.agent.kinds import SHARING_KEY
from privity.agent.memory import Memory, Seen, check_not_older
from privity.crypto.identity import Identity
from privity.crypto.sharing_keys import KeyRecord, check_following, read_record, verify_record
from privity.encoding import digest, unb64
from privity.errors import ForgedRecord, KeyMismatch, Withheld
from privity.messages.views import MAX_PAGE, AskKeyRecords, KeyRecordRow, SharingKeyRow

if TYPE_CHECKING:
    from privity.agent.session import Session

KEY = SHARING_KEY
"""What is remembered: the newest record of a key that was seen, and its digest."""
PART = "sharing-key-part"
"""For `key generation`, the digest of the public part."""
CREATOR = "sharing-key-creator"
"""For a key, the account that made it (in the place of a digest)."""
NOTE = "sharing-key-note"
"""What is remembered: the number of one's newest note of a key."""
OWN, RECEIVED, PUBLIC = "own", "received", "public"
BRINGING = ("sharing-key-created", "sharing-key-granted", "sharing-key-rotated", "public-part-sent")
"""The events that bring a record."""


class Before(Heads):
    """What this device had seen of keys, notes and identities when a question was asked."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.own: Sequence[Identity] | None = None
        self.notes = {each.id: each.version for each in memory.all_in(NOTE, "")}
        self._keys = {each.id: each for place in (OWN, RECEIVED, PUBLIC) for each in memory.all_in(KEY, place)}

    def key(self, id: str) -> Seen | None:
        """The newest record seen of a key."""
        return self._keys.get(id)

    def keys(self) -> Mapping[str, Seen]:
        """All that were seen, also of keys that have ended since."""
        return self._keys


@dataclass(frozen=True, slots=True)
class Line:
    """The whole line of a key: its records in order, and for each generation but the first the link to that before.

    `positions` are those of the events that brought the records, as the backend says.
    """

    records: Sequence[KeyRecord]
    digests: Sequence[str]
    links: Mapping[int, bytes]
    positions: Sequence[int]

    def of(self, generation: int) -> KeyRecord:
        """The record that begins a generation."""
        return next(each for each in self.records if each.generation == generation)


async def checked_record(session: "Session", before: Before, row: SharingKeyRow, name: str) -> KeyRecord:
    """The record of a served key, if its creator signed it and it goes on from what was seen of it before.

    `name` is how the person calls the creator, for notices and alarms.

    Raises:
        ForgedRecord, KeyMismatch: it is not the creator's, or not the key that was seen.
        RolledBack: an older record than was seen.
        NotInLog, ForkedLog: the log does not have it where the backend says.
    """
    record = await _signed(session, before, row, name)
    named = digest(unb64(row.record))
    if row.kind == PUBLIC:
        check_not_older(before.key(row.key), record.n, named)
    else:
        await _check_goes_on(session, before.key(row.key), record, named)
    session.memory.saw(KEY, row.key, record.n, named, place=row.kind)
    seen = before.key(row.key)
    if seen is not None and 0 < seen.ended < row.position:
        session.memory.said_to_end(KEY, row.key, 0)  # it was granted anew, and must be there from now on
    session.memory.saw(CREATOR, row.key, 1, record.by)
    pin_part(session.memory, record)
    return record


def pin_part(memory: Memory, record: KeyRecord) -> None:
    """Remember the public part of a generation.

    Raises:
        KeyMismatch: another one was seen under this name.
    """
    named = f"{record.key} {record.generation}"
    before = memory.seen(PART, named)
    if before is not None and before.digest != record.public_digest:
        raise KeyMismatch(f"Sharing key {record.key} differs from the one that was seen before.")
    memory.saw(PART, named, 1, record.public_digest)


async def whole_line(session: "Session", record: KeyRecord, named: str) -> Line:
    """All records of a key, back from its newest one, whose digest (`named`) was checked.

    Raises:
        Withheld: the backend leaves some out.
        ForgedRecord: one is not what the next one names.
        KeyMismatch: a generation has another public part than was seen before.
    """
    found = await session.ask_all(AskKeyRecords(key=record.key, limit=MAX_PAGE), KeyRecordRow)
    rows = found.rows[: record.n]  # it may have gone on meanwhile: what is newer is asked for next time
    records = [read_record(unb64(row.record)) for row in rows]
    if [each.n for each in records] != list(range(1, record.n + 1)):
        raise Withheld("The backend leaves out a record of a sharing key.")
    digests = [digest(unb64(row.record)) for row in rows]
    if digests[-1] != named or records[0].key != record.key:
        raise ForgedRecord("The backend serves another record of a sharing key than the newest one.")
    links: dict[int, bytes] = {}
    for place in range(1, len(records)):
        check_following(records[place - 1], digests[place - 1], records[place])
        if records[place].generation != records[place - 1].generation:
            links[records[place].generation] = found.blob(rows[place].link or "")
    for each in records:
        pin_part(session.memory, each)
    return Line(records, digests, links, [row.position for row in rows])


async def _signed(session: "Session", before: Before, row: SharingKeyRow, name: str) -> KeyRecord:
    line = await _identities(session, before, row, name)
    otherwise = f"A record of a sharing key is not signed by {name}."
    record, bounds = signed_by(line, lambda key: verify_record(unb64(row.record), unb64(row.signature), key), otherwise)
    if (record.key, record.by) != (row.key, row.creator):
        raise ForgedRecord("The backend serves the record of another sharing key.")
    for bound in bounds:
        shown = await logged_before(session, bound, row.position, "The backend has no evidence of a sharing key.")
        said = {"record": row.record, "signature": row.signature}
        if shown is None or not any(shown.says(event, **said) for event in BRINGING):
            raise ForgedRecord("A sharing key is signed by a key that its owner had given up as stolen before.")
    return record


async def _identities(session: "Session", before: Before, row: SharingKeyRow, name: str) -> Sequence[Identity]:
    if (row.kind == OWN) is not (row.creator == session.account):
        raise ForgedRecord("The backend says that a sharing key is somebody else's.")
    if row.kind == OWN:
        before.own = before.own or (await own_line(session))[1]
        return before.own
    return follow(before, row.chain, row.creator, name)


async def _check_goes_on(session: "Session", seen: Seen | None, record: KeyRecord, named: str) -> None:
    """It is the record that was seen, or one that stands behind it in an unbroken line."""
    check_not_older(seen, record.n, named)
    if seen is not None and record.n == seen.version and seen.digest:
        return
    await session.consistent(record.checkpoint)
    if seen is None or not seen.digest:
        return
    line = await whole_line(session, record, named)
    if line.digests[seen.version - 1] != seen.digest:
        raise ForgedRecord(f"Record {seen.version} of sharing key {record.key} was another one before.")
