"""Grants: a sharing key of one's own for a connected person, in five steps, of which each is recorded as it goes.

Reach and audit are one question: whether the receiver holds the identity key that is known. Who is away is no failure:
then their pinned chain and the log stand for the answer, the private part waits for them, sealed, and the rest is
carried on when they are heard of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from privity.agent import connections, key_audits, locations, registrations, sharing_keys
from privity.agent.chains import Heads, follow, notices, signed_chain
from privity.agent.connections import Broken, Connection
from privity.agent.feed import learn
from privity.agent.identity import current, newest_checkpoint, own_line
from privity.agent.key_audits import Question
from privity.agent.key_records import whole_line
from privity.agent.keyring import Keyring
from privity.agent.kinds import KEY_GIVEN_UP, KEY_GRANTED
from privity.agent.log import check_signer, evidence
from privity.agent.registrations import Signed
from privity.agent.sending import check_consent
from privity.agent.session import Session
from privity.agent.sharing_keys import SharingKey
from privity.agent.tasks import Task
from privity.crypto.audits import grant_id
from privity.crypto.sharing_keys import PartPlace, seal_part, sign_record
from privity.encoding import b64, digest
from privity.errors import (
    AlreadyExists,
    ForgedRecord,
    IntegrityAlarm,
    KeyMismatch,
    NotFound,
    NotGranted,
    NotInLog,
    PrivityError,
    Refusal,
    RolledBack,
    StaleVersion,
    TooManyAudits,
    Withheld,
)
from privity.messages.envelope import command_subject
from privity.messages.grants import BeginGrant, Outcome, Step, TakeGrantStep
from privity.messages.sharing_keys import EraseSharingKey, GrantSharingKey
from privity.messages.views import (
    MAX_PAGE,
    AskGrants,
    AskKeyAudits,
    AskKeyHolders,
    GrantRow,
    KeyAuditRow,
    KeyHolderRow,
)

STEPS: Final[tuple[Step, ...]] = ("reach", "audit", "suppliers", "private", "files")
"""As they are shown."""
WORK: Final[tuple[Step, ...]] = ("reach", "audit", "private", "suppliers", "files")
"""As they are taken: suppliers are told a record once the home has it, for then there is no other of its number."""
ATTEMPTS: Final = 5
"""Times that a record is signed when another device of one's own was faster."""
AWAY: Final = "their agent does not answer: they get it when it runs"
BY_CHAIN: Final = "by the pinned chain and the log"
NO_LOCATION: Final = "the key has no location"
ELSEWHERE: Final = "The backend shows a grant to somebody else than the other side of its connection."


@dataclass(frozen=True, slots=True)
class Taken:
    """How a step went."""

    step: Step
    outcome: Outcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant with its steps in order; `error` is why the last of them failed."""

    grant: str
    key: SharingKey = field(repr=False)
    address: str
    steps: tuple[Taken, ...]
    error: PrivityError | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asked for: to grant a key over a connection, having seen its record `since`."""

    grant: str
    over: Connection = field(repr=False)
    since: int
    consent: bool = False


async def create(
    session: Session,
    keyring: Keyring,
    name: str,
    address: str,
    *,
    unverified: bool = False,
    wait: float = key_audits.WAIT,
) -> Grant:
    """Grant a sharing key of one's own, or carry on a grant of it.

    Args:
        unverified: the consent to grant over a connection that is not verified.
        wait: seconds that the receiver's answer is waited for.

    Raises:
        MasterKeyStays: it is the identity's, which is never granted.
        KeyInactive: one has switched the key off.
        NotFound: there is no such key of one's own.
        NotConnected: there is no connection with that person.
        Unverified: the connection is not verified, and the person did not consent (`unverified`).
    """
    for left in reversed(range(ATTEMPTS)):
        key = await own_key(session, keyring, name)
        connection = await connections.with_person(session, keyring, address)
        check_consent(connection, consent=unverified)
        id, since = grant_id(key.id, connection.peer, connection.connection), key.record.n
        try:
            await session.send(BeginGrant(id, key.id, connection.peer, connection.connection, since))
            break
        except StaleVersion:  # another device of one's own was faster
            if not left:
                raise
    wanted = Wanted(id, connection, since, consent=unverified)
    return await _carry_on(session, keyring, wanted, key, wait=wait, fresh=key_audits.RECENT)


async def all_of(session: Session, keyring: Keyring, name: str | None = None) -> list[Grant | Broken]:
    """The grants of one's own keys, or of one, as this person's devices recorded their steps.

    One that is to somebody else than its id says, or of a key that does not hold, hides no other.
    """
    known = (
        [await sharing_keys.show(session, keyring, name)] if name else await sharing_keys.all_known(session, keyring)
    )
    keys = {each.id: each for each in known}
    called = await connections.addresses(session, keyring)
    ask = AskGrants(key=next(iter(keys)) if name else None, limit=MAX_PAGE)
    rows = (await session.ask_all(ask, GrantRow)).rows
    return [_shown(row, keys[row.key], called.get(row.to, row.to)) for row in rows if row.key in keys]


def _shown(row: GrantRow, key: SharingKey | Broken, address: str) -> Grant | Broken:
    if isinstance(key, Broken):
        return Broken(row.grant, address, key.alarm)
    if row.grant != grant_id(row.key, row.to, row.connection):
        return Broken(row.grant, row.to, KeyMismatch(ELSEWHERE))
    return Grant(row.grant, key, address, tuple(_taken(row).values()))


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """The grants of which something can be done now; over an unverified connection nothing is sealed by itself."""
    rows = (await session.ask_all(AskGrants(open=True, limit=MAX_PAGE), GrantRow)).rows
    if not rows:
        return []
    asked = await session.ask_all(AskKeyAudits(direction="outgoing", limit=MAX_PAGE), KeyAuditRow)
    unverified = await connections.unverified(session, keyring)
    found = []
    for row in rows:
        steps = {each.step: each.outcome for each in row.steps}
        if "private" not in _done(steps) and row.connection in unverified:
            continue
        if await _is_due(session, row, steps, heard=key_audits.heard_of(session, asked.rows, row.to)):
            found.append(_step(session, keyring, row))
    return found


async def carry_on(session: Session, keyring: Keyring, id: str) -> Grant:
    """Take the steps of a grant that are not done: of one that a device of this person's began, as the log shows.

    Raises:
        NotFound: there is no such grant.
        ForgedRecord, NotInLog: nobody of one's own began it.
        NotGranted: the receiver was dropped since it began: only a person begins it anew.
        Unverified: they do not hold the key yet, and the connection is not verified.
    """
    row = (await session.ask(AskGrants(id=id, limit=2), GrantRow)).one("grant", id)
    key = await own_key(session, keyring, row.key)
    connection = await connections.show(session, keyring, row.connection)
    if connection.peer != row.to or row.grant != grant_id(key.id, row.to, row.connection):
        raise KeyMismatch(ELSEWHERE)
    wanted = Wanted(row.grant, connection, await _begun_at(session, row))
    if not key.record.holds(row.to):
        check_consent(connection, consent=False)
        await _check_not_dropped(session, key, wanted)
    return await _carry_on(session, keyring, wanted, key)


async def _begun_at(session: Session, row: GrantRow) -> int:
    """The key's newest record that the person saw who began this grant: only what they signed for is carried on."""
    try:
        shown = await evidence(session, row.position)
    except NotFound:
        raise NotInLog("The backend has no evidence that you began this grant.") from None
    n = shown.command.body.get("n")
    named = {"grant": row.grant, "key": row.key, "to": row.to, "connection": row.connection, "n": n}
    signed = (shown.subject, shown.command.body) == (command_subject(session.account, BeginGrant.subject), named)
    if not signed or not shown.says("grant-begun", **named) or not isinstance(n, int):
        raise ForgedRecord("The log has something else where you are said to have begun this grant.")
    account, _ = await own_line(session)
    check_signer(shown, {session.account: signed_chain(account.chain)}, session.server)
    return n


async def _check_not_dropped(session: Session, key: SharingKey, wanted: Wanted) -> None:
    """Returns if no record since the grant began has dropped the receiver.

    Raises:
        NotGranted: one has.
        RolledBack: the backend serves an older record than the one with which it began.
    """
    if key.record.n < wanted.since:
        raise RolledBack(f"The backend serves an older record of {key.name} than you have seen.")
    if key.record.n == wanted.since:
        return
    line = await whole_line(session, key.record, digest(key.record_bytes))
    to = wanted.over.peer
    if any(before.holds(to) and not after.holds(to) for before, after in pairwise(line.records[wanted.since - 1 :])):
        raise NotGranted(f"{wanted.over.address} was dropped from {key.name} since: grant it anew")


def _taken(row: GrantRow) -> dict[Step, Taken]:
    return {each.step: Taken(each.step, each.outcome, each.reason) for each in row.steps}


def _done(steps: Mapping[Step, Outcome]) -> set[Step]:
    return {step for step, outcome in steps.items() if outcome == "done"}


async def _is_due(session: Session, row: GrantRow, steps: Mapping[Step, Outcome], *, heard: bool) -> bool:
    """What waits for the receiver is due when they are heard of; what failed for good waits for the person."""
    if steps.get("audit") == "failed":
        return False
    if {step for step in STEPS if step not in _done(steps)} - {"reach"}:
        return True
    return heard or await _is_claimed(session, row.key, row.to)


def _step(session: Session, keyring: Keyring, row: GrantRow) -> Task:
    async def run() -> None:
        grant = await carry_on(session, keyring, row.grant)
        if grant.error is not None:
            raise grant.error

    return Task("grant", row.grant, f"carry on granting a key to {row.to_address}", run)


async def _carry_on(
    session: Session,
    keyring: Keyring,
    wanted: Wanted,
    key: SharingKey,
    *,
    wait: float = 0,
    fresh: float = key_audits.FRESH,
) -> Grant:
    """Each step that is not done, in order; one that fails ends the round, but for suppliers."""
    id, address = wanted.grant, wanted.over.address
    row = (await session.ask(AskGrants(id=id, limit=2), GrantRow)).one("grant", id)
    known = _taken(row)
    round = _Round(session, keyring, wanted, key, wait, fresh, known.get("audit"))
    taken: dict[Step, Taken] = {}
    failed: PrivityError | None = None
    for step in WORK:
        before = known.get(step)
        if before is not None and before.outcome == "done" and not await round.undone(step):
            taken[step] = before
            continue
        try:
            went = await round.take(step)
        except (IntegrityAlarm, Refusal) as error:
            went, failed = Taken(step, "failed", error.code), error
        taken[step] = await round.record(went, before)
        if step == "audit" and went.outcome == "failed" and failed is None:
            failed = KeyMismatch(f"{address} does not hold the identity key that is known: {went.reason}")
        if failed is not None:
            break
    return Grant(id, key, address, tuple(taken[step] for step in STEPS if step in taken), failed)


class _Round:
    """One walk through the steps of a grant."""

    def __init__(
        self,
        session: Session,
        keyring: Keyring,
        wanted: Wanted,
        key: SharingKey,
        wait: float,
        fresh: float,
        audited: Taken | None,
    ) -> None:
        """`audited` is how the audit went before: one that failed is made good by an answer alone."""
        self._session = session
        self._keyring = keyring
        self._wanted = wanted
        self._id = wanted.grant
        self._key = key
        self._over = wanted.over
        self._wait = wait
        self._fresh = fresh
        self._unheard = audited if audited and audited.outcome == "failed" else Taken("audit", "done", BY_CHAIN)
        self._audit: Taken | None = None

    async def undone(self, step: Step) -> bool:
        """Whether a step that was recorded as done is not: the record that the creator signed decides."""
        return step == "private" and not self._key.record.holds(self._over.peer)

    async def take(self, step: Step) -> Taken:
        """How the step goes."""
        match step:
            case "reach":
                return await self._reach()
            case "audit":
                if self._audit is None:
                    await self._reach()
                return self._audit or self._unheard
            case "suppliers":
                return await self._suppliers()
            case "private":
                return await self._private()
            case "files":
                return await self._files()

    async def record(self, taken: Taken, before: Taken | None) -> Taken:
        """Have it recorded, if it is news."""
        if taken != before:
            await self._session.send(TakeGrantStep(self._id, taken.step, taken.outcome, taken.reason))
        return taken

    async def _reach(self) -> Taken:
        """One question serves for both: an answer reaches them, and proves their identity's public part."""
        self._audit = self._unheard
        try:
            question = Question(self._over, "public")
            audit = await key_audits.prove(self._session, self._keyring, question, wait=self._wait, fresh=self._fresh)
        except TooManyAudits as error:
            return await self._heard(error.code)
        if audit.passed is None:
            return await self._heard(AWAY)
        self._audit = Taken("audit", "done" if audit.passed else "failed", audit.reason)
        return Taken("reach", "done")

    async def _heard(self, otherwise: str) -> Taken:
        """Whoever has taken the key under their own was reached."""
        if await _is_claimed(self._session, self._key.id, self._over.peer):
            return Taken("reach", "done")
        return Taken("reach", "waiting", otherwise)

    async def _suppliers(self) -> Taken:
        """They are told the record that the home took."""
        troubles = await registrations.register_newest(self._session, self._keyring, self._key)
        if troubles is None:
            return Taken("suppliers", "done", NO_LOCATION)
        if stale := [each for each in troubles if registrations.is_stale(each)]:
            return Taken("suppliers", "failed", _reason(f"StaleVersion: {registrations.named(stale)}"))
        if troubles:
            return Taken("suppliers", "waiting", _reason(f"away: {registrations.named(troubles)}"))
        return Taken("suppliers", "done")

    async def _private(self) -> Taken:
        """The next record of the key, with the receiver among its holders, and the private part sealed to them."""
        for left in reversed(range(ATTEMPTS)):
            if self._holds() and await self._has_over_this():
                break
            try:
                await self._grant()
                self._key = await own_key(self._session, self._keyring, self._key.id)
                break
            except (AlreadyExists, StaleVersion):  # another device of one's own was faster
                if not left:
                    raise
            self._key = await own_key(self._session, self._keyring, self._key.id)
        return Taken("private", "done")

    async def _grant(self) -> None:
        """Seal it, with consent, and to nobody who was dropped since they were to have it."""
        key, over = self._key, self._over
        check_consent(over, consent=self._wanted.consent)
        await _check_not_dropped(self._session, key, self._wanted)
        signed = await self._next()
        place = PartPlace(
            key=key.id, generation=key.generation, by=key.creator, to=over.peer, connection=over.connection
        )
        wrap = seal_part(over.suite, over.public, key.private(), key.full_alias, place)
        command = GrantSharingKey(
            key=key.id,
            grant=self._id,
            to=over.peer,
            connection=over.connection,
            n=signed.n,
            record=b64(signed.record),
            signature=b64(signed.signature),
            wrap=digest(wrap),
        )
        await self._session.send(command, wrap)

    async def _files(self) -> Taken:
        """How many they find there."""
        try:
            opened = await locations.opened(self._session, self._keyring, self._key.id)
        except NotFound:
            return Taken("files", "done", NO_LOCATION)
        return Taken("files", "done", f"files: {len({each.name for each in opened.line.folder})}")

    def _holds(self) -> bool:
        return self._key.record.holds(self._over.peer)

    async def _has_over_this(self) -> bool:
        """Whether they have it over this very connection: one that ended opens nothing any more."""
        rows = (await self._session.ask_all(AskKeyHolders(key=self._key.id, limit=MAX_PAGE), KeyHolderRow)).rows
        return any((row.account, row.connection) == (self._over.peer, self._over.connection) for row in rows)

    async def _next(self) -> Signed:
        """The record behind the newest one, with the receiver."""
        holding = await holders_of(self._session, self._keyring, self._key)
        holders = tuple(sorted({*holding, self._over.peer}))
        return await sign_next(self._session, self._keyring, self._key, holders=holders)


async def own_key(session: Session, keyring: Keyring, name: str) -> SharingKey:
    """A key that one made oneself, and has not switched off.

    Raises:
        MasterKeyStays: it is the identity's.
        KeyInactive: one has switched it off.
        NotFound: there is none, or somebody else made it.
    """
    key = sharing_keys.check_active(await sharing_keys.show(session, keyring, name))
    if key.creator != session.account:
        raise NotFound(f"{key.name} is not yours: only its creator grants and rotates it")
    return key


async def holders_of(session: Session, keyring: Keyring, key: SharingKey) -> dict[str, KeyHolderRow]:
    """Who holds a key of one's own, by account: those whom its newest record names and who did not give it up.

    Raises:
        KeyMismatch: the backend shows a holder whom the creator never granted it to.
        StaleVersion: another device of one's own was faster: there is a newer record.
        Withheld, NotInLog, ForgedRecord: it leaves one out who did not give the key up.
    """
    rows = (await session.ask_all(AskKeyHolders(key=key.id, limit=MAX_PAGE), KeyHolderRow)).rows
    found = {row.account: row for row in rows}
    planted, hidden = found.keys() - set(key.record.holders), set(key.record.holders) - found.keys()
    if (planted or hidden) and (await own_key(session, keyring, key.id)).record.n > key.record.n:
        raise StaleVersion(f"{key.name} went on while it was read")
    if planted:
        raise KeyMismatch(f"The backend shows a holder of {key.name} to whom you did not grant it: {min(planted)}.")
    if hidden:
        await learn(session)
    for one in sorted(hidden):
        await _check_given_up(session, key, one)
    return found


async def _check_given_up(session: Session, key: SharingKey, holder: str) -> None:
    """Returns if the log shows that a holder gave the key up since they were granted it last; the person is told."""
    named = f"{key.id} {holder}"
    gone, given = session.memory.seen(KEY_GIVEN_UP, named), session.memory.seen(KEY_GRANTED, named)
    if gone is None or (given is not None and given.version > gone.version):
        raise Withheld(f"The backend leaves out {holder}, who holds {key.name}.")
    try:
        shown = await evidence(session, gone.version)
    except NotFound:
        raise NotInLog(f"The backend has no evidence that {holder} gave {key.name} up.") from None
    signed = shown.subject == command_subject(holder, EraseSharingKey.subject) and shown.command.body == {"key": key.id}
    if not signed or not shown.says("sharing-key-erased", key=key.id, by=holder, whole=False):
        raise ForgedRecord(f"The log has something else where {holder} is said to have given {key.name} up.")
    follow(Heads(session.memory), shown.chain, holder, holder)
    check_signer(shown, {holder: signed_chain(shown.chain)}, session.server)
    notices.warning("notice: %s gave %s up: its next record does not name them any more", holder, key.name)


async def sign_next(session: Session, keyring: Keyring, key: SharingKey, **changes: object) -> Signed:
    """The next record of a key of one's own, with these fields changed."""
    keyring, _ = await current(session, keyring)
    record = replace(
        key.record,
        n=key.record.n + 1,
        prev=digest(key.record_bytes),
        checkpoint=await newest_checkpoint(session),
        **changes,  # type: ignore[arg-type]
    )
    data, signature = sign_record(keyring.identity.sign, record)
    return Signed(record.n, data, signature)


async def _is_claimed(session: Session, key: str, to: str) -> bool:
    rows = (await session.ask_all(AskKeyHolders(key=key, limit=MAX_PAGE), KeyHolderRow)).rows
    return any(row.account == to and row.claimed for row in rows)


def _reason(text: str) -> str:
    """A text that a step can carry."""
    return "".join(each if each.isascii() and (each.isalnum() or each in " _.,:'-") else "_" for each in text)[:200]
