"""Three people, of whom the second may pass on what the first gave, and second ones whose agents are modified."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from privity.agent import items, resharing, sending, shares
from privity.agent.connections import Connection
from privity.agent.contents import SharedContent
from privity.agent.keyring import Keyring
from privity.agent.reading import Share
from privity.agent.sending import Generation
from privity.agent.session import Session
from privity.testing.people import Person, connect

Change = Callable[[SharedContent, Keyring], SharedContent]


@dataclass(frozen=True)
class Given:
    """Ann's item and her share of it to Bob, who may share it on; Carol knows Bob alone."""

    ann: Person
    bob: Person
    carol: Person
    item: items.Item
    share: Share

    async def share_on(self) -> str:
        """Bob shares it on with Carol; the share."""
        async with self.bob.session() as (session, keyring):
            return (await resharing.create(session, keyring, self.item.item, self.carol.address)).share


async def give(connected: tuple[Person, Person], person: Callable[[str], Awaitable[Person]]) -> Given:
    """What Ann gave Bob to pass on over one hand."""
    ann, bob = connected
    carol = await person("carol")
    await connect(bob, carol)
    async with ann.session() as (session, keyring):
        item = await items.add(session, keyring, "Passport", {"number": "X123", "name": "Ann"})
        share = await shares.create(session, keyring, item.item, bob.address, reshare=1)
    return Given(ann, bob, carol, item, share)


async def read(person: Person, share: str) -> Share:
    """A share, opened by one of its two ends."""
    async with person.session() as (session, keyring):
        return await shares.show(session, keyring, share)


async def work(person: Person) -> list[str]:
    """Do what is to be done about what somebody shared on; the kinds of the steps."""
    async with person.session() as (session, keyring):
        tasks = await resharing.work(session, keyring)
        for task in tasks:
            await task.run()
        return [task.kind for task in tasks]


def bend(patch: pytest.MonkeyPatch, change: Change) -> list[str]:
    """Have agents seal something else than they would; the shares that they sent."""
    sent: list[str] = []
    honest = sending.send

    async def send(session: Session, keyring: Keyring, connection: Connection, generation: Generation) -> None:
        sent.append(generation.share)
        await honest(session, keyring, connection, replace(generation, shared=change(generation.shared, keyring)))

    patch.setattr(sending, "send", send)
    return sent


def with_slots(shared: SharedContent, **slots: str) -> SharedContent:
    """The same with other values."""
    return replace(shared, content=replace(shared.content, slots={**shared.content.slots, **slots}))
