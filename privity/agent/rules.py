"""Rules: what a person's agents approve by themselves, kept sealed at the backend, so that all devices have them.

Nothing is approved by a rule over a connection that is not verified.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from privity.agent import connections, pieces, requests
from privity.agent.feed import learn
from privity.agent.keyring import Keyring
from privity.agent.kinds import RULES
from privity.agent.memory import check_not_older
from privity.agent.pieces import Piece, check_name
from privity.agent.requests import Request
from privity.agent.session import Session
from privity.agent.tasks import Task
from privity.crypto.pieces import open_rules, seal_rules
from privity.encoding import digest, new_id
from privity.errors import (
    Ambiguous,
    DoesNotOpen,
    ForgedRecord,
    IntegrityAlarm,
    Malformed,
    NotFound,
    Refusal,
    StaleVersion,
)
from privity.messages.pieces import SetRules
from privity.messages.views import AskRules, RulesRow

KIND = RULES
CONNECTIONS = "connections"
"""For whom a rule is that is for everybody to whom one is connected, and verified."""
SINGLY = ""
"""Among what is done: from now on one by one."""
CLEARED = "none"
"""What is remembered in place of a digest."""
MAX_RULES = 100
ATTEMPTS = 5
"""Times that the rules are kept again when another device keeps others meanwhile."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests for the piece `name` are approved, of `connections` or of one account.

    `address` is how the person called the account when they made the rule.
    """

    rule: str
    name: str
    account: str
    address: str

    def approves(self, request: Request) -> bool:
        """Whether a request is one that this rule is about."""
        return self.name == request.name and self.account in (CONNECTIONS, request.connection.peer)


async def all_own(session: Session, keyring: Keyring) -> list[Rule]:
    """One's own rules.

    Raises:
        RolledBack: older ones than this device saw.
    """
    rules, _ = await _kept(session, keyring)
    return rules


async def add(session: Session, keyring: Keyring, name: str, whom: str = CONNECTIONS) -> Rule:
    """Approve requests for a piece from now on, of all verified connections, or of one connected person by address.

    Raises:
        NotConnected: there is no connection with that person.
        Malformed: there are 100 rules already.
    """
    name = check_name(name)
    account = address = CONNECTIONS
    if whom != CONNECTIONS:
        connection = await connections.with_person(session, keyring, whom)
        account, address = connection.peer, connection.address
    made = Rule(new_id(), name, account, address)

    def change(rules: list[Rule]) -> list[Rule]:
        if len(rules) >= MAX_RULES:
            raise Malformed(f"there may be {MAX_RULES} rules")
        return [*rules, made]

    await _change(session, keyring, change)
    return made


async def remove(session: Session, keyring: Keyring, id: str) -> Rule:
    """Take a rule away, by id or unique prefix. What it approved stays granted.

    Raises:
        NotFound, Ambiguous: no rule begins like this, or more than one.
    """
    found: list[Rule] = []

    def change(rules: list[Rule]) -> list[Rule]:
        found[:] = [each for each in rules if id and each.rule.startswith(id)]
        if not found:
            raise NotFound(f"there is no rule {id}")
        if len(found) > 1:
            raise Ambiguous(f"more than one rule begins with {id!r}; give more of the id")
        return [each for each in rules if each is not found[0]]

    await _change(session, keyring, change)
    return found[0]


async def work(session: Session, keyring: Keyring) -> list[Task]:
    """The open requests that a rule approves, of verified connections alone; the first one run grants them all."""
    rules = await all_own(session, keyring)
    if not rules:
        return []
    waiting = await requests.all_of(session, keyring, "incoming", open_only=True)
    own = await pieces.all_own(session, keyring) if waiting else []
    kept = {piece.name for piece in own if isinstance(piece, Piece)}
    ready = [
        each
        for each in waiting
        if isinstance(each, Request) and each.connection.verified and each.name in kept and _approved(rules, each)
    ]
    done: set[str] = set()
    return [
        Task(
            "approve",
            f"{each.request}/{each.n}",
            f"{each.name} for {each.sender}",
            _approving(session, keyring, ready, each, done),
        )
        for each in ready
    ]


def _approved(rules: Sequence[Rule], request: Request) -> bool:
    return any(rule.approves(request) for rule in rules)


def _approving(
    session: Session, keyring: Keyring, ready: Sequence[Request], one: Request, done: set[str]
) -> Callable[[], Awaitable[None]]:
    """Grants what a request asks for, with all others that are ready, unless that was done in this round."""

    async def run() -> None:
        if one.request in done:
            return
        together = [each for each in ready if each.name == one.name and each.request not in done]
        if SINGLY in done or len(together) == 1:
            await _approve(session, keyring, [one], done)
            return
        try:
            await _approve(session, keyring, together, done)
        except (Refusal, IntegrityAlarm):  # of one of them, which must not keep the others waiting
            done.add(SINGLY)
            if (one.request, one.n) in await requests.still_open(session):
                await _approve(session, keyring, [one], done)
            return
        if one.request not in done:
            raise DoesNotOpen

    return run


async def _approve(session: Session, keyring: Keyring, these: Sequence[Request], done: set[str]) -> None:
    left_out = await requests.approve_all(session, keyring, these)
    done.update(each.request for each in these if each not in left_out)
    if left_out and len(these) == 1:
        raise DoesNotOpen


async def _change(session: Session, keyring: Keyring, change: Callable[[list[Rule]], list[Rule]]) -> None:
    for left in reversed(range(ATTEMPTS)):
        rules, version = await _kept(session, keyring)
        changed = change(rules)
        data = json.dumps([asdict(each) for each in changed]).encode()
        sealed = seal_rules(keyring.kek, data, keyring.account, version + 1)
        try:
            await session.send(SetRules(version + 1, digest(sealed)), sealed)
        except StaleVersion:
            if not left:
                raise
            continue
        session.memory.saw(KIND, keyring.account, version + 1, digest(sealed))
        return


async def _kept(session: Session, keyring: Keyring) -> tuple[list[Rule], int]:
    """The rules, and their number; none under 0 before there were any."""
    await learn(session)  # another device may have taken one away
    before = session.memory.seen(KIND, keyring.account)
    found = await session.ask(AskRules(), RulesRow)
    if not found.rows:
        check_not_older(before, 0)
        return [], 0
    [row] = found.rows[:1]
    if row.account != keyring.account:
        raise ForgedRecord("The backend served somebody else's rules.")
    check_not_older(before, row.version, row.rules or CLEARED)
    session.memory.saw(KIND, keyring.account, row.version, row.rules or CLEARED)
    if row.rules is None:
        return [], row.version
    data = open_rules(keyring.kek, found.blob(row.rules), keyring.account, row.version)
    return [Rule(**each) for each in json.loads(data)], row.version
