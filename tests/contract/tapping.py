"""A tap on a real home's bus: everything that is published in each of its accounts, as the server passes it on."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg

import app
from infra import credentials
from infra.bus import Way, connect
from infra.home import open_keys
from privity.testing.home import RunningHome
from tests.contract.reading import Contract

ACCOUNTS = ("backend", "people", "enrol", "consumers")
"""Of the bus: all but the server's own."""
OF_NATS = "$"
"""JetStream's and the server's own subjects begin so."""
ACKNOWLEDGED = {"stream", "seq", "duplicate"}
"""What JetStream answers to who publishes into a stream."""
QUIET = 0.3
"""Seconds without a message, after which all has been heard."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message; `account` is that of the bus in which it was heard."""

    account: str
    subject: str
    reply: str
    headers: dict[str, str]
    data: bytes = field(repr=False)


@dataclass(slots=True)
class Tap:
    """What was heard, in its order."""

    heard: list[Heard] = field(default_factory=list)

    def into(self, account: str) -> Callable[[Msg], Coroutine[Any, Any, None]]:
        """Keeps what is heard in an account."""

        async def hear(message: Msg) -> None:
            headers = dict(message.headers or {})
            self.heard.append(Heard(account, message.subject, message.reply, headers, message.data))

        return hear

    async def all(self) -> list[Heard]:
        """All that was heard, once it is quiet."""
        before = -1
        while before != len(self.heard):
            before = len(self.heard)
            await asyncio.sleep(QUIET)
        return self.heard


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a contract says of what was heard: how often each of its messages was, and what it does not have."""

    seen: Counter[str]
    faults: list[str]


@asynccontextmanager
async def tapped(home: RunningHome) -> AsyncIterator[Tap]:
    """Listen to all accounts of a home's bus, with users that the home's own keys sign."""
    tap, settings = Tap(), app.running(home.data)
    keys = open_keys(settings.data, create=False).bus
    async with AsyncExitStack() as stack:
        for account in ACCOUNTS:
            user = credentials._own_user(getattr(keys, account), "tap")
            bus = await connect(Way(settings.bus_url, user), name="tap")
            stack.push_async_callback(bus.close)
            await bus.subscribe(">", cb=tap.into(account), pending_bytes_limit=-1, pending_msgs_limit=-1)
            await bus.flush()
        yield tap


def judged(contract: Contract, heard: list[Heard]) -> Verdict:
    """Hold each message against the contract: it is on one of its channels, or answers what was asked on one."""
    seen, faults, asked = Counter[str](), list[str](), dict[tuple[str, str], str]()
    for each in heard:
        request = asked.get((each.account, each.subject))
        if each.subject.startswith(OF_NATS):
            asked[each.account, each.reply] = each.subject
            continue
        if (request or "").startswith(OF_NATS) or (request and _is_acknowledgement(each)):
            continue
        channel = request or contract.channel(each.subject)
        if channel is None:
            faults.append(f"{each.subject} ({each.account}) is on no channel, and answers nothing")
            continue
        if each.reply and not request:
            asked[each.account, each.reply] = channel
        possible = contract.replies(channel) if request else contract.messages(channel)
        wrong = {name: contract.faults(name, each.headers, each.data) for name in possible}
        fitting = [name for name, found in wrong.items() if not found]
        seen.update(fitting[:1])
        if not fitting:
            faults.append(f"{each.subject} ({each.account}), on {channel}: {wrong or 'there are no answers here'}")
    return Verdict(seen, faults)


def _is_acknowledgement(answer: Heard) -> bool:
    """Whether it is JetStream's, to a role of the backend: people's agents ask for none."""
    try:
        said = json.loads(answer.data)
    except ValueError:
        return False
    return answer.account == "backend" and isinstance(said, dict) and {"stream", "seq"} <= said.keys() <= ACKNOWLEDGED
