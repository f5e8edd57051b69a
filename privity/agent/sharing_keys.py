"""Sharing keys: those that one made, those that one was granted, and those whose public part alone one knows.

A key is shown as `alias$address`, the address being its creator's. Its name, one's own label and whether it is off
stand in a note under the KEK. What the backend says of a key is believed as far as its records go (`key_records`), and
a private part as far as it is that of the public one.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from string import ascii_lowercase

from privity.agent import connections
from privity.agent.connections import Broken, Connection
from privity.agent.feed import learn
from privity.agent.identity import current, fingerprint, newest_checkpoint, own_line
from privity.agent.key_ends import check_ended
from privity.agent.key_records import (
    KEY,
    NOTE,
    OWN,
    PUBLIC,
    RECEIVED,
    Before,
    checked_record,
    pin_part,
    whole_line,
)
from privity.agent.keyring import Keyring
from privity.agent.keys import stored_connection_key
from privity.agent.session import Rows, Session
from privity.agent.tasks import Task
from privity.crypto.items import open_note, seal_note
from privity.crypto.sharing_keys import (
    NONCE_BYTES,
    SALT_BYTES,
    Alias,
    KeyRecord,
    PartPlace,
    PrivatePart,
    check_alias,
    check_committed,
    first_record,
    open_alias,
    open_part,
    seal_alias,
    sign_record,
    unlink_part,
    unwrap_part,
    wrap_part,
)
from privity.encoding import b64, digest, unb64
from privity.errors import (
    AlreadyExists,
    Ambiguous,
    Busy,
    DoesNotOpen,
    IntegrityAlarm,
    KeyInactive,
    KeyMismatch,
    Malformed,
    MasterKeyStays,
    NotFound,
    PrivityError,
    RolledBack,
    StaleVersion,
    Unreachable,
    Unverified,
    Withheld,
)
from privity.messages.sharing_keys import (
    ClaimSharingKey,
    CreateSharingKey,
    EraseSharingKey,
    NoteSharingKey,
    SendPublicPart,
)
from privity.messages.views import MAX_PAGE, AskSharingKeys, SharingKeyRow

MASTER = "master"
"""The reserved name of the identity's own key."""
TAKEN = "sharing-key-taken"
"""At which position came what was taken under the KEK: its note must be there."""
RANDOM_BYTES = 16
MAX_LABEL = 200
"""Characters of a label."""
ID_LETTERS = 52
SURE_LETTERS = 16
"""Of an id, that nobody makes another key's id begin with."""
ATTEMPTS = 5
"""Times that a key is read where other devices of one's own keep notes of it meanwhile."""


@dataclass(frozen=True, slots=True)
class Note:
    """What one keeps of a key, sealed under the KEK: its name with the salt, a label, and whether it is used.

    `n` grows with each note that is kept. The first of a key that was given begins at the position of the event that
    gave it: whoever is given a key a second time goes on behind all that they kept before.
    """

    alias: str
    salt: str = field(repr=False)
    label: str = ""
    active: bool = True
    n: int = 1


@dataclass(frozen=True, slots=True)
class SharingKey:
    """A sharing key, checked. `part` is the private part of its newest generation, which `public` keys have not.

    `connection` is the one over which it was given: with its creator, or for a public part with `given_by`. `noted` is
    the digest of one's note as it is kept. `verified`: one made it oneself, or the connection with who did is verified.
    """

    id: str
    alias: str
    creator: str
    creator_address: str
    kind: str
    given_by: str
    connection: str | None
    record: KeyRecord = field(repr=False)
    record_bytes: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    part: PrivatePart | None = field(repr=False, compare=False)
    note: Note = field(repr=False)
    noted: str = field(repr=False, compare=False)
    verified: bool
    position: int

    @property
    def name(self) -> str:
        """How it is shown: `alias$address`."""
        return f"{self.alias}${self.creator_address}"

    @property
    def active(self) -> bool:
        """Whether one has not switched it off for oneself."""
        return self.note.active

    @property
    def label(self) -> str:
        """One's own."""
        return self.note.label

    @property
    def generation(self) -> int:
        """The newest, from 1; of a public part, the one that was given."""
        return self.record.generation

    @property
    def fingerprint(self) -> str:
        """Of the public part, for people to compare."""
        return self.record.fingerprint

    @property
    def full_alias(self) -> Alias:
        """The name with its salt, as whoever is given the key gets it."""
        return Alias(self.alias, unb64(self.note.salt))

    def private(self) -> PrivatePart:
        """The private part.

        Raises:
            NotFound: one knows the public part alone.
        """
        if self.part is None:
            raise NotFound(f"you have the public part of {self.name} alone")
        return self.part


@dataclass(frozen=True, slots=True)
class Master:
    """The identity as `key show master` names it."""

    account: str
    address: str
    fingerprint: str
    generation: int


async def all_known(session: Session, keyring: Keyring) -> list[SharingKey | Broken]:
    """Every key that one made, holds or knows; one that lies, or that the backend leaves out, hides no other.

    What was granted meanwhile is taken under the KEK on the way.
    """
    await learn(session)
    before = Before(session.memory)
    found = await session.ask_all(AskSharingKeys(limit=MAX_PAGE), SharingKeyRow)
    opener = _Opener(session, keyring, before, await _people(session, keyring, found.rows))
    known = [await opener.tried(row, found) for row in found.rows]
    return [*known, *await _left_out(session, before, {row.key for row in found.rows})]


async def show(session: Session, keyring: Keyring, name: str) -> SharingKey:
    """A key by `alias$address`, by its alias, or by its id or the beginning of that.

    By an alias alone one's own comes first, and another's is meant only where the connection with who made it is
    verified: what keys are called, and how their ids begin, whoever makes them chooses.

    Raises:
        MasterKeyStays: it is the master key's name.
        NotFound, Ambiguous: there is none, or more than one.
        Unverified: it is somebody's whose connection is not verified, and only its alias is given.
        IntegrityAlarm: it does not hold.
    """
    check_not_master(name)
    if len(name) == ID_LETTERS and "$" not in name:
        return await _by_id(session, keyring, name)
    known = await all_known(session, keyring)
    keys = [each for each in known if isinstance(each, SharingKey)]
    found = [each for each in keys if each.name == name] or _called(keys, name)
    sure = len(name) >= SURE_LETTERS
    found = found or [each for each in keys if name and each.id.startswith(name) and (sure or each.verified)]
    if len(found) > 1:
        raise Ambiguous(f"more than one sharing key is called {name}; give its whole name or its id")
    if found and found[0].alias == name and not found[0].verified:
        raise Unverified(f"the connection with who made {name} is not verified: say {found[0].name}, or its id")
    if found:
        return found[0]
    for each in known:
        if isinstance(each, Broken) and ("$" in name or each.id.startswith(name)):
            raise each.alarm
    raise NotFound(f"there is no sharing key {name}")


async def master(session: Session) -> Master:
    """One's own identity: what the master key is."""
    identity = (await own_line(session))[1][-1]
    return Master(identity.account, session.address, fingerprint(identity), identity.n + 1)


def check_not_master(name: str) -> None:
    """Returns if this is not the master key's name.

    Raises:
        MasterKeyStays: it is.
    """
    if name.partition("$")[0] == MASTER:
        raise MasterKeyStays


def check_active(key: SharingKey) -> SharingKey:
    """The key, if it may be used.

    Raises:
        KeyInactive: it is switched off.
    """
    if not key.active:
        raise KeyInactive(f"{key.name} is switched off; switch it on first: privity key on {key.alias}")
    return key


async def create(session: Session, keyring: Keyring, alias: str | None = None) -> SharingKey:
    """Make a key, under a random name if none is given.

    Raises:
        Malformed: that is no name of a key.
        MasterKeyStays: the name is the master key's.
        AlreadyExists: one of one's own keys is called so.
    """
    keyring, _ = await current(session, keyring)
    if alias is not None:
        check_not_master(check_alias(alias))
        known = await all_known(session, keyring)
        if any(isinstance(each, SharingKey) and each.kind == OWN and each.alias == alias for each in known):
            raise AlreadyExists(f"there is a sharing key {alias} already")
    nonce, part = secrets.token_bytes(NONCE_BYTES), PrivatePart.generate()
    named = Alias(alias or f"share_{secrets.token_hex(RANDOM_BYTES)}", secrets.token_bytes(SALT_BYTES))
    record = first_record(session.account, nonce, part, named, await newest_checkpoint(session))
    id = record.key
    data, signature = sign_record(keyring.identity.sign, record)
    note = Note(named.name, b64(named.salt))
    wrap, sealed = wrap_part(keyring.kek, part, id, 1, session.account), seal(keyring, note, id)
    command = CreateSharingKey(id, b64(data), b64(signature), digest(wrap), digest(sealed))
    result = await session.send(command, wrap, sealed)
    session.memory.saw(KEY, id, 1, digest(data), place=OWN)
    pin_part(session.memory, record)
    position = max((event.position for event in result.events), default=0)
    return SharingKey(
        id,
        named.name,
        session.account,
        session.address,
        OWN,
        session.account,
        None,
        record,
        data,
        signature,
        part,
        note,
        digest(sealed),
        True,
        position,
    )


async def relabel(session: Session, keyring: Keyring, name: str, label: str) -> SharingKey:
    """Keep a label of one's own for a key; an empty one takes it away.

    Raises:
        Malformed: more than 200 characters.
    """
    if len(label) > MAX_LABEL:
        raise Malformed(f"a label has at most {MAX_LABEL} characters")
    return await _keep(session, keyring, await show(session, keyring, name), label=label)


async def switch(session: Session, keyring: Keyring, name: str, *, active: bool) -> SharingKey:
    """Switch a key off or on, for oneself alone: what is off is not used by any command of this person's."""
    key = await show(session, keyring, name)
    return key if key.active is active else await _keep(session, keyring, key, active=active)


async def remove(session: Session, keyring: Keyring, name: str) -> SharingKey | SharingKeyRow:
    """Give a key up: one's own ends for everybody, another's for oneself.

    Another's is given up by its id without being opened, as what the backend says it is: it may be one that does not
    hold, or that was given by somebody who only wants to be a nuisance.

    Raises:
        AlreadyExists: there is a location under it.
    """
    check_not_master(name)
    if _is_id(name):
        rows = (await session.ask(AskSharingKeys(id=name, limit=2), SharingKeyRow)).rows
        if len(rows) == 1 and rows[0].key.startswith(name) and rows[0].kind != OWN:
            result = await session.send(EraseSharingKey(rows[0].key))
            for event in result.events[:1]:
                session.memory.said_to_end(KEY, rows[0].key, event.position)
            return rows[0]
    key = await show(session, keyring, name)
    result = await session.send(EraseSharingKey(key.id))
    for event in result.events[:1]:  # another's key may be granted anew
        remember = session.memory.ended if key.kind == OWN else session.memory.said_to_end
        remember(KEY, key.id, event.position)
    return key


async def send_public(session: Session, keyring: Keyring, name: str, address: str) -> SharingKey:
    """Give a connected person the public part of a key that one made or holds.

    Raises:
        NotConnected: there is no connection with that person.
        KeyInactive: the key is switched off.
        NotFound: one knows its public part alone oneself.
    """
    key = check_active(await show(session, keyring, name))
    key.private()
    over = await connections.with_person(session, keyring, address)
    place = PartPlace(
        key=key.id, generation=key.generation, by=session.account, to=over.peer, connection=over.connection
    )
    sealed = seal_alias(over.suite, over.public, key.full_alias, place)
    command = SendPublicPart(key.id, over.peer, over.connection, key.generation, digest(sealed))
    await session.send(command, sealed)
    return key


async def all_parts(session: Session, keyring: Keyring, key: SharingKey) -> Mapping[int, PrivatePart]:
    """The private part of every generation: each older one lies under the one behind it.

    Raises:
        DoesNotOpen, KeyMismatch: a link is not what the records say.
        Withheld: the backend leaves a record or a link out.
    """
    parts = {key.generation: key.private()}
    if key.generation == 1:
        return parts
    line = await whole_line(session, key.record, digest(key.record_bytes))
    for generation in range(key.generation, 1, -1):
        at, before = line.of(generation), line.of(generation - 1)
        parts[generation - 1] = unlink_part(parts[generation], line.links[generation], at, before)
    return parts


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """What an agent does by itself: it takes what was granted under its person's own KEK."""
    found = await session.ask_all(AskSharingKeys(limit=MAX_PAGE), SharingKeyRow)

    def claim(row: SharingKeyRow) -> Task:
        async def run() -> None:
            await _by_id(session, keyring, row.key)

        return Task("key", f"{row.key}/{row.position}", "take a sharing key under your own key", run)

    return [claim(row) for row in found.rows if _waits(row)]


def seal(keyring: Keyring, note: Note, key: str) -> bytes:
    """A note of a key, sealed for one's own eyes and bound to the key."""
    return seal_note(keyring.kek, json.dumps(asdict(note)).encode(), "sharing-key", keyring.account, key)


def unseal(keyring: Keyring, blob: bytes, key: str) -> Note:
    """The inverse of `seal`.

    Raises:
        DoesNotOpen: it is not one's own note of this key.
    """
    try:
        return Note(**json.loads(open_note(keyring.kek, blob, "sharing-key", keyring.account, key)))
    except (ValueError, TypeError):
        raise DoesNotOpen from None


async def _by_id(session: Session, keyring: Keyring, id: str) -> SharingKey:
    for left in reversed(range(ATTEMPTS)):
        try:
            return await _read(session, keyring, id)
        except StaleVersion:
            if not left:
                raise
    raise AssertionError


async def _read(session: Session, keyring: Keyring, id: str) -> SharingKey:
    before = Before(session.memory)
    found = await session.ask(AskSharingKeys(id=id, limit=2), SharingKeyRow)
    if not found.rows and before.key(id) is not None:
        await learn(session)  # it may have ended: then the feed says so
        for broken in await _left_out(session, Before(session.memory), set(), id):
            raise broken.alarm
    row = found.one("key", id)
    people = await _people(session, keyring, found.rows)
    return await _Opener(session, keyring, before, people).opened(row, found)


def _is_id(name: str) -> bool:
    """Whether this is an id, or so much of its beginning that it can be no other's."""
    return SURE_LETTERS <= len(name) <= ID_LETTERS and not set(name) - set(ascii_lowercase + "234567")


def _called(keys: Sequence[SharingKey], alias: str) -> list[SharingKey]:
    """The keys that are called so: one's own, or else those of others."""
    called = [each for each in keys if each.alias == alias]
    return [each for each in called if each.kind == OWN] or called


async def _left_out(session: Session, before: Before, served: set[str], id: str | None = None) -> list[Broken]:
    """What must be there, of all keys or of one, is not served, and was not shown to have ended."""
    left_out = []
    for seen in before.keys().values():
        if seen.id in served or id not in (None, seen.id):
            continue
        try:
            await check_ended(session, seen)
        except IntegrityAlarm as alarm:
            left_out.append(Broken(seen.id, session.address, session.meant(alarm)))
    return left_out


async def _people(session: Session, keyring: Keyring, rows: Sequence[SharingKeyRow]) -> Mapping[str, Connection]:
    """Whom one is connected with, by connection; not asked for where one has keys of one's own alone."""
    if all(row.kind == OWN for row in rows):
        return {}
    own = await connections.all_own(session, keyring)
    return {each.connection: each for each in own if isinstance(each, Connection)}


async def _keep(
    session: Session, keyring: Keyring, key: SharingKey, *, label: str | None = None, active: bool | None = None
) -> SharingKey:
    for left in reversed(range(ATTEMPTS)):
        kept = key.note
        note = replace(
            kept,
            label=kept.label if label is None else label,
            active=kept.active if active is None else active,
            n=kept.n + 1,
        )
        sealed = seal(keyring, note, key.id)
        try:
            await session.send(NoteSharingKey(key.id, key.noted, digest(sealed)), sealed)
            break
        except StaleVersion:  # another device of one's own was faster
            if not left:
                raise
            key = await _by_id(session, keyring, key.id)
    session.memory.saw(NOTE, key.id, note.n)
    return replace(key, note=note, noted=digest(sealed))


def _waits(row: SharingKeyRow) -> bool:
    """Whether what was given still lies sealed to a connection."""
    return (row.kind == RECEIVED and not row.claimed) or (row.kind == PUBLIC and row.note is None)


class _Opener:
    """Opens served keys; what lies sealed to a connection is asked for once, freshly, for all of them."""

    def __init__(self, session: Session, keyring: Keyring, before: Before, people: Mapping[str, Connection]) -> None:
        self._session = session
        self._keyring = keyring
        self._before = before
        self._people = people
        self._verified = {each.peer for each in people.values() if each.verified} | {session.account}
        self._book = {each.peer: each.address for each in people.values()} | {session.account: session.address}

    async def tried(self, row: SharingKeyRow, found: Rows[SharingKeyRow]) -> SharingKey | Broken:
        """The key, or what is wrong with it."""
        try:
            try:
                return await self.opened(row, found)
            except StaleVersion:
                return await _by_id(self._session, self._keyring, row.key)
        except (Unreachable, Busy):
            raise
        except PrivityError as alarm:
            return Broken(row.key, self._address(row), self._session.meant(alarm))

    async def opened(self, row: SharingKeyRow, found: Rows[SharingKeyRow]) -> SharingKey:
        """The key, believed as far as its record, its private part and its name agree.

        Raises:
            IntegrityAlarm: they do not.
        """
        address = self._address(row)
        record = await checked_record(self._session, self._before, row, address)
        if row.kind != PUBLIC and not record.holds(self._session.account):
            raise KeyMismatch(f"The backend serves a sharing key of {address} that you do not hold.")
        note = self._note(row, found)
        taken = self._session.memory.seen(TAKEN, row.key)
        if note is None and (not _waits(row) or (taken is not None and taken.version == row.position)):
            raise Withheld("The backend leaves out your note of a sharing key.")
        if _waits(row) or note is None:
            part, note, noted = await self._taken(row, record, note)
        else:
            part, noted = self._own_part(row, record, found), row.note or ""
        check_committed(record, Alias(note.alias, unb64(note.salt)))
        return SharingKey(
            row.key,
            note.alias,
            row.creator,
            address,
            row.kind,
            row.given_by,
            row.connection,
            record,
            unb64(row.record),
            unb64(row.signature),
            part,
            note,
            noted,
            row.creator in self._verified,
            row.position,
        )

    def _own_part(self, row: SharingKeyRow, record: KeyRecord, found: Rows[SharingKeyRow]) -> PrivatePart | None:
        if row.kind == PUBLIC:
            return None
        if not row.claimed:
            raise KeyMismatch("The backend says that a sharing key of your own is to be claimed.")
        return unwrap_part(self._keyring.kek, found.blob(row.wrap or ""), record, self._session.account)

    def _note(self, row: SharingKeyRow, found: Rows[SharingKeyRow]) -> Note | None:
        if row.note is None:
            return None
        note = unseal(self._keyring, found.blob(row.note), row.key)
        if note.n < self._before.notes.get(row.key, 0):
            raise RolledBack("The backend serves an older note of a sharing key than was seen before.")
        self._session.memory.saw(NOTE, row.key, note.n)
        return note

    async def _taken(
        self, row: SharingKeyRow, record: KeyRecord, note: Note | None
    ) -> tuple[PrivatePart | None, Note, str]:
        """What lies sealed to a connection, taken under the KEK; with the digest of the note that is kept now."""
        over = self._people.get(row.connection or "")
        if over is None or over.peer != row.given_by or (row.kind == RECEIVED and row.given_by != row.creator):
            raise KeyMismatch("The backend serves a sharing key over a connection that you do not have.")
        fresh = await self._session.ask(AskSharingKeys(id=row.key, limit=2), SharingKeyRow, fresh=True)
        again = fresh.one("key", row.key)
        if again.record != row.record:
            raise StaleVersion("the sharing key went on while it was read; read it again")
        blob = fresh.blob(again.wrap or "")
        stored = await stored_connection_key(self._session, self._keyring, over.key)
        place = PartPlace(
            key=row.key,
            generation=record.generation,
            by=row.given_by,
            to=self._session.account,
            connection=over.connection,
        )
        suite, private = stored.pair.suite, stored.pair.private
        if row.kind == PUBLIC:
            part, alias = None, open_alias(suite, private, blob, place, record)
        else:
            part, alias = open_part(suite, private, blob, place, record)
        seen = self._session.memory.seen(NOTE, row.key)
        newest = max(row.position if note is None else note.n, seen.version if seen else 0)
        kept = replace(note or Note("", ""), alias=alias.name, salt=b64(alias.salt), n=newest + 1)
        return part, kept, await self._claim(row, record, part, kept)

    async def _claim(self, row: SharingKeyRow, record: KeyRecord, part: PrivatePart | None, note: Note) -> str:
        sealed = seal(self._keyring, note, row.key)
        if part is None:
            await self._session.send(NoteSharingKey(row.key, row.note, digest(sealed)), sealed)
        else:
            wrap = wrap_part(self._keyring.kek, part, row.key, record.generation, self._session.account)
            command = ClaimSharingKey(row.key, record.generation, row.note, digest(wrap), digest(sealed))
            await self._session.send(command, wrap, sealed)
        self._session.memory.saw(NOTE, row.key, note.n)
        self._session.memory.saw(TAKEN, row.key, row.position)
        return digest(sealed)

    def _address(self, row: SharingKeyRow) -> str:
        """How oneself knows the creator; the account's id where one does not: another name only the backend says."""
        return self._book.get(row.creator, row.creator)
